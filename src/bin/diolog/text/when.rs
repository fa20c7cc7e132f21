//! Times of records as text, at the rate of records: the date is computed once for each second.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::text::digits::nanoseconds;

const NANOSECONDS: i64 = 1_000_000_000;

/// Bytes of a date and a time up to the second.
const SECOND_BYTES: usize = "1970-01-01T00:00:00".len();

/// Writes times, and keeps the text of the last second: records come in order of time.
pub(crate) struct When {
    zone: TimeZone,
    /// Digits of the fraction, at most 9.
    digits: usize,
    second: Option<i64>,
    /// What stands before the fraction in the last time that was written, and after it.
    before: [u8; SECOND_BYTES],
    after: String,
}

impl When {
    /// RFC 3339 in UTC with nanoseconds: for programs, and to compare machines.
    pub(crate) fn utc() -> When {
        When::new(TimeZone::UTC, 9)
    }

    /// RFC 3339 in local time with microseconds: for a person at a terminal. In UTC if the zone is unknown.
    pub(crate) fn local() -> When {
        When::new(TimeZone::system(), 6)
    }

    fn new(zone: TimeZone, digits: usize) -> When {
        // "Z" for both: an offset of zero would claim that the place is known.
        let is_utc = zone.is_unknown() || matches!(zone.iana_name(), Some("UTC" | "Etc/UTC"));
        let zone = if is_utc { TimeZone::UTC } else { zone };
        When { zone, digits, second: None, before: [b'0'; SECOND_BYTES], after: String::new() }
    }

    /// Appends the time that is `unix_ns` nanoseconds after the Unix epoch.
    pub(crate) fn write(&mut self, unix_ns: i64, out: &mut Vec<u8>) {
        let second = unix_ns.div_euclid(NANOSECONDS);
        if self.second != Some(second) {
            self.second = Some(second);
            self.write_second(second);
        }
        out.extend_from_slice(&self.before);
        nanoseconds(unix_ns.rem_euclid(NANOSECONDS) as u32, out);
        out.truncate(out.len() - (9 - self.digits));
        match &*self.after {
            "Z" => out.push(b'Z'),
            offset => out.extend_from_slice(offset.as_bytes()),
        }
    }

    /// The time as a string, for a few of them.
    pub(crate) fn format(&mut self, unix_ns: i64) -> String {
        let mut out = Vec::new();
        self.write(unix_ns, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Notes all but the fraction.
    #[cold]
    fn write_second(&mut self, second: i64) {
        // Cannot fail: 64 bits of nanoseconds span the years 1677 to 2262, which are in jiff's range, and have four digits.
        let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = self.zone.to_datetime(timestamp);
        if let Ok(before) = format!("{}T{}", local.date(), local.time()).into_bytes().try_into() {
            self.before = before;
        }
        self.after = if self.zone == TimeZone::UTC {
            "Z".into()
        } else {
            let minutes = self.zone.to_offset(timestamp).seconds() / 60;
            let sign = if minutes < 0 { '-' } else { '+' };
            let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
            format!("{sign}{hours:02}:{minutes:02}")
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_is_rfc_3339_with_nanoseconds_before_and_after_the_epoch() {
        let mut when = When::utc();
        for (unix_ns, shown) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_700_000_000_000_000_007, "2023-11-14T22:13:20.000000007Z"),
            (1_700_000_000_999_999_999, "2023-11-14T22:13:20.999999999Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(when.format(unix_ns), shown);
            let parsed: Timestamp = shown.parse().expect("RFC 3339");
            assert_eq!(parsed.as_nanosecond(), i128::from(unix_ns));
        }
    }

    #[test]
    fn local_time_has_microseconds_and_the_zones_offset() {
        for (hours, minutes, shown) in [
            (2, 0, "2023-11-15T00:13:20.123456+02:00"),
            (0, 0, "2023-11-14T22:13:20.123456+00:00"),
            (-3, -30, "2023-11-14T18:43:20.123456-03:30"),
        ] {
            let offset = jiff::tz::Offset::from_seconds((hours * 60 + minutes) * 60).expect("within a day");
            // Not a fixed zone, which would be UTC if its offset is zero.
            let mut when = When { zone: TimeZone::fixed(offset), ..When::new(TimeZone::system(), 6) };
            if hours == 0 {
                when.zone = TimeZone::posix("WET0").expect("a zone");
            }
            assert_eq!(when.format(1_700_000_000_123_456_789), shown);
            shown.parse::<Timestamp>().expect("RFC 3339");
        }
        assert_eq!(When::new(TimeZone::unknown(), 6).format(0), "1970-01-01T00:00:00.000000Z");
    }
}
