//! One log as the writer serves it: drain its rings, close blocks when they are due, answer flushes, end cleanly.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use zerocopy::IntoBytes;
use zerocopy::little_endian::{I64, U64};

use crate::block::{Block, RecordMeta};
use crate::buffer::AlignedBuffer;
use crate::clock::TickConverter;
use crate::flush::{Answer, FlushFault, Ticket};
use crate::format::{
    BLOCK_HEADER_BYTES, BlockFlags, GRID_BYTES, Kind, ProducerRow, SHARD_HEADER_BYTES, SegmentHeader, Status,
    StatusCode, WallAnchor, record_bytes,
};
use crate::segment::Directory;
use crate::shared::{CloseSummary, Shared};
use crate::sync::lock;
use crate::writer::pipeline::{Accounted, Contents, HEADER_BUFFER, Pipeline, Share};
use crate::writer::source::{Drained, Source};

/// How often a block carries a wall-clock anchor, in nanoseconds: the wall clock may be set at any time.
const WALL_ANCHOR_NS: u64 = 1_000_000_000;

/// The part of close's deadline that is kept for writing the final counts, once draining has been cut short.
const CLOSING_RESERVE: Duration = Duration::from_millis(250);

/// How many notes wait for a block at the most.
const NOTES_MAX: usize = 32;

/// The longest note, in bytes: the smallest block holds it.
const NOTE_BYTES_MAX: usize = 1024;

/// What a turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There was work, and may be more.
    Worked,
    /// There was nothing to do.
    Idle,
    /// The log has ended; its summary is published.
    Ended,
}

/// The block that records are going to.
struct Filling {
    block: Block,
    /// When its first record came in, on the monotonic clock.
    since_ns: u64,
    /// Slots of the sources that have records in it, and what earlier blocks account for of them.
    touched: Vec<(usize, Accounted)>,
    /// Slots of the sources whose end record it holds.
    ended: Vec<usize>,
}

/// Callers that wait for what was accepted before they asked.
struct Flush {
    tickets: Vec<Arc<Ticket>>,
    stage: FlushStage,
}

impl Flush {
    /// Answers all callers. The first answer stands.
    fn answer(&self, answer: &Answer) {
        self.tickets.iter().for_each(|ticket| ticket.answer(answer.clone()));
    }
}

impl Drop for Flush {
    /// Nobody waits for an answer that cannot come.
    fn drop(&mut self) {
        self.answer(&Err(FlushFault::Closed));
    }
}

enum FlushStage {
    /// Rings are being drained up to these positions, by slot.
    Draining(Vec<(usize, u64)>),
    /// All is in closed blocks; durable when all with numbers below this one are.
    Writing(u64),
}

/// How far close has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Waiting for appends under way and draining, until all rings are empty.
    Draining,
    /// The final counts are in closed blocks; waiting until all is durable.
    Settling,
    /// The clean end is submitted.
    Ending,
}

/// A log being written.
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
    pipeline: Pipeline,
    /// Kept for its lock, which must outlast the last write.
    directory: Directory,
    boot: [u8; 16],
    /// By slot; a slot is empty once its source has ended.
    sources: Vec<Option<Source>>,
    empty_slots: Vec<usize>,
    /// Where the next round of draining starts, so that no ring is always last.
    first_slot: usize,
    filling: Option<Filling>,
    /// A reason to close the block being filled as soon as the device can take it.
    close_early: bool,
    /// Counts blocks being filled: the name of the present one.
    block_serial: u64,
    /// Counts the writer's own records.
    control_sequence: u64,
    converter: TickConverter,
    wall_anchor_ns: u64,
    flushes: Vec<Flush>,
    phase: Phase,
    deadline: Option<Instant>,
    /// Why the end is not clean, if it is not.
    end_reason: Option<String>,
    /// What the log should say of the writer's own doings, when there is a block to say it in.
    notes: Vec<(StatusCode, String)>,
}

