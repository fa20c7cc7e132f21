//! The options of `diolog bench load`, and the words for its rates, sizes and policies.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use diolog::{DevicePreference, Overflow};

use super::settings::option_of;
use super::values::{ReportFormat, device, number, size};
use crate::exit::Failure;

/// The most bytes that the logs may take on disk.
pub(crate) const DISK_BYTES_MAX: u64 = 8 << 30;

/// The library's limit of a wait for room.
const BLOCK_TIME_MAX: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// A directory on the disk to measure; the files written there are removed at the end
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Threads that log
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = number::<u16>(1..=4096))]
    pub(crate) threads: u16,
    /// Messages a second, all threads together; or max, as many as there is room for; or a percentage of what the
    /// machine was found to take; several with commas run one after the other
    #[arg(long, value_name = "RATE,…", default_value = "10000", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) rate: Vec<Rate>,
    /// Size of a message, or a range such as 100..2000, in which all sizes are equally likely; several with commas,
    /// each with a weight after a colon, such as "64:9, 4KiB:1"
    #[arg(long, value_name = "SIZES", default_value = "200", allow_hyphen_values = true)]
    pub(crate) message_bytes: Sizes,
    /// How long to log, at each rate
    #[arg(long, value_name = "TIME", default_value = "10 s", value_parser = duration)]
    pub(crate) time: Duration,
    /// Separate logs, one for each kind of event, that each thread logs to in turn
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = number::<u16>(1..=1000))]
    pub(crate) events: u16,
    /// What happens to a message if the ring is full: drop_newest, overwrite_oldest, block, or block_for=TIME, such as
    /// block_for=5ms
    #[arg(long, value_name = "POLICY", default_value = "drop_newest", value_parser = overflow)]
    pub(crate) overflow: Overflow,
    /// Size of a ring [default: the library's, or what the longest message needs]
    #[arg(long, value_name = "SIZE", value_parser = size::<usize>)]
    pub(crate) ring_bytes: Option<usize>,
    /// Size of the reserve behind each ring [default: the library's]
    #[arg(long, value_name = "SIZE", value_parser = size::<usize>)]
    pub(crate) reserve_bytes: Option<usize>,
    /// Memory of all rings of a log [default: the library's, and at least that of the rings' windows twice]
    #[arg(long, value_name = "SIZE", value_parser = size::<usize>)]
    pub(crate) rings_bytes_max: Option<usize>,
    /// Size of a block, the largest write to the disk [default: the library's, or room for four of the longest message]
    #[arg(long, value_name = "SIZE", value_parser = size::<usize>)]
    pub(crate) block_bytes: Option<usize>,
    /// Blocks written at the same time [default: the library's]
    #[arg(long, value_name = "NUMBER", value_parser = number::<usize>(..))]
    pub(crate) blocks_in_flight: Option<usize>,
    /// Longest time that a message waits in memory [default: the library's]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) flush_interval: Option<Duration>,
    /// How blocks are written: auto takes the best that works; with the others, it is an error if that one does not
    /// work; direct is io_uring, or else pwrite
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device())]
    pub(crate) device: DevicePreference,
    /// Pin the writer thread to this CPU, by the kernel's number [default: not pinned]
    #[arg(long, value_name = "CPU", value_parser = number::<usize>(..))]
    pub(crate) writer_core: Option<usize>,
    /// Bytes of all logs on the disk, at most 8 GiB: the oldest messages are removed
    #[arg(long, value_name = "SIZE", default_value = "4 GiB", value_parser = disk_bytes)]
    pub(crate) disk_bytes: u64,
    /// Write a CSV file with a row for each second
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Write an SVG file with plots of these rows
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Format of the summary; --json is short for --format json
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Exit with 0 instead of 4 if messages were dropped
    #[arg(long)]
    pub(crate) allow_drops: bool,
    /// Leave the files of the last rate, and say where they are
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Load {
    /// The failure to run the load, with its options in place of the settings that they make.
    pub(crate) fn refused(error: diolog::Error) -> Failure {
        const SAME: [&str; 8] = [
            "ring_bytes",
            "reserve_bytes",
            "rings_bytes_max",
            "block_bytes",
            "blocks_in_flight",
            "flush_interval",
            "device",
            "writer_core",
        ];
        Failure::of(error, |setting| match setting {
            "message_bytes_max" => Some("--message-bytes".to_owned()),
            "thread_ring_bytes" => Some("--ring-bytes".to_owned()),
            setting => SAME.contains(&setting).then(|| option_of(setting)),
        })
    }
}

/// How many messages a second are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    /// So many, of all threads together.
    PerSecond(f64),
    /// The next one whenever the last one is done.
    Max,
    /// This part of the rate that the machine takes.
    OfCapacity(f64),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(word: &str) -> Result<Rate, String> {
        const REMEDY: &str = "use messages a second, such as 1000, or \"max\", or a percentage of the capacity from 1 to 100, such as 50%";
        let word = word.trim();
        if word == "max" {
            return Ok(Rate::Max);
        }
        let (number, of_capacity) = word.strip_suffix('%').map_or((word, false), |number| (number.trim_end(), true));
        let starts_with_digit = number.starts_with(|first: char| first.is_ascii_digit());
        let number = number.parse().ok().filter(|number: &f64| starts_with_digit && number.is_finite());
        match number.ok_or(REMEDY)? {
            percent if of_capacity && (1.0..=100.0).contains(&percent) => Ok(Rate::OfCapacity(percent / 100.0)),
            rate if !of_capacity && (0.001..=1e9).contains(&rate) => Ok(Rate::PerSecond(rate)),
            _ => Err(REMEDY.to_owned()),
        }
    }
}

