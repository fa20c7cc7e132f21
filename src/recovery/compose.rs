//! The blocks of a recovered segment, composed from one ring after the other: first the blocks for the holes, then
//! those after the run's last block, then the producers' final counts and the run's end.
//!
//! A record that a block already has, by its number, is skipped. Each ring is read once, in pieces.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use super::account::{HoleRecords, RunAccount};
use super::ring_file::{RingFile, Slot};
use super::source::{Bounds, LeftRing, Recovered, next_of};
use crate::block::{Added, Block, CallsiteTable, Last, RecordMeta};
use crate::buffer::AlignedBuffer;
use crate::clock::{self, TickConverter};
use crate::format::{BLOCK_BYTES_MAX, BlockFlags, CallsiteInfo, Kind, ProducerRow, Status, StatusCode, WallAnchor};

/// What is composed.
pub(super) struct RecoveryPlan<'a> {
    pub(super) file: &'a RingFile,
    pub(super) account: RunAccount,
    pub(super) slots: Vec<Slot>,
    pub(super) callsites: HashMap<u32, CallsiteInfo>,
    /// The size of the blocks, but for those of holes.
    pub(super) block_bytes: usize,
    /// Whether the run has a segment.
    pub(super) has_segments: bool,
    /// Whether final counts can be given: nothing that they need is missing.
    pub(super) may_end: bool,
    /// The moment of the recovery.
    pub(super) anchor: WallAnchor,
    /// Called with the number of rings read, and of all rings.
    pub(super) watch: &'a mut dyn FnMut(u64, u64),
    /// A sentence for the log itself.
    pub(super) note: String,
}

/// What was composed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Composed {
    pub(super) records: u64,
    /// Bytes of their payloads.
    pub(super) payload_bytes: u64,
    pub(super) blocks: u64,
    /// Producers whose final counts were written.
    pub(super) ended: u64,
    /// Attempts without a record and without a cause.
    pub(super) unwritten: u64,
    /// Whether the run's end was written.
    pub(super) is_ended: bool,
}

/// Composes blocks.
pub(super) struct Composer<'a> {
    /// What is left of it: the sources have taken its slots, and the account's producers.
    plan: RecoveryPlan<'a>,
    sources: Vec<LeftRing>,
    /// Producers that the blocks name and no slot has.
    orphans: bool,
    /// The next hole.
    hole: usize,
    /// The first source whose records after the last block are not all taken.
    source: usize,
    /// Final counts, when they are known, in reverse order.
    ends: Option<Vec<ProducerRow>>,
    /// The plan's, as blocks define them.
    callsites: CallsiteTable,
    converter: TickConverter,
    pub(super) composed: Composed,
}