impl LogWriter {
    pub(crate) fn new(shared: Arc<Shared>, pipeline: Pipeline, directory: Directory, boot: [u8; 16]) -> LogWriter {
        let converter = TickConverter::new(shared.clock);
        let rung = lock(&shared.rung).to_string();
        LogWriter {
            shared,
            pipeline,
            directory,
            boot,
            sources: Vec::new(),
            empty_slots: Vec::new(),
            first_slot: 0,
            filling: None,
            close_early: false,
            block_serial: 0,
            control_sequence: 0,
            converter,
            wall_anchor_ns: 0,
            flushes: Vec::new(),
            phase: Phase::Open,
            deadline: None,
            end_reason: None,
            notes: vec![(StatusCode::Device, rung)],
        }
    }

    /// Does what there is to do now, without waiting.
    pub(crate) fn turn(&mut self) -> Turn {
        let now_ns = self.converter.refresh_if_due();
        let mut worked = self.reap();
        worked |= self.pipeline.heal();
        self.take_notes();
        self.adopt();
        self.take_flushes();
        worked |= self.drain(now_ns);
        self.advance_flushes(now_ns);
        self.close_block_if_due(now_ns);
        worked |= self.submit(now_ns);
        self.end_sources(now_ns);
        self.answer_flushes();
        if self.advance_close(now_ns) {
            return Turn::Ended;
        }
        if worked { Turn::Worked } else { Turn::Idle }
    }

    /// Whether the device is at work.
    pub(crate) fn is_writing(&self) -> bool {
        self.pipeline.is_writing()
    }

    /// Waits for the device, at most for `timeout`; an unpark ends it too.
    pub(crate) fn wait_for_device(&mut self, timeout: Duration) {
        self.pipeline.wait(timeout);
    }

    fn reap(&mut self) -> bool {
        let (sources, empty_slots, shared) = (&mut self.sources, &mut self.empty_slots, &self.shared);
        self.pipeline.reap(shared, |contents| {
            for share in contents.shares {
                if let Some(source) = &mut sources[share.slot] {
                    source.consumer.release(share.position);
                }
            }
            for slot in contents.ended {
                let Some(source) = sources[slot].take() else { continue };
                empty_slots.push(slot);
                if let Some(producer) = source.returned {
                    shared.registry.recycle(source.id, producer, source.consumer);
                }
            }
        })
    }

    /// Collects what the log should say of its own troubles: the first of them, if they come faster than blocks.
    fn take_notes(&mut self) {
        self.notes.extend(self.pipeline.take_notes());
        let complaints = self.pipeline.segments.take_complaints();
        self.notes.extend(complaints.into_iter().map(|complaint| (StatusCode::Error, complaint)));
        self.notes.truncate(NOTES_MAX);
    }

    /// Takes in the rings of new producers, and notes which have lost theirs.
    fn adopt(&mut self) {
        if !self.shared.registry.has_news() {
            return;
        }
        let (arrivals, mut returned) = self.shared.registry.take();
        for arrival in arrivals {
            let source = Some(Source::new(arrival));
            match self.empty_slots.pop() {
                Some(slot) => self.sources[slot] = source,
                None => self.sources.push(source),
            }
        }
        for source in self.sources.iter_mut().flatten() {
            if let Some(producer) = returned.remove(&source.id) {
                source.returned = Some(producer);
            }
        }
    }

    /// Moves records from all rings into blocks, one turn each. Whether there were any.
    fn drain(&mut self, now_ns: u64) -> bool {
        let slots = self.sources.len();
        // Once the final counts are written, what still lies in a ring is accounted for as unwritten.
        if slots == 0 || !matches!(self.phase, Phase::Open | Phase::Draining) {
            return false;
        }
        self.first_slot = (self.first_slot + 1) % slots;
        let mut any = false;
        for at in 0..slots {
            let slot = (self.first_slot + at) % slots;
            match self.drain_source(slot, now_ns) {
                Some(found) => any |= found,
                None => return any,
            }
        }
        any
    }

