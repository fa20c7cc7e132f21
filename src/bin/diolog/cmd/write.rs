//! `diolog write`: logs standard input, one record for each line, without loss.

mod watch;

use std::thread;
use std::time::{Duration, Instant};

use diolog::Logger;

use super::line_log::{LineLog, Tally, is_want_of_room, line_config};
use crate::args::Write;
use crate::exit::{Failure, Status};
use crate::input::lines::Lines;
use crate::input::signals::Asked;
use crate::input::stdin::{Event, Input};
use crate::text::output::say;
use crate::text::units;
use watch::Watch;

/// The time between two looks at the log during the last flush.
const FLUSH_TURN: Duration = Duration::from_millis(200);

/// After a signal, the last flush is given up if nothing has become durable for so long.
const STALL_MAX: Duration = Duration::from_secs(5);

/// Logs standard input until it ends, or until a signal.
pub(crate) fn run(arguments: &Write) -> Result<Status, Failure> {
    let config = line_config(&arguments.log)?.level(arguments.level);
    let logger = Logger::open(config).map_err(|error| arguments.log.refused(error))?;
    let witness = logger.clone();
    let mut input = Input::start(move || last_words(&witness))?;
    let watch = Watch::start(&logger, input.asked()).map_err(Failure::cannot("start a thread"))?;
    let mut log = LineLog::new(logger.producer_named("stdin")?, None);
    let started = Instant::now();
    let mut lines = Lines::new(log.kept_max());
    let mut status = Status::CLEAN;
    loop {
        match input.next() {
            Event::Chunk(chunk) => {
                lines.feed(&chunk, |line| log.log(arguments.level, &line));
                input.recycle(chunk);
            }
            Event::End => break,
            Event::Failed(error) => {
                say(format_args!("cannot read standard input: {error}"));
                status = Status::Unusable;
                break;
            }
        }
    }
    lines.end(|line| log.log(arguments.level, &line));
    let tally = log.end();
    flush_at_the_end(&logger, input.asked());
    if let Some(signal) = input.asked().get() {
        status = Status::Interrupted(signal.exit_status());
    }
    drop(watch);
    let closed = logger.close();
    tally.report();
    if !arguments.quiet {
        let durable = if closed.is_ok() { ", all durable" } else { "" };
        say(format_args!(
            "{}, {}, in {}{}{durable}; {}, {}",
            units::counted(tally.records, "record"),
            units::bytes(tally.bytes),
            units::duration(started.elapsed()),
            speed(&tally, started.elapsed()),
            arguments.log.directory.display(),
            logger.stats().device,
        ));
    }
    closed?;
    // A loss counts for more than the signal that may have led to it.
    Ok(if tally.is_lossy() && status != Status::Unusable { Status::LOST } else { status })
}

/// Waits for a slow or full disk as long as it takes; after a signal, as long as records become durable. Failures are
/// reported by `close`.
fn flush_at_the_end(logger: &Logger, asked: &Asked) {
    let (mut durable, mut since) = (0, Instant::now());
    loop {
        match logger.flush_within(FLUSH_TURN) {
            Err(diolog::Error::FlushTimeout { .. }) => {}
            Err(error) if is_want_of_room(&error) => thread::sleep(FLUSH_TURN),
            _ => return,
        }
        let before = std::mem::replace(&mut durable, logger.stats().durable_records);
        if durable > before || asked.get().is_none() {
            since = Instant::now();
        } else if since.elapsed() > STALL_MAX {
            return;
        }
    }
}

/// What is printed if a second signal ends the command at once.
fn last_words(logger: &Logger) -> Option<String> {
    let stats = logger.stats();
    let unconfirmed = stats.accepted().saturating_sub(stats.durable_records);
    let logged = match unconfirmed {
        0 => "all that was logged is durable".to_owned(),
        _ => format!("{} not confirmed durable", units::counted(unconfirmed, "record")),
    };
    Some(format!("ended at once: {logged}; the rest of the input is not logged"))
}

/// The rates as " (2.7 M/s, 240 MiB/s)"; empty if there are too few lines for a meaningful rate.
fn speed(tally: &Tally, elapsed: Duration) -> String {
    if tally.records < 10_000 {
        return String::new();
    }
    let bytes = tally.bytes as f64 / elapsed.as_secs_f64().max(1e-9);
    format!(" ({}/s, {}/s)", units::rate(tally.records, elapsed), units::bytes(bytes as u64))
}
