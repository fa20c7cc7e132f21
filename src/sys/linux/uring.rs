//! io_uring, as far as writing needs it: set-up, registered buffers, submission, completions. Called by `device`.
//!
//! It knows nothing of blocks, and does not decide how to go on after a failure. A ring belongs to the thread that made
//! it: the kernel refuses all others, and finishes each write on that thread when it enters the kernel (deferred
//! task-run).
//!
//! Invariants that the unsafe code rests on:
//! 1. The caller of [`Ring::push`] keeps the memory and the descriptor alive, and the memory unchanged, until the
//!    write's completion has been taken; a ring with writes in flight is leaked, together with their memory.
//! 2. Only this thread pushes to the submission queue (`&mut self`), and an entry is complete before it is pushed.
//! 3. Arguments given to the kernel live on this stack for the whole call.
#![allow(unsafe_code, reason = "the kernel reads memory by its address")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode};

use super::fork::{KeptFromChildren, keep_descriptor_from_children};

/// One write, as it is given to the kernel.
pub(crate) struct Write<'a> {
    /// Repeated in the completion.
    pub(crate) id: u64,
    /// The file.
    pub(crate) file: &'a File,
    /// The first byte.
    pub(crate) memory: *const u8,
    /// How many bytes.
    pub(crate) length: u32,
    /// The position in the file.
    pub(crate) offset: u64,
    /// The index of the registered buffer that holds these bytes, if one does.
    pub(crate) buffer: Option<u16>,
}

/// A submission queue and a completion queue shared with the kernel.
pub(crate) struct Ring {
    /// Dropped before the ring is closed. In a child that had the ring open, the writes of this process would never
    /// end: their files would stay open as long as the child lives.
    _kept: Option<KeptFromChildren>,
    ring: IoUring,
    /// Whether pushed entries are still submitted.
    submitting: bool,
}

