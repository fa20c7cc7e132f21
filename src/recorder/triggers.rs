//! When snapshots are taken without a call: after a record of a chosen level, at a panic, or at intervals.
//!
//! An append only sets a flag. The writer looks at the flag once a turn, and the thread that prepares segments takes
//! the snapshot. So neither the producer nor the writer waits for it.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::level::Level;
use crate::sync::lock;

/// Grave records cause at most one snapshot in this time.
const ONCE_IN_NS: u64 = 1_000_000_000;

/// When snapshots are taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TriggerRules {
    /// After a record of this level, or of a more severe one.
    pub(crate) on: Option<Level>,
    pub(crate) on_panic: bool,
    pub(crate) every: Option<Duration>,
}

/// Why a snapshot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// After a record of this level.
    Level(Level),
    /// After the panics that asked, up to this number.
    Panic(u64),
    Time,
}

impl Reason {
    /// The word in the snapshot's name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Reason::Level(level) => level.as_str(),
            Reason::Panic(_) => "panic",
            Reason::Time => "periodic",
        }
    }
}

/// The requests for snapshots of one log.
pub(crate) struct Triggers {
    rules: TriggerRules,
    /// The level of the record that asked, as a number; 0 if none did.
    level_asked: AtomicU8,
    /// How many panics have asked, and how many of these requests have been taken. Only the writer changes the second.
    panics_asked: AtomicU64,
    panics_taken: AtomicU64,
    /// A snapshot was ordered and is not done.
    under_way: AtomicBool,
    /// The earliest monotonic times of the next snapshot after a record of a chosen level, and of the next one by
    /// interval. Only the writer uses them.
    level_due_ns: AtomicU64,
    time_due_ns: AtomicU64,
    /// For how many of the panics' requests the snapshot is done.
    panics_done: Mutex<u64>,
    panic_done: Condvar,
}

impl Triggers {
    pub(super) fn new(rules: TriggerRules) -> Triggers {
        Triggers {
            rules,
            level_asked: AtomicU8::new(0),
            panics_asked: AtomicU64::new(0),
            panics_taken: AtomicU64::new(0),
            under_way: AtomicBool::new(false),
            level_due_ns: AtomicU64::new(0),
            time_due_ns: AtomicU64::new(0),
            panics_done: Mutex::new(0),
            panic_done: Condvar::new(),
        }
    }

    /// Whether a record of `level` asks for a snapshot.
    pub(crate) fn is_asked_by(&self, level: Level) -> bool {
        self.rules.on.is_some_and(|least_severe| level <= least_severe)
    }

    /// Asks for a snapshot if a record of `level`, which was just appended, is to do that. Returns whether it is. Makes
    /// no system call.
    pub(crate) fn note_level(&self, level: Level) -> bool {
        let asks = self.is_asked_by(level);
        if asks {
            // Acquire and release: _snapshot asked_. An exchange, as in `Shared::ask_the_writer`.
            self.level_asked.swap(level as u8, AcqRel);
        }
        asks
    }

    /// Asks for a snapshot at a panic, if the rules say so. Returns the number of this request, for
    /// [`wait_for_panic`](Self::wait_for_panic). The caller wakes the writer.
    pub(crate) fn ask_for_panic(&self) -> Option<u64> {
        // Acquire and release: _snapshot asked_.
        self.rules.on_panic.then(|| self.panics_asked.fetch_add(1, AcqRel) + 1)
    }

    /// Waits until a snapshot that began after request `asked` is done, at most for `limit`. Returns whether it is
    /// done.
    pub(crate) fn wait_for_panic(&self, asked: u64, limit: Duration) -> bool {
        let guard = lock(&self.panics_done);
        let waited = self.panic_done.wait_timeout_while(guard, limit, |done| *done < asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0 >= asked
    }

    /// The reason of the snapshot that is due now, if one is. It is then under way until
    /// [`note_done`](Self::note_done). The writer calls this once a turn, with `ending` in the last turn.
    pub(crate) fn take_due(&self, now_ns: u64, ending: bool) -> Option<Reason> {
        let is_level_due = self.level_asked.load(Relaxed) != 0 && (ending || now_ns >= self.level_due_ns.load(Relaxed));
        // Acquire: _snapshot asked_.
        let panics_asked = self.panics_asked.load(Acquire);
        let is_panic_due = panics_asked > self.panics_taken.load(Relaxed);
        let is_time_due = self.is_due_or_begin(now_ns) && !ending;
        // In the last turn a snapshot may be under way: the same thread takes the next one after it.
        // Acquire: _snapshot taken_.
        if !(is_level_due || is_panic_due || is_time_due) || (!ending && self.under_way.load(Acquire)) {
            return None;
        }
        self.under_way.store(true, Relaxed);
        if let Some(every) = self.rules.every {
            self.time_due_ns.store(now_ns.saturating_add(ns_of(every)), Relaxed);
        }
        let mut reason = Reason::Time;
        if is_level_due {
            self.level_due_ns.store(now_ns.saturating_add(ONCE_IN_NS), Relaxed);
            // Acquire: _snapshot asked_.
            reason = Level::from_u8(self.level_asked.swap(0, AcqRel)).map_or(reason, Reason::Level);
        }
        if is_panic_due {
            self.panics_taken.store(panics_asked, Relaxed);
            reason = Reason::Panic(panics_asked);
        }
        Some(reason)
    }

    /// Whether the interval is over. The writer's first turn begins it.
    fn is_due_or_begin(&self, now_ns: u64) -> bool {
        let Some(every) = self.rules.every else { return false };
        let due_ns = self.time_due_ns.load(Relaxed);
        if due_ns == 0 {
            self.time_due_ns.store(now_ns.saturating_add(ns_of(every)), Relaxed);
        }
        due_ns != 0 && now_ns >= due_ns
    }

    /// Notes that the snapshot under way was taken, or failed.
    pub(super) fn note_done(&self, reason: Reason) {
        if let Reason::Panic(asked) = reason {
            *lock(&self.panics_done) = asked;
            self.panic_done.notify_all();
        }
        // Acquire and release: _snapshot taken_. The writer orders the next snapshot after this one.
        self.under_way.swap(false, AcqRel);
    }
}

fn ns_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn triggers(rules: TriggerRules) -> Triggers {
        Triggers::new(rules)
    }

