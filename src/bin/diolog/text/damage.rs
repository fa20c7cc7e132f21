//! What is missing in a log, in words: on standard error after it was printed, and for `verify` and `info`.

use std::cmp::Reverse;
use std::collections::HashSet;

use diolog::{Finding, Report, Severity};
use serde_json::{Value, json};

use crate::exit::{Failure, Status};
use crate::text::output::say;
use crate::text::units::counted;

/// Findings that are printed; `diolog verify` prints all of them.
const TOLD_MAX: usize = 5;

/// Prints the most serious findings and what they add up to. Returns the exit status.
pub(crate) fn tell(report: &Report) -> Status {
    let mut grave: Vec<_> = report.findings.iter().filter(|finding| finding.severity > Severity::Note).collect();
    grave.sort_by_key(|finding| Reverse(finding.severity));
    for finding in grave.iter().take(TOLD_MAX) {
        say(finding);
    }
    let more = grave.len().saturating_sub(TOLD_MAX) as u64 + report.findings_omitted;
    if more > 0 {
        say(format_args!("and {} more: `diolog verify` prints all", counted(more, "finding")));
    }
    if let Some(parts) = newer_parts(report) {
        say(parts);
    }
    if report.late > 0 {
        say(format_args!("{} printed out of the order of time", counted(report.late, "record")));
    }
    let open = report.runs.iter().filter(|run| !run.clean_end).count() as u64;
    if open > 0 {
        let (has, which) = if open == 1 { ("has", "it was") } else { ("have", "they were") };
        say(format_args!("{} {has} no end: the log is in use, or {which} ended by a crash", counted(open, "run")));
    }
    report.verdict().into()
}

/// How much of the log only a newer diolog can read, if some of it.
pub(crate) fn newer_parts(report: &Report) -> Option<String> {
    let parts = [(report.newer_records, "record"), (report.blocks.newer, "block"), (report.newer_files, "file")];
    let parts: Vec<_> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| counted(*number, what)).collect();
    (!parts.is_empty())
        .then(|| format!("written by a newer diolog, and not readable by this one: {}", parts.join(", ")))
}

/// A finding as a JSON object, for `verify` and `info`.
pub(crate) fn finding_json(finding: &Finding) -> Value {
    json!({
        "severity": match finding.severity {
            Severity::Note => "note",
            Severity::Unconfirmed => "unconfirmed",
            Severity::Newer => "newer",
            _ => "lost",
        },
        "path": finding.path.to_string_lossy(),
        "offset": finding.offset,
        "what": finding.what,
    })
}

/// Prints what is lost or newer in a log that is followed, each finding once. What may still come is not missing yet.
#[derive(Default)]
pub(crate) struct Losses {
    /// What was printed: the reader takes findings about the end back, and makes them again.
    told: HashSet<String>,
    omitted: bool,
}

impl Losses {
    /// Prints what was found since the last call.
    pub(crate) fn tell(&mut self, report: &Report) {
        for finding in report.findings.iter().filter(|finding| finding.severity >= Severity::Newer) {
            if self.told.insert(finding.to_string()) {
                say(finding);
            }
        }
        if report.findings_omitted > 0 && !std::mem::replace(&mut self.omitted, true) {
            say("and more findings than the reader keeps");
        }
    }
}

/// Errors after which the log is given up: on a disk that is gone there is no end of them.
const ERRORS_MAX: u32 = 100;

/// Errors met while reading: each is printed, and reading goes on after that place.
#[derive(Default)]
pub(crate) struct Trouble {
    errors: u32,
}

impl Trouble {
    /// Prints the error.
    ///
    /// # Errors
    /// The error itself, if it is one too many.
    pub(crate) fn met(&mut self, error: diolog::Error) -> Result<(), Failure> {
        self.errors += 1;
        if self.errors == ERRORS_MAX {
            return Err(error.into());
        }
        say(error);
        Ok(())
    }

    /// What the errors mean for the exit status.
    pub(crate) fn status(&self) -> Status {
        if self.errors == 0 { Status::Clean } else { Status::Unusable }
    }
}
