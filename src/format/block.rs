//! The block header: the one thing that a reader looks for on the 4 KiB grid.
//!
//! It has a checksum of its own, over its bytes and the block's file offset, so that it can be trusted before the
//! payload is read, and so that a block copied to another place, or a log inside a log, does not pass.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::checksum::{checksum, checksum_append};
use super::{BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, GRID_BYTES};

/// The first bytes that tell a diolog block; the digit is the major version.
pub(crate) const BLOCK_MAGIC: [u8; 4] = *b"DLB1";

/// [`BlockHeader::in_flight`] when the number is not known.
pub(crate) const IN_FLIGHT_UNKNOWN: u16 = u16::MAX;

/// What a block is, beyond a carrier of records. The low byte is compatible, the high byte is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockFlags(pub(crate) u16);

impl BlockFlags {
    /// Block 0 of a segment: its header.
    pub(crate) const SEGMENT_HEADER: u16 = 1;
    /// The run's last block, submitted alone after all else was durable.
    pub(crate) const CLEAN_END: u16 = 1 << 1;
    /// Written by recovery from a dead run's rings.
    #[expect(dead_code, reason = "reserved by the format: no writer sets it yet, and readers need not know it")]
    pub(crate) const RECOVERED: u16 = 1 << 2;
    /// Holds a wall-clock anchor.
    pub(crate) const WALL_ANCHOR: u16 = 1 << 3;
    /// Flags that a reader of this version must know to read the block.
    const INCOMPATIBLE: u16 = 0xFF00;

    /// Whether all bits of `flag` are set.
    pub(crate) const fn has(self, flag: u16) -> bool {
        self.0 & flag == flag
    }
}

/// The first 64 bytes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct BlockHeader {
    /// Bytes that the block occupies: a multiple of 4096, at most 16 MiB, and the stride to the next block.
    pub(crate) capacity: U32,
    /// Bytes of shards after this header.
    pub(crate) valid: U32,
    /// [`BLOCK_MAGIC`].
    pub(crate) magic: [u8; 4],
    /// CRC-32C of this header with this field 0, then of the block's file offset as 8 bytes.
    pub(crate) header_crc: U32,
    /// CRC-32C of the `valid` bytes.
    pub(crate) payload_crc: U32,
    /// [`BlockFlags`].
    pub(crate) flags: U16,
    /// Earlier blocks not known durable when this one was submitted, or [`IN_FLIGHT_UNKNOWN`].
    pub(crate) in_flight: U16,
    /// Random for each segment, so that stale or foreign bytes do not pass.
    pub(crate) segment_id: U64,
    /// The block's number within the run; a segment header takes none and holds the next block's.
    pub(crate) sequence: U64,
    /// The smallest timestamp, in `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) first_ns: U64,
    /// The largest timestamp, in `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) last_ns: U64,
    /// Records in all shards, the writer's own included.
    pub(crate) records: U32,
    /// Shards.
    pub(crate) shards: U32,
}

const _: () = assert!(size_of::<BlockHeader>() == 64 && align_of::<BlockHeader>() == 1);
const _: () = assert!(offset_of!(BlockHeader, capacity) == 0 && offset_of!(BlockHeader, valid) == 4);
const _: () = assert!(offset_of!(BlockHeader, magic) == 8 && offset_of!(BlockHeader, header_crc) == 12);
const _: () = assert!(offset_of!(BlockHeader, payload_crc) == 16 && offset_of!(BlockHeader, flags) == 20);
const _: () = assert!(offset_of!(BlockHeader, in_flight) == 22 && offset_of!(BlockHeader, segment_id) == 24);
const _: () = assert!(offset_of!(BlockHeader, sequence) == 32 && offset_of!(BlockHeader, first_ns) == 40);
const _: () = assert!(offset_of!(BlockHeader, last_ns) == 48 && offset_of!(BlockHeader, records) == 56);
const _: () = assert!(offset_of!(BlockHeader, shards) == 60);

/// Why 64 bytes are not a block header that may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// All zero: nothing was ever written here.
    Zero,
    /// No magic of any version.
    NotABlock,
    /// A block of another major version, whose digit this is.
    Version(u8),
    /// The checksum does not fit these bytes at this offset.
    Checksum,
    /// A checksummed header with lengths that cannot be, or flags that this version does not know.
    Unsupported,
}

impl BlockHeader {
    /// Sets both checksums for a block that will stand at `file_offset` with `payload` after its header.
    pub(crate) fn seal(&mut self, payload: &[u8], file_offset: u64) {
        self.payload_crc = U32::new(checksum(payload));
        self.sign(file_offset);
    }

    /// Sets the header's own checksum for a block that will stand at `file_offset`.
    pub(crate) fn sign(&mut self, file_offset: u64) {
        self.header_crc = U32::new(self.expected_header_crc(file_offset));
    }

