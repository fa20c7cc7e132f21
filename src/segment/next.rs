//! The segment after the present one: not asked for, asked for, ready, or refused and to be asked for again later.
//!
//! Used by [`Segments`](super::Segments). The [`preparing`](super::preparing) thread makes the file.

use std::io;
use std::time::{Duration, Instant};

use crate::delays::Delays;
use crate::error::Error;

use super::preparing::{NamedFile, Prepared, Preparer};

/// How long to wait after a segment could not be made.
const RETRY_DELAYS: Delays = Delays { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// How long a prepared segment may stay unused while its log writes nothing, in nanoseconds. Then it is given back.
const UNUSED_MAX_NS: u64 = 10_000_000_000;

/// Measures how long a log has placed no block and was not asked to rotate.
#[derive(Default)]
pub(super) struct Quiet {
    /// When that was first noted.
    since_ns: Option<u64>,
    /// The next segment has been given back.
    pub(super) given_back: bool,
}

impl Quiet {
    /// Notes that the log is quiet. Returns whether it has been so long enough to give the next segment back.
    pub(super) fn note_quiet(&mut self, now_ns: u64) -> bool {
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        now_ns.saturating_sub(since_ns) >= UNUSED_MAX_NS
    }
}

/// The segment after the present one.
pub(super) struct NextSegment {
    /// Its number, higher than those of all files known to exist.
    index: u64,
    state: RequestState,
    /// The last refusal for which there was a note, until a file could be made.
    noted: Option<String>,
    /// How many tries failed or prepared a file incompletely since the last [`take_failures`].
    ///
    /// [`take_failures`]: NextSegment::take_failures
    failures: u64,
}

enum RequestState {
    NotAsked,
    /// If the file cannot be made, the next try comes after `retry_delay`.
    Asked {
        retry_delay: Duration,
    },
    Ready(Prepared),
    /// The file could not be made.
    Refused {
        error: Error,
        again_at: Instant,
        /// The wait after the next refusal.
        retry_delay: Duration,
    },
}

impl NextSegment {
    /// Segment `index`, not asked for yet.
    pub(super) fn new(index: u64) -> NextSegment {
        NextSegment { index, state: RequestState::NotAsked, noted: None, failures: 0 }
    }

    /// Asks for the file, with `bytes` and at least `bytes_min`, unless it was asked for already. If there is an
    /// answer, takes it. After a refusal, asks again when the wait is over. Adds a note to `notes` if a file could not
    /// be made, or its preparation is incomplete.
    pub(super) fn request(&mut self, preparer: &Preparer, bytes: u64, bytes_min: u64, notes: &mut Vec<String>) {
        let retry_delay = match &self.state {
            RequestState::Ready(_) => return,
            RequestState::Asked { .. } => return self.take_answer(preparer, notes),
            RequestState::Refused { again_at, .. } if Instant::now() < *again_at => return,
            RequestState::Refused { retry_delay, .. } => *retry_delay,
            RequestState::NotAsked => RETRY_DELAYS.first,
        };
        preparer.ask(self.index, bytes, bytes_min);
        self.state = RequestState::Asked { retry_delay };
    }

    /// Takes the answer to a request, if there is one. Adds to `notes` as [`request`](Self::request) does.
    pub(super) fn take_answer(&mut self, preparer: &Preparer, notes: &mut Vec<String>) {
        let RequestState::Asked { retry_delay } = self.state else { return };
        self.state = match preparer.poll() {
            None => return,
            Some(Ok(prepared)) => {
                self.index = prepared.index + 1;
                self.noted = None;
                self.failures += u64::from(prepared.shortfall.is_some());
                notes.extend(prepared.shortfall.clone());
                RequestState::Ready(prepared)
            }
            Some(Err(error)) => {
                self.failures += 1;
                if error.io_error().is_some_and(|source| source.kind() == io::ErrorKind::AlreadyExists) {
                    self.index += 1;
                }
                let note = error.to_string();
                if self.noted.as_ref() != Some(&note) {
                    self.noted = Some(note.clone());
                    notes.push(note);
                }
                let again_at = Instant::now() + retry_delay;
                RequestState::Refused { error, again_at, retry_delay: RETRY_DELAYS.after(retry_delay) }
            }
        };
    }

    /// Takes the file, if it is ready. Another one can be asked for then.
    pub(super) fn take(&mut self) -> Option<Prepared> {
        match std::mem::replace(&mut self.state, RequestState::NotAsked) {
            RequestState::Ready(prepared) => Some(prepared),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Takes the file, if it is ready, from a log that does not use it. Its number will be used again.
    pub(super) fn give_back(&mut self) -> Option<NamedFile> {
        let unused = self.take()?;
        self.index = unused.index;
        Some(unused.file)
    }

    /// How many tries failed since the last call, or prepared a file incompletely.
    pub(super) fn take_failures(&mut self) -> u64 {
        std::mem::take(&mut self.failures)
    }

    /// Why the last try failed, if there is no file.
    pub(super) fn refusal(&self) -> Option<&Error> {
        match &self.state {
            RequestState::Refused { error, .. } => Some(error),
            _ => None,
        }
    }
}
