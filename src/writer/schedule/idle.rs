//! How long the writer thread rests: it spins a little, yields, then sleeps for longer and longer times.

use std::time::{Duration, Instant};

use crossbeam_utils::Backoff;

use super::allowance::Turn;
use crate::flush;

/// The first sleep. Shorter ones cost more in timers than they save in latency.
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// The longest sleep. A wake-up costs 5 to 50 µs of a core (the higher figure in a virtual machine): at 100 a second,
/// at most half a percent.
const SLEEP_MAX: Duration = Duration::from_millis(10);

/// The longest sleep if a turn takes long: one over a hundred logs with eight rings each takes 200 µs, mostly for cache
/// misses. A sleep is then this many times as long as the turns before it, which take one percent of a core.
const LONG_TURN_SLEEP_MAX: Duration = Duration::from_millis(40);
const SLEEP_TO_TURNS: u32 = 100;

/// How often the writer looks, while it sleeps, whether a record has asked for a flush or a snapshot, if records may.
/// An append wakes nobody. A look reads one flag; a turn over all logs and rings would take much longer.
const REQUEST_LOOK: Duration = Duration::from_millis(1);

/// A sleep is as long as the quiet time before it, up to 1 ms; beyond that, 1/128 of the quiet time: 2 ms after a
/// quarter of a second, 10 ms after 1.3 s.
const SHORT_SLEEP_MAX: Duration = Duration::from_millis(1);
const QUIET_PART: u32 = 128;

/// A record may wait a quarter of the flush interval until the writer sees it.
const INTERVAL_PART: u32 = 4;

/// How long the writer waits for the device if it can take no record before a block has completed. Other work may be
/// late by this time: a close's deadline, a retry after an error, a check for a deleted file.
const DEVICE_WAIT: Duration = Duration::from_millis(2);

/// How often the writer looks again after it found a few records, with 1, 2, 4 and 8 pauses in between: about a
/// microsecond in all. A flush may follow the records.
const LOOKS_AFTER_FEW: u32 = 4;

/// How long the writer looks for the next flush after it has answered one. A caller that flushes each record comes back
/// within some microseconds; a sleeping writer would take 20 to 50 µs to wake.
const AFTER_FLUSH: Duration = Duration::from_micros(20);

/// How long the writer has been idle.
#[derive(Default)]
pub(crate) struct Idle {
    backoff: Backoff,
    /// Looks left before the first sleep, after a turn with little work.
    looks_left: Option<u32>,
    /// All sleeps since the last work, added up.
    quiet: Duration,
    /// The shortest sleep that the rings allow after the last turn that found records.
    allowed: Duration,
    sleep_max: Duration,
    /// The longest sleep if a turn takes long.
    long_turn_sleep_max: Duration,
    /// Whether records may ask for a flush or a snapshot.
    records_may_ask: bool,
    /// When the last sleep ended, if no work was found since.
    woken: Option<Instant>,
    /// Whether somebody waits for a flush, and how many flushes have been asked for.
    flushing: bool,
    asked: u64,
    /// Until this time the writer looks for a flush instead of sleeping.
    attentive_until: Option<Instant>,
}

impl Idle {
    /// Sets the limits for all logs: their records may wait in memory for `flush_interval` at most, and may ask for a
    /// flush or a snapshot if `records_may_ask`.
    pub(crate) fn set_limits(&mut self, flush_interval: Duration, records_may_ask: bool) {
        let until_late = flush_interval / INTERVAL_PART;
        self.sleep_max = until_late.clamp(SLEEP_MIN, SLEEP_MAX);
        self.long_turn_sleep_max = until_late.clamp(SLEEP_MIN, LONG_TURN_SLEEP_MAX);
        self.records_may_ask = records_may_ask;
        // A log has come or gone: there may be work.
        self.reset(None, Duration::ZERO);
    }

    /// Notes whether somebody waits for a flush now, and how many flushes have been asked for. The writer does not
    /// sleep as long as the latest caller yields for its answer, nor for a short time after it got it.
    pub(crate) fn set_flushing(&mut self, flushing: bool, asked: u64) {
        if (flushing, asked) != (self.flushing, self.asked) {
            (self.flushing, self.asked) = (flushing, asked);
            let attention = if flushing { flush::CALLER_YIELDS } else { AFTER_FLUSH };
            self.attentive_until = Some(Instant::now() + attention);
        }
    }

