//! `diolog write`: standard input into a log, a record for each line, without losing any.

mod watch;

use std::io;
use std::time::{Duration, Instant};

use diolog::{Config, Level, Logger, Outcome, Overflow, Producer};

use crate::args::Write;
use crate::exit::{Failure, Status};
use crate::input::lines::{InputLine, Lines};
use crate::input::stdin::{Event, Input};
use crate::text::output::say;
use crate::text::units;
use watch::Watch;

/// The longest line where nothing is said: longer than a stack trace, shorter than a dump.
const LINE_BYTES: usize = 1 << 20;

/// The ring where nothing is said: it holds two of the longest lines, and what comes while the disk is busy.
const RING_BYTES: usize = 4 << 20;

/// The block where nothing is said: large writes, since nobody waits for a single line here.
const BLOCK_BYTES: usize = 2 << 20;

/// The largest block that there can be.
const BLOCK_BYTES_MAX: usize = 16 << 20;

/// More than the headers that stand beside the longest line in its ring and in its block.
const HEADERS_BYTES: usize = 1 << 10;

/// Lines that are named when they are cut; the others are only counted.
const CUT_NAMED: u64 = 5;

/// While the last lines are on their way to the disk, Ctrl-C is looked for so often.
const FLUSH_TURN: Duration = Duration::from_millis(200);

/// What came of the lines.
#[derive(Default)]
struct Tally {
    records: u64,
    bytes: u64,
    cut: u64,
    filtered: u64,
    lost: u64,
    first_lost: u64,
}

/// Logs standard input until it ends, or until Ctrl-C.
pub(crate) fn run(arguments: &Write) -> Result<Status, Failure> {
    let logger = Logger::open(config(arguments)?)?;
    let watch = Watch::start(&logger).map_err(cannot_start)?;
    let producer = logger.producer_named("stdin")?;
    let started = Instant::now();
    // A line may wait for a disk that is full, and the disk for somebody who never comes: closing ends both.
    let closer = logger.clone();
    let mut input = Input::start(move || drop(closer.close())).map_err(cannot_start)?;
    let kept_max = producer.message_bytes_max();
    let mut writing = Writing { producer, level: arguments.level, kept_max, tally: Tally::default() };
    let mut lines = Lines::new(kept_max);
    let mut status = Status::Clean;
    loop {
        match input.next() {
            Event::Chunk(chunk) => {
                lines.feed(&chunk, |line| writing.log(&line));
                input.recycle(chunk);
            }
            Event::Stop => status = Status::Interrupted,
            Event::End => break,
            Event::Failed(error) => {
                say(format_args!("cannot read standard input: {error}"));
                status = Status::Unusable;
                break;
            }
        }
    }
    lines.end(|line| writing.log(&line));
    let Writing { producer, tally, .. } = writing;
    drop(producer);
    // A slow disk is waited for as long as it takes, or until Ctrl-C; closing has a deadline, and says what went wrong.
    while let Err(diolog::Error::FlushTimeout { .. }) = logger.flush_within(FLUSH_TURN) {
        if input.is_stopped() {
            status = Status::Interrupted;
            break;
        }
    }
    drop(watch);
    let closed = logger.close();
    tell_losses(&tally, arguments.level);
    if !arguments.quiet {
        let durable = if closed.is_ok() { ", all durable" } else { "" };
        say(format_args!(
            "{}, {}, in {}{}{durable}; {}, {}",
            units::counted(tally.records, "record"),
            units::bytes(tally.bytes),
            units::duration(started.elapsed()),
            speed(&tally, started.elapsed()),
            arguments.directory.display(),
            logger.stats().device,
        ));
    }
    closed?;
    let lost = if tally.cut > 0 || tally.lost > 0 { Status::Lost } else { Status::Clean };
    Ok(status.max(lost))
}

fn cannot_start(error: io::Error) -> Failure {
    Failure { message: format!("cannot start a thread: {error}"), status: Status::Unusable }
}

