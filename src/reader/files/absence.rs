//! Suspicions about files that a log has, and about files that are missing: a decision without I/O.
//!
//! It depends on each file's number and kind, on the segments' headers, on how the runs ended, and on whether a logger
//! has the log open. The walk collects these [`Facts`] as it discovers files, and asks for [`suspicions`] each
//! time it has read all there is. Blocks that are missing, and segments that are removed while the log is read, are a
//! matter of the account.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::format::{LogId, StoredRunId};

use super::super::record::RunId;
use super::super::report::{InUse, Severity};
use super::inspect::{Inspected, Segment};
use super::runs::Run;

/// The facts about a log's files.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The numbers of all files that were seen, those that have been removed since included.
    numbers: BTreeSet<u64>,
    /// The prepared ones, as they are now.
    prepared: BTreeMap<u64, Arc<Path>>,
    /// The unreadable ones, and why.
    unreadable: BTreeMap<u64, (Arc<Path>, String)>,
    /// Those of them that this user may not read.
    forbidden: BTreeSet<u64>,
    /// Those that a newer diolog wrote.
    newer: BTreeSet<u64>,
    /// The runs, in order.
    runs: Vec<RunFacts>,
    /// The rings that are named here, the newest last.
    rings: Vec<NamedRings>,
    /// What is not this log's, and was not read.
    foreign: Vec<Foreign>,
    /// The log to which the directory belongs, once a segment was seen.
    log: Option<LogId>,
    /// Whether the log's beginning is passed over, because the caller wants its end: nothing is said of files there.
    pub(crate) beginning_skipped: bool,
    /// This boot of the machine.
    boot: [u8; 16],
}

/// The rings of a run, which a file in the log's directory names.
#[derive(Clone, Debug)]
pub(crate) struct NamedRings {
    pub(crate) run: RunId,
    /// That file.
    pub(crate) path: Arc<Path>,
    /// Whether there is a snapshot of what the run's flight recorder kept, which a recovery writes after all else.
    pub(crate) has_snapshot: bool,
}

/// The facts in the headers of a run's segments.
#[derive(Debug)]
struct RunFacts {
    id: RunId,
    first: Segment,
    /// Whether the file of the run's first segment is there, readable or not.
    begins_here: bool,
    /// The index of the segment before the run; 0 at the log's beginning.
    before: u64,
    last_index: u64,
    /// The id of the segment with that index, if it has a header.
    last_id: Option<u64>,
    /// The first segment whose header names another one before it than the one that is there.
    breaks_chain: Option<Arc<Path>>,
    /// Whether a header says that retention was set.
    knows_retention: bool,
    /// Whether a segment was written by a recovery, and the machine has not been restarted since the run began.
    is_recovered: bool,
}

/// Segments that are not this log's.
#[derive(Debug)]
struct Foreign {
    /// Their run; `None` if their blocks stand after another segment's header.
    run: Option<StoredRunId>,
    segments: usize,
    /// The first of them.
    path: Arc<Path>,
}

/// Something suspicious about a file. None of it proves a loss, and each of it keeps a log from being clean, unless it
/// is a note.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Suspicion {
    pub(crate) severity: Severity,
    pub(crate) path: Arc<Path>,
    pub(crate) what: String,
}

impl Suspicion {
    fn new(path: &Arc<Path>, what: String) -> Suspicion {
        Suspicion { severity: Severity::Unconfirmed, path: Arc::clone(path), what }
    }
}

impl Facts {
    /// No facts yet, in this boot of the machine.
    pub(crate) fn in_boot(boot: [u8; 16]) -> Facts {
        Facts { boot, ..Facts::default() }
    }

    /// Notes a file.
    pub(crate) fn note_file(&mut self, number: u64, path: &Path, inspected: &Inspected) {
        self.numbers.insert(number);
        match inspected {
            Inspected::Segment(_) => {}
            // To be noted once it is known to which log the directory belongs.
            Inspected::Misplaced(..) => drop(self.numbers.remove(&number)),
            Inspected::Prepared => drop(self.prepared.insert(number, path.into())),
            Inspected::Unreadable(what) => drop(self.unreadable.insert(number, (path.into(), what.clone()))),
            Inspected::Forbidden(what) => {
                self.unreadable.insert(number, (path.into(), what.clone()));
                self.forbidden.insert(number);
            }
            Inspected::Newer(_) => drop(self.newer.insert(number)),
        }
    }