    /// Rests after a turn: does nothing, spins or yields, or returns how long to sleep. If the writer only
    /// `awaits_device`, it sleeps long: the end of a write wakes it, and a timer that runs out just before would only
    /// cost time.
    pub(crate) fn rest(&mut self, turn: Turn, awaits_device: impl FnOnce() -> bool) -> Option<Duration> {
        match turn {
            // More work will come any moment.
            Turn::Worked => self.reset(None, Duration::ZERO),
            // To look for more records at once would take them one by one, with a wake-up for each. And each look takes
            // a cache line from the appending thread, whose next few appends are slower.
            Turn::FoundFew(allowed) => self.reset(Some(LOOKS_AFTER_FEW), allowed),
            Turn::Idle => {
                let sleep = self.snooze()?;
                return Some(if awaits_device() { DEVICE_WAIT.max(sleep) } else { sleep });
            }
        }
        None
    }

    /// How much of a `sleep` may pass before the writer looks whether a record has asked for something.
    pub(crate) fn until_look(&self, sleep: Duration) -> Duration {
        if self.records_may_ask { sleep.min(REQUEST_LOOK) } else { sleep }
    }

    /// Sleeps for `time`, or until a record has asked for something, by calls of `park`, which returns `false` if
    /// something has ended it early. `is_asked` takes the request.
    pub(crate) fn sleep(&self, time: Duration, is_asked: impl Fn() -> bool, mut park: impl FnMut(Duration) -> bool) {
        let mut left = time;
        while !left.is_zero() {
            let part = self.until_look(left);
            if self.records_may_ask && is_asked() || !park(part) {
                break;
            }
            left -= part;
        }
    }

    /// Notes that a sleep has ended.
    pub(crate) fn note_woken(&mut self, now: Instant) {
        self.woken = Some(now);
    }

    /// Work was found: the quiet time starts again.
    fn reset(&mut self, looks_left: Option<u32>, allowed: Duration) {
        self.backoff.reset();
        self.quiet = Duration::ZERO;
        self.woken = None;
        (self.looks_left, self.allowed) = (looks_left, allowed);
    }

