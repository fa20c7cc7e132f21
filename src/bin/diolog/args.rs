//! The command line's arguments and its help.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use diolog::{DevicePreference, Level};

/// Writes and reads logs made with diolog: what was accepted is on disk, or counted as not on disk.
#[derive(Debug, Parser)]
#[command(name = "diolog", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "Exit status:
  0    clean
  1    a torn or unconfirmed tail, or holes that were never acknowledged
  2    data is lost
  3    cannot read or write, or a newer diolog wrote parts of the log
  64   the command was not understood
  130  ended by Ctrl-C (tail -f: 0, or 2 or 3 as above)";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log standard input, a record for each line, without losing any
    #[command(after_help = EXIT_STATUS)]
    Write(Box<Write>),
    /// Print the records in order of time
    #[command(after_help = EXIT_STATUS)]
    Cat(Cat),
    /// Print the last records, and go on with those to come
    #[command(after_help = EXIT_STATUS)]
    Tail(Tail),
    /// Show the segments, the runs, and what the log was opened with
    #[command(after_help = EXIT_STATUS)]
    Info(Info),
    /// Recompute from the files what was kept and what was lost
    #[command(after_help = EXIT_STATUS)]
    Verify(Verify),
    /// Measure this machine, each figure beside its baseline
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Debug, Args)]
pub(crate) struct Write {
    /// The log's directory; made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// A TOML file with the library's settings, but for path, level and overflow; the options below go before it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Level of the records: error, warn, info, debug or trace
    #[arg(long, default_value = "info")]
    pub(crate) level: Level,
    /// Name of the service, kept in each segment
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Longest line; longer ones are cut [default: 1 MiB, or up to 64 KiB where a ring, a block or a file is given]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) message_bytes_max: Option<usize>,
    /// Bytes of the ring between reading and writing [default: 4 MiB, or what the longest line needs]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) ring_bytes: Option<usize>,
    /// Bytes of the largest write to the disk [default: 2 MiB, or what the longest line needs]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) block_bytes: Option<usize>,
    /// Blocks on their way to the disk at once [default: 4]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) blocks_in_flight: Option<usize>,
    /// Bytes of a segment file [default: 256 MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) segment_bytes: Option<usize>,
    /// Go on in the next segment file when one is this old, such as "1 h" [default: by size alone]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) rotate_after: Option<Duration>,
    /// Remove the oldest segments where all together take more than this [default: keep all]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) retain_bytes: Option<usize>,
    /// Remove the oldest segments where there are more than this [default: keep all]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) retain_segments: Option<u64>,
    /// Remove segments last written to this long ago, such as "30 days" [default: keep all]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) retain_for: Option<Duration>,
    /// The longest that a line waits in memory, such as "100 ms" [default: 100 ms]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) flush_interval: Option<Duration>,
    /// CPU to which the writer thread is pinned, by the kernel's number
    #[arg(long, value_name = "CPU")]
    pub(crate) writer_core: Option<usize>,
    /// Way to the disk; all but auto fail where it cannot be taken [default: auto]
    #[arg(long, value_name = "WAY", value_parser = device())]
    pub(crate) device: Option<DevicePreference>,
    /// No summary at the end
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// The log's directory, or one of its segment files
    #[arg(value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,
    /// How a record is printed
    #[arg(long, value_enum, default_value_t = RecordFormat::Text)]
    pub(crate) format: RecordFormat,
    /// Have the file system make everything durable first, so that nothing printed can be lost to a power cut
    #[arg(long)]
    pub(crate) durable: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The log's directory, or one of its segment files
    #[arg(value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,
    /// How many of the last records are printed
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 10)]
    pub(crate) lines: usize,
    /// Go on with the records to come, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Have the file system make everything durable first, so that nothing printed can be lost to a power cut
    #[arg(long)]
    pub(crate) durable: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The log's directory, or one of its segment files
    #[arg(value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Have the file system make everything durable first, so that nothing proved can be lost to a power cut
    #[arg(long)]
    pub(crate) durable: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// The log's directory, or one of its segment files
    #[arg(value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// What an append costs the calling thread, beside reading the clock only
    Append(Measure),
    /// How many records a second become durable, beside a bare ring into the same disk
    Sustained(Measure),
    /// How fast one log brings blocks to the disk: figures to set beside those of other programs
    Disk(Disk),
}

