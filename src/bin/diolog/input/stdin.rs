//! Standard input, read ahead by its own thread until it ends, or until a signal asks for the end.
//!
//! After SIGINT and SIGHUP the input is read on to its end, or until nothing has come for [`SILENCE`]. After SIGTERM
//! and SIGQUIT, or if it is a terminal, it is read as far as it is there already.

use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use crate::exit::Failure;
use crate::input::signals::{self, Asked};
use crate::ready;
use crate::text::output::say;

/// Bytes of a read: a few times a pipe's capacity, and small enough to stay in the L2 cache until it is logged.
const CHUNK_BYTES: usize = 128 << 10;

/// Chunks in use: one being read, one being logged, one in the channel.
const CHUNKS: usize = 3;

/// How long after a signal the input may be silent before it counts as ended.
const SILENCE: Duration = Duration::from_secs(2);

/// The silence after which the user is told what is waited for.
const SILENCE_UNTOLD: Duration = Duration::from_millis(500);

/// An event of the input.
pub(crate) enum Event {
    /// Some bytes. Give the buffer back with [`Input::recycle`].
    Chunk(Vec<u8>),
    /// The end of the input, or of what is read of it after a signal.
    End,
    /// It cannot be read.
    Failed(io::Error),
}

/// Standard input as a sequence of events.
pub(crate) struct Input {
    events: Receiver<Event>,
    /// Empty buffers, back to the reading thread.
    spent: Sender<Vec<u8>>,
    asked: Asked,
}

impl Input {
    /// Starts reading, and listening for signals. The second signal prints `last_words` and ends the process.
    pub(crate) fn start(last_words: impl FnOnce() -> Option<String> + Send + 'static) -> Result<Input, Failure> {
        let (send, events) = sync_channel(CHUNKS);
        let (spent, recycled) = channel();
        for _ in 0..CHUNKS {
            // Cannot fail: the receiver is alive.
            let _ = spent.send(vec![0; CHUNK_BYTES]);
        }
        let (waker, woken) = UnixStream::pair().map_err(Failure::cannot("make a pair of sockets"))?;
        // To close one end wakes the other.
        let asked = signals::listen(move |_| drop(waker), last_words)?;
        let reading = Reading { asked: asked.clone(), woken, left: None, is_told: false };
        let started = thread::Builder::new().name("diolog-input".into()).spawn(move || reading.run(&send, &recycled));
        started.map_err(Failure::cannot("start a thread"))?;
        Ok(Input { events, spent, asked })
    }

    /// Waits for the next event.
    pub(crate) fn next(&mut self) -> Event {
        self.events.recv().unwrap_or(Event::End)
    }

    /// The signal that asked for the end, if one has.
    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Gives a chunk's buffer back to the reading thread.
    pub(crate) fn recycle(&self, mut buffer: Vec<u8>) {
        buffer.resize(CHUNK_BYTES, 0);
        // Fails if the input has ended.
        let _ = self.spent.send(buffer);
    }
}

/// The reading thread's state.
struct Reading {
    asked: Asked,
    /// Readable once a signal has come.
    woken: UnixStream,
    /// The bytes still to read after SIGTERM or SIGQUIT: those that were there when it came.
    left: Option<u64>,
    /// Whether the user was told what is waited for.
    is_told: bool,
}

impl Reading {
    /// Reads until the end of the input, an error, or until the [`Input`] is dropped.
    fn run(mut self, events: &SyncSender<Event>, recycled: &Receiver<Vec<u8>>) {
        let mut stdin = io::stdin().lock();
        while let Ok(mut buffer) = recycled.recv() {
            let event = match self.read(&mut stdin, &mut buffer) {
                Ok(0) => Event::End,
                Ok(bytes) => {
                    buffer.truncate(bytes);
                    Event::Chunk(buffer)
                }
                Err(error) => Event::Failed(error),
            };
            let more = matches!(event, Event::Chunk(_));
            if events.send(event).is_err() || !more {
                return;
            }
        }
    }

    /// Reads into `buffer`, and returns how many bytes; none at the end.
    fn read(&mut self, stdin: &mut io::StdinLock<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let bytes_max = self.wait(stdin);
            if bytes_max == 0 {
                return Ok(0);
            }
            let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(buffer.len());
            match stdin.read(&mut buffer[..bytes_max]) {
                Ok(bytes) => {
                    if let Some(left) = &mut self.left {
                        *left -= bytes as u64;
                    }
                    return Ok(bytes);
                }
                // Another process may have taken the bytes.
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until there is something to read, or the end. Returns how many bytes may be read at most; none if nothing
    /// more is to be read after a signal.
    fn wait(&mut self, stdin: &io::StdinLock<'_>) -> u64 {
        loop {
            match self.asked.get() {
                None => {
                    let [ready, _] = ready::until_readable([stdin.as_fd(), self.woken.as_fd()], None);
                    if ready && self.asked.get().is_none() {
                        return u64::MAX;
                    }
                }
                // At a terminal, nobody else gets the signal and goes on.
                Some(signal) if signal.lets_input_end() && !stdin.is_terminal() => {
                    if self.wait_before_silence(stdin) {
                        return u64::MAX;
                    }
                    return 0;
                }
                Some(_) => {
                    let left = *self.left.get_or_insert_with(|| bytes_there(stdin));
                    let [ready] = ready::until_readable([stdin.as_fd()], Some(Duration::ZERO));
                    return if ready { left } else { 0 };
                }
            }
        }
    }

    fn wait_before_silence(&mut self, stdin: &io::StdinLock<'_>) -> bool {
        let is_ready = |limit| ready::until_readable([stdin.as_fd()], Some(limit)) == [true];
        if is_ready(SILENCE_UNTOLD) {
            return true;
        }
        if !std::mem::replace(&mut self.is_told, true) {
            let seconds = SILENCE.as_secs();
            say(format_args!(
                "waiting for the end of the input, or until nothing has come for {seconds} s; another Ctrl-C ends at once"
            ));
        }
        is_ready(SILENCE - SILENCE_UNTOLD)
    }
}

/// The bytes that a pipe, a socket or a terminal holds now. A file counts as empty: nothing of it is lost by not
/// reading it.
fn bytes_there(stdin: &io::StdinLock<'_>) -> u64 {
    let is_file = stdin.as_fd().try_clone_to_owned().map(std::fs::File::from).and_then(|file| file.metadata());
    match is_file {
        Ok(metadata) if metadata.is_file() => 0,
        _ => rustix::io::ioctl_fionread(stdin).unwrap_or(0),
    }
}
