//! The figures that a log's writer publishes.
//!
//! [`Published::new`] makes two ends: the writer alone owns the [`Publisher`], which only writes; everybody else shares
//! the [`Published`], which only reads. So the writer cannot base a decision on a figure that it has published.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{Distribution, Losses, ProducerCounts, RefusedBy, State, Stats};
use crate::device::DeviceReport;
use crate::format::BLOCK_BYTES_MAX;
use crate::sync::lock;

/// The longest write that the histogram distinguishes from longer ones, in nanoseconds.
const HOUR_NS: u64 = 3_600_000_000_000;

/// The readers' end. The counters only grow, and are read without order between them.
pub(crate) struct Published {
    /// A [`State`], as its number.
    state: AtomicU8,
    durable_records: AtomicU64,
    durable_blocks: AtomicU64,
    durable_bytes: AtomicU64,
    write_errors: AtomicU64,
    preparation_errors: AtomicU64,
    segments: AtomicU64,
    distributions: Mutex<Distributions>,
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

/// Some 30 KiB each.
#[derive(Clone)]
struct Distributions {
    write_latency_ns: Recorded,
    block_bytes: Recorded,
}

/// Values in buckets, and the largest one as it was.
#[derive(Clone)]
struct Recorded {
    histogram: Histogram<u64>,
    max: u64,
}

impl Recorded {
    /// Nothing yet. Values above `value_max` count as that.
    fn new(value_max: u64) -> Recorded {
        let histogram = Histogram::new_with_bounds(1, value_max, 2);
        Recorded { histogram: histogram.expect("constant bounds and two digits are within the crate's"), max: 0 }
    }

    fn record(&mut self, value: u64) {
        self.histogram.saturating_record(value);
        self.max = self.max.max(value);
    }
}

impl Published {
    /// Both ends, for a log that is to be written by `device`.
    pub(crate) fn new(device: DeviceReport) -> (Arc<Published>, Publisher) {
        let (write_latency_ns, block_bytes) = (Recorded::new(HOUR_NS), Recorded::new(BLOCK_BYTES_MAX as u64));
        let distributions = Distributions { write_latency_ns, block_bytes };
        let published = Arc::new(Published {
            state: AtomicU8::new(State::Ok as u8),
            durable_records: AtomicU64::new(0),
            durable_blocks: AtomicU64::new(0),
            durable_bytes: AtomicU64::new(0),
            write_errors: AtomicU64::new(0),
            preparation_errors: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            distributions: Mutex::new(distributions),
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
        self.durable_records.load(Relaxed)
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
    /// The figures of a log: those of the writer and of the producers, and how many appends were refused.
    pub(crate) fn collect(
        published: &Published,
        producers: ProducerCounts,
        refused_by: RefusedBy,
        hidden: u64,
    ) -> Stats {
        // The writer takes this lock for each block, so the quantiles are computed from a copy.
        let distributions = lock(&published.distributions).clone();
        let ProducerCounts { live, totals, ring_memory } = producers;
        Stats {
            state: published.state(),
            device: lock(&published.device).clone(),
            attempted: totals.attempted,
            dropped: totals.dropped,
            dropped_by: totals.dropped_by,
            overwritten: totals.overwritten,
            refused: refused_by.total(),
            refused_by,
            hidden,
            durable_records: published.durable_records(),
            durable_blocks: published.durable_blocks.load(Relaxed),
            durable_bytes: published.durable_bytes.load(Relaxed),
            write_errors: published.write_errors.load(Relaxed),
            preparation_errors: published.preparation_errors.load(Relaxed),
            segments: published.segments.load(Relaxed),
            ring_memory,
            write_latency_ns: Distribution::from(&distributions.write_latency_ns),
            block_bytes: Distribution::from(&distributions.block_bytes),
            producers_ended: totals.ended,
            producers: live,
        }
    }
}

impl From<&Recorded> for Distribution {
    fn from(recorded: &Recorded) -> Distribution {
        let Recorded { histogram, max } = recorded;
        // The crate gives the upper edge of the value's bucket, which may be larger than every value. A block of 4096
        // bytes is at the lower edge of its bucket.
        let quantile = |quantile| histogram.lowest_equivalent(histogram.value_at_quantile(quantile));
        Distribution {
            count: histogram.len(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: *max,
        }
    }
}

impl Publisher {
    /// A block of `bytes` was written, which took `elapsed`.
    pub(crate) fn note_written(&self, bytes: usize, elapsed: Duration) {
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let mut distributions = lock(&self.0.distributions);
        distributions.write_latency_ns.record(elapsed_ns);
        distributions.block_bytes.record(bytes as u64);
    }

    /// A write failed.
    pub(crate) fn note_write_error(&self) {
        self.0.write_errors.fetch_add(1, Relaxed);
    }

    /// So many segments could not be prepared as they should be.
    pub(crate) fn note_preparation_errors(&self, count: u64) {
        if count > 0 {
            self.0.preparation_errors.fetch_add(count, Relaxed);
        }
    }

    /// The next block, of `records` and `bytes`, is durable. A segment's header is none of the `blocks`.
    pub(crate) fn note_durable(&self, records: u64, blocks: u64, bytes: usize) {
        self.0.durable_records.fetch_add(records, Relaxed);
        self.0.durable_blocks.fetch_add(blocks, Relaxed);
        self.0.durable_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// A segment was begun.
    pub(crate) fn note_segment(&self) {
        self.0.segments.fetch_add(1, Relaxed);
    }

    /// The device is this one from now on.
    pub(crate) fn set_device(&self, report: &DeviceReport) {
        lock(&self.0.device).clone_from(report);
    }

    /// The device's state is `state`. Calls the callback if that is a change.
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

impl Drop for Publisher {
    fn drop(&mut self) {
        // A writer that panics writes nothing more. That is a bug of ours.
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
    fn quantiles_are_at_most_one_percent_below_a_value_and_the_largest_is_exact() {
        let mut recorded = Recorded::new(HOUR_NS);
        let values = [4096, 8192, 123_457, 1_000_003, 999_999_999_937];
        for value in values {
            recorded.record(value);
            let Distribution { p50, p99, p999, max, .. } = Distribution::from(&recorded);
            assert_eq!(max, value);
            assert!(p999 <= value && value - p999 < value / 100, "{p999} for {value}");
            assert!(p50 <= p99 && p99 <= p999);
        }
        assert_eq!(Distribution::from(&recorded).count, 5);
        let mut blocks = Recorded::new(BLOCK_BYTES_MAX as u64);
        (0..10).for_each(|_| blocks.record(4096));
        assert_eq!(
            Distribution::from(&blocks),
            Distribution { count: 10, p50: 4096, p99: 4096, p999: 4096, max: 4096 }
        );
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
