//! The figures that a log's writer publishes.
//!
//! [`Published::new`] makes two ends. Only the writer has the [`Publisher`], which only writes; everybody else shares
//! the [`Published`], which only reads. So the writer cannot base a decision on a figure that it has published.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::distribution::Recorded;
use super::{Losses, Producers, RefusedBy, State, Stats, WriteErrorKind, WriteErrorsBy};
use crate::device::DeviceReport;
use crate::format::BLOCK_BYTES_MAX;
use crate::sync::lock;

/// The longest latency that a distribution distinguishes from longer ones, in nanoseconds.
const HOUR_NS: u64 = 3_600_000_000_000;

/// The readers' end. The counters only grow, and are read without order between them.
pub(crate) struct Published {
    /// A [`State`], as its number.
    state: AtomicU8,
    durable_records: AtomicU64,
    durable_blocks: AtomicU64,
    durable_bytes: AtomicU64,
    padding_bytes: AtomicU64,
    device_bytes: AtomicU64,
    flushes: AtomicU64,
    flush_errors: AtomicU64,
    /// By [`WriteErrorKind`].
    write_errors: [AtomicU64; WriteErrorKind::COUNT],
    lost_segments: AtomicU64,
    preparation_errors: AtomicU64,
    segments: AtomicU64,
    segments_in_time: AtomicU64,
    segments_late: AtomicU64,
    write_latency_ns: Recorded,
    flush_latency_ns: Recorded,
    block_bytes: Recorded,
    device: Mutex<DeviceReport>,
    on_state_change: Mutex<Option<StateCallback>>,
    on_loss: Mutex<Option<LossCallback>>,
}

/// The writer's end. There is one for each log.
pub(crate) struct Publisher(Arc<Published>);

/// Called on the writer thread with each new state.
type StateCallback = Arc<dyn Fn(State) + Send + Sync>;

/// Called on the writer thread with the losses since its last call.
type LossCallback = Arc<dyn Fn(&Losses) + Send + Sync>;

impl Published {
    /// Both ends, for a log that is to be written by `device`.
    pub(crate) fn new(device: DeviceReport) -> (Arc<Published>, Publisher) {
        let count = || AtomicU64::new(0);
        let published = Arc::new(Published {
            state: AtomicU8::new(State::Ok as u8),
            durable_records: count(),
            durable_blocks: count(),
            durable_bytes: count(),
            padding_bytes: count(),
            device_bytes: count(),
            flushes: count(),
            flush_errors: count(),
            write_errors: Default::default(),
            lost_segments: count(),
            preparation_errors: count(),
            segments: count(),
            segments_in_time: count(),
            segments_late: count(),
            write_latency_ns: Recorded::new(HOUR_NS),
            flush_latency_ns: Recorded::new(HOUR_NS),
            block_bytes: Recorded::new(BLOCK_BYTES_MAX as u64),
            device: Mutex::new(device),
            on_state_change: Mutex::new(None),
            on_loss: Mutex::new(None),
        });
        (Arc::clone(&published), Publisher(published))
    }

    /// The device's state.
    pub(crate) fn state(&self) -> State {
        State::from_u8(self.state.load(Relaxed))
    }

    /// Records that are durable, and all records before them too.
    pub(crate) fn durable_records(&self) -> u64 {
        // Acquire: _records durable_.
        self.durable_records.load(Acquire)
    }

    /// Sets the callback for each new state, in place of an earlier one.
    pub(crate) fn on_state_change(&self, callback: impl Fn(State) + Send + Sync + 'static) {
        *lock(&self.on_state_change) = Some(Arc::new(callback));
    }

    /// Sets the callback for losses, in place of an earlier one.
    pub(crate) fn on_loss(&self, callback: impl Fn(&Losses) + Send + Sync + 'static) {
        *lock(&self.on_loss) = Some(Arc::new(callback));
    }

    /// Whether there is a callback for losses.
    pub(crate) fn reports_losses(&self) -> bool {
        lock(&self.on_loss).is_some()
    }

    /// Calls the callback for losses. The writer alone does.
    pub(crate) fn report_losses(&self, losses: &Losses) {
        // As for a state.
        let callback = lock(&self.on_loss).clone();
        if let Some(callback) = callback {
            let _ = catch_unwind(AssertUnwindSafe(|| callback(losses)));
        }
    }
}

impl Stats {
    /// The figures of a log: those of the writer and of the `producers`, and how many appends were refused.
    pub(crate) fn collect(
        published: &Published,
        producers: impl FnOnce() -> Producers,
        refused_by: RefusedBy,
        hidden: u64,
    ) -> Stats {
        // A figure that follows from another is read before it: the parts before the wholes, the durable records before
        // the written ones. Within each line Rust evaluates in order.
        let durable_records = published.durable_records();
        let [padding_bytes, durable_bytes] = [&published.padding_bytes, &published.durable_bytes].map(get);
        let device_bytes = get(&published.device_bytes);
        let write_errors_by = WriteErrorsBy::from_counts(published.write_errors.each_ref().map(get));
        let [segments_in_time, segments_late] = [&published.segments_in_time, &published.segments_late].map(get);
        let segments = get(&published.segments);
        let Producers { live, ended_producers, ended, totals, ring_memory } = producers();
        Stats {
            state: published.state(),
            device: lock(&published.device).clone(),
            attempted: totals.attempted,
            written: totals.written,
            truncated: totals.truncated,
            payload_bytes: totals.payload_bytes,
            dropped: totals.dropped,
            dropped_by: totals.dropped_by,
            overwritten: totals.overwritten,
            refused: refused_by.total(),
            refused_by,
            hidden,
            waits: totals.waits,
            waited_ns: totals.waited_ns,
            durable_records,
            durable_blocks: get(&published.durable_blocks),
            durable_bytes,
            padding_bytes,
            device_bytes,
            flushes: get(&published.flushes),
            flush_errors: get(&published.flush_errors),
            write_errors: write_errors_by.total(),
            write_errors_by,
            lost_segments: get(&published.lost_segments),
            preparation_errors: get(&published.preparation_errors),
            segments,
            segments_in_time,
            segments_late,
            ring_memory,
            write_latency_ns: published.write_latency_ns.read(),
            flush_latency_ns: published.flush_latency_ns.read(),
            block_bytes: published.block_bytes.read(),
            listeners: Vec::new(),
            recorder: None,
            producers_ended: ended_producers,
            ended,
            producers: live,
        }
    }
}

