//! The blocks of a recovered segment, composed from one ring after the other: first the blocks for the holes, then
//! those after the run's last block, then the producers' final counts and the run's end.
//!
//! A record that a block already has, by its number, is skipped. Each ring is read in pieces when its turn comes. What
//! is kept of the others is small, because there may be very many.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::account::{HoleRecords, RunAccount};
use super::definitions::FoundDefinitions;
use super::ring_file::{DeadRingFile, SlotPlace};
use super::source::{Bounds, LeftRing, Recovered, next_of};
use crate::block::{Added, Block, CallsiteTable, Last, RecordMeta};
use crate::buffer::AlignedBuffer;
use crate::clock::{self, TickConverter};
use crate::format::{BLOCK_BYTES_MAX, BlockFlags, Kind, ProducerRow, Status, StatusCode, WallAnchor};

/// What is composed.
pub(super) struct RecoveryPlan<'a> {
    pub(super) file: &'a DeadRingFile,
    pub(super) account: &'a RunAccount,
    /// Where the rings are, by producer.
    pub(super) places: Vec<SlotPlace>,
    pub(super) definitions: &'a FoundDefinitions<'a>,
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
    plan: RecoveryPlan<'a>,
    /// The rings with records in holes whose records after the last block are not all taken, by their places. `None`
    /// before they were read.
    in_holes: Option<BTreeMap<usize, LeftRing>>,
    /// Producers that the blocks name and no slot has.
    orphans: bool,
    /// The next hole.
    hole: usize,
    /// The number of the next block after the last one.
    next_number: u64,
    /// The number of the writer's next own record.
    own_sequence: u64,
    /// The ring whose records after the last block are being taken.
    source: Option<LeftRing>,
    /// How many rings have had their turn.
    done: usize,
    /// The producers of those that have final counts to be written.
    ends: Vec<End>,
    /// How many of these are written.
    ended: usize,
    /// What is wrong with the first ring that is damaged, of those that have had their turn.
    damage: Option<String>,
    /// Those of the plan that records have, as blocks define them.
    callsites: CallsiteTable,
    converter: TickConverter,
    pub(super) composed: Composed,
}

/// A producer whose final counts are to be written: what the slot does not say of it.
struct End {
    /// The place of its ring.
    at: usize,
    /// Its records in blocks.
    records: u64,
    /// The number after the last one of them.
    next_sequence: u64,
}

