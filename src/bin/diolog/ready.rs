//! Waiting until a descriptor can be read or written.
//!
//! Standard input, output and error may be non-blocking: another program that shares them can have set that. Reading
//! and writing then fail with EAGAIN, and the caller waits here before it tries again.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Waits until one of `inputs` can be read, without limit or at most for `timeout`. Returns which of them can be: all
/// of those at their end or in error too, none after the time is over.
pub(crate) fn until_readable<const N: usize>(inputs: [BorrowedFd<'_>; N], timeout: Option<Duration>) -> [bool; N] {
    let mut polled = inputs.map(|input| PollFd::from_borrowed_fd(input, PollFlags::IN));
    wait(&mut polled, timeout);
    polled.map(|input| !input.revents().is_empty())
}

/// Waits until the reader of `output` has gone, at most for `timeout`. Returns whether it has.
pub(crate) fn until_closed(output: impl AsFd, timeout: Duration) -> bool {
    // No event requested: `poll` reports errors and hang-ups anyway.
    let mut polled = [PollFd::new(&output, PollFlags::empty())];
    wait(&mut polled, Some(timeout));
    !polled[0].revents().is_empty()
}

/// Writes all of `bytes`, and waits while a non-blocking `output` takes none.
pub(crate) fn write_all(output: &mut (impl Write + AsFd), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) => wait_after(error, output)?,
        }
    }
    // Standard output has a buffer of its own.
    while let Err(error) = output.flush() {
        wait_after(error, output)?;
    }
    Ok(())
}

/// Waits until `output` takes bytes again, if `error` says that it took none for now.
fn wait_after(error: io::Error, output: &impl AsFd) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::WouldBlock => wait(&mut [PollFd::new(output, PollFlags::OUT)], None),
        io::ErrorKind::Interrupted => {}
        _ => return Err(error),
    }
    Ok(())
}

/// `poll`, and once more if a signal interrupts it.
fn wait(polled: &mut [PollFd<'_>], timeout: Option<Duration>) {
    let begun = Instant::now();
    loop {
        let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        if poll(polled, limit.as_ref()) != Err(Errno::INTR) {
            return;
        }
    }
}
