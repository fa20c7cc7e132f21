//! Finds the runs of a log, in their order. It inspects each file, also those that come while the log is read, and adds
//! the file's segment to its run.
//!
//! The walk takes one run after the other. When it has read all of them, it asks for new files.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::Result;
use crate::format::{BlockFlags, BlockHeader};
use crate::sys;

use super::super::files::{Facts, Inspected, LogFiles, Run, Segment, Sorted, log_of, misplacement, not_a_log, sort};
use super::super::record::RunId;
use super::super::report::{InUse, Report, Severity};
use super::super::scan::{Cursor, Loaded, Scanned};

/// If a segment has no header, so many of its blocks are compared with those of a run, to find out whether it belongs
/// to that run.
const COMPARED_MAX: usize = 64;

/// The files of a log, and its runs that have not been read.
#[derive(Debug)]
pub(super) struct Runs {
    pub(super) files: LogFiles,
    /// The facts from which suspicious files are found.
    pub(super) facts: Facts,
    /// The runs that the walk has not begun, in order.
    pub(super) later: VecDeque<Run>,
    /// The last segments of a log in use, if their headers are missing. The header of the next segment may say to which
    /// run they belong. Until then they are not read, because other segments of their run may hold the same blocks.
    undecided: Vec<Segment>,
    /// The newest file, if it was searched to its end and held nothing while no logger had the log open. It is not
    /// searched again until it is written.
    found_blank: Option<Stamp>,
}

/// A file, its size, and when it was written last.
type Stamp = (PathBuf, u64, SystemTime);

impl Runs {
    /// Opens the log at `path`; no file is inspected yet. With `sync`, files are made durable before they are read.
    pub(super) fn of(path: &Path, sync: bool) -> Result<Runs> {
        Ok(Runs {
            files: LogFiles::open(path, sync)?,
            facts: Facts::in_boot(sys::cpu::boot_id()),
            later: VecDeque::new(),
            undecided: Vec::new(),
            found_blank: None,
        })
    }

    /// Looks for files that are new, or have come into use, and adds their segments to `current`, the run that is being
    /// read, or to later runs. `may_grow`: a logger may be preparing the newest file, or writing its first block.
    pub(super) fn discover(&mut self, current: Option<&mut Run>, may_grow: bool, report: &mut Report) -> Result<()> {
        let rings = self.files.runs_with_rings();
        let inspected = self.inspect(may_grow)?;
        if !self.files.is_at_its_path() {
            // They may be another log's.
            return Ok(());
        }
        let mut segments = std::mem::take(&mut self.undecided);
        let mut misplaced = Vec::new();
        let mut refused = None;
        self.facts.note_rings(rings);
        self.facts.forget_prepared();
        report.prepared_files = 0;
        for (number, path, inspected) in inspected {
            self.facts.note_file(number, &path, &inspected);
            let (severity, what) = match inspected {
                Inspected::Prepared => {
                    report.prepared_files += 1;
                    continue;
                }
                Inspected::Segment(segment) => {
                    self.files.mark_known(&path);
                    segments.push(segment);
                    continue;
                }
                Inspected::Misplaced(segment, displaced) => {
                    self.files.mark_known(&path);
                    misplaced.push((number, segment.clone(), displaced.is_some()));
                    segments.extend([segment].into_iter().chain(displaced));
                    continue;
                }
                Inspected::Newer(what) => {
                    report.newer_files += 1;
                    (Severity::Newer, what)
                }
                Inspected::Unreadable(what) | Inspected::Forbidden(what) => {
                    report.unreadable_files += 1;
                    (Severity::Unconfirmed, what)
                }
            };
            self.files.mark_known(&path);
            // Of a log's file, the other files tell how serious that is.
            if severity != Severity::Unconfirmed || !self.files.is_directory {
                report.add_finding(severity, path.clone(), None, what.clone());
            }
            refused.get_or_insert((path, what));
        }
        let nothing = segments.is_empty() && current.is_none() && report.runs.is_empty() && report.prepared_files == 0;
        if let Some((path, what)) = refused.filter(|_| nothing) {
            return Err(not_a_log(&path, what));
        }
        self.facts.note_log(|| log_of(&segments));
        for (number, segment, displaced) in misplaced {
            if self.facts.note_misplaced(number, &segment, displaced) {
                let what = misplacement(number, &segment);
                report.add_finding(Severity::Unconfirmed, segment.path.to_path_buf(), None, what);
            }
        }
        self.assign(segments, current, may_grow)
    }

