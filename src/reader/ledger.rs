//! The account of what was read: blocks by outcome, producers' sequences and counts, and whether they add up.
//!
//! Fed by the walk with each block of a run in the order of their numbers, it fills the [`Report`]. Nothing is read
//! here, and no record is looked at: rows and shard headers say enough for the identity.

mod producers;

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::format::{BlockFlags, LogId, StatusCode};

use super::block::{Loaded, Note};
use super::files::{Run, Segment};
use super::record::Producer;
use super::report::{BlockCounts, Report, RunReport, Severity};
use super::scan::{BlockLocation, Debris};
use super::testimony::{Fate, Missing, Testimony};
use producers::State;

/// Notes of the writer's kept for each run.
const NOTES_MAX: usize = 64;

/// A place in a file, for findings.
pub(super) type Spot = (Arc<Path>, u64);

/// A finding, before the report has it.
type Told = (Severity, Spot, String);

const TORN_BLOCK: &str = "a torn block at the end of a run that was not closed";

const STRAY_BYTES: &str = "bytes that are no block, where none is missing";

/// A segment whose header is damaged.
#[derive(Debug)]
struct Headless {
    path: Arc<Path>,
    /// The number of the first block in it.
    first_number: u64,
    /// Whether that block was written again elsewhere, because the segment had failed.
    moved: bool,
}

/// The account of one run.
#[derive(Debug, Default)]
struct Account {
    testimony: Testimony<Spot>,
    /// The number of the next block, once known.
    expected: Option<u64>,
    /// Of a block below this that is missing, a later one can prove that it is lost.
    proved_below: u64,
    /// How often blocks went missing.
    gaps: u64,
    /// Whether every producer that no baseline names starts from nothing.
    beginning_known: bool,
    /// Without what the end of the run will add.
    counts: BlockCounts,
    /// Debris behind the last block of a segment, until the next good block explains it.
    loose: Vec<(usize, Debris)>,
    /// Segments whose header is damaged.
    headless: Vec<Headless>,
    /// Whether segments before the next one were removed while the log was read.
    removed: bool,
    paths: Vec<Arc<Path>>,
    /// The number of the block that ended the run.
    ended_at: Option<u64>,
    by_id: HashMap<u32, usize>,
    producers: Vec<Arc<Producer>>,
    /// In step with `producers` and with the rows of the run's report.
    states: Vec<State>,
}

/// What to take back when a run that seemed at its end goes on.
#[derive(Debug)]
struct Provisional {
    findings: usize,
    findings_omitted: u64,
    severity: Option<Severity>,
}

impl Provisional {
    fn at(report: &Report) -> Provisional {
        let Report { findings_omitted, severity, .. } = *report;
        Provisional { findings: report.findings.len(), findings_omitted, severity }
    }
}

/// The account of all runs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) report: Report,
    account: Account,
    /// Counts of the runs before this one.
    before: BlockCounts,
    /// Rows of the runs before this one.
    rows_before: usize,
    provisional: Option<Provisional>,
}

impl Ledger {
    /// Begins a run.
    pub(super) fn start_run(&mut self, run: &Run) {
        let mut report = RunReport::new(run.id);
        self.account = Account::default();
        let account = &mut self.account;
        if let Some(first) = run.segments.first() {
            (report.first_segment, report.last_segment) = (first.index(), first.index());
            if let Some(header) = &first.header {
                account.beginning_known = true;
                let expected = if run.begins_here { 0 } else { first.first_number };
                account.expected = Some(expected);
                report.retired = expected > 0;
                report.recovers = header.recovers.map(Into::into);
            }
        }
        if let Some(dead) = report.recovers {
            for earlier in self.report.runs.iter_mut().filter(|earlier| earlier.run == dead) {
                earlier.recovered_by = Some(run.id);
            }
        }
        self.report.runs.push(report);
    }

    /// Says of `run`, which has begun with segment `first`, that if earlier segments are gone, its own or whole runs before
    /// it, it need not have been retention that removed them.
    pub(super) fn doubt_retention(&mut self, run: &Run, first: &Segment) {
        let what = if self.report.runs.last().is_some_and(|run| run.retired) {
            format!("block {} of its run comes first: the segments before it are gone", first.first_number)
        } else if run.begins_here && run.missing_before > 0 {
            format!("{} of the log's files before it are missing: whole runs may be gone", run.missing_before)
        } else {
            return;
        };
        let what = format!("{what}, and nothing says that retention was set");
        self.report.find(Severity::Unconfirmed, first.path.to_path_buf(), None, what);
    }

