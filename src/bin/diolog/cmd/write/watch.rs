//! Watches the device of a log that is being written, and prints when it stops or resumes taking writes: `diolog write`
//! would otherwise wait without a word. It also ends that wait after a signal.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use diolog::{Logger, State};

use crate::cmd::line_log::StateWatch;
use crate::input::signals::Asked;

/// The time between two looks at the log's state.
const INTERVAL: Duration = Duration::from_millis(500);

/// The watching thread, until this is dropped.
pub(crate) struct Watch {
    // `drop` takes both.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching. If the disk is full when a signal has asked for the end, closes the log: a line that waits for
    /// room, or the last flush, then ends.
    pub(crate) fn start(logger: &Logger, asked: &Asked) -> io::Result<Watch> {
        let (logger, asked) = (logger.clone(), asked.clone());
        let (end, ended) = channel();
        let watch = move || {
            let mut state = StateWatch::new("waiting for space, until Ctrl-C");
            let mut goes_on = true;
            while goes_on {
                // Looks once more at the end, so that a wait that was told of is seen to end.
                goes_on = ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout);
                if state.look(&logger) == State::Full && asked.get().is_some() {
                    // The command's own call of `close` gets the same answer.
                    let _ = logger.close();
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
