//! `diolog run`: runs a command, and logs its standard output and its standard error, one record for each line.
//!
//! The command is a child process with a pipe for each of the two, both read to the true end: until every process that
//! holds the pipe has ended. `child` starts it, passes signals on and waits for it; `stream` logs one pipe. The exit
//! status is the command's.

mod child;
mod event;
mod stream;

use std::io::{self, PipeWriter};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use diolog::{Level, Logger};

use crate::args::Run;
use crate::cmd::line_log::{LineLog, StateWatch, is_want_of_room, line_config};
use crate::exit::{Failure, Status};
use crate::text::output::say;
use child::{Child, receive_signals};
use event::Event;
use stream::{Stream, Tee};

/// The time between two looks at the log's state, and between two looks for a signal during the last flush.
const TURN: Duration = Duration::from_millis(500);

/// Runs the command until it has ended and its outputs too. The exit status is the command's.
pub(crate) fn run(arguments: &Run) -> Result<Status, Failure> {
    // Records have levels of their own, so all pass; `DIOLOG_LEVEL` still overrides that.
    let config = line_config(&arguments.log)?.level(Level::Trace);
    child::find(&arguments.command)?;
    let logger = Logger::open(config).map_err(|error| arguments.log.refused(error))?;
    let (stopped, stop) = io::pipe().map_err(cannot_start)?;
    let [stdout, stderr] = [
        ("standard output", arguments.stdout_level, Tee::Stdout, "stdout"),
        ("standard error", arguments.stderr_level, Tee::Stderr, "stderr"),
    ]
    .map(|(description, level, tee, name)| {
        Ok::<_, Failure>(Stream {
            description,
            level,
            understands_prefixes: !arguments.no_prefixes,
            tee: arguments.tee.then_some(tee),
            log: LineLog::new(logger.producer_named(name)?, Some(description)),
            stopped: stopped.try_clone().map_err(cannot_start)?,
        })
    });
    let (stdout, stderr) = (stdout?, stderr?);

    // Before the command starts, so that none is missed.
    let signals = receive_signals().map_err(cannot_start)?;
    let (child, outputs) = Child::start(&arguments.command)?;
    let child = Arc::new(child);
    let (events, received) = channel();
    child::pass_signals_on(signals, Arc::clone(&child), events.clone()).map_err(cannot_start)?;
    let [of_stdout, of_stderr] = [(); 2].map(|()| events.clone());
    spawn("stdout", move || drop(of_stdout.send(Event::Read(stdout.log_all(outputs.stdout)))))?;
    spawn("stderr", move || drop(of_stderr.send(Event::Read(stderr.log_all(outputs.stderr)))))?;
    spawn("wait", move || drop(events.send(Event::Ended(child.wait()))))?;

    let state = StateWatch::new("the command waits for space");
    let mut running = Running { events: received, logger: &logger, stop: Some(stop), is_given_up: false, state };
    let status = running.until_the_end();
    running.flush();
    // Prints what is unconfirmed; the status stays the command's.
    if let Err(error) = logger.close() {
        say(error);
    }
    Ok(Status::Command(status))
}

/// The main thread's view of a running command.
struct Running<'a> {
    events: Receiver<Event>,
    logger: &'a Logger,
    /// Dropped to ask the streams for their end.
    stop: Option<PipeWriter>,
    /// After a second signal: nothing is waited for any more.
    is_given_up: bool,
    state: StateWatch,
}

impl Running<'_> {
    /// Waits until the command and its outputs have ended, and prints what happens to the log meanwhile. Returns the
    /// command's status.
    fn until_the_end(&mut self) -> u8 {
        let (mut status, mut streams) = (None, 2);
        loop {
            if let Some(status) = status.filter(|_| streams == 0) {
                return status;
            }
            match self.events.recv_timeout(TURN) {
                Ok(Event::Ended(ended)) => status = Some(ended),
                Ok(Event::Read(tally)) => {
                    streams -= 1;
                    tally.report();
                }
                // The streams log what their pipes hold now. If they wait for the disk, a second signal gives them up.
                Ok(Event::Stop) => {
                    if self.stop.take().is_none()
                        && let Some(status) = status
                    {
                        say("ended at once: lines that were read and not logged yet are lost");
                        self.is_given_up = true;
                        return status;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.state.look(self.logger);
                }
                // Only if a thread panicked.
                Err(RecvTimeoutError::Disconnected) => return status.unwrap_or(1),
            }
        }
    }

    /// Waits for a slow or full disk as long as it takes, or until a signal: `close` has a deadline, and reports the
    /// failure.
    fn flush(&mut self) {
        while !self.is_given_up {
            match self.logger.flush_within(TURN) {
                Err(diolog::Error::FlushTimeout { .. }) => {}
                Err(error) if is_want_of_room(&error) => thread::sleep(TURN),
                _ => break,
            }
            self.state.look(self.logger);
            if self.events.try_iter().any(|event| matches!(event, Event::Stop)) {
                return;
            }
        }
        // Who was told that the log waits is told that it no longer does, however soon the end follows.
        self.state.look(self.logger);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    thread::Builder::new().name(format!("diolog-{name}")).spawn(work).map(drop).map_err(cannot_start)
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::cannot("start")(error)
}
