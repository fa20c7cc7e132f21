//! The names of snapshots: the time and the reason, as `20261126T153415.123Z-reason.dlog`, so that they sort by time.

use std::ffi::OsStr;

use super::date::{date_of, days_to};
use super::identity::StoredRunId;

/// The folder of a log's snapshots, in the log's directory.
pub(crate) const SNAPSHOTS_FOLDER: &str = "snapshots";

/// The most bytes of a reason in a name.
const REASON_BYTES_MAX: usize = 64;

const SUFFIX: &str = ".dlog";
const MS_A_DAY: i64 = 24 * 60 * 60 * 1000;

/// The years that a name can have.
const YEARS: std::ops::RangeInclusive<i64> = 0..=9999;

/// The name of the snapshot that was taken `unix_ms` milliseconds after the Unix epoch. Letters of the reason that do
/// not belong in a file's name become dashes, and a long one is cut.
pub(crate) fn snapshot_file_name(unix_ms: i64, reason: &str) -> String {
    let (year, month, day) = date_of(unix_ms.div_euclid(MS_A_DAY));
    // A wall clock so far off has no better name.
    let year = year.clamp(*YEARS.start(), *YEARS.end());
    let ms = unix_ms.rem_euclid(MS_A_DAY);
    let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let reason = safe(reason);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z-{reason}{SUFFIX}")
}

/// The reason as names have it: letters and digits of ASCII, dashes, underscores and dots.
fn safe(reason: &str) -> String {
    let is_safe = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let mut safe = String::new();
    for letter in reason.trim().chars().take(REASON_BYTES_MAX) {
        if is_safe(letter) {
            safe.push(letter);
        } else if !safe.ends_with('-') {
            safe.push('-');
        }
    }
    let trimmed = safe.trim_matches(['-', '.']);
    if trimmed.is_empty() { "snapshot".to_owned() } else { trimmed.to_owned() }
}

/// The reason of the snapshot that a recovery writes of this dead run.
pub(crate) fn crash_reason(run: StoredRunId) -> String {
    format!("crash-{}", &run.to_string()[..8])
}

/// The time, in milliseconds since the Unix epoch, and the reason in a snapshot's file name; `None` for any other name.
pub(crate) fn parse_snapshot_name(file_name: &OsStr) -> Option<(i64, &str)> {
    let name = file_name.to_str()?.strip_suffix(SUFFIX)?;
    let (time, reason) = name.split_at_checked(20)?;
    let reason = reason.strip_prefix('-').filter(|reason| !reason.is_empty())?;
    let number = |from: usize, digits: usize| {
        let digits = time.get(from..from + digits)?;
        digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let days = days_to(number(0, 4)?, number(4, 2)?, number(6, 2)?)?;
    let (hour, minute, second, ms) = (number(9, 2)?, number(11, 2)?, number(13, 2)?, number(16, 3)?);
    let is_time = hour < 24 && minute < 60 && second < 60;
    let is_punctuated = [(8, b'T'), (15, b'.'), (19, b'Z')].iter().all(|(at, mark)| time.as_bytes()[*at] == *mark);
    let unix_ms = days * MS_A_DAY + ((hour * 60 + minute) * 60 + second) * 1000 + ms;
    (is_time && is_punctuated).then_some((unix_ms, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_time_and_a_reason_that_suits_a_file() {
        const MS: i64 = 1_700_000_000_123;
        for (reason, shown) in [
            ("order 42 has no price", "order-42-has-no-price"),
            ("panic", "panic"),
            ("../../etc/passwd\0\n", "etc-passwd"),
            ("  ", "snapshot"),
            ("", "snapshot"),
            ("größe: 5 €", "gr-e-5"),
            ("a/b\\c:d", "a-b-c-d"),
            (".hidden", "hidden"),
        ] {
            let name = snapshot_file_name(MS, reason);
            assert_eq!(name, format!("20231114T221320.123Z-{shown}.dlog"));
            assert_eq!(parse_snapshot_name(OsStr::new(&name)), Some((MS, shown)));
        }
        let long = snapshot_file_name(MS, &"x".repeat(1000));
        assert_eq!(parse_snapshot_name(OsStr::new(&long)), Some((MS, "x".repeat(64).as_str())));
    }

    #[test]
    fn names_of_all_times_are_read_back() {
        for unix_ms in [0, 1, -1, 951_782_400_000, 951_868_799_999, 4_102_444_800_000, 253_402_300_799_999] {
            let name = snapshot_file_name(unix_ms, "why");
            assert_eq!(parse_snapshot_name(OsStr::new(&name)), Some((unix_ms, "why")), "{name}");
        }
        for unix_ms in [i64::MIN, i64::MAX] {
            assert!(parse_snapshot_name(OsStr::new(&snapshot_file_name(unix_ms, "why"))).is_some());
        }
    }

    #[test]
    fn other_names_are_no_snapshots() {
        for other in [
            "00000001.dlog",
            "20231114T221320.123Z.dlog",
            "20231114T221320.123Z-.dlog",
            "20231114T221320.123Z-why",
            "20231114T221320.123Z-why.dlog.tmp",
            "20231114t221320.123Z-why.dlog",
            "20231314T221320.123Z-why.dlog",
            "20231131T221320.123Z-why.dlog",
            "20231114T241320.123Z-why.dlog",
            "20231114T226020.123Z-why.dlog",
            "2023111+T221320.123Z-why.dlog",
            "2023111éT22132.123Z-why.dlog",
            "offline.tmp",
            "",
        ] {
            assert_eq!(parse_snapshot_name(OsStr::new(other)), None, "{other}");
        }
    }
}
