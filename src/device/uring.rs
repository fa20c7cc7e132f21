//! [`DeviceKind::IoUring`]: io_uring on an `O_DIRECT | O_DSYNC` descriptor. The kernel takes several blocks at a time
//! and needs no thread of ours. A block is durable when its write completes.
//!
//! The device is made on the writer thread and used only there: the ring has a single issuer. If the kernel refuses
//! submissions while the device runs, it steps down: the blocks that the kernel has not taken, and all later ones, go
//! to a [`Threaded`] device with `pwrite`. The blocks that the kernel has taken are still awaited here.
//!
//! Files are not registered with the ring, which would save the kernel one look-up of a descriptor for each block: over
//! 7 rounds of 200 000 writes to `/dev/null` in turns, medians of 548 ns without and 475 ns with (fastest rounds: 306
//! and 395), within the noise, while a durable block takes 85 µs or more. And the kernel would keep registered files
//! open.
//!
//! Invariants that the unsafe code rests on:
//! 1. A block that the kernel may still read is in `in_flight`, owned and untouched, until its completion has been
//!    taken. It leaves `in_flight` when it completes, or is leaked together with the ring.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::buffer::AlignedBuffer;
use crate::error::{SavedIoError, is_want_of_room};
use crate::sys::uring::{Ring, Write};
use crate::sys::write::{SECTOR_BYTES, refusal, resume_at};

use super::direct::Direct;
use super::failed::FailedFiles;
use super::threaded::Threaded;
use super::{BlockWrite, Completion, Device, DeviceKind, DeviceReport, HelperStart};

/// How often in a row the write of one block may end with EINTR or EAGAIN before that counts as its error.
const RETRIES_MAX: u8 = 100;

/// How long the kernel may refuse submissions for want of memory before the device steps down.
const REFUSAL_MAX: Duration = Duration::from_secs(1);

/// The longest wait while both the ring and a helper thread have blocks, or while the kernel has no memory for one:
/// neither wakes a thread that waits for the other.
const SHORT_WAIT: Duration = Duration::from_millis(1);

/// A device whose writes are done by the kernel.
pub(super) struct Uring {
    /// `None` once the last of its blocks has ended after a step down.
    ring: Option<Ring>,
    /// The identities of the registered buffers, in the order of registration.
    registered: Vec<u64>,
    /// The blocks that the kernel has or is about to get. The index of a block, its slot, is its number for the kernel.
    in_flight: Vec<Option<InFlight>>,
    /// The slots of the blocks that the kernel has not taken from the ring's queue, oldest first.
    pushed: VecDeque<usize>,
    /// Blocks that have ended and were not reaped yet.
    finished: Vec<Completion>,
    failed: FailedFiles,
    /// Since when the kernel has refused all submissions.
    refused_since: Option<Instant>,
    stepped_down: bool,
    /// The device with `pwrite`, made after a step down.
    lower: Option<Threaded>,
    helper_start: HelperStart,
    in_flight_max: usize,
    report: DeviceReport,
}

/// A block that the kernel has or is about to get.
struct InFlight {
    write: BlockWrite,
    /// Bytes that are durable.
    done: usize,
    /// How often the write has ended with EINTR or EAGAIN since it last made progress.
    retries: u8,
}

impl Uring {
    /// A device with a ring for the calling thread, and with `buffers` registered at the kernel.
    ///
    /// # Errors
    /// The kernel's, if it offers no io_uring.
    pub(super) fn new(
        mut report: DeviceReport,
        in_flight_max: usize,
        buffers: &[AlignedBuffer],
        helper_start: HelperStart,
    ) -> io::Result<Uring> {
        let in_flight_max = in_flight_max.max(1);
        let mut ring = Ring::new(in_flight_max as u32)?;
        let mut registered: Vec<_> = buffers.iter().map(AlignedBuffer::identity).collect();
        let memory: Vec<_> = buffers.iter().map(|buffer| (buffer.as_ptr().addr(), buffer.len())).collect();
        if !memory.is_empty()
            && let Err(error) = ring.register_buffers(&memory)
        {
            // Slower, not wrong: the kernel pins the memory for each write.
            report
                .reasons
                .push(format!("io_uring: buffers not registered: {error} (raise the limit on locked memory)"));
            registered.clear();
        }
        Ok(Uring {
            ring: Some(ring),
            registered,
            in_flight: Vec::with_capacity(in_flight_max),
            pushed: VecDeque::with_capacity(in_flight_max),
            finished: Vec::with_capacity(in_flight_max),
            failed: FailedFiles::default(),
            refused_since: None,
            stepped_down: false,
            lower: None,
            helper_start,
            in_flight_max,
            report,
        })
    }

    /// Whether the kernel has blocks, or gets some when it is next entered.
    fn is_ring_busy(&self) -> bool {
        self.ring.is_some() && self.in_flight.iter().any(Option::is_some)
    }

