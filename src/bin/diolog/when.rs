//! Times of records as text, at the rate of records: the date is worked out once for each second.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const NANOSECONDS: i64 = 1_000_000_000;

/// Writes times, and remembers the text of the last second: records come in order of time.
pub(crate) struct When {
    zone: TimeZone,
    /// Digits after the second.
    digits: usize,
    /// What ends the time, such as `Z`.
    suffix: &'static str,
    /// Between date and time.
    separator: char,
    second: Option<i64>,
    text: String,
}

impl When {
    /// RFC 3339 in UTC with nanoseconds: for programs, and for whoever compares two machines.
    pub(crate) fn utc() -> When {
        When { zone: TimeZone::UTC, digits: 9, suffix: "Z", separator: 'T', second: None, text: String::new() }
    }

    /// Local date and time with microseconds: for a person at a terminal.
    pub(crate) fn local() -> When {
        When { zone: TimeZone::system(), digits: 6, suffix: "", separator: ' ', second: None, text: String::new() }
    }

    /// Appends the time that is `unix_ns` nanoseconds after the Unix epoch.
    pub(crate) fn write(&mut self, unix_ns: i64, out: &mut Vec<u8>) {
        let second = unix_ns.div_euclid(NANOSECONDS);
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = self.date_and_time(second);
        }
        out.extend_from_slice(self.text.as_bytes());
        let mut fraction = [b'0'; 9];
        let mut rest = unix_ns.rem_euclid(NANOSECONDS);
        for digit in fraction.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.push(b'.');
        out.extend_from_slice(&fraction[..self.digits]);
        out.extend_from_slice(self.suffix.as_bytes());
    }

    /// The time as a string of its own, for a few of them.
    pub(crate) fn format(&mut self, unix_ns: i64) -> String {
        let mut out = Vec::new();
        self.write(unix_ns, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn date_and_time(&self, second: i64) -> String {
        // Any 64-bit number of nanoseconds is a year from 1677 to 2262, which jiff has.
        let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = self.zone.to_datetime(timestamp);
        format!("{}{}{}", local.date(), self.separator, local.time())
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
        let mut when = When::local();
        when.zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(when.format(1_700_000_000_123_456_789), "2023-11-15 00:13:20.123456");
    }
}