impl Ring {
    /// A ring for `entries` writes at a time and as many `completions`, both rounded up, usable only by the calling
    /// thread.
    ///
    /// # Errors
    /// EPERM or ENOSYS if io_uring is forbidden; `Unsupported` if the kernel is too old (before 5.11).
    pub(crate) fn new(entries: u32, completions: u32) -> io::Result<Ring> {
        let entries = entries.max(1).next_power_of_two();
        let completions = completions.next_power_of_two().max(2 * entries);
        let ring = match IoUring::builder()
            .dontfork()
            .setup_cqsize(completions)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(entries)
        {
            // These flags came with Linux 6.0 and 6.1. Without them the kernel interrupts the thread to finish a write.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                IoUring::builder().dontfork().setup_cqsize(completions).build(entries)?
            }
            result => result?,
        };
        // Waits with a time limit, and completions that are kept while their queue is full.
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel is older than 5.11"));
        }
        // SAFETY: the ring is closed after `_kept` is dropped, and not before.
        let kept = unsafe { keep_descriptor_from_children(BorrowedFd::borrow_raw(ring.as_raw_fd())) };
        Ok(Ring { _kept: kept.ok(), ring, submitting: true })
    }

    /// Asks the kernel to pin these buffers (address and length) once, instead of for each write.
    ///
    /// # Errors
    /// ENOMEM beyond the limit on locked memory. Writes work without registration.
    pub(crate) fn register_buffers(&mut self, buffers: &[(usize, usize)]) -> io::Result<()> {
        let vectors: Vec<_> = buffers
            .iter()
            .map(|&(address, length)| libc::iovec { iov_base: address as *mut _, iov_len: length })
            .collect();
        // SAFETY: the kernel pins the pages themselves and copies the vectors; it refuses addresses that are not
        // mapped.
        unsafe { self.ring.submitter().register_buffers(&vectors) }
    }

    /// Makes a table of so many places for registered buffers, all empty.
    ///
    /// # Errors
    /// EINVAL before Linux 5.19; ENOMEM.
    pub(crate) fn register_places(&mut self, places: u32) -> io::Result<()> {
        self.ring.submitter().register_buffers_sparse(places)
    }

    /// Registers a buffer (address and length) in place `index` of the table, or empties that.
    ///
    /// # Errors
    /// ENOMEM beyond the limit on locked memory.
    pub(crate) fn set_place(&mut self, index: u16, buffer: Option<(usize, usize)>) -> io::Result<()> {
        let (address, length) = buffer.unwrap_or((0, 0));
        let vector = libc::iovec { iov_base: address as *mut _, iov_len: length };
        // SAFETY: as for `register_buffers`; the kernel empties a place that writes in flight use once they have ended.
        unsafe { self.ring.submitter().register_buffers_update(index.into(), &[vector], None) }
    }

    /// Lets so many kernel threads wait for disks on behalf of this thread's writes.
    ///
    /// # Errors
    /// EINVAL before Linux 5.15.
    pub(crate) fn set_waiting_threads(&mut self, threads: u32) -> io::Result<()> {
        // Zero leaves the other kind, for sockets and the like, as it is.
        self.ring.submitter().register_iowq_max_workers(&mut [threads, 0])
    }

    /// Queues a write for the next [`Ring::enter`]. `false` if the queue is full.
    ///
    /// # Safety
    /// Invariant 1.
    #[must_use]
    pub(crate) unsafe fn push(&mut self, write: &Write<'_>) -> bool {
        let &Write { memory, length, offset, .. } = write;
        let descriptor = Fd(write.file.as_raw_fd());
        let entry = match write.buffer {
            Some(buffer) => opcode::WriteFixed::new(descriptor, memory, length, buffer).offset(offset).build(),
            None => opcode::Write::new(descriptor, memory, length).offset(offset).build(),
        };
        // SAFETY: invariant 2, and invariant 1 for the memory that the entry points to.
        unsafe { self.ring.submission().push(&entry.user_data(write.id)).is_ok() }
    }

    /// How many pushed writes the kernel has not taken.
    pub(crate) fn pushed(&mut self) -> usize {
        self.ring.submission().len()
    }

    /// Submits nothing from now on, not even writes that are pushed already.
    pub(crate) fn stop_submitting(&mut self) {
        self.submitting = false;
    }

    /// Looks at the queues: whether there are completions, or entering the kernel would post some.
    pub(crate) fn poll_completions(&mut self) -> bool {
        if !self.ring.completion().is_empty() {
            return true;
        }
        let submission = self.ring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Submits the pushed writes, and the kernel posts the completions of finished ones. Does not wait.
    ///
    /// # Errors
    /// The kernel's. EINTR, EAGAIN and EBUSY are temporary.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        let to_submit = self.submittable();
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: no argument is passed, and the counts are those of the queue.
        unsafe { self.ring.submitter().enter::<libc::sigset_t>(to_submit, 0, flags, None) }.map(drop)
    }

    /// As [`Ring::enter`], then waits until there is a completion or `timeout` has passed.
    ///
    /// # Errors
    /// The kernel's, except EINTR and the end of the time.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let to_submit = self.submittable();
        let timespec = Timespec::from(timeout);
        let arguments = SubmitArgs::new().timespec(&timespec);
        let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits();
        // SAFETY: invariant 3; the flag says that the argument is of this kind.
        match unsafe { self.ring.submitter().enter(to_submit, 1, flags, Some(&arguments)) } {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ETIME)) => Ok(()),
            result => result.map(drop),
        }
    }

    /// Takes the next completion: the write's id, and the bytes written or the error.
    pub(crate) fn take_completion(&mut self) -> Option<(u64, io::Result<usize>)> {
        let entry = self.ring.completion().next()?;
        let result = match usize::try_from(entry.result()) {
            Ok(count) => Ok(count),
            Err(_) => Err(io::Error::from_raw_os_error(-entry.result())),
        };
        Some((entry.user_data(), result))
    }

    /// How many of the pushed writes to submit.
    fn submittable(&mut self) -> u32 {
        if self.submitting { self.ring.submission().len() as u32 } else { 0 }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel tears down a closed ring some time later; this releases the buffers' memory now. After a refusal
        // it is released then.
        let _ = self.ring.submitter().unregister_buffers();
    }
}