    /// Notes a file with number `number` that begins with the header of `segment`, which has another; `displaced` if
    /// blocks of a further segment follow. Returns whether the segment is this log's.
    pub(crate) fn note_misplaced(&mut self, number: u64, segment: &Segment, displaced: bool) -> bool {
        let is_own = segment.header.as_ref().is_some_and(|header| Some(header.log) == self.log);
        if is_own {
            self.numbers.insert(segment.index());
        }
        if displaced || !is_own {
            self.numbers.insert(number);
        }
        is_own
    }

    /// Notes segments that are not this log's, in their order.
    pub(crate) fn note_foreign(&mut self, segments: &[Segment]) {
        for segment in segments {
            let run = segment.run();
            match self.foreign.last_mut() {
                Some(last) if run.is_some() && last.run == run => last.segments += 1,
                _ => self.foreign.push(Foreign { run, segments: 1, path: Arc::clone(&segment.path) }),
            }
        }
    }

    /// Notes the runs whose rings are named, as they were before the files were listed: a run has a segment before its
    /// rings are named.
    pub(crate) fn note_rings(&mut self, rings: Vec<NamedRings>) {
        self.rings = rings;
    }

    /// Forgets rings whose name is gone: a recovery has ended since the files were listed.
    pub(crate) fn keep_rings(&mut self, is_named: impl Fn(&Path) -> bool) {
        self.rings.retain(|rings| is_named(&rings.path));
    }

    /// Forgets which files are prepared: each look notes anew those that still are.
    pub(crate) fn forget_prepared(&mut self) {
        self.prepared.clear();
    }

    /// Notes to which log the directory belongs, if that is not known yet.
    pub(crate) fn note_log(&mut self, log: impl FnOnce() -> Option<LogId>) {
        self.log = self.log.or_else(log);
    }

    /// The log to which the directory belongs, if that is known.
    pub(crate) fn log(&self) -> Option<LogId> {
        self.log
    }

