//! What a forked child finds in memory of its parent. Rings are shared with other processes on Linux alone.

#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;

/// See [`keep_from_children`].
#[derive(Debug)]
pub(crate) struct KeptFromChildren(());

/// Refuses: there is no portable way to keep memory from a child.
///
/// # Errors
/// Always.
///
/// # Safety
/// The range consists of whole pages that the caller has mapped. It stays mapped until the returned value is dropped.
#[allow(dead_code, reason = "for rings in memory that processes share")]
pub(crate) unsafe fn keep_from_children(_base: NonNull<u8>, _bytes: usize) -> io::Result<KeptFromChildren> {
    Err(io::ErrorKind::Unsupported.into())
}
