//! Findings and read errors of a log in words: on standard error after printing it, and for `verify` and `info`.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::Path;

use diolog::unstable::rings_file_name;
use diolog::{DroppedBy, InUse, LossCause, Report, RunId, RunReport, Severity, Verdict};

use crate::exit::{Failure, Status};
use crate::text::output::say;
use crate::text::units::{counted, grouped};

/// The end of a run that was closed.
const CLOSED: &str = "closed cleanly";

/// The most findings to print; `diolog verify` prints all of them.
const PRINTED_MAX: usize = 5;

/// The log's state in a few words, such as "clean; 3,374 dropped (ring full)", "in use by process 1234; nothing lost so
/// far", "unconfirmed: 1 run ended without close".
pub(crate) fn state(report: &Report) -> String {
    let verdict = report.verdict();
    let mut parts = Vec::new();
    if verdict >= Verdict::Unconfirmed {
        let why = why(report, verdict).join(", ");
        parts.push(if why.is_empty() { verdict.to_string() } else { format!("{verdict}: {why}") });
    }
    match report.in_use {
        InUse::Yes => parts.push(in_use(report.in_use_by)),
        _ if verdict <= Verdict::Dropped => parts.push(Verdict::Clean.to_string()),
        _ => {}
    }
    match report.dropped() {
        0 if verdict == Verdict::InUse => parts.push("nothing lost so far".into()),
        0 => {}
        dropped => parts.push(format!("{} dropped{}", grouped(dropped), causes(&report.dropped_by(), dropped))),
    }
    let refused: u64 = report.runs.iter().map(|run| run.refused_no_ring).fold(0, u64::saturating_add);
    if refused > 0 {
        parts.push(format!("{} refused (no ring)", grouped(refused)));
    }
    parts.join("; ")
}

/// Why the verdict is no better, in numbers; empty if it has a sentence of its own elsewhere.
fn why(report: &Report, verdict: Verdict) -> Vec<String> {
    let rows = || report.runs.iter().flat_map(|run| &run.producers);
    let damaged: u64 = rows().map(|row| row.damaged).fold(0, u64::saturating_add);
    let unwritten: u64 = rows().map(|row| row.unwritten).fold(0, u64::saturating_add);
    let of_blocks = [
        (report.blocks.lost, "block", "lost"),
        (damaged, "record", "in damaged or missing blocks"),
        (unwritten, "record", "not written at close"),
    ];
    let unconfirmed = [
        (report.blocks.holes, "block", "missing that the disk never acknowledged"),
        (report.blocks.damaged_headers, "segment header", "damaged"),
    ];
    let counts = match verdict {
        Verdict::Lost => &of_blocks[..],
        Verdict::Unconfirmed => &unconfirmed,
        _ => &[],
    };
    let of_ends = if verdict == Verdict::Unconfirmed { not_closed(report) } else { None };
    let counts = counts.iter().filter(|(number, ..)| *number > 0);
    let counts = counts.map(|(number, thing, how)| format!("{} {how}", counted(*number, thing)));
    let why: Vec<_> = of_ends.into_iter().chain(counts).collect();
    let severity = match verdict {
        Verdict::Lost => Severity::Lost,
        Verdict::Unconfirmed => Severity::Unconfirmed,
        _ => return why,
    };
    let found = report.findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    if why.is_empty() { vec![counted(found, "finding")] } else { why }
}

/// How many runs were not closed, if some were not, without one that is being written.
fn not_closed(report: &Report) -> Option<String> {
    let open = report.runs.iter().filter(|run| !run.clean_end && !run.in_use && !run.goes_on).count() as u64;
    let how = match report.in_use {
        InUse::Yes | InUse::No => "ended without close",
        InUse::Unknown => "not closed: in use, or ended without close",
    };
    (open > 0).then(|| format!("{} {how}", counted(open, "run")))
}

