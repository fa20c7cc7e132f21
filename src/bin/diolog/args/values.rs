//! Values of options: sizes in words, levels, the names of devices, and formats of reports.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytesize::ByteSize;
use clap::ValueEnum;
use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use diolog::{DevicePreference, Level};

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    Text,
    Json,
}

/// Parses the path of a log that is read: not "-", which is standard input to other programs.
pub(super) fn log_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        let is_stdin = path == Path::new("-");
        if is_stdin { Err("a log is read from its directory, not from standard input") } else { Ok(path) }
    })
}

/// Parses "262144", "256 KiB", "2MiB".
pub(super) fn size<T: TryFrom<u64>>(words: &str) -> Result<T, String> {
    let bytes = words.parse().ok().map(|size: ByteSize| size.as_u64());
    let bytes = bytes.and_then(|bytes| T::try_from(bytes).ok());
    bytes.ok_or_else(|| "use a number of bytes, or a number with a unit such as \"256 KiB\"".to_owned())
}

/// Parses a number of records: not "-1", and not "+1", which means something else to tail(1).
pub(super) fn number_of_records(word: &str) -> Result<u64, String> {
    let number = word.parse().ok().filter(|_| word.starts_with(|digit: char| digit.is_ascii_digit()));
    number.ok_or_else(|| "use a number of records, such as 100".to_owned())
}

/// Parses a whole number within `range`.
pub(super) fn number<T>(range: impl RangeBounds<T> + Clone) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + fmt::Display,
{
    move |word| {
        let number = word.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| match (range.start_bound(), range.end_bound()) {
            (Bound::Included(first), Bound::Included(last)) => format!("use a whole number from {first} to {last}"),
            (Bound::Included(first), _) => format!("use a whole number, at least {first}"),
            _ => "use a whole number".to_owned(),
        })
    }
}

/// Parses the level of records, which cannot be "off".
pub(super) fn record_level(word: &str) -> Result<Level, String> {
    let level = word.parse().ok().filter(|level| *level != Level::Off);
    level.ok_or_else(|| "use error, warn, info, debug or trace".to_owned())
}

/// Parses a device by its name.
pub(super) fn device() -> impl TypedValueParser<Value = DevicePreference> {
    const DEVICES: [(&str, DevicePreference); 5] = [
        ("auto", DevicePreference::Auto),
        ("direct", DevicePreference::Direct),
        ("io_uring", DevicePreference::IoUring),
        ("pwrite", DevicePreference::Pwrite),
        ("buffered", DevicePreference::Buffered),
    ];
    PossibleValuesParser::new(DEVICES.map(|(name, _)| name)).map(|name| {
        let device = DEVICES.into_iter().find(|(known, _)| *known == name);
        device.expect("PossibleValuesParser accepts only these names").1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_or_without_a_unit_that_fits() {
        assert_eq!(size("65536"), Ok(65_536_u64));
        assert_eq!(size("2 MiB"), Ok(2 << 20_u64));
        assert!(size::<u64>("much").is_err());
        assert!(size::<u8>("1 KiB").is_err());
    }

    #[test]
    fn a_number_of_records_has_digits_only() {
        assert_eq!(["0", "100"].map(number_of_records), [Ok(0), Ok(100)]);
        for word in ["", "-1", "+1", "x", "1k", "99999999999999999999"] {
            assert!(number_of_records(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_number_is_whole_and_within_its_range() {
        assert_eq!(number(1..=9_u32)("9"), Ok(9));
        for word in ["0", "10", "x", "1.5", "-1", ""] {
            assert_eq!(number(1..=9_u32)(word), Err("use a whole number from 1 to 9".to_owned()), "{word}");
        }
        assert_eq!(number(1..)("0"), Err::<u32, _>("use a whole number, at least 1".to_owned()));
        assert_eq!(number(..)("-1"), Err::<u64, _>("use a whole number".to_owned()));
    }

    #[test]
    fn a_record_has_a_level_other_than_off() {
        assert_eq!(record_level("WARN"), Ok(Level::Warn));
        assert!(record_level("off").is_err() && record_level("loud").is_err());
    }
}