    /// Says of `run` that it is not one of `log`'s, if so.
    pub(super) fn find_foreign(&mut self, run: &Run, log: Option<LogId>) {
        let is_foreign = |segment: &&Segment| segment.header.as_ref().is_some_and(|header| Some(header.log) != log);
        if let Some(first) = run.segments.iter().find(is_foreign) {
            let others = match run.segments.len() {
                1 => String::new(),
                all => format!(", as do all {all} segments of its run"),
            };
            let what = format!("belongs to another log{others}: this log's own may be gone");
            self.report.find(Severity::Unconfirmed, first.path.to_path_buf(), None, what);
        }
    }

    /// Says, until it is known better, that the file at `first` and `others` more hold no block, and that nothing says why.
    pub(super) fn doubt_barren(&mut self, first: &Path, others: usize) {
        self.provisional.get_or_insert_with(|| Provisional::at(&self.report));
        let more = if others > 0 { format!(", nor do {others} other files") } else { String::new() };
        let what = format!("holds no block{more}: made ready and never used, or emptied since");
        self.report.find(Severity::Unconfirmed, first.to_path_buf(), None, what);
    }

    /// The number that the next block of the run should have.
    pub(super) fn expected(&self) -> Option<u64> {
        self.account.expected
    }

    /// From now on, a missing block with this number or a higher one may have come after its place was looked at.
    pub(super) fn prove_below(&mut self, number: u64) {
        self.account.proved_below = number;
    }

    /// All blocks of the run below this number were durable.
    pub(super) fn durable_below(&self) -> u64 {
        self.account.testimony.durable_below()
    }

    /// The producer with this id, as the last row of its run describes it.
    pub(super) fn producer(&self, id: u32) -> Arc<Producer> {
        match self.account.by_id.get(&id) {
            Some(&at) => Arc::clone(&self.account.producers[at]),
            None => Arc::new(Producer { id, ..Producer::default() }),
        }
    }

    /// Learns the names of the producers that a block's rows describe.
    fn take_names(&mut self, loaded: &Loaded) {
        for note in &loaded.notes {
            let (Note::Row(row) | Note::End(row)) = note else { continue };
            let Some(at) = self.place_of(row.id) else { continue };
            let known = &self.account.producers[at];
            if known.tid != row.tid || *known.name != *row.name {
                self.account.producers[at] =
                    Arc::new(Producer { id: row.id, tid: row.tid, name: row.name.as_str().into() });
                if let Some(report) = self.report.runs.last_mut().and_then(|run| run.producers.get_mut(at)) {
                    (report.tid, report.name) = (row.tid, row.name.clone());
                }
            }
        }
    }

    /// How many segments of the run have begun, or were found to be gone.
    pub(super) fn segments_begun(&self) -> usize {
        self.account.paths.len()
    }

    /// Passes over the run's next segment, which was removed before it could be read.
    pub(super) fn segment_removed(&mut self, segment: &Segment) {
        self.account.paths.push(Arc::clone(&segment.path));
        self.account.removed = true;
        let what = "was removed before it could be read, as retention does: its records are gone";
        self.report.find(Severity::Unconfirmed, segment.path.to_path_buf(), None, what.into());
    }

    /// Notes that segments behind `previous` were removed before they were seen.
    pub(super) fn segments_removed_behind(&mut self, previous: &Segment) {
        self.account.removed = true;
        let what = "was removed, with segments behind it that had not been read, as retention does";
        self.report.find(Severity::Unconfirmed, previous.path.to_path_buf(), None, what.into());
    }

