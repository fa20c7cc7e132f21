//! Standard input read ahead by a thread of its own, so that a signal is heard while no input comes.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// Read at a time: several turns of a pipe, and small enough to stay in cache until it is logged.
const CHUNK_BYTES: usize = 128 << 10;

/// Chunks on their way: one being read, one being logged, one between.
const CHUNKS: usize = 3;

/// How long a chunk that was read when the signal came may take to arrive: its thread has only to be run.
const LAST_CHUNK: Duration = Duration::from_millis(20);

/// What happens to the input.
pub(crate) enum Event {
    /// Some bytes came. Give the buffer back with [`Input::recycle`].
    Chunk(Vec<u8>),
    /// There are no more.
    End,
    /// It cannot be read.
    Failed(io::Error),
    /// Ctrl-C or SIGTERM: no more is wanted.
    Stop,
}

/// Standard input as a sequence of events.
pub(crate) struct Input {
    events: Receiver<Event>,
    spent: Sender<Vec<u8>>,
    /// Set by the signal.
    stop: Arc<AtomicBool>,
    /// Whether [`Event::Stop`] has been given.
    stopped: bool,
}

impl Input {
    /// Starts reading, and listening for signals. A second signal calls `give_up`, a third ends the process at once.
    pub(crate) fn start(give_up: impl FnOnce() + Send + 'static) -> io::Result<Input> {
        let (send, events) = sync_channel(CHUNKS);
        let (spent, recycled) = channel();
        for _ in 0..CHUNKS {
            // The receiver is at hand.
            let _ = spent.send(vec![0; CHUNK_BYTES]);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let tell = {
            let (send, stop) = (send.clone(), Arc::clone(&stop));
            move || {
                stop.store(true, Ordering::Relaxed);
                // Nobody listens any more where the end has come already.
                let _ = send.send(Event::Stop);
            }
        };
        crate::input::signals::on_stop(tell, give_up)?;
        thread::Builder::new().name("diolog-input".into()).spawn(move || read(&send, &recycled))?;
        Ok(Input { events, spent, stop, stopped: false })
    }

    /// The next event; after [`Event::Stop`], what had been read by then and [`Event::End`].
    pub(crate) fn next(&mut self) -> Event {
        if self.stopped {
            return self.events.recv_timeout(LAST_CHUNK).unwrap_or(Event::End);
        }
        let event = self.events.recv().unwrap_or(Event::End);
        self.stopped = matches!(event, Event::Stop);
        event
    }

    /// Whether a signal has come, also one that nobody has seen as an event yet.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Gives a chunk's buffer back, to be filled again, unless the end is near.
    pub(crate) fn recycle(&self, mut buffer: Vec<u8>) {
        if !self.stopped {
            buffer.resize(CHUNK_BYTES, 0);
            let _ = self.spent.send(buffer);
        }
    }
}

/// Reads until the end, an error, or until nobody listens.
fn read(events: &SyncSender<Event>, recycled: &Receiver<Vec<u8>>) {
    let mut stdin = io::stdin().lock();
    while let Ok(mut buffer) = recycled.recv() {
        let event = loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break Event::End,
                Ok(bytes) => {
                    buffer.truncate(bytes);
                    break Event::Chunk(buffer);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Event::Failed(error),
            }
        };
        let more = matches!(event, Event::Chunk(_));
        if events.send(event).is_err() || !more {
            return;
        }
    }
}
