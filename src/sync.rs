//! The atomics that threads share, so that a model checker can stand in for them.
//!
//! Under `--cfg loom` they are loom's, which tries every interleaving and every stale value that the memory model
//! allows; otherwise they are the standard library's. Used by `ring`, `gate` and the page that `sys` keeps for it.

#[cfg(loom)]
pub(crate) use loom::hint::spin_loop;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::thread::yield_now;

#[cfg(not(loom))]
pub(crate) use std::hint::spin_loop;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::thread::yield_now;
