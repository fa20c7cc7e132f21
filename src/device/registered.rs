//! The buffers that are registered with a ring: the kernel has pinned their memory, and a write names one by its index.
//!
//! A ring of one log registers all of its buffers at once. A ring of many logs has a table of places, filled as buffers
//! are made. A buffer is known by its identity, never by its address: once it is freed, the kernel still has its old
//! pages.

use std::collections::BTreeMap;
use std::io;
use std::sync::Weak;

use crate::buffer::{AlignedBuffer, Counted};
use crate::sys::uring::Ring;

/// The registered buffers of one ring.
pub(super) struct RegisteredBuffers {
    /// The places of the table; 0 if all buffers are registered at once.
    places: u32,
    /// Whether the kernel has the table.
    has_table: bool,
    /// By identity.
    indexes: BTreeMap<u64, Registered>,
    /// Places that no buffer has.
    empty: Vec<u16>,
    /// The kernel has refused one: it is not asked again.
    refused: bool,
}

struct Registered {
    index: u16,
    /// Dead once the buffer is freed; `None` for one that stays registered.
    life: Option<Weak<Counted>>,
}

impl RegisteredBuffers {
    /// None yet, of `places` at most; 0 for one registration of any number.
    pub(super) fn new(places: u32) -> RegisteredBuffers {
        RegisteredBuffers { places, has_table: false, indexes: BTreeMap::new(), empty: Vec::new(), refused: false }
    }

    /// Registers `buffers` with `ring`. Beyond the places of the table they are left out.
    ///
    /// # Errors
    /// The kernel's: ENOMEM beyond the limit on locked memory.
    pub(super) fn add(&mut self, ring: &mut Ring, buffers: &[AlignedBuffer]) -> io::Result<()> {
        if buffers.is_empty() {
            return Ok(());
        }
        if self.places == 0 {
            let memory: Vec<_> = buffers.iter().map(memory_of).collect();
            ring.register_buffers(&memory)?;
            let registered = |(index, buffer): (usize, &AlignedBuffer)| {
                (buffer.identity(), Registered { index: index as u16, life: None })
            };
            self.indexes = buffers.iter().enumerate().map(registered).collect();
            return Ok(());
        }
        if self.refused {
            return Ok(());
        }
        let added = self.add_to_table(ring, buffers);
        self.refused = added.is_err();
        added
    }

    fn add_to_table(&mut self, ring: &mut Ring, buffers: &[AlignedBuffer]) -> io::Result<()> {
        if !self.has_table {
            ring.register_places(self.places)?;
            self.has_table = true;
            self.empty = (0..self.places as u16).rev().collect();
        }
        for buffer in buffers {
            let Some(index) = self.empty.pop() else { return Ok(()) };
            if let Err(error) = ring.set_place(index, Some(memory_of(buffer))) {
                self.empty.push(index);
                return Err(error);
            }
            self.indexes.insert(buffer.identity(), Registered { index, life: buffer.life() });
        }
        Ok(())
    }

    /// Empties the places of buffers that were freed, so that the kernel lets go of their pages.
    pub(super) fn forget_freed(&mut self, ring: &mut Ring) {
        let empty = &mut self.empty;
        self.indexes.retain(|_, registered| {
            let is_freed = registered.life.as_ref().is_some_and(|life| life.strong_count() == 0);
            // If the kernel refuses, the place stays with the old pages, and no write names it.
            if is_freed && ring.set_place(registered.index, None).is_ok() {
                empty.push(registered.index);
            }
            !is_freed
        });
    }

    /// The index of `buffer`, if it is registered.
    pub(super) fn index_of(&self, buffer: &AlignedBuffer) -> Option<u16> {
        self.indexes.get(&buffer.identity()).map(|registered| registered.index)
    }
}

/// Address and length.
fn memory_of(buffer: &AlignedBuffer) -> (usize, usize) {
    (buffer.as_ptr().addr(), buffer.len())
}
