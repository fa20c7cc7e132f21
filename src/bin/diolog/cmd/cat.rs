//! `diolog cat`: the records in order of time, and on standard error what is missing.

use diolog::ReadOptions;

use crate::args::{Cat, RecordFormat};
use crate::exit::{Failure, Status};
use crate::text::damage::{self, Trouble};
use crate::text::line::Form;
use crate::text::output::{Output, stdout_has_colours, stdout_is_terminal};
use crate::text::print::Printer;
use crate::text::progress::{Progress, log_bytes};

/// Records between two looks at the clock for the progress.
const PROGRESS_RECORDS: u64 = 1 << 14;

/// Prints all records. The exit status says what the reader came across.
pub(crate) fn run(arguments: &Cat) -> Result<Status, Failure> {
    let mut reader = ReadOptions::new().durable(arguments.durable).open(&arguments.path)?;
    let on_terminal = stdout_is_terminal();
    let mut printer = Printer::new(match arguments.format {
        RecordFormat::Text => Form::text(on_terminal, stdout_has_colours()),
        RecordFormat::Json => Form::json(),
        RecordFormat::Message => Form::Message,
    });
    // Records on the terminal are progress enough.
    let mut progress = (!on_terminal).then(|| Progress::new("reading", log_bytes(&arguments.path)));
    let mut trouble = Trouble::default();
    let mut output = Output::new();
    let mut records = 0_u64;
    loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                printer.print(&record, output.line());
                output.end_line()?;
            }
            Ok(None) => break,
            Err(error) => trouble.met(error)?,
        }
        records += 1;
        if records.is_multiple_of(PROGRESS_RECORDS)
            && let Some(progress) = &mut progress
        {
            progress.at(reader.report().bytes);
        }
    }
    output.flush()?;
    drop(progress);
    Ok(damage::tell(reader.report()).max(trouble.status()))
}
