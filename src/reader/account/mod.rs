//! The account of what was read: blocks by outcome, producers' sequences and counts, and whether they add up.
//!
//! The walk feeds it the segments and blocks of one run after the other, in the order of block numbers; it fills the
//! [`Report`]. It reads nothing, and looks at no record: rows and shard headers are enough for the identity.
//!
//! `blocks` says which blocks are missing, by the rules of `testimony`; `producers` compares counts; `findings` has the
//! severity and the words of each fact.

mod blocks;
mod findings;
mod producers;
mod testimony;

use std::collections::HashSet;
use std::sync::Arc;

use crate::format::{Newer, StatusCode};

use super::files::{Run, Segment, Suspicion};
use super::record::Producer;
use super::report::{BlockCounts, Mark, Report, RunReport, Severity};
use super::scan::{BlockLocation, Debris, Loaded, Unread};
use blocks::{Blocks, Conclusion};
use findings::{Fact, NoCounts, Observation};
use producers::{Producers, Untracked};

pub(crate) use blocks::{Before, Trailing};
pub(crate) use findings::Location;

/// Notes of the writer's that are kept for each run.
const NOTES_MAX: usize = 64;

/// Producers that rows are kept for, over all runs: they take about 40 MiB.
const PRODUCERS_MAX: usize = 1 << 17;

/// Whether what the report says of the end of the run, or of the log, is final.
#[derive(Debug, Default)]
enum Certainty {
    #[default]
    Final,
    /// It holds if nothing follows. Otherwise the findings after this mark are taken back.
    Provisional(Mark),
}

/// The account of the run that is being read, or was read last.
#[derive(Debug, Default)]
struct RunAccount {
    blocks: Blocks,
    producers: Producers,
    /// The marks of a newer diolog that have been reported: one finding for each is enough.
    newer: HashSet<Newer>,
}

/// The account of all runs.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) report: Report,
    run: RunAccount,
    /// Counts of the runs before this one.
    before: BlockCounts,
    /// Producers of the runs before this one.
    producers_before: usize,
    certainty: Certainty,
}

impl Account {
    /// Begins a run.
    pub(super) fn start_run(&mut self, run: &Run) {
        let mut report = RunReport::new(run.id);
        let blocks = Blocks::of(run);
        if let Some(first) = run.segments.first() {
            (report.first_segment, report.last_segment) = (first.index(), first.index());
        }
        report.retired = blocks.expected().is_some_and(|expected| expected > 0);
        let producers = Producers::new(blocks.expected().is_some(), PRODUCERS_MAX - self.producers_before);
        self.run = RunAccount { blocks, producers, newer: HashSet::new() };
        self.report.runs.push(report);
    }

    /// The number that the next block of the run should have.
    pub(super) fn expected(&self) -> Option<u64> {
        self.run.blocks.expected()
    }

    /// Missing blocks from `number` on may have been written after the reader looked for them.
    pub(super) fn prove_below(&mut self, number: u64) {
        self.run.blocks.prove_below(number);
    }

    /// All blocks of the run below this number were durable.
    pub(super) fn durable_below(&self) -> u64 {
        self.run.blocks.durable_below()
    }

    /// The producer with this id in the run, as the last row that was read describes it.
    pub(super) fn producer(&self, id: u32) -> Arc<Producer> {
        self.run.producers.producer(id)
    }

    /// How many segments of the run have begun or were found to be removed.
    pub(super) fn segments_begun(&self) -> usize {
        self.run.blocks.segments_begun()
    }

    /// The position `offset` in the `segment`th segment of the run, which has begun.
    pub(super) fn location(&self, segment: usize, offset: u64) -> Location {
        self.run.blocks.location(segment, offset)
    }

    /// Passes over the run's next segment, which was removed before it could be read.
    pub(super) fn segment_removed(&mut self, segment: &Segment) {
        let observed = self.run.blocks.segment_removed(&segment.path);
        self.observe([observed]);
    }

    /// Notes that segments after `previous` were removed before they were listed.
    pub(super) fn segments_removed_after(&mut self, previous: &Segment) {
        let observed = self.run.blocks.segments_removed_after(&previous.path);
        self.observe([observed]);
    }

