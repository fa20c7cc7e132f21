//! The buffers that are registered with a ring of io_uring. The kernel has pinned their memory, and a write names a
//! buffer by its index.
//!
//! A ring for one log registers all buffers at once. A ring for many logs has a table of places, which are filled as
//! buffers are made. The key of a buffer is its identity, not its address: after a buffer was freed, another one can
//! have its address, but the kernel still has the old pages.

use std::collections::BTreeMap;
use std::io;
use std::sync::Weak;

use crate::buffer::{AlignedBuffer, Counted};
use crate::sys::uring::Ring;

/// The registered buffers of one ring.
pub(super) struct RegisteredBuffers {
    /// The number of places in the table; 0 if all buffers are registered at once.
    places: u32,
    /// Whether the kernel has the table.
    has_table: bool,
    /// The registered buffers, by identity.
    indexes: BTreeMap<u64, Registered>,
    /// Places without a buffer.
    empty: Vec<u16>,
    /// The kernel has refused a registration. No other is tried.
    refused: bool,
}

struct Registered {
    index: u16,
    /// Dead after the buffer was freed; `None` for a buffer that stays registered.
    life: Option<Weak<Counted>>,
}

impl RegisteredBuffers {
    /// No buffers yet, and at most `places` of them; with 0 `places`, one registration of any number.
    pub(super) fn new(places: u32) -> RegisteredBuffers {
        RegisteredBuffers { places, has_table: false, indexes: BTreeMap::new(), empty: Vec::new(), refused: false }
    }

    /// Registers `buffers` with `ring`. Buffers for which the table has no place are left out.
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

    /// Empties the places of buffers that were freed, so that the kernel releases their pages.
    pub(super) fn forget_freed(&mut self, ring: &mut Ring) {
        let empty = &mut self.empty;
        self.indexes.retain(|_, registered| {
            let is_freed = registered.life.as_ref().is_some_and(|life| life.strong_count() == 0);
            // If the kernel refuses, the place keeps the old pages, and no write uses it again.
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

/// The buffer's address and length.
fn memory_of(buffer: &AlignedBuffer) -> (usize, usize) {
    (buffer.as_ptr().addr(), buffer.len())
}
