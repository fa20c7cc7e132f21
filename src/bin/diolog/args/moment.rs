//! Times on the command line: a date, a time of today, or how long ago.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

/// A time as it was given.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    /// With its zone.
    Absolute(Timestamp),
    /// Without a zone.
    Civil(DateTime),
    /// Of today.
    Today(Time),
    /// Of the day before today.
    Yesterday(Time),
    /// As long before now.
    Ago(Box<Span>),
}

impl Moment {
    /// Parses a time.
    ///
    /// # Errors
    /// What a time looks like.
    pub(super) fn parse(text: &str) -> Result<Moment, String> {
        let text = text.trim();
        let absolute =
            text.parse::<Timestamp>().ok().or_else(|| text.parse().ok().map(|zoned: Zoned| zoned.timestamp()));
        if let Some(time) = absolute {
            return Ok(Moment::Absolute(time));
        }
        match text {
            "now" => return Ok(Moment::Ago(Box::default())),
            "today" => return Ok(Moment::Today(Time::midnight())),
            "yesterday" => return Ok(Moment::Yesterday(Time::midnight())),
            _ => {}
        }
        if let Ok(time) = text.parse() {
            return Ok(Moment::Civil(time));
        }
        if text.contains(':')
            && let Ok(time) = text.parse()
        {
            return Ok(Moment::Today(time));
        }
        let span: Result<Span, _> = text.parse();
        span.map(|span| Moment::Ago(Box::new(span.abs()))).map_err(|_| {
            "use a date and time such as \"2026-01-31 14:30\" or 2026-01-31T14:30:00Z, a time of today such as 14:30, \
             today, yesterday, or as long ago as 10m or \"2h 30m ago\""
                .into()
        })
    }

    /// The time now, in the zone of times without one: local, or UTC if `utc`.
    pub(super) fn now(utc: bool) -> Zoned {
        Timestamp::now().to_zoned(if utc { TimeZone::UTC } else { TimeZone::system() })
    }

    /// Nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// A sentence, if the time is out of range.
    pub(super) fn unix_ns(&self, now: &Zoned) -> Result<i64, String> {
        let time_zone = now.time_zone();
        let timestamp = match self {
            Moment::Absolute(time) => Ok(*time),
            Moment::Civil(time) => time_zone.to_timestamp(*time),
            Moment::Today(time) => time_zone.to_timestamp(now.date().to_datetime(*time)),
            Moment::Yesterday(time) => {
                now.date().yesterday().and_then(|date| time_zone.to_timestamp(date.to_datetime(*time)))
            }
            Moment::Ago(span) => now.checked_sub(**span).map(|zoned| zoned.timestamp()),
        };
        let out_of_range = || "the time is out of range: use one of the years 1678 to 2261".to_owned();
        i64::try_from(timestamp.map_err(|_| out_of_range())?.as_nanosecond()).map_err(|_| out_of_range())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time that `text` means on 31 January 2026 at 12:00 in Berlin, an hour ahead of UTC.
    fn at_noon(text: &str) -> Result<String, String> {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let now = "2026-01-31T11:00:00Z".parse::<Timestamp>().expect("a time").to_zoned(berlin);
        let ns = Moment::parse(text)?.unix_ns(&now)?;
        Ok(Timestamp::from_nanosecond(ns.into()).expect("in range").to_string())
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("2026-01-31T10:30:00Z", "2026-01-31T10:30:00Z"),
            ("2026-01-31T10:30:00.000000007+01:00", "2026-01-31T09:30:00.000000007Z"),
            ("2026-01-31T10:30:00", "2026-01-31T09:30:00Z"),
            ("2026-01-31 10:30", "2026-01-31T09:30:00Z"),
            ("2026-01-31", "2026-01-30T23:00:00Z"),
            ("2025-07-01", "2025-06-30T22:00:00Z"),
            ("10:30", "2026-01-31T09:30:00Z"),
            ("10:30:15", "2026-01-31T09:30:15Z"),
            ("now", "2026-01-31T11:00:00Z"),
            ("today", "2026-01-30T23:00:00Z"),
            ("yesterday", "2026-01-29T23:00:00Z"),
            ("10m", "2026-01-31T10:50:00Z"),
            ("-10m", "2026-01-31T10:50:00Z"),
            ("90 seconds ago", "2026-01-31T10:58:30Z"),
            ("2h 30m ago", "2026-01-31T08:30:00Z"),
            ("1 day", "2026-01-30T11:00:00Z"),
            ("1 month ago", "2025-12-31T11:00:00Z"),
        ] {
            assert_eq!(at_noon(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_examples() {
        for text in ["", "soon", "10", "2026-13-01", "25:00", "10 moons", "2026-01-31 10:30 Z+"] {
            let message = at_noon(text).expect_err(text);
            assert!(message.contains("2026-01-31 14:30"), "{text}: {message}");
        }
        assert!(at_noon("9999-01-01").expect_err("too late").contains("out of range"));
        assert!(at_noon("9000 years ago").expect_err("too early").contains("out of range"));
    }
}
