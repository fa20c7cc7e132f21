//! One log as the writer serves it: drain its rings, close blocks when they are due, answer flushes, end cleanly.

mod control;
mod ending;
mod flushing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::block::Block;
use crate::clock::TickConverter;
use crate::format::StatusCode;
use crate::segment::Directory;
use crate::shared::Shared;
use crate::writer::pipeline::{Accounted, Contents, Pipeline, Share};
use crate::writer::rota::Rota;
use crate::writer::source::{Drained, Source};
use control::WALL_ANCHOR_NS;
use ending::Phase;
use flushing::Flush;

/// How often the writer looks whether its segment still has a name, in nanoseconds: the longest that it goes on writing
/// into a deleted file.
const SEGMENT_CHECK_NS: u64 = 1_000_000_000;

/// The part of a ring, a sixteenth, that is much to find in it after a short sleep.
const MUCH_OF_A_RING: usize = 16;

/// The part of a ring that may come in while nobody looks, if records go on coming as fast as they did: they may come
/// as many times faster.
const CALM_PART_OF_A_RING: u64 = 32;

/// What one thread may suddenly append without filling its ring while nobody looks, in bytes a second: some 1.5 million
/// records of 64 bytes. 8 ms of it are a ring of 1 MiB, half a millisecond one of 64 KiB.
const BURST_BYTES_PER_SECOND: u64 = 128 << 20;

/// What a turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There was work, and may be more.
    Worked,
    /// There were a few new records, far fewer than would fill a ring, and nothing else. The rings can be left alone for
    /// this long.
    FoundFew(Duration),
    /// There was nothing to do.
    Idle,
    /// The log has ended; its summary is published.
    Ended,
}

