//! What is missing in a log that was printed, said on standard error in a few lines.

use std::collections::HashSet;

use diolog::{Finding, Report, Severity};
use serde_json::{Value, json};

use crate::exit::{Failure, Status};
use crate::text::output::say;
use crate::text::units::counted;

/// Findings that are told one by one; `diolog verify` has all of them.
const TOLD_MAX: usize = 5;

/// Says what the reader came across, if it is worth saying, and gives the exit status for it.
pub(crate) fn tell(report: &Report) -> Status {
    let grave: Vec<_> = report.findings.iter().filter(|finding| finding.severity > Severity::Note).collect();
    for finding in grave.iter().take(TOLD_MAX) {
        say(finding);
    }
    let more = grave.len().saturating_sub(TOLD_MAX) as u64 + report.findings_omitted;
    if more > 0 {
        say(format_args!("and {} more: `diolog verify` tells all", counted(more, "finding")));
    }
    if report.late > 0 {
        say(format_args!("{} came later than in order of time", counted(report.late, "record")));
    }
    let open = report.runs.iter().filter(|run| !run.clean_end).count() as u64;
    if open > 0 {
        let (has, which) = if open == 1 { ("has", "it was") } else { ("have", "they were") };
        say(format_args!("{} {has} no end: the log is in use, or {which} ended by a crash", counted(open, "run")));
    }
    report.verdict().into()
}

/// A finding as a JSON object, for `verify` and `info`.
pub(crate) fn finding_json(finding: &Finding) -> Value {
    json!({
        "severity": match finding.severity {
            Severity::Note => "note",
            Severity::Unconfirmed => "unconfirmed",
            _ => "lost",
        },
        "path": finding.path.to_string_lossy(),
        "offset": finding.offset,
        "what": finding.what,
    })
}

/// Tells of a log that is followed what is lost, once: what may still come is not missing yet.
#[derive(Default)]
pub(crate) struct Losses {
    /// A finding about the end of now is taken back and made again.
    told: HashSet<String>,
    omitted: bool,
}

impl Losses {
    /// Tells what has been lost since the last call.
    pub(crate) fn tell(&mut self, report: &Report) {
        for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Lost) {
            if self.told.insert(finding.to_string()) {
                say(finding);
            }
        }
        if report.findings_omitted > 0 && !std::mem::replace(&mut self.omitted, true) {
            say("and more findings than are kept: `diolog verify` tells all");
        }
    }
}

/// Places that cannot be read before the log is given up: a disk that is gone has no end of them.
const ERRORS_MAX: u32 = 100;

/// Errors met while reading: each is told, and reading goes on behind it.
#[derive(Default)]
pub(crate) struct Trouble {
    errors: u32,
}

impl Trouble {
    /// Tells the error.
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
