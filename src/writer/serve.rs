//! The writer thread's loop: one turn for each log, and a rest when there is nothing to do.
//!
//! A panic while a log is served is a bug in diolog. It ends only that log: each log is begun, served and finished
//! under `catch_unwind`, and no turn changes anything that the logs share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::begin::{Resources, begin_log};
use super::log::LogWriter;
use super::new_log::{Begin, NewLog};
use super::schedule::{Idle, Turn};
use crate::error::{Error, Result};
use crate::flush::FlushFault;
use crate::shared::Shared;

/// Serves the logs that come by `new_logs`, with `resources`, until no more can come and the last has ended. A record
/// that wants a flush or a snapshot sets `asked`.
pub(super) fn serve(new_logs: &Receiver<NewLog>, resources: Resources, asked: &AtomicBool) {
    let mut logs = Logs { served: Vec::new(), idle: Idle::default(), resources, asked };
    let mut more_may_come = true;
    loop {
        while more_may_come {
            let next = if logs.served.is_empty() {
                // Nothing else can wake this thread.
                new_logs.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                new_logs.try_recv()
            };
            match next {
                Ok(NewLog { begin, answer }) => {
                    // If the opener is gone, the log is closed in its first turn.
                    let _ = answer.send(logs.add(*begin));
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => more_may_come = false,
            }
        }
        if logs.served.is_empty() {
            return;
        }
        let turn = logs.turn();
        if !logs.served.is_empty() {
            logs.rest(turn);
        }
    }
}

/// The logs that one thread serves.
struct Logs<'a> {
    served: Vec<Served>,
    idle: Idle,
    resources: Resources,
    /// A record has asked for a flush or a snapshot of one of them.
    asked: &'a AtomicBool,
}

/// One of them. The order of the fields matters: the log is given up before its callers get their answers.
struct Served {
    log: LogWriter,
    answer_if_panicked: AnswerIfPanicked,
}

impl Logs<'_> {
    /// Begins a log.
    fn add(&mut self, begin: Begin) -> Result<()> {
        let path = begin.shared.settings.config.path.clone();
        let shared = Arc::clone(&begin.shared);
        let begun = catch_unwind(AssertUnwindSafe(|| begin_log(begin, &self.resources)));
        let log = begun.unwrap_or_else(|_| {
            let bug = "the writer panicked: please report this as a bug in diolog";
            Err(Error::io("begin the log in", &path, std::io::Error::other(bug)))
        })?;
        self.served.push(Served { log, answer_if_panicked: AnswerIfPanicked(Some(shared)) });
        self.follow_settings();
        Ok(())
    }

    /// Adapts the longest sleep to the logs that there are.
    fn follow_settings(&mut self) {
        let configs = || self.served.iter().map(|served| &served.log.shared.settings.config);
        if let Some(shortest) = configs().map(|config| config.flush_interval).min() {
            let records_may_ask = configs().any(|config| config.flush_on.is_some() || config.snapshot_on.is_some());
            self.idle.set_limits(shortest, records_may_ask);
        }
    }

    /// Makes one turn of each log, and finishes those that have ended.
    fn turn(&mut self) -> Turn {
        self.resources.devices.free_abandoned();
        if self.resources.devices.take_break() {
            self.served.iter_mut().for_each(|served| served.log.follow_device());
        }
        let mut turn = Turn::Idle;
        let mut at = 0;
        while at < self.served.len() {
            let log = &mut self.served[at].log;
            let made = catch_unwind(AssertUnwindSafe(|| log.turn()));
            let ended = match made {
                Ok(made) => {
                    turn = turn.with(made);
                    if !log.has_ended() {
                        at += 1;
                        continue;
                    }
                    true
                }
                Err(_) => false,
            };
            self.served.swap_remove(at).end(ended);
            self.follow_settings();
        }
        turn
    }

    /// Rests as long as the outcome of the turn allows.
    fn rest(&mut self, turn: Turn) {
        let flushing = self.logs().any(LogWriter::is_flushing);
        let asked = self.logs().map(LogWriter::flushes_asked).sum();
        self.idle.set_flushing(flushing, asked);
        let served = &self.served;
        let awaits_devices = || served.iter().all(|served| served.log.awaits_device());
        let Some(sleep) = self.idle.rest(turn, awaits_devices) else { return };
        // Acquire: _writer asked_.
        let is_asked = || self.asked.load(Relaxed) && self.asked.swap(false, Acquire);
        let mut writing = self.served.iter_mut().map(|served| &mut served.log).filter(|log| log.is_writing());
        match (writing.next(), writing.next()) {
            (Some(log), None) => log.wait_for_device(self.idle.until_look(sleep)),
            (Some(_), Some(_)) => self.resources.devices.wait(self.idle.until_look(sleep)),
            (None, _) => self.idle.sleep(sleep, is_asked, park),
        }
        self.idle.note_woken(Instant::now());
    }

    fn logs(&self) -> impl Iterator<Item = &LogWriter> {
        self.served.iter().map(|served| &served.log)
    }
}

/// Sleeps for `time`. Returns `false` if something ended it early: a flush, a close, another log, or a producer that
/// waits for space.
fn park(time: Duration) -> bool {
    let begun = Instant::now();
    std::thread::park_timeout(time);
    begun.elapsed() >= time
}

impl Served {
    /// Finishes a log that `has_ended`, or gives up one whose turn has panicked.
    fn end(self, has_ended: bool) {
        let Served { log, answer_if_panicked } = self;
        // A second panic does no more harm than the first: no drop frees memory that the kernel uses.
        let done = catch_unwind(AssertUnwindSafe(|| if has_ended { log.finish() } else { log.give_up() }));
        if has_ended && done.is_ok() {
            // The thread that prepares segments says how the log has ended.
            answer_if_panicked.withdraw();
        }
    }
}

/// Answers the callers that wait for a log whose writer has panicked: a bug in diolog must not hang the program. `None`
/// after it was withdrawn.
struct AnswerIfPanicked(Option<Arc<Shared>>);

impl AnswerIfPanicked {
    /// Leaves the answer to others.
    fn withdraw(mut self) {
        self.0 = None;
    }
}

impl Drop for AnswerIfPanicked {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        shared.registry.close();
        shared.gate.close();
        for ticket in shared.flushes.close() {
            ticket.answer(Err(FlushFault::Closed));
        }
        let reason = "the writer panicked: please report this as a bug in diolog";
        shared.closing.finish(shared.close_summary_without_writer(reason));
    }
}
