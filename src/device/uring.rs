//! [`DeviceKind::IoUring`](super::DeviceKind): io_uring on an `O_DIRECT | O_DSYNC` descriptor. The kernel takes several
//! blocks at a time and needs no thread of ours. A block is durable when its write completes.
//!
//! The ring has a single issuer: the writer thread makes it, and only that thread uses it. [`DeviceSet`](super::set)
//! shares it among the logs. If the kernel begins to refuse submissions, the ring is broken: the blocks that the kernel
//! has not taken are [displaced](Uring::take_displaced), to be written by `pwrite`. The blocks that the kernel has
//! taken still complete here.
//!
//! Files are not registered with the ring. That would save the kernel one look-up of a descriptor for each block, but
//! the gain is within the noise: over 7 rounds of 200 000 writes to `/dev/null` in turns, the medians were 548 ns
//! without and 475 ns with registration (fastest rounds: 306 and 395), while a durable block takes 85 µs or more. And
//! the kernel would keep registered files open.
//!
//! Invariants that the unsafe code rests on:
//! 1. A block that the kernel may still read is in `in_flight`, owned and untouched, until its completion has been
//!    taken. It leaves `in_flight` when it completes, or is leaked together with the ring.
#![allow(unsafe_code, reason = "the kernel reads blocks by their address")]

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::buffer::AlignedBuffer;
use crate::error::{SavedIoError, is_want_of_room};
use crate::sys::fork::UnsharedFile;
use crate::sys::uring::{Ring, Write};
use crate::sys::write::{SECTOR_BYTES, refusal, resume_at};

use super::failed::FailedFiles;
use super::registered::RegisteredBuffers;
use super::{BlockWrite, Completion};

/// How often in a row the write of one block may end with EINTR or EAGAIN before the block fails with that error.
const RETRIES_MAX: u8 = 100;

/// How long the kernel may refuse submissions for lack of memory before the ring is given up.
const REFUSAL_MAX: Duration = Duration::from_secs(1);

/// The longest wait while the kernel has no memory for a block.
const SHORT_WAIT: Duration = Duration::from_millis(1);

/// How large a ring is.
#[derive(Clone, Copy, Debug)]
pub(super) struct UringSize {
    /// How many writes can be queued for one entry into the kernel.
    entries: u32,
    /// How many completions the ring holds until the writer takes them. The kernel stores more than that by a slower
    /// path.
    completions: u32,
    /// How many buffers can be registered one by one; 0 if all are registered at once.
    buffers: u32,
    /// How many kernel threads may wait for a disk at the same time; 0 for the kernel's own number.
    waiting: u32,
}

impl UringSize {
    /// For all logs that one thread can serve. They also share the kernel's threads. A file system that hangs holds one
    /// thread for each file that is written to it, and must leave some for the other logs. The kernel's own number is
    /// four for each CPU.
    pub(super) const OF_MANY_LOGS: UringSize =
        UringSize { entries: 256, completions: 4096, buffers: 4096, waiting: 1024 };

    /// For one log with at most `in_flight_max` blocks in flight.
    pub(super) fn of_one_log(in_flight_max: usize) -> UringSize {
        let entries = in_flight_max.max(1) as u32;
        UringSize { entries, completions: 2 * entries, buffers: 0, waiting: 0 }
    }
}

/// Blocks that the kernel writes by io_uring.
pub(super) struct Uring {
    /// `None` after an entry into the kernel has failed for good.
    ring: Option<Ring>,
    registered: RegisteredBuffers,
    /// The blocks that the kernel has or is about to get. The index of a block is its slot, and its number for the
    /// kernel.
    in_flight: Vec<Option<InFlight>>,
    empty_slots: Vec<usize>,
    /// The slots of the blocks that the kernel has not taken from the ring's queue, oldest first.
    pushed: VecDeque<usize>,
    /// The slots of the blocks for which the queue has no room.
    unpushed: VecDeque<usize>,
    /// Blocks that have ended and were not reaped yet.
    finished: Vec<Completion>,
    failed: FailedFiles,
    /// Since when the kernel has refused all submissions.
    refused_since: Option<Instant>,
    /// Why the ring takes no more blocks, after it broke.
    broken: Option<SavedIoError>,
    /// Blocks that another device is to write.
    displaced: Vec<BlockWrite>,
}

/// A block that the kernel has or is about to get.
struct InFlight {
    write: BlockWrite,
    /// Bytes that are durable already.
    done: usize,
    /// How often the write has ended with EINTR or EAGAIN since it last wrote something.
    retries: u8,
}

