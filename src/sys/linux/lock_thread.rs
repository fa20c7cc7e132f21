//! A thread that holds record locks for the process, in a table of descriptors of its own.
//!
//! The kernel keeps a record lock (`fcntl`) for a table of descriptors and a file: a close of *any* descriptor of the
//! file by a thread with that table ends the lock, and a fork copies tables, never record locks. All threads of a
//! process usually share one table. This one leaves it with the first file and keeps only the descriptors of files that
//! it locks, so that no close elsewhere in the process ends a lock, no child inherits it, and it ends with the process,
//! however that ends. Other processes see the process's id as the holder's. The descriptors of later files are copied
//! from the caller's table.
//!
//! Used by [`lock`](super::lock) alone. The thread does nothing but hold locks.
//!
//! Invariants that the unsafe code rests on:
//! 1. The thread touches no descriptor but those that it keeps, before and after it leaves the shared table.
//! 2. The caller keeps the file open until the thread has answered, so that the number names it when the table is
//!    copied. Afterwards the copy belongs to the thread alone.
//! 3. A struct given to the kernel lives on this stack for the whole call.
#![allow(unsafe_code, reason = "calls the C library")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rustix::fs::FlockOperation;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, Resource, getpid, getrlimit, pidfd_getfd, pidfd_open};
use rustix::thread::{Pid, UnshareFlags, gettid, unshare_unsafe};

use super::signal_mask::BlockedSignals;
use crate::sync::lock;

/// It calls a few system functions, and needs hardly any stack.
const STACK_BYTES: usize = 128 << 10;

/// The most descriptors that are closed one by one if they cannot be listed.
const CLOSED_MAX: u64 = 1 << 20;

/// The outcome of [`LockThread::lock`].
pub(super) enum Answer {
    /// The thread holds the lock. Its descriptor has this number in the thread's own table.
    Locked(RawFd),
    /// The kernel refused the lock.
    Refused(rustix::io::Errno),
    /// The thread holds locks of other files, and could not get this one's descriptor: it takes another thread.
    NotReached,
    /// The kernel gives the thread no table of its own (Linux before 5.9 in a sandbox that forbids `unshare`).
    NoTable,
}

/// What the thread is asked to do.
enum Order {
    /// Lock the file whose descriptor has this number in the table of the calling thread, which has this id.
    Lock(RawFd, Pid),
    /// Close the descriptor that has this number in the thread's own table.
    Release(RawFd),
}

/// The thread. Dropping it ends all its locks.
pub(super) struct LockThread {
    /// Held from a question to its answer. `None` only while being dropped.
    channel: Mutex<Option<Channel>>,
    thread: Option<JoinHandle<()>>,
    /// A forked child has no such thread.
    process: u32,
}

struct Channel {
    orders: Sender<Order>,
    answers: Receiver<Answer>,
}

impl LockThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's, if no thread can be started.
    pub(super) fn start() -> io::Result<LockThread> {
        let (orders, received) = channel();
        let (answer, answers) = channel();
        // No signal comes before the thread has blocked them itself.
        let _blocked = BlockedSignals::new();
        let thread = std::thread::Builder::new()
            .name("diolog-lock".into())
            .stack_size(STACK_BYTES)
            .spawn(move || follow(&received, &answer))?;
        let channel = Mutex::new(Some(Channel { orders, answers }));
        Ok(LockThread { channel, thread: Some(thread), process: std::process::id() })
    }

    /// Locks `file`, without waiting for another holder.
    pub(super) fn lock(&self, file: &File) -> Answer {
        self.ask(Order::Lock(file.as_raw_fd(), gettid())).unwrap_or(Answer::NoTable)
    }

    /// Ends the lock whose descriptor has this number in the thread's table. In a forked child it does nothing.
    pub(super) fn release(&self, number: RawFd) {
        if self.process == std::process::id() {
            let _ = self.ask(Order::Release(number));
        }
    }

    /// Gives the thread an order, and waits until it is done. `None` if the thread is gone, after a panic there.
    fn ask(&self, order: Order) -> Option<Answer> {
        let channel = lock(&self.channel);
        let Channel { orders, answers } = channel.as_ref()?;
        orders.send(order).ok()?;
        answers.recv().ok()
    }
}

impl Drop for LockThread {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.process == std::process::id() {
            *lock(&self.channel) = None;
            // It ends at once, without a panic; the locks are free when it has ended.
            let _ = thread.join();
        } else {
            std::mem::forget(thread);
        }
    }
}

/// The thread: locks files and keeps them, until it is told to release one or the sender is dropped.
fn follow(orders: &Receiver<Order>, answers: &Sender<Answer>) {
    // A handler that writes to a pipe must not run here, where the pipe's number names nothing, or another file.
    block_signals();
    let mut kept: Vec<OwnedFd> = Vec::new();
    let mut has_own_table = false;
    while let Ok(order) = orders.recv() {
        let answer = match order {
            Order::Lock(number, caller) => {
                let file = if has_own_table { fetch(number, caller).ok() } else { keep_only(number).ok() };
                match file {
                    Some(file) => {
                        has_own_table = true;
                        lock_and_keep(file, &mut kept)
                    }
                    None if has_own_table => Answer::NotReached,
                    None => Answer::NoTable,
                }
            }
            Order::Release(number) => {
                kept.retain(|file| file.as_raw_fd() != number);
                Answer::Locked(number)
            }
        };
        let _ = answers.send(answer);
    }
}

/// Locks `file` and adds it to those that are `kept`. It closes one that it cannot lock.
fn lock_and_keep(file: OwnedFd, kept: &mut Vec<OwnedFd>) -> Answer {
    match rustix::io::retry_on_intr(|| rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => {
            let number = file.as_raw_fd();
            kept.push(file);
            Answer::Locked(number)
        }
        Err(errno) => Answer::Refused(errno),
    }
}

/// Gets the file of a descriptor that has this `number` in the table of the thread `caller`: the same open file, or
/// where a sandbox forbids that (or the process's first thread has ended) the file opened once more.
fn fetch(number: RawFd, caller: Pid) -> io::Result<OwnedFd> {
    let process = pidfd_open(getpid(), PidfdFlags::empty());
    let copy = process.and_then(|process| pidfd_getfd(process, number, PidfdGetfdFlags::empty()));
    if let Ok(copy) = copy {
        return Ok(copy);
    }
    let caller = caller.as_raw_nonzero();
    let path = format!("/proc/self/task/{caller}/fd/{number}");
    Ok(OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?.into())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::test_directory::directory;

    #[test]
    fn a_thread_that_cannot_get_a_descriptor_says_so_and_keeps_what_it_has() {
        let directory = directory();
        let create = |name: &str| File::create_new(directory.path().join(name)).expect("a file");
        let thread = LockThread::start().expect("a thread");
        assert!(matches!(thread.lock(&create("first")), Answer::Locked(_)));
        let unused = thread.ask(Order::Lock(RawFd::MAX, gettid()));
        assert!(matches!(unused, Some(Answer::NotReached)));
        assert!(matches!(thread.lock(&create("second")), Answer::Locked(_)));
    }
}
