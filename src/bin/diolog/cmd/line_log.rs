//! A log of lines, as `write` and `run` keep it: its settings, what becomes of each line, and what is said when the
//! disk takes no more.

use std::io;

use diolog::unstable::{BLOCK_BYTES_MAX, GRID_BYTES};
use diolog::{Config, Level, Logger, Outcome, Overflow, Producer, State};

use crate::args::WrittenLog;
use crate::exit::{Failure, Status};
use crate::input::lines::InputLine;
use crate::text::output::say;
use crate::text::units;

/// Default for the longest line: longer than a stack trace, shorter than a dump.
const LINE_BYTES: usize = 1 << 20;

/// Default for the ring: holds two of the longest lines, and the input that comes while the disk is busy.
const RING_BYTES: usize = 4 << 20;

/// Default for the block: large writes, because no one waits for a single line.
const BLOCK_BYTES: usize = 2 << 20;

/// Default for the blocks in flight, each as large as eight of the library's.
const BLOCKS_IN_FLIGHT: usize = 4;

/// Upper bound of the headers that the longest line needs in its ring and in its block.
const HEADERS_BYTES: usize = 1 << 10;

/// The number of cut lines that are printed one by one; the others are only counted.
const CUT_NAMED: u64 = 5;

/// The library's settings for lines, which wait for the disk: from the options, else from the file, else defaults that
/// suit lines of unknown length.
pub(super) fn line_config(log: &WrittenLog) -> Result<Config, Failure> {
    let WrittenLog { directory, config, settings } = log;
    let config = match config {
        Some(file) => Config::from_toml_file(file).map_err(no_settings)?.path(directory),
        None => {
            let config = Config::new(directory);
            let is_sized = settings.ring_bytes.is_some() || settings.block_bytes.is_some();
            match settings.message_bytes_max.or((!is_sized).then_some(LINE_BYTES)) {
                Some(line) => sized_for(line, config),
                None => config,
            }
        }
    };
    Ok(settings.apply(config).overflow(Overflow::Block))
}

/// The failure to read the file of settings: what the command line names is wrong, whatever the reason.
fn no_settings(error: diolog::Error) -> Failure {
    Failure { status: Status::Usage, ..error.into() }
}

/// `config` for lines of up to `line` bytes, with a ring and blocks that hold them.
fn sized_for(line: usize, config: Config) -> Config {
    // `open` refuses a line that no block can hold, and names the remedy.
    let needed = line.min(BLOCK_BYTES_MAX) + HEADERS_BYTES;
    // An eighth of a block is kept for a callsite's definition.
    let block = needed.div_ceil(7) * 8;
    config
        .message_bytes_max(line)
        .ring_bytes(RING_BYTES.max((2 * needed).next_power_of_two()))
        .block_bytes(BLOCK_BYTES.max(block.next_multiple_of(GRID_BYTES)).min(BLOCK_BYTES_MAX))
        .blocks_in_flight(BLOCKS_IN_FLIGHT)
}

/// The producer of one input, and what has become of the input's lines.
pub(super) struct LineLog {
    producer: Producer,
    tally: Tally,
}

/// Lines by outcome.
#[derive(Default)]
pub(super) struct Tally {
    /// Which input they are of, for messages; `None` if there is only one.
    input: Option<&'static str>,
    pub(super) records: u64,
    pub(super) bytes: u64,
    cut: u64,
    filtered: u64,
    lost: u64,
    first_lost: u64,
    why_lost: &'static str,
}

impl LineLog {
    /// Logs the lines of `input`, which has a name if there are several.
    pub(super) fn new(producer: Producer, input: Option<&'static str>) -> LineLog {
        LineLog { producer, tally: Tally { input, ..Tally::default() } }
    }

    /// The longest line that is not cut.
    pub(super) fn kept_max(&self) -> usize {
        self.producer.message_bytes_max()
    }

    /// Logs a line. The first few that are cut are printed.
    pub(super) fn log(&mut self, level: Level, line: &InputLine<'_>) {
        match self.producer.log(level, line.bytes) {
            Outcome::Written => self.tally.count_written(line.length),
            Outcome::Truncated => {
                let kept = self.kept_max() as u64;
                self.tally.count_written(kept);
                self.tally.report_cut(line, kept);
            }
            Outcome::Filtered => self.tally.filtered += 1,
            outcome => self.tally.count_lost(line.number, outcome),
        }
    }

    /// Ends the producer.
    pub(super) fn end(self) -> Tally {
        self.tally
    }
}

impl Tally {
    fn count_written(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes += bytes;
    }

    fn count_lost(&mut self, number: u64, outcome: Outcome) {
        if self.lost == 0 {
            self.first_lost = number;
            self.why_lost = match outcome {
                Outcome::Closed => "the log had been given up",
                _ => "the device had failed",
            };
        }
        self.lost += 1;
    }

    fn report_cut(&mut self, line: &InputLine<'_>, kept: u64) {
        self.cut += 1;
        if self.cut <= CUT_NAMED {
            let (number, bytes) = (units::grouped(line.number), units::counted(line.length, "byte"));
            let (of, kept, wanted) = (self.of(), units::grouped(kept), line.length);
            say(format_args!("line {number}{of} has {bytes} and was cut to {kept}: use --message-bytes-max {wanted}"));
        }
    }

    /// The input, after a count of its lines.
    fn of(&self) -> String {
        self.input.map_or_else(String::new, |input| format!(" of {input}"))
    }

    /// Whether lines are cut or missing in the log that were to be in it.
    pub(super) fn is_lossy(&self) -> bool {
        self.cut > 0 || self.lost > 0
    }

    /// Prints how many lines are cut or missing in the log.
    pub(super) fn report(&self) {
        let lines = |count| format!("{}{}", units::counted(count, "line"), self.of());
        if self.cut > CUT_NAMED {
            say(format_args!("{} were cut; the first {CUT_NAMED} are listed above", lines(self.cut)));
        }
        if self.filtered > 0 {
            let levels = if self.filtered == 1 { "its level" } else { "their levels" };
            say(format_args!("{} not logged: DIOLOG_LEVEL excludes {levels}", lines(self.filtered)));
        }
        if self.lost > 0 {
            let (lines, first) = (lines(self.lost), units::grouped(self.first_lost));
            say(format_args!("{lines} not logged, the first is line {first}: {}", self.why_lost));
        }
    }
}

/// Prints when a log stops or resumes taking records: who writes it waits meanwhile.
pub(super) struct StateWatch {
    said: State,
    /// Who waits for space, and until when.
    waits: &'static str,
}

impl StateWatch {
    /// `waits` is said after "no space left for the log: ".
    pub(super) fn new(waits: &'static str) -> StateWatch {
        StateWatch { said: State::Ok, waits }
    }

    /// Prints the log's state if it has changed, and returns it.
    pub(super) fn look(&mut self, logger: &Logger) -> State {
        let state = logger.stats().state;
        if std::mem::replace(&mut self.said, state) != state {
            match state {
                State::Ok => say("the log can be written again"),
                State::Full => say(format_args!("no space left for the log: {}", self.waits)),
                _ => say("the log cannot be written: trying again; lines that find no space in the ring are lost"),
            }
        }
        state
    }
}

/// Whether the disk, or a quota, has no room.
pub(super) fn is_want_of_room(error: &diolog::Error) -> bool {
    let kind = error.io_error().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}
