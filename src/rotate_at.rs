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
    /// At midnight in the time zone that the system or the variable `TZ` names, whatever the length of the day; in UTC
    /// if none is known, which a note in the log says. The zone is read when the log is opened. This needs the feature
    /// `time-zones`.
    #[cfg(feature = "time-zones")]
    DailyLocal,
}

const HOURLY: &str = "hourly";
const DAILY: &str = "daily";
const DAILY_LOCAL: &str = "daily_local";

/// As in TOML: `hourly`, `daily`, `daily_local`.
impl fmt::Display for RotateAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RotateAt::Hourly => HOURLY,
            RotateAt::Daily => DAILY,
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
            return write!(f, "{DAILY_LOCAL} needs diolog's feature time-zones; use {HOURLY} or {DAILY}, in UTC");
        }
        write!(f, "use {HOURLY}, {DAILY} or {DAILY_LOCAL}")
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
            DAILY_LOCAL => Ok(RotateAt::DailyLocal),
            _ => Err(ParseRotateAtError { needs_feature: text == DAILY_LOCAL }),
        }
    }
}

/// The same moments, with the time zone as it was when the log was opened.
#[derive(Debug)]
pub(crate) enum Times {
    /// A moment each time that this many nanoseconds have passed since 1970.
    Every(i64),
    #[cfg(feature = "time-zones")]
    Midnights(jiff::tz::TimeZone),
}

impl Times {
    /// A note for the log if the time zone is not known, so that the times are those of UTC.
    pub(crate) fn note(&self) -> Option<String> {
        match self {
            Times::Every(_) => None,
            #[cfg(feature = "time-zones")]
            Times::Midnights(zone) => zone.is_unknown().then(|| {
                let variable =
                    std::env::var_os("TZ").map_or_else(|| "is not set".into(), |zone| format!("is {zone:?}"));
                format!("the local time zone is not known (TZ {variable}): segments end at midnight in UTC")
            }),
        }
    }

    pub(crate) fn of(at: RotateAt) -> Times {
        match at {
            RotateAt::Hourly => Times::Every(HOUR_NS),
            RotateAt::Daily => Times::Every(DAY_NS),
            #[cfg(feature = "time-zones")]
            RotateAt::DailyLocal => Times::Midnights(jiff::tz::TimeZone::system()),
        }
    }

    /// The first time after `unix_ns`, both in nanoseconds since 1970.
    pub(crate) fn after(&self, unix_ns: i64) -> i64 {
        match self {
            Times::Every(period_ns) => (unix_ns.div_euclid(*period_ns)).saturating_add(1).saturating_mul(*period_ns),
            #[cfg(feature = "time-zones")]
            Times::Midnights(zone) => midnight_after(zone, unix_ns).unwrap_or(i64::MAX),
        }
    }

    /// The longest time between two moments.
    pub(crate) fn longest_ns(&self) -> i64 {
        match self {
            Times::Every(period_ns) => *period_ns,
            // The clock may be set back by an hour, and some zones have left out a day or had one twice.
            #[cfg(feature = "time-zones")]
            Times::Midnights(_) => 2 * DAY_NS,
        }
    }
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
        assert_eq!(error.to_string(), "use hourly, daily or daily_local");
        let local = "daily_local".parse::<RotateAt>();
        assert!(cfg!(feature = "time-zones") == local.is_ok());
        assert!(local.map_or_else(|error| error.to_string().contains("feature time-zones"), |_| true));
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
    #[test]
    fn midnights_are_those_of_the_zone_also_when_its_clock_is_changed() {
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let times = Times::Midnights(zone);
        let at = |text: &str| {
            let time: jiff::Timestamp = text.parse().expect("a time");
            i64::try_from(time.as_nanosecond()).expect("in range")
        };
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
