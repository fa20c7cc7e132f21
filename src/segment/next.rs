//! The segment after the present one: asked for, ready, or refused and asked for again later.
//!
//! Used by [`Segments`](super::Segments); the file itself is made by the [`prepare`](super::prepare) thread.

use std::io;
use std::time::{Duration, Instant};

use crate::delays::Delays;
use crate::error::Error;

use super::fill::{NamedFile, Prepared};
use super::prepare::Preparer;

/// The waits after a segment could not be made.
const RETRY_DELAYS: Delays = Delays { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// How long a segment that was prepared may wait for a log that writes nothing, in nanoseconds. Then it is given back.
const UNUSED_MAX_NS: u64 = 10_000_000_000;

/// The time since a log placed a block, or was asked to rotate.
#[derive(Default)]
pub(super) struct Quiet {
    /// When it was looked at first.
    since_ns: Option<u64>,
    /// The next segment was given back meanwhile.
    pub(super) given_back: bool,
}

impl Quiet {
    /// Whether it is so long that the next segment is to be given back.
    pub(super) fn is_long(&mut self, now_ns: u64) -> bool {
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        now_ns.saturating_sub(since_ns) >= UNUSED_MAX_NS
    }
}

/// The segment after the present one.
pub(super) struct NextSegment {
    /// Its number: after those of all files known to be there.
    index: u64,
    state: RequestState,
    /// The last refusal that was noted, until a file could be made.
    noted: Option<String>,
    /// How many tries failed, or made a file that is not as it should be, since the last [`take_failures`].
    ///
    /// [`take_failures`]: NextSegment::take_failures
    failures: u64,
}

enum RequestState {
    NotAsked,
    /// If it cannot be made, the next try comes after `retry_delay`.
    Asked {
        retry_delay: Duration,
    },
    Ready(Prepared),
    /// It could not be made.
    Refused {
        error: Error,
        again_at: Instant,
        /// The wait after the next refusal.
        retry_delay: Duration,
    },
}

impl NextSegment {
    /// Number `index`, not asked for yet.
    pub(super) fn new(index: u64) -> NextSegment {
        NextSegment { index, state: RequestState::NotAsked, noted: None, failures: 0 }
    }

    /// Asks for the file, with `bytes` and at least `bytes_min`, unless that was done; then takes the answer, if there
    /// is one. After a refusal it asks again when the wait is over. Adds to `notes` why a file could not be made, or
    /// not as it should be.
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

    /// The file, if it is ready; then another one can be asked for.
    pub(super) fn take(&mut self) -> Option<Prepared> {
        match std::mem::replace(&mut self.state, RequestState::NotAsked) {
            RequestState::Ready(prepared) => Some(prepared),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The file, if it is ready, from somebody who does not use it: its number is used again.
    pub(super) fn give_back(&mut self) -> Option<NamedFile> {
        let unused = self.take()?;
        self.index = unused.index;
        Some(unused.file)
    }

    /// How many tries failed since the last call.
    pub(super) fn take_failures(&mut self) -> u64 {
        std::mem::take(&mut self.failures)
    }

    /// Why the last try failed, while there is no file.
    pub(super) fn refusal(&self) -> Option<&Error> {
        match &self.state {
            RequestState::Refused { error, .. } => Some(error),
            _ => None,
        }
    }
}
