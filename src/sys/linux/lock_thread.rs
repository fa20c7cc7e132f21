//! A thread that holds a record lock for the process, in a table of descriptors of its own.
//!
//! The kernel keeps a record lock (`fcntl`) for a table of descriptors and a file: a close of *any* descriptor of the
//! file by a thread with that table ends the lock, and a fork copies tables, never record locks. All threads of a
//! process usually share one table. This one leaves it and keeps a single descriptor, so that no close elsewhere in the
//! process ends the lock, no child inherits it, and it ends with the process, however that ends. Other processes see the
//! process's id as the holder's.
//!
//! Used by [`lock`](super::lock) alone. The thread does nothing but hold the lock.
//!
//! Invariants that the unsafe code rests on:
//! 1. The thread touches no descriptor but the one that it keeps, before and after it leaves the shared table.
//! 2. The caller keeps the file open until the thread has answered, so that the number names it when the table is
//!    copied. Afterwards the copy belongs to the thread alone.
//! 3. A struct given to the kernel lives on this stack for the whole call.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rustix::fs::FlockOperation;
use rustix::process::{Resource, getrlimit};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// It calls a few system functions, and needs hardly any stack.
const STACK_BYTES: usize = 128 << 10;

/// The most descriptors that are closed one by one if they cannot be listed.
const CLOSED_MAX: u64 = 1 << 20;

/// The outcome of [`LockThread::lock`].
pub(super) enum Answer {
    /// The thread holds the lock until it is dropped.
    Locked,
    /// The kernel refused the lock.
    Refused(rustix::io::Errno),
    /// The kernel gives the thread no table of its own (Linux before 5.9 in a sandbox that forbids `unshare`).
    NoTable,
}

/// The thread. Dropping it ends the lock.
pub(super) struct LockThread {
    /// Takes the descriptor's number. `None` only while being dropped.
    files: Option<Sender<RawFd>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    /// A forked child has no such thread.
    process: u32,
}

impl LockThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's, if no thread can be started.
    pub(super) fn start() -> io::Result<LockThread> {
        let (files, numbers) = channel();
        let (answer, answers) = channel();
        let thread = std::thread::Builder::new()
            .name("diolog-lock".into())
            .stack_size(STACK_BYTES)
            .spawn(move || hold(&numbers, &answer))?;
        Ok(LockThread { files: Some(files), answers, thread: Some(thread), process: std::process::id() })
    }

    /// Locks `file`, without waiting for another holder. Called once.
    pub(super) fn lock(&self, file: &File) -> Answer {
        let asked = self.files.as_ref().is_some_and(|files| files.send(file.as_raw_fd()).is_ok());
        if asked { self.answers.recv().unwrap_or(Answer::NoTable) } else { Answer::NoTable }
    }
}

impl Drop for LockThread {
    fn drop(&mut self) {
        self.files = None;
        let Some(thread) = self.thread.take() else { return };
        if self.process == std::process::id() {
            // It ends at once, without a panic; the lock is free when it has ended.
            let _ = thread.join();
        } else {
            std::mem::forget(thread);
        }
    }
}

/// The thread: locks the file of the number that it is sent, and keeps it until the sender is dropped.
fn hold(numbers: &Receiver<RawFd>, answer: &Sender<Answer>) {
    // A handler that writes to a pipe must not run here, where the pipe's number names nothing, or another file.
    block_signals();
    let Ok(number) = numbers.recv() else { return };
    let Ok(file) = keep_only(number) else {
        let _ = answer.send(Answer::NoTable);
        return;
    };
    match rustix::io::retry_on_intr(|| rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => {
            let _ = answer.send(Answer::Locked);
            let _ = numbers.recv();
        }
        Err(errno) => {
            let _ = answer.send(Answer::Refused(errno));
        }
    }
}

/// Blocks all signals on this thread, except those that the C library keeps for itself.
fn block_signals() {
    // SAFETY: (3); the set is filled before it is read.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
}

/// Gives this thread a table of descriptors of its own, with `number` alone in it.
///
/// # Errors
/// The kernel's; then the table is the shared one still, and nothing was closed.
fn keep_only(number: RawFd) -> io::Result<OwnedFd> {
    let kept = number.unsigned_abs();
    if close_range(kept + 1, u32::MAX, libc::CLOSE_RANGE_UNSHARE).is_ok() {
        if kept > 0 {
            // The copies: what stays open here would not be closed when the process closes its own.
            let _ = close_range(0, kept - 1, 0);
        }
    } else {
        // SAFETY: (1).
        unsafe { unshare_unsafe(UnshareFlags::FILES) }?;
        close_others(number);
    }
    // SAFETY: (2).
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes the descriptors from `first` to `last`. With `CLOSE_RANGE_UNSHARE` the thread gets its own table first.
fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: (1), and takes numbers. Without the flag it is called on a table that is this thread's own.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes all descriptors but `number`, one by one. The table is this thread's own.
fn close_others(number: RawFd) {
    let listed = |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let numbers: Vec<RawFd> = match std::fs::read_dir("/proc/thread-self/fd") {
        Ok(entries) => entries.filter_map(listed).collect(),
        Err(_) => {
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(CLOSED_MAX).min(CLOSED_MAX);
            (0..limit as RawFd).collect()
        }
    };
    for other in numbers.into_iter().filter(|other| *other != number) {
        // SAFETY: (1); the process's own descriptor of this number is in another table.
        unsafe { libc::close(other) };
    }
}
