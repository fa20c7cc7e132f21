//! Block 0: the first block of a file, which says whether the file is a segment, and whose.
//!
//! Only this file reads it, for the reader and for the writer, which must recognise the files of other logs.

use super::block::{BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockFlags, BlockHeader, HeaderFault};
use super::limits::GRID_BYTES;
use super::newer::Newer;
use super::record::{Kind, RecordHeader, UnknownKind};
use super::segment::SegmentHeader;
use super::shard::{Encoding, ShardHeader};
use super::zeros::is_zero;

/// The kind of a file, by its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block0 {
    /// An intact block 0: the file is a segment.
    Segment { block: BlockHeader, header: Box<SegmentHeader> },
    /// The first 4096 bytes are zero, or all bytes if the file is shorter: prepared, and not used yet.
    Unwritten,
    /// Written by a newer diolog.
    Newer(Newer),
    /// A block that is torn or damaged, or that is not a segment's first one. With `block`, its header is intact, and
    /// the next block is after it.
    Damaged { block: Option<BlockHeader> },
    /// Nothing that diolog writes.
    Foreign,
}

impl Block0 {
    /// Reads the start of a file. `read_at` fills a buffer from an offset on, and returns how many bytes the file had.
    ///
    /// # Errors
    /// Those of `read_at`.
    pub(crate) fn read<E>(mut read_at: impl FnMut(u64, &mut [u8]) -> Result<usize, E>) -> Result<Block0, E> {
        let mut bytes = vec![0; GRID_BYTES];
        let mut filled = read_at(0, &mut bytes)?;
        if is_zero(&bytes[..filled]) {
            return Ok(Block0::Unwritten);
        }
        // If the file is shorter than a header, zeros fill the rest of the buffer, and the checksum does not fit.
        let block = match BlockHeader::decode(&bytes, 0) {
            Ok(block) if block.block_flags().has(BlockFlags::SEGMENT_HEADER) => block,
            Ok(_) | Err(HeaderFault::Checksum) => return Ok(Block0::Damaged { block: None }),
            Err(HeaderFault::Newer { newer, .. }) => return Ok(Block0::Newer(newer)),
            Err(HeaderFault::Zero | HeaderFault::NotABlock) => return Ok(Block0::Foreign),
        };
        // `decode` has checked the length, so the allocation is bounded.
        let wanted = BLOCK_HEADER_BYTES + block.valid.get() as usize;
        if wanted > GRID_BYTES {
            bytes.resize(wanted, 0);
            filled += read_at(GRID_BYTES as u64, &mut bytes[GRID_BYTES..])?;
        }
        if filled < wanted || !block.payload_is_intact(&bytes[BLOCK_HEADER_BYTES..wanted]) {
            return Ok(Block0::Damaged { block: Some(block) });
        }
        Ok(Block0::of_intact(block, &bytes[BLOCK_HEADER_BYTES..wanted]))
    }

    /// The kind of a file with an intact block 0, by the first record in it: every writer puts a segment header there.
    fn of_intact(block: BlockHeader, payload: &[u8]) -> Block0 {
        let other = Block0::Damaged { block: Some(block) };
        let Some((shard, records, _)) = ShardHeader::split(payload) else { return other };
        if let Encoding::Newer(newer) = shard.encoding() {
            return Block0::Newer(newer);
        }
        let Ok((record, payload, _)) = RecordHeader::split(records) else { return other };
        let header = match Kind::from_u8(record.kind) {
            Ok(Kind::Segment) => SegmentHeader::decode(payload),
            Err(UnknownKind::Newer(newer)) => return Block0::Newer(newer),
            Ok(_) | Err(UnknownKind::None | UnknownKind::Skippable) => None,
        };
        let Some(header) = header else { return other };
        match header.newer() {
            Some(newer) => Block0::Newer(newer),
            None => Block0::Segment { block, header: Box::new(header) },
        }
    }

