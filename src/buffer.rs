//! Memory in which a block is filled and from which it is written: aligned for direct I/O, zeroed, and resident from
//! the start.
//!
//! It knows nothing of its contents. The writer makes it, `block` fills it, and `device` owns it during a write.
//!
//! Invariants that the unsafe code rests on:
//! 1. `memory` came from `alloc` with `layout`, is freed once, in `Drop`, and belongs to this value alone.
//! 2. All `length` bytes of it are initialised (zeroed when made) and `length` is at most the layout's size.
//! 3. While the kernel reads the buffer, the device owns the value, so that safe code cannot reach its bytes.
#![allow(unsafe_code, reason = "aligned memory comes from the allocator")]
#![cfg_attr(
    not(feature = "unstable"),
    expect(unreachable_pub, reason = "public as diolog::unstable, with the feature unstable")
)]

use std::alloc::Layout;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crate::sys::huge_pages::{HUGE_PAGE_BYTES, advise_huge_pages};

/// The alignment that direct I/O needs on the disks of today: offsets, lengths and memory are multiples of it.
pub(crate) const ALIGNMENT_BYTES: usize = 4096;

/// From this size on, a buffer is on huge pages if the system has them: 1 MiB writes are slower from 4 KiB pages (the
/// kernel pins and maps each page for each write), 256 KiB writes are not.
const HUGE_PAGES_FROM_BYTES: usize = 1 << 20;

/// Bytes aligned for direct I/O.
pub struct AlignedBuffer {
    memory: NonNull<u8>,
    layout: Layout,
    length: usize,
    index: u16,
    identity: u64,
    /// Dropped with the buffer.
    counted: Option<Arc<Counted>>,
}

/// The bytes of some buffers together, for as long as each of them exists. Clones are of the same
/// count.
#[derive(Clone, Default)]
pub(crate) struct ByteCount(Arc<AtomicUsize>);

impl ByteCount {
    /// How many there are.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One buffer in a [`ByteCount`].
pub(crate) struct Counted {
    count: ByteCount,
    bytes: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Relaxed, as all of it: the count carries nothing but itself.
        self.count.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The identity of the next buffer.
static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(0);

impl AlignedBuffer {
    /// A buffer of `length` zero bytes, aligned to 4096, with every page touched.
    ///
    /// `index` is the creator's number for it.
    ///
    /// # Errors
    /// `OutOfMemory` if the allocator has no memory; `InvalidInput` if `length` is zero or too large for an allocation.
    pub fn new(length: usize, index: u16) -> io::Result<AlignedBuffer> {
        let huge = length >= HUGE_PAGES_FROM_BYTES;
        // A huge page counts only if all of it belongs to the allocation.
        let grain = if huge { HUGE_PAGE_BYTES } else { ALIGNMENT_BYTES };
        let layout = length
            .checked_next_multiple_of(grain)
            .filter(|&size| size > 0)
            .and_then(|size| Layout::from_size_align(size, grain).ok())
            .ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("a buffer of {length} bytes is not possible"))
            })?;
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { std::alloc::alloc(layout) }).ok_or(io::ErrorKind::OutOfMemory)?;
        if huge {
            advise_huge_pages(memory.as_ptr(), layout.size());
        }
        // SAFETY: the allocation has at least `length` bytes and is ours alone. Writing them also faults in their
        // pages, so that filling a block takes no page fault.
        unsafe { memory.as_ptr().write_bytes(0, length) };
        // Relaxed: the number only has to be unique.
        let identity = NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed);
        Ok(AlignedBuffer { memory, layout, length, index, identity, counted: None })
    }

    /// [`new`](Self::new), whose bytes are in `count` until the buffer is freed.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn counted(length: usize, index: u16, count: &ByteCount) -> io::Result<AlignedBuffer> {
        let mut buffer = AlignedBuffer::new(length, index)?;
        count.0.fetch_add(length, Ordering::Relaxed);
        buffer.counted = Some(Arc::new(Counted { count: count.clone(), bytes: length }));
        Ok(buffer)
    }

    /// Whether its bytes are in a [`ByteCount`].
    pub(crate) fn is_counted(&self) -> bool {
        self.counted.is_some()
    }

    /// Dead once the buffer is freed; `None` if it is not counted.
    pub(crate) fn life(&self) -> Option<Weak<Counted>> {
        self.counted.as_ref().map(Arc::downgrade)
    }

    /// The creator's number for it.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// A number that no other buffer of this process has or had. (An address can be reused, with other pages than those
    /// that were registered with the kernel.)
    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: invariants 1 and 2, and the borrow of self keeps the memory and forbids writes to it.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.length) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: invariants 1 and 2, and the borrow of self is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.length) }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: invariant 1.
        unsafe { std::alloc::dealloc(self.memory.as_ptr(), self.layout) };
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuffer").field("length", &self.length).field("index", &self.index).finish()
    }
}

// SAFETY: invariant 1: it owns its memory, as a `Box<[u8]>` does.
unsafe impl Send for AlignedBuffer {}
// SAFETY: a shared reference allows reading only.
unsafe impl Sync for AlignedBuffer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_zeroed_and_as_long_as_asked() {
        for length in [1, 4096, 65536, (1 << 20) - 4096, 1 << 20, 3 << 20] {
            let mut buffer = AlignedBuffer::new(length, 7).unwrap();
            assert!(buffer.as_ptr().addr().is_multiple_of(ALIGNMENT_BYTES));
            assert_eq!(buffer.len(), length);
            assert_eq!(buffer.index(), 7);
            assert!(buffer.iter().all(|&byte| byte == 0));
            buffer.fill(0xa5);
            assert!(buffer.iter().all(|&byte| byte == 0xa5));
        }
    }

    #[test]
    fn an_impossible_buffer_is_an_error() {
        assert_eq!(AlignedBuffer::new(0, 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(AlignedBuffer::new(usize::MAX, 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        // More than any address space holds.
        assert_eq!(
            AlignedBuffer::new(isize::MAX as usize & !(HUGE_PAGE_BYTES * 2 - 1), 0).unwrap_err().kind(),
            io::ErrorKind::OutOfMemory
        );
    }
}
