//! `diolog cat`: prints all records in order of time, and the findings on standard error.

use diolog::ReadOptions;

use super::MISSING_WAIT;
use crate::args::{Cat, RecordFormat};
use crate::exit::{Failure, Status};
use crate::text::damage::{ReadErrors, print_findings};
use crate::text::line::Form;
use crate::text::output::{Output, stdout_has_colours, stdout_is_terminal};
use crate::text::print::Printer;
use crate::text::progress::{Progress, log_bytes};

/// Records between two updates of the progress.
const PROGRESS_RECORDS: u64 = 1 << 14;

/// Prints all records. The exit status is that of the reader's findings.
pub(crate) fn run(arguments: &Cat) -> Result<Status, Failure> {
    let mut reader = ReadOptions::new().durable(arguments.durable).open(&arguments.path)?;
    let on_terminal = stdout_is_terminal();
    let mut printer = Printer::new(match arguments.format {
        RecordFormat::Text => Form::text(on_terminal, stdout_has_colours()),
        RecordFormat::Json => Form::json(),
        RecordFormat::Message => Form::Message,
    });
    // Records on the terminal show the progress.
    let mut progress = (!on_terminal).then(|| Progress::new("reading", log_bytes(&arguments.path)));
    let mut errors = ReadErrors::default();
    let mut output = Output::new();
    let mut records = 0_u64;
    loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                printer.print(&record, output.line());
                output.end_line()?;
            }
            Ok(None) => match reader.pass_over_missing(MISSING_WAIT) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => errors.report(error)?,
            },
            Err(error) => errors.report(error)?,
        }
        records += 1;
        if records.is_multiple_of(PROGRESS_RECORDS)
            && let Some(progress) = &mut progress
        {
            progress.update(reader.report().bytes);
        }
    }
    output.flush()?;
    drop(progress);
    Ok(print_findings(&arguments.path, reader.report(), arguments.allow_drops).max(errors.status()))
}
