//! The bytes between the two ends: words at offsets, written by the producer and lent out to the consumer.
//!
//! The memory is a private mapping, or a part of a [`Slot`](super::slot::Slot). It does not know positions: each end
//! uses only its own part (invariant 2 of `ring`).
//!
//! 1. Offsets are multiples of 8, and an access ends before the capacity does.

#![allow(unsafe_code, reason = "both ends use the same bytes")]

#[cfg(not(loom))]
pub(super) use super::slabs::{ReserveMemory, Slabs};
#[cfg(loom)]
pub(super) use modelled::{Memory, MemoryPool, ReserveMemory, Slabs, Words};
#[cfg(not(loom))]
pub(super) use real::{Memory, MemoryPool, Words};

/// Cache lines are prefetched this far ahead of the record that is being read, since each must come from the producer's
/// CPU. (Half and twice the distance were no faster.)
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

    /// A ring's memory: a mapping, a part of a mapping, or a part of a slot.
    #[derive(Debug)]
    pub(in crate::ring) struct Memory {
        words: Words,
        bytes: usize,
        owner: Owner,
    }

    /// The owner of the memory.
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
            // The offset is within the mapping.
            let words = Words { base: mapping.base().as_ptr().wrapping_add(offset) };
            Memory { words, bytes, owner: Owner::Mapping { mapping, offset } }
        }

        /// The window of `slot`, of `bytes` bytes.
        pub(in crate::ring) fn window_of(slot: &Arc<dyn Slot>, bytes: usize) -> Memory {
            let words = Words { base: slot.window().as_ptr() };
            Memory { words, bytes, owner: Owner::Window { _slot: Arc::clone(slot) } }
        }

        /// The reserve of `slot`, of `bytes` bytes; `None` if the slot has none.
        pub(in crate::ring) fn reserve_of(slot: &Arc<dyn Slot>, bytes: usize) -> Option<Memory> {
            let words = Words { base: slot.reserve()?.as_ptr() };
            Some(Memory { words, bytes, owner: Owner::Reserve { slot: Arc::clone(slot) } })
        }

        /// Makes `bytes` bytes from `offset` present, unless the first access does that. Both are multiples of a chunk.
        /// Returns whether there is memory for them.
        pub(in crate::ring) fn enter(&self, offset: usize, bytes: usize) -> bool {
            match &self.owner {
                Owner::Reserve { slot } => slot.enter(offset, bytes),
                Owner::Mapping { .. } | Owner::Window { .. } => true,
            }
        }

        /// The size in bytes.
        pub(in crate::ring) fn bytes(&self) -> usize {
            self.bytes
        }

        /// Gives the pages of `bytes` bytes from `offset` back to the system. Both are multiples of a page. The bytes
        /// read as zeros afterwards. Returns `false`, and changes nothing, if the system refuses.
        ///
        /// # Safety
        /// The bytes are within the memory, and nobody uses them during the call.
        pub(in crate::ring) unsafe fn discard(&self, offset: usize, bytes: usize) -> bool {
            match &self.owner {
                // SAFETY: within the mapping; the rest is the caller's promise.
                Owner::Mapping { mapping, offset: from } => unsafe { mapping.discard(from + offset, bytes) },
                // SAFETY: the caller's promise.
                Owner::Reserve { slot } => unsafe { slot.leave(offset, bytes) },
                Owner::Window { .. } => false,
            }
        }

        /// The words, without a borrow of `self`. `self` must outlive them.
        pub(in crate::ring) fn words(&self) -> Words {
            self.words
        }
    }

    const HALF_BYTES: usize = HUGE_PAGE_BYTES / 2;

    /// Makes memory for rings. Two rings of half a huge page (1 MiB, the default of `ring_bytes`) share a huge page:
    /// alone, each would occupy 2 MiB. In small pages it would take 256, more than the 64 to 96 entries of a usual
    /// first-level TLB, and an append after a pause would miss the TLB.
    #[derive(Debug, Default)]
    pub(in crate::ring) struct MemoryPool {
        /// The other half of the last huge page, if no ring has it yet. The lock is held while a huge page is faulted
        /// in, so that rings that are made at the same time share it too.
        spare: Mutex<Option<Memory>>,
    }

    impl MemoryPool {
        /// Private memory with all pages present. From half a huge page on it is in huge pages: in small pages a thread
        /// that rarely logs would miss the TLB.
        pub(in crate::ring) fn private(&self, bytes: usize) -> io::Result<Memory> {
            if bytes >= HALF_BYTES
                && let Ok(memory) = self.in_huge_pages(bytes)
            {
                return Ok(memory);
            }
            // A small ring, or there is no memory for huge pages, which take more.
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

    /// Cache lines are prefetched for writing this far ahead of the record that is being written. The consumer has read
    /// them in the previous round, so each must be fetched back from its CPU, which takes 100 ns and more. At this
    /// distance the line arrives before it is needed, even in a burst of 40 messages. (Half the distance was slower,
    /// twice no faster.)
    const WRITE_AHEAD_BYTES: usize = 4096;

    /// Cache lines are prefetched once more this far ahead, a few records before they are needed: during a pause, other
    /// programs may have evicted them from the CPU's caches. (Twice the distance was no better.)
    const WRITE_AGAIN_BYTES: usize = 256;

    /// The address of a [`Memory`]'s words.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::ring) struct Words {
        base: *mut u8,
    }

    // SAFETY: it is only an address, of memory that belongs to no thread. Each dereference has its own argument.
    unsafe impl Send for Words {}
    // SAFETY: likewise.
    unsafe impl Sync for Words {}

    impl Words {
        /// The address at `offset`.
        pub(in crate::ring) fn address(&self, offset: usize) -> *mut u8 {
            self.base.wrapping_add(offset)
        }

        /// Reads the word at `offset`.
        ///
        /// # Safety
        /// (1), the memory exists, and nobody writes this word during the call.
        #[inline(always)]
        pub(in crate::ring) unsafe fn read(&self, offset: usize) -> u64 {
            // SAFETY: in bounds and aligned by (1); initialised, because a mapping begins as zeros.
            unsafe { self.base.add(offset).cast::<u64>().read() }
        }

        /// Writes the word at `offset`.
        ///
        /// # Safety
        /// (1), the memory exists, and nobody else uses this word during the call.
        #[inline(always)]
        pub(in crate::ring) unsafe fn write(&self, offset: usize, word: u64) {
            // SAFETY: in bounds and aligned by (1).
            unsafe { self.base.add(offset).cast::<u64>().write(word) }
        }

        /// Writes a record at `offset`: three words of head, then the `bytes` bytes of `payload`. `SHORT` writes
        /// without a loop; it takes at most [`FAST_PATH_BYTES_MAX`](crate::ring::copy::FAST_PATH_BYTES_MAX) bytes.
        ///
        /// # Safety
        /// (1) for head and padded payload, the memory exists, and nobody else uses these words during the call.
        #[inline(always)]
        pub(in crate::ring) unsafe fn write_record<const SHORT: bool>(
            &self,
            offset: usize,
            head: [u64; 3],
            payload: &(impl Payload + ?Sized),
            bytes: usize,
        ) {
            // SAFETY: in bounds and aligned by (1). Nobody else uses the bytes, so they do not overlap `payload`.
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

        /// Prefetches two cache lines, which end [`READ_AHEAD_BYTES`] after `offset`.
        #[inline(always)]
        pub(in crate::ring) fn prefetch(&self, offset: usize) {
            let at = self.base.wrapping_add(offset);
            fetch_for_read::<{ READ_AHEAD_BYTES - 2 * LINE_BYTES }>(at);
            fetch_for_read::<{ READ_AHEAD_BYTES - LINE_BYTES }>(at);
        }

        /// Calls `use_bytes` with the `length` bytes at `offset`.
        ///
        /// # Safety
        /// (1), the memory exists, and nobody writes these bytes until `use_bytes` returns.
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

/// The same words under loom, which reports any two accesses to one word without an ordering between them.
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

    /// Nothing is shared, as in the pool.
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

    /// Nothing is shared: each ring has its own memory.
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
