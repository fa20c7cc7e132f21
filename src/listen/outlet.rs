//! The state that the writers of logs share with the thread of one listener: buffers of entries, and how far the thread
//! has come.
//!
//! The lock is held only to exchange a buffer. A writer does not wait for the lock, except once at a log's end: if the
//! thread has it, the writer keeps its buffer until its next turn. So a thread that the system suspends at the wrong
//! moment does not delay a writer.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use super::listener::Listener;
use crate::clock::Clock;
use crate::level::Level;
use crate::sync::{lock, try_lock};

/// If a listener does not return for this long at a log's end, logs that end after that treat it as hung.
const HUNG_AFTER: Duration = Duration::from_secs(1);

/// One log's queue to one listener.
pub(super) struct Queue {
    pub(super) level: Level,
    pub(super) clock: Clock,
    pub(super) log: PathBuf,
    pub(super) service: String,
    pub(super) outlet: Arc<Outlet>,
    // Each on its own cache line: the writer must not wait for a line that the thread writes for each record.
    pub(super) seen: CachePadded<Seen>,
    pub(super) done: CachePadded<Done>,
    /// The log has begun, so the listener is told of its end.
    pub(super) has_begun: AtomicBool,
}

/// Counts that the writer publishes once a turn.
#[derive(Default)]
pub(super) struct Seen {
    /// Records of the level.
    pub(super) records: AtomicU64,
    /// Records that did not fit.
    pub(super) missed: AtomicU64,
}

/// Counts of the listener's thread.
#[derive(Default)]
pub(super) struct Done {
    /// Bytes of entries that it has taken.
    pub(super) bytes: AtomicU64,
    /// Records that the listener got, and [`ABANDONED`]. In one word, so that no record is counted as given after all
    /// that is left was counted as missed.
    given: AtomicU64,
    /// Records whose call panicked.
    missed: AtomicU64,
}

/// The bit of [`Done::given`] that says that the deadline of `close` has passed: the listener does not get what is
/// left.
const ABANDONED: u64 = 1 << 63;

/// Entries of one log.
pub(super) struct Batch {
    pub(super) queue: Arc<Queue>,
    pub(super) bytes: Vec<u8>,
}

/// A listener, and the entries on their way to it.
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
    /// Rounds that the thread has begun. Each takes all waiting batches.
    begun: u64,
    /// Rounds that the thread has ended.
    done: u64,
    /// How many threads wait for the end of a round.
    waiters: usize,
    /// The round in which the listener was found to hang.
    hung_in: Option<u64>,
    /// Logs that have begun, including those that have ended.
    begun_logs: u64,
}

impl Outlet {
    /// For a listener of one log. The caller starts its thread.
    pub(super) fn new(listener: Arc<dyn Listener>) -> Outlet {
        let inner = Mutex::new(Inner { logs: 1, ..Inner::default() });
        Outlet { listener, inner, round_done: Condvar::new(), thread: OnceLock::new() }
    }

    pub(super) fn set_thread(&self, thread: Thread) {
        let _ = self.thread.set(thread);
    }

    /// Adds a log.
    pub(super) fn add_log(&self) {
        lock(&self.inner).logs += 1;
    }

    /// A log that was added has begun. Another one may have been refused by the system meanwhile.
    fn begin_log(&self) {
        lock(&self.inner).begun_logs += 1;
    }

    /// Removes a log. The thread calls this after the log's last entry.
    pub(super) fn remove_log(&self) {
        lock(&self.inner).logs -= 1;
    }

    /// Whether all logs have ended and nothing waits, so that the thread may end.
    pub(super) fn is_unused(&self) -> bool {
        let inner = lock(&self.inner);
        inner.logs == 0 && inner.waiting.is_empty()
    }

    /// Passes a batch on, if the lock is free.
    ///
    /// # Errors
    /// The batch, to be passed on later.
    pub(super) fn try_push(&self, batch: Batch) -> Result<(), Batch> {
        let Some(inner) = try_lock(&self.inner) else { return Err(batch) };
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
        // Otherwise the batch that waits already has woken the thread.
        if may_sleep {
            self.wake();
        }
    }

    /// Begins a round: takes all waiting batches. `None` if there are none.
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

    /// Whether more than one log has had this listener so far.
    pub(super) fn has_several(&self) -> bool {
        lock(&self.inner).begun_logs > 1
    }

    /// Waits until the listener has got everything that was passed on, at most until `deadline`. Returns whether it
    /// has. Does not wait if another log has already waited in vain for the call in which the listener still is.
    /// Otherwise, of many logs that are closed one after the other, each would wait that long.
    pub(super) fn wait_until_given(&self, deadline: Instant) -> bool {
        let mut inner = lock(&self.inner);
        let round = inner.begun + u64::from(!inner.waiting.is_empty());
        if inner.done < inner.begun && inner.hung_in == Some(inner.begun) {
            return false;
        }
        inner.waiters += 1;
        // The thread may be pausing after a panic.
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

    /// Whether a log waits for the listener.
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
    /// The log has begun.
    pub(super) fn begin_log(&self) {
        self.has_begun.store(true, Relaxed);
        self.outlet.begin_log();
    }

    /// The listener gets no more records of the log.
    pub(super) fn abandon(&self) {
        self.done.given.fetch_or(ABANDONED, Relaxed);
    }

    /// Whether the listener gets no more records of the log.
    pub(super) fn is_abandoned(&self) -> bool {
        self.done.given.load(Relaxed) & ABANDONED != 0
    }

    /// Counts a record that was given, or missed. Once the queue is abandoned, all that is left is missed anyway.
    pub(super) fn count(&self, is_given: bool) {
        let count = if is_given { &self.done.given } else { &self.done.missed };
        let more = |count: u64| (count & ABANDONED == 0).then_some(count + 1);
        let _ = count.fetch_update(Relaxed, Relaxed, more);
    }

    /// Records given, missed, and waiting. None waits once the queue is abandoned.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        // Load the thread's counts first: it has handled nothing that the writer has not counted before.
        let (word, left) = (self.done.given.load(Relaxed), self.done.missed.load(Relaxed));
        let given = word & !ABANDONED;
        let missed = self.seen.missed.load(Relaxed) + left;
        let waiting = self.seen.records.load(Relaxed).saturating_sub(given + missed);
        if word == given { (given, missed, waiting) } else { (given, missed + waiting, 0) }
    }
}