    /// Begins a segment, with its block 0 if that is intact. Blocks that are missing before its first one should be at
    /// `before`; without that it is the run's first.
    pub(super) fn start_segment(&mut self, segment: &Segment, before: Option<Spot>, block_0: Option<&Loaded>) {
        let path = Arc::clone(&segment.path);
        self.account.paths.push(Arc::clone(&path));
        let Some(run) = self.report.runs.last_mut() else { return };
        run.segments += 1;
        run.first_segment = run.first_segment.min(segment.index());
        run.last_segment = run.last_segment.max(segment.index());
        match &segment.header {
            Some(header) => run.service.clone_from(&header.service),
            None => self.account.headless.push(Headless {
                path: Arc::clone(&path),
                first_number: segment.first_number,
                moved: false,
            }),
        }
        // The header knows how many blocks came before it.
        let removed = std::mem::take(&mut self.account.removed);
        if let Some(expected) = self.account.expected.filter(|&expected| expected < segment.first_number) {
            if removed {
                self.account.expected = Some(segment.first_number);
                self.account.gaps += 1;
            } else {
                let spot = before.clone().unwrap_or((Arc::clone(&path), 0));
                self.miss(expected..segment.first_number, spot);
            }
        }
        let Some(loaded) = block_0 else { return };
        self.take_names(loaded);
        self.count_unreadable(loaded, &(path, 0));
        for note in &loaded.notes {
            match note {
                Note::Row(row) if before.is_none() || removed => self.base(row),
                note => self.take_note(note),
            }
        }
    }

    /// Ends a segment, with what stands behind its last block.
    pub(super) fn end_segment(&mut self, segment: usize, debris: Debris) {
        self.account.counts.stale += debris.stale;
        if debris.stretches + debris.newer > 0 {
            self.account.loose.push((segment, debris));
        }
    }

    /// Counts `copies` of block `number` besides the one that is read.
    pub(super) fn duplicates(&mut self, number: u64, copies: u64, debris: &Debris) {
        if copies > 0 {
            let headless = self.account.headless.iter_mut();
            headless.filter(|segment| segment.first_number == number).for_each(|segment| segment.moved = true);
        }
        self.account.counts.duplicates += copies + debris.stretches;
        self.account.counts.stale += debris.stale;
    }

    /// Passes over a block of which no copy is good.
    pub(super) fn bad(&mut self, place: &BlockLocation, debris: &Debris) {
        let spot = self.spot(place.segment, place.offset);
        let first = self.account.expected.unwrap_or(place.number());
        self.account.counts.stale += debris.stale;
        // At the last number that there is, no block can follow.
        self.miss(first..place.number().saturating_add(1), spot);
    }

    /// Takes in a good block.
    pub(super) fn good(&mut self, place: &BlockLocation, debris: &Debris, loaded: &Loaded) {
        let number = place.number();
        let gap = self.account.expected.unwrap_or(number)..number;
        self.explain(place, debris, gap);
        self.account.expected = Some(number.saturating_add(1));
        self.account.counts.good += 1;
        self.report.bytes += u64::from(place.header.capacity.get());
        let mut proved = Vec::new();
        let in_flight = place.header.in_flight.get();
        self.account.testimony.hear(number, in_flight, |fate, missing| proved.push((fate, missing)));
        for (fate, missing) in proved {
            let counts = &mut self.account.counts;
            let count = if fate == Fate::Lost { &mut counts.lost } else { &mut counts.holes };
            *count = count.saturating_add(missing.blocks());
            self.tell(finding_of(fate, &missing));
        }
        if place.header.block_flags().has(BlockFlags::CLEAN_END) {
            self.account.ended_at = Some(number);
        }
        let spot = self.spot(place.segment, place.offset);
        self.count_unreadable(loaded, &spot);
        self.take_names(loaded);
        for note in &loaded.notes {
            match note {
                Note::Row(row) => self.row(row, number, &spot),
                Note::End(_) => {}
                note => self.take_note(note),
            }
        }
        for shard in &loaded.shards {
            self.shard(shard.producer, shard.first_sequence, shard.records, number, &spot);
        }
        for note in &loaded.notes {
            if let Note::End(row) = note {
                self.end(row, &spot);
            }
        }
    }

