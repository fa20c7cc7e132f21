//! What the writers of logs and the thread of one listener share: buffers of entries on their way, and how far the
//! thread has come.
//!
//! The lock is held for the exchange of a buffer and no longer. A writer only tries to take it, except once at a log's
//! end: if the thread holds it, the writer keeps its buffer until its next turn. So a thread that the system stops at
//! the wrong moment holds no writer.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use super::listener::Listener;
use crate::clock::Clock;
use crate::level::Level;
use crate::sync::lock;

/// A listener that does not return for so long at a log's end hangs, to the logs that end after it.
const HUNG_AFTER: Duration = Duration::from_secs(1);

/// One log at one listener.
pub(super) struct Queue {
    pub(super) level: Level,
    pub(super) clock: Clock,
    pub(super) log: PathBuf,
    pub(super) service: String,
    pub(super) outlet: Arc<Outlet>,
    // On cache lines of their own: the writer must not wait for one that the thread writes for each record.
    pub(super) seen: CachePadded<Seen>,
    pub(super) done: CachePadded<Done>,
    /// The deadline of `close` has passed: what waits is not given any more.
    pub(super) is_abandoned: AtomicBool,
}

/// What the writer counts, once a turn.
#[derive(Default)]
pub(super) struct Seen {
    /// Records of the level.
    pub(super) records: AtomicU64,
    /// Those that did not fit.
    pub(super) missed: AtomicU64,
}

/// What the thread counts.
#[derive(Default)]
pub(super) struct Done {
    /// Bytes of entries taken.
    pub(super) bytes: AtomicU64,
    pub(super) given: AtomicU64,
    /// Records whose call panicked, or that were left at the deadline of `close`.
    pub(super) missed: AtomicU64,
}

/// Entries of one log.
pub(super) struct Batch {
    pub(super) queue: Arc<Queue>,
    pub(super) bytes: Vec<u8>,
}

/// A listener, and what is on its way to it.
pub(super) struct Outlet {
    pub(super) listener: Arc<dyn Listener>,
    inner: Mutex<Inner>,
    /// Signalled after each round.
    round_done: Condvar,
    thread: OnceLock<Thread>,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Batch>,
    /// Logs that have not ended.
    logs: usize,
    /// Rounds that the thread has begun: each takes all that waits.
    begun: u64,
    /// Rounds that it has ended.
    done: u64,
    /// How many threads wait for the end of a round.
    waiters: usize,
    /// The round that somebody has waited for long enough to call the listener hung.
    hung_in: Option<u64>,
    /// Whether more than one log has listened.
    has_several: bool,
}

impl Outlet {
    /// For a listener of one log. Its thread is to be started.
    pub(super) fn new(listener: Arc<dyn Listener>) -> Outlet {
        let inner = Mutex::new(Inner { logs: 1, ..Inner::default() });
        Outlet { listener, inner, round_done: Condvar::new(), thread: OnceLock::new() }
    }

    pub(super) fn set_thread(&self, thread: Thread) {
        let _ = self.thread.set(thread);
    }

    /// One more log listens.
    pub(super) fn add_log(&self) {
        let mut inner = lock(&self.inner);
        inner.logs += 1;
        inner.has_several = true;
    }

    /// One less. Called by the thread, after the log's last entry.
    pub(super) fn remove_log(&self) {
        lock(&self.inner).logs -= 1;
    }

    /// Whether no log listens any more and nothing waits, so that the thread may end.
    pub(super) fn is_unused(&self) -> bool {
        let inner = lock(&self.inner);
        inner.logs == 0 && inner.waiting.is_empty()
    }

    /// Passes a batch on, if nobody holds the lock.
    ///
    /// # Errors
    /// The batch, to be passed on later.
    pub(super) fn try_push(&self, batch: Batch) -> Result<(), Batch> {
        let inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(batch),
        };
        self.push_locked(inner, batch);
        Ok(())
    }

    /// Passes a log's last batch on.
    pub(super) fn push(&self, batch: Batch) {
        self.push_locked(lock(&self.inner), batch);
    }

    fn push_locked(&self, mut inner: MutexGuard<'_, Inner>, batch: Batch) {
        let may_sleep = inner.waiting.is_empty();
        inner.waiting.push(batch);
        drop(inner);
        // Otherwise the batch that waits already has woken it.
        if may_sleep {
            self.wake();
        }
    }

    /// Takes all that waits, for a round. `None` if nothing does.
    pub(super) fn begin_round(&self) -> Option<Vec<Batch>> {
        let mut inner = lock(&self.inner);
        if inner.waiting.is_empty() {
            return None;
        }
        inner.begun += 1;
        Some(std::mem::take(&mut inner.waiting))
    }

    /// Ends a round.
    pub(super) fn end_round(&self) {
        lock(&self.inner).done += 1;
        self.round_done.notify_all();
    }

    /// Whether more than one log has listened so far.
    pub(super) fn has_several(&self) -> bool {
        lock(&self.inner).has_several
    }

    /// Waits until all that was passed on has been given, at most until `deadline`. Returns whether it has. Does not
    /// wait for a listener that still hangs in a call for which another log has waited in vain: many logs that are
    /// closed one after the other would each wait as long.
    pub(super) fn wait_until_given(&self, deadline: Instant) -> bool {
        let mut inner = lock(&self.inner);
        let round = inner.begun + u64::from(!inner.waiting.is_empty());
        if inner.done < inner.begun && inner.hung_in == Some(inner.begun) {
            return false;
        }
        inner.waiters += 1;
        // It may be pausing.
        self.wake();
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.round_done.wait_timeout_while(inner, left, |inner| inner.done < round);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        inner.waiters -= 1;
        if inner.done < inner.begun && left >= HUNG_AFTER {
            inner.hung_in = Some(inner.begun);
        }
        inner.done >= round
    }

    /// Whether somebody waits until all has been given.
    pub(super) fn is_awaited(&self) -> bool {
        lock(&self.inner).waiters > 0
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Queue {
    /// Records given, missed, and waiting.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        // The thread's first: it has done nothing that the writer had not seen before.
        let (given, left) = (self.done.given.load(Relaxed), self.done.missed.load(Relaxed));
        let missed = self.seen.missed.load(Relaxed) + left;
        (given, missed, self.seen.records.load(Relaxed).saturating_sub(given + missed))
    }
}
