//! `diolog cat`: prints all records in order of time, and the findings on standard error.

use diolog::ReadOptions;

use super::cat_asynclogger;
use super::logs::{Absence, Gaps, Logs, LogsToRead, Printed};
use super::unmatched::say_unmatched;
use crate::args::{Cat, Color, InputFormat, RecordFormat, Records};
use crate::exit::{Failure, Status};
use crate::text::line::Form;
use crate::text::output::{Output, stdout_has_colours, stdout_is_terminal};
use crate::text::progress::{Progress, log_bytes};
use crate::text::spool::{Spool, cannot_keep};

/// Records between two updates of the progress.
const PROGRESS_RECORDS: u64 = 1 << 14;

/// How records look.
pub(super) fn form(Records { format, look, .. }: &Records) -> Form {
    match format {
        RecordFormat::Text => {
            let colours = match look.color {
                Color::Auto => stdout_has_colours(),
                Color::Always => true,
                Color::Never => false,
            };
            Form::text(stdout_is_terminal() && !look.utc, colours)
        }
        RecordFormat::Json => Form::json(),
        RecordFormat::Message => Form::Message,
    }
}

/// How to read the records that are wanted.
pub(super) fn options(Records { select, look, durable, .. }: &Records) -> Result<ReadOptions, Failure> {
    let filter = select.filter(look.utc).map_err(|message| Failure { message, status: Status::Usage })?;
    let options = ReadOptions::new().durable(*durable);
    Ok(match filter {
        Some(filter) => options.filter(filter),
        None => options,
    })
}

/// Prints the records. The exit status is that of the reader's findings.
pub(crate) fn run(arguments: &Cat) -> Result<Status, Failure> {
    if arguments.input == InputFormat::Asynclogger {
        return cat_asynclogger::run(arguments);
    }
    let records = &arguments.records;
    let options = options(records)?;
    // Records on the terminal show the progress, unless they come at the end.
    let is_kept = arguments.last.is_some() || arguments.reverse;
    let says_gaps = records.format == RecordFormat::Message;
    let gaps = Gaps::of(&records.look, says_gaps && !is_kept);
    let (paths, absence) = (&records.paths, Absence::IsFinal);
    let wanted = LogsToRead { paths, options: &options, last: arguments.last, absence, gaps };
    let mut logs = Logs::open(&wanted, || form(records))?;
    let bytes = records.paths.iter().map(|path| log_bytes(path)).sum();
    let mut progress = (is_kept || !stdout_is_terminal()).then(|| Progress::new("reading", bytes));
    let mut read = 0_u64;
    let mut update = |logs: &Logs| {
        read += 1;
        if read.is_multiple_of(PROGRESS_RECORDS)
            && let Some(progress) = &mut progress
        {
            progress.update(logs.reports().map(|report| report.bytes).sum());
        }
    };
    let output = if is_kept {
        let mut kept = Spool::new(arguments.last);
        while let Some(entry) = logs.next(kept.line())? {
            match entry {
                Printed::Record => kept.end_line().map_err(cannot_keep)?,
                Printed::Gap => kept.end_aside(),
            }
            update(&logs);
        }
        drop(progress);
        let mut output = Output::paged(!arguments.no_pager);
        kept.print(arguments.reverse, says_gaps, &mut output)?;
        output
    } else {
        let mut output = Output::paged(!arguments.no_pager);
        while logs.next(output.line())?.is_some() {
            output.end_line()?;
            update(&logs);
        }
        output
    };
    output.finish()?;
    if logs.are_read_whole(arguments.last) {
        say_unmatched(&records.select, &logs.readers());
    }
    Ok(logs.print_findings(records.allow_drops))
}