/// The causes of drops in brackets, as " (ring full)", " (3,000 ring full, 374 the device has failed)"; empty if they
/// are unknown.
fn causes(dropped_by: &DroppedBy, dropped: u64) -> String {
    let causes: Vec<_> = dropped_by.causes().collect();
    match causes[..] {
        [] => String::new(),
        [(cause, number)] if number >= dropped => format!(" ({cause})"),
        _ => {
            let known = causes.iter().map(|(_, number)| *number).fold(0, u64::saturating_add);
            let mut words: Vec<_> =
                causes.iter().map(|(cause, number)| format!("{} {cause}", grouped(*number))).collect();
            if known < dropped {
                words.push(format!("{} {}", grouped(dropped - known), LossCause::Unknown));
            }
            format!(" ({})", words.join(", "))
        }
    }
}

/// That a log is in use, and by which process if that is known.
pub(crate) fn in_use(by: Option<u32>) -> String {
    by.map_or_else(|| "in use".into(), |process| format!("in use by process {process}"))
}

/// How a run of a log ended, if it did. `is_written`: a logger is writing it, the process `by` if that is known.
pub(crate) fn run_end(clean_end: bool, is_written: bool, log: InUse, by: Option<u32>) -> String {
    match log {
        _ if clean_end => CLOSED.into(),
        _ if is_written => in_use(by),
        InUse::Yes | InUse::No => "ended without close".into(),
        InUse::Unknown => "not closed: in use, or ended without close".into(),
    }
}

/// That a run goes on in a segment which was not given.
pub(crate) const GOES_ON: &str = "its run goes on in the next segment, which was not given";

/// How a run ended, as [`run_end`] gives it in `words`, and what was recovered of it or is still to be: `rings` says
/// whether the log at `path` names rings of the run.
pub(crate) fn with_recovery(words: String, path: &Path, run: &RunId, recovered: bool, is_written: bool) -> String {
    let is_left = !is_written && has_rings(path, run);
    match (recovered, is_left) {
        // What may be missing is not the log's: a finding says it.
        (_, true) if words == CLOSED => words,
        (_, true) => format!("{words}; what its rings hold is not in the files yet: run `diolog recover`"),
        (true, false) if words == CLOSED => "recovered after its process had died".into(),
        (true, false) => format!("{words}; recovered in part after its process had died"),
        (false, false) => words,
    }
}

/// Whether the log at `path` names rings of the run.
fn has_rings(path: &Path, run: &RunId) -> bool {
    path.join(rings_file_name(run)).exists()
}

/// How many runs of the log at `path` are still to be recovered, if some are.
fn not_recovered(path: &Path, report: &Report) -> Option<String> {
    let is_left = |run: &&RunReport| !run.in_use && !run.clean_end && has_rings(path, &run.run);
    let left = report.runs.iter().filter(is_left).count() as u64;
    let is = if left == 1 { "is" } else { "are" };
    (left > 0).then(|| {
        let runs = counted(left, "run");
        format!("{runs} {is} not recovered: what the rings hold is not in the files yet: run `diolog recover`")
    })
}

/// Prints the most serious findings of the log at `path` and a summary of the report. Returns the exit status for it;
/// with `allow_drops`, records that were dropped by policy do not count.
pub(crate) fn print_findings(path: &Path, report: &Report, allow_drops: bool) -> Status {
    let mut serious: Vec<_> = report.findings.iter().filter(|finding| finding.severity > Severity::Note).collect();
    serious.sort_by_key(|finding| Reverse(finding.severity));
    // Each names its file.
    for finding in serious.iter().take(PRINTED_MAX) {
        say(finding);
    }
    let say_of_log = |message: String| say(format_args!("{}: {message}", path.display()));
    let more = serious.len().saturating_sub(PRINTED_MAX) as u64 + report.findings_omitted;
    if more > 0 {
        say_of_log(format!("{} more: see `diolog verify`", counted(more, "finding")));
    }
    not_recovered(path, report).into_iter().for_each(say_of_log);
    newer_parts(report).into_iter().for_each(say_of_log);
    let removed = [report.removed_segments, report.removed_blocks, report.removed_records];
    removed_unread(removed).into_iter().for_each(say_of_log);
    if !serious.is_empty() && report.unread_blocks > 0 {
        let unread = counted(report.unread_blocks, "block");
        say_of_log(format!("{unread} of other times not read: `diolog verify` reads all"));
    }
    if report.late > 0 {
        say_of_log(format!("{} printed out of order of time", counted(report.late, "record")));
    }
    let verdict = report.verdict();
    let has_refused = report.runs.iter().any(|run| run.refused_no_ring > 0);
    let not_closed = not_closed(report);
    if report.in_use == InUse::Yes || report.dropped() > 0 || has_refused || verdict == Verdict::Unconfirmed {
        say_of_log(state(report));
    } else {
        not_closed.into_iter().for_each(say_of_log);
    }
    Status::of(verdict, allow_drops)
}

