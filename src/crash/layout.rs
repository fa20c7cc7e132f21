//! The bytes of a ring file: where everything is in it.
//!
//! It is plain data. This process writes it, and `recovery` reads it from the file and trusts none of it. All numbers
//! are little-endian. Nothing here is durable: the file serves a process that dies while its machine goes on, and is
//! worth nothing after a restart of the machine. The layout may change with any release. [`VERSION`] names it, and a
//! recovery refuses a file of another version.
//!
//! ```text
//! 0                header: identity, anchor of the clock, ends of the two areas
//! LOGS_OFFSET      table of logs, LOGS_MAX entries of LOG_BYTES: the logs whose rings are here
//! DEFINITIONS_OFFSET   callsites that records name, one after the other
//! SLOTS_OFFSET     slots, one after the other: a page of description, the window, the reserve
//! ```
//!
//! # Who writes what, and when
//!
//! - A log's entry is written while its state is [`LOG_FREE`], then its state becomes [`LOG_OPEN`]. When the log has
//!   ended cleanly, or has been recovered, the state becomes [`LOG_ENDED`]; the entry is used again after that. If a
//!   part was damaged that was to be recovered, it becomes [`LOG_DAMAGED`], and stays so.
//! - A definition is written after the last one, then the end of the definitions moves to its end.
//! - A slot's size never changes once the end of the slots has moved to its end. Its description is written for each
//!   producer while its state is [`SLOT_FREE`], then its state becomes [`SLOT_USED`]: its ring is empty at both
//!   moments. While nobody has the slot, its description is zeros with their checksum. So a free slot with another
//!   description, zeros without the checksum too, is damaged, unless that is whole and the ring is empty.
//! - A ring's control lines and bytes are the ring's own affair.
//!
//! A process may die between any two of these stores. Every state in between means the same as the one before.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::format::{checksum, checksum_append, is_zero};

/// The first bytes of a ring file.
pub(crate) const MAGIC: [u8; 8] = *b"DLRINGS\0";

/// The layout described here.
pub(crate) const VERSION: u32 = 2;

/// The step of everything in the file: the smallest page.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// The most logs whose rings one file holds.
pub(crate) const LOGS_MAX: u32 = 1024;

/// Bytes of an entry in the table of logs.
pub(crate) const LOG_BYTES: u64 = PAGE_BYTES;

/// The most bytes of a log's path.
pub(crate) const PATH_BYTES_MAX: usize = LOG_BYTES as usize - size_of::<RawLog>();

pub(crate) const LOGS_OFFSET: u64 = PAGE_BYTES;
pub(crate) const DEFINITIONS_OFFSET: u64 = 8 << 20;
pub(crate) const SLOTS_OFFSET: u64 = 64 << 20;

/// The most bytes that definitions may take.
pub(crate) const DEFINITIONS_BYTES_MAX: u64 = SLOTS_OFFSET - DEFINITIONS_OFFSET;

/// Bytes of a slot before its window.
pub(crate) const SLOT_HEADER_BYTES: u64 = PAGE_BYTES;

/// Where a slot's control lines begin in it, and how many bytes they take: `ring::Control`.
pub(crate) const CONTROL_OFFSET: u64 = 1024;
pub(crate) const CONTROL_BYTES: u64 = 640;

/// States of a log's entry.
pub(crate) const LOG_FREE: u32 = 0;
pub(crate) const LOG_OPEN: u32 = 1;
pub(crate) const LOG_ENDED: u32 = 2;
/// Recovered, but for what was damaged: the file is kept for it.
pub(crate) const LOG_DAMAGED: u32 = 3;

/// States of a slot.
pub(crate) const SLOT_FREE: u32 = 0;
pub(crate) const SLOT_USED: u32 = 1;

/// What a slot's ring is for.
pub(crate) const FOR_LOG: u32 = 1;
/// The flight recorder: its records are for a snapshot.
pub(crate) const FOR_RECORDER: u32 = 2;

/// Whether a slot's ring gives up its oldest records: a bit of [`RawSlot::flags`].
pub(crate) const OVERWRITES: u32 = 1;

/// Ticks are a CPU's counter, or nanoseconds of the monotonic clock.
pub(crate) const TICKS_OF_COUNTER: u32 = 1;
pub(crate) const TICKS_OF_MONOTONIC: u32 = 2;

/// The beginning of the file.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawHeader {
    pub(crate) magic: [u8; 8],
    pub(crate) version: U32,
    /// CRC-32C of magic, version and the fields from `boot` to `reserved`.
    pub(crate) crc: U32,
    /// The kernel's id of the boot.
    pub(crate) boot: [u8; 16],
    /// The process whose rings these are.
    pub(crate) pid: U32,
    /// [`TICKS_OF_COUNTER`] or [`TICKS_OF_MONOTONIC`].
    pub(crate) clock: U32,
    pub(crate) reserved: [u8; 24],
    // From here on it changes.
    /// Odd while the anchor is being written.
    pub(crate) anchor_version: U64,
    /// The clock's ticks and the monotonic time in nanoseconds at one moment, at most some seconds ago while the writer
    /// lives.
    pub(crate) anchor_ticks: U64,
    pub(crate) anchor_ns: U64,
    /// The offset after the last definition.
    pub(crate) definitions_end: U64,
    /// Callsites for whose definition there was no room.
    pub(crate) definitions_lost: U64,
    /// The offset after the last slot.
    pub(crate) slots_end: U64,
}

