//! The record header, and the kinds of records.

use std::mem::offset_of;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::newer::Newer;

/// Bytes of a [`RecordHeader`].
pub(crate) const RECORD_HEADER_BYTES: usize = size_of::<RecordHeader>();

/// The kind of a record's payload. Zero is no kind, so that zeros are never a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A producer's message: bytes or text, as the caller gave them.
    Message = 1,
    /// A producer's record of a callsite: the callsite's id, and values.
    Structured = 2,
    /// The definition of a callsite.
    Callsite = 3,
    /// As [`Kind::ProducerRow`], in a producer's first block.
    ProducerStart = 4,
    /// A producer's final counts.
    ProducerEnd = 5,
    /// A live producer's name, and its counts before this block.
    ProducerRow = 6,
    /// The segment's header: the first record of block 0.
    Segment = 7,
    /// Monotonic and wall time, read together.
    WallAnchor = 8,
    /// A sentence of the writer's, for people.
    Status = 0x81,
    /// Why sequence numbers of a producer are missing.
    Gap = 0x82,
    /// How many appends took no sequence number, by cause.
    Refusals = 0x83,
    /// The log's figures at one moment, for programs that watch it.
    Figures = 0x84,
    /// One producer's figures at the same moment.
    ProducerFigures = 0x85,
}

/// A kind that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownKind {
    /// Zero, which no writer writes.
    None,
    /// A newer diolog wrote the record; a reader may skip it.
    Skippable,
    /// A newer diolog wrote the record, and skipping it would hide something.
    Newer(Newer),
}

impl Kind {
    /// The bit of the kinds that a reader may skip if it does not know them.
    const SKIPPABLE: u8 = 0x80;

    /// The kind with number `kind`.
    #[inline]
    pub(crate) fn from_u8(kind: u8) -> Result<Kind, UnknownKind> {
        Kind::try_read_from_bytes(&[kind]).map_err(|_| match kind {
            0 => UnknownKind::None,
            _ if kind & Kind::SKIPPABLE != 0 => UnknownKind::Skippable,
            _ => UnknownKind::Newer(Newer::Kind(kind)),
        })
    }
}

/// Marks of one record. A reader may ignore unknown ones, because a new meaning of the payload gets a new kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordFlags;

impl RecordFlags {
    /// The message, or a value, was longer than `message_bytes_max` allows, and was cut.
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

/// `payload_bytes`, rounded up to a multiple of 8.
pub(crate) const fn padded(payload_bytes: usize) -> usize {
    // Not `next_multiple_of`, which branches.
    (payload_bytes + 7) & !7
}

/// Bytes that a record with this much payload takes in a plain shard.
pub(crate) const fn record_bytes(payload_bytes: usize) -> usize {
    RECORD_HEADER_BYTES + padded(payload_bytes)
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordFault {
    /// There are fewer bytes than a header has, or fewer than its length says.
    Short,
    /// The kind is zero.
    NoKind,
}

impl RecordHeader {
    /// The bytes of the header, as two words, which the writer stores with two instructions.
    #[inline(always)]
    pub(crate) fn to_words(self) -> [u8; RECORD_HEADER_BYTES] {
        let tag = u32::from_le_bytes([self.kind, self.level, self.flags, self.reserved]);
        let first = u64::from(self.length.get()) | u64::from(tag) << 32;
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..].copy_from_slice(&self.timestamp_ns.get().to_le_bytes());
        bytes
    }

    /// Splits `bytes` into the first record's header, its payload, and the bytes after the record.
    #[inline]
    pub(crate) fn split(bytes: &[u8]) -> Result<(RecordHeader, &[u8], &[u8]), RecordFault> {
        let Ok((header, rest)) = RecordHeader::read_from_prefix(bytes) else { return Err(RecordFault::Short) };
        if header.kind == 0 {
            return Err(RecordFault::NoKind);
        }
        let length = header.length.get() as usize;
        // Compared before it is padded: padding could overflow.
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
            match Kind::from_u8(kind) {
                Ok(known) => assert_eq!(known as u8, kind),
                Err(UnknownKind::None) => assert_eq!(kind, 0),
                Err(UnknownKind::Skippable) => assert!(kind > 0x83 || kind == 0x80, "{kind}"),
                Err(UnknownKind::Newer(newer)) => assert!(newer == Newer::Kind(kind) && kind < 0x80, "{kind}"),
            }
        }
    }
}