/// The block that records are going to.
struct Filling {
    block: Block,
    /// When its oldest record was first seen in a ring, on the monotonic clock.
    since_ns: u64,
    /// Slots of the sources that have records in it, and what earlier blocks account for of them.
    touched: Vec<(usize, Accounted)>,
    /// Slots of the sources whose end record it holds.
    ended: Vec<usize>,
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
    rota: Rota,
    /// Slots of the sources that got space back, and whose producers are to be told.
    released: Vec<usize>,
    /// Slots of the sources whose producers are gone, and whose end is not written.
    ending: Vec<usize>,
    filling: Option<Filling>,
    /// Since when, at the earliest, something waits that looks have left in a ring; it may have been taken since.
    left_since_ns: Option<u64>,
    /// Whether this turn saw anything new in a ring.
    saw_new: bool,
    /// Whether this turn found much in a ring: as if it might soon be full.
    took_much: bool,
    /// How long this turn's rings can be left alone, by what was found in the fullest.
    calm: Duration,
    /// How long the smallest ring can be left alone, whatever was found in it.
    calm_max: Duration,
    /// When the last turn began, on the monotonic clock.
    turned_ns: u64,
    /// A reason to close the block being filled as soon as the device can take it.
    close_early: bool,
    /// Counts blocks being filled: the name of the present one.
    block_serial: u64,
    /// Counts the writer's own records.
    control_sequence: u64,
    converter: TickConverter,
    wall_anchor_ns: u64,
    /// When the segment's file was last looked for, on the monotonic clock.
    segment_checked_ns: u64,
    flushes: Vec<Flush>,
    flushes_asked: u64,
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
        let device = pipeline.device_report().to_string();
        LogWriter {
            shared,
            pipeline,
            directory,
            boot,
            sources: Vec::new(),
            empty_slots: Vec::new(),
            rota: Rota::default(),
            released: Vec::new(),
            ending: Vec::new(),
            filling: None,
            left_since_ns: None,
            saw_new: false,
            took_much: false,
            calm: Duration::MAX,
            calm_max: Duration::MAX,
            turned_ns: 0,
            close_early: false,
            block_serial: 0,
            control_sequence: 0,
            converter,
            wall_anchor_ns: 0,
            segment_checked_ns: 0,
            flushes: Vec::new(),
            flushes_asked: 0,
            phase: Phase::Open,
            deadline: None,
            end_reason: None,
            notes: vec![(StatusCode::Device, device)],
        }
    }

    /// Does what there is to do now, without waiting.
    pub(crate) fn turn(&mut self) -> Turn {
        let now_ns = self.converter.refresh_if_due();
        if now_ns.saturating_sub(self.segment_checked_ns) >= SEGMENT_CHECK_NS {
            self.segment_checked_ns = now_ns;
            self.pipeline.check_segment();
        }
        let mut worked = self.reap();
        // First of all: the disk has just become free, and draining takes its time. So do producers that are woken.
        worked |= self.submit(now_ns);
        self.wake_producers();
        worked |= self.pipeline.heal();
        self.pipeline.rotate_if_due(now_ns, self.shared.take_rotation());
        self.take_notes();
        self.adopt();
        self.take_flushes();
        let took_any = self.drain(now_ns);
        self.advance_flushes(now_ns);
        self.close_block_if_due(now_ns);
        worked |= self.submit(now_ns);
        self.end_sources(now_ns);
        self.answer_flushes();
        let phase = self.phase;
        if self.advance_close(now_ns) {
            return Turn::Ended;
        }
        worked |= self.phase != phase;
        match (worked || self.took_much, took_any || self.saw_new) {
            (true, _) => Turn::Worked,
            (false, true) => Turn::FoundFew(self.calm),
            (false, false) => Turn::Idle,
        }
    }

    /// The longest that a record may wait in memory.
    pub(crate) fn flush_interval(&self) -> Duration {
        self.shared.settings.flush_interval
    }

    fn flush_interval_ns(&self) -> u64 {
        u64::try_from(self.flush_interval().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether the device is at work.
    pub(crate) fn is_writing(&self) -> bool {
        self.pipeline.is_writing()
    }

    /// Whether somebody waits for a flush.
    pub(crate) fn is_flushing(&self) -> bool {
        !self.flushes.is_empty()
    }

    /// How often somebody has asked for a flush.
    pub(crate) fn flushes_asked(&self) -> u64 {
        self.flushes_asked
    }

    /// Whether there is nothing to do, whatever the rings hold, until the device has ended a block.
    pub(crate) fn awaits_device(&self) -> bool {
        self.filling.is_none() && self.pipeline.awaits_device()
    }

    /// Waits for the device, at most for `timeout`; an unpark ends it too, where the device does not wait in the kernel.
    pub(crate) fn wait_for_device(&mut self, timeout: Duration) {
        self.pipeline.wait(timeout);
    }

    fn reap(&mut self) -> bool {
        let (sources, empty_slots, rota) = (&mut self.sources, &mut self.empty_slots, &mut self.rota);
        let (shared, released) = (&self.shared, &mut self.released);
        self.pipeline.reap(|contents| {
            for share in contents.shares {
                if let Some(source) = &mut sources[share.slot] {
                    source.release(share.position);
                    released.push(share.slot);
                }
            }
            for slot in contents.ended {
                let Some(source) = sources[slot].take() else { continue };
                empty_slots.push(slot);
                rota.remove(slot);
                if let Some(producer) = source.returned {
                    shared.registry.recycle(source.id, producer, source.consumer);
                }
            }
        })
    }

    /// Wakes the producers that sleep for want of the space that has become free. More will come while blocks are on
    /// their way to the disk.
    fn wake_producers(&mut self) {
        let to_come = self.is_writing();
        for slot in self.released.drain(..) {
            if let Some(source) = &self.sources[slot] {
                source.wake_producer(to_come);
            }
        }
    }

    /// Takes in the rings of new producers, and notes which have lost theirs.
    fn adopt(&mut self) {
        if !self.shared.registry.take_changed() {
            return;
        }
        let (arrivals, mut returned) = self.shared.registry.take();
        let block_bytes = self.shared.settings.block_bytes;
        for arrival in arrivals {
            let source = Some(Source::new(arrival, block_bytes, self.block_serial));
            let slot = self.empty_slots.pop().unwrap_or_else(|| {
                self.sources.push(None);
                self.sources.len() - 1
            });
            self.sources[slot] = source;
            self.rota.add(slot);
        }
        for (slot, source) in self.sources.iter_mut().enumerate() {
            if returned.is_empty() {
                break;
            }
            if let Some(source) = source
                && let Some(producer) = returned.remove(&source.id)
            {
                source.returned = Some(producer);
                self.ending.push(slot);
            }
        }
        let capacities = self.sources.iter().flatten().map(|source| source.consumer.capacity() as u64);
        // No ring has more than 2^30 bytes.
        let calm_max = |capacity| Duration::from_nanos(capacity * 1_000_000_000 / BURST_BYTES_PER_SECOND);
        self.calm_max = capacities.min().map_or(Duration::MAX, calm_max);
    }

    /// Moves records from the rings whose turn it is into blocks. Whether there were any to take; if not, all rings have been
    /// looked at, or there is no block.
    fn drain(&mut self, now_ns: u64) -> bool {
        (self.took_much, self.saw_new) = (false, false);
        self.calm = self.calm_max;
        let since_last_turn = now_ns.saturating_sub(std::mem::replace(&mut self.turned_ns, now_ns));
        if !self.drains() {
            return false;
        }
        // All rings at once, so that all of them are in the block that is closed then.
        let overdue = self.is_overdue(now_ns);
        let all = overdue || self.phase != Phase::Open || self.is_draining_for_flush();
        let mut rota = std::mem::take(&mut self.rota);
        let any = rota.turn(overdue, |slot| self.drain_source(slot, now_ns, since_last_turn, all));
        self.rota = rota;
        any
    }

    /// One ring's turn: all that it holds, or without the newest. Whether it had records to take; `None` where no block is
    /// to be had.
    fn drain_source(&mut self, slot: usize, now_ns: u64, since_last_turn: u64, all: bool) -> Option<bool> {
        let Some(source) = &mut self.sources[slot] else { return Some(false) };
        let due_since_ns = source.look(now_ns, self.block_serial, all);
        let (due, new, capacity) = (source.due_bytes(), source.new_bytes(), source.consumer.capacity());
        if new > 0 {
            self.saw_new = true;
            let calm_ns = since_last_turn.saturating_mul(capacity as u64) / (CALM_PART_OF_A_RING * new as u64);
            self.calm = self.calm.min(Duration::from_nanos(calm_ns));
        }
        if let Some(since_ns) = source.left_since_ns() {
            self.note_left(since_ns);
        }
        let Some(due_since_ns) = due_since_ns else { return Some(false) };
        // Read after the ring was observed, so that what it gives is not in the future.
        let observed_ns = self.shared.clock.monotonic_ns();
        let is_much = due >= capacity / MUCH_OF_A_RING;
        loop {
            if self.filling.is_none() && !self.begin_block(now_ns) {
                self.sources[slot].as_mut()?.leave_due(due_since_ns);
                self.note_left(due_since_ns);
                return None;
            }
            let (Some(filling), Some(source)) = (&mut self.filling, &mut self.sources[slot]) else { return None };
            filling.since_ns = filling.since_ns.min(due_since_ns);
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
            self.close_early |= source.is_too_open(0);
            self.took_much |= is_much;
            match drained {
                Drained::BlockFull => self.close_block(now_ns),
                Drained::Turn => return Some(true),
            }
        }
    }

    /// Notes that something has been left in a ring, which has been there since then.
    fn note_left(&mut self, since_ns: u64) {
        self.left_since_ns = Some(self.left_since_ns.map_or(since_ns, |earlier| earlier.min(since_ns)));
    }

    /// Whether something has been left in a ring for its interval.
    fn is_overdue(&mut self, now_ns: u64) -> bool {
        let is_due = |log: &LogWriter| log.left_since_ns.is_some_and(|since_ns| log.is_due(since_ns, now_ns));
        if is_due(self) {
            // What was left then may have been taken since.
            self.left_since_ns = self.sources.iter().flatten().filter_map(Source::left_since_ns).min();
        }
        is_due(self)
    }

    /// Whether what has been waiting since then has waited for its interval.
    fn is_due(&self, since_ns: u64, now_ns: u64) -> bool {
        now_ns.saturating_sub(since_ns) >= self.flush_interval_ns()
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

    /// Gives the device what waits, as far as it has room. Whether it got anything.
    fn submit(&mut self, now_ns: u64) -> bool {
        let mut any = false;
        while self.pipeline.prepare_next() {
            if !self.pipeline.segments.is_new() {
                self.pipeline.submit_next();
            } else if self.pipeline.check_segment() {
                // Deleted before its first block: nothing is written to where nobody finds it.
                break;
            } else if let Err(error) = self.submit_segment_header(now_ns) {
                self.pipeline.header_failed(&error);
            }
            any = true;
        }
        any
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
        let due = self.close_early
            || self.phase != Phase::Open
            || self.is_due(filling.since_ns, now_ns)
            || self.is_starving(filling);
        if due && !filling.block.is_empty() && self.pipeline.would_submit_now() {
            self.close_block(now_ns);
        }
    }

    /// Whether a producer waits for space that only `filling` holds back. While a block is on its way to the disk, space
    /// comes with it; blocks closed for that would be small ones.
    fn is_starving(&self, filling: &Filling) -> bool {
        let starved = |(slot, _): &(usize, Accounted)| self.sources[*slot].as_ref().is_some_and(Source::take_starved);
        !self.is_writing() && filling.touched.iter().any(starved)
    }
}
