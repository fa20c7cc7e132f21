//! One output of the command: a pipe that is read to its end, logged line by line, and passed on to this process's own
//! if asked for.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use diolog::{Level, Outcome, Producer};

use crate::input::lines::{InputLine, Lines};
use crate::input::prefix;
use crate::ready::{until_readable, write_all};
use crate::text::output::say;
use crate::text::units;

/// Bytes of a read: a few times a pipe's capacity, and small enough to stay in the L2 cache until it is logged.
const CHUNK_BYTES: usize = 128 << 10;

/// The number of cut lines that are printed one by one; the others are only counted.
const CUT_NAMED: u64 = 5;

/// What becomes of a pipe's lines.
pub(super) struct Stream {
    /// For messages: "standard output".
    pub(super) description: &'static str,
    /// The level of a line without a prefix.
    pub(super) level: Level,
    pub(super) understands_prefixes: bool,
    /// The stream of this process that gets the bytes too, if one does.
    pub(super) tee: Option<Tee>,
    pub(super) producer: Producer,
    /// At its end once the stream is to end with what the pipe holds.
    pub(super) stopped: PipeReader,
}

/// A stream of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tee {
    Stdout,
    Stderr,
}

/// The lines of one stream by outcome.
pub(super) struct Tally {
    description: &'static str,
    cut: u64,
    filtered: u64,
    lost: u64,
    first_lost: u64,
}

impl Stream {
    /// Logs the pipe's lines until its end: every process that holds its other end has closed it.
    pub(super) fn log(mut self, mut pipe: impl Read + AsFd) -> Tally {
        let kept_max = self.producer.message_bytes_max();
        // Bytes of a prefix are not logged, so as many more of a long line are kept.
        let mut lines = Lines::new(kept_max + prefix::BYTES_MAX);
        let mut logging = Logging {
            level: self.level,
            understands_prefixes: self.understands_prefixes,
            kept_max,
            tally: Tally { description: self.description, cut: 0, filtered: 0, lost: 0, first_lost: 0 },
            producer: self.producer,
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let [_, is_stopped] = until_readable([pipe.as_fd(), self.stopped.as_fd()], None);
            if is_stopped && !until_readable([pipe.as_fd()], Some(Duration::ZERO))[0] {
                break;
            }
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(bytes) => {
                    lines.feed(&chunk[..bytes], |line| logging.log(&line));
                    if let Some(tee) = self.tee
                        && let Err(error) = tee.write(&chunk[..bytes])
                    {
                        say(format_args!("cannot pass {} on: {error}; it is still logged", self.description));
                        self.tee = None;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    say(format_args!("cannot read the command's {}: {error}", self.description));
                    break;
                }
            }
        }
        lines.end(|line| logging.log(&line));
        logging.tally
    }
}

impl Tee {
    fn write(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Tee::Stdout => write_all(&mut io::stdout().lock(), bytes),
            Tee::Stderr => write_all(&mut io::stderr().lock(), bytes),
        }
    }
}

/// The producer of a stream, and the outcomes of its lines.
struct Logging {
    producer: Producer,
    level: Level,
    understands_prefixes: bool,
    kept_max: usize,
    tally: Tally,
}

impl Logging {
    fn log(&mut self, line: &InputLine<'_>) {
        let prefix = if self.understands_prefixes { prefix::parse(line.bytes) } else { None };
        let (level, skipped) = prefix.unwrap_or((self.level, 0));
        let tally = &mut self.tally;
        match self.producer.log(level, &line.bytes[skipped..]) {
            Outcome::Written => {}
            Outcome::Truncated => {
                tally.cut += 1;
                if tally.cut <= CUT_NAMED {
                    let length = line.length - skipped as u64;
                    let (number, bytes) = (units::grouped(line.number), units::counted(length, "byte"));
                    let (of, kept) = (tally.description, units::grouped(self.kept_max as u64));
                    say(format_args!(
                        "line {number} of {of} has {bytes} and was cut to {kept}: use --message-bytes-max {length}"
                    ));
                }
            }
            Outcome::Filtered => tally.filtered += 1,
            _ => {
                if tally.lost == 0 {
                    tally.first_lost = line.number;
                }
                tally.lost += 1;
            }
        }
    }
}

impl Tally {
    /// Prints how many lines are cut or missing in the log.
    pub(super) fn report(&self) {
        let Tally { description, cut, filtered, lost, first_lost } = *self;
        if cut > CUT_NAMED {
            let lines = units::counted(cut, "line");
            say(format_args!("{lines} of {description} were cut; the first {CUT_NAMED} are listed above"));
        }
        if filtered > 0 {
            let lines = units::counted(filtered, "line");
            let levels = if filtered == 1 { "its level" } else { "their levels" };
            say(format_args!("{lines} of {description} not logged: DIOLOG_LEVEL excludes {levels}"));
        }
        if lost > 0 {
            let (lines, first) = (units::counted(lost, "line"), units::grouped(first_lost));
            say(format_args!(
                "{lines} of {description} not logged, the first is line {first}: the device had failed, or the log was \
                 given up"
            ));
        }
    }
}
