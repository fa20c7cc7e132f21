//! The account of a log: blocks by outcome, producers' sequences and counts, and whether they add up.
//!
//! The walk calls it for the segments and blocks of one run after the other, in the order of block numbers, and it
//! fills the [`Report`]. It reads no file and no record: rows and shard headers are enough for the identity.
//!
//! `blocks` says which blocks are missing, by the rules of `testimony`; `producers` compares counts; `gaps` finds
//! where a producer's numbers are missing; `findings` has the severity and the words of each fact. `times` compares
//! the times of records, for those who read them.

mod blocks;
mod findings;
mod gaps;
mod producers;
mod testimony;
mod times;

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Error;
use crate::format::{Newer, StatusCode};
use crate::grouped::counted;

use super::files::{Run, Segment, Suspicion};
use super::record::ProducerIdentity;
use super::report::{BlockCounts, Mark, Report, RunReport, Severity};
use super::scan::{BlockLocation, Debris, Loaded, PassedOver};
use blocks::RunBlocks;
use findings::{Fact, NoCounts};
use producers::ProducerAccounts;

pub(crate) use blocks::{Before, RunEnd, Trailing};
pub(crate) use findings::{Location, Place};
pub(crate) use gaps::SequenceGap;
pub(crate) use times::{ShardTimes, out_of_bounds};

/// The most notes of the writer that are kept for each run.
const NOTES_MAX: usize = 64;

/// Producers that rows are kept for, over all runs: they take about 40 MiB.
pub(super) const PRODUCERS_MAX: usize = 1 << 17;

/// The account of all runs.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) report: Report,
    /// The blocks of the run that is being read, or was read last.
    pub(super) blocks: RunBlocks,
    /// Its producers.
    producers: ProducerAccounts,
    /// The marks of a newer diolog that were reported for this run: one finding for each mark is enough.
    newer: HashSet<Newer>,
    /// Counts of the runs before this one.
    before: BlockCounts,
    /// Producers of the runs before this one.
    producers_before: usize,
    /// Whether gaps in the sequences of producers are wanted.
    pub(super) wants_gaps: bool,
    /// The findings after this mark are provisional: they hold only if nothing follows.
    provisional: Option<Mark>,
    /// The highest index of a segment that was begun or passed over.
    last_index: u64,
    /// Whether the segments before the next one were removed after the caller had read to the end of the log.
    removed_since: bool,
    /// Whether rows of producers that ended without a loss are folded.
    pub(super) folds_producers: bool,
}

impl Account {
    /// Begins a run. `came_later`: the log had been read to its end before.
    pub(super) fn start_run(&mut self, run: &Run, came_later: bool) {
        let mut report = RunReport { run: run.id, ..RunReport::default() };
        let blocks = RunBlocks::of(run);
        let first = run.first().index();
        (report.first_segment, report.last_segment) = (first, first);
        // A recovery may have added a segment to a run that was read.
        let may_continue = run.first().continues_by_recovery();
        let read_before = self.report.runs.iter_mut().rfind(|read| may_continue && read.run == run.id);
        let came_later = came_later && read_before.is_none();
        report.retired = read_before.is_none() && blocks.expected().is_some_and(|expected| expected > 0);
        if let Some(before) = read_before {
            before.goes_on = !before.clean_end;
        }
        if came_later {
            let unused = run.first().header.as_ref().map_or(0, |header| u64::from(header.unused_before));
            let removed = first.saturating_sub(self.last_index.saturating_add(1 + unused));
            self.report.add_removed(removed, blocks.expected().unwrap_or(0));
        }
        self.removed_since = came_later;
        self.producers = ProducerAccounts::new(blocks.expected().is_some(), PRODUCERS_MAX - self.producers_before);
        self.blocks = blocks;
        self.newer.clear();
        self.report.runs.push(report);
    }

    /// The producer with this id in the run, as the last row that was read describes it.
    pub(super) fn producer(&self, id: u32) -> Arc<ProducerIdentity> {
        self.producers.producer(id)
    }

