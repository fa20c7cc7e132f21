//! Finds the runs of a log, in their order. It inspects each file, also those that come while the log is read, and adds
//! the file's segment to its run.
//!
//! The walk takes one run after the other. When it has read all of them, it asks for new files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::Result;
use crate::sys;

use super::super::files::{Facts, Inspected, LogFiles, Run, Segment, Sorted, log_of, misplacement, not_a_log, sort};
use super::super::record::RunId;
use super::super::report::{InUse, Report, Severity};
use super::super::scan::Loaded;
use super::kinship::{continues, join};

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
        let rings = self.files.named_rings();
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
