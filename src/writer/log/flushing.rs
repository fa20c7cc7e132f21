//! Flushes under way: from tickets, over rings drained so far and a block closed, to the answer.

use std::sync::Arc;

use super::{LogWriter, Source};
use crate::flush::{Answer, FlushFault, Ticket};

/// Callers that wait for what was accepted before they asked.
pub(super) struct Flush {
    tickets: Vec<Arc<Ticket>>,
    stage: FlushStage,
}

impl Flush {
    /// Answers all callers. The first answer stands.
    pub(super) fn answer(&self, answer: &Answer) {
        self.tickets.iter().for_each(|ticket| ticket.answer(answer.clone()));
    }
}

impl Drop for Flush {
    /// Nobody waits for an answer that cannot come.
    fn drop(&mut self) {
        self.answer(&Err(FlushFault::Closed));
    }
}

/// How far one ring is to be drained.
struct Target {
    slot: usize,
    /// Whose ring it is: a slot may serve another producer by and by.
    producer: u32,
    position: u64,
}

enum FlushStage {
    /// Rings are being drained up to these positions.
    Draining(Vec<Target>),
    /// All is in closed blocks; durable when all with numbers below this one are.
    Writing(u64),
}

impl LogWriter {
    /// Turns new tickets into a flush of what the rings hold now.
    pub(super) fn take_flushes(&mut self) {
        let tickets = self.shared.flushes.take();
        if tickets.is_empty() {
            return;
        }
        self.flushes_asked += tickets.len() as u64;
        // A producer that registered before the flush was asked for is in: its arrival came before the ticket.
        self.adopt();
        let target = |(slot, source): (usize, &mut Option<Source>)| {
            source.as_mut().map(|source| Target { slot, producer: source.id, position: source.consumer.observe() })
        };
        let targets = self.sources.iter_mut().enumerate().filter_map(target).collect();
        self.flushes.push(Flush { tickets, stage: FlushStage::Draining(targets) });
    }

    /// Whether a flush waits for what rings hold.
    pub(super) fn is_draining_for_flush(&self) -> bool {
        self.flushes.iter().any(|flush| matches!(&flush.stage, FlushStage::Draining(left) if !left.is_empty()))
    }

    /// Drops the rings that are drained far enough, and closes the block once all are.
    pub(super) fn advance_flushes(&mut self, now_ns: u64) {
        // Once close has ended draining, rings are gone that still held records: the log's end gives the answer.
        if self.flushes.is_empty() || !self.drains() {
            return;
        }
        for at in 0..self.flushes.len() {
            let FlushStage::Draining(left) = &mut self.flushes[at].stage else { continue };
            left.retain(|target| {
                // A source that is not there any more has ended, all of it durable.
                let source = self.sources[target.slot].as_ref().filter(|source| source.id == target.producer);
                // Distances, because positions wrap.
                source.is_some_and(|source| (target.position.wrapping_sub(source.consumer.cursor()) as i64) > 0)
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
    pub(super) fn answer_flushes(&mut self) {
        let durable = self.pipeline.durable_sequence();
        let is_durable = |stage: &FlushStage| matches!(stage, FlushStage::Writing(sequence) if *sequence <= durable);
        // What is durable in a file that somebody has deleted is gone: nobody is told that it is safe.
        let is_gone = self.flushes.iter().any(|flush| is_durable(&flush.stage)) && self.pipeline.check_segment();
        let fault = self.pipeline.fault();
        self.flushes.retain(|flush| {
            let answer = match (&flush.stage, fault) {
                (stage, _) if is_durable(stage) && !is_gone => Ok(()),
                (_, Some(fault)) => Err(fault.clone()),
                _ => return true,
            };
            flush.answer(&answer);
            false
        });
    }
}