    /// The gaps in the sequences of producers before the shards of the good block that was taken last, in their order,
    /// then those after a producer's last record.
    pub(super) fn take_gaps(&mut self) -> Vec<SequenceGap> {
        std::mem::take(&mut self.producers.gaps)
    }

    /// Passes over the run's next segment, which was removed before it could be read.
    pub(super) fn segment_removed(&mut self, segment: &Segment) {
        self.report.removed_segments += 1;
        self.last_index = self.last_index.max(segment.index());
        self.blocks.segment_removed(&segment.path);
        self.report_observed();
    }

    /// Passes over the run's next segment, which could not be opened.
    pub(super) fn segment_not_opened(&mut self, segment: &Segment) {
        self.last_index = self.last_index.max(segment.index());
        self.blocks.segment_not_opened(&segment.path);
        self.report_observed();
    }

    /// Notes that segments after `previous` were removed before they were listed.
    pub(super) fn segments_removed_after(&mut self, previous: &Segment) {
        self.blocks.segments_removed_after(&previous.path);
        self.report_observed();
    }

    /// Begins a segment, with its block 0 if that is intact. No block below number `lowest` is in it or in a later one;
    /// `before` is the place of those that are missing.
    pub(super) fn start_segment(&mut self, segment: &Segment, lowest: u64, before: &Before, block_0: Option<&Loaded>) {
        let report = self.report.current_run();
        // The copies of one, and its parts in two files, come one after the other.
        let is_counted = report.segments > 0 && report.last_segment == segment.index();
        report.segments += u64::from(!is_counted);
        report.first_segment = report.first_segment.min(segment.index());
        report.last_segment = report.last_segment.max(segment.index());
        if let Some(header) = &segment.header {
            report.service.clone_from(&header.service);
            report.recovered |= header.is_recovered();
        }
        let follows_removed = self.blocks.follows_removed();
        let has_baseline = self.blocks.start_segment(segment, lowest, before);
        if follows_removed {
            let removed = segment.index().saturating_sub(self.last_index.saturating_add(1));
            self.report.add_removed(removed, std::mem::take(&mut self.blocks.removed));
        }
        self.last_index = self.last_index.max(segment.index());
        self.removed_since |= follows_removed;
        self.report_observed();
        let Some(loaded) = block_0 else { return };
        self.take_writer_records(loaded, &Location::start_of(&segment.path));
        if has_baseline {
            let were_removed = std::mem::take(&mut self.removed_since);
            for row in &loaded.rows {
                let before = self.producers.take_baseline(row, self.blocks.passed_over, self.report.current_run());
                let removed = if were_removed { before } else { 0 };
                self.report.removed_records = self.report.removed_records.saturating_add(removed);
            }
        }
    }

    /// Passes over a block of which no copy is good.
    pub(super) fn pass_over_bad(&mut self, block: &BlockLocation, debris: &Debris) {
        self.blocks.pass_over_bad(block, debris);
        self.report_observed();
    }

    /// Passes over a block that is there, and that only a newer diolog can read.
    pub(super) fn pass_over_newer(&mut self, block: &BlockLocation, newer: Newer, debris: &Debris) {
        self.blocks.pass_over_newer(block, newer, debris);
        self.producers.rows_incomplete = true;
        self.report_observed();
    }

    /// Passes over a block that is there by its header, and whose records nobody wants.
    pub(super) fn pass_over_unwanted(&mut self, block: &BlockLocation, debris: &Debris) {
        self.report.unread_blocks += 1;
        self.blocks.pass_over_unwanted(block, debris);
        self.report_observed();
    }

    /// Takes in a good block.
    pub(super) fn take_good(&mut self, block: &BlockLocation, debris: &Debris, loaded: &Loaded) {
        self.report.bytes += u64::from(block.header.capacity.get());
        self.blocks.take_good(block, debris);
        self.report_observed();
        let location = self.blocks.location(block.segment, block.offset);
        self.take_writer_records(loaded, &location);
        self.compare_claims(block, loaded, &location);
        self.take_counts(block.number(), loaded, &location);
    }