    /// Begins a segment, with its block 0 if that is intact. `before` says where blocks are that are missing before it.
    pub(super) fn start_segment(&mut self, segment: &Segment, before: &Before, block_0: Option<&Loaded>) {
        let report = self.run_report();
        report.segments += 1;
        report.first_segment = report.first_segment.min(segment.index());
        report.last_segment = report.last_segment.max(segment.index());
        if let Some(header) = &segment.header {
            report.service.clone_from(&header.service);
        }
        let mut observed = Vec::new();
        let has_baseline = self.run.blocks.start_segment(segment, before, &mut observed);
        self.observe(observed);
        let Some(loaded) = block_0 else { return };
        self.take_notes(loaded, &Location::start_of(&segment.path));
        if has_baseline {
            let gaps = self.run.blocks.gaps();
            let (producers, rows) = self.producers();
            loaded.rows.iter().for_each(|row| producers.take_baseline(row, gaps, rows));
        }
    }

    /// Ends a segment, with the debris after its last block.
    pub(super) fn end_segment(&mut self, trailing: Trailing) {
        self.run.blocks.end_segment(trailing);
    }

    /// Counts `copies` of block `number` besides the one that is read.
    pub(super) fn duplicates(&mut self, number: u64, copies: u64, debris: &Debris) {
        self.run.blocks.duplicates(number, copies, debris);
    }

    /// Passes over a block of which no copy is good.
    pub(super) fn bad(&mut self, block: &BlockLocation, debris: &Debris) {
        let mut observed = Vec::new();
        self.run.blocks.bad(block, debris, &mut observed);
        self.observe(observed);
    }

    /// Passes over a block that is there, and that only a newer diolog can read.
    pub(super) fn newer(&mut self, block: &BlockLocation, newer: Newer, debris: &Debris) {
        let mut observed = Vec::new();
        self.run.blocks.newer(block, newer, debris, &mut observed);
        self.run.producers.mark_notes_incomplete();
        self.observe(observed);
    }

    /// Takes in a good block.
    pub(super) fn good(&mut self, block: &BlockLocation, debris: &Debris, loaded: &Loaded) {
        self.report.bytes += u64::from(block.header.capacity.get());
        let mut observed = Vec::new();
        self.run.blocks.good(block, debris, &mut observed);
        self.observe(observed);
        let location = self.location(block.segment, block.offset);
        self.take_notes(loaded, &location);
        self.take_counts(block.number(), loaded, &location);
    }

    /// Compares the counts in a good block's rows with its shards.
    fn take_counts(&mut self, number: u64, loaded: &Loaded, location: &Location) {
        let gaps = self.run.blocks.gaps();
        let rows_complete = !loaded.notes_incomplete;
        let (producers, rows) = self.producers();
        let mut faults = Vec::new();
        let mut untracked = 0;
        for row in &loaded.rows {
            faults.extend(producers.take_row(row, number, gaps, rows).map(|fault| (row.id, fault)));
        }
        for shard in &loaded.shards {
            match producers.take_shard(shard, number, rows_complete, rows) {
                Ok(fault) => faults.extend(fault.map(|fault| (shard.producer, fault))),
                Err(Untracked) => untracked += 1,
            }
        }
        for row in &loaded.ends {
            faults.extend(producers.take_end(row, gaps, rows).map(|fault| (row.id, fault)));
        }
        let at = || location.clone();
        if untracked > 0 {
            let report = self.run_report();
            let is_first = report.producers_untracked == 0;
            report.producers_untracked += untracked;
            self.observe(is_first.then(|| Observation { fact: Fact::ProducersUntracked, at: at() }));
        }
        let contradiction = |(id, fault)| Observation { fact: Fact::ProducerContradiction { id, fault }, at: at() };
        self.observe(faults.into_iter().map(contradiction));
    }

    /// Takes the writer's own records of an intact block, but for the counts in them.
    fn take_notes(&mut self, loaded: &Loaded, location: &Location) {
        self.count_unread_at(&loaded.unread, location.clone());
        if loaded.notes_incomplete {
            self.run.producers.mark_notes_incomplete();
        }
        let (producers, rows) = self.producers();
        loaded.rows.iter().chain(&loaded.ends).for_each(|row| producers.take_name(row, rows));
        let report = self.run_report();
        for status in &loaded.statuses {
            if status.code == StatusCode::Device as u16 {
                report.device = Some(status.text.clone());
            } else if report.notes.len() < NOTES_MAX {
                report.notes.push(status.text.clone());
            }
        }
    }

    /// Counts records that were passed over while records were read.
    pub(super) fn count_unread(&mut self, unread: &Unread) {
        if !unread.is_empty() {
            self.count_unread_at(unread, Location { offset: None, ..self.run.blocks.last_segment() });
        }
    }

