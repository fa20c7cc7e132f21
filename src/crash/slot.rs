//! The memory of one ring in a ring file.
//!
//! 1. A slot maps its own part of the file, and nobody else gets that part while the slot lives. Its first page and its
//!    window are allocated before it is made, and stay allocated. A part of its reserve is allocated from `enter` to
//!    `leave`.

#![allow(unsafe_code)]

use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use zerocopy::little_endian::{U16, U32};

use super::contents::{Contents, Extent, LogState, Sizes};
use super::layout::{CONTROL_OFFSET, OVERWRITES, SLOT_HEADER_BYTES};
use crate::ring::{self, Control, Slot, Slots};
use crate::sync::lock;
use crate::sys::file::{allocate, deallocate};
use crate::sys::shared_memory::SharedMapping;

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Control>() as u64 == super::layout::CONTROL_BYTES);
    assert!(CONTROL_OFFSET.is_multiple_of(align_of::<Control>() as u64));
};

/// Gives the rings of one log their slots.
#[derive(Debug)]
pub(super) struct LogSlots {
    contents: Arc<Contents>,
    log: Arc<LogState>,
    /// [`FOR_LOG`](super::layout::FOR_LOG) or [`FOR_RECORDER`](super::layout::FOR_RECORDER).
    purpose: u32,
    /// The address space that the log's reserves may take.
    reserves_bytes_max: u64,
    /// Why there was no address space for a reserve, the last time that there was none.
    refusal: Mutex<Option<String>>,
}

impl LogSlots {
    pub(super) fn new(contents: Arc<Contents>, log: Arc<LogState>, purpose: u32) -> LogSlots {
        LogSlots { contents, log, purpose, reserves_bytes_max: ring::reserves_bytes_max(), refusal: Mutex::new(None) }
    }

    /// Maps a slot, with its reserve if there is address space for that.
    fn map(&self, extent: Extent) -> io::Result<(SharedMapping, u64)> {
        let Sizes { window_bytes, reserve_bytes } = extent.sizes;
        let present_bytes = SLOT_HEADER_BYTES + window_bytes;
        let map = |bytes: u64| {
            let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
            let mapping = SharedMapping::new(self.contents.file(), extent.offset, bytes)?;
            mapping.populate(present_bytes as usize)?;
            Ok::<_, io::Error>(mapping)
        };
        if reserve_bytes == 0 {
            return Ok((map(present_bytes)?, 0));
        }
        let reserved = self.log.reserves_bytes.fetch_add(reserve_bytes, Ordering::Relaxed) + reserve_bytes;
        let mapped = if reserved > self.reserves_bytes_max {
            let limit = self.reserves_bytes_max;
            Err(io::Error::other(format!("reserves may take {limit} bytes of this process's address space")))
        } else {
            map(present_bytes + reserve_bytes)
        };
        let refusal = mapped.as_ref().err().map(io::Error::to_string);
        *lock(&self.refusal) = refusal;
        match mapped {
            Ok(mapping) => Ok((mapping, reserve_bytes)),
            Err(_) => {
                self.log.reserves_bytes.fetch_sub(reserve_bytes, Ordering::Relaxed);
                Ok((map(present_bytes)?, 0))
            }
        }
    }
}

impl Slots for LogSlots {
    fn take(&self, window_bytes: usize, reserve_bytes: usize, overwrites: bool) -> io::Result<Arc<dyn Slot>> {
        let sizes = Sizes { window_bytes: window_bytes as u64, reserve_bytes: reserve_bytes as u64 };
        let extent = self.contents.take(&self.log, sizes)?;
        let (mapping, reserve_bytes) = self.map(extent).inspect_err(|_| self.contents.give_back(extent, true))?;
        // From here on, a forked child has memory of its own in place of the mapping.
        if !self.contents.is_own() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let (contents, log) = (Arc::clone(&self.contents), Arc::clone(&self.log));
        let (purpose, is_vacant) = (self.purpose, AtomicBool::new(true));
        Ok(Arc::new(FileSlot { mapping, contents, log, purpose, extent, reserve_bytes, overwrites, is_vacant }))
    }

    fn reserve_refusal(&self) -> Option<String> {
        lock(&self.refusal).clone()
    }

    fn path(&self) -> &Path {
        self.contents.path()
    }

    fn place(&self) -> String {
        self.contents.place_of(&self.log)
    }

