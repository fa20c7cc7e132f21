//! The times of the wall clock at which a log's segments end. `config` has one as a setting, and `segment` asks it for
//! the next time.

use std::fmt;
use std::str::FromStr;

const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;

/// When a log leaves a segment for the next by the wall clock: see [`Config::rotate_at`](crate::Config::rotate_at).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RotateAt {
    /// At each full hour of UTC.
    Hourly,
    /// At midnight in UTC.
    Daily,
    /// At each full hour in the time zone that the system or the variable `TZ` names; in UTC if none is known, which a
    /// note in the log says. Only in zones that are not whole hours from UTC, such as India's, are these other times
    /// than [`Hourly`](RotateAt::Hourly) has. The zone is read when the log is opened. This needs the feature
    /// `time-zones`.
    #[cfg(feature = "time-zones")]
    HourlyLocal,
    /// At midnight in that time zone, whatever the length of the day. This needs the feature `time-zones`.
    #[cfg(feature = "time-zones")]
    DailyLocal,
}

const HOURLY: &str = "hourly";
const DAILY: &str = "daily";
const HOURLY_LOCAL: &str = "hourly_local";
const DAILY_LOCAL: &str = "daily_local";

/// As in TOML: `hourly`, `daily`, `hourly_local`, `daily_local`.
impl fmt::Display for RotateAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RotateAt::Hourly => HOURLY,
            RotateAt::Daily => DAILY,
            #[cfg(feature = "time-zones")]
            RotateAt::HourlyLocal => HOURLY_LOCAL,
            #[cfg(feature = "time-zones")]
            RotateAt::DailyLocal => DAILY_LOCAL,
        })
    }
}

/// A text that is no [`RotateAt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseRotateAtError {
    needs_feature: bool,
}

impl fmt::Display for ParseRotateAtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.needs_feature {
            return write!(f, "local times need diolog's feature time-zones; use {HOURLY} or {DAILY}, in UTC");
        }
        write!(f, "use {HOURLY}, {DAILY}, {HOURLY_LOCAL} or {DAILY_LOCAL}")
    }
}

impl std::error::Error for ParseRotateAtError {}

/// From the words of [`Display`](fmt::Display).
impl FromStr for RotateAt {
    type Err = ParseRotateAtError;

    fn from_str(text: &str) -> Result<RotateAt, ParseRotateAtError> {
        match text {
            HOURLY => Ok(RotateAt::Hourly),
            DAILY => Ok(RotateAt::Daily),
            #[cfg(feature = "time-zones")]
            HOURLY_LOCAL => Ok(RotateAt::HourlyLocal),
            #[cfg(feature = "time-zones")]
            DAILY_LOCAL => Ok(RotateAt::DailyLocal),
            _ => Err(ParseRotateAtError { needs_feature: [HOURLY_LOCAL, DAILY_LOCAL].contains(&text) }),
        }
    }
}

/// The same moments, with the time zone as it was when the log was opened.
#[derive(Debug)]
pub(crate) enum Times {
    /// A moment each time that this many nanoseconds have passed since 1970.
    Every(i64),
    #[cfg(feature = "time-zones")]
    Hours(jiff::tz::TimeZone),
    #[cfg(feature = "time-zones")]
    Midnights(jiff::tz::TimeZone),
}

impl Times {
    /// A note for the log if the time zone is not known, so that the times are those of UTC.
    pub(crate) fn note(&self) -> Option<String> {
        match self {
            Times::Every(_) => None,
            #[cfg(feature = "time-zones")]
            Times::Hours(zone) | Times::Midnights(zone) => zone.is_unknown().then(|| {
                let variable =
                    std::env::var_os("TZ").map_or_else(|| "is not set".into(), |zone| format!("is {zone:?}"));
                let times = if matches!(self, Times::Hours(_)) { "full hours" } else { "midnight" };
                format!("the local time zone is not known (TZ {variable}): segments end at {times} in UTC")
            }),
        }
    }

    pub(crate) fn of(at: RotateAt) -> Times {
        match at {
            RotateAt::Hourly => Times::Every(HOUR_NS),
            RotateAt::Daily => Times::Every(DAY_NS),
            #[cfg(feature = "time-zones")]
            RotateAt::HourlyLocal => Times::Hours(jiff::tz::TimeZone::system()),
            #[cfg(feature = "time-zones")]
            RotateAt::DailyLocal => Times::Midnights(jiff::tz::TimeZone::system()),
        }
    }

    /// The first time after `unix_ns`, both in nanoseconds since 1970.
    pub(crate) fn after(&self, unix_ns: i64) -> i64 {
        match self {
            Times::Every(period_ns) => next_multiple(unix_ns, *period_ns),
            #[cfg(feature = "time-zones")]
            Times::Hours(zone) => full_hour_after(zone, unix_ns).unwrap_or(i64::MAX),
            #[cfg(feature = "time-zones")]
            Times::Midnights(zone) => midnight_after(zone, unix_ns).unwrap_or(i64::MAX),
        }
    }

