//! The blocks of a log, from the records in its rings to the pipeline. It takes in new rings; it begins blocks, fills
//! them in the order of the schedule, closes them, and settles them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::control::ControlRecords;
use super::figures::FigureRows;
use super::losses::UnreportedLosses;
use super::sources::Sources;
use crate::block::{Block, CallsiteTable};
use crate::clock::TickConverter;
use crate::format::{BlockFlags, Kind, ProducerRow};
use crate::listen::Taps;
use crate::ring::Position;
use crate::shared::{AwaitedAppends, Shared};
use crate::writer::callsites;
use crate::writer::contents::{BlockContents, Share};
use crate::writer::pipeline::{NextBlock, Pipeline};
use crate::writer::schedule::{Every, FlushInterval, Looked, Schedule};
use crate::writer::source::{DrainTarget, Source};

/// How often losses are written that no block shows yet, in nanoseconds.
const LOSSES_NS: u64 = 1_000_000_000;

/// The block to which records are being added.
struct Filling {
    block: Block,
    contents: BlockContents,
    /// When its oldest record was first seen in a ring, on the monotonic clock.
    since_ns: u64,
    /// Whether the block holds so much of a ring that it is closed as soon as the device can take it.
    close_early: bool,
}

impl Filling {
    /// Adds the row of `source`, which is in `slot`, unless the block has it. Returns `false`, and adds nothing, if the
    /// row does not fit together with a record after it.
    fn define(&mut self, slot: usize, source: &mut Source, control: &mut ControlRecords, now_ns: u64) -> bool {
        if self.block.has_producer(slot) {
            return true;
        }
        let before = source.accounted;
        let row = source.row_of(before);
        let added = self.block.define_producer(slot, &row, control.sequence(), now_ns);
        if added {
            source.note_written(&row);
            self.contents.shares.push(Share { slot, position: Position::default(), before });
        }
        added
    }

    /// Adds the losses of `source`, which is in `slot`, as they are now: in its row, or in another one if the block has
    /// that. Returns `false`, and adds nothing, if it does not fit.
    fn add_losses(&mut self, slot: usize, source: &mut Source, control: &mut ControlRecords, now_ns: u64) -> bool {
        let Some(share) = self.contents.shares.iter().find(|share| share.slot == slot) else {
            return self.define(slot, source, control, now_ns);
        };
        let row = source.row_of(share.before);
        let added = control.append(&mut self.block, Kind::ProducerRow, now_ns, &row.encoded());
        if added {
            source.note_written(&row);
        }
        added
    }
}

/// The blocks of a log that are not durable yet, and the rings that they are filled from.
pub(super) struct Blocks {
    shared: Arc<Shared>,
    pub(super) pipeline: Pipeline,
    pub(super) sources: Sources,
    pub(super) converter: TickConverter,
    callsites: CallsiteTable,
    pub(super) control: ControlRecords,
    pub(super) losses: UnreportedLosses,
    losses_check: Every,
    pub(super) taps: Taps,
    figures: FigureRows,
    filling: Option<Filling>,
    /// How many blocks have been begun.
    begun: u64,
}

impl Blocks {
    pub(super) fn new(shared: Arc<Shared>, pipeline: Pipeline, control: ControlRecords, taps: Taps) -> Blocks {
        let converter = TickConverter::new(shared.clock);
        let config = &shared.settings.config;
        let monotonic_ns = shared.clock.monotonic_ns();
        let callsites = CallsiteTable::new(config.packing, config.block_bytes, callsites::define);
        Blocks {
            shared,
            pipeline,
            sources: Sources::default(),
            converter,
            callsites,
            control,
            losses: UnreportedLosses::new(),
            losses_check: Every::new(LOSSES_NS),
            taps,
            figures: FigureRows::new(monotonic_ns),
            filling: None,
            begun: 0,
        }
    }

    /// Whether a block is being filled.
    pub(super) fn is_filling(&self) -> bool {
        self.filling.is_some()
    }

    /// Whether the block being filled holds a record.
    pub(super) fn has_open_records(&self) -> bool {
        self.filling.as_ref().is_some_and(|filling| filling.block.records() > 0)
    }

    /// Takes in the rings of new producers, and notes which producers are gone.
    pub(super) fn adopt(&mut self, schedule: &mut Schedule) {
        if !self.shared.registry.take_changed() {
            return;
        }
        let (arrivals, returned) = self.shared.registry.take();
        for arrival in arrivals {
            let source = Source::new(arrival, self.shared.settings.config.block_bytes, self.begun);
            schedule.poll_order.add(self.sources.add(source));
        }
        self.sources.note_returned(returned);
        if let Some(capacity) = self.sources.smallest_capacity() {
            schedule.allowance.set_smallest_ring(capacity);
        }
    }