#[derive(Debug, Args)]
pub(crate) struct Measure {
    /// A directory on the disk to be measured; what is written there is removed at the end
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// About how long it takes; longer is more certain
    #[arg(long, value_name = "NUMBER", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Disk {
    /// A directory on the disk to be measured; what is written there is removed at the end
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Most that is written, into a file prepared for twice as much
    #[arg(long, value_name = "SIZE", default_value = "256 MiB", value_parser = size)]
    pub(crate) bytes: usize,
    /// Longest time that records are appended
    #[arg(long, value_name = "TIME", default_value = "10 s", value_parser = humantime::parse_duration)]
    pub(crate) time: Duration,
    /// Bytes of a block, the largest write to the disk
    #[arg(long, value_name = "SIZE", default_value = "256 KiB", value_parser = size)]
    pub(crate) block_bytes: usize,
    /// Blocks on their way to the disk at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4)]
    pub(crate) blocks_in_flight: usize,
    /// Way to the disk; all but auto fail where it cannot be taken
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = device())]
    pub(crate) device: DevicePreference,
    /// Bytes of a message
    #[arg(long, value_name = "SIZE", default_value = "4 KiB", value_parser = size)]
    pub(crate) message_bytes: usize,
    /// Threads that append, each with a ring of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) producers: u16,
    /// Bytes of a ring [default: what keeps all blocks in flight]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) ring_bytes: Option<usize>,
    /// CPU to which the writer thread is pinned, by the kernel's number
    #[arg(long, value_name = "CPU")]
    pub(crate) writer_core: Option<usize>,
    /// Records a second, of all threads together [default: as many as the disk takes]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Flush after each record, and time both together
    #[arg(long)]
    pub(crate) flush_each: bool,
    /// A CSV file with a row for each second
    #[arg(long, value_name = "FILE")]
    pub(crate) samples: Option<PathBuf>,
    /// How the figures are printed
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordFormat {
    /// Time, level, producer and message, control characters escaped; local time on a terminal, else UTC
    Text,
    /// An object a line
    Json,
    /// The bytes that were written, and a line feed
    Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Text,
    /// One object
    Json,
}

/// "262144", "256 KiB", "2MiB".
fn size(words: &str) -> Result<usize, String> {
    let bytes = words.parse().ok().map(|size: ByteSize| size.as_u64());
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| "use a number of bytes or words such as \"256 KiB\"".to_owned())
}

/// The ways to the disk by their names.
fn device() -> impl TypedValueParser<Value = DevicePreference> {
    const WAYS: [(&str, DevicePreference); 5] = [
        ("auto", DevicePreference::Auto),
        ("direct", DevicePreference::Direct),
        ("io_uring", DevicePreference::IoUring),
        ("pwrite", DevicePreference::Pwrite),
        ("buffered", DevicePreference::Buffered),
    ];
    PossibleValuesParser::new(WAYS.map(|(name, _)| name)).map(|name| {
        // The parser lets only these names through.
        WAYS.into_iter().find(|(known, _)| *known == name).map_or(DevicePreference::Auto, |(_, way)| way)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_and_times_are_understood_in_words() {
        let line =
            ["diolog", "write", "a", "--ring-bytes", "2 MiB", "--block-bytes", "65536", "--flush-interval", "5ms"];
        let Command::Write(write) = Arguments::parse_from(line).command else { panic!("another command") };
        assert_eq!((write.ring_bytes, write.block_bytes), (Some(2 << 20), Some(65_536)));
        assert_eq!(write.flush_interval, Some(Duration::from_millis(5)));
        assert!(size("much").is_err());
    }
}
