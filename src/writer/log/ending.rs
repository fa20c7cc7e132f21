//! The end of a log, as far as close's deadline allows: rings drained, final counts written, the clean end alone.

use std::time::{Duration, Instant};

use super::blocks::Blocks;
use crate::shared::Shared;
use crate::writer::schedule::Schedule;

/// The part of close's deadline that is kept for writing the final counts if draining is cut short.
const CLOSING_RESERVE: Duration = Duration::from_millis(250);

/// How far close has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Waiting for appends under way and draining, until all rings are empty.
    Draining,
    /// Nothing is drained any more; the final counts are being written.
    Counting,
    /// The final counts are in closed blocks; waiting until all is durable.
    Settling,
    /// The clean end is submitted.
    Ending,
    /// The deadline has cut draining short, and the rings outlive the process: a recovery takes the rest. So there are
    /// neither final counts nor a clean end. Waiting until what was taken is durable.
    Leaving,
    /// The log has ended.
    Ended,
}

/// The end of a log.
pub(super) struct Ending {
    phase: Phase,
    deadline: Option<Instant>,
    /// Whether the rings outlive the process.
    keeps_rings: bool,
    /// Whether all was written, with the clean end.
    pub(super) is_clean: bool,
    /// Why `close` is an error, if it is one.
    pub(super) reason: Option<String>,
}

impl Ending {
    /// Of a log that is open.
    pub(super) fn new(keeps_rings: bool) -> Ending {
        Ending { phase: Phase::Open, deadline: None, keeps_rings, is_clean: false, reason: None }
    }

    /// Whether nobody has closed the log.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether records are still taken from rings. After the final counts are written, the records in rings count as
    /// unwritten.
    pub(super) fn drains(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining)
    }

    /// Whether the log has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Advances the close, if one is asked for. Returns whether it has reached another phase.
    pub(super) fn advance(
        &mut self,
        shared: &Shared,
        blocks: &mut Blocks,
        schedule: &mut Schedule,
        now_ns: u64,
    ) -> bool {
        if self.deadline.is_none() {
            self.deadline = shared.closing.deadline();
        }
        let Some(deadline) = self.deadline else { return false };
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let before = self.phase;
        self.phase = match before {
            Phase::Open => Phase::Draining,
            Phase::Draining => {
                blocks.adopt(schedule);
                let cut_short = left <= CLOSING_RESERVE.min(shared.settings.config.close_deadline / 4);
                if blocks.observe_drained(&shared.closing.awaited_appends(now)) {
                    Phase::Counting
                } else if !cut_short {
                    before
                } else if self.keeps_rings {
                    blocks.close_filling(now_ns);
                    Phase::Leaving
                } else {
                    Phase::Counting
                }
            }
            Phase::Counting => {
                if blocks.write_all_ends(now_ns) {
                    blocks.close_filling(now_ns);
                    Phase::Settling
                } else {
                    before
                }
            }
            Phase::Settling => {
                let is_reachable = blocks.pipeline.is_durable() && !blocks.pipeline.fail_unreachable_segment();
                if is_reachable && blocks.write_clean_end(now_ns) { Phase::Ending } else { before }
            }
            Phase::Ending if blocks.pipeline.is_durable() => Phase::Ended,
            Phase::Leaving if blocks.pipeline.is_durable() => {
                let rest = "the deadline cut draining short; the next open of the log recovers the rest from its rings";
                self.reason = Some(rest.to_owned());
                Phase::Ended
            }
            Phase::Ending | Phase::Leaving | Phase::Ended => before,
        };
        if left.is_zero() && self.phase != Phase::Ended {
            let fault = blocks.pipeline.fault().map(|fault| fault.clone().into_error().to_string());
            self.reason = Some(fault.unwrap_or_else(|| "the deadline passed first".to_owned()));
            self.phase = Phase::Ended;
        }
        if self.phase == Phase::Ended && self.reason.is_none() {
            self.is_clean = true;
            // A flush may have returned the error already, and its caller ignored it.
            let unreachable = blocks.pipeline.unreachable().map(|fault| fault.clone().into_error());
            self.reason = unreachable.map(|error| format!("readers do not find records that were durable: {error}"));
        }
        self.phase != before
    }
}
