//! What threads share memory by: the atomics, so that a model checker can stand in for them, and how to lock.
//!
//! Under `--cfg loom` the atomics are loom's, which tries every interleaving and every stale value that the memory
//! model allows; otherwise they are the standard library's. `ring`, `gate` and the page that `sys` keeps for it use
//! them. Locks are always the standard library's: no append takes one, and the models do not look at them.

use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(loom)]
pub(crate) use loom::hint::spin_loop;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

#[cfg(not(loom))]
pub(crate) use std::hint::spin_loop;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Locks a mutex whose data stays meaningful if a thread died holding it: all updates under our locks are single steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
