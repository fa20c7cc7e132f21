//! The producers of one run: the attempts of each, how many are in the files, and whether rows and shards agree.
//!
//! The account calls it for each row and shard of intact blocks, in the order of block numbers. It reads no record.

use std::collections::HashMap;
use std::sync::Arc;

use crate::format::{DroppedBy, GapRecord, ProducerRow};
use crate::grouped::counted;

use super::super::record::ProducerIdentity;
use super::super::report::{ProducerReport, RunReport};
use super::super::scan::Loaded;
use super::findings::PassedOverBlocks;
use super::gaps::{Losses, Placed, SequenceGap};

/// Attempts and records before the files' first segment.
#[derive(Clone, Copy, Debug, Default)]
struct Base {
    attempts: u64,
    records: u64,
    /// Drops that were counted by then: they can be ahead of the attempts.
    dropped: u64,
    /// The same by cause, if that is known.
    dropped_by: DroppedBy,
}

impl Base {
    /// The attempts without a record.
    fn losses(&self) -> u64 {
        self.attempts.saturating_sub(self.records)
    }
}

/// The state of one producer while its run is read.
#[derive(Debug)]
struct Progress {
    producer: Arc<ProducerIdentity>,
    /// `None` until known.
    base: Option<Base>,
    /// The sequence number after the last one accounted for.
    next: u64,
    /// Records in the files since the base.
    found: u64,
    /// Records that were written since the base and are not in the files.
    damaged: u64,
    /// The blocks of the run that had been passed over when the counts last agreed.
    passed_over: PassedOverBlocks,
    /// The last block whose row was compared.
    row_block: Option<u64>,
    /// Whether a contradiction has been reported: one for each producer is enough.
    is_contradicted: bool,
    /// Its numbers that have come, and those that are missing.
    placed: Placed,
}

/// The account of one run's producers. Most methods take the run's report, which has a row for each.
#[derive(Debug, Default)]
pub(super) struct ProducerAccounts {
    /// Whether every producer that no baseline names starts from nothing.
    beginning_known: bool,
    /// Whether rows or final counts may be in a part that only a newer diolog can read.
    pub(super) rows_incomplete: bool,
    /// Whether gaps are wanted, with their causes.
    pub(super) wants_gaps: bool,
    /// The gaps of the block that was taken last, in the order of its shards; then those after a producer's last
    /// record.
    pub(super) gaps: Vec<SequenceGap>,
    /// How the files contradict themselves, as sentences that have not been reported.
    pub(super) faults: Vec<String>,
    by_id: HashMap<u32, usize>,
    /// In step with the rows of the run's report.
    states: Vec<Progress>,
    /// How many producers are tracked at most.
    length_max: usize,
    /// The producers whose final counts were taken since the last [`ProducerAccounts::fold_ended`].
    ended: Vec<u32>,
}

