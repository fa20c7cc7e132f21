//! The command line's arguments and its help.

mod field;
mod help;
mod load;
mod moment;
mod pattern;
mod select;
mod settings;
mod short_forms;
mod tips;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use diolog::{DevicePreference, Level};

use crate::exit::Failure;
pub(crate) use field::FieldTest;
use load::duration;
pub(crate) use load::{Load, Range, Rate, Sizes};
pub(crate) use select::Select;
pub(crate) use settings::WrittenLog;
use settings::option_of;
pub(crate) use values::ReportFormat;
use values::{device, log_path, number, number_of_records, record_level, size};

/// Writes, reads and verifies diolog logs: every record is on disk, or counted as lost.
#[derive(Debug, Parser)]
#[command(name = "diolog", version, arg_required_else_help = true, after_help = help::DIOLOG)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Parses the words of a command line, the program's name first.
    pub(crate) fn parsed(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
        let words = short_forms::replaced(words);
        Arguments::try_parse_from(&words).map_err(|error| tips::given(error, &words))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log standard input, one record for each line, without loss
    #[command(after_help = help::WRITE)]
    Write(Box<Write>),
    /// Run a command and log its standard output and standard error, one record for each line, without loss
    #[cfg(target_os = "linux")]
    #[command(after_help = help::RUN)]
    Run(Box<Run>),
    /// Print the records of a log in order of time, or those of several logs merged by wall time
    #[command(after_help = help::CAT)]
    Cat(Cat),
    /// Print the last records, and with -f new ones as they are written
    #[command(after_help = help::TAIL)]
    Tail(Tail),
    /// Show the runs and segments of a log: who wrote them, when, how, and how each run ended
    #[command(after_help = help::INFO)]
    Info(Info),
    /// List the snapshots of a log's flight recorder: when, why, and how many records
    #[command(after_help = help::SNAPSHOTS)]
    Snapshots(Snapshots),
    /// Show what the writers of logs do: rates, losses, latencies and rings, each second
    #[command(after_help = help::TOP)]
    Top(Top),
    /// Prove from the files which records are kept and which are lost
    #[command(after_help = help::VERIFY)]
    Verify(Verify),
    /// Write to the log what a dead process has left in its shared rings
    #[command(after_help = help::RECOVER)]
    Recover(Recover),
    /// Measure diolog on this machine, each figure beside a baseline
    #[command(subcommand, after_help = help::BENCH)]
    Bench(Bench),
    /// Print the script that completes the command line in a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions(Completions),
    /// Write the manual pages
    #[command(after_help = help::MAN)]
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The directory to write them to; created if it does not exist
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Write {
    /// Level of the records: error, warn, info, debug or trace
    #[arg(long, default_value = "info", value_parser = record_level)]
    pub(crate) level: Level,
    #[command(flatten)]
    pub(crate) log: WrittenLog,
    /// Print no summary at the end
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Level of the lines of standard output: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = record_level)]
    pub(crate) stdout_level: Level,
    /// Level of the lines of standard error
    #[arg(long, value_name = "LEVEL", default_value = "warn", value_parser = record_level)]
    pub(crate) stderr_level: Level,
    /// Log lines as they are: by default the syslog or systemd prefix of a line, such as "<3>", is its level, and is
    /// not logged
    #[arg(long)]
    pub(crate) no_prefixes: bool,
    /// Pass both streams on, to standard output and standard error
    #[arg(short, long)]
    pub(crate) tee: bool,
    #[command(flatten)]
    pub(crate) log: WrittenLog,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, required = true, num_args = 1..)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// What the files are: diolog, or asynclogger, files of that Go logger, which have neither times nor levels
    #[arg(long, value_name = "KIND", value_enum, hide_possible_values = true, default_value_t = InputFormat::Diolog)]
    pub(crate) input: InputFormat,
    /// Print only the last records, of all logs together; -5 is short for -n 5
    #[arg(short = 'n', long, visible_alias = "lines", value_name = "NUMBER", allow_negative_numbers = true)]
    #[arg(value_parser = number_of_records)]
    pub(crate) last: Option<u64>,
    /// Print the newest record first
    #[arg(short, long)]
    pub(crate) reverse: bool,
    /// Print without a pager
    #[arg(long)]
    pub(crate) no_pager: bool,
    #[command(flatten)]
    pub(crate) records: Records,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Number of records to begin with, the last ones of all logs together; -5 is short for -n 5
    #[arg(short = 'n', long, visible_alias = "lines", value_name = "NUMBER", allow_negative_numbers = true)]
    #[arg(value_parser = number_of_records, default_value_t = 10)]
    pub(crate) last: u64,
    /// Wait for new records and print them, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// As -f, and also wait for a log that is not there yet; if it is removed or replaced, go on with the new one
    #[arg(short = 'F', long)]
    pub(crate) follow_path: bool,
    #[command(flatten)]
    pub(crate) records: Records,
}

