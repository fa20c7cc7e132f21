//! Appends an event of a facade, as a record, to the thread's ring.

use super::places::{self, Found, Place, Shape};
use crate::appendable::Destination;
use crate::attempt;
use crate::event;
use crate::fields::{Inline, Structured};
use crate::format::{FieldType, Type};
use crate::gate::ByTarget;
use crate::level::{Level, STATIC_MAX_LEVEL};
use crate::logger::Logger;
use crate::shared::Shared;
use crate::thread_local;

/// Appends an event, if its level and target are admitted. `expected` says which values its record should
/// have. `write` visits the values. It runs code of the user, which may log.
pub(super) fn append(logger: &Logger, place: Place<'_>, expected: Shape, write: impl FnOnce(&mut Inline<'_, '_>)) {
    let shared = logger.shared();
    let Some(destination) = destination(logger, place, expected) else {
        thread_local::refuse(shared);
        return;
    };
    thread_local::with_scratch(shared, |scratch| {
        let mut inline = Inline::new(scratch);
        write(&mut inline);
        let kept = inline.keep();
        let shape = Shape { spans: kept.has_spans(), message: kept.has_message() };
        let callsite = match places::find(&shared.gate, place, shape) {
            Ok(Found::Own(id)) => id,
            Ok(Found::Shared(id)) => {
                name_place(&mut inline, place);
                id
            }
            Err(refusal) => {
                attempt::refuse(shared, refusal);
                return;
            }
        };
        let values = inline.keep();
        let mut record = Structured { callsite, values, scratch: scratch.bytes(), destination };
        event::append_record(logger, place.level, &mut record);
    });
}

/// Whether the log or the flight recorder takes an event; `None` if neither does. The answer is remembered for the
/// event's place, so that later events of this place take no lock.
fn destination(logger: &Logger, place: Place<'_>, expected: Shape) -> Option<Destination<'static>> {
    let Shared { gate, admission, recorder, .. } = &**logger.shared();
    let Place { level, target, .. } = place;
    let passes = match gate.words().by_target(level as u8) {
        _ if !level.is_compiled_in() => return None,
        ByTarget::Refused => return None,
        ByTarget::Admitted => recorder.is_none() || gate.takes(level as u8),
        ByTarget::Asks => match places::number(gate, place, expected) {
            Some(number) => admission.passes(gate, number, || (level, target)),
            None => admission.passes_target(gate, level, target),
        },
    };
    let is_recorded = || admission.is_recorded(level).then_some(Destination::Recorder);
    if passes { Some(Destination::Log) } else { is_recorded() }
}

/// The least severe level of which some event may be admitted.
pub(super) fn most_verbose(logger: &Logger) -> Level {
    let Shared { gate, admission, .. } = &**logger.shared();
    if gate.is_shut() { Level::Off } else { admission.most_verbose(gate).min(STATIC_MAX_LEVEL) }
}

/// Adds the place as fields, for a record whose callsite does not name it.
fn name_place(inline: &mut Inline<'_, '_>, place: Place<'_>) {
    let fields = inline.fields();
    fields.str(&["target"], place.target);
    fields.str(&["file"], place.file);
    fields.value(&["line"], FieldType::new(Type::Unsigned), &u64::from(place.line).to_le_bytes());
}