    /// Finds out the kinds of the files that are not known yet.
    fn inspect(&mut self, may_grow: bool) -> Result<Vec<(u64, PathBuf, Inspected)>> {
        // If the logger has gone since the caller's last call, no file is in preparation.
        let newest = if self.files.in_use() == InUse::No { self.files.newest().and_then(stamp) } else { None };
        let is_searched = newest.is_some() && newest != self.found_blank;
        let mut inspected = self.files.inspect_all(may_grow && !is_searched)?;
        if is_searched && self.files.in_use() == InUse::No {
            let is_blank = matches!(inspected.last(), Some((_, _, Inspected::Prepared)));
            self.found_blank = newest.filter(|_| is_blank);
        } else if is_searched && may_grow {
            // Another logger has come, and may have been writing the newest file.
            inspected = self.files.inspect_all(true)?;
        }
        Ok(inspected)
    }

    /// Whether segments are held back because it is not known to which run they belong.
    pub(super) fn holds_back(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// No longer holds segments back: those that no block assigns to another run become a run of their own.
    pub(super) fn decide(&mut self, current: Option<&mut Run>) -> Result<()> {
        let segments = std::mem::take(&mut self.undecided);
        self.assign(segments, current, false)
    }

    /// Adds segments to `current` or to later runs. If the log `may_grow`, and a logger has it open, this may hold the
    /// last ones back.
    fn assign(&mut self, segments: Vec<Segment>, mut current: Option<&mut Run>, may_grow: bool) -> Result<()> {
        let log = self.facts.log().filter(|_| self.files.is_directory);
        let Sorted { runs, foreign } = sort(segments, log);
        self.facts.note_foreign(&foreign);
        let mut runs = join(&self.files, &self.facts, runs)?;
        while let Some(mut run) = runs.pop_front() {
            let known = self.later.iter_mut().rev().find(|known| known.id == run.id);
            if let Some(known) = known.or(current.as_deref_mut().filter(|current| current.id == run.id)) {
                self.facts.note_segments(known.id, run.segments());
                known.append(run);
                continue;
            }
            match self.later.back_mut().or(current.as_deref_mut()) {
                Some(last) if continues(&self.files, &self.facts, last, &run)? => {
                    self.facts.note_segments(last.id, run.segments());
                    last.append(run);
                }
                last => {
                    let are_unknown = !run.id.is_known() && runs.iter().all(|later| !later.id.is_known());
                    if may_grow && are_unknown && self.files.in_use() == InUse::Yes {
                        runs.push_front(run);
                        self.undecided = runs.into_iter().flat_map(Run::into_segments).collect();
                        break;
                    }
                    // There never was a file before number 1. So its run begins there, even if its header is damaged.
                    run.begins_here |=
                        self.files.is_directory && run.first().header.is_none() && run.first().number == 1;
                    let before = last.map_or(0, |last| last.last().index());
                    // A run may have been read, and then recovered after another one had come.
                    if run.first().continues_by_recovery() && self.facts.has_run(run.id) {
                        self.facts.note_segments(run.id, run.segments());
                    } else {
                        self.facts.note_run(&mut run, before);
                    }
                    self.later.push_back(run);
                }
            }
        }
        Ok(())
    }

    /// Drops the beginning of the log, and keeps the segments that hold the last `records`. `count` returns how many
    /// records of a block count.
    ///
    /// The caller must not have taken a run. One more segment is kept, because a later record may be in an earlier
    /// segment than an earlier record.
    pub(super) fn skip_to_last(
        &mut self,
        records: u64,
        in_use: InUse,
        mut count: impl FnMut(RunId, &Loaded) -> u64,
    ) -> Result<()> {
        // A caller that wants no record wants those that come next, which follow the last one in its segment.
        let records = records.max(1);
        let (mut counted, mut kept_runs) = (0_u64, 0);
        for run in self.later.iter_mut().rev() {
            if counted >= records {
                break;
            }
            kept_runs += 1;
            let mut first = run.segments().len();
            while first > 0 && counted < records {
                // Blocks of which a later segment has copies were counted there.
                let below = run.lowest_from(first).unwrap_or(u64::MAX);
                first -= 1;
                let segment = &run.segments()[first];
                let horizon = segment.horizon(in_use == InUse::Yes);
                self.files.each_block_below(segment, below, horizon, |block| {
                    counted = counted.saturating_add(count(run.id, block));
                })?;
            }
            let skipped = run.begin_of(run.begin_of(first).saturating_sub(1));
            if skipped > 0 {
                run.skip(skipped);
                self.facts.beginning_skipped = true;
            }
        }
        let skipped = self.later.len() - kept_runs;
        self.later.drain(..skipped);
        self.facts.beginning_skipped |= skipped > 0;
        Ok(())
    }
}

/// The stamp of the file at `path`, which changes when the file is written; `None` if the file cannot be examined.
fn stamp(path: PathBuf) -> Option<Stamp> {
    let metadata = path.symlink_metadata().ok()?;
    let written = metadata.modified().ok()?;
    Some((path, metadata.len(), written))
}

/// Adds segments without a header to known runs, by their place among the files and by their blocks: a segment between
/// two segments of a run, or one before a run if [`precedes`] says that it is of this run.
fn join(files: &LogFiles, facts: &Facts, runs: VecDeque<Run>) -> Result<VecDeque<Run>> {
    let mut joined: VecDeque<Run> = VecDeque::new();
    for mut run in take_in_between(files, runs)? {
        // Looks at the segments of unknown runs before it, the nearest first.
        let mut before = joined.len();
        while run.id.is_known() && !run.begins_here && before > 0 && !joined[before - 1].id.is_known() {
            let is_next = before == joined.len();
            before -= 1;
            if !precedes(files, facts, joined[before].first(), &run, is_next)? {
                continue;
            }
            let mut between = joined.split_off(before);
            run.insert(between.pop_front().expect("the one that precedes it"));
            for other in between {
                if may_be_of(files, other.first(), &run)? {
                    run.insert(other);
                } else {
                    joined.push_back(other);
                }
            }
        }
        joined.push_back(run);
    }
    Ok(joined)
}

/// Adds to each run the segments that stand between two of its own.
fn take_in_between(files: &LogFiles, runs: VecDeque<Run>) -> Result<Vec<Run>> {
    let mut filled: Vec<Run> = Vec::new();
    for run in runs {
        match filled.last_mut() {
            Some(last)
                if !run.id.is_known()
                    && last.last().index() > run.first().index()
                    && may_be_of(files, run.first(), last)? =>
            {
                last.insert(run);
            }
            _ => filled.push(run),
        }
    }
    Ok(filled)
}

/// Whether `segment`, which stands between two segments of `run`, may be of this run: no block contradicts it.
fn may_be_of(files: &LogFiles, segment: &Segment, run: &Run) -> Result<bool> {
    Ok(compare(files, segment, Others::Any(run.segments()))?.is_some_and(|likeness| likeness != Likeness::Differs))
}

/// Whether `segment`, which has no header and stands before `run`, is of this run. One of these must hold, and no block
/// of the run may have the number of one of its blocks and other contents:
///
/// - The run holds copies of its blocks.
/// - It has no block, and `is_next` to the run.
/// - The run begins again with a lower number than the segment, and no block of the segment says that the blocks from
///   that number on were durable. The writer begins again after a failed write.
/// - It `is_next` to the run, only files without a block lie between them, the run's numbers follow its own, it is not
///   the end of a closed run, and the run's first testimony says that its blocks may have been in flight.
fn precedes(files: &LogFiles, facts: &Facts, segment: &Segment, run: &Run, is_next: bool) -> Result<bool> {
    let lowest = run.lowest_from(0).unwrap_or(0);
    Ok(match compare(files, segment, Others::Any(run.segments()))? {
        Some(Likeness::Copies) => true,
        Some(Likeness::NoBlock) => is_next,
        Some(Likeness::Apart) => {
            let (mut durable_below, mut last, mut ends) = (0, 0, false);
            let all_there = each_block(files, segment, |header| {
                durable_below = durable_below.max(header.durable_below());
                last = last.max(header.sequence.get());
                ends |= header.block_flags().has(BlockFlags::CLEAN_END);
                true
            })?;
            if segment.first_number >= lowest {
                all_there && durable_below <= lowest
            } else {
                let follows = facts.lowest_blank_before(run.first().index()) == segment.index().wrapping_add(1);
                let goes_on = all_there && is_next && follows && !ends && last < lowest;
                goes_on && first_testimony(files, run)?.is_some_and(|durable| durable <= segment.first_number)
            }
        }
        _ => false,
    })
}

/// Whether `next`, whose first segment has no header, continues `run`. All of these must hold:
///
/// - Only files without a block lie between the two.
/// - The run did not end before `next`.
/// - No block of the run has the number of one of the first blocks of `next` and other contents.
/// - The run holds copies of first blocks of `next`, or no block of the run says that they were durable already.
///
/// `next` may begin with a lower number than all of the run, because blocks that were refused are written again into a
/// later segment.
fn continues(files: &LogFiles, facts: &Facts, run: &Run, next: &Run) -> Result<bool> {
    let (last, first) = (run.last(), next.first());
    if next.id.is_known() || facts.lowest_blank_before(first.index()) != last.index().wrapping_add(1) {
        return Ok(false);
    }
    let begins_before = |segment: &Segment| segment.first_number <= first.first_number;
    let from = run.segments().iter().rposition(begins_before).unwrap_or(0);
    Ok(compare(files, first, Others::Earlier(&run.segments()[from..]))?
        .is_some_and(|likeness| likeness != Likeness::Differs))
}

/// The result of comparing the first blocks of a segment with the blocks of other segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    /// The segments are of different runs: two blocks have the same number and other contents; or an earlier segment
    /// holds a clean end; or, without copies, its blocks say that the first blocks were durable already.
    Differs,
    /// Some blocks are copies of each other, and no two differ.
    Copies,
    /// No two blocks have the same number.
    Apart,
    /// The segment has no block.
    NoBlock,
}

