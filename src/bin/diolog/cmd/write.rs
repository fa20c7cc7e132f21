//! `diolog write`: logs standard input, one record for each line, without loss.

mod watch;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use diolog::{Config, Level, Logger, Outcome, Overflow, Producer};

use crate::args::{Write, WrittenLog};
use crate::exit::{Failure, Status};
use crate::input::lines::{InputLine, Lines};
use crate::input::signals::Asked;
use crate::input::stdin::{Event, Input};
use crate::text::output::say;
use crate::text::units;
use watch::Watch;

/// Default for the longest line: longer than a stack trace, shorter than a dump.
const LINE_BYTES: usize = 1 << 20;

/// Default for the ring: holds two of the longest lines, and the input that comes while the disk is busy.
const RING_BYTES: usize = 4 << 20;

/// Default for the block: large writes, because no one waits for a single line.
const BLOCK_BYTES: usize = 2 << 20;

/// Default for the blocks in flight, each as large as eight of the library's.
const BLOCKS_IN_FLIGHT: usize = 4;

/// The library's limit for a block.
const BLOCK_BYTES_MAX: usize = 16 << 20;

/// Upper bound of the headers that the longest line needs in its ring and in its block.
const HEADERS_BYTES: usize = 1 << 10;

/// The number of cut lines that are printed one by one; the others are only counted.
const CUT_NAMED: u64 = 5;

/// The time between two looks at the log during the last flush.
const FLUSH_TURN: Duration = Duration::from_millis(200);

/// After a signal, the last flush is given up if nothing has become durable for so long.
const STALL_MAX: Duration = Duration::from_secs(5);

/// Lines by outcome.
#[derive(Default)]
struct Tally {
    records: u64,
    bytes: u64,
    cut: u64,
    filtered: u64,
    lost: u64,
    first_lost: u64,
    why_lost: &'static str,
}

