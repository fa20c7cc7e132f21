//! The writer's own records: segment headers with the producers' baseline, wall-clock anchors, notes.

use std::io;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{I64, U64};

use crate::block::Block;
use crate::clock::Clock;
use crate::format::{
    Kind, NAME_BYTES_MAX, Process, ProducerRow, RefusalCounts, SegmentHeader, Status, StatusCode, WallAnchor,
};
use crate::segment::Header;
use crate::shared::Shared;
use crate::stats::RefusedBy;
use crate::sys::cpu;
use crate::writer::pipeline::{HEADER_BUFFER, Note, Pipeline};
use crate::writer::schedule::Every;

/// How often a block carries a wall-clock anchor, in nanoseconds: the wall clock may be set at any time.
const WALL_ANCHOR_NS: u64 = 1_000_000_000;

/// How often a block begins with the counts of refused appends, in nanoseconds, if they have changed.
const REFUSALS_NS: u64 = 1_000_000_000;

/// The most notes that wait for a block.
const NOTES_MAX: usize = 32;

/// The longest note, in characters. The smallest block holds it, whatever the characters are.
const NOTE_CHARS_MAX: usize = 512;

/// Where the records come from, as each segment header says.
struct Origin {
    /// The machine's boot.
    boot: [u8; 16],
    process: Process,
}

impl Origin {
    /// This process, on this machine.
    fn here() -> Origin {
        // The kernel limits it to 64 bytes. A name that is too long is left out.
        let host = Some(cpu::host_name()).filter(|host| host.len() <= NAME_BYTES_MAX).unwrap_or_default();
        Origin { boot: cpu::boot_id(), process: Process { id: std::process::id(), host } }
    }
}

/// The writer's own records of one log.
pub(super) struct ControlRecords {
    clock: Clock,
    origin: Origin,
    /// The sequence of the next record.
    sequence: u64,
    wall_anchor: Every,
    refusals: Every,
    /// The counts of refused appends as last written.
    refused_by: RefusedBy,
    /// Notes that wait for a block.
    notes: Vec<Note>,
}

impl ControlRecords {
    /// For a log written by this process; a note in the first block names the `device`.
    pub(super) fn new(clock: Clock, device: String) -> ControlRecords {
        let notes = vec![Note { code: StatusCode::Device, text: device }];
        ControlRecords {
            clock,
            origin: Origin::here(),
            sequence: 0,
            wall_anchor: Every::new(WALL_ANCHOR_NS),
            refusals: Every::new(REFUSALS_NS),
            refused_by: RefusedBy::default(),
            notes,
        }
    }

    /// Adds a record to `block`. Returns `false`, and adds nothing, if it does not fit.
    pub(super) fn append(&mut self, block: &mut Block, kind: Kind, now_ns: u64, payload: &[u8]) -> bool {
        block.append_control(&mut self.sequence, kind, now_ns, payload)
    }

    /// The sequence of the next record. A caller that adds records advances it.
    pub(super) fn sequence(&mut self) -> &mut u64 {
        &mut self.sequence
    }

    /// Adds the first records of a block: a wall-clock anchor and the counts of refused appends if they are due, and
    /// the notes that wait.
    pub(super) fn begin_block(&mut self, block: &mut Block, refused_by: RefusedBy, now_ns: u64) {
        if self.wall_anchor.take_due(now_ns) {
            self.append_wall_anchor(block, now_ns);
        }
        if self.has_news_of(refused_by) && self.refusals.take_due(now_ns) {
            self.append_refusals(block, refused_by, now_ns);
        }
        // If nothing else fits after them, the block is written with the notes alone.
        while let Some(note) = self.notes.first() {
            let mut payload = Vec::new();
            Status::encode(note.code, &cut(&note.text), &mut payload);
            if !self.append(block, Kind::Status, now_ns, &payload) {
                return;
            }
            self.notes.remove(0);
        }
    }

    pub(super) fn append_wall_anchor(&mut self, block: &mut Block, now_ns: u64) {
        let anchor = self.wall_time();
        block.append_wall_anchor(&mut self.sequence, now_ns, anchor);
    }

    /// Whether the counts of refused appends have changed since they were last written.
    pub(super) fn has_news_of(&self, refused_by: RefusedBy) -> bool {
        self.refused_by != refused_by
    }

    /// Adds the counts of refused appends, if they have changed since they were last written. Returns `false`, and adds
    /// nothing, if they do not fit.
    pub(super) fn append_refusals(&mut self, block: &mut Block, refused_by: RefusedBy, now_ns: u64) -> bool {
        if !self.has_news_of(refused_by) {
            return true;
        }
        let RefusedBy { closed, forked: _, reentrant, no_ring } = refused_by;
        let [closed, reentrant, no_ring] = [closed, reentrant, no_ring].map(U64::new);
        let counts = RefusalCounts { closed, reentrant, no_ring };
        let added = self.append(block, Kind::Refusals, now_ns, counts.as_bytes());
        if added {
            self.refused_by = refused_by;
        }
        added
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
        let segments = &pipeline.segments;
        let segment = SegmentHeader {
            log: segments.log,
            run: segments.run,
            boot: self.origin.boot,
            index: segments.index(),
            previous_segment_id: segments.previous_id,
            block_bytes: shared.settings.config.block_bytes as u32,
            message_bytes_max: shared.settings.message_bytes_max as u32,
            compatible_features: if segments.rules.keep.keeps_all() { 0 } else { SegmentHeader::RETENTION },
            unused_before: segments.unused_before(),
            left_before: if segments.previous_id == 0 { segments.left_before } else { 0 },
            service: shared.settings.config.service.clone(),
            process: Some(self.origin.process.clone()),
            ..SegmentHeader::default()
        };
        // Each segment names the device, because retention may have removed the run's first one, where a note does.
        let device = (segments.previous_id != 0).then(|| cut(&pipeline.device.report().to_string()));
        let header = Header {
            segment: &segment,
            anchor: self.wall_time(),
            device: device.as_deref(),
            producers: &baseline,
            now_ns,
            control_sequence: self.sequence,
        };
        let block = header.compose(HEADER_BUFFER)?;
        self.sequence += u64::from(block.records());
        Ok(block)
    }
}

/// The text, cut to a length that the smallest block holds.
fn cut(text: &str) -> String {
    text.chars().take(NOTE_CHARS_MAX).collect()
}