impl Uring {
    /// A ring for the calling thread.
    ///
    /// # Errors
    /// The kernel's, if it offers no io_uring.
    pub(super) fn new(size: UringSize) -> io::Result<Uring> {
        let mut ring = Ring::new(size.entries, size.completions)?;
        if size.waiting > 0 {
            // Linux before 5.15 keeps its own number.
            let _ = ring.set_waiting_threads(size.waiting);
        }
        Ok(Uring {
            ring: Some(ring),
            registered: RegisteredBuffers::new(size.buffers),
            in_flight: Vec::new(),
            empty_slots: Vec::new(),
            pushed: VecDeque::new(),
            unpushed: VecDeque::new(),
            finished: Vec::new(),
            failed: FailedFiles::default(),
            refused_since: None,
            broken: None,
            displaced: Vec::new(),
        })
    }

    /// Registers `buffers` with the kernel, which pins their memory once instead of for each write.
    ///
    /// # Errors
    /// The kernel's. Writes from them work, but slower.
    pub(super) fn register(&mut self, buffers: &[AlignedBuffer]) -> io::Result<()> {
        match &mut self.ring {
            Some(ring) => self.registered.add(ring, buffers),
            None => Ok(()),
        }
    }

    /// Removes the kernel's registration of buffers that were freed.
    pub(super) fn forget_freed(&mut self) {
        if let Some(ring) = &mut self.ring {
            self.registered.forget_freed(ring);
        }
    }

    /// Whether the kernel has blocks, or gets some at the next entry.
    pub(super) fn is_busy(&self) -> bool {
        self.ring.is_some() && self.in_flight.len() > self.empty_slots.len()
    }

    /// Whether blocks have ended that were not reaped.
    pub(super) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Why the ring takes no more blocks, if it is broken.
    pub(super) fn broken(&self) -> Option<io::Error> {
        self.broken.as_ref().map(SavedIoError::to_io_error)
    }

    /// Takes the blocks that were submitted and that the ring will not write.
    pub(super) fn take_displaced(&mut self) -> Vec<BlockWrite> {
        mem::take(&mut self.displaced)
    }

    /// The first error of `file`, if a write to it has failed here.
    pub(super) fn error_of(&self, file: &Arc<UnsharedFile>) -> Option<io::Error> {
        self.failed.error_of(file)
    }

    /// The files on which writes have failed.
    pub(super) fn failed_files(&self) -> FailedFiles {
        self.failed.clone()
    }

    /// Takes a block to write.
    pub(super) fn submit(&mut self, write: BlockWrite) {
        if let Some(error) = self.failed.error_of(&write.file) {
            return self.finished.push(write.complete(Err(error)));
        }
        if self.broken.is_some() {
            return self.displaced.push(write);
        }
        let slot = self.empty_slots.pop().unwrap_or_else(|| {
            self.in_flight.push(None);
            self.in_flight.len() - 1
        });
        self.in_flight[slot] = Some(InFlight { write, done: 0, retries: 0 });
        self.push(slot);
        self.enter(None);
    }

    /// Appends the blocks that have ended, without waiting.
    pub(super) fn reap(&mut self, completions: &mut Vec<Completion>) {
        if self.is_busy() {
            self.take_completions();
            // The kernel posts deferred completions, and takes blocks that it refused before, only when it is entered.
            let refused = !self.pushed.is_empty() || !self.unpushed.is_empty();
            if refused || self.ring.as_mut().is_some_and(Ring::poll_completions) {
                self.enter(None);
                self.take_completions();
            }
        }
        completions.append(&mut self.finished);
    }

    /// Waits until a block has ended, at most for `timeout`.
    pub(super) fn wait(&mut self, timeout: Duration) {
        if self.finished.is_empty() {
            self.enter(Some(timeout));
        }
    }

    /// Queues the rest of the block in `slot` for the next entry into the kernel.
    fn push(&mut self, slot: usize) {
        let (Some(ring), Some(block)) = (&mut self.ring, &self.in_flight[slot]) else {
            panic!("block {slot} is not in flight on a ring");
        };
        let bytes = &block.write.bytes()[block.done..];
        let write = Write {
            id: slot as u64,
            file: &block.write.file,
            memory: bytes.as_ptr(),
            length: bytes.len() as u32,
            offset: block.write.offset + block.done as u64,
            buffer: self.registered.index_of(&block.write.buffer),
        };
        // SAFETY: invariant 1: the block is in `in_flight`, with its buffer and its file.
        let queued = unsafe { ring.push(&write) };
        // The queue is full only while the kernel refuses what is in it.
        if queued { self.pushed.push_back(slot) } else { self.unpushed.push_back(slot) }
    }

    /// Queues the blocks for which the queue had no room.
    fn push_waiting(&mut self) {
        for _ in 0..self.unpushed.len() {
            let Some(slot) = self.unpushed.pop_front() else { return };
            let before = self.pushed.len();
            self.push(slot);
            if self.pushed.len() == before {
                // Still full. The other blocks stay after this one, in their order.
                self.unpushed.rotate_right(1);
                return;
            }
        }
    }