/// A log's entry; its path follows.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawLog {
    pub(crate) state: U32,
    /// CRC-32C of the bytes from `log` to the end of the path.
    pub(crate) crc: U32,
    pub(crate) log: [u8; 16],
    pub(crate) run: [u8; 16],
    pub(crate) block_bytes: U32,
    pub(crate) message_bytes_max: U32,
    pub(crate) path_bytes: U16,
    pub(crate) reserved: [u8; 6],
}

/// The beginning of a definition: the payload of a callsite record follows, and zeros up to a multiple of 8 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawDefinition {
    /// Bytes of the payload.
    pub(crate) bytes: U32,
    /// CRC-32C of the payload.
    pub(crate) crc: U32,
}

/// The beginning of a slot.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawSlot {
    /// Bytes of the window, a power of two.
    pub(crate) window_bytes: U64,
    /// Bytes of the reserve behind it, a power of two, or 0.
    pub(crate) reserve_bytes: U64,
    /// CRC-32C of the two sizes, which say where the next slot begins.
    pub(crate) sizes_crc: U32,
    /// [`SLOT_FREE`] or [`SLOT_USED`].
    pub(crate) state: U32,
    /// CRC-32C of the bytes from `log` to the end of the name.
    pub(crate) crc: U32,
    /// The index of the log's entry.
    pub(crate) log: U32,
    /// [`FOR_LOG`] or [`FOR_RECORDER`].
    pub(crate) purpose: U32,
    pub(crate) flags: U32,
    pub(crate) producer: U32,
    pub(crate) tid: U32,
    pub(crate) name_bytes: U16,
    pub(crate) reserved: [u8; 6],
    /// The producer's name, `name_bytes` of it.
    pub(crate) name: [u8; 256],
}

const _: () = {
    assert!(size_of::<RawHeader>() <= PAGE_BYTES as usize);
    assert!(LOGS_OFFSET + LOGS_MAX as u64 * LOG_BYTES <= DEFINITIONS_OFFSET);
    assert!(size_of::<RawSlot>() <= CONTROL_OFFSET as usize);
    assert!(CONTROL_OFFSET.is_multiple_of(128) && CONTROL_OFFSET + CONTROL_BYTES <= SLOT_HEADER_BYTES);
    // Fields that another thread or process reads while they change are stored as one.
    assert!(offset_of!(RawHeader, anchor_version).is_multiple_of(8));
    assert!(offset_of!(RawSlot, state).is_multiple_of(4));
};

impl RawHeader {
    /// The value that `crc` must have.
    pub(crate) fn checksum(&self) -> u32 {
        let bytes = self.as_bytes();
        let fixed = &bytes[offset_of!(RawHeader, boot)..offset_of!(RawHeader, anchor_version)];
        checksum_append(checksum(&bytes[..offset_of!(RawHeader, crc)]), fixed)
    }
}

impl RawLog {
    /// The value that `crc` must have, before this path.
    pub(crate) fn checksum(&self, path: &[u8]) -> u32 {
        checksum_append(checksum(&self.as_bytes()[offset_of!(RawLog, log)..]), path)
    }
}

impl RawSlot {
    /// What `sizes_crc` is to be.
    pub(crate) fn sizes_checksum(&self) -> u32 {
        checksum(&self.as_bytes()[..offset_of!(RawSlot, sizes_crc)])
    }

    /// The value that `crc` must have; `None` if the name is longer than there is room for.
    pub(crate) fn checksum(&self) -> Option<u32> {
        let end = offset_of!(RawSlot, name) + self.producer_name()?.len();
        Some(checksum(&self.as_bytes()[offset_of!(RawSlot, log)..end]))
    }

    /// Whether it says that nobody uses the slot. Zeros alone do not: damage may leave them.
    pub(crate) fn is_undescribed(&self) -> bool {
        is_zero(&self.as_bytes()[offset_of!(RawSlot, log)..]) && self.checksum() == Some(self.crc.get())
    }

    /// The producer's name; `None` if it is longer than there is room for.
    pub(crate) fn producer_name(&self) -> Option<&[u8]> {
        self.name.get(..usize::from(self.name_bytes.get()))
    }
}

/// The offset of a log's entry.
pub(crate) fn log_offset(index: u32) -> u64 {
    LOGS_OFFSET + u64::from(index) * LOG_BYTES
}

/// The bytes of a slot with these sizes.
pub(crate) fn slot_bytes(window_bytes: u64, reserve_bytes: u64) -> Option<u64> {
    window_bytes.checked_add(reserve_bytes)?.checked_next_multiple_of(PAGE_BYTES)?.checked_add(SLOT_HEADER_BYTES)
}

/// The name of a ring file of this process.
pub(crate) fn ring_file_name(process: u32, random: u64) -> String {
    format!("diolog-{process}-{random:016x}.rings")
}

/// The process that has made the ring file with this name; `None` if it is not named like one.
pub(crate) fn process_of_ring_file(name: &str) -> Option<u32> {
    let (process, random) = name.strip_prefix("diolog-")?.strip_suffix(".rings")?.split_once('-')?;
    let random = (random.len() == 16).then(|| u64::from_str_radix(random, 16).ok())??;
    let process = process.parse().ok()?;
    (ring_file_name(process, random) == name).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_file_is_known_by_its_name() {
        assert_eq!(process_of_ring_file(&ring_file_name(4711, 0xA7)), Some(4711));
        for other in ["diolog-1-2.rings", "diolog-1-00000000000000A7.rings", "diolog-1-00000000000000a7.rings.damaged"]
        {
            assert_eq!(process_of_ring_file(other), None, "{other}");
        }
    }
}
