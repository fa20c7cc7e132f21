//! Numbers for people: sizes in binary units, counts in groups of three digits, durations with a unit.

use std::time::Duration;

// As in the library's own messages: "1,234,567" and "2,000 records".
pub(crate) use diolog::unstable::{counted, grouped, size as exact};

/// A size as "0 B", "4.0 KiB", "256 KiB", "1.5 GiB": two digits at least with a binary unit.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.5 would be rounded to "1024 KiB".
    while amount >= 1023.5 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(amount < 99.95);
    format!("{amount:.digits$} {}", UNITS[unit])
}

/// A duration as "850 ns", "12.5 µs", "1.20 s", "3 min 20 s", "2 h 05 min", "3 d 4 h".
pub(crate) fn duration(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let seconds = duration.as_secs();
    let short = |amount: f64, unit: &str| {
        let digits = if amount < 9.995 { 2 } else { usize::from(amount < 99.95) };
        format!("{amount:.digits$} {unit}")
    };
    match seconds {
        0 if ns < 1_000 => format!("{ns} ns"),
        0 if ns < 999_500 => short(ns as f64 / 1e3, "µs"),
        0 if ns < 999_500_000 => short(ns as f64 / 1e6, "ms"),
        0..120 => short(duration.as_secs_f64(), "s"),
        120..7_200 => format!("{} min {} s", seconds / 60, seconds % 60),
        7_200..172_800 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// `number` divided by the seconds of `elapsed`, as "12.3 M".
pub(crate) fn rate(number: u64, elapsed: Duration) -> String {
    let rate = number as f64 / elapsed.as_secs_f64().max(1e-9);
    match rate {
        rate if rate >= 999_500.0 => format!("{:.1} M", rate / 1e6),
        rate if rate >= 999.5 => format!("{:.0} k", rate / 1e3),
        _ => format!("{rate:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        for (size, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (256 << 10, "256 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (1_610_612_736, "1.5 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(size), shown);
        }
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (ns, shown) in [
            (0, "0 ns"),
            (850, "850 ns"),
            (12_500, "12.5 µs"),
            (999_999, "1.00 ms"),
            (1_200_000_000, "1.20 s"),
            (200_000_000_000, "3 min 20 s"),
            (7_500_000_000_000, "2 h 05 min"),
            (273_600_000_000_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_nanos(ns)), shown);
        }
    }

    #[test]
    fn rates_are_per_second() {
        let two = Duration::from_secs(2);
        assert_eq!([rate(24_600_000, two), rate(24_000, two), rate(24, two)], ["12.3 M", "12 k", "12"]);
    }
}
