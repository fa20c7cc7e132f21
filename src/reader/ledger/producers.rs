//! The producers' part of the account: what each attempted, what of it was found, and whether rows and shards agree.

use std::sync::Arc;

use crate::format::ProducerRow;

use super::super::record::Producer;
use super::super::report::{ProducerReport, Severity};
use super::{Ledger, Spot};

/// Producers that rows are kept for, over all runs: about 40 MiB of them.
const PRODUCERS_MAX: usize = 1 << 17;

/// What is known of one producer while its run is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// Attempts and records that lie before the files' first segment; `None` until known.
    base: Option<(u64, u64)>,
    /// The sequence number that follows the last one accounted for.
    next: u64,
    /// Records found since the base.
    found: u64,
    /// Records written since the base, and not found.
    damaged: u64,
    /// How often blocks had gone missing when the counts last agreed.
    gaps: u64,
    /// The last block whose row was compared.
    row_block: Option<u64>,
    /// Whether a contradiction has been reported: one a producer will do.
    contradicted: bool,
}

impl Ledger {
    /// Where producer `id` stands, made if need be; `None` where there are too many.
    pub(super) fn place_of(&mut self, id: u32) -> Option<usize> {
        let account = &mut self.account;
        if let Some(&at) = account.by_id.get(&id) {
            return Some(at);
        }
        let at = account.states.len();
        if self.rows_before + at >= PRODUCERS_MAX {
            return None;
        }
        account.by_id.insert(id, at);
        account.states.push(State::default());
        account.producers.push(Arc::new(Producer { id, ..Producer::default() }));
        let run = self.report.runs.last_mut()?;
        run.producers.push(ProducerReport { id, holds: true, ..ProducerReport::default() });
        Some(at)
    }

    fn report_row(&mut self, at: usize) -> Option<&mut ProducerReport> {
        self.report.runs.last_mut()?.producers.get_mut(at)
    }

    fn declare(&mut self, at: usize, row: &ProducerRow) {
        if let Some(report) = self.report_row(at) {
            (report.dropped, report.overwritten, report.unwritten) = (row.dropped, row.overwritten, row.unwritten);
        }
    }

    /// Takes a baseline: what the producer had attempted and written before this, and was not read, lay in segments that
    /// are gone.
    pub(super) fn base(&mut self, row: &ProducerRow) {
        let Some(at) = self.place_of(row.id) else { return };
        let gaps = self.account.gaps;
        let state = &mut self.account.states[at];
        let (attempts, records) = state.base.unwrap_or_default();
        let counted = records.saturating_add(state.found).saturating_add(state.damaged);
        let gone = (row.next_sequence.saturating_sub(state.next), row.records.saturating_sub(counted));
        state.base = Some((attempts.saturating_add(gone.0), records.saturating_add(gone.1)));
        state.next = state.next.max(row.next_sequence);
        state.gaps = gaps;
        self.declare(at, row);
    }

    /// Compares a row's counts, those before block `number`, with what was found.
    pub(super) fn row(&mut self, row: &ProducerRow, number: u64, spot: &Spot) {
        let Some(at) = self.place_of(row.id) else { return };
        if self.account.states[at].row_block == Some(number) {
            return;
        }
        self.account.states[at].row_block = Some(number);
        self.compare(at, row, spot);
    }

    fn compare(&mut self, at: usize, row: &ProducerRow, spot: &Spot) {
        self.declare(at, row);
        let (gaps, beginning_known) = (self.account.gaps, self.account.beginning_known);
        let state = &mut self.account.states[at];
        let base = *state.base.get_or_insert(if beginning_known { (0, 0) } else { (row.next_sequence, row.records) });
        let counted = base.1.saturating_add(state.found).saturating_add(state.damaged);
        let mut fault = None;
        if row.records > counted {
            if gaps > state.gaps {
                state.damaged += row.records - counted;
            } else {
                fault = Some(format!("{} records are gone, though no block is missing", row.records - counted));
            }
        } else if row.records < counted {
            fault = Some(format!("{} records more than it counted", counted - row.records));
        }
        if row.next_sequence < state.next {
            fault = Some(format!("counts {} attempts, and has record {}", row.next_sequence, state.next - 1));
        }
        state.next = state.next.max(row.next_sequence);
        state.gaps = gaps;
        if let Some(fault) = fault {
            self.contradict(at, spot, &fault);
        }
    }

    pub(super) fn shard(&mut self, id: u32, first: u64, records: u32, number: u64, spot: &Spot) {
        let Some(at) = self.place_of(id) else {
            if let Some(run) = self.report.runs.last_mut() {
                run.producers_untracked += 1;
            }
            return;
        };
        let beginning_known = self.account.beginning_known;
        let state = &mut self.account.states[at];
        state.base.get_or_insert(if beginning_known { (0, 0) } else { (first, first) });
        let mut fault = None;
        if first < state.next {
            fault = Some(format!("record {first} comes after record {}", state.next - 1));
        }
        if state.row_block != Some(number) {
            fault = Some("has records in a block that does not name it".to_string());
        }
        // A shard whose last sequence number does not exist has been refused.
        state.next = state.next.max(first + u64::from(records));
        state.found += u64::from(records);
        let last = state.next - 1;
        let mut after_end = false;
        if let Some(report) = self.report_row(at) {
            report.first_sequence.get_or_insert(first);
            report.last_sequence = Some(last);
            after_end = report.ended;
        }
        if after_end {
            fault = Some("has records after its end".to_string());
        }
        if let Some(fault) = fault {
            self.contradict(at, spot, &fault);
        }
    }

    pub(super) fn end(&mut self, row: &ProducerRow, spot: &Spot) {
        let Some(at) = self.place_of(row.id) else { return };
        self.compare(at, row, spot);
        let parts = [row.records, row.dropped, row.overwritten, row.unwritten];
        let sum = parts.into_iter().fold(0_u128, |sum, part| sum + u128::from(part));
        if sum != u128::from(row.next_sequence) {
            let fault = format!("ends with {} attempts, and accounts for {sum}", row.next_sequence);
            self.contradict(at, spot, &fault);
        }
        if let Some(report) = self.report_row(at) {
            report.ended = true;
        }
    }

    fn contradict(&mut self, at: usize, spot: &Spot, fault: &str) {
        let state = &mut self.account.states[at];
        if !std::mem::replace(&mut state.contradicted, true) {
            let id = self.account.producers[at].id;
            self.contradiction(spot, format!("producer {id} {fault}"));
        }
    }

    /// Says what each producer of the run comes to if the run ends here.
    pub(super) fn settle_rows(&mut self, clean: bool) {
        let Some(run) = self.report.runs.last_mut() else { return };
        let mut unended = None;
        for (state, row) in self.account.states.iter().zip(&mut run.producers) {
            let (base_next, base_records) = state.base.unwrap_or((0, 0));
            row.attempted = state.next.max(base_next);
            row.retired = base_next;
            row.retired_losses = base_next.saturating_sub(base_records);
            row.records = state.found;
            row.missing = (row.attempted - row.retired).saturating_sub(state.found);
            row.damaged = state.damaged;
            row.holds = !state.contradicted;
            if clean && !row.ended && unended.is_none() {
                unended = Some(row.id);
            }
        }
        run.records = run.producers.iter().map(|row| row.records).sum();
        if let Some(id) = unended {
            let severity = if self.account.gaps == 0 { Severity::Lost } else { Severity::Unconfirmed };
            let what = format!("producer {id} has no final counts, though the run was closed");
            self.tell((severity, self.spot(usize::MAX, 0), what));
        }
    }
}
