//! What the writer itself says in the log: segment headers with the producers' baseline, wall-clock anchors, notes.

use std::collections::{HashMap, HashSet};

use zerocopy::IntoBytes;
use zerocopy::little_endian::{I64, U64};

use super::{LogWriter, Source};
use crate::block::{Block, RecordMeta};
use crate::buffer::AlignedBuffer;
use crate::format::{
    BLOCK_HEADER_BYTES, BlockFlags, GRID_BYTES, Kind, ProducerRow, SHARD_HEADER_BYTES, SegmentHeader, Status,
    StatusCode, WallAnchor, record_bytes,
};
use crate::writer::pipeline::HEADER_BUFFER;

/// How often a block carries a wall-clock anchor, in nanoseconds: the wall clock may be set at any time.
pub(super) const WALL_ANCHOR_NS: u64 = 1_000_000_000;

/// How many notes wait for a block at the most.
const NOTES_MAX: usize = 32;

/// The longest note, in characters: the smallest block holds it, whatever they are.
const NOTE_CHARS_MAX: usize = 512;

impl LogWriter {
    pub(super) fn append_wall_anchor(&mut self, block: &mut Block, now_ns: u64) {
        let anchor = self.wall_anchor();
        if block.append_control(self.control_sequence, RecordMeta::control(Kind::WallAnchor, now_ns), anchor.as_bytes())
        {
            self.control_sequence += 1;
            block.set_flag(BlockFlags::WALL_ANCHOR);
        }
    }

    /// Monotonic and wall time, now.
    fn wall_anchor(&self) -> WallAnchor {
        let clock = self.shared.clock;
        WallAnchor { monotonic_ns: U64::new(clock.monotonic_ns()), unix_ns: I64::new(clock.unix_ns()) }
    }

    /// Writes what is to be said. If a record then does not fit any more, the block goes out with the notes alone.
    pub(super) fn append_notes(&mut self, block: &mut Block, now_ns: u64) {
        while let Some((code, text)) = self.notes.first() {
            let mut payload = Vec::new();
            Status::encode(*code, &text.chars().take(NOTE_CHARS_MAX).collect::<String>(), &mut payload);
            if !block.append_control(self.control_sequence, RecordMeta::control(Kind::Status, now_ns), &payload) {
                return;
            }
            self.control_sequence += 1;
            self.notes.remove(0);
        }
    }

    /// Collects what the log should say of its own troubles: the first of them, if they come faster than blocks.
    pub(super) fn take_notes(&mut self) {
        self.notes.extend(self.pipeline.take_notes());
        let complaints = self.pipeline.segments.take_complaints();
        self.notes.extend(complaints.into_iter().map(|complaint| (StatusCode::Error, complaint)));
        self.notes.truncate(NOTES_MAX);
    }

    /// Begins a segment: identities, an anchor, and the producers' baseline.
    pub(super) fn submit_segment_header(&mut self, now_ns: u64) -> std::io::Result<()> {
        let segments = &self.pipeline.segments;
        let header = SegmentHeader {
            log: segments.log(),
            run: segments.run(),
            recovers: None,
            boot: self.boot,
            index: segments.index(),
            previous_segment_id: segments.previous_id(),
            block_bytes: self.shared.settings.block_bytes as u32,
            message_bytes_max: self.shared.settings.message_bytes_max as u32,
            incompatible_features: 0,
            compatible_features: if segments.are_limited() { SegmentHeader::RETENTION } else { 0 },
            service: self.shared.settings.service.clone(),
        };
        let mut records = vec![(Kind::Segment, Vec::new()), (Kind::WallAnchor, self.wall_anchor().as_bytes().to_vec())];
        header.encode(&mut records[0].1);
        if self.pipeline.segments.previous_id() != 0 {
            // Each file says how it is written: the run's first one may not be there any more.
            let mut payload = Vec::new();
            let device: String = self.pipeline.device_report().to_string().chars().take(NOTE_CHARS_MAX).collect();
            Status::encode(StatusCode::Device, &device, &mut payload);
            records.push((Kind::Status, payload));
        }
        for row in self.baseline() {
            let mut payload = Vec::new();
            row.encode(&mut payload);
            records.push((Kind::ProducerRow, payload));
        }
        let bytes: usize = records.iter().map(|(_, payload)| record_bytes(payload.len())).sum();
        let block_bytes = (BLOCK_HEADER_BYTES + SHARD_HEADER_BYTES + bytes).next_multiple_of(GRID_BYTES);
        let mut block = Block::new(AlignedBuffer::new(block_bytes, HEADER_BUFFER)?);
        block.set_flag(BlockFlags::SEGMENT_HEADER | BlockFlags::WALL_ANCHOR);
        for (kind, payload) in &records {
            block.append_control(self.control_sequence, RecordMeta::control(*kind, now_ns), payload);
            self.control_sequence += 1;
        }
        self.pipeline.submit_header(block);
        Ok(())
    }

    /// The producers that may still appear in the segment about to begin, as the blocks before it account for them.
    fn baseline(&self) -> Vec<ProducerRow> {
        // Of several blocks ahead that have a part of a source, what the first found counts.
        let (mut before, mut ends_ahead) = (HashMap::new(), HashSet::<usize>::new());
        for contents in self.pipeline.waiting() {
            for share in &contents.shares {
                before.entry(share.slot).or_insert(share.before);
            }
            ends_ahead.extend(&contents.ended);
        }
        if let Some(filling) = &self.filling {
            for (slot, accounted) in &filling.touched {
                before.entry(*slot).or_insert(*accounted);
            }
            ends_ahead.extend(&filling.ended);
        }
        let row = |(slot, source): (usize, &Option<Source>)| {
            let source = source.as_ref()?;
            if source.end_written && !ends_ahead.contains(&slot) {
                return None;
            }
            Some(source.row_of(before.get(&slot).copied().unwrap_or_else(|| source.accounted())))
        };
        self.sources.iter().enumerate().filter_map(row).collect()
    }
}
