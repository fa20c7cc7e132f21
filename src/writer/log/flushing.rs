//! Flushes under way, in three steps: drain the rings up to the targets, close the block, answer when it is durable.

use std::sync::Arc;

use super::blocks::Blocks;
use crate::flush::{Answer, FlushFault, Ticket};
use crate::ring::Position;
use crate::shared::Shared;
use crate::writer::pipeline::Pipeline;
use crate::writer::source::Source;

/// The flushes of a log that are not answered.
#[derive(Default)]
pub(super) struct Flushes {
    under_way: Vec<Flush>,
    /// How many have been asked for.
    pub(super) asked: u64,
}

/// Who has asked for a flush.
pub(super) struct Askers {
    tickets: Vec<Arc<Ticket>>,
    /// Whether records have asked. Nobody waits for them.
    records: bool,
}

/// A flush of the records accepted before it was asked for.
struct Flush {
    askers: Askers,
    stage: FlushStage,
}

impl Flush {
    /// Answers all callers, and counts them. The first answer stands.
    fn answer(&self, answer: &Answer, pipeline: &Pipeline) {
        for ticket in &self.askers.tickets {
            // Count first: a caller that has its answer then finds it in the figures.
            pipeline.note_flush(answer.is_ok(), ticket.age());
            ticket.answer(answer.clone());
        }
    }

    /// Whether all of its records are in blocks with numbers below `durable_number`.
    fn is_durable(&self, durable_number: u64) -> bool {
        matches!(self.stage, FlushStage::Writing(number) if number <= durable_number)
    }
}

impl Drop for Flush {
    /// No caller waits for an answer that can no longer come.
    fn drop(&mut self) {
        self.askers.tickets.iter().for_each(|ticket| ticket.answer(Err(FlushFault::Closed)));
    }
}

enum FlushStage {
    /// Rings are being drained up to these positions.
    Draining(Vec<Target>),
    /// All is in closed blocks; durable when all blocks with numbers below this one are.
    Writing(u64),
}

/// How far one ring is to be drained, and which losses a block is to show.
struct Target {
    slot: usize,
    /// The ring's producer: slots are reused.
    producer: u32,
    position: Position,
    /// The records that it had lost.
    lost: u64,
}

impl Flushes {
    /// Whether somebody waits for a flush.
    pub(super) fn any(&self) -> bool {
        self.under_way.iter().any(|flush| !flush.askers.tickets.is_empty())
    }

    /// Takes what has been asked for. While a flush for records is under way, others that ask wait, and get one
    /// together.
    pub(super) fn take_askers(&mut self, shared: &Shared) -> Askers {
        let tickets = shared.flushes.take();
        self.asked += tickets.len() as u64;
        let any_for_records = self.under_way.iter().any(|flush| flush.askers.records);
        Askers { tickets, records: !any_for_records && shared.take_flush_asked() }
    }

    /// Begins the flush that was asked for, of everything that the rings hold now. `blocks` must have the rings of all
    /// producers that were registered before.
    pub(super) fn begin(&mut self, askers: Askers, blocks: &mut Blocks) {
        if askers.tickets.is_empty() && !askers.records {
            return;
        }
        let target = |(slot, source): (usize, &mut Source)| Target {
            slot,
            producer: source.id,
            position: source.consumer.observe(),
            lost: source.lost(),
        };
        let targets = blocks.sources.iter_mut().map(target).collect();
        self.under_way.push(Flush { askers, stage: FlushStage::Draining(targets) });
    }

    /// Whether a flush waits for records in rings.
    pub(super) fn any_draining(&self) -> bool {
        self.under_way.iter().any(|flush| matches!(&flush.stage, FlushStage::Draining(targets) if !targets.is_empty()))
    }

    /// Drops the targets that are reached, and closes the block once a flush has none left.
    pub(super) fn advance(&mut self, blocks: &mut Blocks, now_ns: u64) {
        for flush in &mut self.under_way {
            let FlushStage::Draining(targets) = &mut flush.stage else { continue };
            let mut is_drained = true;
            targets.retain(|target| {
                // A source that is gone has ended, all of it durable.
                let source = blocks.sources.get(target.slot).filter(|source| source.id == target.producer);
                let Some(source) = source else { return false };
                let is_reached = target.position.is_reached_by(source.consumer.cursor());
                is_drained &= is_reached;
                !(is_reached && source.shows_lost(target.lost))
            });
            if !is_drained || !targets.iter().all(|target| blocks.write_losses_of(target.slot, now_ns)) {
                continue;
            }
            if blocks.has_open_records() {
                if !blocks.pipeline.would_submit_now() {
                    continue;
                }
                blocks.close_filling(now_ns);
            }
            flush.stage = FlushStage::Writing(blocks.pipeline.next_number());
        }
    }

    /// Answers the callers whose records are durable, or will not be.
    pub(super) fn answer(&mut self, pipeline: &mut Pipeline) {
        let durable = pipeline.durable_number();
        let any_durable = self.under_way.iter().any(|flush| flush.is_durable(durable));
        if any_durable {
            pipeline.fail_unreachable_segment();
        }
        // Records that are durable in a file that readers do not find: a flush must fail, once.
        let answers_any = any_durable || (pipeline.fault().is_some() && self.any());
        let unreachable = if answers_any { pipeline.take_unreported() } else { None };
        let (pipeline, fault) = (&*pipeline, pipeline.fault());
        self.under_way.retain(|flush| {
            let answer = match (&unreachable, fault) {
                (None, _) if flush.is_durable(durable) => Ok(()),
                (Some(fault), _) | (None, Some(fault)) => Err(fault.clone()),
                (None, None) => return true,
            };
            flush.answer(&answer, pipeline);
            false
        });
    }

    /// Answers all callers: the log has ended.
    pub(super) fn answer_all(&mut self, answer: &Answer, pipeline: &Pipeline) {
        self.under_way.drain(..).for_each(|flush| flush.answer(answer, pipeline));
    }
}
