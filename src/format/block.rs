//! The block header, which a reader looks for on the 4 KiB grid.
//!
//! It has a checksum of its own, over its bytes and the block's file offset. A reader can therefore trust it before it
//! reads the payload, and refuses a block that was copied to another place, or that is part of a log inside a log.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::checksum::{checksum, checksum_append};
use super::limits::{BLOCK_BYTES_MAX, GRID_BYTES};
use super::newer::Newer;
use super::zeros::is_zero;

/// Bytes of a [`BlockHeader`].
pub(crate) const BLOCK_HEADER_BYTES: usize = size_of::<BlockHeader>();

/// The bytes that mark a diolog block; the digit is the major version.
pub(crate) const BLOCK_MAGIC: [u8; 4] = *b"DLB1";

/// [`BlockHeader::in_flight`] if the number is not known.
pub(crate) const IN_FLIGHT_UNKNOWN: u16 = u16::MAX;

/// Marks of one block. A reader may ignore an unknown flag of the low byte, and must not ignore one of the high byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockFlags(pub(crate) u16);

impl BlockFlags {
    /// The block is its segment's block 0.
    pub(crate) const SEGMENT_HEADER: u16 = 1;
    /// The run's last block, written alone after all others were durable.
    pub(crate) const CLEAN_END: u16 = 1 << 1;
    /// The block was written by a recovery, from the rings of a run that died.
    pub(crate) const RECOVERED: u16 = 1 << 2;
    /// The block holds a wall-clock anchor.
    pub(crate) const WALL_ANCHOR: u16 = 1 << 3;
    /// The block holds the log's figures.
    pub(crate) const FIGURES: u16 = 1 << 4;
    /// The flags that a reader must know to read the block. Version 1 has none of them.
    const INCOMPATIBLE: u16 = 0xFF00;

    /// Whether all bits of `flag` are set.
    pub(crate) const fn has(self, flag: u16) -> bool {
        self.0 & flag == flag
    }

    /// The flags that this version does not know and must not ignore.
    pub(crate) fn newer(self) -> Option<Newer> {
        let unknown = self.0 & BlockFlags::INCOMPATIBLE;
        (unknown != 0).then_some(Newer::BlockFlags(unknown))
    }
}

/// The first 64 bytes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct BlockHeader {
    /// Bytes that the block occupies: a multiple of 4096, at most 16 MiB. The next block stands right after them.
    pub(crate) capacity: U32,
    /// Bytes of shards after this header; at most `capacity - 64`.
    pub(crate) valid: U32,
    /// [`BLOCK_MAGIC`].
    pub(crate) magic: [u8; 4],
    /// CRC-32C of this header with this field 0, followed by the block's file offset as 8 bytes.
    pub(crate) header_crc: U32,
    /// CRC-32C of the `valid` bytes.
    pub(crate) payload_crc: U32,
    /// [`BlockFlags`].
    pub(crate) flags: U16,
    /// Earlier blocks of the run that were not known to be durable when this one was submitted, or
    /// [`IN_FLIGHT_UNKNOWN`].
    pub(crate) in_flight: U16,
    /// The segment's id, random, so that a block from an earlier use of the file is recognised.
    pub(crate) segment_id: U64,
    /// The block's number within the run, from 0. A block 0 has no number of its own and holds the next block's. (In
    /// every other name, a sequence is a producer's.)
    pub(crate) sequence: U64,
    /// The smallest timestamp of producers' records, in `CLOCK_MONOTONIC` nanoseconds; without any, of the writer's.
    pub(crate) first_ns: U64,
    /// The largest of the same timestamps.
    pub(crate) last_ns: U64,
    /// Records in all shards, the writer's own included.
    pub(crate) records: U32,
    /// Shards, the writer's own included.
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

/// Why 64 bytes are not the header of a block that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// All zero: nothing was ever written here.
    Zero,
    /// No magic of any version.
    NotABlock,
    /// The magic is there, and the checksum does not fit these bytes at this offset: torn or damaged.
    Checksum,
    /// The checksum fits, and this version cannot read the block.
    ///
    /// Of the `header`, every version keeps the place and the meaning of `capacity`, `magic`, `header_crc`,
    /// `segment_id` and `sequence`, so that a reader can step over the block and account for it.
    Newer { newer: Newer, header: BlockHeader },
}

impl BlockHeader {
    /// Sets both checksums for a block at `file_offset` with `payload` after its header.
    pub(crate) fn seal(&mut self, payload: &[u8], file_offset: u64) {
        self.payload_crc = U32::new(checksum(payload));
        self.sign(file_offset);
    }

    /// Sets the header's own checksum for a block at `file_offset`.
    pub(crate) fn sign(&mut self, file_offset: u64) {
        self.header_crc = U32::new(self.expected_header_crc(file_offset));
    }

