//! The blocks of a snapshot, one after the other: records of all producers by time, their final counts, the clean end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::records::ProducerRecords;
use crate::block::{Block, CallsiteTable, RecordMeta};
use crate::buffer::AlignedBuffer;
use crate::format::{BLOCK_BYTES_MAX, BlockFlags, GRID_BYTES, Kind, MERGE_BYTES_MAX, ProducerRow, WallAnchor};

/// The most bytes of one producer's records in a row, if there are other producers: readers merge only records that are
/// close to each other.
const TURN_BYTES: usize = 16 << 10;

/// Makes the blocks.
pub(super) struct SnapshotBlocks<'a> {
    producers: Vec<Progress<'a>>,
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
struct Progress<'a> {
    records: &'a ProducerRecords,
    /// The place of the next one among them.
    next: usize,
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

impl<'a> SnapshotBlocks<'a> {
    /// Those of the records of `producers`. `own_sequence` is the number of the first record of the writer's own.
    pub(super) fn new(
        producers: &'a [ProducerRecords],
        callsites: &'a mut CallsiteTable,
        block_bytes: usize,
        own_sequence: u64,
        anchor: WallAnchor,
    ) -> SnapshotBlocks<'a> {
        let producers: Vec<_> = producers
            .iter()
            .map(|records| Progress { records, next: 0, written: 0, next_sequence: records.first() })
            .collect();
        let next = producers.iter().enumerate().filter_map(|(at, progress)| Some(Reverse((progress.next_ns()?, at))));
        let next = next.collect();
        let (block_bytes, written) = (block_bytes.max(GRID_BYTES), 0);
        SnapshotBlocks { producers, next, callsites, block_bytes, own_sequence, anchor, written, stage: Stage::Records }
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
            if let Some(next_ns) = self.producers[at].next_ns() {
                self.next.push(Reverse((next_ns, at)));
            }
            if matches!(turn, Turn::Full) {
                break;
            }
        }
        let now_ns = self.now_ns();
        block.append_definitions(self.callsites, &mut self.own_sequence, now_ns);
        Ok(block)
    }

    /// Adds the next records of the producer at `at`.
    fn take_turn(&mut self, block: &mut Block, at: usize) -> Turn {
        let now_ns = self.now_ns();
        if !block.define_producer(at, &self.producers[at].row(), &mut self.own_sequence, now_ns) {
            return Turn::Full;
        }
        // A reader merges what all producers have in a turn.
        let turn_bytes = TURN_BYTES.min(MERGE_BYTES_MAX / 2 / self.producers.len());
        let Progress { records: producer, next, written, next_sequence } = &mut self.producers[at];
        let (mut added, mut bytes, mut last_ns) = (0_u32, 0, 0);
        let mut turn = Turn::Over;
        let mut records = block.records_of(producer.id, *next_sequence, &mut self.own_sequence);
        for head in &producer.heads[*next..] {
            if bytes >= turn_bytes {
                break;
            }
            let payload = producer.payload(head);
            let meta =
                RecordMeta { kind: head.kind, level: head.level, flags: head.flags, timestamp_ns: head.timestamp_ns };
            let is_defined = head.kind != Kind::Structured as u8 || records.define(self.callsites, payload);
            if !is_defined || !records.append(head.sequence, meta, payload) {
                turn = Turn::Full;
                break;
            }
            added += 1;
            bytes += payload.len();
            last_ns = head.timestamp_ns;
        }
        if added > 0 {
            let before = std::mem::replace(next_sequence, records.end(added, last_ns));
            *next += added as usize;
            *written += u64::from(added);
            self.written += u64::from(added);
            if *next_sequence - before > u64::from(added) {
                block.explain_gaps(producer.cause_of_gaps());
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
        while next < self.producers.len() {
            let payload = self.producers[next].row().encoded();
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
        let progress = &mut self.producers[at];
        progress.next += 1;
        if let Some(next_ns) = progress.next_ns() {
            self.next.push(Reverse((next_ns, at)));
        }
    }

    fn next_block(&mut self) -> io::Result<Option<Block>> {
        if matches!(self.stage, Stage::Records) {
            if let Some(block) = self.next_records()? {
                return Ok(Some(block));
            }
            self.stage = Stage::Ends(0);
        }
        match self.stage {
            Stage::Ends(at) if at < self.producers.len() => {
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

impl Iterator for SnapshotBlocks<'_> {
    type Item = io::Result<Block>;

    fn next(&mut self) -> Option<io::Result<Block>> {
        self.next_block().transpose()
    }
}

impl Progress<'_> {
    /// The producer's row now.
    fn row(&self) -> ProducerRow {
        self.records.row(self.written, self.next_sequence)
    }

    /// The time of the next record.
    fn next_ns(&self) -> Option<u64> {
        self.records.heads.get(self.next).map(|head| head.timestamp_ns)
    }
}
