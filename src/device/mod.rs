//! The device: whole blocks from aligned memory onto the disk, several in flight, durable when completed.
//!
//! A device does not know the meaning of its writes: it gets a file, an offset and bytes. It lives on the writer
//! thread; only that thread submits and reaps. Each log has one device, a view of the [`DeviceSet`] that all logs of
//! the thread share. There are three kinds ([`DeviceKind`]). [`probe`] chooses one at open. If a device of the best
//! kind stops working, it steps down to the next kind by itself and says so in its [`DeviceReport`].
//!
//! Every kind promises:
//! - A block that completes without an error is durable. Blocks complete in any order.
//! - The device retries after EINTR and short writes. Every other error comes back with the buffer.
//! - After a failed write or sync the device neither writes to that file again nor syncs it: the next sync would report
//!   blocks as durable that the kernel has dropped. Every later write to that file gets the first error. A write that
//!   is refused for lack of room (ENOSPC, EDQUOT, EFBIG) has lost nothing, and can be tried again.
#![cfg_attr(
    not(feature = "unstable"),
    expect(unreachable_pub, reason = "public as diolog::unstable, with the feature unstable")
)]

mod buffered;
mod direct;
mod failed;
mod ladder;
mod registered;
mod set;
mod threaded;
mod uring;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::{ALIGNMENT_BYTES, AlignedBuffer};
use crate::sys::fork::UnsharedFile;

pub use ladder::DevicePreference;
pub(crate) use ladder::probe;
pub(crate) use set::{DeviceSet, LogCount};

/// How blocks reach the disk, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DeviceKind {
    /// io_uring, on a file opened with `O_DIRECT | O_DSYNC`: several writes at a time.
    IoUring,
    /// A helper thread doing `pwrite` on a file opened with `O_DIRECT | O_DSYNC`: one write at a time.
    Pwrite,
    /// A helper thread writing through the page cache, with one `fdatasync` for all blocks that were queued.
    Buffered,
    /// Nothing is written: the logger is [`disabled`](crate::Logger::disabled), or keeps its records
    /// [in memory](crate::Logger::in_memory).
    None,
}

impl DeviceKind {
    /// Whether its files are opened with `O_DIRECT | O_DSYNC`.
    pub fn is_direct(self) -> bool {
        matches!(self, DeviceKind::IoUring | DeviceKind::Pwrite)
    }

    /// All kinds, best first.
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [DeviceKind; 4] =
        [DeviceKind::IoUring, DeviceKind::Pwrite, DeviceKind::Buffered, DeviceKind::None];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            DeviceKind::IoUring => "io_uring",
            DeviceKind::Pwrite => "pwrite",
            DeviceKind::Buffered => "buffered",
            DeviceKind::None => "none",
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The kind of device in use, and why it is not a better one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DeviceReport {
    /// The kind.
    pub kind: DeviceKind,
    /// Why each better kind is not used, and why the kind in use is slower than it could be.
    pub reasons: Vec<String>,
}

impl fmt::Display for DeviceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if self.reasons.is_empty() { Ok(()) } else { write!(f, " ({})", self.reasons.join("; ")) }
    }
}

/// A block to be written.
#[derive(Debug)]
pub struct BlockWrite {
    /// The writer's number for the write, repeated in its [`Completion`].
    pub token: u64,
    /// The segment's file. A direct kind of device needs it opened with `O_DIRECT | O_DSYNC`, the buffered kind with
    /// neither.
    pub file: Arc<UnsharedFile>,
    /// The position in the file, in bytes: a multiple of 4096.
    pub offset: u64,
    /// How many bytes of the buffer to write: a positive multiple of 4096.
    pub length: usize,
    /// The block's bytes, from the buffer's start. The device owns the buffer until the write completes.
    pub buffer: AlignedBuffer,
}

impl BlockWrite {
    /// Asserts that the write is a whole block at an aligned offset from aligned memory (invariant 5).
    ///
    /// # Panics
    /// If it is not. That is a bug of the caller: the kernel would refuse the write, or even do it through the page
    /// cache.
    pub(crate) fn assert_aligned(&self) {
        assert!(self.offset.is_multiple_of(ALIGNMENT_BYTES as u64), "a block at offset {}, off the grid", self.offset);
        assert!(
            self.length > 0 && self.length.is_multiple_of(ALIGNMENT_BYTES),
            "a block of {} bytes, off the grid",
            self.length
        );
        assert!(
            self.length <= self.buffer.len(),
            "a block of {} bytes in a buffer of {}",
            self.length,
            self.buffer.len()
        );
        assert!(self.buffer.as_ptr().addr().is_multiple_of(ALIGNMENT_BYTES), "a block in unaligned memory");
    }

    /// The bytes to be written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Ends the write: the block is durable if `result` is `Ok`.
    pub(crate) fn complete(self, result: io::Result<()>) -> Completion {
        Completion { token: self.token, buffer: self.buffer, result }
    }
}

/// A write that has ended.
#[derive(Debug)]
pub struct Completion {
    /// The number of the [`BlockWrite`].
    pub token: u64,
    /// The block's bytes, unchanged.
    pub buffer: AlignedBuffer,
    /// `Ok` if the block is durable.
    pub result: io::Result<()>,
}

/// Writes the blocks of one log. Used only on the writer thread, which made it.
pub trait Device {
    /// Takes a block to write, and does not wait for the disk. At most [`Device::in_flight_max`] blocks may be
    /// submitted and not reaped.
    ///
    /// # Panics
    /// If offset, length or memory are not multiples of 4096, or the length exceeds the buffer.
    fn submit(&mut self, write: BlockWrite);

    /// Appends the writes that have completed, in any order. Does not wait.
    fn reap(&mut self, completions: &mut Vec<Completion>);

    /// Blocks until a block has completed, the calling thread is unparked, or `timeout` has passed. May return earlier
    /// without a reason. A device that waits in the kernel notices an unpark only when a block in flight completes.
    fn wait(&mut self, timeout: Duration);

    /// How many blocks may be in flight, at least 1.
    fn in_flight_max(&self) -> usize;

    /// The kind of device in use now, and why it is not a better one.
    fn report(&self) -> &DeviceReport;

    /// Drops the device with blocks in flight, and does not wait for them. The memory of a block that the kernel or a
    /// helper thread has is not freed before its write has ended; if the writer thread ends before, what the kernel has
    /// is leaked. Blocks that wait for a helper thread are not written.
    ///
    /// A device that is simply dropped must have no blocks in flight.
    fn abandon(self: Box<Self>);
}

impl fmt::Debug for dyn Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("report", self.report()).finish_non_exhaustive()
    }
}

/// The error as text, with the likely reason if the kernel does not give one.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "operation not permitted (seccomp, or kernel.io_uring_disabled?)".into(),
        io::ErrorKind::Unsupported => format!("{error} (an old kernel, or seccomp?)"),
        _ => error.to_string(),
    }
}

/// A helper thread calls this first, to leave the writer's CPU: a new thread inherits the CPU to which the writer is
/// pinned.
type HelperStart = Arc<dyn Fn() + Send + Sync>;

#[cfg(test)]
mod tests;