    /// Whether there is, or was, a file with this number, or a segment with this index.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.numbers.contains(&number)
    }

    /// The index and the id of the last segment, if it has a header.
    pub(crate) fn last_segment(&self) -> Option<(u64, u64)> {
        self.runs.last().and_then(|run| Some((run.last_index, run.last_id?)))
    }

    /// Notes a run that follows the segment with index `before`, and finds out whether it begins here.
    pub(crate) fn note_run(&mut self, run: &mut Run, before: u64) {
        // A run that directly follows the one before it, but for files without a block, has lost no segment at its
        // beginning. A recovery may have come after other runs: the segment that it wrote follows theirs, and the rest
        // of its run stood before them.
        let index = run.first().index();
        let begins_at = if run.first().header.is_none() { self.lowest_blank_before(index) } else { index };
        let follows = run.id.is_known() && begins_at == before.wrapping_add(1);
        run.begins_here |=
            !run.first().continues_by_recovery() && (follows || self.begins_in_a_blank_file(run.first(), before));
        let first = run.first();
        self.runs.push(RunFacts {
            id: run.id,
            first: first.clone(),
            begins_here: run.begins_here,
            before,
            last_index: first.index(),
            last_id: None,
            breaks_chain: None,
            knows_retention: false,
            is_recovered: false,
        });
        self.note_segments(run.id, run.segments());
    }

    /// Whether a run was noted.
    pub(crate) fn has_run(&self, id: RunId) -> bool {
        self.runs.iter().any(|run| run.id == id)
    }

    /// Notes segments of a run that was noted before.
    ///
    /// # Panics
    /// If it was not.
    pub(crate) fn note_segments(&mut self, id: RunId, segments: &[Segment]) {
        let run = self.runs.iter_mut().rfind(|run| run.id == id).expect("a run is noted before more of its segments");
        for segment in segments {
            run.is_recovered |= segment.is_recovered_in(&self.boot);
            let follows = segment.index() == run.last_index.wrapping_add(1);
            if follows && run.last_id.is_some_and(|last| segment.names_another_before(last)) {
                run.breaks_chain.get_or_insert_with(|| Arc::clone(&segment.path));
            }
            if segment.index() >= run.last_index {
                run.last_index = segment.index();
                run.last_id = segment.header.is_some().then_some(segment.segment_id);
            }
            run.knows_retention |= segment.knows_retention();
        }
    }

    /// Whether a newer diolog wrote all files with these numbers.
    pub(crate) fn are_newer(&self, numbers: Range<u64>) -> bool {
        self.newer.range(numbers.clone()).count() as u64 == numbers.end - numbers.start
    }

    /// The first file with one of these numbers that this user may not read.
    pub(crate) fn forbidden_in(&self, numbers: Range<u64>) -> Option<&Arc<Path>> {
        let first = self.forbidden.iter().find(|number| numbers.contains(number))?;
        self.unreadable.get(first).map(|(path, _)| path)
    }

    /// How many files from the first of these numbers on are missing, one after the other.
    pub(crate) fn missing_at(&self, numbers: Range<u64>) -> u64 {
        self.numbers.range(numbers.clone()).next().unwrap_or(&numbers.end) - numbers.start
    }

    /// Whether files are prepared, or rings named, so that [`suspicions`] depends on whether the log is in use.
    pub(crate) fn depends_on_use(&self) -> bool {
        !self.prepared.is_empty() || !self.rings.is_empty()
    }

    /// Whether the run that begins with `first` has all its files, though those before `first` hold no block. With a
    /// file for each number from the other run's last on, retention cannot have removed any.
    fn begins_in_a_blank_file(&self, first: &Segment, before: u64) -> bool {
        let lowest = self.lowest_blank_before(first.index());
        first.header.is_some() && first.first_number > 0 && lowest < first.index() && lowest == before.wrapping_add(1)
    }

    /// The lowest number from which on all files before number `first` hold no block.
    pub(crate) fn lowest_blank_before(&self, first: u64) -> u64 {
        (0..first).rev().take_while(|&number| self.blank(number).is_some()).last().unwrap_or(first)
    }

    /// Whether a segment between the two may have been removed: `next` names another one before it than `previous`, and
    /// not all files between them are there, without a block.
    pub(crate) fn may_be_removed_between(&self, previous: &Segment, next: &Segment) -> bool {
        next.names_another_before(previous.segment_id)
            && self.lowest_blank_before(next.number) > previous.number.wrapping_add(1)
    }

    /// Whether a newer diolog wrote the file before `run`, files without a block left aside.
    fn follows_newer_file(&self, run: &RunFacts) -> bool {
        let last = self.lowest_blank_before(run.first.index()).checked_sub(1);
        last.is_some_and(|last| self.newer.contains(&last))
    }

    /// The file with this number, if it holds no block.
    fn blank(&self, number: u64) -> Option<&Arc<Path>> {
        self.prepared.get(&number).or_else(|| self.unreadable.get(&number).map(|(path, _)| path))
    }

    /// The numbers at which `run` may have had a segment that failed before anything in it was durable: between those
    /// that hold blocks, and before the first of them if that says that it follows another.
    fn may_have_failed_at_once(&self, run: &RunFacts) -> Range<u64> {
        let first = run.first.index();
        let follows = run.first.header.as_ref().is_none_or(|header| header.previous_segment_id != 0);
        (if follows { self.lowest_blank_before(first) } else { first })..run.last_index
    }

    /// The numbers at which no file but a segment of `run` can have been: between its segments, and before the first of
    /// them if that has block 0 and follows another, which then failed. Whether a record is missing there is known by
    /// the blocks that there are.
    fn its_own(run: &RunFacts) -> Range<u64> {
        let first = run.first.index();
        let failed_at_once = run.first.first_number == 0
            && run.first.header.as_ref().is_some_and(|header| header.previous_segment_id != 0);
        first.saturating_sub(u64::from(failed_at_once))..run.last_index
    }

    /// How many numbers between the run before `run` and this one no file has, apart from files that held no block when
    /// `run` began, which it may have removed.
    fn missing_before(&self, run: &RunFacts) -> u64 {
        let unused = run.first.header.as_ref().map_or(0, |header| u64::from(header.unused_before));
        let (begin, end) = (run.before.saturating_add(1), run.first.index().saturating_sub(unused));
        if begin < end { (end - begin).saturating_sub(self.numbers.range(begin..end).count() as u64) } else { 0 }
    }
}

