//! How much memory the rings of one log use together and may use; and the same for all logs of an engine.
//!
//! A log takes memory from its own budget and from the engine's, or from neither.
//!
//! A window counts from the moment it is made. Of a reserve, only the chunks count that were entered. Address space
//! does not count.

use std::sync::Arc;

use crate::sync::AtomicU64;
use crate::sync::Ordering::Relaxed;
use crate::sys;

/// The rings of one log may take one part in this many of a control group's memory limit. The program needs the rest,
/// and the kernel kills a process that exceeds the limit.
const PART_OF_A_GROUP: u64 = 4;

/// An account of ring memory: one log's, or an engine's.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    limit: u64,
    /// The memory limit of the process's control group, if `limit` was lowered because of it.
    group_bytes: Option<u64>,
    /// How many eighths of the limit, at its end, are kept for windows and for the chunks of severe records.
    severe_only_eighths: u32,
    /// The budget of the engine.
    shared: Option<Arc<Budget>>,
}

/// A limit on the memory of rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BudgetLimit {
    /// The log's `rings_bytes_max`.
    Log,
    /// The engine's `rings_bytes_max`.
    Engine,
    /// A part of the memory limit of the process's control group.
    ControlGroup,
}

impl Budget {
    /// An unused budget of `limit` bytes, of which the last `severe_only_eighths` are kept for severe records.
    pub(crate) fn new(limit: u64, severe_only_eighths: u32) -> Budget {
        Budget { used: AtomicU64::new(0), limit, group_bytes: None, severe_only_eighths, shared: None }
    }

    /// Makes this the budget of one log, which takes everything from `shared` too.
    pub(crate) fn part_of(mut self, shared: Option<Arc<Budget>>) -> Budget {
        self.shared = shared;
        self
    }

    /// Like [`new`](Self::new), but with at most a part of the memory limit of the process's control group. The budget
    /// is never less than `at_least` bytes.
    pub(crate) fn within_group(limit: u64, at_least: u64, severe_only_eighths: u32) -> Budget {
        Budget::within(sys::limits::group_memory_bytes(), limit, at_least, severe_only_eighths)
    }

    fn within(group_bytes: Option<u64>, limit: u64, at_least: u64, severe_only_eighths: u32) -> Budget {
        let bounded = group_bytes.map_or(limit, |bytes| (bytes / PART_OF_A_GROUP).max(at_least).min(limit));
        let group_bytes = group_bytes.filter(|_| bounded < limit);
        let mut budget = Budget::new(bounded, severe_only_eighths);
        budget.group_bytes = group_bytes;
        budget
    }

