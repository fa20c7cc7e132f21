//! What a log's producers, its handles and its writer share.
//!
//! Everything here is either immutable, atomic, or behind a lock that no append takes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::config::Validated;
use crate::device::DeviceReport;
use crate::flush::FlushQueue;
use crate::gate::Gate;
use crate::registry::Registry;
use crate::stats::{Distributions, State};
use crate::sync::lock;

/// The common ground of one log.
pub(crate) struct Shared {
    pub(crate) settings: Validated,
    pub(crate) clock: Clock,
    pub(crate) gate: Gate,
    pub(crate) registry: Registry,
    pub(crate) flushes: FlushQueue,
    /// Somebody wants the present segment left for the next. The writer clears it.
    pub(crate) rotate: AtomicBool,
    pub(crate) counters: LogCounters,
    pub(crate) distributions: Mutex<Distributions>,
    pub(crate) closing: Closing,
    /// The rung in use; a device may step down while it runs.
    pub(crate) device: Mutex<DeviceReport>,
    pub(crate) on_state_change: Mutex<Option<StateCallback>>,
    /// The writer thread, to be woken for a flush, a rotation or a close.
    pub(crate) writer: OnceLock<Thread>,
}

/// Called with each new state of the log's device, on the writer thread.
pub(crate) type StateCallback = Arc<dyn Fn(State) + Send + Sync>;

impl Shared {
    /// Publishes the device's state, and tells whoever wants to know when it has changed.
    pub(crate) fn set_state(&self, state: State) {
        let before = self.counters.state.swap(state as u8, Ordering::Relaxed);
        if before == state as u8 {
            return;
        }
        // Not under the lock: the callback may set another one.
        let callback = lock(&self.on_state_change).clone();
        if let Some(callback) = callback {
            // A panic of the caller's code must not take the writer down.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(state)));
        }
    }

    /// How the log's life would end now: what was accepted and is neither durable nor counted as lost is unconfirmed.
    pub(crate) fn close_summary(&self, reason: Option<String>) -> CloseSummary {
        let (attempted, dropped) = self.registry.totals();
        let durable = self.counters.durable_records.load(Ordering::Relaxed);
        CloseSummary { unconfirmed: attempted.saturating_sub(dropped + durable), dropped, reason }
    }

    /// Wakes the writer if it sleeps. Never called by an append that does not wait.
    pub(crate) fn wake_writer(&self) {
        if let Some(thread) = self.writer.get() {
            thread.unpark();
        }
    }
}

/// Counters of a whole log. All are monotonic and read without order between them.
#[derive(Default)]
pub(crate) struct LogCounters {
    /// Appends refused because the log was closed, the process forked, an append under way, or no ring to be had.
    pub(crate) refused: AtomicU64,
    /// Records, blocks and bytes that the device has acknowledged, in the contiguous prefix.
    pub(crate) durable_records: AtomicU64,
    pub(crate) durable_blocks: AtomicU64,
    pub(crate) durable_bytes: AtomicU64,
    /// Writes that failed.
    pub(crate) write_errors: AtomicU64,
    /// Segments begun by this run.
    pub(crate) segments: AtomicU64,
    /// [`State`], as its number.
    state: AtomicU8,
}

impl LogCounters {
    /// The device's state.
    pub(crate) fn state(&self) -> State {
        State::from_u8(self.state.load(Ordering::Relaxed))
    }
}

/// How a log's life ended.
#[derive(Clone, Debug)]
pub(crate) struct CloseSummary {
    /// Records accepted but not known durable.
    pub(crate) unconfirmed: u64,
    /// Records dropped during the run.
    pub(crate) dropped: u64,
    /// Why records are unconfirmed, or the clean end is missing.
    pub(crate) reason: Option<String>,
}

/// The close that is asked for, and its result.
#[derive(Default)]
pub(crate) struct Closing {
    inner: Mutex<ClosingState>,
    ended: Condvar,
}

#[derive(Default)]
struct ClosingState {
    deadline: Option<Instant>,
    summary: Option<CloseSummary>,
}

impl Closing {
    /// Asks the writer to end by `deadline`. The first caller's deadline stands, and is returned.
    pub(crate) fn request(&self, deadline: Instant) -> Instant {
        *lock(&self.inner).deadline.get_or_insert(deadline)
    }

    /// The deadline, once a close is asked for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        lock(&self.inner).deadline
    }

    /// Publishes how it ended. The first word stands, and is returned.
    pub(crate) fn finish(&self, summary: CloseSummary) -> CloseSummary {
        let stands = lock(&self.inner).summary.get_or_insert(summary).clone();
        self.ended.notify_all();
        stands
    }

    /// Waits until the writer has ended, or for `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<CloseSummary> {
        let guard = lock(&self.inner);
        let waited = self.ended.wait_timeout_while(guard, timeout, |state| state.summary.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.summary.clone()
    }
}
