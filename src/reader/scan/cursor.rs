//! Finding blocks in one file: headers only, on the 4 KiB grid.
//!
//! After a valid header of the segment, the next block begins `capacity` bytes further, even if its payload is damaged;
//! after anything else the search goes on at the next grid position. Bytes between two blocks are summed up as
//! [`Debris`]. The cursor reads no payload and does not judge.

use std::sync::Arc;

use zerocopy::FromBytes as _;

use crate::error::Result;
use crate::format::{
    BLOCK_HEADER_BYTES, BlockFlags, BlockHeader, GRID_BYTES, HeaderFault, Kind, Newer, RecordHeader, ShardHeader,
    WRITER_PRODUCER, WallAnchor, is_zero,
};

use super::segment_file::{READ_AHEAD_BYTES, SegmentFile};

/// The most bytes that are read at once, while nothing is found or blocks are small.
const SEARCH_BYTES: usize = 256 << 10;

/// A part of a file, read ahead.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
    filled: usize,
}

impl Window {
    /// Whether it holds the grid position at `offset`.
    fn holds(&self, offset: u64) -> bool {
        offset.checked_sub(self.start).is_some_and(|at| at + GRID_BYTES as u64 <= self.filled as u64)
    }

    /// The grid position at `offset`: 4096 bytes, fewer at the file's end, none after it. If it is not in the window,
    /// it reads `ahead` bytes, and doubles `ahead` for the next time.
    fn grid(&mut self, file: &SegmentFile, offset: u64, ahead: &mut usize) -> Result<&[u8]> {
        if !self.holds(offset) {
            self.filled = 0;
            if self.bytes.len() < *ahead {
                self.bytes.resize(*ahead, 0);
            }
            self.filled = file.read_at(offset, &mut self.bytes[..*ahead])?;
            self.start = offset;
            *ahead = (2 * *ahead).min(SEARCH_BYTES);
        }
        let at = (offset - self.start) as usize;
        Ok(&self.bytes[at..self.filled.min(at + GRID_BYTES)])
    }
}

/// Bytes between two blocks that are not a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Debris {
    /// The offset at which the search began: after the block before.
    pub(crate) from: u64,
    /// The offset of the debris.
    pub(crate) offset: u64,
    /// Stretches of bytes that are neither zero nor a block.
    pub(crate) stretches: u64,
    /// Valid headers of other segments.
    pub(crate) stale: u64,
    /// Whether the last position was part of a stretch.
    in_stretch: bool,
}

impl Debris {
    fn begin_at(&mut self, offset: u64) -> &mut Debris {
        if self.is_empty() {
            self.offset = offset;
        }
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stretches + self.stale == 0
    }
}

/// A block's header, its offset, and the debris before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) header: BlockHeader,
    /// Why only a newer diolog can read the block, if so.
    pub(crate) newer: Option<Newer>,
    /// The wall-clock anchor that the block begins with, as it stands there: no checksum of it has been looked at. Only
    /// if the cursor looks at headers alone.
    pub(crate) anchor: Option<WallAnchor>,
    pub(crate) debris: Debris,
}

/// The location of a block of a run: the header found there, and the open file to read the rest from.
#[derive(Clone, Debug)]
pub(crate) struct BlockLocation {
    /// Which segment of the run.
    pub(crate) segment: usize,
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) offset: u64,
    pub(crate) header: BlockHeader,
    /// Why only a newer diolog can read it, if so. Of its header only the length and the number count then.
    pub(crate) newer: Option<Newer>,
    /// As [`Found::anchor`].
    pub(crate) anchor: Option<WallAnchor>,
}

impl BlockLocation {
    /// The block's number in its run.
    pub(crate) fn number(&self) -> u64 {
        self.header.sequence.get()
    }
}

/// The next finding of the cursor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scanned {
    Block(Found),
    /// Nothing but this debris up to the file's end, or the horizon.
    End(Debris),
}

/// A position in a segment, moved from block to block.
#[derive(Debug)]
pub(crate) struct Cursor {
    window: Window,
    /// `None` accepts the first valid header, whatever its segment.
    segment_id: Option<u64>,
    offset: u64,
    /// Bytes to read when the window ends: more each time while blocks are small, one grid position while they are
    /// large.
    ahead: usize,
    /// The kernel was asked to read ahead up to here; `None` if it is not asked.
    asked: Option<u64>,
    /// Whether it reads no more of a block than its header, and its anchor if it begins with one: most blocks will not
    /// be read.
    headers_alone: bool,
}

impl Cursor {
    pub(crate) fn new(segment_id: Option<u64>, offset: u64) -> Cursor {
        Cursor { window: Window::default(), segment_id, offset, ahead: GRID_BYTES, asked: None, headers_alone: false }
    }

    /// Asks the kernel to read ahead of the cursor, which pays if payloads are read too.
    pub(crate) fn reading_ahead(self, read_ahead: bool) -> Cursor {
        Cursor { asked: read_ahead.then_some(self.offset), ..self }
    }

    /// Reads no more of a block than its header, and its anchor if it begins with one.
    pub(crate) fn reading_headers_alone(self, headers_alone: bool) -> Cursor {
        Cursor { headers_alone, ..self }
    }

    /// Moves to `offset`, and drops the bytes that were read ahead.
    pub(crate) fn rewind(&mut self, offset: u64) {
        self.window.filled = 0;
        self.offset = offset;
    }

    /// Frees the bytes that were read ahead.
    pub(crate) fn free_window(&mut self) {
        (self.window, self.ahead) = (Window::default(), GRID_BYTES);
    }

