//! The callsites of events. An event's callsite is found by its place (level, target, file and line), without a lock.
//!
//! The target and the file of an event need not be static texts: the same address may hold another text later. So a
//! place is compared by its contents, with the definition in the registry of callsites. A hash table holds the ids of
//! the callsites. It is never emptied, and its length is fixed, because a program that makes targets while it runs can
//! have any number of places. When the table is full, all further places share one callsite for each level and shape,
//! and their records name the place in fields.
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | place known | `own` and `find_shared` store an id | they read it | the definition |

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicUsize};

use crate::callsite;
use crate::format::{CallsiteInfo, FieldType, Type};
use crate::gate::{Gate, Refusal};
use crate::level::Level;

/// The most places that have callsites of their own: more than a large program's code has.
const PLACES_MAX: usize = 16_384;

/// The slots of the table: twice as many, so that few places have the same first slot.
const SLOTS: usize = 2 * PLACES_MAX;

/// How many slots are tried for one place, its first one and those after it.
const TRIES: usize = 32;

/// The ids of the places' callsites; 0 in a free slot.
static TABLE: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];

/// The numbers by which `admission` knows these callsites; 0 if it has not asked for one yet.
static NUMBERS: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];

/// How many slots are taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The ids of the callsites that all further places share, by level and shape; 0 until one is registered.
static SHARED: [[AtomicU32; Shape::COUNT]; Level::ALL.len()] =
    [const { [const { AtomicU32::new(0) }; Shape::COUNT] }; Level::ALL.len()];

/// Where an event comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) level: Level,
    pub(super) target: &'a str,
    /// Empty, and line 0, if the event does not say.
    pub(super) file: &'a str,
    pub(super) line: u32,
}

/// Which values the event's record has before its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) spans: bool,
    pub(super) message: bool,
}

impl Shape {
    const COUNT: usize = 4;

    const fn index(self) -> usize {
        self.spans as usize * 2 + self.message as usize
    }

    const fn template(self) -> &'static str {
        match self {
            Shape { spans: false, message: true } => "{message}",
            Shape { spans: true, message: true } => "{spans}: {message}",
            Shape { spans: true, message: false } => "{spans}:",
            Shape { spans: false, message: false } => "",
        }
    }

    const fn fields(self) -> &'static [(&'static str, FieldType)] {
        const SPANS: (&str, FieldType) = ("spans", FieldType::new(Type::Display));
        const MESSAGE: (&str, FieldType) = ("message", FieldType::new(Type::Display));
        const FIELDS: (&str, FieldType) = ("fields", FieldType::new(Type::Fields));
        match self {
            Shape { spans: false, message: true } => &[MESSAGE, FIELDS],
            Shape { spans: true, message: true } => &[SPANS, MESSAGE, FIELDS],
            Shape { spans: true, message: false } => &[SPANS, FIELDS],
            Shape { spans: false, message: false } => &[FIELDS],
        }
    }
}

/// The callsite for an event's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The place's own.
    Own(u32),
    /// One that does not name the place.
    Shared(u32),
}

/// Returns the callsite of a place. Registers one at the place's first event.
///
/// # Errors
/// If the place is not registered yet: [`Refusal::Reentrant`] if a signal handler calls this and has interrupted a
/// registration on its own thread, and [`Refusal::Forked`] in a forked child.
pub(super) fn find(gate: &Gate, place: Place<'_>, shape: Shape) -> Result<Found, Refusal> {
    match own(gate, place, shape)? {
        Some((_, id)) => Ok(Found::Own(id)),
        None => find_shared(gate, place.level, shape),
    }
}

/// The number by which `admission` knows the place's callsite; `None` if the place has none of its own.
pub(super) fn number(gate: &Gate, place: Place<'_>, shape: Shape) -> Option<u32> {
    let (slot, _) = own(gate, place, shape).ok()??;
    callsite::number_in(&NUMBERS[slot])
}

/// The slot and the id of the place's own callsite. Registers one if the place has none and there is room. `None` if
/// there is no room.
fn own(gate: &Gate, place: Place<'_>, shape: Shape) -> Result<Option<(usize, u32)>, Refusal> {
    let first = hash(place, shape);
    for step in 0..TRIES {
        let at = (first + step) % SLOTS;
        let slot = &TABLE[at];
        // Acquire: _place known_.
        let mut id = slot.load(Acquire);
        if id == 0 {
            if TAKEN.load(Relaxed) >= PLACES_MAX {
                break;
            }
            let own = register(gate, place, shape)?;
            // Release: _place known_.
            match slot.compare_exchange(0, own, AcqRel, Acquire) {
                Ok(_) => {
                    TAKEN.fetch_add(1, Relaxed);
                    return Ok(Some((at, own)));
                }
                Err(other) => id = other,
            }
        }
        if callsite::definition(id).is_some_and(|info| is_of(info, place, shape)) {
            return Ok(Some((at, id)));
        }
    }
    Ok(None)
}

/// The callsite that all places share that have none of their own. Registers it at its first use.
#[cold]
fn find_shared(gate: &Gate, level: Level, shape: Shape) -> Result<Found, Refusal> {
    let slot = &SHARED[level as usize - 1][shape.index()];
    // Acquire: _place known_.
    let id = match slot.load(Acquire) {
        0 => {
            let id = register(gate, Place { level, target: "", file: "", line: 0 }, shape)?;
            // Release: _place known_.
            slot.store(id, Release);
            id
        }
        id => id,
    };
    Ok(Found::Shared(id))
}

#[cold]
#[inline(never)]
fn register(gate: &Gate, place: Place<'_>, shape: Shape) -> Result<u32, Refusal> {
    // The gate of a logger into memory admits a forked child too. The child must not wait for the registry's lock: the
    // thread that held it may not exist in the child.
    if gate.is_forked() {
        return Err(Refusal::Forked);
    }
    let Place { level, target, file, line } = place;
    let place = callsite::UntypedCallsite { level, line, target, file, template: shape.template() };
    callsite::register_place(place, shape.fields()).ok_or(Refusal::Reentrant)
}

/// Whether a definition is that of the place.
fn is_of(info: &CallsiteInfo, place: Place<'_>, shape: Shape) -> bool {
    info.line == place.line
        && info.level == place.level as u8
        && *info.template == *shape.template()
        && *info.target == *place.target
        && *info.file == *place.file
        // One of diolog's own macros may be in the same line, with the same template and other fields.
        && info.fields.iter().map(|(name, of)| (&**name, *of)).eq(shape.fields().iter().copied())
}

/// A hash of the place. It takes only the end of the file's path, because the beginnings of paths are often the same.
fn hash(place: Place<'_>, shape: Shape) -> usize {
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(MULTIPLIER).rotate_left(29);
    let bytes = |hash: u64, text: &[u8]| {
        text.chunks(8).fold(mix(hash, text.len() as u64), |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(hash, u64::from_le_bytes(word))
        })
    };
    let Place { level, target, file, line } = place;
    let hash = mix(u64::from(line), (level as u64) << 8 | shape.index() as u64);
    let end = &file.as_bytes()[file.len().saturating_sub(16)..];
    let hash = bytes(bytes(hash, target.as_bytes()), end);
    (hash.wrapping_mul(MULTIPLIER) >> 40) as usize
}