    /// Takes `bytes`, if the limits allow it. Returns whether they do.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        self.take_leaving(bytes, 0)
    }

    /// Takes `bytes` even beyond the limits: for the one ring that must not be refused.
    pub(crate) fn take_beyond(&self, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
        if let Some(shared) = &self.shared {
            shared.take_beyond(bytes);
        }
    }

    /// Takes `bytes` of a reserve for a record, which is `severe` or not. Returns whether the limits allow it.
    pub(super) fn take_chunks(&self, bytes: u64, severe: bool) -> bool {
        self.take_leaving(bytes, if severe { 0 } else { self.severe_only_eighths })
    }

    /// Whether [`take_chunks`](Self::take_chunks) would take `bytes` for an ordinary record now.
    pub(super) fn has_room_for_chunks(&self, bytes: u64) -> bool {
        self.has_room_leaving(bytes, self.severe_only_eighths)
    }

    /// Whether [`take`](Self::take) would take `bytes` now, and leave at most `bytes_max` in use.
    pub(crate) fn has_room_within(&self, bytes: u64, bytes_max: u64) -> bool {
        self.used().saturating_add(bytes) <= bytes_max && self.has_room_leaving(bytes, 0)
    }

    /// Whether the engine's budget is so far used that no log should keep rings that it does not need.
    pub(crate) fn is_crowded(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.used() > shared.limit / 2)
    }

    /// The limit that refuses `bytes`, and how many bytes it is: the engine's if this budget's own does not.
    pub(crate) fn refusing(&self, bytes: u64) -> (BudgetLimit, u64) {
        let (budget, configured) = match &self.shared {
            Some(shared) if self.used().saturating_add(bytes) <= self.limit => (&**shared, BudgetLimit::Engine),
            _ => (self, BudgetLimit::Log),
        };
        (if budget.group_bytes.is_some() { BudgetLimit::ControlGroup } else { configured }, budget.limit)
    }

    fn has_room_leaving(&self, bytes: u64, severe_only_eighths: u32) -> bool {
        self.used().saturating_add(bytes) <= self.limit_leaving(severe_only_eighths)
            && self.shared.as_ref().is_none_or(|shared| shared.has_room_leaving(bytes, severe_only_eighths))
    }

    fn take_leaving(&self, bytes: u64, severe_only_eighths: u32) -> bool {
        // Relaxed: the count is all that is needed.
        let before = self.used.fetch_add(bytes, Relaxed);
        let is_within = before.saturating_add(bytes) <= self.limit_leaving(severe_only_eighths)
            && self.shared.as_ref().is_none_or(|shared| shared.take_leaving(bytes, severe_only_eighths));
        if !is_within {
            self.used.fetch_sub(bytes, Relaxed);
        }
        is_within
    }

    /// The limit without its last `severe_only_eighths`.
    fn limit_leaving(&self, severe_only_eighths: u32) -> u64 {
        self.limit - self.limit / 8 * u64::from(severe_only_eighths)
    }

    /// Gives back `bytes` that were taken.
    pub(crate) fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "{bytes} bytes of ring memory are given back, {before} were taken");
        if let Some(shared) = &self.shared {
            shared.give_back(bytes);
        }
    }

    /// Bytes taken. They include, for a moment, those of a take that is being refused.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Bytes that may be taken.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The budget of the engine, if this is that of a log on one.
    pub(crate) fn shared(&self) -> Option<&Budget> {
        self.shared.as_deref()
    }

    /// The memory limit of the process's control group, if [`limit`](Self::limit) was lowered because of it.
    pub(crate) fn group_bytes(&self) -> Option<u64> {
        self.group_bytes
    }
}

impl Drop for Budget {
    /// The last ring is gone. Give back what the log took from the engine's budget.
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.give_back(self.used());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_small_control_group_lowers_the_limit_but_not_below_one_ring() {
        let within = |group| {
            let budget = Budget::within(group, 1000, 100, 0);
            (budget.limit(), budget.group_bytes())
        };
        assert_eq!(within(None), (1000, None));
        assert_eq!(within(Some(8000)), (1000, None));
        assert_eq!(within(Some(2000)), (500, Some(2000)));
        assert_eq!(within(Some(12)), (100, Some(12)));
    }

    #[test]
    fn what_a_log_takes_it_takes_of_the_engine_too_or_not_at_all() {
        let engine = Arc::new(Budget::new(1000, 0));
        let [one, two] = [600, 800].map(|limit| Budget::new(limit, 1).part_of(Some(Arc::clone(&engine))));
        assert!(one.take(500) && two.take(300));
        assert!(!one.take(150) && one.refusing(150) == (BudgetLimit::Log, 600), "beyond its own");
        assert!(!two.take(250) && two.refusing(250) == (BudgetLimit::Engine, 1000), "beyond the engine's");
        assert_eq!((one.used(), two.used(), engine.used()), (500, 300, 800));
        // An eighth of the engine's is kept for severe records, as of the log's own.
        assert!(!two.take_chunks(100, false) && two.take_chunks(100, true));
        assert!(two.is_crowded() && !two.has_room_within(150, 800) && two.has_room_within(100, 800));
        one.give_back(500);
        assert_eq!((one.used(), engine.used()), (0, 400));
        assert!(!two.is_crowded() && two.take_chunks(300, false));
        drop(two);
        assert_eq!(engine.used(), 0);
    }

    #[test]
    fn the_last_part_is_for_windows_and_severe_records() {
        let budget = Budget::new(800, 1);
        assert!(budget.take_chunks(700, false) && !budget.take_chunks(1, false));
        assert!(!budget.has_room_for_chunks(1) && budget.take_chunks(60, true) && budget.take(40));
        assert!(!budget.take(1) && !budget.take_chunks(1, true) && !budget.take(u64::MAX));
        assert_eq!((budget.used(), budget.limit()), (800, 800));
        budget.give_back(101);
        assert!(budget.has_room_for_chunks(1) && budget.take_chunks(1, false) && !budget.has_room_for_chunks(1));
    }
}
