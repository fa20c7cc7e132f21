//! The records and gaps of one log or of several as lines, for `cat` and `tail`: in order of time, and those of several
//! logs merged by wall time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diolog::{EntryRef, ReadOptions, Reader, Report, Verdict};

use crate::args::Look;
use crate::exit::{Failure, Status};
use crate::text::damage::{Losses, ReadErrors, print_findings};
use crate::text::line::Form;
use crate::text::output::say;
use crate::text::print::Printer;

/// How long to wait for a missing block that may still be in flight. It becomes durable within milliseconds unless the
/// disk is overloaded; a block that a crash prevented never comes.
const MISSING_WAIT: Duration = Duration::from_secs(1);

/// Where gaps go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// They are left out.
    Nowhere,
    /// Among the records.
    Inline,
    /// To standard error.
    Said,
}

impl Gaps {
    /// As `look` asks; `said`: they do not belong among the records.
    pub(crate) fn of(look: &Look, said: bool) -> Gaps {
        match look.no_gaps {
            true => Gaps::Nowhere,
            false if said => Gaps::Said,
            false => Gaps::Inline,
        }
    }
}

/// What it means that there is no log at a path, or another one than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// The log cannot be read; one that was opened has ended.
    IsFinal,
    /// The log that comes there is read next.
    IsAwaited,
}

/// What is read of which logs.
pub(crate) struct LogsToRead<'a> {
    pub(crate) paths: &'a [PathBuf],
    pub(crate) options: &'a ReadOptions,
    /// The number of last records to read, if not all are.
    pub(crate) last: Option<u64>,
    pub(crate) absence: Absence,
    pub(crate) gaps: Gaps,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Printed {
    Record,
    /// It does not count.
    Gap,
}

/// The logs of one command.
pub(crate) struct Logs {
    pub(crate) gaps: Gaps,
    logs: Vec<Log>,
    absence: Absence,
    /// Whether all that was there at first has been read: blocks that are missing are waited for then.
    follows: bool,
    /// The status for paths that are no logs.
    of_others: Status,
}

/// One of them.
struct Log {
    path: PathBuf,
    options: ReadOptions,
    /// The number of last records to read. A log that was waited for is read from its beginning.
    last: Option<u64>,
    /// `None` while there is no log at the path.
    reader: Option<Reader>,
    printer: Printer,
    is_one_of_several: bool,
    errors: ReadErrors,
    losses: Losses,
    /// The next line, if there are several logs.
    head: Vec<u8>,
    /// Its wall time in nanoseconds since the Unix epoch; that of the line before if it has none.
    head_ns: i64,
    /// What it is; `None` if there is none.
    head_is: Option<Printed>,
    /// Whether there was nothing more when it was asked last.
    at_end: bool,
    /// Whether the user was told that there is no log at the path now, or another one.
    is_awaited: bool,
    /// The verdict on logs that were at the path before.
    before: Verdict,
}

impl Logs {
    /// Opens the logs. `form` gives the form of records. If some of them cannot be read, says so, and reads the others.
    ///
    /// # Errors
    /// The first one's, if no log can be read.
    pub(crate) fn open(wanted: &LogsToRead<'_>, form: impl Fn() -> Form) -> Result<Logs, Failure> {
        let LogsToRead { paths, options, last, absence, gaps } = *wanted;
        let log = |path: &PathBuf| {
            let name = (paths.len() > 1).then(|| path.to_string_lossy().into_owned());
            let mut log = Log {
                path: path.clone(),
                options: options.clone(),
                last,
                reader: None,
                is_one_of_several: name.is_some(),
                printer: Printer::new(form(), name),
                errors: ReadErrors::default(),
                losses: Losses::default(),
                head: Vec::new(),
                head_ns: i64::MIN,
                head_is: None,
                at_end: false,
                is_awaited: false,
                before: Verdict::Clean,
            };
            log.open(absence)?;
            Ok::<_, Failure>(log)
        };
        let (mut logs, mut failures) = (Vec::new(), Vec::new());
        paths.iter().map(log).for_each(|opened| match opened {
            Ok(log) => logs.push(log),
            Err(failure) => failures.push(failure),
        });
        if logs.is_empty() && !failures.is_empty() {
            return Err(failures.swap_remove(0));
        }
        let of_others = failures.iter().map(|failure| failure.status).max().unwrap_or(Status::CLEAN);
        failures.into_iter().for_each(|failure| say(failure.message));
        Ok(Logs { gaps, logs, absence, follows: false, of_others })
    }