    /// Says what the run comes to if it ends here: `torn` is the first and the last of the blocks that stand at the tail,
    /// none of them good, and not passed over yet; `trailing` stands behind them.
    pub(super) fn settle(&mut self, torn: Option<(&BlockLocation, &BlockLocation)>, trailing: Option<(usize, Debris)>) {
        self.unsettle();
        self.provisional = Some(Provisional::at(&self.report));
        let account = &self.account;
        let clean = account.ended_at.is_some() && account.ended_at == account.testimony.last_good() && torn.is_none();
        let mut counts = account.counts;
        let mut told = self.settle_missing(&mut counts);
        told.extend(self.settle_loose(trailing, clean, &mut counts));
        told.extend(self.settle_headless(clean, &mut counts));
        if let Some((first, last)) = torn {
            let expected = account.expected.unwrap_or(first.number());
            counts.torn = counts.torn.saturating_add(last.number().saturating_sub(expected).saturating_add(1));
            told.push((Severity::Unconfirmed, self.spot(first.segment, first.offset), TORN_BLOCK.into()));
        }
        told.into_iter().for_each(|told| self.tell(told));
        self.settle_rows(clean);
        self.report.blocks = self.before;
        self.report.blocks.add(&counts);
        if let Some(run) = self.report.runs.last_mut() {
            (run.blocks, run.clean_end) = (counts, clean);
        }
    }

    /// What missing blocks come to that no later block testifies to.
    fn settle_missing(&self, counts: &mut BlockCounts) -> Vec<Told> {
        let settle = |(fate, missing): (Fate, &Missing<Spot>)| {
            let count = match fate {
                Fate::Torn => &mut counts.torn,
                Fate::Hole | Fate::Late | Fate::Lost => &mut counts.holes,
            };
            *count = count.saturating_add(missing.blocks());
            finding_of(fate, missing)
        };
        self.account.testimony.rest().map(settle).collect()
    }

    /// What bytes come to that stand behind the last block of a segment.
    fn settle_loose(&self, trailing: Option<(usize, Debris)>, clean: bool, counts: &mut BlockCounts) -> Vec<Told> {
        // What stands at the tail has not been counted yet, as the run may go on there.
        counts.stale += trailing.map_or(0, |(_, debris)| debris.stale);
        let mut told = Vec::new();
        for &(segment, debris) in self.account.loose.iter().chain(&trailing) {
            counts.newer += debris.newer;
            if debris.stretches == 0 {
                continue;
            }
            let (severity, what) = if clean {
                counts.stray += debris.stretches;
                (Severity::Note, STRAY_BYTES)
            } else {
                counts.torn = counts.torn.saturating_add(debris.stretches);
                (Severity::Unconfirmed, TORN_BLOCK)
            };
            told.push((severity, self.spot(segment, debris.offset), what.into()));
        }
        told
    }

    /// What segments come to whose header is not there.
    fn settle_headless(&self, clean: bool, counts: &mut BlockCounts) -> Vec<Told> {
        let durable_below = self.account.testimony.durable_below();
        let settle = |Headless { path, first_number, moved }: &Headless| {
            let (severity, what) = if *moved {
                let what =
                    "the segment's header was never confirmed: its blocks were written again in the next segment";
                (Severity::Note, what)
            } else if clean || durable_below > *first_number {
                // The header was written before the first block, so it was durable if that was.
                counts.headers_lost += 1;
                (Severity::Lost, "the segment's header is damaged")
            } else {
                counts.torn = counts.torn.saturating_add(1);
                (Severity::Unconfirmed, "the segment's header is torn")
            };
            (severity, (Arc::clone(path), 0), what.into())
        };
        self.account.headless.iter().map(settle).collect()
    }

    /// Takes back what [`settle`](Self::settle) said of the run's end: it goes on.
    pub(super) fn unsettle(&mut self) {
        if let Some(provisional) = self.provisional.take() {
            self.report.findings.truncate(provisional.findings);
            self.report.findings_omitted = provisional.findings_omitted;
            self.report.severity = provisional.severity;
        }
    }

    /// Ends the run for good.
    pub(super) fn finish_run(&mut self) {
        self.settle(None, None);
        self.provisional = None;
        self.before = self.report.blocks;
        self.rows_before += self.account.states.len();
        self.account = Account::default();
    }

    /// Reports that the files contradict themselves at `spot`.
    pub(super) fn contradiction(&mut self, spot: &Spot, what: String) {
        self.tell((Severity::Lost, spot.clone(), what));
    }

