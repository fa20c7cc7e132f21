//! The record header, and the kinds of records.

use std::mem::offset_of;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{RECORD_HEADER_BYTES, padded};

/// What a record's payload is. Zero is no kind, so that zeros are never a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Bytes or text, as the caller gave them.
    Message = 1,
    /// A producer's first appearance.
    ProducerStart = 4,
    /// A producer's final counts.
    ProducerEnd = 5,
    /// A live producer, named for the records that follow in the same block.
    ProducerRow = 6,
    /// What a segment belongs to: the first record of block 0.
    Segment = 7,
    /// Monotonic and wall time, read together.
    WallAnchor = 8,
    /// What happened to the writer: for people, and safe to skip.
    Status = 0x81,
}

impl Kind {
    /// A kind with this bit may be skipped by a reader that does not know it.
    const SKIPPABLE: u8 = 0x80;

    /// The kind of byte `kind`, where this version knows it.
    pub(crate) const fn from_u8(kind: u8) -> Option<Kind> {
        Some(match kind {
            1 => Kind::Message,
            4 => Kind::ProducerStart,
            5 => Kind::ProducerEnd,
            6 => Kind::ProducerRow,
            7 => Kind::Segment,
            8 => Kind::WallAnchor,
            0x81 => Kind::Status,
            _ => return None,
        })
    }

    /// Whether a record of an unknown `kind` may be passed over.
    pub(crate) const fn may_be_skipped(kind: u8) -> bool {
        kind & Kind::SKIPPABLE != 0
    }
}

/// Marks of one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordFlags;

impl RecordFlags {
    /// The message was longer than `message_bytes_max` and was cut.
    pub(crate) const TRUNCATED: u8 = 1;
}

/// The first 16 bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RecordHeader {
    /// Bytes of payload, without the padding to 8.
    pub(crate) length: U32,
    /// [`Kind`].
    pub(crate) kind: u8,
    /// [`crate::Level`], as its number.
    pub(crate) level: u8,
    /// [`RecordFlags`].
    pub(crate) flags: u8,
    /// Zero.
    pub(crate) reserved: u8,
    /// When the record was appended, in `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) timestamp_ns: U64,
}

const _: () = assert!(size_of::<RecordHeader>() == 16 && align_of::<RecordHeader>() == 1);
const _: () = assert!(offset_of!(RecordHeader, length) == 0 && offset_of!(RecordHeader, kind) == 4);
const _: () = assert!(offset_of!(RecordHeader, level) == 5 && offset_of!(RecordHeader, flags) == 6);
const _: () = assert!(offset_of!(RecordHeader, reserved) == 7 && offset_of!(RecordHeader, timestamp_ns) == 8);

/// Bytes that a record with this much payload takes in a plain shard.
pub(crate) const fn record_bytes(payload_bytes: usize) -> usize {
    RECORD_HEADER_BYTES + padded(payload_bytes)
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordFault {
    /// Fewer bytes than the header or its length ask for.
    Short,
    /// Zero is no kind.
    NoKind,
}

impl RecordHeader {
    /// The bytes of the header, put together in two words: the writer stores one for each record.
    #[inline(always)]
    pub(crate) fn to_words(self) -> [u8; RECORD_HEADER_BYTES] {
        let tag = u32::from_le_bytes([self.kind, self.level, self.flags, self.reserved]);
        let first = u64::from(self.length.get()) | u64::from(tag) << 32;
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..].copy_from_slice(&self.timestamp_ns.get().to_le_bytes());
        bytes
    }

    /// Takes the first record off `bytes`: its header, its payload, and what follows.
    #[inline]
    pub(crate) fn split(bytes: &[u8]) -> Result<(RecordHeader, &[u8], &[u8]), RecordFault> {
        let Ok((header, rest)) = RecordHeader::read_from_prefix(bytes) else { return Err(RecordFault::Short) };
        if header.kind == 0 {
            return Err(RecordFault::NoKind);
        }
        let length = header.length.get() as usize;
        // The unpadded length is compared first: padding a length near the integer's end would overflow.
        if length > rest.len() || padded(length) > rest.len() {
            return Err(RecordFault::Short);
        }
        let (payload, rest) = rest.split_at(padded(length));
        Ok((header, &payload[..length], rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: &[u8]) -> Vec<u8> {
        let header = RecordHeader {
            length: U32::new(payload.len() as u32),
            kind: Kind::Message as u8,
            level: 3,
            flags: RecordFlags::TRUNCATED,
            reserved: 0,
            timestamp_ns: U64::new(0x0102_0304),
        };
        assert_eq!(header.to_words(), header.as_bytes());
        let mut bytes = header.to_words().to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(record_bytes(payload.len()), 0);
        bytes
    }

    #[test]
    fn a_record_is_split_from_what_follows_and_its_bytes_are_golden() {
        let mut bytes = record(b"hello");
        let golden = [5, 0, 0, 0, 1, 3, 1, 0, 4, 3, 2, 1, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o', 0, 0, 0];
        assert_eq!(bytes, golden);
        bytes.extend_from_slice(&record(b""));
        let (header, payload, rest) = RecordHeader::split(&bytes).expect("a record");
        assert_eq!((header.timestamp_ns.get(), payload), (0x0102_0304, &b"hello"[..]));
        let (_, payload, rest) = RecordHeader::split(rest).expect("an empty record");
        assert!(payload.is_empty() && rest.is_empty());
    }

    #[test]
    fn zeros_and_short_bytes_are_refused() {
        assert_eq!(RecordHeader::split(&[0; 64]), Err(RecordFault::NoKind));
        let bytes = record(b"hello");
        for length in 0..bytes.len() {
            assert_eq!(RecordHeader::split(&bytes[..length]), Err(RecordFault::Short), "{length}");
        }
        let mut huge = record(b"hello");
        huge[..4].fill(0xFF);
        assert_eq!(RecordHeader::split(&huge), Err(RecordFault::Short));
    }

    #[test]
    fn kinds_keep_their_numbers() {
        for kind in 0..=u8::MAX {
            if let Some(known) = Kind::from_u8(kind) {
                assert_eq!(known as u8, kind);
            }
        }
        assert_eq!(Kind::from_u8(0), None);
        assert!(Kind::may_be_skipped(Kind::Status as u8) && !Kind::may_be_skipped(Kind::Message as u8));
    }
}