    /// One ring's turn. Whether it had records; `None` where no block is to be had.
    fn drain_source(&mut self, slot: usize, now_ns: u64) -> Option<bool> {
        if !self.sources[slot].as_mut().is_some_and(Source::has_records) {
            return Some(false);
        }
        // Read after the ring was observed, so that what it gives is not in the future.
        let observed_ns = self.shared.clock.monotonic_ns();
        loop {
            if self.filling.is_none() && !self.begin_block(now_ns) {
                return None;
            }
            let (Some(filling), Some(source)) = (&mut self.filling, &mut self.sources[slot]) else { return None };
            if !source.is_in(self.block_serial) {
                filling.touched.push((slot, source.accounted()));
            }
            let drained = source.drain(
                &mut filling.block,
                self.block_serial,
                &mut self.control_sequence,
                &self.converter,
                observed_ns,
            );
            let ring_bytes = source.consumer.capacity() as u64;
            self.close_early |= source.open_bytes() >= ring_bytes / 4 || source.take_starved();
            match drained {
                Drained::BlockFull => self.close_block(now_ns),
                Drained::Turn | Drained::Empty => return Some(true),
            }
        }
    }

    /// Starts a block. `false` where no buffer is free.
    fn begin_block(&mut self, now_ns: u64) -> bool {
        let Some(buffer) = self.pipeline.take_buffer() else { return false };
        self.block_serial += 1;
        let mut block = Block::new(buffer);
        if now_ns.saturating_sub(self.wall_anchor_ns) >= WALL_ANCHOR_NS {
            self.wall_anchor_ns = now_ns;
            self.append_wall_anchor(&mut block, now_ns);
        }
        self.append_notes(&mut block, now_ns);
        self.filling = Some(Filling { block, since_ns: now_ns, touched: Vec::new(), ended: Vec::new() });
        true
    }

    fn append_wall_anchor(&mut self, block: &mut Block, now_ns: u64) {
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
    fn append_notes(&mut self, block: &mut Block, now_ns: u64) {
        while let Some((code, text)) = self.notes.first() {
            let mut payload = Vec::new();
            Status::encode(*code, &text[..text.floor_char_boundary(NOTE_BYTES_MAX)], &mut payload);
            if !block.append_control(self.control_sequence, RecordMeta::control(Kind::Status, now_ns), &payload) {
                return;
            }
            self.control_sequence += 1;
            self.notes.remove(0);
        }
    }

    /// Gives the device what waits, as far as it has room. Whether it got anything.
    fn submit(&mut self, now_ns: u64) -> bool {
        let mut any = false;
        while self.pipeline.prepare_next() {
            if !self.pipeline.segments.is_new() {
                self.pipeline.submit_next();
            } else if let Err(error) = self.submit_segment_header(now_ns) {
                self.pipeline.header_failed(&error, &self.shared);
            }
            any = true;
        }
        any
    }

    /// Begins a segment: identities, an anchor, and the producers' baseline.
    fn submit_segment_header(&mut self, now_ns: u64) -> std::io::Result<()> {
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
            compatible_features: 0,
            service: self.shared.settings.service.clone(),
        };
        let mut records = vec![(Kind::Segment, Vec::new()), (Kind::WallAnchor, self.wall_anchor().as_bytes().to_vec())];
        header.encode(&mut records[0].1);
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
        self.shared.counters.segments.fetch_add(1, Relaxed);
        self.pipeline.submit_header(block);
        Ok(())
    }

    /// The producers that may still appear in the segment about to begin, as the blocks before it account for them.
    fn baseline(&self) -> Vec<ProducerRow> {
        let filling = self.filling.as_ref();
        let row = |(slot, source): (usize, &Option<Source>)| {
            let source = source.as_ref()?;
            let end_is_ahead =
                self.pipeline.end_is_waiting(slot) || filling.is_some_and(|filling| filling.ended.contains(&slot));
            if source.end_written && !end_is_ahead {
                return None;
            }
            let in_filling =
                || filling?.touched.iter().find(|(touched, _)| *touched == slot).map(|(_, before)| *before);
            let before = self.pipeline.accounted_before_waiting(slot).or_else(in_filling);
            Some(source.row_of(before.unwrap_or_else(|| source.accounted())))
        };
        self.sources.iter().enumerate().filter_map(row).collect()
    }

