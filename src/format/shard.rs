//! The shard header: whose records these are, how many, and how they are encoded.
//!
//! It says that for every encoding, so that a reader accounts for records that it cannot decode.

use std::mem::offset_of;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::newer::Newer;
use super::record::RECORD_HEADER_BYTES;

/// Bytes of a [`ShardHeader`].
pub(crate) const SHARD_HEADER_BYTES: usize = size_of::<ShardHeader>();

/// How a shard's records are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Each record is a header and a padded payload.
    Plain,
    /// An encoding that this version does not know.
    Newer(Newer),
}

/// The first 32 bytes of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct ShardHeader {
    /// Bytes of records after this header. The next shard stands right after them.
    pub(crate) valid: U32,
    /// The id of the producer; 0 is the writer itself.
    pub(crate) producer: U32,
    /// The sequence number of the first record. Each further one is one higher.
    pub(crate) first_sequence: U64,
    /// Records in the shard, at least one.
    pub(crate) records: U32,
    /// [`Encoding`], as its number: 0 is plain.
    pub(crate) encoding: u8,
    /// Zero.
    pub(crate) reserved: [u8; 3],
    /// Reserved for encodings that store timestamps as differences; zero in a plain shard.
    pub(crate) base_ns: U64,
}

const _: () = assert!(size_of::<ShardHeader>() == 32 && align_of::<ShardHeader>() == 1);
const _: () = assert!(offset_of!(ShardHeader, valid) == 0 && offset_of!(ShardHeader, producer) == 4);
const _: () = assert!(offset_of!(ShardHeader, first_sequence) == 8 && offset_of!(ShardHeader, records) == 16);
const _: () = assert!(offset_of!(ShardHeader, encoding) == 20 && offset_of!(ShardHeader, reserved) == 21);
const _: () = assert!(offset_of!(ShardHeader, base_ns) == 24);

impl ShardHeader {
    /// The header of an empty plain shard: the caller sets `valid` and `records`.
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

    /// Splits `bytes` into the first shard's header, its record bytes, and the bytes after the shard. `None` if the
    /// lengths do not fit `bytes`, if the shard is empty, or if its sequence numbers do not exist.
    ///
    /// The records of a shard with an unknown encoding may take any number of bytes.
    pub(crate) fn split(bytes: &[u8]) -> Option<(ShardHeader, &[u8], &[u8])> {
        let (header, rest) = ShardHeader::read_from_prefix(bytes).ok()?;
        let valid = header.valid.get() as usize;
        let records = header.records.get();
        if valid > rest.len() || records == 0 {
            return None;
        }
        if header.encoding() == Encoding::Plain && records as usize > valid / RECORD_HEADER_BYTES {
            return None;
        }
        // Sequences never wrap: the number after the last record must exist too.
        header.first_sequence.get().checked_add(records.into())?;
        let (records, rest) = rest.split_at(valid);
        Some((header, records, rest))
    }

    /// How the records are encoded.
    pub(crate) fn encoding(&self) -> Encoding {
        match self.encoding {
            0 => Encoding::Plain,
            unknown => Encoding::Newer(Newer::Encoding(unknown)),
        }
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
        let mut wrapping = shard(16, 1, 16);
        wrapping[8..16].fill(0xFF);
        assert!(ShardHeader::split(&wrapping).is_none());
    }

    #[test]
    fn a_shard_of_an_unknown_encoding_still_accounts_for_its_records() {
        // Three records in five bytes: fewer than a plain record's header takes.
        let mut bytes = shard(5, 3, 5 + 7);
        bytes[20] = 9;
        let (header, records, rest) = ShardHeader::split(&bytes).expect("a shard");
        assert_eq!(header.encoding(), Encoding::Newer(Newer::Encoding(9)));
        assert_eq!((header.producer.get(), header.first_sequence.get(), header.records.get()), (7, 40, 3));
        assert_eq!((records.len(), rest.len()), (5, 7));
        // Its length is still bounded, it still has a record, and its sequence numbers still exist.
        assert!(ShardHeader::split(&bytes[..SHARD_HEADER_BYTES + 4]).is_none());
        for (field, byte) in [(8..16, 0xFF), (16..20, 0)] {
            let mut wrong = bytes.clone();
            wrong[field].fill(byte);
            assert!(ShardHeader::split(&wrong).is_none());
        }
    }
}