    /// The longest time between two moments.
    pub(crate) fn longest_ns(&self) -> i64 {
        match self {
            Times::Every(period_ns) => *period_ns,
            #[cfg(feature = "time-zones")]
            Times::Hours(_) => HOUR_NS,
            // The clock may be set back by an hour, and some zones have left out a day or had one twice.
            #[cfg(feature = "time-zones")]
            Times::Midnights(_) => 2 * DAY_NS,
        }
    }
}

/// The first multiple of `period_ns` after `time_ns`.
fn next_multiple(time_ns: i64, period_ns: i64) -> i64 {
    time_ns.div_euclid(period_ns).saturating_add(1).saturating_mul(period_ns)
}

/// `None` beyond the years that the library knows. If the clock is changed in between, by less than an hour as some
/// zones do, it is the full hour of the clock as it was before.
#[cfg(feature = "time-zones")]
fn full_hour_after(zone: &jiff::tz::TimeZone, unix_ns: i64) -> Option<i64> {
    let now = jiff::Timestamp::from_nanosecond(unix_ns.into()).ok()?;
    let offset_ns = i64::from(zone.to_offset(now).seconds()) * 1_000_000_000;
    Some(next_multiple(unix_ns.checked_add(offset_ns)?, HOUR_NS).saturating_sub(offset_ns))
}

/// `None` beyond the years that the library knows.
#[cfg(feature = "time-zones")]
fn midnight_after(zone: &jiff::tz::TimeZone, unix_ns: i64) -> Option<i64> {
    let now = jiff::Timestamp::from_nanosecond(unix_ns.into()).ok()?.to_zoned(zone.clone());
    // Not always 00:00: where the clock is set forward at midnight, the day begins later.
    let midnight = now.tomorrow().ok()?.start_of_day().ok()?;
    i64::try_from(midnight.timestamp().as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written_and_others_are_errors() {
        for at in [RotateAt::Hourly, RotateAt::Daily] {
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        let error = "weekly".parse::<RotateAt>().expect_err("unknown");
        assert_eq!(error.to_string(), "use hourly, daily, hourly_local or daily_local");
        for local in ["hourly_local", "daily_local"] {
            match local.parse::<RotateAt>() {
                Ok(at) => assert!(cfg!(feature = "time-zones") && at.to_string() == local),
                Err(error) => assert!(!cfg!(feature = "time-zones") && error.to_string().contains("time-zones")),
            }
        }
    }

    #[test]
    fn the_next_time_is_the_next_full_hour_or_midnight_before_and_after_1970() {
        for (at, unix_ns, next) in [
            (RotateAt::Hourly, 0, HOUR_NS),
            (RotateAt::Hourly, HOUR_NS - 1, HOUR_NS),
            (RotateAt::Hourly, -1, 0),
            (RotateAt::Daily, 5 * DAY_NS + 1, 6 * DAY_NS),
            (RotateAt::Daily, i64::MAX, i64::MAX),
        ] {
            assert_eq!(Times::of(at).after(unix_ns), next, "{at} after {unix_ns}");
        }
    }

    #[cfg(feature = "time-zones")]
    fn at(text: &str) -> i64 {
        let time: jiff::Timestamp = text.parse().expect("a time");
        i64::try_from(time.as_nanosecond()).expect("in range")
    }

    #[cfg(feature = "time-zones")]
    #[test]
    fn full_hours_are_those_of_the_zone_also_when_its_clock_is_changed() {
        let half = Times::Hours(jiff::tz::TimeZone::posix("IST-5:30").expect("a zone"));
        // Its clock is changed by half an hour.
        let changes = Times::Hours(jiff::tz::TimeZone::posix("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0").expect("a zone"));
        for (times, now, next) in [
            (&half, "2026-01-15T12:00:00Z", "2026-01-15T12:30:00Z"),
            (&half, "2026-01-15T12:30:00Z", "2026-01-15T13:30:00Z"),
            (&changes, "2026-06-15T12:45:00Z", "2026-06-15T13:30:00Z"),
            (&changes, "2026-10-03T15:00:00Z", "2026-10-03T15:30:00Z"),
            (&changes, "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"),
            (&changes, "2026-10-03T16:00:00Z", "2026-10-03T17:00:00Z"),
        ] {
            assert_eq!(times.after(at(now)), at(next), "{now}");
        }
        assert_eq!(half.after(i64::MAX), i64::MAX);
    }

    #[cfg(feature = "time-zones")]
    #[test]
    fn midnights_are_those_of_the_zone_also_when_its_clock_is_changed() {
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let times = Times::Midnights(zone);
        for (now, next) in [
            ("2026-01-15T12:00:00Z", "2026-01-15T23:00:00Z"),
            ("2026-01-15T23:00:00Z", "2026-01-16T23:00:00Z"),
            ("2026-03-29T00:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ] {
            assert_eq!(times.after(at(now)), at(next), "{now}");
        }
        assert_eq!(times.after(i64::MAX), i64::MAX);
    }
}