    /// Moves records into blocks from the rings whose turn it is: `all` records, or all but the newest. Returns whether
    /// there were any to take. If not, it has looked at all rings, or no block was free.
    pub(super) fn drain(&mut self, schedule: &mut Schedule, now_ns: u64, all: bool) -> bool {
        let Schedule { poll_order, allowance, interval, .. } = schedule;
        // If one ring's records are overdue, those of all rings are taken: the block that is closed then holds them.
        let overdue = interval.find_overdue(now_ns, || self.sources.oldest_left_ns());
        poll_order.turn(overdue, |slot| {
            if self.sources.is_still_empty(slot) {
                return Looked::Nothing;
            }
            let source = self.sources.at(slot);
            let capacity = source.consumer.capacity();
            let look = source.look(now_ns, self.begun, all || overdue);
            allowance.note_new(look.new_bytes, capacity);
            if let Some(since_ns) = source.patience.left_since_ns {
                interval.note_left(since_ns);
            }
            if look.due_bytes == 0 {
                self.sources.note_look(slot);
                return Looked::Nothing;
            }
            // Without a block, nothing is taken.
            if self.filling.is_some() || self.pipeline.buffers.has_free() {
                allowance.note_taken(look.due_bytes, capacity);
            }
            let looked = self.fill_from(slot, look.since_ns, now_ns);
            if looked == Looked::NoBlock {
                self.sources.at(slot).patience.leave_due(look.since_ns);
                interval.note_left(look.since_ns);
            }
            looked
        })
    }

    /// Takes the block being filled, or begins one. `None` if no buffer is free.
    fn take_filling(&mut self, now_ns: u64) -> Option<Filling> {
        if let Some(filling) = self.filling.take() {
            return Some(filling);
        }
        let mut block = Block::new(self.pipeline.buffers.take()?);
        self.begun += 1;
        self.control.begin_block(&mut block, self.shared.refused_by(), now_ns);
        if self.figures.take_owed() {
            self.append_figures(&mut block, now_ns);
        }
        Some(Filling { block, contents: BlockContents::default(), since_ns: now_ns, close_early: false })
    }

    /// Moves the records that the last look at the source in `slot` found due into blocks. `since_ns` is when the
    /// oldest was first seen. Full blocks are closed.
    fn fill_from(&mut self, slot: usize, since_ns: u64, now_ns: u64) -> Looked {
        // Read after the ring was observed, so that no record's time is in the future.
        let observed_ns = self.shared.clock.monotonic_ns();
        loop {
            let Some(mut filling) = self.take_filling(now_ns) else { return Looked::NoBlock };
            let source = self.sources.at(slot);
            filling.since_ns = filling.since_ns.min(since_ns);
            if filling.define(slot, source, &mut self.control, observed_ns) {
                let Blocks { callsites, converter, control, taps, begun, .. } = self;
                let target = DrainTarget {
                    block: &mut filling.block,
                    callsites,
                    own_sequence: control.sequence(),
                    taps,
                    converter,
                    now_ns: observed_ns,
                };
                let is_full = source.drain(target, *begun);
                filling.close_early |= source.is_too_open();
                if !is_full {
                    self.filling = Some(filling);
                    return Looked::Taken;
                }
            }
            self.close(filling, now_ns);
        }
    }

    /// Calls `add` with the block being filled, and, if that returns `false` because there is no room, closes the block
    /// and begins the next one. Returns `false` if no block is free.
    fn add_to_block(&mut self, now_ns: u64, mut add: impl FnMut(&mut Blocks, &mut Filling) -> bool) -> bool {
        loop {
            let Some(mut filling) = self.take_filling(now_ns) else { return false };
            if add(self, &mut filling) {
                self.filling = Some(filling);
                return true;
            }
            self.close(filling, now_ns);
        }
    }

    /// Writes the end record of the source in `slot`, with its final counts. Returns `false` if no block is free.
    fn write_end(&mut self, slot: usize, now_ns: u64) -> bool {
        let payload = self.sources.at(slot).final_row().encoded();
        self.add_to_block(now_ns, |blocks, filling| {
            let added = blocks.control.append(&mut filling.block, Kind::ProducerEnd, now_ns, &payload);
            if added {
                filling.contents.ended.push(slot);
                blocks.sources.at(slot).end_written = true;
            }
            added
        })
    }

