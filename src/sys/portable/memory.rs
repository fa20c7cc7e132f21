//! Memory: allocations for rings, words that no fork wipes here, and no memory barrier on all threads. Called by
//! `ring` and `gate`.
//!
//! 1. A [`Mapping`] is one allocation of `layout` at `base`, made by its constructor and freed only by its drop: in
//!    between the range is valid, zeroed at first, and nobody else's.

#![allow(unsafe_code, reason = "zeroed memory comes from the allocator")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::sync::AtomicU32;
use crate::sys::WIPED_WORDS;

const PAGE_BYTES_MIN: usize = 4096;

/// The alignment up to which an allocator usually has zeroed memory that nobody has touched; for a larger one, the
/// standard library writes the zeros itself, and so takes memory for all of it.
#[cfg(not(loom))]
const UNTOUCHED_ALIGN: usize = 16;

/// Private, zeroed memory, aligned to 4096 bytes, or to 16 if it is address space.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: (1) the allocation belongs to this value, not to the thread that made it.
unsafe impl Send for Mapping {}
// SAFETY: a shared `Mapping` gives only its address; each access through it has its own argument.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `bytes` (above zero) bytes of zeros, every page faulted in.
    ///
    /// # Errors
    /// The allocator has no memory.
    pub(crate) fn faulted_in(bytes: usize) -> io::Result<Mapping> {
        let mapping = Mapping::allocated(bytes, PAGE_BYTES_MIN)?;
        for offset in (0..mapping.layout.size()).step_by(PAGE_BYTES_MIN) {
            // SAFETY: in bounds of the fresh allocation.
            unsafe { mapping.base.as_ptr().add(offset).write_volatile(0) };
        }
        Ok(mapping)
    }

    fn allocated(bytes: usize, align: usize) -> io::Result<Mapping> {
        let layout = Layout::from_size_align(bytes.max(1), align).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { base, layout })
    }

    /// `bytes` (above zero) bytes of zeros. Whether they take memory before their first access is the allocator's
    /// decision.
    ///
    /// # Errors
    /// The allocator has no memory.
    #[cfg(not(loom))]
    pub(crate) fn address_space(bytes: usize) -> io::Result<Mapping> {
        Mapping::allocated(bytes, UNTOUCHED_ALIGN)
    }

    /// Returns `false`: there is no portable way to give pages back.
    ///
    /// # Safety
    /// The range is within the mapping, and nobody uses it now.
    #[cfg(not(loom))]
    pub(crate) unsafe fn discard(&self, _offset: usize, _bytes: usize) -> bool {
        false
    }

    /// As [`faulted_in`](Self::faulted_in): there is no portable way to ask for huge pages.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(loom))]
    pub(crate) fn in_huge_pages(bytes: usize) -> io::Result<Mapping> {
        Mapping::faulted_in(bytes)
    }

    /// Its first byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: (1).
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

/// A few words. On Linux they read as zero in a forked child; here the child inherits the parent's values. Clones share
/// the words.
#[derive(Clone, Debug)]
pub(crate) struct WipedOnFork {
    words: Arc<[AtomicU32; WIPED_WORDS]>,
}

impl WipedOnFork {
    /// All words zero.
    ///
    /// # Errors
    /// None here.
    pub(crate) fn new() -> io::Result<WipedOnFork> {
        Ok(WipedOnFork::never_wiped())
    }

    /// All words zero.
    pub(crate) fn never_wiped() -> WipedOnFork {
        WipedOnFork { words: Arc::new(std::array::from_fn(|_| AtomicU32::new(0))) }
    }

    /// As [`new`](Self::new).
    ///
    /// # Errors
    /// Never.
    pub(crate) fn by_any_means() -> io::Result<WipedOnFork> {
        WipedOnFork::new()
    }

    /// The words.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU32; WIPED_WORDS] {
        &self.words
    }
}

/// Does nothing: there is no portable prefetch.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn fetch_for_read<const AHEAD: usize>(_address: *const u8) {}

/// Does nothing: there is no portable prefetch.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn fetch_for_write<const AHEAD: usize>(_address: *const u8) {}

/// Returns `false`: there is no portable barrier on all threads, so the caller must order its own accesses.
pub(crate) fn register_barrier() -> bool {
    false
}

/// See [`register_barrier`].
pub(crate) fn barrier_all_threads() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_zeroed_aligned_and_writable_to_its_end() {
        let mapping = Mapping::faulted_in(1 << 16).expect("64 KiB");
        assert_eq!(mapping.base().as_ptr() as usize % PAGE_BYTES_MIN, 0);
        // SAFETY: (1), below its size.
        let last = unsafe { &mut *mapping.base().as_ptr().add((1 << 16) - 1) };
        assert_eq!(*last, 0);
        *last = 7;
    }

    #[test]
    fn an_impossible_mapping_is_an_error() {
        assert!(Mapping::faulted_in(1 << 62).is_err());
    }
}
