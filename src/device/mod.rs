//! The device: whole blocks from aligned memory onto the disk, several in flight, durable when completed.
//!
//! A device does not know what it writes: it sees a descriptor, an offset and bytes. It lives on the writer thread,
//! which alone submits and reaps. Three rungs do the work, best first ([`DeviceKind`]); [`probe`] decides at open which one,
//! and a device that finds its rung not working steps down by itself and says so in its [`DeviceReport`].
//!
//! What holds for every rung:
//! - A block that completes without an error is durable. Blocks complete in any order.
//! - EINTR and short writes are retried inside; every other error comes back with the buffer.
//! - After a failed write or sync the device neither writes to that descriptor again nor syncs it: what the kernel
//!   dropped would be reported as durable by the next sync. Every later write to it gets the first error. A write
//!   refused for want of room (ENOSPC, EDQUOT, EFBIG) has lost nothing, and can be tried again.
#![cfg_attr(
    not(feature = "unstable"),
    expect(unreachable_pub, reason = "public as diolog::unstable, with the feature unstable")
)]

mod buffered;
mod direct;
mod failed;
mod file_table;
mod ladder;
mod threaded;
mod uring;

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::{ALIGNMENT_BYTES, AlignedBuffer};

pub use ladder::DevicePreference;
pub(crate) use ladder::{create, probe};

/// How blocks reach the disk, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// io_uring, on a file opened with `O_DIRECT | O_DSYNC`: several writes on the disk at a time.
    IoUring,
    /// A helper thread doing `pwrite` on a file opened with `O_DIRECT | O_DSYNC`: one write at a time.
    Pwrite,
    /// A helper thread writing through the page cache, with one `fdatasync` for all blocks that were queued.
    Buffered,
}

impl DeviceKind {
    /// Whether its files are opened with `O_DIRECT | O_DSYNC`.
    pub fn is_direct(self) -> bool {
        matches!(self, DeviceKind::IoUring | DeviceKind::Pwrite)
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DeviceKind::IoUring => "io_uring",
            DeviceKind::Pwrite => "pwrite",
            DeviceKind::Buffered => "buffered",
        })
    }
}

/// The rung at work, and why not a higher one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceReport {
    /// The rung.
    pub kind: DeviceKind,
    /// For each higher rung not taken, and for each thing that works less well than it could: which, and why.
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
    /// The writer's number for it, which comes back in the [`Completion`].
    pub token: u64,
    /// The segment, opened as the rung needs it: `O_DIRECT | O_DSYNC`, or neither.
    pub file: Arc<File>,
    /// Where in the file, in bytes: a multiple of 4096.
    pub offset: u64,
    /// How many bytes of the buffer: a multiple of 4096, at least that.
    pub length: usize,
    /// The block's bytes, from the buffer's start. The device owns them until it completes.
    pub buffer: AlignedBuffer,
}

impl BlockWrite {
    /// Asserts that the write is a whole block at an aligned offset from aligned memory (invariant 5).
    ///
    /// # Panics
    /// If it is not: the caller is wrong, and the kernel would refuse it or, worse, write it through the page cache.
    pub(crate) fn assert_aligned(&self) {
        assert!(self.offset.is_multiple_of(ALIGNMENT_BYTES as u64), "block at offset {} off the grid", self.offset);
        assert!(
            self.length > 0 && self.length.is_multiple_of(ALIGNMENT_BYTES),
            "block of {} bytes off the grid",
            self.length
        );
        assert!(self.length <= self.buffer.len(), "block of {} bytes in {}", self.length, self.buffer.len());
        assert!(self.buffer.as_ptr().addr().is_multiple_of(ALIGNMENT_BYTES), "block in unaligned memory");
    }

    /// The bytes to be written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// The write's end: durable, or failed for the reason given.
    pub(crate) fn complete(self, result: io::Result<()>) -> Completion {
        Completion { token: self.token, buffer: self.buffer, result }
    }
}

/// A block that has been written, or could not be.
#[derive(Debug)]
pub struct Completion {
    /// That of the [`BlockWrite`].
    pub token: u64,
    /// The block's bytes, unchanged.
    pub buffer: AlignedBuffer,
    /// `Ok` if the block is durable.
    pub result: io::Result<()>,
}

/// Writes blocks. Used by the writer thread alone, on which it was made.
pub trait Device: Send {
    /// Takes a block to be written, and never waits for the disk. At most [`Device::in_flight_max`] blocks may be
    /// submitted and not yet reaped.
    ///
    /// # Panics
    /// If offset, length or memory are not multiples of 4096, or the length exceeds the buffer.
    fn submit(&mut self, write: BlockWrite);

    /// Appends what has completed, in any order, without waiting.
    fn reap(&mut self, completions: &mut Vec<Completion>);

    /// Blocks until a block has completed, the calling thread is unparked, or `timeout` has passed; may return earlier
    /// for no reason. A rung that waits in the kernel sees an unpark only once a block in flight completes.
    fn wait(&mut self, timeout: Duration);

    /// How many blocks may be in flight, at least 1.
    fn in_flight_max(&self) -> usize;

    /// The rung at work now, and why not a higher one.
    fn report(&self) -> &DeviceReport;

    /// Gives the device up without waiting, with blocks in flight. What the kernel or a helper thread still uses is
    /// leaked, not freed; blocks whose write has not begun are not written any more.
    ///
    /// A device that is dropped instead must have nothing in flight.
    fn abandon(self: Box<Self>);
}

impl fmt::Debug for dyn Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("report", self.report()).finish_non_exhaustive()
    }
}

/// What a helper thread does first: it inherits the writer's CPU, and must leave it.
type HelperStart = Arc<dyn Fn() + Send + Sync>;

#[cfg(test)]
mod tests;