    /// Closes the block being filled: it gets its number, and is written when the device can.
    fn close_block(&mut self, now_ns: u64) {
        self.close_early = false;
        let Some(filling) = self.filling.take() else { return };
        let mut contents = Contents { records: 0, shares: Vec::new(), ended: filling.ended };
        for (slot, before) in filling.touched {
            if let Some(source) = &mut self.sources[slot] {
                contents.records += source.accounted().records - before.records;
                contents.shares.push(Share { slot, position: source.close_block(), before });
            }
        }
        self.pipeline.close_block(filling.block, contents);
        self.submit(now_ns);
    }

    /// Closes the block being filled if something waits for it and the device can take it now.
    fn close_block_if_due(&mut self, now_ns: u64) {
        let Some(filling) = &self.filling else { return };
        let interval_ns = u64::try_from(self.shared.settings.flush_interval.as_nanos()).unwrap_or(u64::MAX);
        let due =
            self.close_early || self.phase != Phase::Open || now_ns.saturating_sub(filling.since_ns) >= interval_ns;
        if due && !filling.block.is_empty() && self.pipeline.would_submit_now() {
            self.close_block(now_ns);
        }
    }

    /// Turns new tickets into a flush of what the rings hold now.
    fn take_flushes(&mut self) {
        let tickets = self.shared.flushes.take();
        if tickets.is_empty() {
            return;
        }
        // A producer that registered before the flush was asked for is in: its arrival came before the ticket.
        self.adopt();
        let target = |(slot, source): (usize, &mut Option<Source>)| {
            source.as_mut().map(|source| (slot, source.consumer.observe()))
        };
        let targets = self.sources.iter_mut().enumerate().filter_map(target).collect();
        self.flushes.push(Flush { tickets, stage: FlushStage::Draining(targets) });
    }

    /// Drops the rings that are drained far enough, and closes the block once all are.
    fn advance_flushes(&mut self, now_ns: u64) {
        if self.flushes.is_empty() {
            return;
        }
        for at in 0..self.flushes.len() {
            let FlushStage::Draining(left) = &mut self.flushes[at].stage else { continue };
            left.retain(|&(slot, target)| {
                // Distances, because positions wrap. An empty slot's source has ended, all of it durable.
                let cursor = self.sources[slot].as_ref().map(|source| source.consumer.cursor());
                cursor.is_some_and(|cursor| (target.wrapping_sub(cursor) as i64) > 0)
            });
            if left.is_empty() {
                if self.filling.as_ref().is_some_and(|filling| !filling.block.is_empty()) {
                    if !self.pipeline.would_submit_now() {
                        continue;
                    }
                    self.close_block(now_ns);
                }
                self.flushes[at].stage = FlushStage::Writing(self.pipeline.next_sequence());
            }
        }
    }

    /// Answers the callers whose records are durable, or will not be.
    fn answer_flushes(&mut self) {
        let (durable, fault) = (self.pipeline.durable_sequence(), self.pipeline.fault());
        self.flushes.retain(|flush| {
            let answer = match (&flush.stage, fault) {
                (FlushStage::Writing(sequence), _) if *sequence <= durable => Ok(()),
                (_, Some(fault)) => Err(fault.clone()),
                _ => return true,
            };
            flush.answer(&answer);
            false
        });
    }

    /// Writes the end record of each producer that is gone and drained.
    fn end_sources(&mut self, now_ns: u64) {
        if self.phase != Phase::Open {
            return;
        }
        for slot in 0..self.sources.len() {
            let Some(source) = &mut self.sources[slot] else { continue };
            if source.returned.is_none() || source.end_written || source.has_records() {
                continue;
            }
            if !self.write_end(slot, now_ns) {
                return;
            }
        }
    }

