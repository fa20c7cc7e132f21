//! The memory that the rings of one log take together, and may take.
//!
//! A window counts from its making, a reserve by the chunks of it that were entered. Address space never counts.

use crate::sync::AtomicU64;
use crate::sync::Ordering::Relaxed;
use crate::sys;

/// The part of a control group's memory limit that the rings of one log may take: the rest is the service's, and what
/// exceeds the limit ends the process.
const PART_OF_A_GROUP: u64 = 4;

/// One log's account of ring memory.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    limit: u64,
    /// The memory limit of the process's control group, if `limit` follows from it.
    group_bytes: Option<u64>,
    /// The last bytes of the limit, which only windows and grave records' chunks may take.
    kept_bytes: u64,
}

impl Budget {
    /// Nothing is used of `limit` bytes, of which the last `kept_eighths` are kept for grave records.
    pub(crate) fn new(limit: u64, kept_eighths: u32) -> Budget {
        let kept_bytes = limit / 8 * u64::from(kept_eighths);
        Budget { used: AtomicU64::new(0), limit, group_bytes: None, kept_bytes }
    }

    /// As [`new`](Self::new), but no more than a part of what the process's control group allows; in any case
    /// `at_least` bytes.
    pub(crate) fn within_group(limit: u64, at_least: u64, kept_eighths: u32) -> Budget {
        Budget::within(sys::limits::group_memory_bytes(), limit, at_least, kept_eighths)
    }

    fn within(group_bytes: Option<u64>, limit: u64, at_least: u64, kept_eighths: u32) -> Budget {
        let bounded = group_bytes.map_or(limit, |bytes| (bytes / PART_OF_A_GROUP).max(at_least).min(limit));
        let group_bytes = group_bytes.filter(|_| bounded < limit);
        Budget { group_bytes, ..Budget::new(bounded, kept_eighths) }
    }

    /// Takes `bytes`, if the limit allows that. Returns whether it does.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        self.take_within(bytes, self.limit)
    }

    /// Takes `bytes`, whatever the limit: for the one ring that must not be refused.
    pub(crate) fn take_beyond(&self, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
    }

    /// Takes `bytes` of a reserve for a record that is `grave` or is not.
    pub(super) fn take_chunks(&self, bytes: u64, grave: bool) -> bool {
        self.take_within(bytes, self.limit - if grave { 0 } else { self.kept_bytes })
    }

    /// Whether [`take_chunks`](Self::take_chunks) would take `bytes` for an ordinary record now.
    pub(super) fn has_room_for_chunks(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.limit - self.kept_bytes
    }

    fn take_within(&self, bytes: u64, limit: u64) -> bool {
        // Relaxed: the count carries nothing but itself.
        let is_within = self.used.fetch_add(bytes, Relaxed).saturating_add(bytes) <= limit;
        if !is_within {
            self.used.fetch_sub(bytes, Relaxed);
        }
        is_within
    }

    /// Gives `bytes` back that were taken.
    pub(crate) fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "{bytes} bytes of ring memory are given back, {before} were taken");
    }

    /// Bytes taken. While a take is refused, for a moment those too.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Bytes that may be taken.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The memory limit of the process's control group, if [`limit`](Self::limit) follows from it.
    pub(crate) fn group_bytes(&self) -> Option<u64> {
        self.group_bytes
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
    fn the_last_part_is_for_windows_and_grave_records() {
        let budget = Budget::new(800, 1);
        assert!(budget.take_chunks(700, false) && !budget.take_chunks(1, false));
        assert!(!budget.has_room_for_chunks(1) && budget.take_chunks(60, true) && budget.take(40));
        assert!(!budget.take(1) && !budget.take_chunks(1, true) && !budget.take(u64::MAX));
        assert_eq!((budget.used(), budget.limit()), (800, 800));
        budget.give_back(101);
        assert!(budget.has_room_for_chunks(1) && budget.take_chunks(1, false) && !budget.has_room_for_chunks(1));
    }
}
