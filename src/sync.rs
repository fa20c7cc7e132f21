//! The atomics, which a model checker can replace, and a lock that survives the panic of its holder.
//!
//! Under `--cfg loom` the atomics are loom's, which tries every interleaving and every stale value that the memory
//! model allows; otherwise they are the standard library's. `ring`, `gate` and the gate's page in `sys` use them. Locks
//! are always the standard library's: no append takes one, and the models do not check them.

use std::sync::{Mutex, MutexGuard, PoisonError};

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
