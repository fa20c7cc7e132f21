//! Looks after a log that is being written, and says so when its device stops taking writes: whoever waits for the end
//! of `diolog write` would otherwise see nothing at all.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use diolog::{Logger, State};

use crate::text::output::say;

/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// The thread that watches, until it is dropped.
pub(crate) struct Watch {
    /// Both are taken by `drop`.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching.
    pub(crate) fn start(logger: &Logger) -> io::Result<Watch> {
        let logger = logger.clone();
        let (end, ended) = channel();
        let watch = move || {
            let mut before = State::Ok;
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let state = logger.stats().state;
                if state != before {
                    say(describe(state));
                    before = state;
                }
            }
        };
        let thread = thread::Builder::new().name("diolog-watch".into()).spawn(watch)?;
        Ok(Watch { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It only watches: if it panicked, nothing is lost.
            let _ = thread.join();
        }
    }
}

fn describe(state: State) -> &'static str {
    match state {
        State::Ok => "writing goes on",
        State::Full => "there is no space for the log: waiting for some (Ctrl-C, and again, to give up)",
        _ => "the log cannot be written: trying again, lines that find no room are lost",
    }
}
