//! Flush tickets: a caller leaves one and waits; the writer answers it when all records accepted before are durable.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, SavedIoError};
use crate::sync::lock;

/// The answer to a flush.
pub(crate) type Answer = std::result::Result<(), FlushFault>;

/// Why a flush failed. It can be cloned, for each of the callers that wait.
#[derive(Clone, Debug)]
pub(crate) enum FlushFault {
    /// The log was closed before the records were durable.
    Closed,
    /// The device or the file system failed in `operation`, a verb.
    Io { operation: &'static str, path: PathBuf, source: SavedIoError },
}

impl FlushFault {
    /// The fault of an `operation`, a verb, on `path`.
    pub(crate) fn io(operation: &'static str, path: &Path, source: &io::Error) -> FlushFault {
        FlushFault::Io { operation, path: path.to_owned(), source: source.into() }
    }

    /// The error that the caller gets.
    pub(crate) fn into_error(self) -> Error {
        match self {
            FlushFault::Closed => Error::Closed,
            FlushFault::Io { operation, path, source } => Error::io(operation, &path, source.to_io_error()),
        }
    }
}

/// How long a caller yields its CPU and looks for its answer before it sleeps. It is twice as long as a fast disk
/// takes, so that a wake-up is paid only if it costs little beside the write. (A caller that sleeps on an idle CPU
/// would come back some 30 µs late, and would find the writer asleep too at its next flush.) The writer stays awake for
/// as long.
pub(crate) const CALLER_YIELDS: Duration = Duration::from_micros(200);

/// If a yield takes longer, other threads want the CPU. A woken thread then gets it sooner than one that yields. The
/// kernel's own work on a completed write takes some 20 µs.
const YIELD_MAX: Duration = Duration::from_micros(100);

/// One caller's wait.
pub(crate) struct Ticket {
    /// When the caller asked.
    asked: Instant,
    wait: Mutex<Wait>,
    woken: Condvar,
    /// Whether there is an answer: the writer stores it with Release, the caller loads it with Acquire (_flush
    /// answered_).
    answered: AtomicBool,
}

#[derive(Default)]
struct Wait {
    answer: Option<Answer>,
    asleep: bool,
}

impl Ticket {
    /// For a caller that asks now.
    fn new() -> Ticket {
        let (wait, woken, answered) = Default::default();
        Ticket { asked: Instant::now(), wait, woken, answered }
    }

    /// How long ago the caller asked.
    pub(crate) fn age(&self) -> Duration {
        self.asked.elapsed()
    }

    /// Gives the caller its answer, and wakes it if it sleeps. Only the first answer counts.
    pub(crate) fn answer(&self, answer: Answer) {
        let asleep = {
            let mut wait = lock(&self.wait);
            wait.answer.get_or_insert(answer);
            wait.asleep
        };
        // Release: _flush answered_.
        self.answered.store(true, Ordering::Release);
        if asleep {
            self.woken.notify_all();
        }
    }

    /// Waits for the answer, without limit or at most for `timeout`.
    ///
    /// # Errors
    /// Those of the answer; [`Error::FlushTimeout`].
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        let begin = Instant::now();
        // A limit too large for an `Instant` is none.
        let limit = timeout.and_then(|timeout| Some((timeout, begin.checked_add(timeout)?)));
        let attentive_until = begin + timeout.map_or(CALLER_YIELDS, |timeout| timeout.min(CALLER_YIELDS));
        let mut now = begin;
        // Acquire: _flush answered_.
        while !self.answered.load(Ordering::Acquire) && now < attentive_until {
            std::thread::yield_now();
            let looked = std::mem::replace(&mut now, Instant::now());
            if now - looked > YIELD_MAX {
                break;
            }
        }
        let mut wait = lock(&self.wait);
        loop {
            if let Some(answer) = &wait.answer {
                return answer.clone().map_err(FlushFault::into_error);
            }
            wait.asleep = true;
            wait = match limit {
                None => self.woken.wait(wait).unwrap_or_else(PoisonError::into_inner),
                Some((waited, deadline)) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Error::FlushTimeout { waited });
                    }
                    self.woken.wait_timeout(wait, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// The tickets that the writer has not taken yet.
#[derive(Default)]
pub(crate) struct FlushQueue {
    inner: Mutex<Queue>,
    /// Whether there are tickets: callers store it with Release, the writer swaps it with AcqRel (_flush asked_).
    asked: AtomicBool,
}

#[derive(Default)]
struct Queue {
    closed: bool,
    tickets: Vec<Arc<Ticket>>,
}

impl FlushQueue {
    /// Leaves a ticket, calls `wake`, and waits for the answer, without limit or at most for `timeout`.
    ///
    /// # Errors
    /// [`Error::Closed`] after close; [`Error::FlushTimeout`]; [`Error::Io`] if the device failed.
    pub(crate) fn flush(&self, timeout: Option<Duration>, wake: impl FnOnce()) -> Result<()> {
        self.ask(wake)?.wait(timeout)
    }

    /// Leaves a ticket, and calls `wake`. The caller may wait for the answer, or not.
    ///
    /// # Errors
    /// [`Error::Closed`] after close.
    pub(crate) fn ask(&self, wake: impl FnOnce()) -> Result<Arc<Ticket>> {
        let ticket = Arc::new(Ticket::new());
        {
            let mut queue = lock(&self.inner);
            if queue.closed {
                return Err(Error::Closed);
            }
            queue.tickets.push(Arc::clone(&ticket));
        }
        // Release: _flush asked_.
        self.asked.store(true, Ordering::Release);
        wake();
        Ok(ticket)
    }

    /// Takes the tickets left since the last call. If there are none, this is one relaxed load.
    pub(crate) fn take(&self) -> Vec<Arc<Ticket>> {
        // Acquire: _flush asked_.
        if self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::AcqRel) {
            std::mem::take(&mut lock(&self.inner).tickets)
        } else {
            Vec::new()
        }
    }

    /// Refuses tickets from now on. Returns those that the writer has not taken.
    pub(crate) fn close(&self) -> Vec<Arc<Ticket>> {
        let mut queue = lock(&self.inner);
        queue.closed = true;
        std::mem::take(&mut queue.tickets)
    }
}