    /// Writes the losses of the source in `slot` as they are now. Returns `false` if no block is free.
    pub(super) fn write_losses_of(&mut self, slot: usize, now_ns: u64) -> bool {
        self.add_to_block(now_ns, |Blocks { sources, control, .. }, filling| {
            filling.add_losses(slot, sources.at(slot), control, now_ns)
        })
    }

    /// Writes the counts that have changed since they were last written, if the device can take a block now: of records
    /// that were lost after the last block of their producer, and of refused appends. Without them, the files of a log
    /// that is open, or that a kill ends, would not show these before the producer's next record. At most once a
    /// second, since each time reads the counts of all producers.
    pub(super) fn write_losses_if_due(&mut self, now_ns: u64) {
        if !self.pipeline.would_submit_now() || !self.losses_check.take_due(now_ns) {
            return;
        }
        let is_due = |source: &Source| !source.shows_lost(source.lost());
        let due: Vec<_> = self.sources.iter().filter(|(_, source)| is_due(source)).map(|(slot, _)| slot).collect();
        if self.control.has_news_of(self.shared.refused_by()) {
            self.add_to_block(now_ns, |Blocks { shared, control, .. }, filling| {
                control.append_refusals(&mut filling.block, shared.refused_by(), now_ns)
            });
        }
        due.into_iter().all(|slot| self.write_losses_of(slot, now_ns));
    }

    /// Writes the end record of each producer that is gone and drained, as long as blocks are free.
    pub(super) fn write_due_ends(&mut self, now_ns: u64) {
        let mut ending = std::mem::take(&mut self.sources.ending);
        let mut any_free = true;
        ending.retain(|&slot| {
            let is_drained = any_free && !self.sources.at(slot).observe_records();
            if is_drained {
                any_free = self.write_end(slot, now_ns);
            }
            !(is_drained && any_free)
        });
        self.sources.ending = ending;
    }

    /// Writes the end records of all producers that have none yet. Returns `false` if no block is free.
    pub(super) fn write_all_ends(&mut self, now_ns: u64) -> bool {
        let due: Vec<_> = self.sources.iter().filter(|(_, source)| !source.end_written).map(|(slot, _)| slot).collect();
        due.into_iter().all(|slot| self.write_end(slot, now_ns))
    }

    /// Observes all rings. Returns whether all of them are empty and no append is under way that is to be waited for.
    pub(super) fn observe_drained(&mut self, awaited: &AwaitedAppends) -> bool {
        // Ask first whether the source is quiet: a record that an append has just put into the ring is then seen.
        let is_quiet = |source: &Source| source.is_quiet(awaited);
        self.sources.iter_mut().all(|(_, source)| is_quiet(source) && !source.observe_records())
    }

    /// Submits the run's last block, alone, after all others are durable. Returns `false` if no block is free.
    pub(super) fn write_clean_end(&mut self, now_ns: u64) -> bool {
        // A failure to prepare the next segment would otherwise be noted only when a block needs it.
        self.pipeline.segments.take_last_answer();
        self.control.add_notes(self.pipeline.take_notes());
        let Some(mut filling) = self.take_filling(now_ns) else { return false };
        self.control.append_wall_anchor(&mut filling.block, now_ns);
        self.control.append_refusals(&mut filling.block, self.shared.refused_by(), now_ns);
        filling.block.set_flag(BlockFlags::CLEAN_END);
        self.close(filling, now_ns);
        true
    }

    /// Closes the block being filled, if there is one.
    pub(super) fn close_filling(&mut self, now_ns: u64) {
        if let Some(filling) = self.filling.take() {
            self.close(filling, now_ns);
        }
    }

    /// Closes the block being filled if it holds a record, is due, and the device can take it now. While the log is
    /// `closing`, every block is due.
    pub(super) fn close_due(&mut self, now_ns: u64, interval: &FlushInterval, closing: bool) {
        let Some(filling) = &self.filling else { return };
        let is_due =
            filling.close_early || closing || interval.has_passed(filling.since_ns, now_ns) || self.take_wants_space();
        if is_due && self.has_open_records() && self.pipeline.would_submit_now() {
            self.close_filling(now_ns);
        }
    }

    /// Takes a producer's request for space, if only the block being filled holds that space. Returns whether there was
    /// one. While a block is on its way to the disk, no request is taken: that block frees space, and blocks closed for
    /// a request would be small.
    fn take_wants_space(&mut self) -> bool {
        if self.pipeline.is_writing() {
            return false;
        }
        let mut shares = self.filling.iter().flat_map(|filling| &filling.contents.shares);
        shares.any(|share| self.sources.at(share.slot).take_wants_space())
    }