/// The segments that one is compared with.
enum Others<'a> {
    /// They stand before it.
    Earlier(&'a [Segment]),
    /// They stand anywhere.
    Any(&'a [Segment]),
}

/// Compares the first blocks of a segment with the blocks of others. `None` if one of the files has been removed since
/// it was listed.
fn compare(files: &LogFiles, segment: &Segment, others: Others<'_>) -> Result<Option<Likeness>> {
    let (others, are_earlier) = match others {
        Others::Earlier(others) => (others, true),
        Others::Any(others) => (others, false),
    };
    let mut first_blocks = HashMap::new();
    let all_there = each_block(files, segment, |header| {
        first_blocks.insert(header.sequence.get(), *header);
        first_blocks.len() < COMPARED_MAX
    })?;
    let last = first_blocks.keys().max().copied().unwrap_or(0);
    let nothing = if first_blocks.is_empty() { Likeness::NoBlock } else { Likeness::Apart };
    let mut likeness = all_there.then_some(nothing);
    let mut durable_below = 0;
    for other in others {
        if likeness.is_none_or(|likeness| likeness == Likeness::Differs) {
            break;
        }
        let all_there = each_block(files, other, |header| {
            durable_below = durable_below.max(header.durable_below());
            let ends = are_earlier && header.block_flags().has(BlockFlags::CLEAN_END);
            likeness = match first_blocks.get(&header.sequence.get()) {
                Some(block) if is_copy(block, header) => Some(Likeness::Copies),
                None if !ends => likeness,
                _ => Some(Likeness::Differs),
            };
            (are_earlier || header.sequence.get() < last) && likeness != Some(Likeness::Differs)
        })?;
        likeness = likeness.filter(|_| all_there);
    }
    if are_earlier
        && durable_below > segment.first_number
        && likeness.is_some_and(|likeness| likeness != Likeness::Copies)
    {
        likeness = Some(Likeness::Differs);
    }
    Ok(likeness)
}

/// Calls `act` with the header of each block of a segment, until it returns false. Returns false if the segment has
/// been removed since it was listed.
fn each_block(files: &LogFiles, segment: &Segment, mut act: impl FnMut(&BlockHeader) -> bool) -> Result<bool> {
    let Some(file) = files.open_if_there(&segment.path)? else { return Ok(false) };
    let mut cursor = Cursor::new(Some(segment.segment_id), segment.first_offset);
    while let Scanned::Block(found) = cursor.next(&file, u64::MAX)? {
        if !act(&found.header) {
            break;
        }
    }
    Ok(true)
}

/// The number below which all blocks were durable, as the first header or block of a run says it.
fn first_testimony(files: &LogFiles, run: &Run) -> Result<Option<u64>> {
    for segment in run.segments() {
        let mut first = segment.block_0.as_ref().map(BlockHeader::durable_below);
        if first.is_none() {
            each_block(files, segment, |header| {
                first = Some(header.durable_below());
                false
            })?;
        }
        if first.is_some() {
            return Ok(first);
        }
    }
    Ok(None)
}

/// Whether two blocks of the same number have the same contents, by their headers.
fn is_copy(one: &BlockHeader, other: &BlockHeader) -> bool {
    let contents = |block: &BlockHeader| {
        let BlockHeader { valid, payload_crc, first_ns, last_ns, records, shards, .. } = *block;
        (valid, payload_crc, first_ns, last_ns, records, shards)
    };
    contents(one) == contents(other)
}