impl<'a> Composer<'a> {
    pub(super) fn new(plan: RecoveryPlan<'a>) -> Composer<'a> {
        let RecoveryPlan { account, places, file, .. } = &plan;
        let has_ring = |id: &u32| places.binary_search_by_key(id, |place| place.producer).is_ok();
        let orphans = account.producers.keys().any(|id| !has_ring(id) && !account.ended.contains(id));
        let (next_number, own_sequence) = (account.next_number, account.own_sequence);
        Composer {
            in_holes: None,
            orphans,
            hole: 0,
            next_number,
            own_sequence,
            source: None,
            done: 0,
            ends: Vec::new(),
            ended: 0,
            damage: None,
            callsites: CallsiteTable::new(true, plan.block_bytes, |_, _| None),
            converter: file.converter(),
            composed: Composed::default(),
            plan,
        }
    }

    /// What is wrong with the rings that have had their turn.
    pub(super) fn damage(&self) -> Option<String> {
        self.damage.clone()
    }

    fn read_source(&self, at: usize) -> io::Result<LeftRing> {
        let slot = self.plan.file.slot(self.plan.places[at])?;
        Ok(LeftRing::new(at, slot, self.plan.account, self.plan.block_bytes as u64))
    }

    /// The rings with records in holes, by their places.
    fn read_in_holes(&self) -> io::Result<BTreeMap<usize, LeftRing>> {
        let RecoveryPlan { account, places, .. } = &self.plan;
        let has_parts =
            |place: &SlotPlace| account.producers.get(&place.producer).is_some_and(|known| !known.parts.is_empty());
        let with_parts = places.iter().enumerate().filter(|(_, place)| has_parts(place));
        with_parts.map(|(at, _)| Ok((at, self.read_source(at)?))).collect()
    }

    fn try_next(&mut self) -> io::Result<Option<(u64, Block)>> {
        if self.hole < self.plan.account.holes.len() {
            return self.hole_block().map(Some);
        }
        if let Some(block) = self.tail_block()? {
            return Ok(Some(block));
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
        let mut sources = match self.in_holes.take() {
            Some(sources) => sources,
            None => self.read_in_holes()?,
        };
        // Sources whose records fit later holes too come last.
        for is_last in [true, false] {
            for source in sources.values_mut() {
                let part =
                    source.parts.pop_if(|part| part.holes.contains(&hole) && is_last == (part.holes.end == hole + 1));
                let Some(part) = part else { continue };
                if let Some(rest) = self.move_part(source, &mut block, part) {
                    if is_last {
                        source.note_invalid();
                    } else {
                        source.parts.push(rest);
                    }
                }
                source.records.rest();
            }
        }
        self.in_holes = Some(sources);
        if block.records() == 0 {
            self.append_note(&mut block);
        }
        Ok((number, self.end_block(block)))
    }

    /// Moves a source's records that were in holes into the block. Returns those that do not fit.
    fn move_part(&mut self, source: &mut LeftRing, block: &mut Block, part: HoleRecords) -> Option<HoleRecords> {
        let HoleRecords { row, sequences, holes, after_ns, before_ns } = part;
        let Range { start, end } = sequences;
        // The counts are those before the part.
        // If the record before them is in no block, the bound after it may be later than the record that follows.
        let after_ns = after_ns.min(before_ns);
        let after = (std::mem::replace(&mut source.row, row), std::mem::replace(&mut source.last_ns, after_ns));
        let is_full = self.move_records(source, block, Bounds { begin: start, end, before_ns });
        let row = std::mem::replace(&mut source.row, after.0);
        let after_ns = std::mem::replace(&mut source.last_ns, after.1);
        let sequences = row.next_sequence.max(start)..end;
        is_full.then_some(HoleRecords { row, sequences, holes, after_ns, before_ns })
    }

    /// The next block after the run's last one. `None` if there are no more records.
    fn tail_block(&mut self) -> io::Result<Option<(u64, Block)>> {
        let mut open: Option<Block> = None;
        let before = self.composed.records;
        while let Some(mut source) = self.take_source()? {
            let bounds = Bounds { begin: source.row.next_sequence, end: u64::MAX, before_ns: u64::MAX };
            if source.is_ended || !self.has_records(&mut source, bounds) {
                self.end_source(source);
                continue;
            }
            let mut block = match open.take() {
                Some(block) => block,
                None => self.begin_block(self.plan.block_bytes)?,
            };
            let is_full = self.move_records(&mut source, &mut block, bounds);
            if !is_full {
                open = Some(block);
            } else if self.composed.records == before {
                // It fits no block, so no producer has made it.
                source.pass_over();
            } else {
                self.source = Some(source);
                return Ok(Some(self.number(block)));
            }
            self.source = Some(source);
        }
        Ok(open.filter(|_| self.composed.records > before).map(|block| self.number(block)))
    }

    /// The ring whose turn it is. `None` if all have had theirs.
    fn take_source(&mut self) -> io::Result<Option<LeftRing>> {
        if let Some(source) = self.source.take() {
            return Ok(Some(source));
        }
        if self.done == self.plan.places.len() {
            return Ok(None);
        }
        let of_holes = self.in_holes.as_mut().and_then(|sources| sources.remove(&self.done));
        of_holes.map_or_else(|| self.read_source(self.done), Ok).map(Some)
    }

    /// Ends the turn of a ring, all of whose records are taken.
    fn end_source(&mut self, mut source: LeftRing) {
        if self.plan.may_end && !source.is_ended {
            source.compare(self.plan.file);
        }
        let is_used = source.is_known || source.slot.image.counts().attempted > 0 || source.row.records > 0;
        match source.fault() {
            Some(fault) => {
                let what = || format!("the ring of producer {} is damaged: {fault}", source.slot.producer);
                self.damage.get_or_insert_with(what);
            }
            None if self.plan.may_end && is_used && !source.is_ended => {
                let ProducerRow { records, next_sequence, .. } = source.row;
                self.ends.push(End { at: source.at, records, next_sequence });
            }
            None => {}
        }
        self.done += 1;
        (self.plan.watch)(self.done as u64, self.plan.places.len() as u64);
    }

    /// A block of final counts. `None` if there are no more.
    fn ends_block(&mut self) -> io::Result<Option<(u64, Block)>> {
        if self.ended == self.ends.len() {
            return Ok(None);
        }
        let mut block = self.begin_block(self.plan.block_bytes)?;
        while let Some(&End { at, records, next_sequence }) = self.ends.get(self.ended) {
            let mut source = self.read_source(at)?;
            (source.row.records, source.row.next_sequence) = (records, next_sequence);
            let row = source.final_row();
            if !self.append_own(&mut block, Kind::ProducerEnd, &row.encoded()) {
                break;
            }
            self.ended += 1;
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
        block.append_wall_anchor(&mut self.own_sequence, now_ns, self.plan.anchor);
        self.append_note(&mut block);
        block.set_flag(BlockFlags::CLEAN_END);
        Ok(Some(self.number(block)))
    }

    fn begin_block(&self, bytes: usize) -> io::Result<Block> {
        AlignedBuffer::new(bytes, 0).map(Block::new)
    }

    fn now_ns(&self) -> u64 {
        self.plan.anchor.monotonic_ns.get()
    }

    fn append_own(&mut self, block: &mut Block, kind: Kind, payload: &[u8]) -> bool {
        let now_ns = self.now_ns();
        block.append_control(&mut self.own_sequence, kind, now_ns, payload)
    }

    fn append_note(&mut self, block: &mut Block) {
        let mut payload = Vec::new();
        Status::encode(StatusCode::Recovered, &self.plan.note, &mut payload);
        self.append_own(block, Kind::Status, &payload);
    }

    /// Completes a block and gives it the next number.
    fn number(&mut self, block: Block) -> (u64, Block) {
        let number = self.next_number;
        self.next_number += 1;
        (number, self.end_block(block))
    }

    fn end_block(&mut self, mut block: Block) -> Block {
        let now_ns = self.now_ns();
        block.append_definitions(&self.callsites, &mut self.own_sequence, now_ns);
        self.callsites.shrink();
        block.set_flag(BlockFlags::RECOVERED);
        self.composed.blocks += 1;
        block
    }

    fn has_records(&self, source: &mut LeftRing, bounds: Bounds) -> bool {
        next_of(&source.slot, &mut source.records, self.plan.file, bounds).is_some()
    }

    /// Moves a source's records within `bounds` into the block. Returns whether it ended because one does not fit.
    fn move_records(&mut self, source: &mut LeftRing, block: &mut Block, bounds: Bounds) -> bool {
        let before_ns = bounds.before_ns.min(self.now_ns());
        let mut moved = 0;
        let is_full = loop {
            let LeftRing { at, slot, records, row, last_ns, .. } = &mut *source;
            let Some((head, payload)) = next_of(slot, records, self.plan.file, bounds) else { break false };
            let Some(record) = Recovered::of(&head, payload, self.plan.definitions) else {
                source.pass_over();
                continue;
            };
            let timestamp_ns = clock::clamp(self.converter.to_ns(head.ticks), *last_ns, before_ns);
            let (callsites, own_sequence) = (&mut self.callsites, &mut self.own_sequence);
            if record.kind == Kind::Structured {
                self.plan.definitions.define(payload, callsites);
            }
            let is_defined = block.define_producer(*at, row, own_sequence, timestamp_ns);
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
            block.explain_gaps(source.cause());
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
