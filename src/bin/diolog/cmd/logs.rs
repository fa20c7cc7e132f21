//! The records of one log or of several as lines, for `cat` and `tail`: in order of time, and those of several logs
//! merged by wall time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diolog::{ReadOptions, Reader, Report, Verdict};

use crate::exit::{Failure, Status};
use crate::text::damage::{Losses, ReadErrors, print_findings};
use crate::text::line::Form;
use crate::text::output::say;
use crate::text::print::Printer;

/// How long to wait for a missing block that may still be in flight. It becomes durable within milliseconds unless the
/// disk is overloaded; a block that a crash prevented never comes.
const MISSING_WAIT: Duration = Duration::from_secs(1);

/// The logs of one command.
pub(crate) struct Logs {
    logs: Vec<Log>,
    /// Whether to go on with new logs at the same paths.
    by_path: bool,
    /// Whether all that was there at first has been read: blocks that are missing are waited for then.
    follows: bool,
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
    errors: ReadErrors,
    losses: Losses,
    /// The next line, if there are several logs.
    head: Vec<u8>,
    /// Its wall time in nanoseconds since the Unix epoch; that of the line before if it has none.
    head_ns: i64,
    has_head: bool,
    /// Whether there was nothing more when it was asked last.
    at_end: bool,
    /// Whether the user was told that there is no log at the path now, or another one.
    is_awaited: bool,
    /// The verdict on logs that were at the path before.
    before: Verdict,
}

impl Logs {
    /// Opens the logs at `paths`, at their `last` records if that is given. `form` gives the form of records. With
    /// `by_path`, the logs that are not there are waited for.
    ///
    /// # Errors
    /// The first log's that cannot be read.
    pub(crate) fn open(
        paths: &[PathBuf],
        options: &ReadOptions,
        last: Option<u64>,
        by_path: bool,
        form: impl Fn() -> Form,
    ) -> Result<Logs, Failure> {
        let log = |path: &PathBuf| {
            let name = (paths.len() > 1).then(|| path.to_string_lossy().into_owned());
            let mut log = Log {
                path: path.clone(),
                options: options.clone(),
                last,
                reader: None,
                printer: Printer::new(form(), name),
                errors: ReadErrors::default(),
                losses: Losses::default(),
                head: Vec::new(),
                head_ns: i64::MIN,
                has_head: false,
                at_end: false,
                is_awaited: false,
                before: Verdict::Clean,
            };
            log.open(by_path)?;
            Ok(log)
        };
        Ok(Logs { logs: paths.iter().map(log).collect::<Result<_, Failure>>()?, by_path, follows: false })
    }

    /// Appends the next line to `out`. Returns whether there is one now.
    ///
    /// # Errors
    /// A log's, if it cannot be read any more.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Failure> {
        let follows = self.follows;
        if let [log] = &mut self.logs[..] {
            return log.next(follows, |printer, record| printer.print(record, out));
        }
        for log in &mut self.logs {
            log.fill_head(follows)?;
        }
        let with_head = self.logs.iter_mut().filter(|log| log.has_head);
        // Of several with the same time, the first one.
        let Some(first) = with_head.min_by_key(|log| log.head_ns) else { return Ok(false) };
        out.extend_from_slice(&first.head);
        first.has_head = false;
        Ok(true)
    }

    /// The reports of the logs that are there.
    pub(crate) fn reports(&self) -> impl Iterator<Item = &Report> {
        self.logs.iter().filter_map(|log| Some(log.reader.as_ref()?.report()))
    }

    /// Prints what was found, for logs that were read to their end. Returns the exit status for it; with
    /// `allow_drops`, records that were dropped by policy do not count.
    pub(crate) fn print_findings(&self, allow_drops: bool) -> Status {
        let status = |log: &Log| {
            let found = log.reader.as_ref().map(|reader| print_findings(&log.path, reader.report(), allow_drops));
            found.unwrap_or(Status::CLEAN).max(log.errors.status())
        };
        self.logs.iter().map(status).max().unwrap_or(Status::CLEAN)
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
        self.logs.iter_mut().filter(|log| log.at_end).try_for_each(|log| log.look_for_more(self.by_path))
    }

    /// The exit status of following: what was found, without ends that are open.
    pub(crate) fn status_of_following(&self, allow_drops: bool) -> Status {
        let status = |log: &Log| {
            let now = log.reader.as_ref().map_or(Verdict::Clean, |reader| verdict_so_far(reader.report()));
            Status::of(now.max(log.before), allow_drops).max(log.errors.status())
        };
        self.logs.iter().map(status).max().unwrap_or(Status::CLEAN)
    }
}

impl Log {
    /// Opens the reader. With `by_path`, a log that is not there is reported and waited for.
    fn open(&mut self, by_path: bool) -> Result<(), Failure> {
        let options = self.options.clone();
        let options = self.last.map_or(options.clone(), |records| options.last(records));
        match options.open(&self.path) {
            Ok(reader) => {
                self.reader = Some(reader);
                if std::mem::take(&mut self.is_awaited) {
                    say(format_args!("{}: reading the log that is there now", shown(&self.path)));
                }
            }
            Err(error) if by_path && is_absent(&error) => {
                // Once: while a log is made, there is a new reason at every look.
                if !std::mem::replace(&mut self.is_awaited, true) {
                    say(format_args!("{error}; waiting for a log there"));
                }
                self.last = None;
                self.at_end = true;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Gives the next record to `print`. Returns whether there is one now.
    fn next(
        &mut self,
        follows: bool,
        mut print: impl FnMut(&mut Printer, &diolog::RecordRef<'_>),
    ) -> Result<bool, Failure> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        self.at_end = false;
        loop {
            match reader.next_record() {
                Ok(Some(record)) => {
                    print(&mut self.printer, &record);
                    return Ok(true);
                }
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
        Ok(false)
    }

    /// Brings the next line to the head, if none is there.
    fn fill_head(&mut self, follows: bool) -> Result<(), Failure> {
        if self.has_head || self.at_end {
            return Ok(());
        }
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        let mut head_ns = self.head_ns;
        self.has_head = self.next(follows, |printer, record| {
            head_ns = record.unix_ns().unwrap_or(head_ns);
            printer.print(record, &mut head);
        })?;
        (self.head, self.head_ns) = (head, head_ns);
        Ok(())
    }

    fn look_for_more(&mut self, by_path: bool) -> Result<(), Failure> {
        let Some(reader) = &mut self.reader else { return self.open(by_path) };
        match reader.follow(Duration::ZERO) {
            Ok(_) => {}
            Err(diolog::Error::NotALog { .. }) => {
                self.losses.print_new(&self.path, reader.report());
                self.before = self.before.max(verdict_so_far(reader.report()));
                let message = format!("{} was removed, or another log is there now", shown(&self.path));
                if !by_path {
                    let message = format!("{message}; tail -F goes on with that");
                    return Err(Failure { message, status: Status::Unusable });
                }
                say(message);
                self.is_awaited = true;
                self.reader = None;
                self.last = None;
                return self.open(by_path);
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