    /// The place of `offset` in the `segment`th segment of the run.
    pub(super) fn spot(&self, segment: usize, offset: u64) -> Spot {
        let path = self.account.paths.get(segment).or(self.account.paths.last());
        (path.map_or_else(|| Arc::from(Path::new("")), Arc::clone), offset)
    }

    fn explain(&mut self, place: &BlockLocation, debris: &Debris, gap: Range<u64>) {
        let account = &mut self.account;
        account.counts.stale += debris.stale;
        let loose = std::mem::take(&mut account.loose);
        let headless = account.headless.last().is_some_and(|segment| segment.first_number == place.number());
        if !gap.is_empty() {
            let newer = debris.newer + loose.iter().map(|(_, debris)| debris.newer).sum::<u64>();
            if newer > 0 && debris.stretches == 0 {
                account.counts.newer += gap.end - gap.start;
                account.gaps += 1;
                account.expected = Some(gap.end);
            } else {
                let spot = self.spot(place.segment, debris.from);
                self.miss(gap, spot);
            }
            return;
        }
        let here = (place.segment, *debris);
        for (segment, debris) in loose.into_iter().chain((!headless).then_some(here)) {
            if debris.stretches == 0 {
                continue;
            }
            // All numbers are there: a failed segment's leftovers, or bytes that never were the log's.
            if segment + 1 < self.account.paths.len() {
                self.account.counts.duplicates += debris.stretches;
            } else {
                self.account.counts.stray += debris.stretches;
                self.tell((Severity::Note, self.spot(segment, debris.offset), STRAY_BYTES.into()));
            }
        }
    }

    fn miss(&mut self, numbers: Range<u64>, spot: Spot) {
        self.account.expected = Some(numbers.end);
        self.account.gaps += 1;
        let late = self.account.proved_below.clamp(numbers.start, numbers.end);
        for (numbers, may_have_come) in [(numbers.start..late, false), (late..numbers.end, true)] {
            if numbers.is_empty() {
                continue;
            }
            let missing = Missing { numbers, place: spot.clone(), may_have_come };
            if let Some((fate, missing)) = self.account.testimony.miss(missing) {
                self.account.counts.holes += missing.blocks();
                self.tell(finding_of(fate, &missing));
            }
        }
    }

    fn tell(&mut self, (severity, (path, offset), what): Told) {
        self.report.find(severity, path.to_path_buf(), Some(offset), what);
    }

    fn count_unreadable(&mut self, loaded: &Loaded, spot: &Spot) {
        self.report.skipped += loaded.skipped;
        if loaded.unreadable > 0 {
            self.report.unreadable += loaded.unreadable;
            self.contradiction(spot, format!("{} records that this version cannot read", loaded.unreadable));
        }
    }

    /// Counts records that were met while records were read.
    pub(super) fn count_records(&mut self, skipped: u64, unreadable: u64) {
        self.report.skipped += skipped;
        if unreadable > 0 {
            self.report.unreadable += unreadable;
            let spot = self.spot(usize::MAX, 0);
            self.contradiction(&spot, format!("{unreadable} records that this version cannot read, in or before it"));
        }
    }

    fn take_note(&mut self, note: &Note) {
        let Some(run) = self.report.runs.last_mut() else { return };
        if let Note::Status(status) = note {
            if status.code == StatusCode::Device as u16 {
                run.device = Some(status.text.clone());
            } else if run.notes.len() < NOTES_MAX {
                run.notes.push(status.text.clone());
            }
        }
    }
}

/// What is said of missing blocks.
fn finding_of(fate: Fate, missing: &Missing<Spot>) -> Told {
    let Range { start, end } = missing.numbers;
    let which =
        if end - start == 1 { format!("block {start} is") } else { format!("blocks {start} to {} are", end - 1) };
    let (severity, what) = match fate {
        Fate::Lost => (Severity::Lost, "lost: a later block testifies that it was durable"),
        Fate::Late => (Severity::Unconfirmed, "missing: it was in flight when it was looked for, and durable later"),
        Fate::Hole => (Severity::Unconfirmed, "missing: it was in flight, and nothing says that it was durable"),
        Fate::Torn => (Severity::Unconfirmed, "torn, at the end of a run that was not closed"),
    };
    (severity, missing.place.clone(), format!("{which} {what}"))
}
