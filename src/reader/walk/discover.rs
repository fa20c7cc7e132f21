//! Which files there are, or have come since: each looked at, and put where it belongs in the order of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::error::{Result, is_not_found};
use crate::format::{BlockFlags, LogId};

use super::super::account::Account;
use super::super::files::{Inspected, LogFiles, Run, Segment, not_a_log, runs_of};
use super::super::report::Severity;
use super::super::scan::{Cursor, Scanned};
use super::Walk;

impl Walk {
    /// Looks for files that are new, or have been put to use.
    pub(super) fn discover(&mut self) -> Result<()> {
        let mut segments = Vec::new();
        let mut refused = None;
        // Without a block: made ready, emptied, or unreadable.
        let mut barren = BTreeMap::new();
        self.barren.clear();
        let mut present = BTreeSet::new();
        self.account.report.prepared_files = 0;
        for (number, path, inspected) in self.files.inspect_all(self.is_written())? {
            present.insert(number);
            match inspected {
                Inspected::Segment(segment) => segments.push(segment),
                Inspected::Prepared => {
                    self.account.report.prepared_files += 1;
                    self.barren.insert(number, path.clone());
                    barren.insert(number, path);
                    continue;
                }
                Inspected::Newer(what) => {
                    self.account.report.newer_files += 1;
                    self.newer_files.insert(number);
                    self.account.report.find(Severity::Newer, path.clone(), None, what.clone());
                    refused.get_or_insert((path.clone(), what));
                }
                Inspected::Unreadable(what) => {
                    self.account.report.unreadable_files += 1;
                    self.account.report.find(Severity::Unconfirmed, path.clone(), None, what.clone());
                    refused.get_or_insert((path.clone(), what));
                    barren.insert(number, path.clone());
                }
            }
            self.files.settle(&path);
        }
        let nothing = segments.is_empty() && self.run.is_none() && self.account.report.runs.is_empty();
        if let Some((path, what)) = refused.filter(|_| nothing && self.account.report.prepared_files == 0) {
            return Err(not_a_log(&path, what));
        }
        self.log = self.log.or_else(|| {
            LogId::of_directory(segments.iter().rev().filter_map(|segment| Some(segment.header.as_ref()?.log)))
        });
        for mut run in runs_of(segments) {
            self.failed_at_once.extend(failed_at_once(&run, &barren));
            let last = self.later.back_mut().or(self.run.as_mut());
            match last {
                Some(last) if last.id == run.id || continues(&self.files, last, &run)? => {
                    last.segments.append(&mut run.segments)
                }
                last => {
                    let before = last.and_then(|last| last.segments.last()).map_or(0, Segment::index);
                    find_beginning(&mut run, before, &barren, &mut self.account);
                    run.missing_before = missing_before(&run, before, &present);
                    self.account.find_foreign(&run, self.log);
                    self.later.push_back(run);
                }
            }
        }
        Ok(())
    }

    /// Passes over the log's beginning, down to the segments that hold the last `records`.
    ///
    /// To be called before anything is read. A record may stand in a segment before that of an earlier one, so that one more
    /// is kept.
    pub(in super::super) fn skip_to_last(&mut self, records: u64) -> Result<()> {
        // Those who want none want what comes next: that is where the last one is.
        let records = records.max(1);
        let (mut counted, mut kept_runs) = (0_u64, 0);
        for run in self.later.iter_mut().rev() {
            if counted >= records {
                break;
            }
            kept_runs += 1;
            let mut first = run.segments.len();
            while first > 0 && counted < records {
                first -= 1;
                counted =
                    counted.saturating_add(self.files.records_in(&run.segments[first], self.in_use == Some(true))?);
            }
            let skipped = first.saturating_sub(1);
            if skipped > 0 {
                run.segments.drain(..skipped);
                (run.begins_here, self.skipped) = (false, true);
            }
        }
        let skipped = self.later.len() - kept_runs;
        self.skipped |= skipped > 0;
        self.later.drain(..skipped);
        Ok(())
    }
}

/// Whether `next`, whose first segment does not say which run it belongs to, continues `run`: its file follows, and
/// its blocks follow the last one there, which did not end the run.
fn continues(files: &LogFiles, run: &Run, next: &Run) -> Result<bool> {
    let (Some(last), Some(first)) = (run.segments.last(), next.segments.first()) else { return Ok(false) };
    if next.id.is_known() || first.index() != last.index().wrapping_add(1) {
        return Ok(false);
    }
    let file = match files.open_file(&last.path) {
        // Removed since it was listed.
        Err(error) if is_not_found(&error) => return Ok(false),
        file => file?,
    };
    let mut cursor = Cursor::new(Some(last.segment_id), last.first_offset);
    let mut end = None;
    while let Scanned::Block(found) = cursor.next(&file, u64::MAX)? {
        end = Some(found.header);
    }
    Ok(end.is_some_and(|end| !end.block_flags().has(BlockFlags::CLEAN_END) && end.sequence.get() < first.first_number))
}

/// How many numbers between `before` and the first segment of `run` are not `present`.
fn missing_before(run: &Run, before: u64, present: &BTreeSet<u64>) -> u64 {
    let (begin, end) = (before.saturating_add(1), run.segments.first().map_or(0, Segment::index));
    if begin < end { (end - begin).saturating_sub(present.range(begin..end).count() as u64) } else { 0 }
}

/// The numbers of `run`'s files that hold no block because their segment failed before anything in it was durable: between
/// those that do, and before the first of them if that says that it follows another.
fn failed_at_once(run: &Run, barren: &BTreeMap<u64, PathBuf>) -> impl Iterator<Item = u64> {
    let mut range = 0..0;
    if let (Some(first), Some(last)) = (run.segments.first(), run.segments.last()) {
        range = first.index()..last.index().max(first.index());
        let follows = first.header.as_ref().is_none_or(|header| header.previous_segment_id != 0);
        if follows {
            range.start = barren_before(range.start, barren);
        }
    }
    barren.range(range).map(|(number, _)| *number)
}

/// The lowest number from which on all files before number `first` hold no block.
fn barren_before(first: u64, barren: &BTreeMap<u64, PathBuf>) -> u64 {
    let before = barren.range(..first).rev().map(|(number, _)| *number);
    before
        .zip((0..first).rev())
        .take_while(|(number, wanted)| number == wanted)
        .last()
        .map_or(first, |(lowest, _)| lowest)
}

/// Finds out what it means that files before the first segment of `run` hold nothing, though that segment says that
/// the run has earlier blocks. `before` is the index of the segment before the run, 0 at the log's beginning.
fn find_beginning(run: &mut Run, before: u64, barren: &BTreeMap<u64, PathBuf>, account: &mut Account) {
    let Some(first) = run.segments.first().filter(|first| first.header.is_some()) else { return };
    if run.begins_here || first.first_number == 0 {
        return;
    }
    let lowest = barren_before(first.index(), barren);
    // With a file for each index from the other run's last on, nothing can have been removed by retention.
    run.begins_here = lowest < first.index() && lowest == before.wrapping_add(1);
    if let Some(path) = barren.get(&lowest).filter(|_| !run.begins_here) {
        let what = "holds no block, and the segment behind it says that some came before it".into();
        account.report.find(Severity::Unconfirmed, path.clone(), None, what);
    }
}
