//! `diolog tail`: prints the last records, and with `-f` or `-F` new ones as they are written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cat::{form, options};
use super::logs::{Absence, Gaps, Logs, LogsToRead, Printed};
use super::unmatched::say_unmatched;
use crate::args::{RecordFormat, Tail};
use crate::exit::{Failure, Status};
use crate::input::signals::{self, Asked};
use crate::text::output::Output;
use crate::text::spool::{Spool, cannot_keep};

/// The time between two looks for new records. Blocks are at most 100 ms apart by default.
const POLL: Duration = Duration::from_millis(50);

/// The same while nothing comes. People see little difference, also in how soon Ctrl-C works.
const IDLE_POLL: Duration = Duration::from_millis(250);

/// Prints the last records, and if asked for new ones until Ctrl-C.
pub(crate) fn run(arguments: &Tail) -> Result<Status, Failure> {
    let follows = arguments.follow || arguments.follow_path;
    let records = &arguments.records;
    let options = options(records)?.fold_producers(follows);
    // A filter may pass over many records before the first line: until then a signal ends the command from its thread.
    let has_begun = Arc::new(AtomicBool::new(false));
    let asked = if follows { listen(Arc::clone(&has_begun))? } else { Asked::default() };
    let gaps = Gaps::of(&records.look, false);
    let absence = if arguments.follow_path { Absence::IsAwaited } else { Absence::IsFinal };
    let last = Some(arguments.last);
    let wanted = LogsToRead { paths: &records.paths, options: &options, last, absence, gaps };
    let mut logs = Logs::open(&wanted, || form(records)).map_err(|failure| with_remedy(failure, arguments))?;
    let mut last = Spool::new(last);
    while let Some(entry) = logs.next(last.line())? {
        match entry {
            Printed::Record => last.end_line().map_err(cannot_keep)?,
            Printed::Gap => last.end_aside(),
        }
        // Nothing is judged yet, so the status says only what ended the command.
        if let Some(signal) = asked.get() {
            return Ok(Status::Interrupted(signal.exit_status()));
        }
    }
    has_begun.store(true, Ordering::Relaxed);
    let mut output = Output::new();
    let says_gaps = records.format == RecordFormat::Message;
    last.print(false, says_gaps, &mut output)?;
    output.flush()?;
    if logs.are_read_whole(Some(arguments.last)) {
        say_unmatched(&records.select, &logs.readers());
    }
    if !follows {
        return Ok(logs.print_findings(records.allow_drops));
    }
    logs.print_losses();
    logs.gaps = Gaps::of(&records.look, says_gaps);
    let mut last_record = Instant::now();
    while asked.get().is_none() {
        if logs.next(output.line())?.is_some() {
            output.end_line()?;
            last_record = Instant::now();
            continue;
        }
        output.flush()?;
        logs.print_losses();
        if output.wait_until_closed(time_to_next_look(last_record.elapsed())) {
            return Ok(Status::CLEAN);
        }
        logs.look_for_more()?;
    }
    output.flush()?;
    Ok(logs.status_of_following(records.allow_drops))
}

/// How long to wait for new records, after nothing has come for this long: longer and longer.
fn time_to_next_look(silence: Duration) -> Duration {
    (silence / 10).clamp(POLL, IDLE_POLL)
}

/// The failure to open the logs. If one of them is not there yet, `-f` does not wait for it, and `-F` would.
fn with_remedy(failure: Failure, arguments: &Tail) -> Failure {
    let is_absent = arguments.records.paths.iter().any(|path| matches!(path.try_exists(), Ok(false)));
    let remedy = if arguments.follow && is_absent { ", or wait for it with tail -F" } else { "" };
    Failure { message: failure.message + remedy, ..failure }
}

/// Notes the first signal; before the command `has_begun` to print, ends it.
fn listen(has_begun: Arc<AtomicBool>) -> Result<Asked, Failure> {
    let end_early = move |signal| {
        if !has_begun.load(Ordering::Relaxed) {
            signals::exit(signal);
        }
    };
    signals::listen(end_early, || None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_rarer_in_silence_and_never_rare() {
        let next = |ms| time_to_next_look(Duration::from_millis(ms)).as_millis();
        assert_eq!([0, 100, 500, 1_000, 2_500, 3_600_000].map(next), [50, 50, 50, 100, 250, 250]);
    }
}
