//! Which records of a log pass by their target: the log's levels, and the decisions for its callsites.
//!
//! Every append asks the [`gate`](crate::gate) first. Only if a target has a threshold of its own, and the gate's word
//! for targets admits the level, a structured append asks here as well. The answer for a callsite is always the same
//! until the levels change: its target and its level never do. So it is found once, on the slow path, and kept in a
//! table by the callsite's number: later appends load one byte of it. The number is not the id in the records, which a
//! callsite gets with its first record: one that is filtered may have none for ever (a bridge's gets one here).
//!
//! The lock is taken to change the levels and to decide for a callsite, never by a look at the table. Decisions are
//! made and forgotten under it, so that none outlives the levels that it was made by. A signal handler that interrupts
//! its own thread there does not wait for the lock: its record passes.
//!
//! These functions decide for the log only. If it has a flight recorder, that takes records up to its own level that
//! the log does not take, whatever their target is.

use std::cell::Cell;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, OnceLock};

use crate::callsite::{CHUNKS, FIRST_CHUNK, InTable, place_of};
use crate::gate::{ByTarget, Gate, Thresholds};
use crate::level::Level;
use crate::levels::Levels;
use crate::sync::{Inside, lock};

/// Nothing was decided for the callsite since the levels changed.
const UNDECIDED: u8 = 0;
const FILTERED: u8 = 1;
const ADMITTED: u8 = 2;

