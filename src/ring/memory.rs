//! The bytes between the two ends: words at offsets, written by the producer and lent out to the consumer.
//!
//! A private mapping, or a part of a [`Slot`](super::slot::Slot). It does not know positions: each caller uses only its
//! own part (invariant 2 of `ring`).
//!
//! 1. Offsets are multiples of 8, and an access ends before the capacity does.

#![allow(unsafe_code, reason = "both ends use the same bytes")]

#[cfg(not(loom))]
pub(super) use super::slabs::{ReserveMemory, Slabs};
#[cfg(loom)]
pub(super) use modelled::{Memory, MemoryPool, ReserveMemory, Slabs, Words};
#[cfg(not(loom))]
pub(super) use real::{Memory, MemoryPool, Words};

/// How far ahead of the record being read cache lines are prefetched. Each of them comes from the producer's CPU. (Half
/// and twice as far were no faster.)
pub(super) const READ_AHEAD_BYTES: usize = 1152;

#[cfg(not(loom))]
mod real {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::READ_AHEAD_BYTES;
    use crate::ring::layout::HEAD_BYTES;
    use crate::ring::payload::{Claimed, Payload};
    use crate::ring::slot::Slot;
    use crate::sync::lock;
    use crate::sys::huge_pages::HUGE_PAGE_BYTES;
    use crate::sys::memory::{Mapping, fetch_for_read, fetch_for_write};

    /// A ring's memory: a mapping, or a part of one, or of a slot.
    #[derive(Debug)]
    pub(in crate::ring) struct Memory {
        words: Words,
        bytes: usize,
        owner: Owner,
    }

    /// What keeps the memory.
    #[derive(Debug)]
    enum Owner {
        /// The memory begins at this offset of the mapping, in bytes.
        Mapping {
            mapping: Arc<Mapping>,
            offset: usize,
        },
        Window {
            _slot: Arc<dyn Slot>,
        },
        Reserve {
            slot: Arc<dyn Slot>,
        },
    }

    impl Memory {
        /// The whole of `mapping`, which has `bytes` bytes.
        fn whole(mapping: Mapping, bytes: usize) -> Memory {
            Memory::part(Arc::new(mapping), 0, bytes)
        }

        /// The `bytes` bytes of `mapping` from `offset`.
        pub(in crate::ring) fn part(mapping: Arc<Mapping>, offset: usize, bytes: usize) -> Memory {
            // Within the mapping.
            let words = Words { base: mapping.base().as_ptr().wrapping_add(offset) };
            Memory { words, bytes, owner: Owner::Mapping { mapping, offset } }
        }

        /// The window of `slot`, which has `bytes` bytes.
        pub(in crate::ring) fn window_of(slot: &Arc<dyn Slot>, bytes: usize) -> Memory {
            let words = Words { base: slot.window().as_ptr() };
            Memory { words, bytes, owner: Owner::Window { _slot: Arc::clone(slot) } }
        }

        /// The reserve of `slot`, which has `bytes` bytes; `None` if it has none.
        pub(in crate::ring) fn reserve_of(slot: &Arc<dyn Slot>, bytes: usize) -> Option<Memory> {
            let words = Words { base: slot.reserve()?.as_ptr() };
            Some(Memory { words, bytes, owner: Owner::Reserve { slot: Arc::clone(slot) } })
        }

        /// Makes `bytes` bytes from `offset` present, both multiples of a chunk, if they are not so at their first
        /// access. Returns whether there is memory for them.
        pub(in crate::ring) fn enter(&self, offset: usize, bytes: usize) -> bool {
            match &self.owner {
                Owner::Reserve { slot } => slot.enter(offset, bytes),
                Owner::Mapping { .. } | Owner::Window { .. } => true,
            }
        }

        /// Bytes in all.
        pub(in crate::ring) fn bytes(&self) -> usize {
            self.bytes
        }

        /// Gives the pages of `bytes` bytes from `offset` back to the system, both multiples of a page: they read as
        /// zeros afterwards. Returns `false`, and changes nothing, if the system refuses.
        ///
        /// # Safety
        /// The bytes are within the memory, and nobody uses them now.
        pub(in crate::ring) unsafe fn discard(&self, offset: usize, bytes: usize) -> bool {
            match &self.owner {
                // SAFETY: within the mapping; the rest is the caller's promise.
                Owner::Mapping { mapping, offset: from } => unsafe { mapping.discard(from + offset, bytes) },
                // SAFETY: the caller's promise.
                Owner::Reserve { slot } => unsafe { slot.leave(offset, bytes) },
                Owner::Window { .. } => false,
            }
        }

        /// Direct access to the words, without a borrow of `self`, which must outlive it.
        pub(in crate::ring) fn words(&self) -> Words {
            self.words
        }
    }

    const HALF_BYTES: usize = HUGE_PAGE_BYTES / 2;

