//! Periodic times: the flush interval of the records, and tasks that are done once a period.

use std::time::Duration;

/// How long records may wait in memory, and since when the oldest of them do.
pub(crate) struct FlushInterval {
    interval_ns: u64,
    /// A lower bound of when the oldest record left in a ring was first seen; it may have been taken since.
    left_since_ns: Option<u64>,
}

impl FlushInterval {
    pub(crate) fn new(interval: Duration) -> FlushInterval {
        FlushInterval { interval_ns: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX), left_since_ns: None }
    }

    /// Whether records that have waited since `since_ns` have waited for the interval.
    pub(crate) fn has_passed(&self, since_ns: u64, now_ns: u64) -> bool {
        now_ns.saturating_sub(since_ns) >= self.interval_ns
    }

    /// Notes that records have been left in a ring, which were first seen at `since_ns`.
    pub(crate) fn note_left(&mut self, since_ns: u64) {
        self.left_since_ns = Some(self.left_since_ns.map_or(since_ns, |earlier| earlier.min(since_ns)));
    }

    /// Returns whether records left in a ring have waited for the interval. Calls `oldest_left` only if the lower bound
    /// says so, because the oldest record may have been taken since; it returns since when the oldest record that is
    /// still left has waited.
    pub(crate) fn find_overdue(&mut self, now_ns: u64, oldest_left: impl FnOnce() -> Option<u64>) -> bool {
        if self.left_is_overdue(now_ns) {
            self.left_since_ns = oldest_left();
        }
        self.left_is_overdue(now_ns)
    }

    fn left_is_overdue(&self, now_ns: u64) -> bool {
        self.left_since_ns.is_some_and(|since_ns| self.has_passed(since_ns, now_ns))
    }
}

/// A task that is done once a period.
pub(crate) struct Every {
    period_ns: u64,
    /// When it was last done, on the monotonic clock.
    last_ns: u64,
}

impl Every {
    pub(crate) const fn new(period_ns: u64) -> Every {
        Every { period_ns, last_ns: 0 }
    }

    /// First due a period after `now_ns`.
    pub(crate) const fn after(period_ns: u64, now_ns: u64) -> Every {
        Every { period_ns, last_ns: now_ns }
    }

    /// If the task is due, notes the present time as its last. Returns whether it is due.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> bool {
        let is_due = now_ns.saturating_sub(self.last_ns) >= self.period_ns;
        if is_due {
            self.last_ns = now_ns;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_left_are_overdue_only_as_long_as_they_are_still_there() {
        let mut interval = FlushInterval::new(Duration::from_nanos(100));
        assert!(!interval.find_overdue(1_000, || unreachable!("nothing was left")));
        interval.note_left(50);
        interval.note_left(20);
        assert!(!interval.find_overdue(119, || unreachable!("the oldest has waited for 99")));
        assert!(interval.find_overdue(120, || Some(20)));
        assert!(!interval.find_overdue(120, || Some(50)), "the oldest was taken");
        assert!(!interval.find_overdue(149, || unreachable!("the next has waited for 99")));
        assert!(!interval.find_overdue(150, || None), "all were taken");
    }

    #[test]
    fn something_periodic_is_due_once_a_period() {
        let mut every = Every::new(10);
        assert!(every.take_due(1_000));
        assert!(!every.take_due(1_009));
        assert!(every.take_due(1_010) && !every.take_due(1_010));
        let mut later = Every::after(10, 1_000);
        assert!(!later.take_due(1_009) && later.take_due(1_010));
    }
}