impl<'a> Composer<'a> {
    pub(super) fn new(mut plan: RecoveryPlan<'a>) -> Composer<'a> {
        let (slots, mut producers) = (std::mem::take(&mut plan.slots), std::mem::take(&mut plan.account.producers));
        let is_ended = |id: &u32| plan.account.ended.contains(id);
        let sources = slots
            .into_iter()
            .map(|slot| {
                let id = slot.producer;
                LeftRing::new(slot, producers.remove(&id), is_ended(&id), plan.block_bytes as u64)
            })
            .collect();
        let orphans = producers.keys().any(|id| !is_ended(id));
        let mut callsites = CallsiteTable::new(true, plan.block_bytes, |_, _| None);
        plan.callsites.values().for_each(|info| callsites.add(info));
        let (converter, composed) = (plan.file.converter(), Composed::default());
        Composer { plan, sources, orphans, hole: 0, source: 0, ends: None, callsites, converter, composed }
    }

    /// What is wrong with the rings, as far as their records have been taken.
    pub(super) fn damage(&self) -> Option<String> {
        let of = |source: &LeftRing| {
            let fault = source.fault()?;
            Some(format!("the ring of producer {} is damaged: {fault}", source.slot.producer))
        };
        self.sources.iter().find_map(of)
    }

    fn try_next(&mut self) -> io::Result<Option<(u64, Block)>> {
        if self.hole < self.plan.account.holes.len() {
            return self.hole_block().map(Some);
        }
        if let Some(block) = self.tail_block()? {
            return Ok(Some(block));
        }
        if self.ends.is_none() {
            self.ends = Some(self.final_rows());
        }
        if let Some(block) = self.ends_block()? {
            return Ok(Some(block));
        }
        self.clean_end()
    }

    /// The block for the next hole. Whatever was in it, its number is taken.
    fn hole_block(&mut self) -> io::Result<(u64, Block)> {
        let (hole, number) = (self.hole, self.plan.account.holes[self.hole]);
        self.hole += 1;
        let mut block = self.begin_block(BLOCK_BYTES_MAX)?;
        // Sources whose records fit later holes too come last.
        for is_last in [true, false] {
            for at in 0..self.sources.len() {
                let part = self.sources[at]
                    .parts
                    .pop_if(|part| part.holes.contains(&hole) && is_last == (part.holes.end == hole + 1));
                let Some(part) = part else { continue };
                if let Some(rest) = self.move_part(at, &mut block, part) {
                    if is_last {
                        self.sources[at].note_invalid();
                    } else {
                        self.sources[at].parts.push(rest);
                    }
                }
            }
        }
        if block.records() == 0 {
            self.append_note(&mut block);
        }
        Ok((number, self.end_block(block)))
    }

    /// Moves a source's records that were in holes into the block. Returns those that do not fit.
    fn move_part(&mut self, at: usize, block: &mut Block, part: HoleRecords) -> Option<HoleRecords> {
        let HoleRecords { row, sequences, holes, after_ns, before_ns } = part;
        let Range { start, end } = sequences;
        let source = &mut self.sources[at];
        // The counts are those before the part.
        let after = (std::mem::replace(&mut source.row, row), std::mem::replace(&mut source.last_ns, after_ns));
        let is_full = self.move_records(at, block, Bounds { begin: start, end, before_ns });
        let source = &mut self.sources[at];
        let row = std::mem::replace(&mut source.row, after.0);
        let after_ns = std::mem::replace(&mut source.last_ns, after.1);
        let sequences = row.next_sequence.max(start)..end;
        is_full.then_some(HoleRecords { row, sequences, holes, after_ns, before_ns })
    }

    /// The next block after the run's last one. `None` if there are no more records.
    fn tail_block(&mut self) -> io::Result<Option<(u64, Block)>> {
        let mut open: Option<Block> = None;
        let before = self.composed.records;
        while let Some(source) = self.sources.get(self.source) {
            let bounds = Bounds { begin: source.row.next_sequence, end: u64::MAX, before_ns: u64::MAX };
            let at = self.source;
            if source.is_ended || !self.has_records(at, bounds) {
                let source = &mut self.sources[at];
                source.records.rest();
                if self.plan.may_end && !source.is_ended {
                    source.compare(self.plan.file);
                }
                self.source += 1;
                (self.plan.watch)(self.source as u64, self.sources.len() as u64);
                continue;
            }
            let mut block = match open.take() {
                Some(block) => block,
                None => self.begin_block(self.plan.block_bytes)?,
            };
            if self.move_records(at, &mut block, bounds) {
                if self.composed.records > before {
                    return Ok(Some(self.number(block)));
                }
                // It fits no block, so no producer has made it.
                self.sources[at].pass_over();
                continue;
            }
            open = Some(block);
        }
        Ok(open.filter(|_| self.composed.records > before).map(|block| self.number(block)))
    }

    /// A block of final counts. `None` if there are no more.
    fn ends_block(&mut self) -> io::Result<Option<(u64, Block)>> {
        if self.ends.as_ref().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        let mut block = self.begin_block(self.plan.block_bytes)?;
        while let Some(row) = self.ends.as_mut().and_then(Vec::pop) {
            if !self.append_own(&mut block, Kind::ProducerEnd, &row.encoded()) {
                self.ends.get_or_insert_default().push(row);
                break;
            }
            self.composed.ended += 1;
            self.composed.unwritten = self.composed.unwritten.saturating_add(row.unwritten);
        }
        Ok(Some(self.number(block)))
    }

    /// The block that ends the run, once. `None` if it would confirm what is not known, or if there is nothing to end.
    fn clean_end(&mut self) -> io::Result<Option<(u64, Block)>> {
        let is_something = self.plan.has_segments || self.composed.blocks > 0;
        if self.composed.is_ended || !is_something || !self.plan.may_end || self.orphans || self.damage().is_some() {
            return Ok(None);
        }
        self.composed.is_ended = true;
        let mut block = self.begin_block(self.plan.block_bytes)?;
        let now_ns = self.now_ns();
        block.append_wall_anchor(&mut self.plan.account.own_sequence, now_ns, self.plan.anchor);
        self.append_note(&mut block);
        block.set_flag(BlockFlags::CLEAN_END);
        Ok(Some(self.number(block)))
    }

    /// The final counts of all producers that have none; those of the first one come last.
    fn final_rows(&self) -> Vec<ProducerRow> {
        let is_due = |source: &&LeftRing| {
            let is_used = source.is_known || source.slot.image.counts().attempted > 0 || source.row.records > 0;
            self.plan.may_end && is_used && !source.is_ended && source.fault().is_none()
        };
        self.sources.iter().rev().filter(is_due).map(LeftRing::final_row).collect()
    }

    fn begin_block(&self, bytes: usize) -> io::Result<Block> {
        AlignedBuffer::new(bytes, 0).map(Block::new)
    }

    fn now_ns(&self) -> u64 {
        self.plan.anchor.monotonic_ns.get()
    }

    fn append_own(&mut self, block: &mut Block, kind: Kind, payload: &[u8]) -> bool {
        let now_ns = self.now_ns();
        block.append_control(&mut self.plan.account.own_sequence, kind, now_ns, payload)
    }

    fn append_note(&mut self, block: &mut Block) {
        let mut payload = Vec::new();
        Status::encode(StatusCode::Recovered, &self.plan.note, &mut payload);
        self.append_own(block, Kind::Status, &payload);
    }

    /// Completes a block and gives it the next number.
    fn number(&mut self, block: Block) -> (u64, Block) {
        let number = self.plan.account.next_number;
        self.plan.account.next_number += 1;
        (number, self.end_block(block))
    }

    fn end_block(&mut self, mut block: Block) -> Block {
        let now_ns = self.now_ns();
        block.append_definitions(&self.callsites, &mut self.plan.account.own_sequence, now_ns);
        block.set_flag(BlockFlags::RECOVERED);
        self.composed.blocks += 1;
        block
    }

    fn has_records(&mut self, at: usize, bounds: Bounds) -> bool {
        let LeftRing { slot, records, .. } = &mut self.sources[at];
        next_of(slot, records, self.plan.file, bounds).is_some()
    }

    /// Moves a source's records within `bounds` into the block. Returns whether it ended because one does not fit.
    fn move_records(&mut self, at: usize, block: &mut Block, bounds: Bounds) -> bool {
        let before_ns = bounds.before_ns.min(self.now_ns());
        let mut moved = 0;
        let is_full = loop {
            let LeftRing { slot, records, row, last_ns, .. } = &mut self.sources[at];
            let Some((head, payload)) = next_of(slot, records, self.plan.file, bounds) else { break false };
            let Some(record) = Recovered::of(&head, payload, &self.plan.callsites) else {
                self.sources[at].pass_over();
                continue;
            };
            let timestamp_ns = clock::clamp(self.converter.to_ns(head.ticks), *last_ns, before_ns);
            let (callsites, own_sequence) = (&mut self.callsites, &mut self.plan.account.own_sequence);
            let is_defined = block.define_producer(at, row, own_sequence, timestamp_ns);
            let mut target = Target { block, callsites, own_sequence };
            if !is_defined || !target.append(row, *last_ns, timestamp_ns, &record) {
                break true;
            }
            self.composed.records += 1;
            self.composed.payload_bytes += payload.len() as u64;
            moved += 1;
            *last_ns = timestamp_ns;
            row.next_sequence = head.sequence + 1;
            row.records = row.records.saturating_add(1);
            records.take();
        };
        if moved > 0 {
            block.explain_gaps(self.sources[at].cause());
        }
        is_full
    }
}

impl Iterator for Composer<'_> {
    type Item = io::Result<(u64, Block)>;

