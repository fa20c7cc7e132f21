//! Standard output in large writes, and messages on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, StdoutLock, Write as _};
use std::time::Duration;

use crate::exit::{Failure, Status};

/// Bytes gathered before a write: a few times a pipe's capacity, and still in the L2 cache.
const GATHERED_BYTES: usize = 256 << 10;

/// Standard output, written at ends of lines only, so that a reader sees whole lines.
pub(crate) struct Output {
    stdout: StdoutLock<'static>,
    gathered: Vec<u8>,
}

impl Output {
    /// Locks standard output: only one `Output` can exist at a time.
    pub(crate) fn new() -> Output {
        Output { stdout: io::stdout().lock(), gathered: Vec::with_capacity(GATHERED_BYTES + (64 << 10)) }
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
        let written = self.stdout.write_all(&self.gathered).and_then(|()| self.stdout.flush());
        self.gathered.clear();
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { message: String::new(), status: Status::CLEAN },
            _ => Failure { message: format!("cannot write standard output: {error}"), status: Status::Unusable },
        })
    }

    /// Waits for `time`; returns early, with true, if the reader has closed the pipe. A write would notice that too,
    /// but the next one may be hours away.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_until_closed(&self, time: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        // No events requested: `poll` reports errors and hang-ups anyway.
        let mut stdout = [PollFd::new(&self.stdout, PollFlags::empty())];
        let ready = poll(&mut stdout, Timespec::try_from(time).ok().as_ref());
        // An error is EINTR: a signal ends the wait early.
        matches!(ready, Ok(1..))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn wait_until_closed(&self, time: Duration) -> bool {
        std::thread::sleep(time);
        false
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

/// Prints a message on standard error. If that fails, the failure could not be printed either.
pub(crate) fn say(message: impl Display) {
    let _ = writeln!(io::stderr(), "diolog: {message}");
}
