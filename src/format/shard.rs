//! The shard header: records of one producer that stand together in a block.

use std::mem::offset_of;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{RECORD_HEADER_BYTES, SHARD_HEADER_BYTES};

/// How a shard's records are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Each record is a header and a padded payload.
    Plain,
}

/// The first 32 bytes of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct ShardHeader {
    /// Bytes of records after this header.
    pub(crate) valid: U32,
    /// Who appended them; 0 is the writer itself.
    pub(crate) producer: U32,
    /// The sequence number of the first record; each further one is one higher.
    pub(crate) first_sequence: U64,
    /// Records in the shard, at least one.
    pub(crate) records: U32,
    /// 0 plain.
    pub(crate) encoding: u8,
    /// Zero.
    pub(crate) reserved: [u8; 3],
    /// What packed timestamps count from; zero in a plain shard.
    pub(crate) base_ns: U64,
}

const _: () = assert!(size_of::<ShardHeader>() == 32 && align_of::<ShardHeader>() == 1);
const _: () = assert!(offset_of!(ShardHeader, valid) == 0 && offset_of!(ShardHeader, producer) == 4);
const _: () = assert!(offset_of!(ShardHeader, first_sequence) == 8 && offset_of!(ShardHeader, records) == 16);
const _: () = assert!(offset_of!(ShardHeader, encoding) == 20 && offset_of!(ShardHeader, reserved) == 21);
const _: () = assert!(offset_of!(ShardHeader, base_ns) == 24);

impl ShardHeader {
    /// A plain shard of `producer` whose records are not counted yet.
    pub(crate) fn plain(producer: u32, first_sequence: u64) -> ShardHeader {
        ShardHeader {
            valid: U32::ZERO,
            producer: U32::new(producer),
            first_sequence: U64::new(first_sequence),
            records: U32::ZERO,
            encoding: 0,
            reserved: [0; 3],
            base_ns: U64::ZERO,
        }
    }

    /// Takes the first shard off `bytes`: its header, its record bytes, and what follows. `None` where the lengths
    /// do not fit `bytes`, the shard is empty, or its encoding is not known.
    pub(crate) fn split(bytes: &[u8]) -> Option<(ShardHeader, &[u8], &[u8])> {
        let (header, rest) = ShardHeader::read_from_prefix(bytes).ok()?;
        header.known_encoding()?;
        let valid = header.valid.get() as usize;
        let records = header.records.get() as usize;
        if valid > rest.len() || records == 0 || records > valid / RECORD_HEADER_BYTES {
            return None;
        }
        // The last sequence number must exist too: sequences never wrap on disk.
        header.first_sequence.get().checked_add(records as u64)?;
        let (records, rest) = rest.split_at(valid);
        Some((header, records, rest))
    }

    /// The encoding, where this version knows it.
    pub(crate) fn known_encoding(&self) -> Option<Encoding> {
        (self.encoding == 0).then_some(Encoding::Plain)
    }

    /// Writes the header over the first bytes of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than a header.
    pub(crate) fn encode(&self, out: &mut [u8]) {
        out[..SHARD_HEADER_BYTES].copy_from_slice(self.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(valid: u32, records: u32, body: usize) -> Vec<u8> {
        let mut header = ShardHeader::plain(7, 40);
        (header.valid, header.records) = (U32::new(valid), U32::new(records));
        let mut bytes = vec![0; SHARD_HEADER_BYTES + body];
        header.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_shard_is_split_from_what_follows_and_its_bytes_are_golden() {
        let bytes = shard(16, 1, 16 + 5);
        let (header, records, rest) = ShardHeader::split(&bytes).expect("a shard");
        assert_eq!((header.producer.get(), header.first_sequence.get()), (7, 40));
        assert_eq!((records.len(), rest.len()), (16, 5));
        let golden = [16, 0, 0, 0, 7, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes[..32], golden);
    }

    #[test]
    fn zeros_short_bytes_and_wrong_lengths_are_refused() {
        assert!(ShardHeader::split(&[0; 64]).is_none());
        assert!(ShardHeader::split(&shard(16, 1, 16)[..31]).is_none());
        assert!(ShardHeader::split(&shard(17, 1, 16)).is_none());
        assert!(ShardHeader::split(&shard(16, 2, 16)).is_none());
        let mut unknown = shard(16, 1, 16);
        unknown[20] = 9;
        assert!(ShardHeader::split(&unknown).is_none());
        let mut wrapping = shard(16, 1, 16);
        wrapping[8..16].fill(0xFF);
        assert!(ShardHeader::split(&wrapping).is_none());
    }
}
