//! Block 0: the first block of a file, which says whether the file is a segment, and whose.
//!
//! The one place that reads it, for the writer (which must not take another's file for its own) and for the reader.

use super::block::{BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockFlags, BlockHeader, HeaderFault};
use super::limits::GRID_BYTES;
use super::newer::Newer;
use super::record::{Kind, RecordHeader, UnknownKind};
use super::segment::SegmentHeader;
use super::shard::{Encoding, ShardHeader};
use super::zeros::is_zero;

/// What the start of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block0 {
    /// An intact block 0: the file is a segment.
    Segment { block: BlockHeader, header: Box<SegmentHeader> },
    /// The first 4096 bytes are zero, or the file is shorter and has nothing else: prepared, and not used yet.
    Unwritten,
    /// Written by a newer diolog.
    Newer(Newer),
    /// A block that is torn or damaged, or that is not a segment's first one. With `block`, its header is intact, and
    /// the next block stands after it.
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
        // A file that is shorter than a header is compared as if zeros followed: the checksum cannot fit then.
        let block = match BlockHeader::decode(&bytes, 0) {
            Ok(block) if block.block_flags().has(BlockFlags::SEGMENT_HEADER) => block,
            Ok(_) | Err(HeaderFault::Checksum) => return Ok(Block0::Damaged { block: None }),
            Err(HeaderFault::Newer { newer, .. }) => return Ok(Block0::Newer(newer)),
            Err(HeaderFault::Zero | HeaderFault::NotABlock) => return Ok(Block0::Foreign),
        };
        // `decode` has bounded the length, and so this allocation.
        let wanted = BLOCK_HEADER_BYTES + block.valid.get() as usize;
        if wanted > GRID_BYTES {
            bytes.resize(wanted, 0);
            filled += read_at(GRID_BYTES as u64, &mut bytes[GRID_BYTES..])?;
        }
        if filled < wanted || !block.payload_is_intact(&bytes[BLOCK_HEADER_BYTES..wanted]) {
            return Ok(Block0::Damaged { block: Some(block) });
        }
        Ok(match first_record(&bytes[BLOCK_HEADER_BYTES..wanted]) {
            First::Segment(header) => match header.newer() {
                Some(newer) => Block0::Newer(newer),
                None => Block0::Segment { block, header: Box::new(header) },
            },
            First::Newer(newer) => Block0::Newer(newer),
            First::Other => Block0::Damaged { block: Some(block) },
        })
    }

    /// Whether `start`, the start of a file, has a block's magic, of any version.
    pub(crate) fn has_magic(start: &[u8]) -> bool {
        start.get(8..11) == Some(&BLOCK_MAGIC[..3])
    }
}

/// The first record of an intact block 0.
enum First {
    Segment(SegmentHeader),
    Newer(Newer),
    /// Not a segment header, as every writer puts there.
    Other,
}

fn first_record(payload: &[u8]) -> First {
    let Some((shard, records, _)) = ShardHeader::split(payload) else { return First::Other };
    if let Encoding::Newer(newer) = shard.encoding() {
        return First::Newer(newer);
    }
    let Ok((record, payload, _)) = RecordHeader::split(records) else { return First::Other };
    match Kind::from_u8(record.kind) {
        Ok(Kind::Segment) => SegmentHeader::decode(payload).map_or(First::Other, First::Segment),
        Err(UnknownKind::Newer(newer)) => First::Newer(newer),
        Ok(_) | Err(UnknownKind::None | UnknownKind::Skippable) => First::Other,
    }
}
