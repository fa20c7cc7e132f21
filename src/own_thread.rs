//! Which threads are the library's own: the writers of logs, and the threads that help them.
//!
//! An exit handler or a panic hook that runs on one of them must not wait for a log: the wait would be for that very
//! thread. So each thread that may run one is marked: all of the library's but `diolog-lock`, which only holds a log's
//! lock, and runs nothing else. Nor does a signal handler of the program run on any of them: they block all signals but
//! those of faults.

use std::cell::Cell;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{Builder, JoinHandle};

use crate::sys::signal_mask::BlockedSignals;

/// What the calling thread is to the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// One of the program's own threads.
    Host,
    /// A thread that helps a writer, or waits for signals.
    Helper,
    /// The thread of a listener. It runs code of the program.
    Listener,
    /// This writer. It also runs the callbacks of the logs that it serves.
    Writer(WriterId),
}

/// The number of a writer thread, which no other one of this process has or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriterId(u64);

impl WriterId {
    /// The next number.
    pub(crate) fn new() -> WriterId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: the number only has to be unique.
        WriterId(NEXT.fetch_add(1, Relaxed))
    }
}

thread_local! {
    // Without a destructor, so that it can be read while and after the thread's other values are destroyed.
    static ROLE: Cell<Role> = const { Cell::new(Role::Host) };
    static PINNED: Pinned = const { Pinned };
}

/// A value with a destructor. While a thread has one, the system does not unload the shared object that the destructor
/// is in: a library that logs and is unloaded keeps its code until the log is closed and the log's threads are gone.
/// (glibc and Apple's loader count such threads; musl unloads nothing.)
struct Pinned;

impl Drop for Pinned {
    fn drop(&mut self) {}
}

/// Starts a thread of the library that is called `name`, is marked as `role`, and runs `body`.
///
/// # Errors
/// The operating system's, if it cannot start a thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    role: Role,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    // The new thread inherits the mask, so that no signal comes before it could block them.
    let _blocked = BlockedSignals::new();
    Builder::new().name(name.to_owned()).spawn(move || {
        mark(role);
        body()
    })
}

/// Marks the calling thread as one of the library's own.
fn mark(role: Role) {
    ROLE.set(role);
    PINNED.with(|_| ());
}

/// What the calling thread is.
pub(crate) fn role() -> Role {
    ROLE.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_the_hosts_unless_it_is_marked() {
        let marked = spawn("diolog-test", Role::Helper, role).expect("a thread");
        assert_eq!((marked.join().expect("no panic"), role()), (Role::Helper, Role::Host));
    }
}