/// Which records of which logs `cat` and `tail` print, and how.
#[derive(Debug, Args)]
pub(crate) struct Records {
    /// The directories of logs, or single segment files
    #[arg(value_name = "DIR|FILE", required = true, value_parser = log_path())]
    pub(crate) paths: Vec<PathBuf>,
    /// Format of a record: text for people; json, or --json, one object for each line; or message, the bytes that were
    /// logged and a line feed
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = RecordFormat::Text)]
    pub(crate) format: RecordFormat,
    #[command(flatten)]
    pub(crate) look: Look,
    /// Sync the files first, so that a power cut cannot lose what is printed
    #[arg(long)]
    pub(crate) durable: bool,
    /// Exit with 0 instead of 4 if records were dropped by policy
    #[arg(long)]
    pub(crate) allow_drops: bool,
    // The last: its heading stands above all options that follow.
    #[command(flatten)]
    pub(crate) select: Select,
}

/// How text looks.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// When to use colours; auto is on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// Print times in UTC; on a terminal, text has local times otherwise
    #[arg(long)]
    pub(crate) utc: bool,
    /// Print no lines that say where records are missing, and why; these lines do not count for -n, and with --format
    /// message they are on standard error
    #[arg(long)]
    pub(crate) no_gaps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The directories of logs, or single segment files; each has a report of its own
    #[arg(value_name = "DIR|FILE", required = true, value_parser = log_path())]
    pub(crate) paths: Vec<PathBuf>,
    /// Format of the report; json, or --json, is one object for each log, on a line of its own
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Show a row for every producer; otherwise, if a run has more than 20, those without a loss are summed up
    #[arg(long)]
    pub(crate) all: bool,
    /// Sync the files first, so that a power cut cannot lose what is verified
    #[arg(long)]
    pub(crate) durable: bool,
    /// Exit with 0 instead of 4 if records were dropped by policy
    #[arg(long)]
    pub(crate) allow_drops: bool,
    /// Print without a pager
    #[arg(long)]
    pub(crate) no_pager: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The directories of logs; each has a report of its own
    #[arg(value_name = "DIR", required = true, value_parser = log_path())]
    pub(crate) paths: Vec<PathBuf>,
    /// The directory with the ring files [default: where the process had them]
    #[arg(long, value_name = "DIR")]
    pub(crate) rings: Option<PathBuf>,
    /// Give up rings that cannot be recovered now: what they held is lost, and `verify` goes on saying so
    #[arg(long)]
    pub(crate) forget: bool,
    /// Format of the report; --json is short for --format json
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// The directories of logs, or single segment files; each has a report of its own
    #[arg(value_name = "DIR|FILE", required = true, value_parser = log_path())]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) report: Report,
}

#[derive(Debug, Args)]
pub(crate) struct Snapshots {
    /// The log's directory, the folder of its snapshots, or one of them
    #[arg(value_name = "DIR|FILE", value_parser = log_path())]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// How a report with times is printed.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Format of the report; --json is short for --format json
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Print times in UTC; on a terminal, text has local times otherwise
    #[arg(long)]
    pub(crate) utc: bool,
    /// Print without a pager
    #[arg(long)]
    pub(crate) no_pager: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The directories of logs
    #[arg(value_name = "DIR", required = true, value_parser = log_path())]
    pub(crate) paths: Vec<PathBuf>,
    /// Print the newest figures of each log once, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Format of the figures; json, or --json, is one object for each line, whenever there are newer ones
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Rows of producers to show for each log, those whose rings are fullest
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = number::<usize>(..))]
    pub(crate) producers: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Time of an append in the calling thread, beside reading the clock only
    #[command(after_help = help::BENCH_APPEND)]
    Append(Measure),
    /// Durable records a second, beside bare rings into the same disk
    #[command(after_help = help::BENCH_SUSTAINED)]
    Sustained(Measure),
    /// Durable bytes a second of one log, to compare with other programs such as fio
    #[command(after_help = help::BENCH_DISK)]
    Disk(Disk),
    /// Threads that log messages at due times; a summary, and a proof from the files (--csv writes a row for each
    /// second)
    #[command(after_help = help::BENCH_LOAD)]
    Load(Box<Load>),
}

