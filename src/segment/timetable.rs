//! When the present segment ends by the wall clock, which may be set at any time. Used by
//! [`Segments`](super::Segments).

use crate::clock::Clock;
use crate::rotate_at::{RotateAt, Times};

/// The wall-clock time at which the present segment ends.
pub(super) struct Timetable {
    clock: Clock,
    times: Times,
    /// In nanoseconds since 1970.
    due_ns: i64,
}

impl Timetable {
    pub(super) fn new(at: RotateAt, clock: Clock) -> Timetable {
        Timetable { clock, times: Times::of(at), due_ns: i64::MAX }
    }

    /// A note for the log if the times are not those that were asked for.
    pub(super) fn note(&self) -> Option<String> {
        self.times.note()
    }

    /// Notes that a segment has begun: it ends at the next time of the timetable.
    pub(super) fn begin(&mut self) {
        self.due_ns = self.times.after(self.clock.unix_ns());
    }

    /// Looks at the clock. Returns whether the present segment is due. If the clock was set forward past its time, it
    /// is. If the clock was set back, so that the time is far away now, the segment ends at the next time by the new
    /// clock.
    pub(super) fn observe_due(&mut self) -> bool {
        let now_ns = self.clock.unix_ns();
        // A small step back, to before the segment began, changes nothing for up to one more period. Otherwise a clock
        // that is corrected by a second would end two segments.
        let is_far = self.due_ns != i64::MAX && self.due_ns.saturating_sub(now_ns) > 2 * self.times.longest_ns();
        if is_far {
            self.due_ns = self.times.after(now_ns);
        }
        now_ns >= self.due_ns
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::clock::ManualClock;

    const HOUR_NS: i64 = 3_600_000_000_000;
    const SECOND_NS: i64 = 1_000_000_000;

    #[test]
    fn steps_of_the_clock_end_a_segment_once_or_move_its_end() {
        let clock: &ManualClock = Box::leak(Box::default());
        let set = |unix_ns: i64| clock.unix_ns.store(unix_ns, Relaxed);
        let mut timetable = Timetable::new(RotateAt::Hourly, Clock::manual(clock));
        assert!(!timetable.observe_due(), "no segment has begun");
        set(100 * HOUR_NS + SECOND_NS);
        timetable.begin();
        assert!(!timetable.observe_due());
        set(100 * HOUR_NS - SECOND_NS);
        assert!(!timetable.observe_due(), "a small step back");
        set(100 * HOUR_NS);
        assert!(!timetable.observe_due(), "the time at which it began comes a second time");
        set(101 * HOUR_NS);
        assert!(timetable.observe_due());
        timetable.begin();
        set(500 * HOUR_NS);
        assert!(timetable.observe_due(), "a step forward over many times");
        timetable.begin();
        assert!(!timetable.observe_due(), "ends one segment");
        set(20 * HOUR_NS + SECOND_NS);
        assert!(!timetable.observe_due(), "a large step back");
        set(21 * HOUR_NS);
        assert!(timetable.observe_due(), "is no reason to wait until the old time");
    }
}