impl ProducerAccounts {
    /// The account of a run of which nothing has been read, for `length_max` producers at most.
    pub(super) fn new(beginning_known: bool, length_max: usize) -> ProducerAccounts {
        ProducerAccounts { beginning_known, length_max, ..ProducerAccounts::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// The producer with this id, as the last row that was read describes it.
    pub(super) fn producer(&self, id: u32) -> Arc<ProducerIdentity> {
        match self.by_id.get(&id) {
            Some(&at) => Arc::clone(&self.states[at].producer),
            None => Arc::new(ProducerIdentity { id, ..ProducerIdentity::default() }),
        }
    }

    /// The index of producer `id`, which is added if it is new; `None` if there are too many.
    fn index_of(&mut self, id: u32, run: &mut RunReport) -> Option<usize> {
        if let Some(&at) = self.by_id.get(&id) {
            return Some(at);
        }
        let at = self.states.len();
        assert!(at == run.producers.len(), "the report has {} rows for {at} producers", run.producers.len());
        if at >= self.length_max {
            return None;
        }
        self.by_id.insert(id, at);
        self.states.push(Progress {
            producer: Arc::new(ProducerIdentity { id, ..ProducerIdentity::default() }),
            base: None,
            next: 0,
            found: 0,
            damaged: 0,
            passed_over: PassedOverBlocks::default(),
            row_block: None,
            is_contradicted: false,
            placed: Placed::default(),
        });
        run.producers.push(ProducerReport { id, holds: true, ..ProducerReport::default() });
        Some(at)
    }

    /// Learns the name of the producer that a row or its final counts describe.
    pub(super) fn take_name(&mut self, row: &ProducerRow, run: &mut RunReport) {
        let Some(at) = self.index_of(row.id, run) else { return };
        let known = &mut self.states[at].producer;
        if known.tid != row.tid || *known.name != *row.name {
            *known = Arc::new(ProducerIdentity::of(row));
            let report = &mut run.producers[at];
            (report.tid, report.name) = (row.tid, row.name.clone());
        }
    }

    /// Takes a baseline. It counts attempts and records of the producer: those that were not read are in segments that
    /// are gone. Returns the number of those records.
    pub(super) fn take_baseline(
        &mut self,
        row: &ProducerRow,
        passed_over: PassedOverBlocks,
        run: &mut RunReport,
    ) -> u64 {
        let Some(at) = self.index_of(row.id, run) else { return 0 };
        let state = &mut self.states[at];
        let base = state.base.unwrap_or_default();
        let counted = base.records.saturating_add(state.found).saturating_add(state.damaged);
        let before = &run.producers[at];
        let dropped_by = row.dropped_by.unwrap_or_default().since(before.dropped_by.unwrap_or_default());
        state.base = Some(Base {
            attempts: base.attempts.saturating_add(row.next_sequence.saturating_sub(state.next)),
            records: base.records.saturating_add(row.records.saturating_sub(counted)),
            dropped: base.dropped.saturating_add(row.dropped.saturating_sub(before.dropped)),
            dropped_by: base.dropped_by.plus(dropped_by),
        });
        state.next = state.next.max(row.next_sequence);
        state.placed.note_removed(row.next_sequence);
        state.passed_over = passed_over;
        declare(&mut run.producers[at], row);
        row.records.saturating_sub(counted)
    }

    /// Compares the counts of a row in block `number`, which are those before the block, with what was found. A further
    /// row in the block has only newer losses.
    pub(super) fn take_row(
        &mut self,
        row: &ProducerRow,
        number: u64,
        passed_over: PassedOverBlocks,
        run: &mut RunReport,
    ) {
        let Some(at) = self.index_of(row.id, run) else { return };
        if self.states[at].row_block.replace(number) != Some(number) {
            let fault = self.compare(at, row, passed_over, &mut run.producers[at]);
            self.contradict(at, fault);
        } else {
            declare(&mut run.producers[at], row);
        }
    }

    /// Compares a producer's final counts with what was found.
    pub(super) fn take_end(&mut self, row: &ProducerRow, passed_over: PassedOverBlocks, run: &mut RunReport) {
        let Some(at) = self.index_of(row.id, run) else { return };
        self.ended.push(row.id);
        let report = &mut run.producers[at];
        report.ended = true;
        let fault = self.compare(at, row, passed_over, report);
        self.find_gap(at, row.next_sequence, GapEnd::FinalCounts(row));
        let parts = [row.records, row.dropped, row.overwritten, row.unwritten];
        let sum = parts.into_iter().fold(0_u128, |sum, part| sum + u128::from(part));
        let differs = sum != u128::from(row.next_sequence);
        let ends = || format!("ends with {}, and accounts for {sum}", counted(row.next_sequence, "attempt"));
        self.contradict(at, fault.or_else(|| differs.then(ends)));
    }

    /// Forgets the producers that have ended without a loss. It keeps only how many they were and how many records they
    /// had.
    pub(super) fn fold_ended(&mut self, run: &mut RunReport) {
        for id in std::mem::take(&mut self.ended) {
            let Some(&at) = self.by_id.get(&id) else { continue };
            let (state, row) = (&self.states[at], &run.producers[at]);
            let base = state.base.unwrap_or_default();
            let is_whole = base.attempts == base.records && state.next == base.attempts.saturating_add(state.found);
            if state.is_contradicted || !is_whole || row.dropped > 0 || row.overwritten > 0 || row.unwritten > 0 {
                continue;
            }
            run.folded_producers += 1;
            run.folded_records = run.folded_records.saturating_add(state.found);
            self.by_id.remove(&id);
            self.states.swap_remove(at);
            run.producers.swap_remove(at);
            if let Some(moved) = self.states.get(at) {
                self.by_id.insert(moved.producer.id, at);
            }
        }
    }

    fn compare(
        &mut self,
        at: usize,
        row: &ProducerRow,
        passed_over: PassedOverBlocks,
        report: &mut ProducerReport,
    ) -> Option<String> {
        declare(report, row);
        let from_nothing = self.beginning_known;
        let state = &mut self.states[at];
        let base = state.base.get_or_insert(if from_nothing {
            Base::default()
        } else {
            Base {
                attempts: row.next_sequence,
                records: row.records,
                dropped: row.dropped,
                dropped_by: row.dropped_by.unwrap_or_default(),
            }
        });
        state.placed.begin(base.attempts);
        let found = base.records.saturating_add(state.found).saturating_add(state.damaged);
        let mut fault = None;
        let is_after_unwanted = passed_over.unwanted > state.passed_over.unwanted;
        if is_after_unwanted {
            // It is not known which of the numbers are in the blocks that were left unread.
            state.placed.place(row.next_sequence);
        }
        if row.records > found {
            let uncounted = row.records - found;
            if is_after_unwanted {
                state.found += uncounted;
            } else if passed_over.missing > state.passed_over.missing {
                state.damaged += uncounted;
                state.placed.note_damaged(uncounted);
            } else if passed_over.newer > state.passed_over.newer {
                // They are in the blocks that only a newer diolog can read.
                state.found += uncounted;
            } else {
                fault = Some(format!("lacks {}, though no block is missing", counted(uncounted, "record")));
            }
        } else if row.records < found {
            fault = Some(format!("has {} more than it counted", counted(found - row.records, "record")));
        }
        if row.next_sequence < state.next {
            fault =
                Some(format!("counts {}, and has record {}", counted(row.next_sequence, "attempt"), state.next - 1));
        }
        state.next = state.next.max(row.next_sequence);
        state.passed_over = passed_over;
        fault
    }

    /// Takes in the shard with this index in `loaded`, block `number`, whose rows have been taken. If there are too
    /// many producers, only counts it.
    pub(super) fn take_shard(&mut self, index: usize, loaded: &Loaded, number: u64, run: &mut RunReport) {
        let (shard, rows_complete) = (&loaded.shards[index], !loaded.rows_incomplete);
        let Some(at) = self.index_of(shard.producer, run) else {
            run.shards_untracked += 1;
            return;
        };
        let (first, records) = (shard.first_sequence, u64::from(shard.records));
        // `ShardHeader::split` refuses an empty shard, and one whose numbers do not exist.
        debug_assert!(records > 0 && first.checked_add(records).is_some());
        let (state, report) = (&mut self.states[at], &mut run.producers[at]);
        let begins_at = if self.beginning_known { 0 } else { first };
        let base = state.base.get_or_insert(Base { attempts: begins_at, records: begins_at, ..Base::default() });
        state.placed.begin(base.attempts);
        let fault = if report.ended {
            Some("has records after its final counts".into())
        } else if rows_complete && state.row_block != Some(number) {
            Some("has records in a block that does not name it".into())
        } else if first < state.next {
            Some(format!("has record {first} after record {}", state.next - 1))
        } else {
            None
        };
        state.next = state.next.max(first + records);
        state.found = state.found.saturating_add(records);
        report.first_sequence.get_or_insert(first);
        report.last_sequence = Some(state.next - 1);
        self.find_gap(at, first, GapEnd::Shard { index, records: &loaded.gaps });
        self.states[at].placed.place(first + records);
        self.contradict(at, fault);
    }

    /// Finds the gap in the numbers of the producer at `at` before the number `end`.
    fn find_gap(&mut self, at: usize, end: u64, ended_by: GapEnd<'_>) {
        let Progress { producer, base, placed, .. } = &mut self.states[at];
        if !self.wants_gaps {
            return placed.place(end);
        }
        let before = base.unwrap_or_default();
        let dropped = before.dropped.min(before.losses());
        let overwritten = before.losses() - dropped;
        let before = Losses { dropped_by: before.dropped_by.at_most(dropped), overwritten, others: 0 };
        let (before_shard, records, last) = match ended_by {
            GapEnd::Shard { index, records } => (Some(index), records, None),
            GapEnd::FinalCounts(row) => (None, &[][..], Some((row, before))),
        };
        placed.find(producer.id, end, records, last, |numbers, cause| {
            self.gaps.push(SequenceGap {
                producer: Arc::clone(producer),
                first_sequence: numbers.start,
                count: numbers.end - numbers.start,
                cause,
                before_shard,
            });
        });
    }

    /// Notes the first contradiction of each producer.
    fn contradict(&mut self, at: usize, fault: Option<String>) {
        let state = &mut self.states[at];
        if let Some(fault) = fault
            && !std::mem::replace(&mut state.is_contradicted, true)
        {
            self.faults.push(format!("producer {} {fault}", state.producer.id));
        }
    }

    /// Fills in the rows as of now.
    pub(super) fn fill_in(&self, rows: &mut [ProducerReport]) {
        assert!(
            self.states.len() == rows.len(),
            "the report has {} rows for {} producers",
            rows.len(),
            self.states.len()
        );
        for (state, row) in self.states.iter().zip(rows) {
            let base = state.base.unwrap_or_default();
            row.attempted = state.next.max(base.attempts);
            row.retired = base.attempts;
            row.retired_losses = base.losses();
            row.retired_dropped = base.dropped.min(base.losses());
            row.retired_dropped_by = base.dropped_by.at_most(row.retired_dropped);
            row.records = state.found;
            row.missing = (row.attempted - row.retired).saturating_sub(state.found);
            row.damaged = state.damaged;
            row.holds = !state.is_contradicted;
        }
    }
}

/// What shows that numbers before it are missing.
enum GapEnd<'a> {
    /// The first number of the block's shard `index`. The block's records of gaps explain them.
    Shard { index: usize, records: &'a [GapRecord] },
    /// The producer's final counts.
    FinalCounts(&'a ProducerRow),
}

fn declare(report: &mut ProducerReport, row: &ProducerRow) {
    (report.dropped, report.dropped_by) = (row.dropped, row.dropped_by);
    (report.overwritten, report.unwritten) = (row.overwritten, row.unwritten);
}