    fn definitions_lost(&self) -> u64 {
        self.contents.definitions_lost.load(Ordering::Relaxed)
    }
}

/// One ring's part of a ring file, mapped.
#[derive(Debug)]
struct FileSlot {
    mapping: SharedMapping,
    contents: Arc<Contents>,
    log: Arc<LogState>,
    purpose: u32,
    extent: Extent,
    /// Bytes of the mapped reserve; 0 if none is mapped.
    reserve_bytes: u64,
    overwrites: bool,
    /// Whether it holds no records that matter.
    is_vacant: AtomicBool,
}

impl FileSlot {
    fn reserve_offset(&self) -> u64 {
        SLOT_HEADER_BYTES + self.extent.sizes.window_bytes
    }
}

// SAFETY: (1), and the contract's 1 and 2 follow: all addresses are within the one mapping of the slot's own part, at
// offsets that are multiples of a page, or of the control lines' alignment in the first page.
unsafe impl Slot for FileSlot {
    fn control(&self) -> NonNull<Control> {
        self.mapping.at(CONTROL_OFFSET as usize).cast()
    }

    fn window(&self) -> NonNull<u8> {
        self.mapping.at(SLOT_HEADER_BYTES as usize)
    }

    fn reserve(&self) -> Option<NonNull<u8>> {
        (self.reserve_bytes > 0).then(|| self.mapping.at(self.reserve_offset() as usize))
    }

    fn enter(&self, offset: usize, bytes: usize) -> bool {
        // A fork in a signal handler may have interrupted an append, which goes on in the child.
        if !self.contents.is_own() {
            return false;
        }
        let from = self.extent.offset + self.reserve_offset() + offset as u64;
        let entered = allocate(self.contents.file(), from, bytes as u64).is_ok();
        if !entered {
            // A part may be allocated.
            let _ = deallocate(self.contents.file(), from, bytes as u64);
        }
        entered
    }

    unsafe fn leave(&self, offset: usize, bytes: usize) -> bool {
        let from = self.extent.offset + self.reserve_offset() + offset as u64;
        deallocate(self.contents.file(), from, bytes as u64).is_ok()
    }

    fn assign(&self, producer: u32, tid: u32, name: &str) {
        let mut raw = self.extent.sizes.as_raw();
        raw.log = U32::new(self.log.index);
        raw.purpose = U32::new(self.purpose);
        raw.flags = U32::new(if self.overwrites { OVERWRITES } else { 0 });
        raw.producer = U32::new(producer);
        raw.tid = U32::new(tid);
        let length = name.len().min(raw.name.len());
        raw.name_bytes = U16::new(length as u16);
        raw.name[..length].copy_from_slice(&name.as_bytes()[..length]);
        raw.crc = U32::new(raw.checksum().unwrap_or_default());
        self.is_vacant.store(false, Ordering::Relaxed);
        self.contents.describe_slot(&self.log, self.extent.offset, &raw);
    }

    fn vacate(&self) {
        self.contents.free_slot(self.extent);
        self.is_vacant.store(true, Ordering::Relaxed);
    }
}

impl Drop for FileSlot {
    fn drop(&mut self) {
        // A forked child has private memory in the place of the mapping, and leaves its parent's file alone.
        if self.contents.is_own() {
            self.log.reserves_bytes.fetch_sub(self.reserve_bytes, Ordering::Relaxed);
            self.contents.give_back(self.extent, self.is_vacant.load(Ordering::Relaxed));
        }
    }
}

#[cfg(all(test, target_os = "linux", not(any(diolog_portable, loom))))]
mod tests {
    use super::super::slots_for_tests;

    #[test]
    fn a_reserve_is_present_chunk_by_chunk_and_zero_when_it_is_entered_again() {
        const CHUNK: usize = 64 << 10;
        let slot = slots_for_tests().take(8192, 4 * CHUNK, false).expect("room");
        let reserve = slot.reserve().expect("mapped");
        for _ in 0..2 {
            assert!(slot.enter(CHUNK, 2 * CHUNK));
            // SAFETY: entered, and nobody else has the slot.
            unsafe {
                let last = reserve.add(3 * CHUNK - 1);
                assert_eq!(last.read(), 0);
                last.write(7);
                assert!(slot.leave(CHUNK, 2 * CHUNK));
            }
        }
    }
}
