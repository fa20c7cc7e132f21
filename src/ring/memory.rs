//! The bytes between the two ends: words at offsets, copied in by the producer and lent out to the consumer.
//!
//! Today a private mapping; whatever gives the same words at a stable address can take its place. It does not know
//! positions: its callers keep to the part that is theirs (invariant 2 of `ring`).
//!
//! 1. Offsets are multiples of 8, and an access ends before the capacity does.

#![allow(unsafe_code)]

#[cfg(loom)]
pub(super) use modelled::{Memory, Words};
#[cfg(not(loom))]
pub(super) use real::{Memory, Words};

#[cfg(not(loom))]
mod real {
    use std::io;

    use crate::sys::memory::Mapping;

    /// A ring's memory.
    #[derive(Debug)]
    pub(in crate::ring) struct Memory {
        mapping: Mapping,
        bytes: usize,
    }

    impl Memory {
        /// Memory of this process alone, all of it present.
        pub(in crate::ring) fn private(bytes: usize) -> io::Result<Memory> {
            Ok(Memory { mapping: Mapping::faulted_in(bytes)?, bytes })
        }

        /// Bytes in all.
        pub(in crate::ring) fn bytes(&self) -> usize {
            self.bytes
        }

        /// A way to the words that needs no detour over this value, which must outlive it.
        pub(in crate::ring) fn words(&self) -> Words {
            Words { base: self.mapping.base().as_ptr() }
        }
    }

    /// The words of a [`Memory`]: a bare address.
    #[derive(Clone, Copy, Debug)]
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

        /// Copies `bytes` to `offset`, the last word padded with zeros.
        ///
        /// # Safety
        ///
        /// (1) for the padded length, the memory is alive, and nobody else uses these words now.
        #[inline(always)]
        pub(in crate::ring) unsafe fn copy_in(&self, offset: usize, bytes: &[u8]) {
            let length = bytes.len();
            let from = bytes.as_ptr();
            // SAFETY: in bounds by (1).
            let to = unsafe { self.base.add(offset).cast::<u64>() };
            if length >= 8 {
                let last = (length - 1) / 8;
                for index in 0..last {
                    // SAFETY: word `index` lies before the last one in both. Volatile keeps the loop from becoming a
                    // call of memcpy, which is slower at these lengths.
                    unsafe { to.add(index).write_volatile(from.add(index * 8).cast::<u64>().read_unaligned()) };
                }
                // SAFETY: the source has at least 8 bytes.
                let word = u64::from_le(unsafe { from.add(length - 8).cast::<u64>().read_unaligned() });
                // The last 8 bytes overlap the word before; what the last word does not take is shifted out.
                let word = (word >> ((last * 8 + 8 - length) * 8)).to_le();
                // SAFETY: the last word of the padded length.
                unsafe { to.add(last).write(word) };
            } else if length > 0 {
                let mut word = [0; 8];
                word[..length].copy_from_slice(bytes);
                // SAFETY: one word holds up to 8 bytes.
                unsafe { to.write(u64::from_le_bytes(word).to_le()) };
            }
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
        pub(in crate::ring) fn private(bytes: usize) -> io::Result<Memory> {
            Ok(Memory { words: Words(Arc::new((0..bytes / 8).map(|_| UnsafeCell::new(0)).collect())) })
        }

        pub(in crate::ring) fn bytes(&self) -> usize {
            self.words.0.len() * 8
        }

        pub(in crate::ring) fn words(&self) -> Words {
            self.words.clone()
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
            // SAFETY: loom panics where another thread writes this word unordered.
            self.0[offset / 8].with(|word| unsafe { *word })
        }

        pub(in crate::ring) unsafe fn write(&self, offset: usize, new: u64) {
            // SAFETY: loom panics where another thread uses this word unordered.
            self.0[offset / 8].with_mut(|word| unsafe { *word = new });
        }

        pub(in crate::ring) unsafe fn copy_in(&self, offset: usize, bytes: &[u8]) {
            for (index, part) in bytes.chunks(8).enumerate() {
                let mut word = [0; 8];
                word[..part.len()].copy_from_slice(part);
                // SAFETY: the caller's promise.
                unsafe { self.write(offset + index * 8, u64::from_le_bytes(word)) };
            }
        }

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