    fn next(&mut self) -> Option<io::Result<(u64, Block)>> {
        self.try_next().transpose()
    }
}

/// The block that a record goes to.
struct Target<'a> {
    block: &'a mut Block,
    callsites: &'a mut CallsiteTable,
    own_sequence: &'a mut u64,
}

impl Target<'_> {
    /// Adds a record, packed if it can be. Returns `false` if it does not fit.
    fn append(&mut self, row: &ProducerRow, last_ns: u64, timestamp_ns: u64, record: &Recovered<'_>) -> bool {
        let Recovered { kind, level, flags, sequence, payload } = *record;
        let (producer, next) = (row.id, row.next_sequence);
        let meta = RecordMeta { kind: kind as u8, level, flags, timestamp_ns };
        let is_structured = kind == Kind::Structured;
        if is_structured || self.block.is_packing(producer) {
            let last = Last { producer, sequence: next, last_ns };
            let mut records = self.block.packed_records_of(last, self.callsites, self.own_sequence);
            let added = if is_structured {
                records.append(sequence, timestamp_ns, payload)
            } else {
                records.append_message(sequence, meta, payload)
            };
            match added {
                Added::Yes => {
                    records.end(1);
                    return true;
                }
                Added::Full => return false,
                Added::NotPacked => {}
            }
        }
        let mut records = self.block.records_of(producer, next, self.own_sequence);
        if is_structured && !records.define(self.callsites, payload) {
            return false;
        }
        if !records.append(sequence, meta, payload) {
            return false;
        }
        records.end(1, timestamp_ns);
        true
    }
}