thread_local! {
    /// Whether this thread has some log's lock.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The levels of one log.
pub(crate) struct Admission {
    levels: Mutex<Levels>,
    /// The level of the log's recorder, if it has one.
    recorded: Option<Level>,
    /// Decisions by callsite number.
    chunks: [OnceLock<Box<[AtomicU8]>>; CHUNKS],
}

impl Admission {
    /// Takes the levels with which a log is opened, and the level of its recorder. Sets the words of the gate.
    pub(crate) fn new(gate: &Gate, levels: Levels, recorded: Option<Level>) -> Admission {
        set_words(gate, &levels, recorded);
        Admission { levels: Mutex::new(levels), recorded, chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    /// Whether the log has a recorder that takes records of `level`.
    pub(crate) fn is_recorded(&self, level: Level) -> bool {
        self.recorded.is_some_and(|recorded| level <= recorded)
    }

    /// The least severe level of all records that may pass, to the log or to its recorder.
    #[cfg(any(feature = "log", feature = "tracing"))]
    pub(crate) fn most_verbose(&self, gate: &Gate) -> Level {
        let most_verbose = self.levels(gate).most_verbose();
        self.recorded.map_or(most_verbose, |recorded| most_verbose.max(recorded))
    }

    /// The present levels. In a forked child the default ones, because a thread that does not exist there may hold the
    /// lock.
    pub(crate) fn levels(&self, gate: &Gate) -> Levels {
        if gate.is_forked() {
            return Levels::default();
        }
        self.locked(|levels| levels.clone()).unwrap_or_default()
    }

    /// Changes the levels, and with them the words of the gate. Does nothing if the gate is closed, in a forked child,
    /// or in a signal handler that interrupted this function.
    ///
    /// # Errors
    /// Those of `change`, which must have changed nothing then.
    pub(crate) fn change<E>(&self, gate: &Gate, change: impl FnOnce(&mut Levels) -> Result<(), E>) -> Result<(), E> {
        if gate.is_forked() {
            return Ok(());
        }
        self.locked(|levels| {
            change(levels)?;
            // Before the words: once a target has a threshold, no old decision is left.
            let decisions = self.chunks.iter().filter_map(OnceLock::get).flat_map(|chunk| chunk.iter());
            decisions.for_each(|decision| decision.store(UNDECIDED, Relaxed));
            set_words(gate, levels, self.recorded);
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    /// Whether a record at `level` of `target` would pass, or be recorded. Takes the lock if targets have thresholds.
    pub(crate) fn admits_target(&self, gate: &Gate, level: Level, target: &str) -> bool {
        match gate.words().by_target(level as u8) {
            ByTarget::Admitted => true,
            ByTarget::Refused => false,
            ByTarget::Asks => self.is_recorded(level) || self.passes_target(gate, level, target),
        }
    }

    /// Whether a record at `level` of `target` passes. Takes the lock.
    pub(crate) fn passes_target(&self, gate: &Gate, level: Level, target: &str) -> bool {
        // As in `decide`.
        gate.is_forked() || self.locked(|levels| level <= levels.level_of(target)).unwrap_or(true)
    }

    /// Whether a record of callsite `number` passes the threshold of its target, given that its level passes that of
    /// some target. `site` gives the callsite's level and target. It is called once, and again after each change.
    #[inline]
    pub(crate) fn passes<'a>(&self, gate: &Gate, number: u32, site: impl FnOnce() -> (Level, &'a str)) -> bool {
        let InTable { chunk, at } = place_of(number);
        // Relaxed: the value is all that is needed.
        match self.chunks[chunk].get().map_or(UNDECIDED, |chunk| chunk[at].load(Relaxed)) {
            UNDECIDED => self.decide(gate, number, site()),
            decision => decision == ADMITTED,
        }
    }

    #[cold]
    #[inline(never)]
    fn decide(&self, gate: &Gate, number: u32, (level, target): (Level, &str)) -> bool {
        // In a forked child, a thread that does not exist there may hold the lock. The gate refuses the append.
        if gate.is_forked() {
            return true;
        }
        let InTable { chunk, at } = place_of(number);
        self.locked(|levels| {
            let admits = level <= levels.level_of(target);
            let bytes = FIRST_CHUNK << chunk;
            let decisions = self.chunks[chunk].get_or_init(|| (0..bytes).map(|_| AtomicU8::new(UNDECIDED)).collect());
            decisions[at].store(if admits { ADMITTED } else { FILTERED }, Relaxed);
            admits
        })
        .unwrap_or(true)
    }

    /// Calls `look` with the levels locked. `None` if this thread has locked them already.
    fn locked<T>(&self, look: impl FnOnce(&mut Levels) -> T) -> Option<T> {
        let _inside = Inside::enter(&INSIDE)?;
        Some(look(&mut lock(&self.levels)))
    }
}

/// Sets the words of the gate for `levels`, and for the level of a recorder.
fn set_words(gate: &Gate, levels: &Levels, recorded: Option<Level>) {
    gate.set_levels(Thresholds {
        all: levels.level() as u8,
        most_verbose: levels.most_verbose() as u8,
        least_verbose: levels.least_verbose() as u8,
        has_targets: levels.targets().next().is_some(),
        recorded: recorded.map(|level| level as u8),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_made_once_until_the_levels_change() {
        let gate = Gate::without_rings(3);
        let admission = Admission::new(&gate, Levels::from("info,hyper=off"), None);
        assert!(!admission.passes(&gate, 7, || (Level::Error, "hyper::client")));
        assert!(!admission.passes(&gate, 7, || panic!("it is decided")));
        assert!(admission.passes(&gate, 1_000, || (Level::Info, "hyper_2")));
        assert!(admission.passes(&gate, 1_000, || panic!("it is decided")));
        let changed = admission.change(&gate, |levels| levels.set_target("hyper", Level::Warn));
        assert_eq!(changed, Ok(()));
        assert!(admission.passes(&gate, 7, || (Level::Error, "hyper::client")));
        assert_eq!(admission.levels(&gate).to_string(), "info,hyper=warn");
        let refused = admission.change(&gate, |levels| levels.set_target("", Level::Warn));
        assert!(refused.is_err());
        assert_eq!(admission.levels(&gate).to_string(), "info,hyper=warn", "a refused change changes nothing");
        assert!(admission.passes(&gate, 7, || panic!("it is still decided")));
    }

    #[test]
    fn a_signal_handler_within_a_change_waits_for_nothing() {
        let gate = Gate::without_rings(3);
        let admission = Admission::new(&gate, Levels::from("info,hyper=off"), None);
        let within = admission.locked(|_| {
            let changed = admission.change(&gate, |levels| levels.set_target("a", Level::Warn));
            (admission.passes(&gate, 7, || (Level::Error, "hyper")), changed)
        });
        assert_eq!(within, Some((true, Ok(()))));
        assert!(!admission.passes(&gate, 7, || (Level::Error, "hyper")), "nothing was decided meanwhile");
    }
}