    /// Makes memory for rings. Two rings of half a huge page (1 MiB, the default of `ring_bytes`) share one: alone on a
    /// huge page, each would occupy 2 MiB. On small pages it would have 256 of them, more than the 64 to 96 entries of
    /// a usual first-level TLB, and an append after a pause would take a TLB miss.
    #[derive(Debug, Default)]
    pub(in crate::ring) struct MemoryPool {
        /// The half of a huge page that no ring has yet. Locked while a huge page is touched, so that rings that are
        /// made at the same time share it too.
        spare: Mutex<Option<Memory>>,
    }

    impl MemoryPool {
        /// Memory of this process alone, all of it present. From half a huge page on it is on huge pages: with small
        /// pages a thread that rarely logs takes TLB misses.
        pub(in crate::ring) fn private(&self, bytes: usize) -> io::Result<Memory> {
            if bytes >= HALF_BYTES
                && let Ok(memory) = self.in_huge_pages(bytes)
            {
                return Ok(memory);
            }
            // A small ring; or there is no room for huge pages, which take more.
            Mapping::faulted_in(bytes).map(|mapping| Memory::whole(mapping, bytes))
        }

        fn in_huge_pages(&self, bytes: usize) -> io::Result<Memory> {
            if bytes != HALF_BYTES {
                return Mapping::in_huge_pages(bytes).map(|mapping| Memory::whole(mapping, bytes));
            }
            let mut spare = lock(&self.spare);
            if let Some(half) = spare.take() {
                return Ok(half);
            }
            let mapping = Arc::new(Mapping::in_huge_pages(HUGE_PAGE_BYTES)?);
            *spare = Some(Memory::part(Arc::clone(&mapping), HALF_BYTES, bytes));
            Ok(Memory::part(mapping, 0, bytes))
        }
    }

    const LINE_BYTES: usize = 64;

    /// How far ahead of the record being written cache lines are prefetched for writing. The consumer has read them in
    /// the round before, so each must be fetched back from its CPU, which takes 100 ns and more. At this distance that
    /// is done when the line is needed, even in a burst of 40 messages. (Half of it was slower, twice no faster.)
    const WRITE_AHEAD_BYTES: usize = 4096;

    /// How far ahead lines are prefetched once more, some records before they are needed: during a pause, another user
    /// of the CPU's caches can have evicted them. (Twice as far was no better.)
    const WRITE_AGAIN_BYTES: usize = 256;

    /// The words of a [`Memory`]: only an address.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::ring) struct Words {
        base: *mut u8,
    }

    // SAFETY: only an address, into memory that belongs to no thread; each dereference has its own argument.
    unsafe impl Send for Words {}
    // SAFETY: likewise.
    unsafe impl Sync for Words {}

    impl Words {
        /// The address of `offset`.
        pub(in crate::ring) fn address(&self, offset: usize) -> *mut u8 {
            self.base.wrapping_add(offset)
        }

        /// Reads the word at `offset`.
        ///
        /// # Safety
        /// (1), the memory is alive, and nobody writes this word now.
        #[inline(always)]
        pub(in crate::ring) unsafe fn read(&self, offset: usize) -> u64 {
            // SAFETY: in bounds and aligned by (1), initialised by the mapping's zeros.
            unsafe { self.base.add(offset).cast::<u64>().read() }
        }

        /// Writes the word at `offset`.
        ///
        /// # Safety
        /// (1), the memory is alive, and nobody else uses this word now.
        #[inline(always)]
        pub(in crate::ring) unsafe fn write(&self, offset: usize, word: u64) {
            // SAFETY: in bounds and aligned by (1).
            unsafe { self.base.add(offset).cast::<u64>().write(word) }
        }

        /// Writes a record at `offset`: three words of head, then the `bytes` bytes of `payload`. `SHORT`: without a
        /// loop, for at most [`FAST_PATH_BYTES_MAX`](crate::ring::copy::FAST_PATH_BYTES_MAX) of them.
        ///
        /// # Safety
        /// (1) for head and padded payload, the memory is alive, and nobody else uses these words now.
        #[inline(always)]
        pub(in crate::ring) unsafe fn write_record<const SHORT: bool>(
            &self,
            offset: usize,
            head: [u64; 3],
            payload: &(impl Payload + ?Sized),
            bytes: usize,
        ) {
            // SAFETY: in bounds and aligned by (1); the bytes belong to nobody else, so they are no part of `payload`.
            let (to, mut claimed) = unsafe {
                let to = self.base.add(offset);
                to.cast::<[u64; 3]>().write(head);
                (to, Claimed::new(to.add(HEAD_BYTES), bytes, SHORT))
            };
            payload.write(&mut claimed);
            claimed.end();
            if SHORT {
                fetch_for_write::<WRITE_AHEAD_BYTES>(to);
                fetch_for_write::<{ WRITE_AHEAD_BYTES + LINE_BYTES }>(to);
                fetch_for_write::<WRITE_AGAIN_BYTES>(to);
                fetch_for_write::<{ WRITE_AGAIN_BYTES + LINE_BYTES }>(to);
            } else {
                for at in (0..bytes).step_by(LINE_BYTES) {
                    fetch_for_write::<WRITE_AHEAD_BYTES>(to.wrapping_add(at));
                }
            }
        }

        /// Prefetches the two cache lines that end [`READ_AHEAD_BYTES`] after `offset`.
        #[inline(always)]
        pub(in crate::ring) fn prefetch(&self, offset: usize) {
            let at = self.base.wrapping_add(offset);
            fetch_for_read::<{ READ_AHEAD_BYTES - 2 * LINE_BYTES }>(at);
            fetch_for_read::<{ READ_AHEAD_BYTES - LINE_BYTES }>(at);
        }

        /// Lends the `length` bytes at `offset` to `use_bytes`.
        ///
        /// # Safety
        /// (1), the memory is alive, and nobody writes these bytes until `use_bytes` returns.
        #[inline(always)]
        pub(in crate::ring) unsafe fn lend<R>(
            &self,
            offset: usize,
            length: usize,
            use_bytes: impl FnOnce(&[u8]) -> R,
        ) -> R {
            // SAFETY: in bounds by (1), initialised, and not written for the life of the slice.
            use_bytes(unsafe { std::slice::from_raw_parts(self.base.add(offset), length) })
        }
    }
}

