//! The runs of a log in their order. Each file is inspected, and its segment is added to its run; so are segments that
//! come later.
//!
//! The walk takes the runs one after the other, and asks for new files when it has read all.

use std::collections::VecDeque;
use std::path::Path;

use crate::error::{Result, is_not_found};
use crate::format::{BlockFlags, LogId};

use super::super::files::{Facts, InUse, Inspected, LogFiles, Run, not_a_log, runs_of};
use super::super::report::{Report, Severity};
use super::super::scan::{Cursor, Scanned};

/// The files of a log, and its runs that have not been read.
#[derive(Debug)]
pub(super) struct Runs {
    pub(super) files: LogFiles,
    /// The facts from which suspicious files are found.
    pub(super) facts: Facts,
    /// Those that have not been begun, in order.
    pub(super) later: VecDeque<Run>,
}

impl Runs {
    /// Names the log at `path`. With `sync`, files are made durable before they are read.
    pub(super) fn of(path: &Path, sync: bool) -> Result<Runs> {
        Ok(Runs { files: LogFiles::open(path, sync)?, facts: Facts::default(), later: VecDeque::new() })
    }

    /// Looks for files that are new, or have come into use, and adds their segments to `current`, the run that is being
    /// read, or to later runs. `may_grow`: the newest file may be in preparation.
    pub(super) fn discover(
        &mut self,
        mut current: Option<&mut Run>,
        may_grow: bool,
        report: &mut Report,
    ) -> Result<()> {
        let inspected = self.files.inspect_all(may_grow)?;
        if !self.files.is_at_its_path() {
            // They may be another log's.
            return Ok(());
        }
        let mut segments = Vec::new();
        let mut refused = None;
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
                Inspected::Newer(what) => {
                    report.newer_files += 1;
                    (Severity::Newer, what)
                }
                Inspected::Unreadable(what) => {
                    report.unreadable_files += 1;
                    (Severity::Unconfirmed, what)
                }
            };
            self.files.mark_known(&path);
            report.add_finding(severity, path.clone(), None, what.clone());
            refused.get_or_insert((path, what));
        }
        let nothing = segments.is_empty() && current.is_none() && report.runs.is_empty() && report.prepared_files == 0;
        if let Some((path, what)) = refused.filter(|_| nothing) {
            return Err(not_a_log(&path, what));
        }
        self.facts.note_log(|| {
            LogId::of_directory(segments.iter().rev().filter_map(|segment| Some(segment.header.as_ref()?.log)))
        });
        for mut run in runs_of(segments) {
            match self.later.back_mut().or(current.as_deref_mut()) {
                Some(last) if last.id == run.id || continues(&self.files, last, &run)? => {
                    self.facts.note_segments(last.id, &run.segments);
                    last.segments.append(&mut run.segments);
                }
                last => {
                    let before = last.map_or(0, |last| last.last().index());
                    self.facts.note_run(&mut run, before);
                    self.later.push_back(run);
                }
            }
        }
        Ok(())
    }

    /// Drops the log's beginning, down to the segments that hold the last `records`.
    ///
    /// To be called before a run is taken. A record may be in a segment before that of an earlier one, so one segment
    /// more is kept.
    pub(super) fn skip_to_last(&mut self, records: u64, in_use: InUse) -> Result<()> {
        // A caller that wants none wants the records that come next: they are in the segment of the last one.
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
                counted = counted.saturating_add(self.files.records_in(&run.segments[first], in_use == InUse::Yes)?);
            }
            let skipped = first.saturating_sub(1);
            if skipped > 0 {
                run.segments.drain(..skipped);
                run.begins_here = false;
                self.facts.beginning_skipped = true;
            }
        }
        let skipped = self.later.len() - kept_runs;
        self.later.drain(..skipped);
        self.facts.beginning_skipped |= skipped > 0;
        Ok(())
    }
}

/// Whether `next`, whose first segment does not say which run it belongs to, continues `run`: its file follows, and
/// its blocks follow the last one there, which did not end the run.
fn continues(files: &LogFiles, run: &Run, next: &Run) -> Result<bool> {
    let (last, first) = (run.last(), next.first());
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