/// Logs standard input until it ends, or until a signal.
pub(crate) fn run(arguments: &Write) -> Result<Status, Failure> {
    let config = line_config(&arguments.log)?.level(arguments.level);
    let logger = Logger::open(config).map_err(|error| arguments.log.refused(error))?;
    let witness = logger.clone();
    let mut input = Input::start(move || last_words(&witness)).map_err(cannot_start)?;
    let watch = Watch::start(&logger, input.asked()).map_err(cannot_start)?;
    let producer = logger.producer_named("stdin")?;
    let started = Instant::now();
    let kept_max = producer.message_bytes_max();
    let mut writing = Writing { producer, level: arguments.level, kept_max, tally: Tally::default() };
    let mut lines = Lines::new(kept_max);
    let mut status = Status::CLEAN;
    loop {
        match input.next() {
            Event::Chunk(chunk) => {
                lines.feed(&chunk, |line| writing.log(&line));
                input.recycle(chunk);
            }
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
    flush_at_the_end(&logger, input.asked());
    if let Some(signal) = input.asked().get() {
        status = Status::Interrupted(signal.exit_status());
    }
    drop(watch);
    let closed = logger.close();
    print_losses(&tally, arguments.level);
    if !arguments.quiet {
        let durable = if closed.is_ok() { ", all durable" } else { "" };
        say(format_args!(
            "{}, {}, in {}{}{durable}; {}, {}",
            units::counted(tally.records, "record"),
            units::bytes(tally.bytes),
            units::duration(started.elapsed()),
            speed(&tally, started.elapsed()),
            arguments.log.directory.display(),
            logger.stats().device,
        ));
    }
    closed?;
    // A loss counts for more than the signal that may have led to it.
    let is_lossy = tally.cut > 0 || tally.lost > 0;
    Ok(if is_lossy && status != Status::Unusable { Status::LOST } else { status })
}

/// Waits for a slow or full disk as long as it takes; after a signal, as long as records become durable. Failures are
/// reported by `close`.
fn flush_at_the_end(logger: &Logger, asked: &Asked) {
    let (mut durable, mut since) = (0, Instant::now());
    loop {
        match logger.flush_within(FLUSH_TURN) {
            Err(diolog::Error::FlushTimeout { .. }) => {}
            Err(error) if is_for_want_of_room(&error) => thread::sleep(FLUSH_TURN),
            _ => return,
        }
        let before = std::mem::replace(&mut durable, logger.stats().durable_records);
        if durable > before || asked.get().is_none() {
            since = Instant::now();
        } else if since.elapsed() > STALL_MAX {
            return;
        }
    }
}

/// Whether the disk, or a quota, has no room.
fn is_for_want_of_room(error: &diolog::Error) -> bool {
    let kind = error.io_error().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

/// What is printed if a second signal ends the command at once.
fn last_words(logger: &Logger) -> Option<String> {
    let stats = logger.stats();
    let unconfirmed = stats.accepted().saturating_sub(stats.durable_records);
    let logged = match unconfirmed {
        0 => "all that was logged is durable".to_owned(),
        _ => format!("{} not confirmed durable", units::counted(unconfirmed, "record")),
    };
    Some(format!("ended at once: {logged}; the rest of the input is not logged"))
}

fn cannot_start(error: io::Error) -> Failure {
    Failure { message: format!("cannot start a thread: {error}"), status: Status::Unusable }
}

/// The producer, and the outcomes of its lines.
struct Writing {
    producer: Producer,
    level: Level,
    kept_max: usize,
    tally: Tally,
}

impl Writing {
    fn log(&mut self, line: &InputLine<'_>) {
        match self.producer.log(self.level, line.bytes) {
            Outcome::Written => self.count_written(line.length),
            Outcome::Truncated => {
                self.count_written(self.kept_max as u64);
                self.report_cut(line);
            }
            Outcome::Filtered => self.tally.filtered += 1,
            outcome => {
                if self.tally.lost == 0 {
                    self.tally.first_lost = line.number;
                    self.tally.why_lost = match outcome {
                        Outcome::Closed => "the log had been given up",
                        _ => "the device had failed",
                    };
                }
                self.tally.lost += 1;
            }
        }
    }

    fn count_written(&mut self, bytes: u64) {
        self.tally.records += 1;
        self.tally.bytes += bytes;
    }

    fn report_cut(&mut self, line: &InputLine<'_>) {
        self.tally.cut += 1;
        if self.tally.cut <= CUT_NAMED {
            let (number, bytes) = (units::grouped(line.number), units::counted(line.length, "byte"));
            let (kept, wanted) = (units::grouped(self.kept_max as u64), line.length);
            say(format_args!("line {number} has {bytes} and was cut to {kept}: use --message-bytes-max {wanted}"));
        }
    }
}

/// Prints how many lines are cut or missing in the log.
fn print_losses(tally: &Tally, level: Level) {
    if tally.cut > CUT_NAMED {
        say(format_args!("{} were cut; the first {CUT_NAMED} are listed above", units::counted(tally.cut, "line")));
    }
    if tally.filtered > 0 {
        let lines = units::counted(tally.filtered, "line");
        say(format_args!("{lines} not logged: DIOLOG_LEVEL excludes the level {level}"));
    }
    if tally.lost > 0 {
        let (lines, first) = (units::counted(tally.lost, "line"), units::grouped(tally.first_lost));
        say(format_args!("{lines} not logged, the first is line {first}: {}", tally.why_lost));
    }
}

/// The rates as " (2.7 M/s, 240 MiB/s)"; empty if there are too few lines for a meaningful rate.
fn speed(tally: &Tally, elapsed: Duration) -> String {
    if tally.records < 10_000 {
        return String::new();
    }
    let bytes = tally.bytes as f64 / elapsed.as_secs_f64().max(1e-9);
    format!(" ({}/s, {}/s)", units::rate(tally.records, elapsed), units::bytes(bytes as u64))
}

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
        .block_bytes(BLOCK_BYTES.max(block.next_multiple_of(4096)).min(BLOCK_BYTES_MAX))
        .blocks_in_flight(BLOCKS_IN_FLIGHT)
}
