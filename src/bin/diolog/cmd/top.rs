//! `diolog top`: what the writers of logs do, from the figures that they leave in the files.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use diolog::{FiguresReader, InUse};
use terminal_size::{Height, Width, terminal_size};

use super::report;
use crate::args::{ReportFormat, Top};
use crate::exit::{Failure, Status};
use crate::input::signals::{self, Asked};
use crate::text::escape;
use crate::text::output::{Output, stdout_is_terminal};
use crate::text::top::{Seen, json, line, lines, rows};
use crate::text::when::When;

/// The time between two looks: a writer leaves figures once a second.
const INTERVAL: Duration = Duration::from_secs(1);

/// How soon a signal is noticed, or a reader that has gone.
const POLL: Duration = Duration::from_millis(50);

/// Clears a terminal, and begins at its top.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// How figures are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Lines for each log, in the place of the last ones; a row for each if they are too many for the terminal.
    InPlace,
    /// Lines for each log, once.
    Once,
    /// One line for each log and each second.
    Lines,
    Json,
}

/// Shows the newest figures of each log, once or each second until Ctrl-C. A path that is no log is named on standard
/// error.
pub(crate) fn run(arguments: &Top) -> Result<Status, Failure> {
    let mut failures = Vec::new();
    let (mut logs, status) = report::of_each(&arguments.paths, |path| {
        let opened = FiguresReader::open(path).map_err(Failure::from);
        let log = opened.inspect_err(|failure| failures.push(escape::name(&failure.message)))?;
        Ok((log, Status::CLEAN))
    });
    if logs.is_empty() {
        return Ok(status);
    }
    let form = match (arguments.format, arguments.once) {
        (ReportFormat::Json, _) => Form::Json,
        (ReportFormat::Text, true) => Form::Once,
        (ReportFormat::Text, false) if stdout_is_terminal() => Form::InPlace,
        (ReportFormat::Text, false) => Form::Lines,
    };
    let asked = if arguments.once { Asked::default() } else { signals::listen(|_| (), || None)? };
    let mut output = Output::new();
    let mut are_newer = vec![true; logs.len()];
    loop {
        let next = Instant::now() + INTERVAL;
        let now_unix_ns = unix_ns();
        let seen = logs.iter().map(|(path, log)| look(path, log, now_unix_ns));
        match form {
            Form::InPlace => fill_screen(&seen.collect::<Vec<_>>(), &failures, arguments.producers, output.line()),
            Form::Once => seen.for_each(|seen| lines(&seen, arguments.producers, output.line())),
            Form::Lines => seen.for_each(|seen| line(&seen, &When::utc().format(now_unix_ns), output.line())),
            Form::Json => {
                let newer = seen.zip(&are_newer).filter(|(_, is_newer)| **is_newer);
                newer.for_each(|(seen, _)| escape::json_value(&json(&seen), output.line()));
            }
        }
        output.flush()?;
        if arguments.once {
            return Ok(status);
        }
        while Instant::now() < next {
            if asked.get().is_some() || output.wait_until_closed(POLL) {
                return Ok(status);
            }
        }
        for ((_, log), is_newer) in logs.iter_mut().zip(&mut are_newer) {
            *is_newer = log.refresh()?;
        }
    }
}

/// What is known of a log now.
fn look<'a>(path: &'a Path, log: &'a FiguresReader, now_unix_ns: i64) -> Seen<'a> {
    let in_use = log.in_use();
    // The final figures of a run are not those of the logger that has the log open now.
    let is_of_earlier_run = in_use == InUse::Yes && log.newest().is_some_and(|figures| figures.is_final);
    Seen {
        path,
        newest: log.newest().filter(|_| !is_of_earlier_run),
        previous: log.previous().filter(|_| !is_of_earlier_run),
        in_use,
        pid: log.in_use_by(),
        now_unix_ns,
    }
}

/// The wall time, in nanoseconds since the Unix epoch.
fn unix_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// Appends what a terminal shows in place of the last screen: the logs, and why others could not be read.
fn fill_screen(logs: &[Seen<'_>], failures: &[String], producers: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(CLEAR);
    let begin = out.len();
    logs.iter().for_each(|seen| lines(seen, producers, out));
    if let Some((Width(width), Height(height))) = terminal_size() {
        let lines_of =
            |failure: &String| ("diolog: ".len() + failure.chars().count()).div_ceil(usize::from(width).max(1));
        let height = usize::from(height).saturating_sub(failures.iter().map(lines_of).sum());
        // The cursor stands in a line of its own.
        let is_too_long = out[begin..].iter().filter(|byte| **byte == b'\n').count() >= height;
        if logs.len() > 1 && is_too_long {
            out.truncate(begin);
            rows(logs, height, out);
        }
    }
    for failure in failures {
        out.extend_from_slice(format!("diolog: {failure}\n").as_bytes());
    }
}