/// The producer and what came of its lines.
struct Writing {
    producer: Producer,
    level: Level,
    kept_max: usize,
    tally: Tally,
}

impl Writing {
    fn log(&mut self, line: &InputLine<'_>) {
        match self.producer.log(self.level, line.bytes) {
            Outcome::Written => self.written(line.length),
            Outcome::Truncated => {
                self.written(self.kept_max as u64);
                self.cut(line);
            }
            Outcome::Filtered => self.tally.filtered += 1,
            _ => {
                if self.tally.lost == 0 {
                    self.tally.first_lost = line.number;
                }
                self.tally.lost += 1;
            }
        }
    }

    fn written(&mut self, bytes: u64) {
        self.tally.records += 1;
        self.tally.bytes += bytes;
    }

    fn cut(&mut self, line: &InputLine<'_>) {
        self.tally.cut += 1;
        if self.tally.cut <= CUT_NAMED {
            say(format_args!(
                "line {} has {} bytes and was cut to {}: use --message-bytes-max {}",
                line.number, line.length, self.kept_max, line.length
            ));
        }
    }
}

/// Says which lines are not in the log, or not whole.
fn tell_losses(tally: &Tally, level: Level) {
    if tally.cut > CUT_NAMED {
        say(format_args!(
            "{} were cut, the first {CUT_NAMED} of which are named above",
            units::counted(tally.cut, "line")
        ));
    }
    if tally.filtered > 0 {
        let lines = units::counted(tally.filtered, "line");
        say(format_args!("{lines} not logged: DIOLOG_LEVEL asks for records graver than {level}"));
    }
    if tally.lost > 0 {
        let lines = units::counted(tally.lost, "line");
        say(format_args!("{lines} not logged, from line {} on: the device had failed", tally.first_lost));
    }
}

/// " (2.7 M/s, 240 MiB/s)", where there was enough to tell.
fn speed(tally: &Tally, elapsed: Duration) -> String {
    if tally.records < 10_000 {
        return String::new();
    }
    let bytes = tally.bytes as f64 / elapsed.as_secs_f64().max(1e-9);
    format!(" ({}/s, {}/s)", units::rate(tally.records, elapsed), units::bytes(bytes as u64))
}

/// The library's settings: what the options say, else the file, else what suits lines of unknown length.
fn config(arguments: &Write) -> Result<Config, Failure> {
    let mut config = match &arguments.config {
        Some(file) => Config::from_toml_file(file)?.path(&arguments.directory),
        None => Config::new(&arguments.directory),
    };
    let sized = arguments.config.is_some() || arguments.ring_bytes.is_some() || arguments.block_bytes.is_some();
    if let Some(line) = arguments.message_bytes_max.or((!sized).then_some(LINE_BYTES)) {
        config = config.message_bytes_max(line);
        if arguments.config.is_none() {
            // A line that no block can hold is refused by open, with the remedy.
            let needed = line.min(BLOCK_BYTES_MAX) + HEADERS_BYTES;
            config = config.ring_bytes(RING_BYTES.max((2 * needed).next_power_of_two()));
            config = config.block_bytes(BLOCK_BYTES.max(needed.next_multiple_of(4096)).min(BLOCK_BYTES_MAX));
        }
    }
    /// Calls the setter of each option that was given.
    macro_rules! set {
        ($($name:ident),*) => {
            $(if let Some(value) = arguments.$name.clone() { config = config.$name(value); })*
        };
    }
    set!(ring_bytes, block_bytes, blocks_in_flight, flush_interval, writer_core, service, device);
    set!(rotate_after, retain_segments, retain_for);
    if let Some(bytes) = arguments.segment_bytes {
        config = config.segment_bytes(bytes as u64);
    }
    if let Some(bytes) = arguments.retain_bytes {
        config = config.retain_bytes(bytes as u64);
    }
    Ok(config.level(arguments.level).overflow(Overflow::Block))
}