    /// Appends the next line to `out`. Returns what it is; `None` if there is none now.
    ///
    /// # Errors
    /// A log's, if it cannot be read any more.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Printed>, Failure> {
        let (follows, gaps) = (self.follows, self.gaps);
        if let [log] = &mut self.logs[..] {
            return Ok(log.next(follows, gaps, out)?.map(|(printed, _)| printed));
        }
        for log in &mut self.logs {
            log.fill_head(follows, gaps)?;
        }
        let with_head = self.logs.iter_mut().filter(|log| log.head_is.is_some());
        // Of several with the same time, the first one.
        let Some(first) = with_head.min_by_key(|log| log.head_ns) else { return Ok(None) };
        out.extend_from_slice(&first.head);
        Ok(first.head_is.take())
    }

    /// The reports of the logs that are there.
    pub(crate) fn reports(&self) -> impl Iterator<Item = &Report> {
        self.logs.iter().filter_map(|log| Some(log.reader.as_ref()?.report()))
    }

    /// The readers of the logs that are there.
    pub(super) fn readers(&self) -> Vec<&Reader> {
        self.logs.iter().filter_map(|log| log.reader.as_ref()).collect()
    }

    /// Whether all was read, and not only as far back as the `last` records go: if there is none, that is all.
    pub(super) fn are_read_whole(&self, last: Option<u64>) -> bool {
        last.is_none_or(|last| last > 0 && self.reports().all(|report| report.records == 0))
    }

    /// Prints what was found, for logs that were read to their end. Returns the exit status for it; with
    /// `allow_drops`, records that were dropped by policy do not count.
    pub(crate) fn print_findings(&self, allow_drops: bool) -> Status {
        let status = |log: &Log| {
            let Some(reader) = &log.reader else { return log.errors.status() };
            if reader.is_replaced() {
                say(format_args!(
                    "{}: was removed, renamed or replaced while it was read: read it again",
                    shown(&log.path)
                ));
                return Status::Unusable;
            }
            print_findings(&log.path, reader.report(), allow_drops).max(log.errors.status())
        };
        self.logs.iter().map(status).fold(self.of_others, Status::max)
    }

    /// Prints the losses that were found since the last call.
    pub(crate) fn print_losses(&mut self) {
        for log in &mut self.logs {
            if let Some(reader) = &log.reader {
                log.losses.print_new(&log.path, reader.report());
            }
        }
    }

    /// Looks once for more at the end of each log, without a wait.
    ///
    /// # Errors
    /// If a log was removed, or another one is in its place, unless logs are followed by path.
    pub(crate) fn look_for_more(&mut self) -> Result<(), Failure> {
        self.follows = true;
        self.logs.iter_mut().filter(|log| log.at_end).try_for_each(|log| log.look_for_more(self.absence))
    }

    /// The exit status of following: what was found, without ends that are open.
    pub(crate) fn status_of_following(&self, allow_drops: bool) -> Status {
        let status = |log: &Log| {
            let now = log.reader.as_ref().map_or(Verdict::Clean, |reader| verdict_so_far(reader.report()));
            Status::of(now.max(log.before), allow_drops).max(log.errors.status())
        };
        self.logs.iter().map(status).fold(self.of_others, Status::max)
    }
}

