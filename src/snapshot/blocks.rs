//! The blocks of a snapshot, one after the other: records of all producers by time, their final counts, the clean end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::records::SnapshotSource;
use crate::block::{Block, CallsiteTable};
use crate::buffer::AlignedBuffer;
use crate::format::{BLOCK_BYTES_MAX, BlockFlags, GRID_BYTES, Kind, MERGE_BYTES_MAX, ProducerRow, WallAnchor};

/// The most bytes of one producer's records in a row, if there are other producers: readers merge only records that are
/// close to each other.
const TURN_BYTES: usize = 16 << 10;

/// How many bytes of one of so many producers' records stand in a row. A reader merges what all of them have in a turn.
pub(crate) fn turn_bytes(producers: usize) -> usize {
    TURN_BYTES.min(MERGE_BYTES_MAX / 2 / producers.max(1))
}

/// Makes the blocks.
pub(super) struct SnapshotBlocks<'a, S> {
    sources: Vec<S>,
    /// How far the records of each source were written.
    progress: Vec<Progress>,
    /// The producers that have records left, by the time of the next one.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    callsites: &'a mut CallsiteTable,
    block_bytes: usize,
    /// The number of the next record of the writer's own.
    own_sequence: u64,
    anchor: WallAnchor,
    /// Records in blocks.
    written: u64,
    stage: Stage,
}

/// What comes next.
enum Stage {
    Records,
    /// The final counts, beginning with the producer at this place; then the clean end.
    Ends(usize),
    Nothing,
}

/// How far the records of one producer were written.
#[derive(Clone, Copy)]
struct Progress {
    /// How many are in blocks.
    written: u64,
    /// The number after the last one of those.
    next_sequence: u64,
}

/// How a turn of one producer ended.
enum Turn {
    /// It has no more records, or has had its part.
    Over,
    /// The next record does not fit the block.
    Full,
}