/// How much of the log only a newer diolog can read, if some of it.
pub(crate) fn newer_parts(report: &Report) -> Option<String> {
    let parts = [(report.newer_records, "record"), (report.blocks.newer, "block"), (report.newer_files, "file")];
    let parts: Vec<_> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| counted(*number, what)).collect();
    (!parts.is_empty())
        .then(|| format!("written by a newer diolog, and not readable by this one: {}", parts.join(", ")))
}

/// The losses of a log that is followed, and its parts that are newer, each finding printed once. Blocks that may still
/// come are not missing yet.
#[derive(Default)]
pub(crate) struct Losses {
    /// By its text, because the reader withdraws and repeats findings about the current end of the log.
    printed: HashSet<String>,
    printed_omission: bool,
    /// Segments, blocks and records that were removed unread, as printed last.
    removed: [u64; 3],
    /// Files that cannot be read, as printed last.
    unreadable_files: u64,
}

impl Losses {
    /// Prints the findings since the last call, and how much of the log at `path` was removed before it was read.
    pub(crate) fn print_new(&mut self, path: &Path, report: &Report) {
        let removed = [report.removed_segments, report.removed_blocks, report.removed_records];
        let before = std::mem::replace(&mut self.removed, removed);
        if let Some(parts) = removed_unread(std::array::from_fn(|part| removed[part].saturating_sub(before[part]))) {
            say(format_args!("{}: {parts}", path.display()));
        }
        let unreadable = std::mem::replace(&mut self.unreadable_files, report.unreadable_files);
        if report.unreadable_files > unreadable {
            let files = counted(report.unreadable_files, "file");
            say(format_args!("{}: {files} cannot be read: see `diolog verify`", path.display()));
        }
        for finding in report.findings.iter().filter(|finding| finding.severity >= Severity::Newer) {
            if self.printed.insert(finding.to_string()) {
                say(finding);
            }
        }
        if report.findings_omitted > 0 && !std::mem::replace(&mut self.printed_omission, true) {
            say(format_args!("{}: more findings: see `diolog verify`", path.display()));
        }
    }
}

/// That parts of a log were removed before they were read, if some were: segments, blocks, records.
pub(crate) fn removed_unread([segments, blocks, records]: [u64; 3]) -> Option<String> {
    // The number of records is that of producers which the next segment names.
    let at_least = if records > 0 { format!("at least {}", counted(records, "record")) } else { String::new() };
    let known = [(blocks > 0).then(|| counted(blocks, "block")), (records > 0).then_some(at_least)];
    let known: Vec<_> = known.into_iter().flatten().collect();
    let with = if known.is_empty() { String::new() } else { format!(" with {}", known.join(" and ")) };
    let they_were = if segments == 1 { "it was" } else { "they were" };
    (segments + blocks > 0)
        .then(|| format!("retention removed {}{with} before {they_were} read", counted(segments, "segment")))
}

/// Read errors after which a command gives up: a disk that is gone fails forever.
const ERRORS_MAX: u32 = 100;

/// Read errors so far. Each is printed, and reading goes on after it.
#[derive(Default)]
pub(crate) struct ReadErrors {
    count: u32,
    last: String,
}

impl ReadErrors {
    /// Prints the error, unless it is the last one again.
    ///
    /// # Errors
    /// The error itself, if it is the last of [`ERRORS_MAX`].
    pub(crate) fn report(&mut self, error: diolog::Error) -> Result<(), Failure> {
        self.count += 1;
        if self.count == ERRORS_MAX {
            return Err(error.into());
        }
        let error = error.to_string();
        if error != self.last {
            say(&error);
            self.last = error;
        }
        Ok(())
    }

    /// The exit status for these errors.
    pub(crate) fn status(&self) -> Status {
        if self.count == 0 { Status::CLEAN } else { Status::UNCONFIRMED }
    }
}