    /// Nothing was found: spins or yields, or returns how long to sleep.
    fn snooze(&mut self) -> Option<Duration> {
        self.end_attention(Instant::now);
        if self.attentive_until.is_some() {
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
        let sleep = self.quiet.min(SHORT_SLEEP_MAX).max(self.quiet / QUIET_PART).max(self.allowed);
        let turns = self.woken.map_or(Duration::ZERO, |woken| woken.elapsed());
        let longest = turns.saturating_mul(SLEEP_TO_TURNS).clamp(self.sleep_max, self.long_turn_sleep_max);
        let sleep = sleep.clamp(SLEEP_MIN, longest);
        self.quiet = self.quiet.saturating_add(sleep);
        Some(sleep)
    }

    /// Ends the attention once its time has passed. The clock is read only while there is some.
    fn end_attention(&mut self, now: impl FnOnce() -> Instant) {
        if self.attentive_until.is_some_and(|until| now() >= until) {
            self.attentive_until = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(flush_interval: Duration, records_may_ask: bool) -> Idle {
        let mut idle = Idle::default();
        idle.set_limits(flush_interval, records_may_ask);
        idle
    }

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
    fn sleeps_grow_to_milliseconds_and_start_short_again_after_work() {
        let mut idle = idle(Duration::from_millis(100), false);
        let second = sleeps_within(&mut idle, Duration::from_secs(1));
        assert!(second.is_sorted() && second[0] == SLEEP_MIN, "{second:?}");
        assert!(second.len() < 500, "{} wake-ups in the first second", second.len());
        let next = sleeps_within(&mut idle, Duration::from_secs(1));
        assert!(next.len() < 150, "{} wake-ups in the next second", next.len());
        idle.reset(None, Duration::ZERO);
        assert!(idle.snooze().is_none(), "after work it looks again at once");
        idle.reset(Some(LOOKS_AFTER_FEW), Duration::ZERO);
        assert_eq!(sleeps_within(&mut idle, SLEEP_MIN), [SLEEP_MIN]);
        let allowed = 3 * SLEEP_MIN;
        idle.reset(Some(LOOKS_AFTER_FEW), allowed);
        assert_eq!(sleeps_within(&mut idle, 2 * allowed), [allowed, allowed], "at least as long as the rings allow");
    }

    #[test]
    fn attention_lasts_as_long_as_a_caller_yields_and_a_little_after() {
        let mut idle = idle(Duration::from_millis(100), false);
        assert!(idle.attentive_until.is_none(), "nobody waits");
        for (flushing, asked) in [(true, 1), (true, 2), (false, 2), (false, 3)] {
            idle.set_flushing(flushing, asked);
            let until = idle.attentive_until.expect("somebody waits, or has just waited");
            idle.set_flushing(flushing, asked);
            assert_eq!(idle.attentive_until, Some(until), "a further turn of the same flush does not prolong it");
            for (now, attentive) in [
                (until - Duration::from_nanos(1), true),
                (until, false),
                // It does not come back.
                (until - Duration::from_nanos(1), false),
            ] {
                idle.end_attention(|| now);
                assert_eq!(idle.attentive_until.is_some(), attentive);
            }
        }
        assert_eq!(sleeps_within(&mut idle, SLEEP_MIN), [SLEEP_MIN], "then it sleeps as usual");
    }

    #[test]
    fn a_writer_that_only_awaits_the_device_sleeps_long() {
        let sleep_after_few = |awaits_device| {
            let mut idle = idle(Duration::from_millis(100), false);
            assert_eq!(idle.rest(Turn::FoundFew(Duration::ZERO), || awaits_device), None);
            (0..100).find_map(|_| idle.rest(Turn::Idle, || awaits_device))
        };
        assert_eq!(sleep_after_few(false), Some(SLEEP_MIN));
        assert_eq!(sleep_after_few(true), Some(DEVICE_WAIT));
    }

    #[test]
    fn a_sleep_ends_within_a_millisecond_of_a_records_request() {
        let time = Duration::from_micros(9_500);
        let slept = |records_may_ask, asked_after, woken_after| {
            let mut parks = 0;
            let mut slept = Duration::ZERO;
            let parked = std::cell::Cell::new(0);
            idle(Duration::from_secs(1), records_may_ask).sleep(
                time,
                || parked.get() >= asked_after,
                |part| {
                    parks += 1;
                    parked.set(parks);
                    slept += part;
                    parks < woken_after
                },
            );
            (parks, slept)
        };
        assert_eq!(slept(true, u32::MAX, u32::MAX), (10, time), "nobody asks");
        assert_eq!(slept(true, 3, u32::MAX), (3, 3 * REQUEST_LOOK));
        assert_eq!(slept(true, 0, u32::MAX), (0, Duration::ZERO), "asked before");
        assert_eq!(slept(true, u32::MAX, 2), (2, 2 * REQUEST_LOOK), "woken");
        assert_eq!(slept(false, 0, u32::MAX), (1, time), "no record may ask");
    }

    #[test]
    fn sleeps_are_longer_if_turns_are() {
        let second = Duration::from_secs(1);
        for (interval, longest) in
            [(Duration::from_millis(100), Duration::from_millis(25)), (second, LONG_TURN_SLEEP_MAX)]
        {
            let mut idle = idle(interval, false);
            sleeps_within(&mut idle, 10 * second);
            // A turn that began a second ago takes at least a second.
            idle.note_woken(Instant::now().checked_sub(second).expect("the machine runs for longer"));
            assert_eq!(idle.snooze(), Some(longest));
            idle.reset(None, Duration::ZERO);
            let sleeps = sleeps_within(&mut idle, 10 * second);
            let usual = SLEEP_MAX.min(longest);
            assert!(sleeps.iter().all(|&sleep| sleep <= usual), "forgotten once there is work");
        }
    }

    #[test]
    fn no_sleep_is_longer_than_a_quarter_of_the_flush_interval() {
        for interval in [Duration::from_millis(1), Duration::from_millis(10), Duration::from_secs(3600)] {
            let sleeps = sleeps_within(&mut idle(interval, false), Duration::from_secs(2));
            let longest = SLEEP_MAX.min(interval / INTERVAL_PART);
            assert!(sleeps.iter().all(|&sleep| sleep <= longest), "{interval:?}");
        }
    }
}