impl Foreign {
    fn suspicion(&self) -> Suspicion {
        let what = match (self.run, self.segments) {
            (None, _) => "holds blocks of a segment that nothing in this log names: they were not read".into(),
            (_, 1) => "belongs to another log, and was not read: this log's own may be gone".into(),
            (_, all) => format!(
                "belongs to another log, as do all {all} segments of its run, and was not read: this log's own may be gone"
            ),
        };
        Suspicion::new(&self.path, what)
    }
}

/// All suspicions about the files. `ends` gives the index of the last segment of each run that was read, and whether
/// the run was closed.
pub(crate) fn suspicions(facts: &Facts, ends: impl IntoIterator<Item = (u64, bool)>, in_use: InUse) -> Vec<Suspicion> {
    let mut found: Vec<_> = facts.unreadable.iter().map(|(number, file)| unreadable(facts, *number, file)).collect();
    found.extend(facts.foreign.iter().map(Foreign::suspicion));
    for (at, run) in facts.runs.iter().enumerate() {
        let path = &run.first.path;
        let follows_blocks = run.first.header.is_some() && !run.begins_here && run.first.first_number > 0;
        if follows_blocks && let Some(blank) = facts.blank(facts.lowest_blank_before(run.first.index())) {
            let what = "holds no block, and the segment after it says that some came before it".into();
            found.push(Suspicion::new(blank, what));
        }
        if let Some(path) = &run.breaks_chain {
            let what = "names another segment before it than the one that is there, which may have replaced it".into();
            found.push(Suspicion::new(path, what));
        }
        if facts.beginning_skipped || facts.runs[at..].iter().any(|run| run.knows_retention) {
            continue;
        }
        let missing = facts.missing_before(run);
        // The blocks before the run's first readable one may be in a file that only a newer diolog can read.
        let follows_newer = facts.follows_newer_file(run);
        let what = if follows_blocks && !follows_newer {
            format!("block {} of its run comes first: the segments before it are gone", run.first.first_number)
        } else if (run.begins_here || follows_newer) && missing > 0 {
            match missing {
                1 => "one of the log's files before it is missing: a whole run may be gone".into(),
                _ => format!("{missing} of the log's files before it are missing: whole runs may be gone"),
            }
        } else {
            continue;
        };
        let what = format!("{what}, and nothing says that retention was set");
        found.push(Suspicion::new(path, what));
    }
    let closed: BTreeMap<u64, bool> = ends.into_iter().collect();
    found.extend(facts.runs.iter().filter_map(|run| ended_before_a_write(facts, run, &closed)));
    found.extend(suspicious_prepared(facts, &closed, in_use));
    found.extend(rings_without_run(&facts.rings, |id| facts.runs.iter().any(|run| run.id == *id), in_use));
    let last = facts.runs.iter().map(|run| run.last_index).max();
    let is_left = |run: &RunFacts| run.is_recovered && (in_use != InUse::Yes || Some(run.last_index) < last);
    found.extend(rings_of_recovered(&facts.rings, |id| facts.runs.iter().any(|run| run.id == *id && is_left(run))));
    found
}

