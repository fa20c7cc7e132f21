//! The kind of one numbered file, by its first block: a segment, a prepared file, or neither.
//!
//! If block 0 is damaged, the file is searched for blocks. `absence` decides whether the file is suspicious.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BLOCK_BYTES_MAX, Block0, BlockHeader, SegmentHeader, StoredRunId};

use super::super::scan::{Cursor, Found, Scanned, SegmentFile};

/// How far a segment in use is searched after its last block, in its largest blocks: writes complete out of order, and
/// this is twice what is in flight by default.
const TAIL_BLOCKS: u64 = 8;

/// A segment: a numbered file that holds blocks.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) path: Arc<Path>,
    /// The number in the file's name; 0 for a file opened by itself.
    pub(crate) number: u64,
    /// The id in its blocks.
    pub(crate) segment_id: u64,
    /// From block 0; `None` if that is damaged.
    pub(crate) header: Option<Arc<SegmentHeader>>,
    /// Block 0, if it is intact.
    pub(crate) block_0: Option<BlockHeader>,
    /// The offset of the first block after block 0.
    pub(crate) first_offset: u64,
    /// The number of that block.
    pub(crate) first_number: u64,
    /// Whether the file begins with another segment's header: the blocks are this log's only if a header of it names
    /// their segment.
    pub(crate) is_displaced: bool,
}

impl Segment {
    /// Its place in the log.
    pub(crate) fn index(&self) -> u64 {
        self.header.as_ref().map_or(self.number, |header| header.index)
    }

    /// Whether retention was set when this segment was begun: the log's oldest segments may have been removed.
    pub(crate) fn knows_retention(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.compatible_features & SegmentHeader::RETENTION != 0)
    }

    /// Whether a recovery has written it, and its run began in this `boot` of the machine.
    pub(crate) fn is_recovered_in(&self, boot: &[u8; 16]) -> bool {
        self.header.as_ref().is_some_and(|header| header.is_recovered() && header.boot == *boot)
    }

    /// Whether a recovery has written it, after other segments of its run.
    pub(crate) fn continues_by_recovery(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.is_recovered() && header.previous_segment_id != 0)
    }

    pub(crate) fn run(&self) -> Option<StoredRunId> {
        self.header.as_ref().map(|header| header.run)
    }

    /// Whether its header says that another segment than the one with this id came before it.
    pub(crate) fn names_another_before(&self, segment_id: u64) -> bool {
        self.header.as_ref().is_some_and(|header| header.previous_segment_id != segment_id)
    }

    /// How far to search after the last block, in bytes: to the end, or, if a logger is writing it and the rest is
    /// zeros, a little.
    pub(crate) fn horizon(&self, is_written: bool) -> u64 {
        if !is_written {
            return u64::MAX;
        }
        let block_bytes = self.header.as_ref().map_or(0, |header| header.block_bytes);
        TAIL_BLOCKS * u64::from(block_bytes.clamp(128 << 10, BLOCK_BYTES_MAX as u32))
    }
}

/// How the files that are read are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By their numbers: they are a log.
    Numbers,
    /// By times and reasons: they are snapshots, each a run by itself.
    Times,
    /// One file was named by the caller, whatever its name is.
    Alone,
}

/// The kind of a numbered file.
#[derive(Debug)]
pub(crate) enum Inspected {
    /// It holds blocks.
    Segment(Segment),
    /// Its header is that of a segment with another number: the file, or its beginning, was renamed, copied or written
    /// here. The segment of the header, and that of the first blocks with another id, if there are any.
    Misplaced(Segment, Option<Segment>),
    /// It holds zeros or nothing: prepared and not used yet, or emptied.
    Prepared,
    /// Written by a newer diolog, for this reason.
    Newer(String),
    /// It holds no block, but other bytes, or the disk cannot read it, for this reason.
    Unreadable(String),
    /// This user may not read it, for this reason: it may hold blocks.
    Forbidden(String),
}

/// The sentence about a file whose name has `number`, and whose header is that of `segment`.
pub(crate) fn misplacement(number: u64, segment: &Segment) -> String {
    format!(
        "holds the header of segment {}, not {number}: the file or its beginning was renamed, copied or written here, and \
         what was here may be gone",
        segment.index()
    )
}

