//! Times of records as text, at the rate of records: the date is computed once for each second.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::text::digits::{put_nine, put_six};
use crate::text::piece::{Piece, SHORT_BYTES};

const NANOSECONDS: i64 = 1_000_000_000;

/// The most bytes of a time, and of what stands around it.
const FRAME_BYTES: usize = 96;

/// Writes times, and keeps the text of the last second: records come in order of time.
pub(crate) struct When {
    zone: TimeZone,
    /// Whether the fraction has nine digits, and not six.
    has_nanoseconds: bool,
    /// What stands before each time, and after it.
    before: Vec<u8>,
    after: Vec<u8>,
    /// Where the second of the last time begins, in nanoseconds since the Unix epoch. The first one begins before all
    /// that 64 bits hold.
    second_ns: i128,
    /// That time, but for its fraction, with what stands around it.
    frame: [u8; FRAME_BYTES],
    length: usize,
    fraction_at: usize,
}

impl When {
    /// RFC 3339 in UTC with nanoseconds: for programs, and to compare machines.
    pub(crate) fn utc() -> When {
        When::new(TimeZone::UTC, true)
    }

    /// RFC 3339 in local time with microseconds: for a person at a terminal. In UTC if the zone is unknown.
    pub(crate) fn local() -> When {
        When::new(TimeZone::system(), false)
    }

    fn new(zone: TimeZone, has_nanoseconds: bool) -> When {
        // "Z" for both: an offset of zero would claim that the place is known.
        let is_utc = zone.is_unknown() || matches!(zone.iana_name(), Some("UTC" | "Etc/UTC"));
        let zone = if is_utc { TimeZone::UTC } else { zone };
        let (frame, length, fraction_at) = ([0; FRAME_BYTES], 0, 0);
        let (before, after) = (Vec::new(), Vec::new());
        let mut when = When { zone, has_nanoseconds, before, after, second_ns: 0, frame, length, fraction_at };
        when.enter_second(0);
        when
    }

    /// The same with something before each time, and after it: at most a few bytes.
    pub(crate) fn within(mut self, before: impl Into<Vec<u8>>, after: impl Into<Vec<u8>>) -> When {
        (self.before, self.after) = (before.into(), after.into());
        self.enter_second(0);
        self
    }

    /// What stands before each time.
    pub(crate) fn before(&self) -> &[u8] {
        &self.before
    }

    /// What stands after it.
    pub(crate) fn after(&self) -> &[u8] {
        &self.after
    }

    /// Appends the time that is `unix_ns` nanoseconds after the Unix epoch.
    #[inline]
    pub(crate) fn write(&mut self, unix_ns: i64, out: &mut Vec<u8>) {
        self.write_before(unix_ns, [], out);
    }

    /// Appends the time, and these pieces after it.
    #[inline]
    pub(crate) fn write_before<const MANY: usize>(&mut self, unix_ns: i64, pieces: [&Piece; MANY], out: &mut Vec<u8>) {
        let mut fraction = i128::from(unix_ns) - self.second_ns;
        if !(0..NANOSECONDS.into()).contains(&fraction) {
            self.enter_second(unix_ns.div_euclid(NANOSECONDS));
            fraction = i128::from(unix_ns) - self.second_ns;
        }
        let fraction = fraction as u32;
        let begin = out.len();
        // Copies of a known length need no call. The second one is the room for the pieces.
        out.extend_from_slice(&self.frame);
        out.extend_from_slice([[0; SHORT_BYTES]; MANY].as_flattened());
        let line = &mut out[begin..];
        let digits = &mut line[self.fraction_at..];
        if self.has_nanoseconds {
            digits.first_chunk_mut().into_iter().for_each(|digits| put_nine(fraction, digits));
        } else {
            digits.first_chunk_mut().into_iter().for_each(|digits| put_six(fraction / 1000, digits));
        }
        let mut at = self.length;
        for (done, piece) in pieces.iter().enumerate() {
            let (Some((bytes, length)), Some(room)) = (piece.short(), line[at..].first_chunk_mut()) else {
                out.truncate(begin + at);
                return pieces[done..].iter().for_each(|piece| piece.append_to(out));
            };
            *room = *bytes;
            at += length;
        }
        out.truncate(begin + at);
    }

    /// The time as a string, for a few of them.
    pub(crate) fn format(&mut self, unix_ns: i64) -> String {
        let mut out = Vec::new();
        self.write(unix_ns, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Notes all but the fraction.
    #[cold]
    fn enter_second(&mut self, second: i64) {
        self.second_ns = i128::from(second) * i128::from(NANOSECONDS);
        // Cannot fail: 64 bits of nanoseconds span the years 1677 to 2262, which are in jiff's range, and have four
        // digits.
        let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = self.zone.to_datetime(timestamp);
        let mut text = self.before.clone();
        text.extend(format!("{}T{}.", local.date(), local.time()).bytes());
        self.fraction_at = text.len();
        text.extend(if self.has_nanoseconds { &b"000000000"[..] } else { b"000000" });
        if self.zone == TimeZone::UTC {
            text.push(b'Z');
        } else {
            let minutes = self.zone.to_offset(timestamp).seconds() / 60;
            let sign = if minutes < 0 { '-' } else { '+' };
            let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
            text.extend(format!("{sign}{hours:02}:{minutes:02}").bytes());
        }
        text.extend(&self.after);
        self.length = text.len().min(FRAME_BYTES);
        self.frame[..self.length].copy_from_slice(&text[..self.length]);
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
            let mut when = When::new(TimeZone::fixed(offset), false);
            if hours == 0 {
                when = When::new(TimeZone::posix("WET0").expect("a zone"), false);
            }
            assert_eq!(when.format(1_700_000_000_123_456_789), shown);
            shown.parse::<Timestamp>().expect("RFC 3339");
        }
        assert_eq!(When::new(TimeZone::unknown(), false).format(0), "1970-01-01T00:00:00.000000Z");
    }
}