impl Log {
    /// Opens the reader. A log that is not there, and is awaited, is reported.
    fn open(&mut self, absence: Absence) -> Result<(), Failure> {
        let options = self.options.clone();
        let options = self.last.map_or(options.clone(), |records| options.at_least_last(records));
        match options.open(&self.path) {
            Ok(reader) => {
                self.reader = Some(reader);
                if std::mem::take(&mut self.is_awaited) {
                    say(format_args!("{}: reading the log that is there now", shown(&self.path)));
                }
            }
            Err(error) if absence == Absence::IsAwaited && is_absent(&error) => {
                // Once: while a log is made, there is a new reason at every look.
                if !std::mem::replace(&mut self.is_awaited, true) {
                    let why = match &error {
                        diolog::Error::Io { .. } => format!("{} does not exist", shown(&self.path)),
                        error => error.to_string(),
                    };
                    say(format_args!("{why}; waiting for a log there"));
                }
                self.last = None;
                self.at_end = true;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Appends the next line to `out`. Returns what it is, and its wall time; `None` if there is none now.
    fn next(
        &mut self,
        follows: bool,
        gaps: Gaps,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Printed, Option<i64>)>, Failure> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        self.at_end = false;
        loop {
            let entry = match gaps {
                Gaps::Nowhere => reader.next_record().map(|record| record.map(EntryRef::Record)),
                Gaps::Inline | Gaps::Said => reader.next_entry(),
            };
            // By reference: to move the entry takes a good part of the time that it takes to print it.
            match &entry {
                Ok(Some(EntryRef::Record(record))) => {
                    self.printer.print(record, out);
                    // It is needed only to merge, and costs more than a message.
                    let unix_ns = if self.is_one_of_several { record.unix_ns() } else { None };
                    return Ok(Some((Printed::Record, unix_ns)));
                }
                Ok(Some(EntryRef::Gap(gap))) if gaps == Gaps::Inline => {
                    self.printer.print_gap(gap, out);
                    return Ok(Some((Printed::Gap, gap.unix_ns())));
                }
                Ok(Some(EntryRef::Gap(gap))) => say(self.printer.sentence(gap)),
                Ok(_) | Err(_) => {}
            }
            match entry {
                Ok(Some(_)) => {}
                Ok(None) if follows => break,
                Ok(None) => match reader.pass_over_missing(MISSING_WAIT) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => self.errors.report(error)?,
                },
                Err(error) => self.errors.report(error)?,
            }
        }
        self.at_end = true;
        Ok(None)
    }

    /// Brings the next line to the head, if none is there.
    fn fill_head(&mut self, follows: bool, gaps: Gaps) -> Result<(), Failure> {
        if self.head_is.is_some() || self.at_end {
            return Ok(());
        }
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        let next = self.next(follows, gaps, &mut head);
        self.head = head;
        let (printed, unix_ns) = next?.unzip();
        self.head_is = printed;
        self.head_ns = unix_ns.flatten().unwrap_or(self.head_ns);
        Ok(())
    }

    fn look_for_more(&mut self, absence: Absence) -> Result<(), Failure> {
        let Some(reader) = &mut self.reader else { return self.open(absence) };
        match reader.follow(Duration::ZERO) {
            Ok(_) => {}
            Err(error) if is_absent(&error) => {
                self.losses.print_new(&self.path, reader.report());
                self.before = self.before.max(verdict_so_far(reader.report()));
                let message = format!("{}: the log was removed or replaced", shown(&self.path));
                if absence == Absence::IsFinal {
                    let message = format!("{message}: to go on with a new one at the same path, use tail -F");
                    return Err(Failure { message, status: Status::Unusable });
                }
                say(format_args!("{message}: waiting for a new one there"));
                self.is_awaited = true;
                self.reader = None;
                self.last = None;
                return self.open(absence);
            }
            Err(error) => self.errors.report(error)?,
        }
        // There may be more, or an error to pass over.
        self.at_end = false;
        Ok(())
    }
}

/// The verdict on a log that is followed: an open end only means that it is not finished yet.
fn verdict_so_far(report: &Report) -> Verdict {
    match report.verdict() {
        // A part that could not be read is not an open end.
        Verdict::Unconfirmed if report.unreadable_files > 0 => Verdict::Unconfirmed,
        Verdict::Unconfirmed if report.dropped() > 0 => Verdict::Dropped,
        Verdict::Unconfirmed => Verdict::Clean,
        verdict => verdict,
    }
}

fn shown(path: &Path) -> String {
    crate::text::escape::path(path)
}

/// Whether there is no log at the path now, and one may come.
fn is_absent(error: &diolog::Error) -> bool {
    match error {
        diolog::Error::NotALog { .. } => true,
        error => error.io_error().is_some_and(|source| source.kind() == std::io::ErrorKind::NotFound),
    }
}