#[derive(Debug, Args)]
pub(crate) struct Measure {
    /// A directory on the disk to measure; the files written there are removed at the end
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Approximate duration; a longer one gives more stable figures
    #[arg(long, value_name = "TIME", default_value = "12 s", value_parser = duration)]
    pub(crate) time: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Disk {
    /// A directory on the disk to measure; the files written there are removed at the end
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Bytes to write at most, into a file prepared for twice as many
    #[arg(long, value_name = "SIZE", default_value = "256 MiB", value_parser = size::<usize>)]
    pub(crate) total_bytes: usize,
    /// Time to append for at most
    #[arg(long, value_name = "TIME", default_value = "10 s", value_parser = humantime::parse_duration)]
    pub(crate) time: Duration,
    /// Size of a block, the largest write to the disk
    #[arg(long, value_name = "SIZE", default_value = "256 KiB", value_parser = size::<usize>)]
    pub(crate) block_bytes: usize,
    /// Blocks written at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = number::<usize>(..))]
    pub(crate) blocks_in_flight: usize,
    /// How blocks are written: auto takes the best that works; with the others, it is an error if that one does not
    /// work; direct is io_uring, or else pwrite
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device())]
    pub(crate) device: DevicePreference,
    /// Size of a message
    #[arg(long, value_name = "SIZE", default_value = "4 KiB", value_parser = size::<usize>)]
    pub(crate) message_bytes: usize,
    /// Threads that append, each with its own ring
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = number::<u16>(1..=1024))]
    pub(crate) threads: u16,
    /// Size of a ring [default: enough to keep all blocks in flight]
    #[arg(long, value_name = "SIZE", value_parser = size::<usize>)]
    pub(crate) ring_bytes: Option<usize>,
    /// Pin the writer thread to this CPU, by the kernel's number [default: not pinned]
    #[arg(long, value_name = "CPU", value_parser = number::<usize>(..))]
    pub(crate) writer_core: Option<usize>,
    /// Records a second, all threads together [default: as many as the disk takes]
    #[arg(long, value_name = "NUMBER", value_parser = number::<u32>(1..))]
    pub(crate) rate: Option<u32>,
    /// Flush after each record, and time append and flush together
    #[arg(long)]
    pub(crate) flush_each: bool,
    /// Write a CSV file with a row for each second
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Format of the figures; --json is short for --format json
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
}

impl Disk {
    /// The failure to measure, with options in place of the settings that they make.
    pub(crate) fn refused(error: diolog::Error) -> Failure {
        Failure::of(error, |setting| match setting {
            "message_bytes_max" => Some("--message-bytes".to_owned()),
            "ring_bytes" | "block_bytes" | "blocks_in_flight" | "device" | "writer_core" => Some(option_of(setting)),
            _ => None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    Diolog,
    Asynclogger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordFormat {
    // Without documentation: `--help` would give each value a paragraph, and each option too.
    Text,
    Json,
    Message,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// The help below the options of each command and its subcommands, with its name.
    fn helps(command: &clap::Command) -> Vec<(String, String)> {
        let name = command.get_name().to_owned();
        let help = command.get_after_help().map(|help| (name, help.to_string()));
        help.into_iter().chain(command.get_subcommands().flat_map(helps)).collect()
    }

    /// The words of the first command in a line of a shell, up to a comment, a pipe or a redirection.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\'' => is_quoted = !is_quoted,
                ' ' if !is_quoted => {
                    words.push(std::mem::take(&mut word));
                    if letters.peek() == Some(&' ') {
                        return words;
                    }
                }
                '|' | '>' | '<' | '&' if !is_quoted => return words,
                letter => word.push(letter),
            }
        }
        words.push(word);
        words
    }

    #[test]
    fn every_command_has_examples_and_each_is_valid() {
        for (name, help) in helps(&Arguments::command()) {
            let examples = help.split("\n\n").next().and_then(|first| first.strip_prefix("Examples:"));
            let lines = examples.unwrap_or_else(|| panic!("{name} has no examples")).lines();
            let commands: Vec<_> = lines.filter_map(|line| Some(&line[line.find("diolog ")?..])).collect();
            assert!(!commands.is_empty(), "{name}");
            for command in commands {
                let parsed = Arguments::parsed(words(command).into_iter().map(OsString::from));
                assert!(parsed.is_ok(), "{command}: {}", parsed.map(drop).unwrap_err());
            }
        }
        let has_help = |command: &clap::Command| command.get_after_help().is_some();
        let command = Arguments::command();
        let bench = command.find_subcommand("bench").expect("a command");
        assert!(command.get_subcommands().chain(bench.get_subcommands()).all(has_help));
    }

    #[test]
    fn sizes_and_times_have_units() {
        let line =
            ["diolog", "write", "a", "--ring-bytes", "2 MiB", "--block-bytes", "65536", "--flush-interval", "5ms"];
        let Command::Write(write) = Arguments::parse_from(line).command else { panic!("another command") };
        let settings = write.log.settings;
        assert_eq!((settings.ring_bytes, settings.block_bytes), (Some(2 << 20), Some(65_536)));
        assert_eq!(settings.flush_interval, Some(Duration::from_millis(5)));
    }
}
