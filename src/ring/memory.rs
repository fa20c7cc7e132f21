//! The bytes between the two ends: words at offsets, copied in by the producer and lent out to the consumer.
//!
//! Today a private mapping; whatever gives the same words at a stable address can take its place. It does not know
//! positions: its callers keep to the part that is theirs (invariant 2 of `ring`).
//!
//! 1. Offsets are multiples of 8, and an access ends before the capacity does.

#![allow(unsafe_code)]

#[cfg(loom)]
pub(crate) use modelled::Rest;
#[cfg(loom)]
pub(super) use modelled::{Memory, Words};
#[cfg(not(loom))]
pub(crate) use real::Rest;
#[cfg(not(loom))]
pub(super) use real::{Memory, Words};

/// How far behind a record that is read, at most, lines are fetched that hold later ones. Each comes from the producer's
/// CPU. (Half and twice of it were no faster.)
pub(super) const READ_AHEAD_BYTES: usize = 1152;

#[cfg(not(loom))]
mod real {
    use std::io;
    use std::sync::Arc;

    use super::READ_AHEAD_BYTES;
    use crate::ring::HEAD_BYTES;
    use crate::ring::copy::{copy_any, copy_short};
    use crate::sys::huge_pages::HUGE_PAGE_BYTES;
    use crate::sys::memory::{Mapping, fetch_for_read, fetch_for_write};

    /// A ring's memory: a mapping, or a part of one.
    #[derive(Debug)]
    pub(in crate::ring) struct Memory {
        mapping: Arc<Mapping>,
        /// Where it begins in the mapping, in bytes.
        offset: usize,
        bytes: usize,
    }

    impl Memory {
        /// Memory of this process alone, all of it present, on huge pages from half of one up: what is not used of one
        /// is left in `rest`, for the next. (A thread that logs now and then finds most of what it knew of small pages
        /// forgotten.)
        pub(in crate::ring) fn private(bytes: usize, rest: &mut Rest) -> io::Result<Memory> {
            if let Some(memory) = rest.0.take_if(|memory| memory.bytes == bytes) {
                return Ok(memory);
            }
            if bytes >= HUGE_PAGE_BYTES / 2
                && let Ok(mapping) = Mapping::in_huge_pages(bytes.max(HUGE_PAGE_BYTES))
            {
                let mapping = Arc::new(mapping);
                if bytes < HUGE_PAGE_BYTES {
                    rest.0 = Some(Memory { mapping: Arc::clone(&mapping), offset: bytes, bytes });
                }
                return Ok(Memory { mapping, offset: 0, bytes });
            }
            // A small one; or there is no room for huge pages, which take more.
            Ok(Memory { mapping: Arc::new(Mapping::faulted_in(bytes)?), offset: 0, bytes })
        }

        /// Bytes in all.
        pub(in crate::ring) fn bytes(&self) -> usize {
            self.bytes
        }

        /// A way to the words that needs no detour over this value, which must outlive it.
        pub(in crate::ring) fn words(&self) -> Words {
            // Within the mapping.
            Words { base: self.mapping.base().as_ptr().wrapping_add(self.offset) }
        }
    }

    /// Half a huge page that no ring has yet.
    #[derive(Debug, Default)]
    pub(crate) struct Rest(Option<Memory>);

    const LINE_BYTES: usize = 64;

    /// How far behind a record the lines are fetched that later ones will be written to. The consumer has read them in
    /// the round before, so that each must be taken back from its CPU, which takes 100 ns and more; this far ahead, that
    /// is over when the line is needed, even where appends come in bursts of 40 messages. (Half of it was slower, twice
    /// no faster.)
    const FETCH_AHEAD_BYTES: usize = 4096;

    /// Where lines are fetched once more, some records before they are needed: during a pause, what was fetched can be lost
    /// to whoever shares the CPU's caches. (Twice as far was no better.)
    const FETCH_AGAIN_BYTES: usize = 256;

    /// The words of a [`Memory`]: a bare address.
    #[derive(Debug)]
    pub(in crate::ring) struct Words {
        base: *mut u8,
    }

    // SAFETY: an address into memory that belongs to no thread; each access answers for itself.
    unsafe impl Send for Words {}

    impl Words {
        /// Reads the word at `offset`.
        ///
        /// # Safety
        ///
        /// (1), the memory is alive, and nobody writes this word now.
        #[inline(always)]
        pub(in crate::ring) unsafe fn read(&self, offset: usize) -> u64 {
            // SAFETY: in bounds and aligned by (1), initialised by the mapping's zeros.
            unsafe { self.base.add(offset).cast::<u64>().read() }
        }

        /// Writes the word at `offset`.
        ///
        /// # Safety
        ///
        /// (1), the memory is alive, and nobody else uses this word now.
        #[inline(always)]
        pub(in crate::ring) unsafe fn write(&self, offset: usize, word: u64) {
            // SAFETY: in bounds and aligned by (1).
            unsafe { self.base.add(offset).cast::<u64>().write(word) }
        }