    /// Compares the counts in a good block's header with what the block holds.
    fn compare_claims(&mut self, block: &BlockLocation, loaded: &Loaded, location: &Location) {
        let (records, shards) = (block.header.records.get(), block.header.shards.get());
        if loaded.passed_over.invalid == 0
            && (u64::from(records) != loaded.records_found || u64::from(shards) != loaded.shards_found)
        {
            let (found, of_shards) = (loaded.records_found, loaded.shards_found);
            let claim =
                format!("the block claims {records} records in {shards} shards, and holds {found} in {of_shards}");
            self.report_contradiction(claim, location);
        }
    }

    /// Compares the counts in a good block's rows with its shards.
    fn take_counts(&mut self, number: u64, loaded: &Loaded, location: &Location) {
        let passed_over = self.blocks.passed_over;
        let (producers, run) = (&mut self.producers, self.report.current_run());
        if self.folds_producers {
            // Only producers that ended in earlier blocks: this block's records are returned later, and need the names
            // of the producers that end in it.
            producers.fold_ended(run);
        }
        let untracked = run.shards_untracked;
        producers.wants_gaps = self.wants_gaps;
        producers.gaps.clear();
        for row in &loaded.rows {
            producers.take_row(row, number, passed_over, run);
        }
        for index in 0..loaded.shards.len() {
            producers.take_shard(index, loaded, number, run);
        }
        for row in &loaded.ends {
            producers.take_end(row, passed_over, run);
        }
        if untracked == 0 && run.shards_untracked > 0 {
            self.report_fact(&Fact::ProducersUntracked, location);
        }
        for fault in std::mem::take(&mut self.producers.faults) {
            self.report_contradiction(fault, location);
        }
    }

    /// Takes the writer's own records of an intact block, but for the counts in them.
    fn take_writer_records(&mut self, loaded: &Loaded, location: &Location) {
        self.count_passed_over_at(&loaded.passed_over, location);
        self.producers.rows_incomplete |= loaded.rows_incomplete;
        let report = self.report.current_run();
        loaded.rows.iter().chain(&loaded.ends).for_each(|row| self.producers.take_name(row, report));
        if let Some(refusals) = &loaded.refusals {
            report.refused_closed = refusals.closed.get();
            report.refused_reentrant = refusals.reentrant.get();
            report.refused_no_ring = refusals.no_ring.get();
        }
        if let Some((_, figures)) = &loaded.figures {
            report.hidden = figures.hidden.get();
        }
        for status in &loaded.statuses {
            if status.code == StatusCode::Device as u16 {
                report.device = Some(status.text.clone());
            } else if report.notes.len() < NOTES_MAX {
                report.notes.push(status.text.clone());
            }
        }
    }

    /// Counts records that were passed over while records were read.
    pub(super) fn count_passed_over(&mut self, passed_over: &PassedOver) {
        if !passed_over.is_empty() {
            self.count_passed_over_at(passed_over, &self.before_here());
        }
    }

    /// As [`count_passed_over`](Self::count_passed_over), if it is known where they are.
    pub(super) fn count_passed_over_at(&mut self, passed_over: &PassedOver, at: &Location) {
        self.report.skipped += passed_over.skipped;
        self.report.unreadable += passed_over.invalid;
        self.report.newer_records += passed_over.newer;
        if passed_over.invalid > 0 {
            self.report_fact(&Fact::InvalidRecords(passed_over.invalid), at);
        }
        if let Some(newer) = passed_over.shown_by {
            self.report_fact(&Fact::NewerRecords(newer), at);
        }
        if passed_over.undefined > 0 {
            self.report_fact(&Fact::UndefinedCallsites(passed_over.undefined), at);
        }
    }

    /// As [`report_contradiction`](Self::report_contradiction), if it is not known where.
    pub(super) fn report_contradiction_before_here(&mut self, what: String) {
        self.report_contradiction(what, &self.before_here());
    }

    fn before_here(&self) -> Location {
        Location { place: Place::UpToHere, ..self.blocks.last_segment() }
    }

