//! What the writer does when there is nothing to do: spin a little, yield, then sleep longer and longer.

use std::time::{Duration, Instant};

use crossbeam_utils::Backoff;

use crate::flush;

/// The first sleep. Shorter ones cost more in timers than they save in latency.
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// The longest sleep. A wake-up costs 5 to 50 µs of a core (the dearer figure in a virtual machine), 125 of them a second
/// less than 1 %.
const SLEEP_MAX: Duration = Duration::from_millis(8);

/// Up to this a sleep is as long as the quiet time before it; a longer one is only a part of that: 2 ms after a quarter of
/// a second, 8 ms after a whole one.
const SHORT_SLEEP_MAX: Duration = Duration::from_millis(1);
const QUIET_PART: u32 = 128;

/// The part of the flush interval that a record may wait until it is seen.
const INTERVAL_PART: u32 = 4;

/// Looks after a few records, with 1, 2, 4 and 8 pauses before them: about a microsecond. A flush may follow them.
const LOOKS_AFTER_FEW: u32 = 4;

/// How long the writer looks for the next flush after it has answered one: a caller that flushes each record comes back
/// within some microseconds, and would find the writer asleep, on a CPU that takes 20 to 50 µs to wake.
const AFTER_FLUSH: Duration = Duration::from_micros(20);

/// How long the writer has been idle.
pub(crate) struct Idle {
    backoff: Backoff,
    /// Looks left before the first sleep, if there was little work.
    looks_left: Option<u32>,
    /// Sleeps together since work was found.
    quiet: Duration,
    /// The shortest sleep that what was last found lets the writer have.
    calm: Duration,
    sleep_max: Duration,
    /// Whether somebody waits for a flush, and how many have asked for one so far.
    flushing: bool,
    asked: u64,
    /// Until when the writer looks again and again rather than sleep.
    attentive_until: Option<Instant>,
}

impl Idle {
    /// For a writer whose records may wait in memory for `flush_interval`.
    pub(crate) fn new(flush_interval: Duration) -> Idle {
        let sleep_max = (flush_interval / INTERVAL_PART).clamp(SLEEP_MIN, SLEEP_MAX);
        Idle {
            backoff: Backoff::new(),
            looks_left: None,
            quiet: Duration::ZERO,
            calm: Duration::ZERO,
            sleep_max,
            flushing: false,
            asked: 0,
            attentive_until: None,
        }
    }

    /// Work was found, and more of it will come any moment.
    pub(crate) fn reset(&mut self) {
        self.backoff.reset();
        self.looks_left = None;
        self.quiet = Duration::ZERO;
        self.calm = Duration::ZERO;
    }

    /// A few records were found, so few that the rings can be left alone for `calm`. Looking for the next ones at once
    /// would take them one by one, at the price of a wake-up each, and every look takes a cache line away from the thread
    /// that appends them: its next append, or the next few, are slower.
    pub(crate) fn reset_after_few(&mut self, calm: Duration) {
        self.reset();
        self.looks_left = Some(LOOKS_AFTER_FEW);
        self.calm = calm;
    }

    /// Tells whether somebody waits for a flush now, and how many have asked for one so far. As long as the latest caller
    /// looks for its answer, and a little after it got it, the writer does not sleep either.
    pub(crate) fn set_flushing(&mut self, flushing: bool, asked: u64) {
        if (flushing, asked) != (self.flushing, self.asked) {
            (self.flushing, self.asked) = (flushing, asked);
            let attention = if flushing { flush::ATTENTION } else { AFTER_FLUSH };
            self.attentive_until = Some(Instant::now() + attention);
        }
    }

    /// Nothing was found: spins or yields, or says how long to sleep.
    pub(crate) fn snooze(&mut self) -> Option<Duration> {
        if self.is_attentive(Instant::now) {
            std::thread::yield_now();
            return None;
        }
        match &mut self.looks_left {
            Some(0) => {}
            Some(left) => {
                *left -= 1;
                self.backoff.spin();
                return None;
            }
            None if self.backoff.is_completed() => {}
            None => {
                self.backoff.snooze();
                return None;
            }
        }
        let sleep = self.quiet.min(SHORT_SLEEP_MAX).max(self.quiet / QUIET_PART).max(self.calm);
        let sleep = sleep.clamp(SLEEP_MIN, self.sleep_max);
        self.quiet = self.quiet.saturating_add(sleep);
        Some(sleep)
    }

    fn is_attentive(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let Some(until) = self.attentive_until else { return false };
        let attentive = now() < until;
        if !attentive {
            self.attentive_until = None;
        }
        attentive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sleeps of a writer that finds nothing, until it has slept for `time`.
    fn sleeps_within(idle: &mut Idle, time: Duration) -> Vec<Duration> {
        let mut slept = Duration::ZERO;
        let mut sleeps = Vec::new();
        while slept < time {
            if let Some(sleep) = idle.snooze() {
                slept += sleep;
                sleeps.push(sleep);
            }
        }
        sleeps
    }

    #[test]
    fn sleeps_grow_to_milliseconds_and_begin_anew_when_there_is_work() {
        let mut idle = Idle::new(Duration::from_millis(100));
        let second = sleeps_within(&mut idle, Duration::from_secs(1));
        assert!(second.is_sorted() && second[0] == SLEEP_MIN, "{second:?}");
        assert!(second.len() < 500, "{} wake-ups in the first second", second.len());
        let next = sleeps_within(&mut idle, Duration::from_secs(1));
        assert!(next.len() < 150, "{} wake-ups in the next one", next.len());
        idle.reset();
        assert!(idle.snooze().is_none(), "after work it looks again at once");
        idle.reset_after_few(Duration::ZERO);
        assert_eq!(sleeps_within(&mut idle, SLEEP_MIN), [SLEEP_MIN]);
        let calm = 3 * SLEEP_MIN;
        idle.reset_after_few(calm);
        assert_eq!(sleeps_within(&mut idle, 2 * calm), [calm, calm], "as long as the records let it, at least");
    }

    #[test]
    fn attention_lasts_as_long_as_a_caller_looks_and_a_little_after() {
        let mut idle = Idle::new(Duration::from_millis(100));
        assert!(!idle.is_attentive(Instant::now), "nobody waits");
        for (flushing, asked) in [(true, 1), (true, 2), (false, 2), (false, 3)] {
            idle.set_flushing(flushing, asked);
            let until = idle.attentive_until.expect("somebody waits, or has just waited");
            idle.set_flushing(flushing, asked);
            assert_eq!(idle.attentive_until, Some(until), "a further turn of the same flush does not prolong it");
            assert!(idle.is_attentive(|| until - Duration::from_nanos(1)));
            assert!(!idle.is_attentive(|| until), "it ends");
            assert!(!idle.is_attentive(|| until - Duration::from_nanos(1)), "and does not come back");
        }
        assert_eq!(sleeps_within(&mut idle, SLEEP_MIN), [SLEEP_MIN], "it sleeps as ever");
    }

    #[test]
    fn no_sleep_keeps_a_record_for_much_of_its_interval() {
        for interval in [Duration::from_millis(1), Duration::from_millis(10), Duration::from_secs(3600)] {
            let sleeps = sleeps_within(&mut Idle::new(interval), Duration::from_secs(2));
            assert!(sleeps.iter().all(|&sleep| sleep <= (interval / 4).min(SLEEP_MAX)), "{interval:?}");
        }
    }
}
