//! The steps of an attempt to append that all of its paths share: a producer's own, a claim's, and the common ring's.
//!
//! An attempt enters the gate, appends, and ends with an outcome: accepted, dropped, or refused. Losses and refusals
//! are counted here.

use crate::appendable::Appendable;
use crate::format::{Kind, RecordFlags};
use crate::gate::{Entered, Gate, Refusal};
use crate::level::Level;
use crate::outcome::Outcome;
use crate::own_thread::{self, Role};
use crate::recorder::{Recorder, RecorderEnd};
use crate::ring::{DropCause, Full, ProducerEnd};
use crate::shared::Shared;

/// The outcome of a record that is in a ring.
pub(crate) fn accepted(record: &(impl Appendable + ?Sized)) -> Outcome {
    if record.is_cut() { Outcome::Truncated } else { Outcome::Written }
}

/// A record's flags in the files.
pub(crate) fn flags(record: &(impl Appendable + ?Sized)) -> u8 {
    if record.is_cut() { RecordFlags::TRUNCATED } else { 0 }
}

/// Whether records of `level` may take the room that is kept for severe ones.
pub(crate) fn is_severe(level: Level) -> bool {
    level <= Level::Warn
}

/// Begins the append of a record.
///
/// # Errors
/// Why it is refused.
#[inline(always)]
pub(crate) fn enter<'a>(
    gate: &Gate,
    end: &'a ProducerEnd,
    level: Level,
    record: &(impl Appendable + ?Sized),
) -> Result<Entered<'a>, Refusal> {
    let flag = end.control().append_flag();
    if record.has_target() { gate.enter_target(flag) } else { gate.enter(flag, level as u8) }
}

/// Appends a record that the log does not take to a producer's ring in the recorder, if the recorder takes it.
#[cold]
#[inline(never)]
pub(crate) fn append_to_recorder(
    shared: &Shared,
    recorder: &Recorder,
    end: &RecorderEnd,
    level: Level,
    record: &mut (impl Appendable + ?Sized),
) -> Outcome {
    let Recorder { rings, triggers, .. } = recorder;
    if !rings.keeps(level) || shared.gate.is_shut() {
        return refuse(shared, shared.gate.refusal());
    }
    let Some(end) = end.get_or_make(rings, |producer| shared.registry.identity(producer).unwrap_or_default()) else {
        rings.count_unrecorded();
        triggers.note_level(level);
        return Outcome::Filtered;
    };
    let entered = match shared.gate.enter_target(end.control().append_flag()) {
        Ok(entered) => entered,
        Err(refusal) => return refuse(shared, refusal),
    };
    record.cut_to(rings.message_bytes_max());
    let tag = tag(record.kind(), level, flags(record));
    let outcome = match end.append(tag, record, || shared.clock.ticks()) {
        Ok(()) => Outcome::Recorded,
        Err(Full) => {
            // A snapshot is copying the ring. The attempt is counted, so that the snapshot shows the gap.
            end.drop_attempt(DropCause::Full);
            Outcome::Filtered
        }
    };
    drop(entered);
    triggers.note_level(level);
    outcome
}

/// Drops a record for which there is no room, and counts it by its cause.
#[cold]
#[inline(never)]
pub(crate) fn drop_newest(end: &ProducerEnd, cause: DropCause) -> Outcome {
    end.drop_attempt(cause);
    Outcome::Dropped
}

/// Counts an append that was refused, and returns its outcome. A filtered one is not counted.
#[cold]
#[inline(never)]
pub(crate) fn refuse(shared: &Shared, refusal: Refusal) -> Outcome {
    shared.count_refusal(refusal);
    match refusal {
        Refusal::Filtered => Outcome::Filtered,
        Refusal::Closed => Outcome::Closed,
        Refusal::Forked => Outcome::Forked,
        Refusal::Reentrant => Outcome::Reentrant,
        Refusal::NoRing => Outcome::NoRing,
    }
}

/// The tag of a record in a ring: kind, level and flags. The ring does not use it.
pub(crate) const fn tag(kind: Kind, level: Level, flags: u8) -> u32 {
    u32::from_le_bytes([kind as u8, level as u8, flags, 0])
}

/// The same for a record that the calling thread makes. On a listener's thread the last byte is 1: no listener gets the
/// record.
pub(crate) fn tag_here(kind: Kind, level: Level, flags: u8) -> u32 {
    let unheard = own_thread::role() == Role::Listener;
    tag(kind, level, flags) | u32::from_le_bytes([0, 0, 0, u8::from(unheard)])
}