    /// Reports that a part of a file could not be read. The blocks around it show what was lost. A file that could not
    /// be opened is accounted for when its turn comes.
    pub(super) fn report_read_error(&mut self, error: &Error) {
        if let Error::Io { path, offset: Some(offset), .. } = error {
            self.report.add_finding(Severity::Unconfirmed, path.clone(), Some(*offset), error.to_string());
        }
    }

    /// Reports that the files contradict themselves.
    pub(super) fn report_contradiction(&mut self, what: String, at: &Location) {
        self.report_fact(&Fact::Contradiction(what), at);
    }

    /// Concludes the run as if it ended here. `is_written`: a logger is writing it, unless it was closed.
    pub(super) fn conclude(&mut self, end: RunEnd<'_>, is_written: bool) {
        self.reopen();
        self.report_observed();
        self.provisional = Some(self.report.mark());
        let (observed, clean_end) = self.blocks.conclude(end, is_written);
        observed.facts.iter().for_each(|(fact, at)| self.report_fact(fact, at));
        let report = self.report.current_run();
        // Their final counts may be in a block that was left unread.
        let shows_ends = clean_end && self.blocks.passed_over.unwanted == 0;
        self.producers.fill_in(&mut report.producers);
        let unended = report.producers.iter().find(|row| !row.ended).map(|row| row.id).filter(|_| shows_ends);
        // A hostile file can claim any counts, so sums saturate.
        report.records =
            report.producers.iter().map(|row| row.records).fold(report.folded_records, u64::saturating_add);
        (report.blocks, report.clean_end, report.in_use) = (observed.counts, clean_end, is_written && !clean_end);
        let unwritten = report.producers.iter().map(|row| row.unwritten).fold(0, u64::saturating_add);
        self.report.blocks = self.before;
        self.report.blocks.add(&observed.counts);
        let reason = if self.producers.rows_incomplete {
            NoCounts::Newer
        } else if self.blocks.passed_over.missing > 0 {
            NoCounts::BlocksMissing
        } else {
            NoCounts::Unexplained
        };
        if let Some(id) = unended {
            self.report_fact(&Fact::NoFinalCounts { id, reason }, &self.blocks.last_segment());
        }
        if unwritten > 0 {
            self.report_fact(&Fact::Unwritten(unwritten), &self.blocks.last_segment());
        }
    }

    /// Takes back the findings of [`conclude`](Self::conclude) and [`suspect`](Self::suspect), because the log may go
    /// on.
    pub(super) fn reopen(&mut self) {
        if let Some(mark) = self.provisional.take() {
            self.report.rewind(mark);
        }
    }

    /// Ends the run for good.
    pub(super) fn finish_run(&mut self) {
        self.conclude(RunEnd::Reached { torn: None, trailing: None }, false);
        self.provisional = None;
        self.before = self.report.blocks;
        self.producers_before += self.producers.len();
    }

    /// Reports suspicious files. The findings are provisional.
    pub(super) fn suspect(&mut self, suspicions: Vec<Suspicion>) {
        self.provisional.get_or_insert_with(|| self.report.mark());
        for Suspicion { severity, path, what } in suspicions {
            self.report.add_finding(severity, path.to_path_buf(), None, what);
        }
    }

    /// Reports the facts about blocks that later blocks cannot change.
    fn report_observed(&mut self) {
        for (fact, at) in std::mem::take(&mut self.blocks.observed.facts) {
            self.report_fact(&fact, &at);
        }
    }

    fn report_fact(&mut self, fact: &Fact, at: &Location) {
        let is_repeated = fact.newer().is_some_and(|newer| !self.newer.insert(newer));
        if is_repeated {
            return;
        }
        let (severity, what) = fact.describe();
        let (offset, what) = match at.place {
            Place::At(offset) => (Some(offset), what),
            Place::UpToHere => (None, format!("{what}, in this file or before it")),
            Place::Missing(1) => (None, format!("is missing: {what}")),
            Place::Missing(files) => (None, format!("is missing, and {} after it: {what}", counted(files - 1, "file"))),
        };
        self.report.add_finding(severity, at.path.to_path_buf(), offset, what);
    }
}
