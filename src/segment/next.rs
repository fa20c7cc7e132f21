//! The segment after the present one: asked for, ready, or refused and asked for again later. And the notes on what went
//! wrong meanwhile.
//!
//! Used by [`Segments`](super::Segments); the file itself is made by the [`prepare`](super::prepare) thread.

use std::io;
use std::time::{Duration, Instant};

use crate::error::Error;

use super::fill::Prepared;
use super::prepare::Preparer;

/// The first wait after a segment could not be made. Each further one is twice as long.
const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);

/// The longest such wait.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

/// The segment after the present one.
pub(super) struct NextSegment {
    /// Its number: after those of all files known to be there.
    index: u64,
    state: State,
}

enum State {
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
        NextSegment { index, state: State::NotAsked }
    }

    /// Asks for the file, with `bytes` and at least `bytes_min`, unless that was done; then takes the answer, if there is
    /// one. After a refusal it asks again when the wait is over.
    pub(super) fn request(&mut self, preparer: &Preparer, bytes: u64, bytes_min: u64, notes: &mut Notes) {
        let retry_delay = match &self.state {
            State::Ready(_) => return,
            State::Asked { retry_delay } => return self.take_answer(preparer, *retry_delay, notes),
            State::Refused { again_at, .. } if Instant::now() < *again_at => return,
            State::Refused { retry_delay, .. } => *retry_delay,
            State::NotAsked => RETRY_DELAY_MIN,
        };
        preparer.ask(self.index, bytes, bytes_min);
        self.state = State::Asked { retry_delay };
    }

    fn take_answer(&mut self, preparer: &Preparer, retry_delay: Duration, notes: &mut Notes) {
        self.state = match preparer.poll() {
            None => return,
            Some(Ok(prepared)) => {
                self.index = prepared.index + 1;
                notes.forget_last();
                notes.extend(prepared.shortfall.clone());
                State::Ready(prepared)
            }
            Some(Err(error)) => {
                if error.io_error().is_some_and(|source| source.kind() == io::ErrorKind::AlreadyExists) {
                    self.index += 1;
                }
                notes.push_once(error.to_string());
                let again_at = Instant::now() + retry_delay;
                State::Refused { error, again_at, retry_delay: (retry_delay * 2).min(RETRY_DELAY_MAX) }
            }
        };
    }

    /// The file, if it is ready; then another one can be asked for.
    pub(super) fn take(&mut self) -> Option<Prepared> {
        match std::mem::replace(&mut self.state, State::NotAsked) {
            State::Ready(prepared) => Some(prepared),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Removes the file if it is ready: no more blocks come.
    pub(super) fn discard(&mut self) {
        if let Some(unused) = self.take() {
            unused.discard();
        }
    }

    /// Why the last try failed, while there is no file.
    pub(super) fn refusal(&self) -> Option<&Error> {
        match &self.state {
            State::Refused { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What went wrong, for the log itself to say.
#[derive(Default)]
pub(super) struct Notes {
    pending: Vec<String>,
    /// The last one that [`Notes::push_once`] took.
    last: Option<String>,
}

impl Notes {
    pub(super) fn push(&mut self, note: String) {
        self.pending.push(note);
    }

    /// Adds a note, unless it repeats the one before.
    pub(super) fn push_once(&mut self, note: String) {
        if self.last.as_ref() != Some(&note) {
            self.last = Some(note.clone());
            self.pending.push(note);
        }
    }

    /// Lets the last note be said again: since then it has worked.
    fn forget_last(&mut self) {
        self.last = None;
    }

    pub(super) fn extend(&mut self, notes: impl IntoIterator<Item = String>) {
        self.pending.extend(notes);
    }

    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.pending)
    }
}
