//! Which segment lies in which slot of the ring's file table, so that the kernel looks a file up once and not for each
//! block. Two files have blocks in flight at a rotation; a file that has none any more and is not the one written to
//! last leaves its slot, since the kernel keeps a file open for as long as it lies in one.

use std::fs::File;
use std::sync::{Arc, Weak};

use crate::sys::uring::Ring;

/// Slots: the segment written to, the one before, and some to spare for segments that failed with blocks in flight.
/// A file that finds none is written without.
const SLOTS: usize = 4;

/// The slots that the kernel was given.
#[derive(Default)]
pub(super) struct FileTable {
    /// Empty if the kernel has no table.
    slots: Vec<Option<Entry>>,
    /// The slot of the file written to last.
    current: Option<usize>,
}

struct Entry {
    /// The kernel has a reference of its own; the blocks in flight keep the `Arc`.
    file: Weak<File>,
    in_flight: usize,
}

impl FileTable {
    /// A table of the ring's, or none where the kernel refuses it.
    pub(super) fn new(ring: &mut Ring) -> FileTable {
        let mut table = FileTable::default();
        if ring.register_slots(SLOTS as u32).is_ok() {
            table.slots.resize_with(SLOTS, || None);
        }
        table
    }

    /// The slot for one more block of `file`, if there is one.
    pub(super) fn take(&mut self, ring: &mut Ring, file: &Arc<File>) -> Option<u32> {
        let holds = |slot: &Option<Entry>| {
            slot.as_ref().is_some_and(|entry| std::ptr::eq(entry.file.as_ptr(), Arc::as_ptr(file)))
        };
        let index = match self.slots.iter().position(holds) {
            Some(index) => index,
            None => {
                let index = self.slots.iter().position(Option::is_none)?;
                ring.set_slot(index as u32, Some(file)).ok()?;
                self.slots[index] = Some(Entry { file: Arc::downgrade(file), in_flight: 0 });
                index
            }
        };
        if let Some(entry) = &mut self.slots[index] {
            entry.in_flight += 1;
        }
        if let Some(previous) = self.current.replace(index).filter(|&previous| previous != index) {
            self.empty_if_unused(ring, previous);
        }
        Some(index as u32)
    }

    /// One block of the file in `slot` is no longer in flight.
    pub(super) fn give_back(&mut self, ring: &mut Ring, slot: u32) {
        if let Some(entry) = &mut self.slots[slot as usize] {
            entry.in_flight -= 1;
        }
        self.empty_if_unused(ring, slot as usize);
    }

    fn empty_if_unused(&mut self, ring: &mut Ring, index: usize) {
        let unused = self.slots[index].as_ref().is_some_and(|entry| entry.in_flight == 0);
        // Should the kernel refuse, the slot stays taken by a file that is never written again.
        if unused && self.current != Some(index) && ring.set_slot(index as u32, None).is_ok() {
            self.slots[index] = None;
        }
    }
}