/// Reads a count, and with it all that was counted before.
fn get(count: &AtomicU64) -> u64 {
    // Acquire: _records durable_, and what `add` stores.
    count.load(Acquire)
}

/// Adds to a count, which only the writer changes.
fn add(count: &AtomicU64, more: u64) {
    // Release: a thread that sees this count sees those that were added to before.
    count.store(count.load(Relaxed) + more, Release);
}

impl Publisher {
    /// Notes that a block of `bytes` was written, which took `elapsed`.
    pub(crate) fn note_written(&self, bytes: usize, elapsed: Duration) {
        add(&self.0.device_bytes, bytes as u64);
        self.0.write_latency_ns.record(nanoseconds(elapsed));
        self.0.block_bytes.record(bytes as u64);
    }

    /// Notes that a write failed.
    pub(crate) fn note_write_error(&self, error: &io::Error) {
        add(&self.0.write_errors[WriteErrorKind::of(error) as usize], 1);
    }

    /// Notes that the present segment's file is not at its name any more.
    pub(crate) fn note_unreachable_segment(&self) {
        add(&self.0.lost_segments, 1);
    }

    /// Notes that a caller's flush was answered `elapsed` after it was asked for.
    pub(crate) fn note_flush(&self, succeeded: bool, elapsed: Duration) {
        if succeeded {
            add(&self.0.flushes, 1);
            self.0.flush_latency_ns.record(nanoseconds(elapsed));
        } else {
            add(&self.0.flush_errors, 1);
        }
    }

    /// Notes that `count` segments could not be prepared, or not completely.
    pub(crate) fn note_preparation_errors(&self, count: u64) {
        if count > 0 {
            add(&self.0.preparation_errors, count);
        }
    }

    /// Notes that the next block, of `records` and `bytes` with `padding`, is durable. `blocks` is 0 for a segment's
    /// header.
    pub(crate) fn note_durable(&self, records: u64, blocks: u64, bytes: usize, padding: usize) {
        add(&self.0.durable_bytes, bytes as u64);
        add(&self.0.padding_bytes, padding as u64);
        add(&self.0.durable_blocks, blocks);
        // Release: _records durable_. A thread that sees that a record is durable sees that it was written.
        add(&self.0.durable_records, records);
    }

    /// Notes that the run's first segment was begun.
    pub(crate) fn note_first_segment(&self) {
        add(&self.0.segments, 1);
    }

    /// Notes that a segment was begun whose file was ready when it was needed.
    pub(crate) fn note_segment_in_time(&self) {
        add(&self.0.segments, 1);
        add(&self.0.segments_in_time, 1);
    }

    /// Notes that a segment was begun whose file was not ready when it was needed.
    pub(crate) fn note_segment_late(&self) {
        add(&self.0.segments, 1);
        add(&self.0.segments_late, 1);
    }

    /// Publishes the device in use.
    pub(crate) fn set_device(&self, report: &DeviceReport) {
        lock(&self.0.device).clone_from(report);
    }

    /// Publishes the device's state. Calls the callback if it has changed.
    pub(crate) fn set_state(&self, state: State) {
        if self.0.state.swap(state as u8, Relaxed) == state as u8 {
            return;
        }
        // The lock is released first: the callback may set another one.
        let callback = lock(&self.0.on_state_change).clone();
        if let Some(callback) = callback {
            // A panic of the caller's code must not end the writer.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(state)));
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // A writer that panics, which is a bug in diolog, writes nothing more.
        if thread::panicking() {
            self.set_state(State::Failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::device::DeviceKind;

    fn ends() -> (Arc<Published>, Publisher) {
        Published::new(DeviceReport { kind: DeviceKind::Pwrite, reasons: Vec::new() })
    }

    #[test]
    fn a_callback_hears_of_changes_only_and_may_panic() {
        let (published, publisher) = ends();
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        published.on_state_change(move |state| {
            counted.fetch_add(1, Relaxed);
            assert_eq!(state, State::Ok, "a panic that must stay here");
        });
        for state in [State::Ok, State::Full, State::Full, State::Ok] {
            publisher.set_state(state);
            assert_eq!(published.state(), state);
        }
        assert_eq!(calls.load(Relaxed), 2);
    }

    #[test]
    fn a_writer_that_panics_has_failed() {
        let (published, publisher) = ends();
        let writer = thread::spawn(move || {
            let _publisher = publisher;
            panic!("a bug");
        });
        writer.join().expect_err("a panic");
        assert_eq!(published.state(), State::Failed);
    }
}