    /// As [`count_unread`](Self::count_unread), if it is known where they are.
    pub(super) fn count_unread_at(&mut self, unread: &Unread, at: Location) {
        self.report.skipped += unread.skipped;
        self.report.unreadable += unread.invalid;
        self.report.newer_records += unread.newer;
        let invalid = (unread.invalid > 0).then_some(Fact::InvalidRecords { records: unread.invalid });
        let newer = unread.shown_by.map(Fact::NewerRecords);
        self.observe(invalid.into_iter().chain(newer).map(|fact| Observation { fact, at: at.clone() }));
    }

    /// Reports that the files contradict themselves.
    pub(super) fn contradiction(&mut self, at: Location, what: String) {
        self.observe([Observation { fact: Fact::Contradiction(what), at }]);
    }

    /// Concludes what the run comes to if it ends here: `torn` is the first and the last of the blocks at its end that have
    /// not been passed over and of which none is good; `trailing` stands after them.
    pub(super) fn conclude(&mut self, torn: Option<(&BlockLocation, &BlockLocation)>, trailing: Option<Trailing>) {
        self.reopen();
        self.certainty = Certainty::Provisional(self.report.mark());
        let Conclusion { observations, mut counts, clean_end } = self.run.blocks.conclude(torn, trailing);
        for observation in observations {
            self.tell(observation, &mut counts);
        }
        let (producers, rows) = self.producers();
        let unended = producers.conclude(rows).filter(|_| clean_end);
        let reason = if producers.notes_incomplete() {
            NoCounts::Newer
        } else if self.run.blocks.gaps().missing > 0 {
            NoCounts::BlocksMissing
        } else {
            NoCounts::Unexplained
        };
        if let Some(id) = unended {
            let at = self.run.blocks.last_segment();
            self.tell(Observation { fact: Fact::NoFinalCounts { id, reason }, at }, &mut counts);
        }
        let report = self.run_report();
        report.records = report.producers.iter().map(|row| row.records).sum();
        (report.blocks, report.clean_end) = (counts, clean_end);
        self.report.blocks = self.before;
        self.report.blocks.add(&counts);
    }

    /// Takes back what [`conclude`](Self::conclude) found: something follows.
    pub(super) fn reopen(&mut self) {
        if let Certainty::Provisional(mark) = std::mem::take(&mut self.certainty) {
            self.report.rewind(mark);
        }
    }

    /// Ends the run for good.
    pub(super) fn finish_run(&mut self) {
        self.conclude(None, None);
        self.certainty = Certainty::Final;
        self.before = self.report.blocks;
        self.producers_before += self.run.producers.len();
    }

    /// Reports, until more is known, what is suspicious about the log's files.
    pub(super) fn suspect(&mut self, suspicions: Vec<Suspicion>) {
        if matches!(self.certainty, Certainty::Final) {
            self.certainty = Certainty::Provisional(self.report.mark());
        }
        for Suspicion { path, what } in suspicions {
            self.report.find(Severity::Unconfirmed, path.to_path_buf(), None, what);
        }
    }

    /// Counts and reports facts that hold whatever follows.
    fn observe(&mut self, observations: impl IntoIterator<Item = Observation>) {
        let mut counts = std::mem::take(self.run.blocks.counts());
        for observation in observations {
            self.tell(observation, &mut counts);
        }
        *self.run.blocks.counts() = counts;
    }

    fn tell(&mut self, Observation { fact, at }: Observation, counts: &mut BlockCounts) {
        fact.count(counts);
        if fact.newer().is_none_or(|newer| self.run.newer.insert(newer)) {
            let what =
                if at.offset.is_some() { fact.to_string() } else { format!("{fact}, in this file or before it") };
            self.report.find(fact.severity(), at.path.to_path_buf(), at.offset, what);
        }
    }

    /// The row of the run that is being read.
    ///
    /// # Panics
    /// If no run has begun.
    fn run_report(&mut self) -> &mut RunReport {
        let begun = self.report.runs.len();
        assert!(begun > 0, "segments and blocks belong to a run that has begun");
        &mut self.report.runs[begun - 1]
    }

    /// The producers of the run, and the report's rows for them.
    fn producers(&mut self) -> (&mut Producers, &mut Vec<super::report::ProducerReport>) {
        let begun = self.report.runs.len();
        assert!(begun > 0, "producers belong to a run that has begun");
        (&mut self.run.producers, &mut self.report.runs[begun - 1].producers)
    }
}