    /// Queues the rest of the block in `slot` for the next entry into the kernel.
    fn push(&mut self, slot: usize) {
        let (Some(ring), Some(block)) = (&mut self.ring, &self.in_flight[slot]) else {
            panic!("block {slot} is not in flight on a ring");
        };
        let bytes = &block.write.bytes()[block.done..];
        let identity = block.write.buffer.identity();
        let write = Write {
            id: slot as u64,
            file: &block.write.file,
            memory: bytes.as_ptr(),
            length: bytes.len() as u32,
            offset: block.write.offset + block.done as u64,
            buffer: self.registered.iter().position(|&registered| registered == identity).map(|index| index as u16),
        };
        // SAFETY: invariant 1: the block is in `in_flight`, with its buffer and its file.
        let queued = unsafe { ring.push(&write) };
        assert!(queued, "more than {} blocks were submitted and not reaped", self.in_flight_max);
        self.pushed.push_back(slot);
    }

    /// Enters the kernel: submits the queued blocks, and the kernel posts the completions of finished writes. With
    /// `wait`, it waits at most that long for one.
    fn enter(&mut self, wait: Option<Duration>) {
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
            // No memory for a request, or too many completions not taken: most likely this passes.
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
        if self.stepped_down { self.strand(&error) } else { self.step_down(&error) }
    }

    /// Gives the kernel no more blocks. Those that it has not taken go to a device with `pwrite`; those that it has
    /// taken are still awaited.
    fn step_down(&mut self, error: &io::Error) {
        self.stepped_down = true;
        self.report.kind = DeviceKind::Pwrite;
        self.report.reasons.push(format!("io_uring: given up while running: {error}"));
        if let Some(ring) = &mut self.ring {
            ring.stop_submitting();
        }
        for slot in mem::take(&mut self.pushed) {
            self.move_down(slot);
        }
    }

    /// Moves the block in `slot`, which the kernel does not have, to the device with `pwrite`, which writes all of it.
    fn move_down(&mut self, slot: usize) {
        let block = self.take(slot);
        self.submit_lower(block.write);
    }

    fn submit_lower(&mut self, write: BlockWrite) {
        let lower = match &mut self.lower {
            Some(lower) => lower,
            none => {
                let operation = Direct::after(self.failed.clone());
                let helper_start = Arc::clone(&self.helper_start);
                match Threaded::new(operation, self.report.clone(), self.in_flight_max, helper_start) {
                    Ok(lower) => none.insert(lower),
                    // No thread now: the block fails, and the next one tries again.
                    Err(error) => return self.finished.push(write.complete(Err(error))),
                }
            }
        };
        lower.submit(write);
    }

    /// Fails all blocks in flight: the kernel cannot be entered any more, so their completions may never be seen. The
    /// writer gets a copy of each block, with the error. The blocks themselves are leaked, with the ring.
    fn strand(&mut self, error: &io::Error) {
        let saved = SavedIoError::from(error);
        for block in self.in_flight.iter_mut().filter_map(Option::take) {
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
                None if self.stepped_down => return self.move_down(slot),
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

    /// Removes the block in `slot`, which the kernel does not have, or no longer has.
    ///
    /// # Panics
    /// If the slot is empty, which is a bug: the block would never complete.
    fn take(&mut self, slot: usize) -> InFlight {
        self.in_flight[slot].take().expect("the slot holds a block in flight")
    }

    fn take_completions(&mut self) {
        while let Some((slot, result)) = self.ring.as_mut().and_then(Ring::take_completion) {
            self.take_result(slot as usize, result);
        }
    }
}

impl Device for Uring {
    fn submit(&mut self, write: BlockWrite) {
        write.assert_aligned();
        if let Some(error) = self.failed.error_of(&write.file) {
            return self.finished.push(write.complete(Err(error)));
        }
        if self.stepped_down {
            return self.submit_lower(write);
        }
        let block = Some(InFlight { write, done: 0, retries: 0 });
        let slot = match self.in_flight.iter().position(Option::is_none) {
            Some(slot) => slot,
            None => {
                self.in_flight.push(None);
                self.in_flight.len() - 1
            }
        };
        self.in_flight[slot] = block;
        self.push(slot);
        self.enter(None);
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        if self.is_ring_busy() {
            self.take_completions();
            // Completions that the kernel has put off, and blocks that it refused before, need an entry.
            if !self.pushed.is_empty() || self.ring.as_mut().is_some_and(Ring::poll_completions) {
                self.enter(None);
                self.take_completions();
            }
        } else if self.stepped_down {
            self.ring = None;
        }
        completions.append(&mut self.finished);
        if let Some(lower) = &mut self.lower {
            lower.reap(completions);
        }
    }

    fn wait(&mut self, timeout: Duration) {
        if !self.finished.is_empty() {
            return;
        }
        let is_ring_busy = self.is_ring_busy();
        match (&mut self.lower, is_ring_busy) {
            (None, true) => self.enter(Some(timeout)),
            (None, false) => thread::park_timeout(timeout),
            (Some(lower), true) => {
                if !lower.has_completed() {
                    self.enter(Some(timeout.min(SHORT_WAIT)));
                }
            }
            (Some(lower), false) => lower.wait(timeout),
        }
    }

    fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    fn report(&self) -> &DeviceReport {
        &self.report
    }

    fn abandon(mut self: Box<Self>) {
        if let Some(lower) = self.lower.take() {
            Box::new(lower).abandon();
        }
        // The drop leaks the blocks that the kernel has.
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.is_ring_busy() {
            // Invariant 1: the kernel may still read these blocks. The ring stays open too: closing it would not end
            // their writes.
            mem::forget(mem::take(&mut self.in_flight));
            mem::forget(self.ring.take());
        }
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
mod tests;
