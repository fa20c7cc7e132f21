//! The writer's own records: segment headers with the producers' baseline, wall-clock anchors, notes.

use std::io;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{I64, U64};

use crate::block::{Block, RecordMeta};
use crate::buffer::AlignedBuffer;
use crate::clock::Clock;
use crate::format::{
    BLOCK_HEADER_BYTES, BlockFlags, GRID_BYTES, Kind, ProducerRow, SHARD_HEADER_BYTES, SegmentHeader, Status,
    StatusCode, WallAnchor, record_bytes,
};
use crate::shared::Shared;
use crate::writer::pipeline::{HEADER_BUFFER, Note, Pipeline};
use crate::writer::schedule::Every;

/// How often a block carries a wall-clock anchor, in nanoseconds: the wall clock may be set at any time.
const WALL_ANCHOR_NS: u64 = 1_000_000_000;

/// The most notes that wait for a block.
const NOTES_MAX: usize = 32;

/// The longest note, in characters: the smallest block holds it, whatever they are.
const NOTE_CHARS_MAX: usize = 512;

/// The writer's own records of one log.
pub(super) struct ControlRecords {
    clock: Clock,
    /// The machine's boot.
    boot: [u8; 16],
    /// The sequence of the next one.
    sequence: u64,
    wall_anchor: Every,
    /// Notes that wait for a block.
    notes: Vec<Note>,
}

impl ControlRecords {
    /// For a log on a machine that has booted as `boot`; the first block says which `device` writes it.
    pub(super) fn new(clock: Clock, boot: [u8; 16], device: String) -> ControlRecords {
        let notes = vec![Note { code: StatusCode::Device, text: device }];
        ControlRecords { clock, boot, sequence: 0, wall_anchor: Every::new(WALL_ANCHOR_NS), notes }
    }

    /// Adds a record to `block`. Returns `false`, and adds nothing, if it does not fit.
    pub(super) fn append(&mut self, block: &mut Block, kind: Kind, now_ns: u64, payload: &[u8]) -> bool {
        let added = block.append_control(self.sequence, RecordMeta::control(kind, now_ns), payload);
        self.sequence += u64::from(added);
        added
    }

    /// Adds the first records of a block: a wall-clock anchor if one is due, and the notes that wait.
    pub(super) fn begin_block(&mut self, block: &mut Block, now_ns: u64) {
        if self.wall_anchor.take_due(now_ns) {
            self.append_wall_anchor(block, now_ns);
        }
        // If no record fits after them, the block goes out with the notes alone.
        while let Some(note) = self.notes.first() {
            let payload = encode(note.code, &note.text);
            if !self.append(block, Kind::Status, now_ns, &payload) {
                return;
            }
            self.notes.remove(0);
        }
    }

    pub(super) fn append_wall_anchor(&mut self, block: &mut Block, now_ns: u64) {
        let anchor = self.wall_time();
        if self.append(block, Kind::WallAnchor, now_ns, anchor.as_bytes()) {
            block.set_flag(BlockFlags::WALL_ANCHOR);
        }
    }

    /// Monotonic and wall time, now.
    fn wall_time(&self) -> WallAnchor {
        WallAnchor { monotonic_ns: U64::new(self.clock.monotonic_ns()), unix_ns: I64::new(self.clock.unix_ns()) }
    }

    /// Keeps `notes` for the next block: the first ones, if they come faster than blocks.
    pub(super) fn add_notes(&mut self, notes: Vec<Note>) {
        self.notes.extend(notes);
        self.notes.truncate(NOTES_MAX);
    }

    /// The block that begins a segment: identities, an anchor, and the producers' `baseline`.
    ///
    /// # Errors
    /// No memory for the block.
    pub(super) fn segment_header(
        &mut self,
        shared: &Shared,
        pipeline: &Pipeline,
        baseline: &[ProducerRow],
        now_ns: u64,
    ) -> io::Result<Block> {
        let segments = pipeline.segments();
        let header = SegmentHeader {
            log: segments.log(),
            run: segments.run(),
            recovers: None,
            boot: self.boot,
            index: segments.index(),
            previous_segment_id: segments.previous_id(),
            block_bytes: shared.settings.config.block_bytes as u32,
            message_bytes_max: shared.settings.message_bytes_max as u32,
            incompatible_features: 0,
            compatible_features: if segments.are_limited() { SegmentHeader::RETENTION } else { 0 },
            service: shared.settings.config.service.clone(),
        };
        let mut records = vec![(Kind::Segment, Vec::new()), (Kind::WallAnchor, self.wall_time().as_bytes().to_vec())];
        header.encode(&mut records[0].1);
        if segments.previous_id() != 0 {
            // Each file says how it is written: the run's first one may not be there any more.
            records.push((Kind::Status, encode(StatusCode::Device, &pipeline.device_report().to_string())));
        }
        for row in baseline {
            let mut payload = Vec::new();
            row.encode(&mut payload);
            records.push((Kind::ProducerRow, payload));
        }
        let bytes: usize = records.iter().map(|(_, payload)| record_bytes(payload.len())).sum();
        let block_bytes = (BLOCK_HEADER_BYTES + SHARD_HEADER_BYTES + bytes).next_multiple_of(GRID_BYTES);
        let mut block = Block::new(AlignedBuffer::new(block_bytes, HEADER_BUFFER)?);
        block.set_flag(BlockFlags::SEGMENT_HEADER | BlockFlags::WALL_ANCHOR);
        for (kind, payload) in &records {
            let added = self.append(&mut block, *kind, now_ns, payload);
            assert!(added, "the block has room for all of its records");
        }
        Ok(block)
    }
}

/// A note's payload, cut to what the smallest block holds.
fn encode(code: StatusCode, text: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    Status::encode(code, &text.chars().take(NOTE_CHARS_MAX).collect::<String>(), &mut payload);
    payload
}
