//! What `info`, `snapshots`, `verify` and `recover` have in common: a report as text or as JSON, whose reader may leave
//! early.

use crate::args::{Report, ReportFormat};
use crate::exit::Failure;
use crate::text::output::{Output, stdout_is_terminal};
use crate::text::when::When;

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

/// How the times of a report are shown.
pub(super) fn when(arguments: &Report) -> When {
    if stdout_is_terminal() && !arguments.utc { When::local() } else { When::utc() }
}