    /// Closes a block: numbers it, and submits it as soon as the device has room.
    fn close(&mut self, filling: Filling, now_ns: u64) {
        let Filling { mut block, mut contents, .. } = filling;
        block.append_definitions(&self.callsites, self.control.sequence(), now_ns);
        // Last, so that they count the block's records.
        if (self.figures.take_due(now_ns) || block.has_flag(BlockFlags::CLEAN_END))
            && !self.append_figures(&mut block, now_ns)
        {
            self.figures.owe();
        }
        for share in &mut contents.shares {
            let source = self.sources.at(share.slot);
            contents.records += source.accounted.records - share.before.records;
            share.position = source.close_share();
        }
        self.pipeline.enqueue(block, contents);
        self.submit(now_ns);
    }

    /// Adds the log's figures to `block`. Returns `false` if they do not fit.
    fn append_figures(&mut self, block: &mut Block, now_ns: u64) -> bool {
        self.figures.append(block, &mut self.control, &self.shared, &self.sources, now_ns)
    }

    /// Gives the device the blocks that wait, as far as it has room. Returns whether it got any.
    pub(super) fn submit(&mut self, now_ns: u64) -> bool {
        let mut any = false;
        loop {
            match self.pipeline.prepare_next() {
                NextBlock::None => return any,
                NextBlock::Waiting => self.pipeline.submit_next(),
                // The file was deleted before its first block: nothing is written to a file that nobody finds.
                NextBlock::SegmentHeader if self.pipeline.fail_unreachable_segment() => return any,
                NextBlock::SegmentHeader => {
                    if let Err(error) = self.submit_segment_header(now_ns) {
                        self.pipeline.write_failed(&error);
                    }
                }
            }
            any = true;
        }
    }

    fn submit_segment_header(&mut self, now_ns: u64) -> io::Result<()> {
        let baseline = self.baseline();
        let header = self.control.segment_header(&self.shared, &self.pipeline, &baseline, now_ns)?;
        self.pipeline.submit_header(header);
        Ok(())
    }

    /// The producers that may still appear in the segment about to begin, as the blocks before it account for them.
    fn baseline(&self) -> Vec<ProducerRow> {
        // If several blocks ahead have a share of a source, the first one's account is the one before the segment.
        let (mut before, mut ends_ahead) = (BTreeMap::new(), BTreeSet::<usize>::new());
        let filling = self.filling.iter().map(|filling| &filling.contents);
        for contents in self.pipeline.waiting().chain(filling) {
            for share in &contents.shares {
                before.entry(share.slot).or_insert(share.before);
            }
            ends_ahead.extend(&contents.ended);
        }
        let may_appear = |(slot, source): &(usize, &Source)| !source.end_written || ends_ahead.contains(slot);
        let row =
            |(slot, source): (usize, &Source)| source.row_of(before.get(&slot).copied().unwrap_or(source.accounted));
        self.sources.iter().filter(may_appear).map(row).collect()
    }

    /// Makes the preparing thread take a snapshot of the recorder, if one is due. `ending` in the log's last turn.
    pub(super) fn snapshot_if_due(&self, now_ns: u64, ending: bool) {
        let due = self.shared.recorder.as_ref().and_then(|recorder| recorder.triggers.take_due(now_ns, ending));
        if let Some(reason) = due {
            let shared = Arc::clone(&self.shared);
            self.pipeline.segments.give_job(move |directory| shared.recorder.as_ref()?.take_for(reason, directory));
        }
    }

    /// Takes back the blocks that the device has completed. The rings of durable records get their space back, and
    /// those of producers that have ended go back to the registry. Returns whether anything was completed.
    pub(super) fn reap(&mut self, schedule: &mut Schedule) -> bool {
        let (shared, sources, losses) = (&self.shared, &mut self.sources, &mut self.losses);
        self.pipeline.reap(|contents| {
            for share in contents.shares {
                sources.release(share.slot, share.position);
            }
            for slot in contents.ended {
                let mut source = sources.remove(slot);
                losses.note_ended(shared, &mut source);
                schedule.poll_order.remove(slot);
                // A producer that was alive at close still holds its end of the ring.
                if let Some(producer) = source.returned {
                    shared.registry.recycle(source.id, producer, source.consumer);
                }
            }
        })
    }
}
