//! Shared by `info`, `snapshots`, `verify` and `recover`: a report as text or as JSON, whose reader may leave
//! early.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Report, ReportFormat};
use crate::exit::{Failure, Status};
use crate::text::output::{Output, say, stdout_is_terminal};
use crate::text::when::When;

/// The reports of several logs, with the status of the worst. A log that cannot be read is named on standard error.
pub(super) fn of_each<'a, R>(
    paths: &'a [PathBuf],
    mut report: impl FnMut(&'a Path) -> Result<(R, Status), Failure>,
) -> (Vec<(&'a Path, R)>, Status) {
    let (mut reports, mut worst) = (Vec::new(), Status::CLEAN);
    for path in paths {
        let status = match report(path) {
            Ok((report, status)) => {
                reports.push((path.as_path(), report));
                status
            }
            Err(failure) => {
                say(failure.message);
                failure.status
            }
        };
        worst = worst.max(status);
    }
    (reports, worst)
}

/// Appends the reports as text, with an empty line between two of them.
pub(super) fn join<R>(reports: &[(&Path, R)], out: &mut Vec<u8>, mut text: impl FnMut(&Path, &R, &mut Vec<u8>)) {
    for (at, (path, report)) in reports.iter().enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        text(path, report, out);
    }
}

/// Prints a report in this format, and through a pager if it may be `paged`.
///
/// # Errors
/// If standard output cannot be written. A reader that has gone is no error: the exit status is the answer.
pub(super) fn print(
    format: ReportFormat,
    paged: bool,
    text: impl FnOnce(&mut Vec<u8>),
    json: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Failure> {
    let mut output = Output::paged(paged);
    match format {
        ReportFormat::Text => text(output.line()),
        ReportFormat::Json => json(output.line()),
    }
    output.finish_report()
}

/// The JSON object of `value` as the library writes it, with `more` members.
pub(super) fn object(value: &impl Serialize, more: Value) -> Value {
    let mut object = json!(value);
    if let (Value::Object(members), Value::Object(more)) = (&mut object, more) {
        members.extend(more);
    }
    object
}

/// How the times of a report are shown.
pub(super) fn when(arguments: &Report) -> When {
    if stdout_is_terminal() && !arguments.utc { When::local() } else { When::utc() }
}
