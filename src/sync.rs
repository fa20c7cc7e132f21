//! The atomics, which a model checker can replace, a lock that survives the panic of its holder, and the mark of a
//! thread that has a lock.
//!
//! Under `--cfg loom` the atomics are loom's, which tries every interleaving and every stale value that the memory
//! model allows; otherwise they are the standard library's. `ring`, `gate` and the gate's page in `sys` use them. Locks
//! are always the standard library's: no append takes one, and the models do not check them.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::LocalKey;

#[cfg(loom)]
pub(crate) use loom::hint::spin_loop;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

#[cfg(not(loom))]
pub(crate) use std::hint::spin_loop;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Locks a mutex, also if a thread panicked while it held the lock: every update under a lock of this crate is a single
/// step, so the data is valid in any case.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Like [`lock`], but does not wait: `None` if a thread, maybe this one, has the mutex locked.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The thread holds a lock, or waits for it: a signal handler on it must do neither. The drop of this ends that.
#[must_use = "the thread is inside for as long as this lives"]
pub(crate) struct Inside(&'static LocalKey<Cell<bool>>);

impl Inside {
    /// Sets the thread's `mark`; `None` if it is set already.
    pub(crate) fn enter(mark: &'static LocalKey<Cell<bool>>) -> Option<Inside> {
        // Not `then_some`, which would make one in any case, and whose drop would take the outer one's mark away.
        (!mark.replace(true)).then(|| Inside(mark))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    thread_local!(static MARK: Cell<bool> = const { Cell::new(false) });

    #[test]
    fn a_refused_entry_leaves_the_mark_of_the_outer_one() {
        let outer = Inside::enter(&MARK);
        assert!(outer.is_some());
        assert!((0..3).all(|_| Inside::enter(&MARK).is_none()));
        drop(outer);
        assert!(Inside::enter(&MARK).is_some());
    }
}