    /// Whether `start`, the start of a file, has a block's magic, of any version.
    pub(crate) fn has_magic(start: &[u8]) -> bool {
        start.get(8..11) == Some(&BLOCK_MAGIC[..3])
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;
    use zerocopy::little_endian::{U16, U32, U64};

    use super::super::limits::WRITER_PRODUCER;
    use super::super::record::record_bytes;
    use super::super::shard::SHARD_HEADER_BYTES;
    use super::*;

    /// A file with a block 0 that holds one record, after `change` has changed its headers.
    fn file(kind: u8, payload: &[u8], change: impl FnOnce(&mut BlockHeader, &mut ShardHeader)) -> Vec<u8> {
        let record_bytes = record_bytes(payload.len());
        let valid = SHARD_HEADER_BYTES + record_bytes;
        let mut bytes = vec![0; (BLOCK_HEADER_BYTES + valid).next_multiple_of(GRID_BYTES)];
        let mut shard = ShardHeader::plain(WRITER_PRODUCER, 0);
        (shard.valid, shard.records) = (U32::new(record_bytes as u32), U32::new(1));
        let mut block = BlockHeader {
            capacity: U32::new(bytes.len() as u32),
            valid: U32::new(valid as u32),
            magic: BLOCK_MAGIC,
            header_crc: U32::ZERO,
            payload_crc: U32::ZERO,
            flags: U16::new(BlockFlags::SEGMENT_HEADER),
            in_flight: U16::ZERO,
            segment_id: U64::new(7),
            sequence: U64::ZERO,
            first_ns: U64::ZERO,
            last_ns: U64::ZERO,
            records: U32::new(1),
            shards: U32::new(1),
        };
        change(&mut block, &mut shard);
        let length = U32::new(payload.len() as u32);
        let record = RecordHeader { length, kind, level: 3, flags: 0, reserved: 0, timestamp_ns: U64::ZERO }.to_words();
        let parts = [shard.as_bytes(), &record, payload].concat();
        bytes[BLOCK_HEADER_BYTES..][..parts.len()].copy_from_slice(&parts);
        block.seal(&bytes[BLOCK_HEADER_BYTES..][..valid], 0);
        bytes[..BLOCK_HEADER_BYTES].copy_from_slice(block.as_bytes());
        bytes
    }

    fn segment(header: &SegmentHeader) -> Vec<u8> {
        let mut payload = Vec::new();
        header.encode(&mut payload);
        file(Kind::Segment as u8, &payload, |_, _| ())
    }

    fn read(file: &[u8]) -> Block0 {
        let read_at = |offset: u64, buffer: &mut [u8]| {
            let rest = &file[file.len().min(offset as usize)..];
            let filled = rest.len().min(buffer.len());
            buffer[..filled].copy_from_slice(&rest[..filled]);
            Ok::<_, std::convert::Infallible>(filled)
        };
        match Block0::read(read_at) {
            Ok(block_0) => block_0,
        }
    }

    #[test]
    fn an_intact_block_0_gives_the_segment_header() {
        let Block0::Segment { block, header } = read(&segment(&SegmentHeader::example(1))) else {
            panic!("no segment")
        };
        assert_eq!((block.segment_id.get(), *header), (7, SegmentHeader::example(1)));
    }

    #[test]
    fn a_block_0_of_many_grid_positions_is_read_whole() {
        let mut payload = Vec::new();
        SegmentHeader::example(1).encode(&mut payload);
        payload.resize(3 * GRID_BYTES, 9);
        let mut bytes = file(Kind::Segment as u8, &payload, |_, _| ());
        assert!(matches!(read(&bytes), Block0::Segment { .. }));
        bytes[2 * GRID_BYTES] ^= 1;
        assert!(matches!(read(&bytes), Block0::Damaged { block: Some(_) }));
        assert!(matches!(read(&bytes[..2 * GRID_BYTES]), Block0::Damaged { block: Some(_) }));
    }

    #[test]
    fn files_without_a_block_are_unwritten_or_foreign() {
        for length in [0, 1, 63, 64, GRID_BYTES, 2 * GRID_BYTES] {
            assert_eq!(read(&vec![0; length]), Block0::Unwritten, "{length}");
        }
        let mut late = vec![0; GRID_BYTES];
        late[GRID_BYTES - 1] = 1;
        for foreign in [&late[..], b"a log in plain text\n", &[7; 2 * GRID_BYTES]] {
            assert_eq!(read(foreign), Block0::Foreign);
        }
    }

    #[test]
    fn every_flipped_bit_of_a_block_0_is_found() {
        let intact = segment(&SegmentHeader::example(1));
        for bit in 0..8 * (BLOCK_HEADER_BYTES + SHARD_HEADER_BYTES + 16 + SegmentHeader::BYTES_MIN + 4) {
            let mut bytes = intact.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let block_0 = read(&bytes);
            assert!(matches!(block_0, Block0::Damaged { .. } | Block0::Foreign), "bit {bit}: {block_0:?}");
        }
        assert_eq!(read(&intact[..60]), Block0::Damaged { block: None });
    }

    #[test]
    fn what_this_version_does_not_know_in_a_block_0_is_newer() {
        let mut payload = Vec::new();
        SegmentHeader::example(1).encode(&mut payload);
        let kind = Kind::Segment as u8;
        let version = file(kind, &payload, |block, _| block.magic[3] = b'2');
        let flags = file(kind, &payload, |block, _| block.flags |= U16::new(0x8000));
        let encoding = file(kind, &payload, |_, shard| shard.encoding = 3);
        let features = segment(&SegmentHeader { incompatible_features: 6, ..SegmentHeader::example(1) });
        for (bytes, newer) in [
            (version, Newer::Version(b'2')),
            (flags, Newer::BlockFlags(0x8000)),
            (encoding, Newer::Encoding(3)),
            (features, Newer::Features(6)),
            (file(0x33, &payload, |_, _| ()), Newer::Kind(0x33)),
        ] {
            assert_eq!(read(&bytes), Block0::Newer(newer));
        }
    }

    #[test]
    fn a_block_that_is_no_segments_first_is_damaged() {
        let message = file(Kind::Message as u8, b"hello", |_, _| ());
        assert!(matches!(read(&message), Block0::Damaged { block: Some(_) }));
        let ordinary = file(Kind::Message as u8, b"hello", |block, _| block.flags = U16::ZERO);
        assert_eq!(read(&ordinary), Block0::Damaged { block: None });
    }
}
