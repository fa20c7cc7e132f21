//! One log as the writer serves it, turn by turn: take back completed blocks, drain the rings, close blocks when they
//! are due, answer flushes, end.
//!
//! The parts: `blocks` are filled from `sources`, in the order of the schedule, with the writer's own records from
//! `control`; `flushing` and `ending` follow a flush and a close through their stages.

mod blocks;
mod sources;
mod control;
mod figures;
mod flushing;
mod ending;
mod losses;

use std::sync::Arc;
use std::time::Duration;

use crate::crash::LogRings;
use crate::flush::FlushFault;
use crate::listen::Taps;
use crate::segment::Directory;
use crate::shared::Shared;
use crate::writer::pipeline::Pipeline;
use crate::writer::schedule::{Schedule, Turn};
use blocks::Blocks;
use control::ControlRecords;
use ending::Ending;
use flushing::Flushes;

/// A log being written.
pub(crate) struct LogWriter {
    pub(super) shared: Arc<Shared>,
    /// Kept for its lock, which must be held until after the last write.
    directory: Directory,
    /// The log's place in a ring file; `None` if its rings are in memory of the process.
    rings: Option<LogRings>,
    schedule: Schedule,
    blocks: Blocks,
    flushes: Flushes,
    ending: Ending,
}

impl LogWriter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        pipeline: Pipeline,
        taps: Taps,
        directory: Directory,
        mut rings: Option<LogRings>,
    ) -> LogWriter {
        let control = ControlRecords::new(shared.clock, pipeline.device.report().to_string());
        let blocks = Blocks::new(Arc::clone(&shared), pipeline, control, taps);
        rings.iter_mut().for_each(|rings| rings.publish_anchor(blocks.converter.anchor()));
        LogWriter {
            directory,
            ending: Ending::new(rings.is_some()),
            rings,
            schedule: Schedule::new(shared.settings.config.flush_interval),
            blocks,
            flushes: Flushes::default(),
            shared,
        }
    }

    /// Does all work that is due now. Does not wait.
    pub(crate) fn turn(&mut self) -> Turn {
        let LogWriter { shared, rings, schedule, blocks, flushes, ending, .. } = self;
        let now_ns = blocks.converter.refresh_if_due();
        if let Some(rings) = rings {
            rings.publish_anchor(blocks.converter.anchor());
        }
        if schedule.segment_check.take_due(now_ns) {
            blocks.pipeline.fail_unreachable_segment();
            blocks.pipeline.segments.give_back_if_quiet(now_ns);
        }
        let mut worked = blocks.reap(schedule);
        // Before draining, which takes time: the disk has just become free, and so has space in rings.
        worked |= blocks.submit(now_ns);
        blocks.sources.wake_producers(blocks.pipeline.is_writing());
        worked |= blocks.sources.give_back_reserves(now_ns);
        worked |= blocks.pipeline.heal();
        blocks.pipeline.segments.leave_if_due(now_ns, shared.take_rotation());
        blocks.control.add_notes(blocks.pipeline.take_notes());
        let askers = flushes.take_askers(shared);
        // After that, so that the ring of a producer that registered before a flush was asked for is there.
        blocks.adopt(schedule);
        flushes.begin(askers, blocks);
        schedule.allowance.begin_turn(now_ns);
        let mut took_any = false;
        if ending.drains() {
            let all = !ending.is_open() || flushes.any_draining();
            took_any = blocks.drain(schedule, now_ns, all);
            // After draining has ended, rings may be gone although they hold records. Then the log's end answers the
            // flushes.
            flushes.advance(blocks, now_ns);
        }
        blocks.close_due(now_ns, &schedule.interval, !ending.is_open());
        worked |= blocks.submit(now_ns);
        if ending.is_open() {
            blocks.write_due_ends(now_ns);
            blocks.write_losses_if_due(now_ns);
        }
        flushes.answer(&mut blocks.pipeline);
        worked |= ending.advance(shared, blocks, schedule, now_ns);
        worked |= blocks.taps.pass_on();
        blocks.losses.report_if_due(shared, &mut blocks.sources, now_ns);
        blocks.snapshot_if_due(now_ns, false);
        schedule.allowance.end_turn(worked, took_any)
    }

    /// Whether the log has ended and can be [finished](Self::finish).
    pub(crate) fn has_ended(&self) -> bool {
        self.ending.has_ended()
    }

    /// Whether the device is at work.
    pub(crate) fn is_writing(&self) -> bool {
        self.blocks.pipeline.is_writing()
    }

    /// Whether somebody waits for a flush.
    pub(crate) fn is_flushing(&self) -> bool {
        self.flushes.any()
    }

    /// How many flushes have been asked for.
    pub(crate) fn flushes_asked(&self) -> u64 {
        self.flushes.asked
    }

    /// Whether there is nothing to do, whatever the rings hold, until the device has completed a block.
    pub(crate) fn awaits_device(&self) -> bool {
        !self.blocks.is_filling() && self.blocks.pipeline.awaits_device()
    }

    /// Reports that the device has stepped down, if it has.
    pub(crate) fn follow_device(&mut self) {
        self.blocks.pipeline.follow_device();
    }

    /// Waits for the device, at most for `timeout`; an unpark ends it too, unless the device waits in the kernel.
    pub(crate) fn wait_for_device(&mut self, timeout: Duration) {
        self.blocks.pipeline.device.wait(timeout);
    }

    /// Gives the log up after a panic in one of its turns. Does not wait. Blocks with the device stay in memory until
    /// their writes have ended.
    pub(crate) fn give_up(self) {
        self.blocks.pipeline.give_up();
        drop(self.directory);
    }

    /// Releases everything, and then publishes how the log ended, so that the directory can be opened again at once.
    /// The thread that prepares segments does the last part, after its other work for the log.
    pub(crate) fn finish(mut self) {
        self.blocks.losses.report(&self.shared, &mut self.blocks.sources);
        self.blocks.snapshot_if_due(self.shared.clock.monotonic_ns(), true);
        // Before the end is published: a caller that waits for the end waits for the listeners after that.
        self.blocks.taps.end();
        let pipeline = self.blocks.pipeline;
        let mut summary = self.shared.close_summary(pipeline.durable_records(), self.ending.reason);
        if summary.unconfirmed > 0 {
            summary.reason.get_or_insert_with(|| "the deadline cut draining short".to_owned());
        }
        // A flush that is still open waited for all that was accepted.
        let answer = match summary.reason {
            None => Ok(()),
            Some(_) => Err(pipeline.fault().cloned().unwrap_or(FlushFault::Closed)),
        };
        self.flushes.answer_all(&answer, &pipeline);
        self.shared.flushes.close().iter().for_each(|ticket| ticket.answer(answer.clone()));
        let (shared, directory, rings) = (self.shared, self.directory, self.rings);
        let is_clean = self.ending.is_clean && summary.unconfirmed == 0;
        pipeline.end(move || {
            // After an end that is not clean, what the rings hold is recovered when the log is opened again.
            if let Some(rings) = rings.filter(|_| is_clean) {
                rings.end(&directory.opened());
            }
            drop(directory);
            shared.closing.finish(summary);
        });
    }
}