    /// Reads and checks the header at the start of `bytes`, a block at `file_offset`.
    ///
    /// # Panics
    /// If `bytes` is shorter than a header.
    pub(crate) fn decode(bytes: &[u8], file_offset: u64) -> Result<BlockHeader, HeaderFault> {
        let raw = &bytes[..BLOCK_HEADER_BYTES];
        let Ok(header) = BlockHeader::read_from_bytes(raw) else { return Err(HeaderFault::NotABlock) };
        if is_zero(raw) {
            return Err(HeaderFault::Zero);
        }
        if header.magic[..3] != BLOCK_MAGIC[..3] {
            return Err(HeaderFault::NotABlock);
        }
        if header.header_crc.get() != header.expected_header_crc(file_offset) {
            return Err(HeaderFault::Checksum);
        }
        match header.newer() {
            Some(newer) => Err(HeaderFault::Newer { newer, header }),
            None => Ok(header),
        }
    }

    /// The bounds of the block's timestamps.
    pub(crate) fn times(&self) -> std::ops::RangeInclusive<u64> {
        self.first_ns.get()..=self.last_ns.get()
    }

    /// Bytes from the start of this block to the next one, also if this version cannot read the block.
    pub(crate) fn stride_bytes(&self) -> u64 {
        let capacity = self.capacity.get();
        let fits = capacity > 0 && (capacity as usize).is_multiple_of(GRID_BYTES);
        if fits { capacity.into() } else { GRID_BYTES as u64 }
    }

    /// The number below which all blocks of the run were durable when this one was submitted, as far as it says; 0 if
    /// it does not.
    pub(crate) fn durable_below(&self) -> u64 {
        match self.in_flight.get() {
            IN_FLIGHT_UNKNOWN => 0,
            in_flight => self.sequence.get().saturating_sub(in_flight.into()),
        }
    }

    /// Whether `payload`, the `valid` bytes after the header, fits its checksum.
    pub(crate) fn payload_is_intact(&self, payload: &[u8]) -> bool {
        checksum(payload) == self.payload_crc.get()
    }

    /// The flags, typed.
    pub(crate) fn block_flags(&self) -> BlockFlags {
        BlockFlags(self.flags.get())
    }

    /// Why this version cannot read a block whose header checksum fits.
    fn newer(&self) -> Option<Newer> {
        if self.magic != BLOCK_MAGIC {
            return Some(Newer::Version(self.magic[3]));
        }
        let (capacity, valid) = (self.capacity.get() as usize, self.valid.get() as usize);
        let fits = capacity.is_multiple_of(GRID_BYTES)
            && (GRID_BYTES..=BLOCK_BYTES_MAX).contains(&capacity)
            && valid <= capacity - BLOCK_HEADER_BYTES;
        self.block_flags().newer().or_else(|| (!fits).then_some(Newer::BlockBytes(self.capacity.get())))
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
    fn zeros_foreign_bytes_and_newer_blocks_are_told_apart() {
        assert_eq!(BlockHeader::decode(&[0; 64], 0), Err(HeaderFault::Zero));
        assert_eq!(BlockHeader::decode(&[7; 64], 0), Err(HeaderFault::NotABlock));
        let mut newer = sample();
        newer.magic[3] = b'2';
        newer.seal(b"", 0);
        assert_eq!(newer_of(&newer), Some(Newer::Version(b'2')));
        let mut newer = sample();
        newer.flags = U16::new(0x0102);
        newer.seal(b"", 0);
        assert_eq!(newer_of(&newer), Some(Newer::BlockFlags(0x0100)));
        let mut compatible = sample();
        compatible.flags = U16::new(0x00FF);
        compatible.seal(b"", 0);
        assert_eq!(BlockHeader::decode(compatible.as_bytes(), 0), Ok(compatible));
    }

    /// What shows that `sealed`, which stands at offset 0, is newer; its header must come with that.
    fn newer_of(sealed: &BlockHeader) -> Option<Newer> {
        match BlockHeader::decode(sealed.as_bytes(), 0) {
            Err(HeaderFault::Newer { newer, header }) if header == *sealed => Some(newer),
            _ => None,
        }
    }

    #[test]
    fn lengths_beyond_the_limits_are_newer_if_their_checksum_fits() {
        for (capacity, valid, stride) in
            [(0, 0, 4096), (100, 0, 4096), (4096, 4096 - 63, 4096), (32 << 20, 0, 32 << 20), (u32::MAX, u32::MAX, 4096)]
        {
            let mut header = sample();
            (header.capacity, header.valid) = (U32::new(capacity), U32::new(valid));
            header.seal(b"", 0);
            assert_eq!(newer_of(&header), Some(Newer::BlockBytes(capacity)));
            assert_eq!(header.stride_bytes(), stride);
        }
    }
}
