//! The address space of the reserves of one log. It is mapped in slabs of several reserves, which are handed out one by
//! one and taken back.
//!
//! One mapping for each reserve would exceed the system's limit on mappings (`vm.max_map_count`) with more than about
//! ten thousand producers.

#![allow(unsafe_code, reason = "pages of a reserve that is not used are given back")]

use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use super::memory::Memory;
use super::slot::Slot;
use crate::sync::lock;
use crate::sys::memory::Mapping;

/// The most reserves in a slab. The first slab has one, and each next one twice as many.
const SLAB_RESERVES_MAX: usize = 64;

/// Makes the reserves of one log, all of the same size.
#[derive(Debug)]
pub(super) struct Slabs {
    reserve_bytes: usize,
    /// How much address space all slabs together may take.
    bytes_max: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Reserves without a ring. None of their pages is present.
    free: Vec<Memory>,
    next_slab_reserves: usize,
    mapped_bytes: u64,
    /// Why the last reserve got no address space, if it got none.
    refusal: Option<String>,
}

impl Slabs {
    /// Makes reserves of `reserve_bytes` each, at most `bytes_max` together.
    pub(super) fn new(reserve_bytes: usize, bytes_max: u64) -> Slabs {
        let inner = Inner { free: Vec::new(), next_slab_reserves: 1, mapped_bytes: 0, refusal: None };
        Slabs { reserve_bytes, bytes_max, inner: Mutex::new(inner) }
    }

    /// Hands out a reserve without pages; `None` if there is no address space.
    pub(super) fn take(slabs: &Arc<Slabs>) -> Option<ReserveMemory> {
        let mut inner = lock(&slabs.inner);
        let mapped = if inner.free.is_empty() { slabs.map(&mut inner) } else { Ok(()) };
        inner.refusal = mapped.err().map(|error| error.to_string());
        let memory = inner.free.pop()?;
        Some(ReserveMemory { memory: Some(memory), slabs: Some(Arc::clone(slabs)) })
    }

    /// Maps the next slab, or one for a single reserve if there is no room for a larger one.
    fn map(&self, inner: &mut Inner) -> io::Result<()> {
        let left = self.bytes_max.saturating_sub(inner.mapped_bytes) / self.reserve_bytes as u64;
        let reserves = inner.next_slab_reserves.min(usize::try_from(left).unwrap_or(usize::MAX));
        if reserves == 0 {
            let limit = format!("reserves may take {} bytes of this process's address space", self.bytes_max);
            return Err(io::Error::other(limit));
        }
        let (mapping, reserves) = match Mapping::address_space(reserves * self.reserve_bytes) {
            Ok(mapping) => (mapping, reserves),
            Err(error) if reserves == 1 => return Err(error),
            Err(_) => (Mapping::address_space(self.reserve_bytes)?, 1),
        };
        let mapping = Arc::new(mapping);
        let part = |at| Memory::part(Arc::clone(&mapping), at * self.reserve_bytes, self.reserve_bytes);
        inner.free.extend((0..reserves).rev().map(part));
        inner.mapped_bytes += (reserves * self.reserve_bytes) as u64;
        inner.next_slab_reserves = (2 * reserves).min(SLAB_RESERVES_MAX);
        Ok(())
    }

    /// Why the last reserve got no address space, if it got none.
    pub(super) fn refusal(&self) -> Option<String> {
        lock(&self.inner).refusal.clone()
    }
}

/// A reserve's memory. Its drop gives the pages back to the system, and the address space back to the slabs.
#[derive(Debug)]
pub(super) struct ReserveMemory {
    /// `None` only during the drop.
    memory: Option<Memory>,
    /// `None` if the memory belongs to a slot.
    slabs: Option<Arc<Slabs>>,
}

impl ReserveMemory {
    /// The reserve of `slot`, of `bytes` bytes; `None` if the slot has none.
    pub(super) fn of_slot(slot: &Arc<dyn Slot>, bytes: usize) -> Option<ReserveMemory> {
        Some(ReserveMemory { memory: Some(Memory::reserve_of(slot, bytes)?), slabs: None })
    }
}

impl Deref for ReserveMemory {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        self.memory.as_ref().expect("present until the drop")
    }
}

impl Drop for ReserveMemory {
    fn drop(&mut self) {
        let (Some(memory), Some(slabs)) = (self.memory.take(), &self.slabs) else { return };
        // SAFETY: the whole memory, which nobody else has. If the system refuses, the pages stay until the next ring
        // uses them.
        let _ = unsafe { memory.discard(0, memory.bytes()) };
        lock(&slabs.inner).free.push(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 1 << 20;

    #[test]
    fn slabs_double_and_reserves_are_handed_out_again() {
        let slabs = Arc::new(Slabs::new(BYTES, u64::MAX));
        let mut taken: Vec<_> = (0..200).map(|_| Slabs::take(&slabs).expect("address space")).collect();
        let mapped = || lock(&slabs.inner).mapped_bytes / BYTES as u64;
        // 1, 2, 4 … 64 and 64 once more, and again.
        assert_eq!(mapped(), 127 + 2 * 64);
        taken.truncate(100);
        taken.extend((0..155).map(|_| Slabs::take(&slabs).expect("address space")));
        assert_eq!(mapped(), 127 + 2 * 64);
        assert_eq!(slabs.refusal(), None);
    }

    #[test]
    fn address_space_beyond_the_limit_is_refused_with_a_reason_until_some_is_free() {
        let slabs = Arc::new(Slabs::new(BYTES, 5 * BYTES as u64 + 1));
        let mut taken: Vec<_> = (0..5).map(|_| Slabs::take(&slabs).expect("address space")).collect();
        assert!(Slabs::take(&slabs).is_none());
        assert!(slabs.refusal().is_some_and(|reason| reason.contains("address space")));
        taken.pop();
        assert!(Slabs::take(&slabs).is_some());
        assert_eq!(slabs.refusal(), None, "the last ring has its reserve");
    }
}
