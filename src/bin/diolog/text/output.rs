//! Standard output in large writes, and standard error for what is said to the person.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, StdoutLock, Write as _};
use std::time::Duration;

use crate::exit::{Failure, Status};

/// Bytes gathered before they are written: as many as a pipe takes in a few turns, and still in cache.
const GATHERED_BYTES: usize = 256 << 10;

/// Standard output, written at the ends of lines, so that what reads it sees whole ones.
pub(crate) struct Output {
    stdout: StdoutLock<'static>,
    gathered: Vec<u8>,
}

impl Output {
    /// Takes standard output; there is one at a time.
    pub(crate) fn new() -> Output {
        Output { stdout: io::stdout().lock(), gathered: Vec::with_capacity(GATHERED_BYTES + (64 << 10)) }
    }

    /// Where the next line goes. Call [`Output::end_line`] after each.
    pub(crate) fn line(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Writes what is gathered, if it is much.
    pub(crate) fn end_line(&mut self) -> Result<(), Failure> {
        if self.gathered.len() >= GATHERED_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is gathered.
    ///
    /// # Errors
    /// A [`Failure`] that is none if the other end of the pipe is closed: whoever read has seen enough.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let written = self.stdout.write_all(&self.gathered).and_then(|()| self.stdout.flush());
        self.gathered.clear();
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { message: String::new(), status: Status::Clean },
            _ => Failure { message: format!("cannot write standard output: {error}"), status: Status::Unusable },
        })
    }
}

impl Output {
    /// Waits for `time`, and tells whether somebody may still read what is written: whoever has closed the other end of the
    /// pipe would be noticed by a write alone, and there may be none for hours.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_read_after(&self, time: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        // No wish but to hear of errors, which are always told.
        let mut stdout = [PollFd::new(&self.stdout, PollFlags::empty())];
        let ready = poll(&mut stdout, Timespec::try_from(time).ok().as_ref());
        // A signal ends the wait early.
        !matches!(ready, Ok(1..))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_read_after(&self, time: Duration) -> bool {
        std::thread::sleep(time);
        true
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

/// Says something on standard error. If nobody can hear it, there is nobody to tell that either.
pub(crate) fn say(message: impl Display) {
    let _ = writeln!(io::stderr(), "diolog: {message}");
}
