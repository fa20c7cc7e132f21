//! The age of segments, by clocks that may be wrong. [`archive`](super::archive) gets the times of the files.
//!
//! The age of a segment is the time since its last write, both read from the wall clock. A machine may boot with a
//! clock that is days or years ahead, and a limit on age must not empty the log because of that. So a pause between two
//! runs counts only if it is plausible, and so does a change of the clock while the log is open.

use std::time::Duration;

use crate::clock::Clock;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When the run began, by both clocks.
pub(super) struct Beginning {
    clock: Clock,
    /// The wall time, since 1970.
    opened: Duration,
    monotonic_ns: u64,
}

impl Beginning {
    /// The run begins now.
    pub(super) fn now(clock: Clock) -> Beginning {
        Beginning { clock, opened: unix_time(clock), monotonic_ns: clock.monotonic_ns() }
    }

    /// The ages, now, of the segments of earlier runs and of this one, by the times of their last writes. Each list has
    /// the oldest segment first. For `limit`, see [`ages`].
    pub(super) fn ages(&self, earlier: &[Duration], own: &[Duration], limit: Duration) -> Vec<Duration> {
        let now = unix_time(self.clock);
        let monotonic = Duration::from_nanos(self.clock.monotonic_ns().saturating_sub(self.monotonic_ns));
        let lasted = time_between(self.opened, now, monotonic);
        let earlier = ages(earlier, self.opened, limit).into_iter().map(|age| age + lasted);
        // A segment of this run is no older than the run.
        earlier.chain(own.iter().map(|time| now.saturating_sub(*time).min(lasted))).collect()
    }

    /// The pause before the run if [`ages`](Self::ages) does not count it.
    pub(super) fn ignored_pause(&self, earlier: &[Duration], limit: Duration) -> Option<Duration> {
        ignored_pause(earlier, self.opened, limit)
    }
}

/// The wall clock's time since 1970.
fn unix_time(clock: Clock) -> Duration {
    Duration::from_nanos(u64::try_from(clock.unix_ns()).unwrap_or(0))
}

/// The ages, at the time `opened`, of the segments of earlier runs. `written` are the times of the last writes, the
/// oldest segment first. All times are since 1970.
///
/// The pause before `opened` does not count if it is longer than both `limit` and a day: it would empty the log, and
/// the clock may be wrong. A gap between two earlier segments does not count if it is longer than twice that: then
/// either the clock was wrong when the later one was written, or the log is often idle for that long.
fn ages(written: &[Duration], opened: Duration, limit: Duration) -> Vec<Duration> {
    let mut ages = vec![Duration::ZERO; written.len()];
    let plausible = limit.max(DAY);
    let (mut later, mut gap_max, mut ignored) = (opened, plausible, Duration::ZERO);
    for (age, &time) in ages.iter_mut().zip(written).rev() {
        // A time in the future does not make its segment old, and says nothing about earlier segments.
        if let Some(gap) = later.checked_sub(time) {
            if gap > gap_max {
                ignored += gap;
            }
            (later, gap_max) = (time, plausible.saturating_mul(2));
        }
        *age = opened.saturating_sub(time).saturating_sub(ignored);
    }
    ages
}

/// How long the run that began at the wall time `opened` has lasted. Uses the wall clock's time `now` if it is
/// plausible, otherwise the `monotonic` clock, which stops while the machine sleeps but is never set.
fn time_between(opened: Duration, now: Duration, monotonic: Duration) -> Duration {
    let wall = now.saturating_sub(opened);
    if wall <= monotonic.saturating_add(DAY) { wall.max(monotonic) } else { monotonic }
}

/// The pause before `opened` if [`ages`] does not count it.
fn ignored_pause(written: &[Duration], opened: Duration, limit: Duration) -> Option<Duration> {
    let last = written.iter().rev().find(|time| **time <= opened)?;
    Some(opened - *last).filter(|pause| *pause > limit.max(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_by_more_than_a_day_does_not_change_how_long_a_run_has_lasted() {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        for (opened, now, monotonic, expected, claim) in [
            (100, 110, 10, 10, "both clocks agree"),
            (100, 110, 4, 10, "the machine slept"),
            (100, 130, 6, 30, "for a day"),
            (100, 131, 6, 6, "the clock was set forward by more"),
            (100, 90, 6, 6, "the clock was set back"),
        ] {
            assert_eq!(time_between(hours(opened), hours(now), hours(monotonic)), hours(expected), "{claim}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_makes_nothing_old() {
        const NOW: u64 = 1_000;
        const YEARS: u64 = 100_000;
        /// Hours at which segments were written and the log is opened, the limit, and the ages in hours.
        type Case = (&'static [u64], u64, u64, &'static [u64], &'static str);
        let cases: [Case; 14] = [
            (&[], NOW, 10, &[], "no segment"),
            (&[NOW - 3, NOW - 2, NOW - 1], NOW, 10, &[3, 2, 1], "a clock that is right"),
            (&[NOW - 30, NOW - 20, NOW - 1], NOW, 10, &[30, 20, 1], "ages beyond the limit"),
            (&[NOW - 20, NOW - 19], NOW, 10, &[20, 19], "a night's pause counts, however short the limit"),
            (&[NOW - 100, NOW - 99], NOW, 100, &[100, 99], "a pause of the limit"),
            (&[NOW - 103, NOW - 101], NOW, 100, &[2, 0], "a longer pause does not count"),
            (&[NOW - 2, NOW - 1], NOW + YEARS, 10, &[1, 0], "the clock is years ahead"),
            (&[NOW - 2, NOW - 1, NOW + YEARS], NOW + YEARS + 1, 10, &[2, 1, 1], "at the second open as well"),
            (&[NOW - 2, NOW - 1, NOW + YEARS], NOW + 1, 10, &[3, 2, 0], "right again: nothing is forgotten"),
            (&[NOW - 90, NOW - 80, NOW + YEARS], NOW + 1, 10, &[10, 0, 0], "right again after a long pause"),
            (&[NOW - 2, NOW - 1], NOW - 10, 10, &[0, 0], "the clock is behind"),
            (
                &[NOW - 2, NOW - 40, NOW - 1],
                NOW,
                10,
                &[2, 40, 1],
                "a time that is out of order is that segment's alone",
            ),
            (&[NOW - 47, NOW - 1], NOW, 10, &[47, 1], "a gap of twice a day"),
            (&[NOW - 60, NOW - 50, NOW - 1], NOW, 10, &[11, 1, 1], "a longer gap does not count"),
        ];
        let hours = |hours: &[u64]| hours.iter().map(|hours| Duration::from_secs(3600 * hours)).collect::<Vec<_>>();
        for (written, opened, limit, expected, claim) in cases {
            let [opened, limit] = [opened, limit].map(|time| Duration::from_secs(3600 * time));
            assert_eq!(ages(&hours(written), opened, limit), hours(expected), "{claim}");
        }
        let pause = |opened: u64| ignored_pause(&hours(&[NOW - 1, NOW + YEARS]), hours(&[opened])[0], hours(&[10])[0]);
        assert_eq!([pause(NOW), pause(NOW + 30), pause(0)], [None, Some(hours(&[31])[0]), None]);
    }
}
