//! Watches the device of a log that is being written, and prints when it stops or resumes taking writes: `diolog write`
//! would otherwise wait without a word.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use diolog::{Logger, State};

use crate::text::output::say;

/// The time between two looks at the log's state.
const INTERVAL: Duration = Duration::from_millis(500);

/// The watching thread, until this is dropped.
pub(crate) struct Watch {
    // `drop` takes both.
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
            // If it panicked, only messages are missing.
            let _ = thread.join();
        }
    }
}

fn describe(state: State) -> &'static str {
    match state {
        State::Ok => "the log can be written again",
        State::Full => "no space left for the log: waiting for space (press Ctrl-C twice to give up)",
        _ => "the log cannot be written: trying again; lines that find no space in the ring are lost",
    }
}