    /// Reads and checks the header at the start of `bytes`, a block said to stand at `file_offset`.
    ///
    /// # Panics
    /// If `bytes` is shorter than a header: the caller reads at least the grid's 4096.
    pub(crate) fn decode(bytes: &[u8], file_offset: u64) -> Result<BlockHeader, HeaderFault> {
        let raw = &bytes[..BLOCK_HEADER_BYTES];
        let Ok(header) = BlockHeader::read_from_bytes(raw) else { return Err(HeaderFault::NotABlock) };
        if raw.iter().all(|&byte| byte == 0) {
            return Err(HeaderFault::Zero);
        }
        if header.magic[..3] != BLOCK_MAGIC[..3] {
            return Err(HeaderFault::NotABlock);
        }
        if header.header_crc.get() != header.expected_header_crc(file_offset) {
            return Err(HeaderFault::Checksum);
        }
        if header.magic != BLOCK_MAGIC {
            return Err(HeaderFault::Version(header.magic[3]));
        }
        let (capacity, valid) = (header.capacity.get() as usize, header.valid.get() as usize);
        let fits = capacity.is_multiple_of(GRID_BYTES)
            && (GRID_BYTES..=BLOCK_BYTES_MAX).contains(&capacity)
            && valid <= capacity - BLOCK_HEADER_BYTES;
        if !fits || header.flags.get() & BlockFlags::INCOMPATIBLE != 0 {
            return Err(HeaderFault::Unsupported);
        }
        Ok(header)
    }

    /// Whether `payload`, the `valid` bytes after the header, is what was sealed.
    pub(crate) fn payload_is_intact(&self, payload: &[u8]) -> bool {
        checksum(payload) == self.payload_crc.get()
    }

    /// The flags, typed.
    pub(crate) fn block_flags(&self) -> BlockFlags {
        BlockFlags(self.flags.get())
    }

    fn expected_header_crc(&self, file_offset: u64) -> u32 {
        let mut unsigned = *self;
        unsigned.header_crc = U32::ZERO;
        checksum_append(checksum(unsigned.as_bytes()), &file_offset.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BlockHeader {
        BlockHeader {
            capacity: U32::new(8192),
            valid: U32::new(5),
            magic: BLOCK_MAGIC,
            header_crc: U32::ZERO,
            payload_crc: U32::ZERO,
            flags: U16::new(BlockFlags::CLEAN_END),
            in_flight: U16::new(3),
            segment_id: U64::new(0x1122_3344_5566_7788),
            sequence: U64::new(9),
            first_ns: U64::new(10),
            last_ns: U64::new(11),
            records: U32::new(2),
            shards: U32::new(1),
        }
    }

    #[test]
    fn a_sealed_header_reads_back_and_its_bytes_are_golden() {
        let mut header = sample();
        header.seal(b"hello", 4096);
        assert_eq!(BlockHeader::decode(header.as_bytes(), 4096), Ok(header));
        assert!(header.payload_is_intact(b"hello"));
        assert!(!header.payload_is_intact(b"hellp"));
        let golden: [u8; 64] = [
            0x00, 0x20, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x44, 0x4C, 0x42, 0x31, 0x0F, 0x4D, 0x92, 0xEB, 0x4C, 0xBB,
            0x71, 0x9A, 0x02, 0x00, 0x03, 0x00, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x09, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x0A, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0B, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
        ];
        assert_eq!(header.as_bytes(), golden);
    }

    #[test]
    fn a_header_at_another_offset_is_refused() {
        let mut header = sample();
        header.seal(b"hello", 4096);
        assert_eq!(BlockHeader::decode(header.as_bytes(), 8192), Err(HeaderFault::Checksum));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let mut header = sample();
        header.seal(b"hello", 4096);
        for bit in 0..64 * 8 {
            let mut bytes = header.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(BlockHeader::decode(&bytes, 4096).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn zeros_foreign_bytes_and_other_versions_are_told_apart() {
        assert_eq!(BlockHeader::decode(&[0; 64], 0), Err(HeaderFault::Zero));
        assert_eq!(BlockHeader::decode(&[7; 64], 0), Err(HeaderFault::NotABlock));
        let mut newer = sample();
        newer.magic[3] = b'2';
        newer.seal(b"", 0);
        assert_eq!(BlockHeader::decode(newer.as_bytes(), 0), Err(HeaderFault::Version(b'2')));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_even_with_a_right_checksum() {
        for (capacity, valid) in [(0, 0), (100, 0), (4096, 4096 - 63), (32 << 20, 0), (u32::MAX, u32::MAX)] {
            let mut header = sample();
            (header.capacity, header.valid) = (U32::new(capacity), U32::new(valid));
            header.seal(b"", 0);
            assert_eq!(BlockHeader::decode(header.as_bytes(), 0), Err(HeaderFault::Unsupported));
        }
        let mut header = sample();
        header.flags = U16::new(0x0100);
        header.seal(b"", 0);
        assert_eq!(BlockHeader::decode(header.as_bytes(), 0), Err(HeaderFault::Unsupported));
    }
}
