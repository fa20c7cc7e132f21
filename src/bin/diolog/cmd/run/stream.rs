//! One output of the command: a pipe that is read to its end, logged line by line, and passed on to this process's own
//! if asked for.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use diolog::Level;

use crate::cmd::line_log::{LineLog, Tally};
use crate::input::lines::{InputLine, Lines};
use crate::input::prefix;
use crate::ready::{until_readable, write_all};
use crate::text::output::say;

/// Bytes of a read: a few times a pipe's capacity, and small enough to stay in the L2 cache until it is logged.
const CHUNK_BYTES: usize = 128 << 10;

/// What becomes of a pipe's lines.
pub(super) struct Stream {
    /// For messages: "standard output".
    pub(super) description: &'static str,
    /// The level of a line without a prefix.
    pub(super) level: Level,
    pub(super) understands_prefixes: bool,
    /// The stream of this process that gets the bytes too, if one does.
    pub(super) tee: Option<Tee>,
    pub(super) log: LineLog,
    /// At its end once the stream is to end with what the pipe holds.
    pub(super) stopped: PipeReader,
}

/// A stream of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tee {
    Stdout,
    Stderr,
}

impl Stream {
    /// Logs the pipe's lines until its end: every process that holds its other end has closed it.
    pub(super) fn log_all(mut self, mut pipe: impl Read + AsFd) -> Tally {
        // Bytes of a prefix are not logged, so as many more of a long line are kept.
        let mut lines = Lines::new(self.log.kept_max() + prefix::BYTES_MAX);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let [_, is_stopped] = until_readable([pipe.as_fd(), self.stopped.as_fd()], None);
            if is_stopped && !until_readable([pipe.as_fd()], Some(Duration::ZERO))[0] {
                break;
            }
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(bytes) => {
                    lines.feed(&chunk[..bytes], |line| self.log_line(line));
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
        lines.end(|line| self.log_line(line));
        self.log.end()
    }

    fn log_line(&mut self, line: InputLine<'_>) {
        let prefix = if self.understands_prefixes { prefix::parse(line.bytes) } else { None };
        let (level, skipped) = prefix.unwrap_or((self.level, 0));
        let (bytes, length) = (&line.bytes[skipped..], line.length - skipped as u64);
        self.log.log(level, &InputLine { bytes, length, ..line });
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
