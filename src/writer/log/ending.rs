//! The end: of a producer that is gone, and of the log itself, as far as close's deadline allows.

use std::time::{Duration, Instant};

use super::{LogWriter, Source};
use crate::block::RecordMeta;
use crate::flush::FlushFault;
use crate::format::{BlockFlags, Kind, ProducerRow};
use crate::writer::pipeline::Contents;

/// The part of close's deadline that is kept for writing the final counts, once draining has been cut short.
const CLOSING_RESERVE: Duration = Duration::from_millis(250);

/// How far close has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Waiting for appends under way and draining, until all rings are empty.
    Draining,
    /// Nothing is drained any more; the final counts are being written.
    Counting,
    /// The final counts are in closed blocks; waiting until all is durable.
    Settling,
    /// The clean end is submitted.
    Ending,
}

impl LogWriter {
    /// Writes the end record of each producer that is gone and drained.
    pub(super) fn end_sources(&mut self, now_ns: u64) {
        if self.phase != Phase::Open {
            return;
        }
        let mut at = 0;
        while let Some(&slot) = self.ending.get(at) {
            if self.sources[slot].as_mut().is_some_and(Source::has_records) {
                at += 1;
            } else if self.write_end(slot, now_ns) {
                self.ending.swap_remove(at);
            } else {
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
    pub(super) fn advance_close(&mut self, now_ns: u64) -> bool {
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
                if cut_short || self.is_drained() {
                    self.phase = Phase::Counting;
                }
            }
            Phase::Counting => {
                if self.write_all_ends(now_ns) {
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

    /// Whether records are still taken from rings. Once the final counts are written, what lies there is accounted for as
    /// unwritten.
    pub(super) fn drains(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining)
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
        let mut summary = self.shared.close_summary(self.end_reason);
        if summary.unconfirmed > 0 {
            summary.reason.get_or_insert_with(|| "the deadline cut draining short".to_owned());
        }
        // A flush that is still open waited for all that was accepted.
        let answer = if summary.reason.is_none() {
            Ok(())
        } else {
            Err(self.pipeline.fault().cloned().unwrap_or(FlushFault::Closed))
        };
        self.flushes.drain(..).for_each(|flush| flush.answer(&answer));
        self.shared.flushes.close().iter().for_each(|ticket| ticket.answer(answer.clone()));
        self.pipeline.end();
        drop(self.directory);
        self.shared.closing.finish(summary);
    }
}