impl<'a, S: SnapshotSource> SnapshotBlocks<'a, S> {
    /// Those of the records of `sources`. `own_sequence` is the number of the first record of the writer's own.
    pub(super) fn new(
        mut sources: Vec<S>,
        callsites: &'a mut CallsiteTable,
        block_bytes: usize,
        own_sequence: u64,
        anchor: WallAnchor,
    ) -> SnapshotBlocks<'a, S> {
        let progress = sources.iter().map(|source| Progress { written: 0, next_sequence: source.first() }).collect();
        let next = sources.iter_mut().enumerate();
        let next = next.filter_map(|(at, source)| Some(Reverse((next_ns(source)?, at)))).collect();
        let (block_bytes, written) = (block_bytes.max(GRID_BYTES), 0);
        SnapshotBlocks {
            sources,
            progress,
            next,
            callsites,
            block_bytes,
            own_sequence,
            anchor,
            written,
            stage: Stage::Records,
        }
    }

    fn now_ns(&self) -> u64 {
        self.anchor.monotonic_ns.get()
    }

    /// The next block of records, of `block_bytes`. It is empty if no records are left, or if the next one does not
    /// fit.
    fn records(&mut self, block_bytes: usize) -> io::Result<Block> {
        let mut block = Block::new(AlignedBuffer::new(block_bytes, 0)?);
        while let Some(Reverse((_, at))) = self.next.pop() {
            let turn = self.take_turn(&mut block, at);
            self.wait_for_turn(at);
            if matches!(turn, Turn::Full) {
                break;
            }
        }
        let now_ns = self.now_ns();
        block.append_definitions(self.callsites, &mut self.own_sequence, now_ns);
        self.callsites.shrink();
        Ok(block)
    }

    /// The row of the producer at `at` now.
    fn row(&self, at: usize) -> ProducerRow {
        let Progress { written, next_sequence } = self.progress[at];
        self.sources[at].row(written, next_sequence)
    }

    /// Lets the producer at `at` wait for the turn of its next record, if it has one.
    fn wait_for_turn(&mut self, at: usize) {
        let source = &mut self.sources[at];
        let next_ns = next_ns(source);
        source.rest();
        self.next.extend(next_ns.map(|next_ns| Reverse((next_ns, at))));
    }

    /// Adds the next records of the producer at `at`.
    fn take_turn(&mut self, block: &mut Block, at: usize) -> Turn {
        let now_ns = self.now_ns();
        if !block.define_producer(at, &self.row(at), &mut self.own_sequence, now_ns) {
            return Turn::Full;
        }
        let turn_bytes = turn_bytes(self.sources.len());
        let (source, Progress { written, next_sequence }) = (&mut self.sources[at], &mut self.progress[at]);
        let (mut added, mut bytes, mut last_ns) = (0_u32, 0, 0);
        let mut turn = Turn::Over;
        let mut records = block.records_of(source.id(), *next_sequence, &mut self.own_sequence);
        while bytes < turn_bytes {
            source.define(self.callsites);
            let Some((sequence, meta, payload)) = source.next() else { break };
            let is_defined = meta.kind != Kind::Structured as u8 || records.define(self.callsites, payload);
            if !is_defined || !records.append(sequence, meta, payload) {
                turn = Turn::Full;
                break;
            }
            added += 1;
            bytes += payload.len();
            last_ns = meta.timestamp_ns;
            source.take();
        }
        if added > 0 {
            let before = std::mem::replace(next_sequence, records.end(added, last_ns));
            *written += u64::from(added);
            self.written += u64::from(added);
            if *next_sequence - before > u64::from(added) {
                block.explain_gaps(source.cause_of_gaps());
            }
        }
        turn
    }

    /// The block with the final counts of the producers, beginning with the one at `at`. Returns the place of the first
    /// producer whose counts do not fit.
    fn ends(&mut self, at: usize) -> io::Result<(Block, usize)> {
        let now_ns = self.now_ns();
        let mut block = Block::new(AlignedBuffer::new(self.block_bytes, 0)?);
        let mut next = at;
        while next < self.sources.len() {
            let payload = self.row(next).encoded();
            if !block.append_control(&mut self.own_sequence, Kind::ProducerEnd, now_ns, &payload) {
                break;
            }
            next += 1;
        }
        Ok((block, next))
    }

    fn clean_end(&mut self) -> io::Result<Block> {
        let mut block = Block::new(AlignedBuffer::new(self.block_bytes, 0)?);
        let now_ns = self.now_ns();
        block.append_wall_anchor(&mut self.own_sequence, now_ns, self.anchor);
        block.set_flag(BlockFlags::CLEAN_END);
        Ok(block)
    }

    /// The next block with records; `None` if none are left that a block can hold.
    fn next_records(&mut self) -> io::Result<Option<Block>> {
        while !self.next.is_empty() {
            let (written, own_sequence) = (self.written, self.own_sequence);
            for block_bytes in [self.block_bytes, BLOCK_BYTES_MAX] {
                self.own_sequence = own_sequence;
                let block = self.records(block_bytes)?;
                if self.written > written {
                    return Ok(Some(block));
                }
            }
            self.pass_over();
        }
        Ok(None)
    }

    /// Leaves out the next record, because it fits no block. Its number is then missing.
    fn pass_over(&mut self) {
        let Some(Reverse((_, at))) = self.next.pop() else { return };
        let source = &mut self.sources[at];
        // What is taken is what `next` has returned.
        if source.next().is_some() {
            source.take();
        }
        self.wait_for_turn(at);
    }

    fn next_block(&mut self) -> io::Result<Option<Block>> {
        if matches!(self.stage, Stage::Records) {
            if let Some(block) = self.next_records()? {
                return Ok(Some(block));
            }
            self.stage = Stage::Ends(0);
        }
        match self.stage {
            Stage::Ends(at) if at < self.sources.len() => {
                let (block, next) = self.ends(at)?;
                self.stage = Stage::Ends(next);
                Ok(Some(block))
            }
            Stage::Records | Stage::Ends(_) => {
                self.stage = Stage::Nothing;
                self.clean_end().map(Some)
            }
            Stage::Nothing => Ok(None),
        }
    }
}

impl<S: SnapshotSource> Iterator for SnapshotBlocks<'_, S> {
    type Item = io::Result<Block>;

    fn next(&mut self) -> Option<io::Result<Block>> {
        self.next_block().transpose()
    }
}

/// The time of the next record.
fn next_ns(source: &mut impl SnapshotSource) -> Option<u64> {
    source.next().map(|(_, meta, _)| meta.timestamp_ns)
}
