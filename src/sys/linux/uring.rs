//! io_uring, as far as writing needs it: set-up, registration, submission, completions. Called by `device`.
//!
//! It knows neither blocks nor what to do about a failure. A ring belongs to the thread that made it: the kernel
//! refuses every other one, and runs the end of each write on it (deferred task-run), when it enters the kernel.
//!
//! Invariants that the unsafe code rests on:
//! 1. The caller of [`Ring::push`] keeps the memory and the descriptor alive, and the memory unchanged, until the
//!    write's completion has been taken; a ring with writes in flight is leaked, together with their memory.
//! 2. The submission queue is entered by this thread alone (`&mut self`), and an entry is whole before it is pushed.
//! 3. Arguments given to the kernel live on this stack for the whole call.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::{Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode};

/// One write, as the kernel is told of it.
pub(crate) struct Write<'a> {
    /// Comes back with the completion.
    pub(crate) id: u64,
    /// The slot of the file table that holds the file, if one does.
    pub(crate) slot: Option<u32>,
    /// The file.
    pub(crate) file: &'a File,
    /// The first byte.
    pub(crate) memory: *const u8,
    /// How many bytes.
    pub(crate) length: u32,
    /// Where in the file.
    pub(crate) offset: u64,
    /// The place of the registered buffer that holds these bytes, if one does.
    pub(crate) buffer: Option<u16>,
}

/// A submission queue and a completion queue shared with the kernel.
pub(crate) struct Ring {
    ring: IoUring,
    /// Whether entries pushed are still handed to the kernel.
    submitting: bool,
}

impl Ring {
    /// A ring for `entries` writes at a time, which only the calling thread can use.
    ///
    /// # Errors
    /// EPERM or ENOSYS where io_uring is forbidden; `Unsupported` where the kernel's (before 5.11) lacks what is needed.
    pub(crate) fn new(entries: u32) -> io::Result<Ring> {
        let entries = entries.max(1).next_power_of_two();
        let ring = match IoUring::builder()
            .dontfork()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(entries)
        {
            // These flags came with Linux 6.0 and 6.1. Without them the kernel interrupts the thread instead.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                IoUring::builder().dontfork().build(entries)?
            }
            result => result?,
        };
        // Waits with a time limit, and completions that are kept when the queue is full.
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel is older than 5.11"));
        }
        Ok(Ring { ring, submitting: true })
    }

    /// Has the kernel pin these buffers (address and length) once, instead of for each write.
    ///
    /// # Errors
    /// ENOMEM over the limit on locked memory. Writes work without.
    pub(crate) fn register_buffers(&mut self, buffers: &[(usize, usize)]) -> io::Result<()> {
        let vectors: Vec<_> = buffers
            .iter()
            .map(|&(address, length)| libc::iovec { iov_base: address as *mut _, iov_len: length })
            .collect();
        // SAFETY: the kernel pins the pages themselves and copies the vectors; it refuses addresses that are not mapped.
        unsafe { self.ring.submitter().register_buffers(&vectors) }
    }

    /// Makes a table of `slots` empty slots for files.
    ///
    /// # Errors
    /// The kernel's. Writes work without.
    pub(crate) fn register_slots(&mut self, slots: u32) -> io::Result<()> {
        // Linux 5.12 takes -1 for an empty slot.
        self.ring.submitter().register_files(&vec![-1; slots as usize])
    }

    /// Puts a file into a slot, or empties it. Writes in flight keep theirs.
    pub(crate) fn set_slot(&mut self, slot: u32, file: Option<&File>) -> io::Result<()> {
        let descriptor = file.map_or(-1, |file| file.as_raw_fd());
        self.ring.submitter().register_files_update(slot, &[descriptor]).map(drop)
    }

    /// Queues a write for the next [`Ring::enter`]. `false` if the queue is full.
    ///
    /// # Safety
    /// Invariant 1.
    #[must_use]
    pub(crate) unsafe fn push(&mut self, write: &Write<'_>) -> bool {
        let &Write { slot, memory, length, offset, .. } = write;
        let descriptor = Fd(write.file.as_raw_fd());
        let entry = match (slot.map(Fixed), write.buffer) {
            (Some(slot), Some(buffer)) => opcode::WriteFixed::new(slot, memory, length, buffer).offset(offset).build(),
            (None, Some(buffer)) => opcode::WriteFixed::new(descriptor, memory, length, buffer).offset(offset).build(),
            (Some(slot), None) => opcode::Write::new(slot, memory, length).offset(offset).build(),
            (None, None) => opcode::Write::new(descriptor, memory, length).offset(offset).build(),
        };
        // SAFETY: invariant 2, and the caller's promise for what the entry points to.
        unsafe { self.ring.submission().push(&entry.user_data(write.id)).is_ok() }
    }

    /// How many writes have been pushed that the kernel has not taken.
    pub(crate) fn pushed(&mut self) -> usize {
        self.ring.submission().len()
    }

    /// From now on the kernel is given nothing: what is pushed and not taken never will be.
    pub(crate) fn stop_submitting(&mut self) {
        self.submitting = false;
    }

    /// Whether there are completions, or some that entering the kernel would bring forth.
    pub(crate) fn has_completions(&mut self) -> bool {
        if !self.ring.completion().is_empty() {
            return true;
        }
        let submission = self.ring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Hands the kernel what is pushed, and lets it finish what the disk has finished. Does not wait.
    ///
    /// # Errors
    /// The kernel's. EINTR, EAGAIN and EBUSY pass.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        let to_submit = self.submittable();
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: no argument is passed, and the counts are those of the queue.
        unsafe { self.ring.submitter().enter::<libc::sigset_t>(to_submit, 0, flags, None) }.map(drop)
    }

    /// As [`Ring::enter`], then waits until there is a completion or `timeout` has passed.
    ///
    /// # Errors
    /// The kernel's, but neither EINTR nor the end of the time.
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

    /// The next completion: which write, and how many bytes or why not.
    pub(crate) fn completion(&mut self) -> Option<(u64, io::Result<usize>)> {
        let entry = self.ring.completion().next()?;
        let result = match usize::try_from(entry.result()) {
            Ok(count) => Ok(count),
            Err(_) => Err(io::Error::from_raw_os_error(-entry.result())),
        };
        Some((entry.user_data(), result))
    }

    /// How many of the writes pushed to hand to the kernel.
    fn submittable(&mut self) -> u32 {
        if self.submitting { self.ring.submission().len() as u32 } else { 0 }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel dismantles a closed ring some time later; files and memory are let go of now. Nothing can be
        // done about a refusal, and nothing depends on it.
        let _ = self.ring.submitter().unregister_files();
        let _ = self.ring.submitter().unregister_buffers();
    }
}
