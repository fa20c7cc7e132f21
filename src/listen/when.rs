//! Times as text in UTC: RFC 3339 with microseconds, such as "2023-11-14T22:13:20.000000Z".

use std::io::Write as _;

use crate::format::date_of;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// Appends the time at `unix_ns` nanoseconds after the Unix epoch.
pub(super) fn write_utc(unix_ns: i64, out: &mut Vec<u8>) {
    let (second, ns) = (unix_ns.div_euclid(1_000_000_000), unix_ns.rem_euclid(1_000_000_000));
    let (year, month, day) = date_of(second.div_euclid(SECONDS_A_DAY));
    let second = second.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = ns / 1_000;
    // Writing to memory does not fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_before_and_after_the_epoch() {
        for (unix_ns, shown) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_700_000_000_000_000_007, "2023-11-14T22:13:20.000000Z"),
            (1_700_000_000_999_999_999, "2023-11-14T22:13:20.999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775Z"),
        ] {
            let mut out = Vec::new();
            write_utc(unix_ns, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), shown);
        }
    }
}
