//! `diolog cat --input asynclogger`: prints the entries of that logger's files, one file after the other, and on
//! standard error what of each is damaged.

use std::path::Path;

use diolog::asynclogger::{Damage, DamageKind, Entry, Reader, Report};

use crate::args::{Cat, RecordFormat};
use crate::exit::{Failure, Status};
use crate::text::escape;
use crate::text::line::message_json;
use crate::text::output::{Output, say};
use crate::text::spool::{Spool, cannot_keep};
use crate::text::units::{counted, grouped};

/// Damaged places that are named for each file.
const PRINTED_MAX: usize = 5;

/// Where the lines go.
enum Lines {
    Output(Output),
    /// Until all have been read.
    Kept(Spool),
}

/// Prints the entries. The exit status is that of the most damaged file.
pub(super) fn run(arguments: &Cat) -> Result<Status, Failure> {
    if arguments.records.durable {
        let message = "--durable is for logs of diolog: leave it out with --input asynclogger".into();
        return Err(Failure { message, status: Status::Usage });
    }
    if !arguments.records.select.is_empty() {
        let message =
            "options that select records are for logs of diolog: leave them out with --input asynclogger".into();
        return Err(Failure { message, status: Status::Usage });
    }
    let is_kept = arguments.last.is_some() || arguments.reverse;
    let mut lines = match is_kept {
        true => Lines::Kept(Spool::new(arguments.last)),
        false => Lines::Output(Output::paged(!arguments.no_pager)),
    };
    let is_one_of_several = arguments.records.paths.len() > 1;
    let mut statuses = Vec::new();
    let mut said = Vec::new();
    for path in &arguments.records.paths {
        let log = if is_one_of_several { path.to_string_lossy() } else { "".into() };
        let read = Reader::open(path).map_err(Failure::from).and_then(|mut reader| {
            let read = print(&mut reader, arguments.records.format, &log, &mut lines);
            // Of a file that cannot be read at all there is nothing to say but the error.
            if read.is_ok() || reader.report().blocks > 0 {
                said.extend(findings(path, reader.report()));
            }
            read.map(|()| status_of(reader.report()))
        });
        match read {
            Ok(status) => statuses.push(status),
            // The reader of the output has gone.
            Err(failure) if failure.message.is_empty() => return Err(failure),
            Err(failure) => {
                said.push(failure.message);
                statuses.push(failure.status);
            }
        }
    }
    match lines {
        Lines::Output(output) => output.finish()?,
        Lines::Kept(kept) => {
            let mut output = Output::paged(!arguments.no_pager);
            kept.print(arguments.reverse, false, &mut output)?;
            output.finish()?;
        }
    }
    said.iter().for_each(say);
    Ok(statuses.into_iter().max().unwrap_or(Status::CLEAN))
}

/// Prints the entries of one file, named `log` if there are several.
fn print(reader: &mut Reader, format: RecordFormat, log: &str, lines: &mut Lines) -> Result<(), Failure> {
    while let Some(entry) = reader.next_entry()? {
        match lines {
            Lines::Output(output) => {
                print_entry(entry, format, log, output.line());
                output.end_line()?;
            }
            Lines::Kept(kept) => {
                print_entry(entry, format, log, kept.line());
                kept.end_line().map_err(cannot_keep)?;
            }
        }
    }
    Ok(())
}

/// Appends one entry and a line feed to `out`. Most entries end with a line feed of their own.
fn print_entry(entry: Entry<'_>, format: RecordFormat, log: &str, out: &mut Vec<u8>) {
    let message = entry.message();
    let line = message.strip_suffix(b"\n").unwrap_or(message);
    match format {
        RecordFormat::Text => {
            if !log.is_empty() {
                escape::text(log.as_bytes(), out);
                out.push(b' ');
            }
            escape::text(line, out);
        }
        RecordFormat::Json => {
            out.extend_from_slice(format!("{{\"kind\":\"entry\",\"offset\":\"{}\",", entry.offset()).as_bytes());
            message_json(message, out);
            if !log.is_empty() {
                out.extend_from_slice(b",\"log\":");
                escape::json(log.as_bytes(), out);
            }
            out.push(b'}');
        }
        RecordFormat::Message => out.extend_from_slice(line),
    }
    out.push(b'\n');
}

/// What is damaged in the file, and a summary of it, in words.
fn findings(path: &Path, report: &Report) -> Vec<String> {
    let path = escape::path(path);
    let printed: Vec<&Damage> = report.damage.iter().take(PRINTED_MAX).collect();
    let more = report.damage.len() as u64 + report.damage_omitted - printed.len() as u64;
    let mut said: Vec<_> = printed.iter().map(|damage| format!("{path}: {damage}")).collect();
    if more > 0 {
        said.push(format!("{path}: and {} more", counted(more, "damaged place")));
    }
    let whole = format!("{} in {}", entries(report.entries), counted(report.blocks, "block"));
    said.push(if is_foreign(report) {
        format!("{path}: no entry of asynclogger can be read: it is another file, or damaged from its beginning")
    } else if report.is_undamaged() {
        format!("{path}: {whole}, none damaged")
    } else if report.damage.is_empty() {
        format!("{path}: {whole}, none damaged; the file ends before its last block does")
    } else {
        let bytes = counted(report.damaged_bytes, "byte");
        format!("{path}: {whole}, {} damaged; {bytes} not read", grouped(report.damaged_blocks))
    });
    said
}

fn entries(number: u64) -> String {
    if number == 1 { "1 entry".into() } else { format!("{} entries", grouped(number)) }
}

fn is_foreign(report: &Report) -> bool {
    report.entries == 0 && report.damage.iter().any(|damage| loses_entries(damage.kind))
}

/// Whether entries that were written are lost by damage of this kind. The end of a file that is cut is unconfirmed.
fn loses_entries(kind: DamageKind) -> bool {
    !matches!(kind, DamageKind::Cut | DamageKind::Capacity)
}

fn status_of(report: &Report) -> Status {
    if is_foreign(report) {
        Status::Unusable
    } else if report.damage_omitted > 0 || report.damage.iter().any(|damage| loses_entries(damage.kind)) {
        Status::LOST
    } else if report.is_undamaged() {
        Status::CLEAN
    } else {
        Status::UNCONFIRMED
    }
}
