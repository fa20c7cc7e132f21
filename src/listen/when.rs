//! Times as text, in UTC: RFC 3339 with microseconds, as "2023-11-14T22:13:20.000000Z".

use std::io::Write as _;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// Appends the time that is `unix_ns` nanoseconds after the Unix epoch.
pub(super) fn write_utc(unix_ns: i64, out: &mut Vec<u8>) {
    let (second, ns) = (unix_ns.div_euclid(1_000_000_000), unix_ns.rem_euclid(1_000_000_000));
    let (year, month, day) = date_of(second.div_euclid(SECONDS_A_DAY));
    let second = second.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = ns / 1_000;
    // Writing to memory does not fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
}

/// Year, month and day of the day that is so many days after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    // Years that begin in March, so that a leap day is the last one; 146,097 days are 400 years. The method is that of
    // Howard Hinnant's "chrono-compatible low-level date algorithms".
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + 400 * era + i64::from(month <= 2), month, day)
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

    #[test]
    fn each_day_of_four_centuries_follows_the_one_before() {
        let mut before = date_of(-365 * 200);
        for days in -365 * 200 + 1..365 * 200 {
            let (year, month, day) = date_of(days);
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match before.1 {
                2 => 28 + i64::from(is_leap && before.0 == year),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = match before {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, day) if day == last => (year, month + 1, 1),
                (year, month, day) => (year, month, day + 1),
            };
            assert_eq!((year, month, day), expected);
            before = (year, month, day);
        }
    }
}