    /// Puts the source's final counts into a block; `false` where no block is to be had.
    fn write_end(&mut self, slot: usize, now_ns: u64) -> bool {
        loop {
            if self.filling.is_none() && !self.begin_block(now_ns) {
                return false;
            }
            let (Some(filling), Some(source)) = (&mut self.filling, &mut self.sources[slot]) else { return false };
            let mut payload = Vec::with_capacity(ProducerRow::BYTES_MAX);
            source.final_row().encode(&mut payload);
            let meta = RecordMeta::control(Kind::ProducerEnd, now_ns);
            if filling.block.append_control(self.control_sequence, meta, &payload) {
                self.control_sequence += 1;
                source.end_written = true;
                filling.ended.push(slot);
                return true;
            }
            self.close_block(now_ns);
        }
    }

    /// Goes on with close, if it is asked for. Whether the log has ended.
    fn advance_close(&mut self, now_ns: u64) -> bool {
        if self.deadline.is_none() {
            self.deadline = self.shared.closing.deadline();
        }
        let Some(deadline) = self.deadline else { return false };
        let left = deadline.saturating_duration_since(Instant::now());
        match self.phase {
            Phase::Open => self.phase = Phase::Draining,
            Phase::Draining => {
                self.adopt();
                let cut_short = left <= CLOSING_RESERVE.min(self.shared.settings.close_deadline / 4);
                if (cut_short || self.is_drained()) && self.write_all_ends(now_ns) {
                    self.close_block(now_ns);
                    self.phase = Phase::Settling;
                }
            }
            Phase::Settling if self.pipeline.is_durable() => {
                if self.write_clean_end(now_ns) {
                    self.phase = Phase::Ending;
                }
            }
            Phase::Ending if self.pipeline.is_durable() => {
                return true;
            }
            Phase::Settling | Phase::Ending => {}
        }
        if left.is_zero() {
            let fault = self.pipeline.fault().map(|fault| fault.clone().into_error().to_string());
            self.end_reason = Some(fault.unwrap_or_else(|| "the deadline passed first".into()));
            return true;
        }
        false
    }

    /// Whether no append is under way any more, and all rings are empty.
    fn is_drained(&mut self) -> bool {
        // Quiet first: what an append that has just ended put into the ring is then seen.
        self.sources.iter_mut().flatten().all(|source| source.is_quiet() && !source.has_records())
    }

    /// Writes the final counts of all producers; `false` where no block is to be had yet.
    fn write_all_ends(&mut self, now_ns: u64) -> bool {
        for slot in 0..self.sources.len() {
            let due = self.sources[slot].as_ref().is_some_and(|source| !source.end_written);
            if due && !self.write_end(slot, now_ns) {
                return false;
            }
        }
        true
    }

    /// Submits the run's last block, alone, after all else is durable.
    fn write_clean_end(&mut self, now_ns: u64) -> bool {
        if !self.begin_block(now_ns) {
            return false;
        }
        let Some(mut filling) = self.filling.take() else { return false };
        self.append_wall_anchor(&mut filling.block, now_ns);
        filling.block.set_flag(BlockFlags::CLEAN_END);
        self.pipeline.close_block(filling.block, Contents::default());
        self.submit(now_ns);
        true
    }

    /// Lets go of everything, and only then publishes how the log ended: the directory can be opened again at once.
    pub(crate) fn finish(mut self) {
        let fault = self.pipeline.fault().cloned();
        let answer = match (&self.end_reason, fault) {
            (None, _) => Ok(()),
            (Some(_), Some(fault)) => Err(fault),
            (Some(_), None) => Err(FlushFault::Closed),
        };
        self.flushes.drain(..).for_each(|flush| flush.answer(&answer));
        self.shared.flushes.close().iter().for_each(|ticket| ticket.answer(answer.clone()));
        let (attempted, lost) = self.shared.registry.totals();
        let durable = self.shared.counters.durable_records.load(Relaxed);
        let unconfirmed = attempted.saturating_sub(lost + durable);
        let reason =
            self.end_reason.or_else(|| (unconfirmed > 0).then(|| "the deadline cut draining short".to_owned()));
        self.pipeline.end();
        drop(self.directory);
        self.shared.closing.finish(CloseSummary { unconfirmed, dropped: lost, reason });
    }
}