/// The sizes of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sizes(pub(crate) Vec<Range>);

/// Sizes of which each is as likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) smallest: usize,
    pub(crate) largest: usize,
    /// Messages with a size of this range, relative to the weights of the others.
    pub(crate) weight: u32,
}

impl Sizes {
    /// The largest size that can come.
    pub(crate) fn largest(&self) -> usize {
        self.0.iter().map(|range| range.largest).max().unwrap_or(0)
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(words: &str) -> Result<Sizes, String> {
        words.split(',').map(|word| Range::from_str(word.trim())).collect::<Result<_, _>>().map(Sizes)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(word: &str) -> Result<Range, String> {
        let of_word = |error: &str| format!("{word:?}: {error}");
        let (sizes, weight) = word.split_once(':').unwrap_or((word, "1"));
        let weight = weight.trim().parse().ok().filter(|&weight: &u32| weight > 0);
        let weight = weight.ok_or_else(|| of_word("after the colon, use a whole number from 1, the weight"))?;
        let (smallest, largest) = sizes.split_once("..").unwrap_or((sizes, sizes));
        let parse = |word: &str| size::<usize>(word.trim()).map_err(|error| of_word(&error));
        let range = Range { smallest: parse(smallest)?, largest: parse(largest)?, weight };
        if range.smallest > range.largest {
            return Err(of_word("the first size is larger than the second; turn them round"));
        }
        Ok(range)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Range { smallest, largest, weight }) in self.0.iter().enumerate() {
            f.write_str(if at > 0 { ", " } else { "" })?;
            match smallest == largest {
                true => write!(f, "{largest}")?,
                false => write!(f, "{smallest}..{largest}")?,
            }
            if self.0.len() > 1 {
                write!(f, ":{weight}")?;
            }
        }
        Ok(())
    }
}

fn overflow(word: &str) -> Result<Overflow, String> {
    match word {
        "drop_newest" => Ok(Overflow::DropNewest),
        "overwrite_oldest" => Ok(Overflow::OverwriteOldest),
        "block" => Ok(Overflow::Block),
        _ => {
            let time = word.strip_prefix("block_for=").and_then(|time| humantime::parse_duration(time.trim()).ok());
            let time = time.ok_or("use drop_newest, overwrite_oldest, block, or block_for=TIME")?;
            match time.is_zero() || time > BLOCK_TIME_MAX {
                true => Err("wait more than zero and at most 1 hour, or use drop_newest or block".to_owned()),
                false => Ok(Overflow::BlockFor(time)),
            }
        }
    }
}

fn disk_bytes(words: &str) -> Result<u64, String> {
    let bytes = size(words)?;
    if bytes > DISK_BYTES_MAX {
        return Err("use at most 8 GiB: older messages make room, and are in the summary's count".to_owned());
    }
    Ok(bytes)
}

/// Parses the time that a measurement takes.
pub(super) fn duration(words: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let time = humantime::parse_duration(words).map_err(|error| error.to_string())?;
    if time.is_zero() || time > DAY {
        return Err("use more than zero and at most 1 day, such as \"30 s\"".to_owned());
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_a_percentage_or_max() {
        assert_eq!("1000".parse(), Ok(Rate::PerSecond(1000.0)));
        assert_eq!(" 0.5".parse(), Ok(Rate::PerSecond(0.5)));
        assert_eq!("50 %".parse(), Ok(Rate::OfCapacity(0.5)));
        assert_eq!("max".parse(), Ok(Rate::Max));
        for word in ["", "0", "-1", "+1", "1e99", "nan", "inf", "0%", "101%", "fast", "%"] {
            let error = word.parse::<Rate>().expect_err(word);
            assert!(error.contains("50%"), "{error}");
        }
    }

    #[test]
    fn sizes_are_one_a_range_or_several_with_weights() {
        let sizes: Sizes = "64:90, 1KiB..4KiB:9, 300KiB".parse().expect("sizes");
        let range = |smallest, largest, weight| Range { smallest, largest, weight };
        assert_eq!(sizes.0, [range(64, 64, 90), range(1024, 4096, 9), range(307_200, 307_200, 1)]);
        assert_eq!(sizes.to_string(), "64:90, 1024..4096:9, 307200:1");
        assert_eq!(sizes.largest(), 307_200);
        assert_eq!("200".parse::<Sizes>().expect("a size").to_string(), "200");
        for (word, remedy) in [
            ("", "\"\": use a number of bytes"),
            ("-1", "\"-1\": use a number of bytes"),
            ("9..1", "turn them round"),
            ("9:0", "a whole number from 1"),
            ("9:x", "a whole number from 1"),
            ("1,,2", "\"\": use a number"),
        ] {
            let error = word.parse::<Sizes>().expect_err(word);
            assert!(error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn a_policy_has_the_name_that_it_has_in_a_configuration() {
        assert_eq!(overflow("block_for=5 ms"), Ok(Overflow::BlockFor(Duration::from_millis(5))));
        assert_eq!(overflow("overwrite_oldest"), Ok(Overflow::OverwriteOldest));
        assert!(overflow("block_for=").is_err() && overflow("drop").is_err());
        for time in ["0s", "2h"] {
            let error = overflow(&format!("block_for={time}")).expect_err(time);
            assert!(error.contains("at most 1 hour"), "{error}");
        }
    }

    #[test]
    fn no_more_than_eight_gibibytes_and_no_time_of_zero() {
        assert_eq!(disk_bytes("8 GiB"), Ok(DISK_BYTES_MAX));
        assert!(disk_bytes("9 GiB").expect_err("too many").contains("8 GiB"));
        assert!(duration("0 s").is_err() && duration("2 days").is_err() && duration("soon").is_err());
    }
}
