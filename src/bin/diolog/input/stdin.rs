//! Standard input, read ahead by its own thread, so that a signal takes effect while no input comes.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// Bytes of a read: a few times a pipe's capacity, and small enough to stay in the L2 cache until it is logged.
const CHUNK_BYTES: usize = 128 << 10;

/// Chunks in use: one being read, one being logged, one in the channel.
const CHUNKS: usize = 3;

/// How long to wait for a chunk that was read before the signal: the reading thread only has to be scheduled.
const LAST_CHUNK: Duration = Duration::from_millis(20);

/// An event of the input.
pub(crate) enum Event {
    /// Some bytes. Give the buffer back with [`Input::recycle`].
    Chunk(Vec<u8>),
    /// The end of the input.
    End,
    /// It cannot be read.
    Failed(io::Error),
    /// Ctrl-C or SIGTERM: stop reading.
    Stop,
}

/// Standard input as a sequence of events.
pub(crate) struct Input {
    events: Receiver<Event>,
    /// Empty buffers, back to the reading thread.
    spent: Sender<Vec<u8>>,
    /// Set by the signal.
    stop: Arc<AtomicBool>,
    /// Whether [`Input::next`] has returned [`Event::Stop`].
    stopped: bool,
}

impl Input {
    /// Starts reading, and listening for signals. A second signal calls `give_up`, a third ends the process at once.
    pub(crate) fn start(give_up: impl FnOnce() + Send + 'static) -> io::Result<Input> {
        let (send, events) = sync_channel(CHUNKS);
        let (spent, recycled) = channel();
        for _ in 0..CHUNKS {
            // Cannot fail: the receiver is alive.
            let _ = spent.send(vec![0; CHUNK_BYTES]);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let send_stop = {
            let (send, stop) = (send.clone(), Arc::clone(&stop));
            move || {
                stop.store(true, Ordering::Relaxed);
                // Fails if the input has ended already.
                let _ = send.send(Event::Stop);
            }
        };
        crate::input::signals::on_stop(send_stop, give_up)?;
        thread::Builder::new().name("diolog-input".into()).spawn(move || read(&send, &recycled))?;
        Ok(Input { events, spent, stop, stopped: false })
    }

    /// Waits for the next event. After [`Event::Stop`] come the chunks read before it, and [`Event::End`].
    pub(crate) fn next(&mut self) -> Event {
        if self.stopped {
            return self.events.recv_timeout(LAST_CHUNK).unwrap_or(Event::End);
        }
        let event = self.events.recv().unwrap_or(Event::End);
        self.stopped = matches!(event, Event::Stop);
        event
    }

    /// Whether a signal has come, even if [`Input::next`] has not returned it yet.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Gives a chunk's buffer back to the reading thread.
    pub(crate) fn recycle(&self, mut buffer: Vec<u8>) {
        if !self.stopped {
            buffer.resize(CHUNK_BYTES, 0);
            let _ = self.spent.send(buffer);
        }
    }
}

/// Reads until the end of the input, an error, or until the [`Input`] is dropped.
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