    #[test]
    fn severe_records_ask_once_a_second_and_none_is_forgotten() {
        let triggers = triggers(TriggerRules { on: Some(Level::Warn), ..TriggerRules::default() });
        assert!(triggers.is_asked_by(Level::Error) && triggers.is_asked_by(Level::Warn));
        assert!(!triggers.is_asked_by(Level::Info));
        assert_eq!(triggers.take_due(SECOND, false), None);
        triggers.note_level(Level::Warn);
        assert_eq!(triggers.take_due(SECOND, false), Some(Reason::Level(Level::Warn)));
        triggers.note_level(Level::Error);
        assert_eq!(triggers.take_due(2 * SECOND, false), None, "one is under way");
        triggers.note_done(Reason::Level(Level::Warn));
        assert_eq!(triggers.take_due(2 * SECOND - 1, false), None);
        assert_eq!(triggers.take_due(2 * SECOND, false), Some(Reason::Level(Level::Error)));
        triggers.note_done(Reason::Level(Level::Error));
        assert_eq!(triggers.take_due(9 * SECOND, false), None);
        triggers.note_level(Level::Error);
        triggers.note_level(Level::Error);
        assert!(triggers.take_due(9 * SECOND, false).is_some());
        triggers.note_done(Reason::Level(Level::Error));
        triggers.note_level(Level::Error);
        assert!(
            triggers.take_due(9 * SECOND + 1, false).is_none() && triggers.take_due(9 * SECOND + 1, true).is_some()
        );
    }

    #[test]
    fn what_was_asked_while_one_is_under_way_is_due_when_the_log_ends() {
        let triggers = triggers(TriggerRules { on: Some(Level::Warn), ..TriggerRules::default() });
        triggers.note_level(Level::Warn);
        assert!(triggers.take_due(SECOND, false).is_some());
        triggers.note_level(Level::Error);
        assert_eq!(triggers.take_due(9 * SECOND, false), None);
        assert_eq!(triggers.take_due(9 * SECOND, true), Some(Reason::Level(Level::Error)));
    }

    #[test]
    fn time_counts_from_the_last_snapshot() {
        let every = Some(Duration::from_secs(10));
        let triggers = triggers(TriggerRules { on: Some(Level::Error), every, ..TriggerRules::default() });
        assert_eq!(triggers.take_due(5 * SECOND, false), None);
        assert_eq!(triggers.take_due(15 * SECOND - 1, false), None);
        assert_eq!(triggers.take_due(15 * SECOND, false), Some(Reason::Time));
        triggers.note_done(Reason::Time);
        triggers.note_level(Level::Error);
        assert_eq!(triggers.take_due(20 * SECOND, false), Some(Reason::Level(Level::Error)));
        triggers.note_done(Reason::Level(Level::Error));
        assert_eq!(triggers.take_due(25 * SECOND, false), None);
        assert_eq!(triggers.take_due(30 * SECOND, true), None, "a log that ends");
        assert_eq!(triggers.take_due(30 * SECOND, false), Some(Reason::Time));
    }

    #[test]
    fn a_panic_waits_for_its_own_snapshot() {
        assert_eq!(triggers(TriggerRules::default()).ask_for_panic(), None);
        let triggers = triggers(TriggerRules { on_panic: true, ..TriggerRules::default() });
        let is_done = |asked| triggers.wait_for_panic(asked, Duration::ZERO);
        let first = triggers.ask_for_panic().expect("a snapshot");
        assert!(!is_done(first));
        let of_first = triggers.take_due(1, false).expect("due");
        // While the first one's snapshot is written, two more ask: theirs begins after that, and is one.
        let [second, third] = [(); 2].map(|()| triggers.ask_for_panic().expect("a snapshot"));
        assert_eq!(triggers.take_due(1, false), None, "one is under way");
        triggers.note_done(of_first);
        assert!(is_done(first) && !is_done(second));
        let of_others = triggers.take_due(1, false).expect("due");
        std::thread::scope(|scope| {
            scope.spawn(|| triggers.note_done(of_others));
            assert!(triggers.wait_for_panic(second, Duration::MAX));
        });
        assert!(is_done(third));
        assert_eq!(triggers.take_due(1, false), None);
    }
}