    /// Enters the kernel. It takes the queued blocks, and posts the completions of finished writes. With `wait`, waits
    /// at most that long for a completion.
    fn enter(&mut self, wait: Option<Duration>) {
        self.push_waiting();
        let Some(ring) = &mut self.ring else { return };
        let result = match wait {
            Some(timeout) => ring.wait(timeout),
            None => ring.enter(),
        };
        let taken = self.pushed.len() - ring.pushed().min(self.pushed.len());
        self.pushed.drain(..taken);
        let Err(error) = result else {
            self.refused_since = None;
            return;
        };
        match error.kind() {
            io::ErrorKind::Interrupted => return,
            // No memory for a request, or too many completions not taken: this usually passes.
            io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy => {
                let since = *self.refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() < REFUSAL_MAX {
                    if let Some(timeout) = wait {
                        thread::park_timeout(timeout.min(SHORT_WAIT));
                    }
                    return;
                }
            }
            _ => {}
        }
        self.refused_since = None;
        if self.broken.is_some() { self.strand(&error) } else { self.give_up(&error) }
    }

    /// Stops submitting. The blocks that the kernel has not taken are displaced. Those that it has taken still complete
    /// here.
    fn give_up(&mut self, error: &io::Error) {
        self.broken = Some(error.into());
        if let Some(ring) = &mut self.ring {
            ring.stop_submitting();
        }
        for slot in mem::take(&mut self.pushed).into_iter().chain(mem::take(&mut self.unpushed)) {
            self.displace(slot);
        }
    }

    /// Displaces the block in `slot`, which the kernel does not have: another device writes all of it.
    fn displace(&mut self, slot: usize) {
        let block = self.take(slot);
        self.displaced.push(block.write);
    }

    /// Fails all blocks in flight, after the kernel could not be entered: their completions may never be seen. The
    /// writer gets a copy of each block, with the error. The blocks themselves are leaked, with the ring.
    fn strand(&mut self, error: &io::Error) {
        let saved = SavedIoError::from(error);
        self.empty_slots.clear();
        for block in mem::take(&mut self.in_flight).into_iter().flatten() {
            self.failed.insert(&block.write.file, error);
            // Without memory for the copy the block never completes, and `close` reports it as unconfirmed.
            if let Ok(mut buffer) = AlignedBuffer::new(block.write.buffer.len(), block.write.buffer.index()) {
                buffer.copy_from_slice(&block.write.buffer);
                self.finished.push(Completion { token: block.write.token, buffer, result: Err(saved.to_io_error()) });
            }
            mem::forget(block);
        }
        mem::forget(self.ring.take());
    }

    /// Takes the kernel's result for the block in `slot`.
    fn take_result(&mut self, slot: usize, result: io::Result<usize>) {
        let block = self.in_flight.get_mut(slot).and_then(Option::as_mut);
        let Some(block) = block else { panic!("a completion for block {slot}, which is not in flight") };
        let (offset, length) = (block.write.offset, block.write.length);
        let result = match result {
            Ok(count) => resume_at(block.done, count, length, SECTOR_BYTES).map(|done| {
                (block.done, block.retries) = (done, 0);
                done == length
            }),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
                    && block.retries < RETRIES_MAX =>
            {
                block.retries += 1;
                Ok(false)
            }
            Err(error) => Err(refusal(error, offset + block.done as u64, length - block.done)),
        };
        let result = match result {
            Ok(true) => Ok(()),
            Ok(false) => match self.failed.error_of(&block.write.file) {
                Some(error) => Err(error),
                None if self.broken.is_some() => return self.displace(slot),
                None => return self.push(slot),
            },
            Err(error) => Err(error),
        };
        let block = self.take(slot);
        if let Err(error) = &result
            && !is_want_of_room(error)
        {
            self.failed.insert(&block.write.file, error);
        }
        self.finished.push(block.write.complete(result));
    }

    /// Removes the block in `slot`, which the kernel does not have.
    ///
    /// # Panics
    /// If the slot is empty. That is a bug: the block would never complete.
    fn take(&mut self, slot: usize) -> InFlight {
        self.empty_slots.push(slot);
        self.in_flight[slot].take().expect("the slot holds a block in flight")
    }

    fn take_completions(&mut self) {
        while let Some((slot, result)) = self.ring.as_mut().and_then(Ring::take_completion) {
            self.take_result(slot as usize, result);
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.is_busy() {
            // Invariant 1: the kernel may still read these blocks. The ring stays open too: to close it would not end
            // their writes.
            mem::forget(mem::take(&mut self.in_flight));
            mem::forget(self.ring.take());
        }
    }
}
