//! The shard header: whose records these are, how many, and how they are encoded.
//!
//! It is the same for every encoding, so that a reader can account for records that it cannot decode.

use std::mem::offset_of;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::newer::Newer;
use super::packed::PACKED_RECORD_BYTES_MIN;
use super::record::RECORD_HEADER_BYTES;

/// Bytes of a [`ShardHeader`].
pub(crate) const SHARD_HEADER_BYTES: usize = size_of::<ShardHeader>();

/// How a shard's records are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Each record is a header and a padded payload.
    Plain,
    /// Each record is a callsite's id, a difference of times, a length and packed values.
    Packed,
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
    /// [`Encoding`], as its number: 0 is plain, 1 packed.
    pub(crate) encoding: u8,
    /// In a packed shard, the levels of the messages without a callsite: bit `1 << level` for each. Zero in a plain
    /// one.
    pub(crate) levels: u8,
    /// Zero.
    pub(crate) reserved: [u8; 2],
    /// In a packed shard, the timestamp of the first record, from which differences count. Zero in a plain one.
    pub(crate) base_ns: U64,
}

const _: () = assert!(size_of::<ShardHeader>() == 32 && align_of::<ShardHeader>() == 1);
const _: () = assert!(offset_of!(ShardHeader, valid) == 0 && offset_of!(ShardHeader, producer) == 4);
const _: () = assert!(offset_of!(ShardHeader, first_sequence) == 8 && offset_of!(ShardHeader, records) == 16);
const _: () = assert!(offset_of!(ShardHeader, encoding) == 20 && offset_of!(ShardHeader, levels) == 21);
const _: () = assert!(offset_of!(ShardHeader, reserved) == 22);
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
            levels: 0,
            reserved: [0; 2],
            base_ns: U64::ZERO,
        }
    }

    /// The header of an empty packed shard: the caller sets `valid`, `records` and `levels`.
    pub(crate) fn packed(producer: u32, first_sequence: u64, base_ns: u64) -> ShardHeader {
        ShardHeader { encoding: 1, base_ns: U64::new(base_ns), ..ShardHeader::plain(producer, first_sequence) }
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
        let record_bytes_min = match header.encoding() {
            Encoding::Plain => RECORD_HEADER_BYTES,
            Encoding::Packed => PACKED_RECORD_BYTES_MIN,
            Encoding::Newer(_) => 0,
        };
        if u64::from(records) * record_bytes_min as u64 > valid as u64 {
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
            1 => Encoding::Packed,
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
    fn the_bytes_of_a_packed_shard_are_golden_and_its_records_take_three_bytes_at_least() {
        let packed = |valid, records| {
            let mut header = ShardHeader::packed(7, 40, 0x0102_0304);
            (header.valid, header.records, header.levels) = (U32::new(valid), U32::new(records), 1 << 3);
            let mut bytes = vec![0; SHARD_HEADER_BYTES + valid as usize];
            header.encode(&mut bytes);
            bytes
        };
        let bytes = packed(9, 3);
        let golden = [9, 0, 0, 0, 7, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 8, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0];
        assert_eq!(bytes[..32], golden);
        let (header, records, _) = ShardHeader::split(&bytes).expect("a shard");
        assert_eq!((header.encoding(), header.levels, records.len()), (Encoding::Packed, 8, 9));
        assert!(ShardHeader::split(&packed(9, 4)).is_none());
        assert!(ShardHeader::split(&packed(0, u32::MAX)).is_none());
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
