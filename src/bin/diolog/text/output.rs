//! Standard output in large writes, through a pager if asked for, and messages on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, StdoutLock};
use std::time::Duration;

use crate::exit::{Failure, Status};
use crate::ready;
use crate::text::escape;
use crate::text::pager::Pager;

/// Bytes gathered before a write: a few times a pipe's capacity, and still in the L2 cache.
const GATHERED_BYTES: usize = 256 << 10;

/// Where the lines go.
enum Sink {
    Stdout(StdoutLock<'static>),
    Pager(Pager),
}

/// Standard output, written at ends of lines only, so that a reader sees whole lines.
pub(crate) struct Output {
    sink: Sink,
    gathered: Vec<u8>,
}

impl Output {
    /// Locks standard output: only one `Output` can exist at a time.
    pub(crate) fn new() -> Output {
        Output::to(Sink::Stdout(io::stdout().lock()))
    }

    /// Standard output through a pager, if it is a terminal and there is one.
    pub(crate) fn paged(paged: bool) -> Output {
        match if paged { Pager::start() } else { None } {
            Some(pager) => Output::to(Sink::Pager(pager)),
            None => Output::new(),
        }
    }

    fn to(sink: Sink) -> Output {
        Output { sink, gathered: Vec::with_capacity(GATHERED_BYTES + (64 << 10)) }
    }

    /// The buffer to append the next line to. Call [`Output::end_line`] after each.
    pub(crate) fn line(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Writes the gathered lines if there are many.
    pub(crate) fn end_line(&mut self) -> Result<(), Failure> {
        if self.gathered.len() >= GATHERED_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes the gathered lines.
    ///
    /// # Errors
    /// A [`Failure`] without a message and with a clean status if the reader has closed the pipe.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let written = match &mut self.sink {
            Sink::Stdout(stdout) => ready::write_all(stdout, &self.gathered),
            Sink::Pager(pager) => ready::write_all(pager, &self.gathered),
        };
        self.gathered.clear();
        written.map_err(cannot_write)
    }

    /// Writes the gathered lines, and waits until the user has left the pager, if there is one.
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }

    /// As [`finish`](Self::finish), for a command whose exit status is its answer: a reader that has gone, or a pager
    /// that was left early, does not change it.
    pub(crate) fn finish_report(self) -> Result<(), Failure> {
        self.finish().or_else(|failure| if failure.message.is_empty() { Ok(()) } else { Err(failure) })
    }

    /// Waits for `time`; returns early, with true, if the reader has closed the pipe. A write would notice that too,
    /// but the next one may be hours away.
    pub(crate) fn wait_until_closed(&self, time: Duration) -> bool {
        match &self.sink {
            Sink::Stdout(stdout) => ready::until_closed(stdout, time),
            Sink::Pager(pager) => ready::until_closed(pager, time),
        }
    }
}

/// The failure to write standard output: without a message and with a clean status if the reader has closed the pipe.
pub(crate) fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure { message: String::new(), status: Status::CLEAN },
        _ => Failure::cannot("write standard output")(error),
    }
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard output takes colours: a terminal, unless the environment (`NO_COLOR` and its like) says otherwise.
pub(crate) fn stdout_has_colours() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Prints a message on standard error, with the control characters of paths and names in it escaped. If that fails, the
/// failure could not be printed either.
pub(crate) fn say(message: impl Display) {
    let line = format!("diolog: {}\n", escape::name(&message.to_string()));
    let _ = ready::write_all(&mut io::stderr(), line.as_bytes());
}