/// Rings that are named, though a recovery has written a segment of their run and is not at work any more: while it
/// is, the log is in use, and that segment is the last one. The name goes after everything else, so it says nothing if
/// there is a snapshot. A restart of the machine may bring it back, and there are no rings then.
pub(crate) fn rings_of_recovered<'a>(
    rings: &'a [NamedRings],
    is_left: impl Fn(&RunId) -> bool + 'a,
) -> impl Iterator<Item = Suspicion> + 'a {
    let suspicious = rings.iter().filter(move |rings| is_left(&rings.run) && !rings.has_snapshot);
    suspicious.map(|NamedRings { path, .. }| {
        let what = "names the rings of a run whose recovery has not ended: its records are here, but perhaps not what \
                    its flight recorder kept: run `diolog recover`";
        Suspicion::new(path, what.into())
    })
}

/// Rings that are named, the newest last, though their run has no segment. A run that has one speaks for itself: it has
/// no end. If there is a snapshot, a recovery has found nothing else. In a log in use the newest may be those of a run
/// that has not written yet.
pub(crate) fn rings_without_run<'a>(
    rings: &'a [NamedRings],
    is_known: impl Fn(&RunId) -> bool + 'a,
    in_use: InUse,
) -> impl Iterator<Item = Suspicion> + 'a {
    let ended = rings.len().saturating_sub(usize::from(in_use == InUse::Yes));
    let suspicious = rings[..ended].iter().filter(move |rings| !is_known(&rings.run) && !rings.has_snapshot);
    suspicious.map(|NamedRings { path, .. }| {
        let what = "names the rings of a run that has no segment here, and is not recovered: run `diolog recover`";
        Suspicion::new(path, what.into())
    })
}

/// A file that cannot be read as a segment. If it can only have been a segment of one run, the run's blocks tell
/// whether one is missing. A power cut leaves such a file if the segment had failed at once.
fn unreadable(facts: &Facts, number: u64, (path, what): &(Arc<Path>, String)) -> Suspicion {
    let is_explained = facts.runs.iter().any(|run| Facts::its_own(run).contains(&number));
    let severity = if is_explained { Severity::Note } else { Severity::Unconfirmed };
    Suspicion { severity, path: Arc::clone(path), what: what.clone() }
}

/// Runs right before `run` that ended before their first write, as its header says. One that was not closed may have
/// prepared one of the files that they are known by, and so may one that is gone.
fn ended_before_a_write(facts: &Facts, run: &RunFacts, closed: &BTreeMap<u64, bool>) -> Option<Suspicion> {
    let header = run.first.header.as_ref()?;
    let before = run.first.index().saturating_sub(u64::from(header.unused_before)).saturating_sub(1);
    let may_have_prepared = before > 0 && closed.get(&before) != Some(&true);
    let left = header.left_before.saturating_sub(u16::from(may_have_prepared));
    let runs = match left {
        0 => return None,
        1 => "one run right before it ended before its first write".into(),
        _ => format!("{left} runs right before it ended before their first write"),
    };
    let what = format!("{runs}: what was accepted then is in no file, unless it was recovered later");
    let is_skipped = facts.beginning_skipped && !closed.contains_key(&run.last_index);
    (!is_skipped).then(|| Suspicion::new(&run.first.path, what))
}

/// Files that hold no block without a reason that the other files know: a run before them that was not closed, or a
/// segment that failed at once. A logger that is at work has its own reasons.
fn suspicious_prepared(facts: &Facts, closed: &BTreeMap<u64, bool>, in_use: InUse) -> Option<Suspicion> {
    if in_use == InUse::Yes {
        return None;
    }
    let is_suspicious = |number: u64| {
        let follows_closed = closed.range(..number).next_back().map_or(!facts.beginning_skipped, |(_, closed)| *closed);
        follows_closed && !facts.runs.iter().any(|run| facts.may_have_failed_at_once(run).contains(&number))
    };
    let mut suspicious = facts.prepared.iter().filter(|(number, _)| is_suspicious(**number));
    let (_, path) = suspicious.next()?;
    let more = match suspicious.count() {
        0 => String::new(),
        1 => ", nor does one other file".into(),
        others => format!(", nor do {others} other files"),
    };
    let what = format!("holds no block{more}: the process ended before its first write to it, or it was emptied since");
    Some(Suspicion::new(path, what))
}

#[cfg(test)]
mod tests;