    /// Looks for the next block, at most `horizon` bytes on.
    ///
    /// After an error the position that could not be read is passed over.
    pub(crate) fn next(&mut self, file: &SegmentFile, horizon: u64) -> Result<Scanned> {
        let mut debris = Debris { from: self.offset, ..Debris::default() };
        let end = self.offset.saturating_add(horizon);
        // Zeros right before the position.
        let mut zeros = 0;
        while self.offset < end {
            // The file system knows its holes, which may be large: asking costs as much as a small read.
            if zeros >= SEARCH_BYTES && !self.window.holds(self.offset) {
                zeros = 0;
                self.skip_hole(file);
            }
            let offset = self.offset;
            if let Some(asked) = self.asked.as_mut().filter(|asked| offset.saturating_add(READ_AHEAD_BYTES) > **asked) {
                file.read_ahead(*asked);
                *asked += READ_AHEAD_BYTES;
            }
            if self.headers_alone
                && let Some(found) = self.header_at(file, offset, debris)?
            {
                self.offset = offset + found.header.stride_bytes();
                return Ok(Scanned::Block(found));
            }
            self.offset += GRID_BYTES as u64;
            let bytes = self.window.grid(file, offset, &mut self.ahead)?;
            if bytes.is_empty() {
                self.offset = offset;
                break;
            }
            match self.segment_id.map_or_else(|| decode(bytes, offset), |id| decode_own(bytes, offset, id)) {
                Position::Block { header, newer } => {
                    let stride = header.stride_bytes();
                    self.offset = offset + stride;
                    if stride > 2 * GRID_BYTES as u64 {
                        self.ahead = GRID_BYTES;
                    }
                    return Ok(Scanned::Block(Found { offset, header, newer, anchor: None, debris }));
                }
                Position::Zero => {
                    debris.in_stretch = false;
                    zeros += GRID_BYTES;
                    continue;
                }
                Position::Stale => {
                    debris.begin_at(offset).stale += 1;
                    debris.in_stretch = false;
                }
                Position::Unreadable => {
                    if !debris.in_stretch {
                        debris.begin_at(offset).stretches += 1;
                        debris.in_stretch = true;
                    }
                }
            }
            zeros = 0;
        }
        Ok(Scanned::End(debris))
    }

    /// The block at `offset`, by its header alone; `None` if its header is not valid.
    fn header_at(&self, file: &SegmentFile, offset: u64, debris: Debris) -> Result<Option<Found>> {
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        let filled = file.read_at(offset, &mut bytes)?;
        let decoded = match self.segment_id {
            _ if filled < bytes.len() => return Ok(None),
            Some(id) => decode_own(&bytes, offset, id),
            None => decode(&bytes, offset),
        };
        let Position::Block { header, newer } = decoded else { return Ok(None) };
        let anchor = if newer.is_none() && header.block_flags().has(BlockFlags::WALL_ANCHOR) {
            let mut start = [0; ANCHOR_BYTES];
            let filled = file.read_at(offset + BLOCK_HEADER_BYTES as u64, &mut start)?;
            anchor_of(&start[..filled])
        } else {
            None
        };
        Ok(Some(Found { offset, header, newer, anchor, debris }))
    }

    /// Moves on to the grid position of the next byte that may not be zero, or to the file's last one. If the system
    /// does not say where that is, it stays.
    fn skip_hole(&mut self, file: &SegmentFile) {
        let found = file.next_data(self.offset).and_then(|data| data.map_or_else(|| file.bytes(), Ok));
        let data = found.unwrap_or(0);
        self.offset = self.offset.max(data - data % GRID_BYTES as u64);
        self.asked = self.asked.map(|asked| asked.max(self.offset));
    }
}

/// Bytes of an anchor that is the first record of the first shard of a block.
const ANCHOR_BYTES: usize = size_of::<ShardHeader>() + size_of::<RecordHeader>() + size_of::<WallAnchor>();

/// The anchor that a block's shards begin with; `None` if they begin with something else.
fn anchor_of(shards: &[u8]) -> Option<WallAnchor> {
    let (shard, records) = ShardHeader::read_from_prefix(shards).ok()?;
    let (record, payload) = RecordHeader::read_from_prefix(records).ok()?;
    let is_anchor = shard.producer.get() == WRITER_PRODUCER && record.kind == Kind::WallAnchor as u8;
    if is_anchor { WallAnchor::decode(payload) } else { None }
}

/// The contents of a grid position.
enum Position {
    Block { header: BlockHeader, newer: Option<Newer> },
    Zero,
    Stale,
    Unreadable,
}

fn decode(bytes: &[u8], offset: u64) -> Position {
    if bytes.len() < BLOCK_HEADER_BYTES {
        return if is_zero(bytes) { Position::Zero } else { Position::Unreadable };
    }
    match BlockHeader::decode(bytes, offset) {
        Ok(header) => Position::Block { header, newer: None },
        Err(HeaderFault::Zero) if is_zero(bytes) => Position::Zero,
        Err(HeaderFault::Newer { newer, header }) => Position::Block { header, newer: Some(newer) },
        Err(_) => Position::Unreadable,
    }
}

/// Like [`decode`], for a block after block 0 of segment `id`.
fn decode_own(bytes: &[u8], offset: u64, id: u64) -> Position {
    match decode(bytes, offset) {
        Position::Block { header, .. } if header.segment_id.get() != id => Position::Stale,
        // A segment header is at offset 0 only.
        Position::Block { header, newer: None } if header.block_flags().has(BlockFlags::SEGMENT_HEADER) => {
            Position::Unreadable
        }
        position => position,
    }
}