        /// Writes a record at `offset`: three words of head, then `payload`.
        ///
        /// # Safety
        ///
        /// (1) for head and padded payload, the memory is alive, and nobody else uses these words now.
        #[inline(always)]
        pub(in crate::ring) unsafe fn write_record(&self, offset: usize, head: [u64; 3], payload: &[u8]) {
            // SAFETY: in bounds and aligned by (1); nobody else's, so no part of `payload` either.
            unsafe {
                let to = self.base.add(offset);
                to.cast::<[u64; 3]>().write(head);
                copy_any(payload, to.add(HEAD_BYTES));
                for at in (0..payload.len()).step_by(LINE_BYTES) {
                    fetch_for_write::<FETCH_AHEAD_BYTES>(to.wrapping_add(at));
                }
            }
        }

        /// [`write_record`](Self::write_record) for a payload of up to [`SHORT_MAX`](crate::ring::SHORT_MAX) bytes,
        /// without a loop.
        ///
        /// # Safety
        ///
        /// That of `write_record`.
        #[inline(always)]
        pub(in crate::ring) unsafe fn write_short_record(&self, offset: usize, head: [u64; 3], payload: &[u8]) {
            // SAFETY: as in `write_record`.
            unsafe {
                let to = self.base.add(offset);
                to.cast::<[u64; 3]>().write(head);
                copy_short(payload, to.add(HEAD_BYTES));
                fetch_for_write::<FETCH_AHEAD_BYTES>(to);
                fetch_for_write::<{ FETCH_AHEAD_BYTES + LINE_BYTES }>(to);
                fetch_for_write::<FETCH_AGAIN_BYTES>(to);
                fetch_for_write::<{ FETCH_AGAIN_BYTES + LINE_BYTES }>(to);
            }
        }

        /// Has what stands [`READ_AHEAD_BYTES`] behind `offset` brought near.
        #[inline(always)]
        pub(in crate::ring) fn fetch_ahead(&self, offset: usize) {
            let at = self.base.wrapping_add(offset);
            fetch_for_read::<{ READ_AHEAD_BYTES - 2 * LINE_BYTES }>(at);
            fetch_for_read::<{ READ_AHEAD_BYTES - LINE_BYTES }>(at);
        }

        /// Lends the `length` bytes at `offset` to `use_bytes`.
        ///
        /// # Safety
        ///
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

/// The same words under loom, which reports any two accesses that no ordering keeps apart.
#[cfg(loom)]
mod modelled {
    use std::io;
    use std::sync::Arc;

    use loom::cell::UnsafeCell;

    #[derive(Debug)]
    pub(in crate::ring) struct Memory {
        words: Words,
    }

    impl Memory {
        pub(in crate::ring) fn private(bytes: usize, _rest: &mut Rest) -> io::Result<Memory> {
            Ok(Memory { words: Words(Arc::new((0..bytes / 8).map(|_| UnsafeCell::new(0)).collect())) })
        }

        pub(in crate::ring) fn bytes(&self) -> usize {
            self.words.0.len() * 8
        }

        pub(in crate::ring) fn words(&self) -> Words {
            self.words.clone()
        }
    }

    /// Nothing: each ring has memory of its own.
    #[derive(Debug, Default)]
    pub(crate) struct Rest;

    #[derive(Clone, Debug)]
    pub(in crate::ring) struct Words(Arc<Vec<UnsafeCell<u64>>>);

    // SAFETY: as for the real words; loom checks the accesses.
    unsafe impl Send for Words {}
    // SAFETY: likewise.
    unsafe impl Sync for Words {}

    impl Words {
        pub(in crate::ring) unsafe fn read(&self, offset: usize) -> u64 {
            // SAFETY: loom panics where another thread writes this word unordered.
            self.0[offset / 8].with(|word| unsafe { *word })
        }

        pub(in crate::ring) unsafe fn write(&self, offset: usize, new: u64) {
            // SAFETY: loom panics where another thread uses this word unordered.
            self.0[offset / 8].with_mut(|word| unsafe { *word = new });
        }

        pub(in crate::ring) unsafe fn write_record(&self, offset: usize, head: [u64; 3], payload: &[u8]) {
            let padding = [0; 7];
            let payload = payload.iter().chain(&padding[..payload.len().next_multiple_of(8) - payload.len()]);
            let bytes: Vec<u8> = head.into_iter().flat_map(u64::to_le_bytes).chain(payload.copied()).collect();
            for (index, word) in bytes.as_chunks().0.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { self.write(offset + index * 8, u64::from_le_bytes(*word)) };
            }
        }

        pub(in crate::ring) unsafe fn write_short_record(&self, offset: usize, head: [u64; 3], payload: &[u8]) {
            // SAFETY: the caller's promise.
            unsafe { self.write_record(offset, head, payload) };
        }

        pub(in crate::ring) fn fetch_ahead(&self, _offset: usize) {}

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