/// Finds out the kind of the file at `path`. If block 0 is damaged or zero, reads the rest too, unless
/// `is_unfinished`.
pub(super) fn inspect(
    number: u64,
    path: &Path,
    is_unfinished: bool,
    naming: Naming,
    open: impl FnOnce() -> Result<SegmentFile>,
) -> Result<Inspected> {
    // Symbolic links are not followed, and only regular files are opened: opening a pipe would block.
    let metadata = if naming == Naming::Alone { path.metadata() } else { path.symlink_metadata() };
    if !metadata.map_err(|source| Error::io("examine", path, source))?.is_file() {
        return Ok(Inspected::Unreadable("is not a regular file: it was not read".into()));
    }
    let file = open()?;
    let segment = |block: BlockHeader, header: Option<Arc<SegmentHeader>>| Segment {
        path: path.into(),
        number,
        segment_id: block.segment_id.get(),
        block_0: header.is_some().then_some(block),
        header,
        first_offset: u64::from(block.capacity.get()),
        first_number: block.sequence.get(),
        is_displaced: false,
    };
    match Block0::read(|offset, buffer| file.read_at(offset, buffer))? {
        Block0::Segment { block, header } if naming == Naming::Numbers && header.index != number => {
            let displaced = displaced(number, path, &file, &block)?;
            Ok(Inspected::Misplaced(segment(block, Some(Arc::from(header))), displaced))
        }
        Block0::Segment { block, header } => Ok(Inspected::Segment(segment(block, Some(Arc::from(header))))),
        Block0::Damaged { block: Some(block) } => Ok(Inspected::Segment(segment(block, None))),
        Block0::Newer(newer) => Ok(Inspected::Newer(format!("was written by a newer diolog ({newer})"))),
        _ if is_unfinished => Ok(Inspected::Prepared),
        Block0::Unwritten => salvage(number, path, &file, FirstBlock::Zeros),
        Block0::Damaged { block: None } | Block0::Foreign => salvage(number, path, &file, FirstBlock::Damaged),
    }
}

/// Block 0 of the segment that the file at `path` holds, if it is a regular file and block 0 is intact.
pub(super) fn block_0_of(path: &Path) -> Option<(BlockHeader, SegmentHeader)> {
    let file =
        path.symlink_metadata().ok().filter(|metadata| metadata.is_file()).and(SegmentFile::open(path, false).ok())?;
    match Block0::read(|offset, buffer| file.read_at(offset, buffer)).ok()? {
        Block0::Segment { block, header } => Some((block, *header)),
        _ => None,
    }
}

/// Searches for blocks of another segment than that of the header `block_0`.
fn displaced(number: u64, path: &Path, file: &SegmentFile, block_0: &BlockHeader) -> Result<Option<Segment>> {
    let mut cursor = Cursor::new(None, block_0.stride_bytes());
    while let Scanned::Block(found) = cursor.next(file, u64::MAX)? {
        if found.header.segment_id != block_0.segment_id {
            return Ok(Some(Segment { is_displaced: true, ..headerless(number, path, &found) }));
        }
    }
    Ok(None)
}

/// The segment of a block, without a header.
fn headerless(number: u64, path: &Path, first: &Found) -> Segment {
    Segment {
        path: path.into(),
        number,
        segment_id: first.header.segment_id.get(),
        header: None,
        block_0: None,
        first_offset: first.offset,
        first_number: first.header.sequence.get(),
        is_displaced: false,
    }
}

/// The state of a block 0 that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstBlock {
    Zeros,
    Damaged,
}

/// Searches for blocks after block 0.
fn salvage(number: u64, path: &Path, file: &SegmentFile, block_0: FirstBlock) -> Result<Inspected> {
    let mut cursor = Cursor::new(None, 0);
    let mut newer: Option<Found> = None;
    let debris = loop {
        match cursor.next(file, u64::MAX)? {
            Scanned::Block(found) if found.newer.is_some() => {
                newer.get_or_insert(found);
            }
            Scanned::Block(found) => {
                let segment_id = found.header.segment_id;
                let first = newer.filter(|newer| newer.header.segment_id == segment_id).unwrap_or(found);
                return Ok(Inspected::Segment(headerless(number, path, &first)));
            }
            Scanned::End(debris) => break debris,
        }
    };
    if let Some(newer) = newer.and_then(|found| found.newer) {
        return Ok(Inspected::Newer(format!("was written by a newer diolog ({newer})")));
    }
    if block_0 == FirstBlock::Zeros && debris.is_empty() {
        return Ok(Inspected::Prepared);
    }
    if block_0 == FirstBlock::Zeros {
        return Ok(Inspected::Unreadable("holds no readable block, and its first one is zero".into()));
    }
    let mut start = [0; 16];
    let filled = file.read_at(0, &mut start)?;
    Ok(Inspected::Unreadable(if Block0::has_magic(&start[..filled]) {
        "is a segment without a readable block".into()
    } else {
        format!("is not a diolog segment: it starts with \"{}\"", start[..filled].escape_ascii())
    }))
}