/// The same words under loom, which reports any two accesses that no ordering separates.
#[cfg(loom)]
mod modelled {
    use std::io;
    use std::sync::Arc;

    use loom::cell::UnsafeCell;

    use crate::ring::payload::{Payload, to_vec};

    #[derive(Debug)]
    pub(in crate::ring) struct Memory {
        words: Words,
    }

    impl Memory {
        pub(in crate::ring) fn bytes(&self) -> usize {
            self.words.0.len() * 8
        }

        pub(in crate::ring) fn words(&self) -> Words {
            self.words.clone()
        }

        pub(in crate::ring) fn enter(&self, _offset: usize, _bytes: usize) -> bool {
            true
        }

        pub(in crate::ring) unsafe fn discard(&self, offset: usize, bytes: usize) -> bool {
            for offset in (offset..offset + bytes).step_by(8) {
                // SAFETY: the caller's promise.
                unsafe { self.words.write(offset, 0) };
            }
            true
        }
    }

    /// Nothing is shared, as for the pool.
    #[derive(Debug)]
    pub(in crate::ring) struct Slabs(usize);

    impl Slabs {
        pub(in crate::ring) fn new(reserve_bytes: usize, _bytes_max: u64) -> Slabs {
            Slabs(reserve_bytes)
        }

        pub(in crate::ring) fn take(slabs: &Arc<Slabs>) -> Option<ReserveMemory> {
            MemoryPool.private(slabs.0).ok()
        }

        pub(in crate::ring) fn refusal(&self) -> Option<String> {
            None
        }
    }

    pub(in crate::ring) type ReserveMemory = Memory;

    /// Nothing is shared: each ring has memory of its own.
    #[derive(Debug, Default)]
    pub(in crate::ring) struct MemoryPool;

    impl MemoryPool {
        pub(in crate::ring) fn private(&self, bytes: usize) -> io::Result<Memory> {
            Ok(Memory { words: Words(Arc::new((0..bytes / 8).map(|_| UnsafeCell::new(0)).collect())) })
        }
    }

    #[derive(Clone, Debug)]
    pub(in crate::ring) struct Words(Arc<Vec<UnsafeCell<u64>>>);

    // SAFETY: as for the real words; loom checks the accesses.
    unsafe impl Send for Words {}
    // SAFETY: likewise.
    unsafe impl Sync for Words {}

    impl Words {
        pub(in crate::ring) unsafe fn read(&self, offset: usize) -> u64 {
            // SAFETY: loom panics if another thread writes this word unordered.
            self.0[offset / 8].with(|word| unsafe { *word })
        }

        pub(in crate::ring) unsafe fn write(&self, offset: usize, new: u64) {
            // SAFETY: loom panics if another thread uses this word unordered.
            self.0[offset / 8].with_mut(|word| unsafe { *word = new });
        }

        pub(in crate::ring) unsafe fn write_record<const SHORT: bool>(
            &self,
            offset: usize,
            head: [u64; 3],
            payload: &(impl Payload + ?Sized),
            _bytes: usize,
        ) {
            let mut record: Vec<u8> = head.into_iter().flat_map(u64::to_le_bytes).collect();
            record.extend(to_vec(payload));
            record.resize(record.len().next_multiple_of(8), 0);
            for (index, word) in record.as_chunks().0.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { self.write(offset + index * 8, u64::from_le_bytes(*word)) };
            }
        }

        pub(in crate::ring) fn prefetch(&self, _offset: usize) {}

        pub(in crate::ring) unsafe fn lend<R>(
            &self,
            offset: usize,
            length: usize,
            use_bytes: impl FnOnce(&[u8]) -> R,
        ) -> R {
            let words = (offset / 8)..(offset + length).div_ceil(8);
            // SAFETY: the caller's promise.
            let bytes: Vec<u8> = words.flat_map(|index| unsafe { self.read(index * 8) }.to_le_bytes()).collect();
            use_bytes(&bytes[..length])
        }
    }
}
