//! What a log has done so far: counters, distributions, a row for each producer.

use hdrhistogram::Histogram;

use crate::device::DeviceReport;
use crate::format::BLOCK_BYTES_MAX;

/// Whether the log's device takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum State {
    /// Writes succeed.
    Ok = 0,
    /// The disk is full: blocks are held and tried again.
    Full = 1,
    /// Writes fail otherwise: blocks are held, and go to a fresh segment.
    Failed = 2,
}

impl State {
    pub(crate) const fn from_u8(state: u8) -> State {
        match state {
            0 => State::Ok,
            1 => State::Full,
            _ => State::Failed,
        }
    }
}

/// A log's counters at one moment. They are read one after the other, without stopping anybody.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Whether the device takes writes.
    pub state: State,
    /// How blocks are written, and why not better.
    pub device: DeviceReport,
    /// Attempts that passed the level, of all producers that ever were: each took a sequence number.
    pub attempted: u64,
    /// Attempts given up because the ring was full.
    pub dropped: u64,
    /// Records that newer ones replaced before the writer read them.
    pub overwritten: u64,
    /// Appends refused without a sequence number: closed, forked, re-entrant, no ring.
    pub refused: u64,
    /// Records acknowledged by the device, and all before them.
    pub durable_records: u64,
    /// Blocks acknowledged by the device, and all before them.
    pub durable_blocks: u64,
    /// Bytes of those blocks, headers and padding included.
    pub durable_bytes: u64,
    /// Writes that the device failed.
    pub write_errors: u64,
    /// Segments begun by this run.
    pub segments: u64,
    /// The sizes of all rings together, in bytes. (Two rings of 1 MiB share a huge page, so that one of them may hold as much
    /// again that nobody uses.)
    pub ring_bytes: usize,
    /// From handing a block to the device until it came back, in nanoseconds.
    pub write_latency_ns: Distribution,
    /// Sizes of written blocks, in bytes.
    pub block_bytes: Distribution,
    /// Producers that ended.
    pub producers_ended: u64,
    /// The live producers, by id.
    pub producers: Vec<ProducerStats>,
}

impl Stats {
    /// Records that entered a ring: attempts less those dropped.
    pub fn accepted(&self) -> u64 {
        self.attempted.saturating_sub(self.dropped)
    }
}

/// One live producer's counters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProducerStats {
    /// Its id, as in the files.
    pub id: u32,
    /// The kernel's id of the thread that made it.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Attempts that passed the level.
    pub attempted: u64,
    /// Attempts given up because the ring was full.
    pub dropped: u64,
    /// Records that newer ones replaced.
    pub overwritten: u64,
}

/// A distribution in a few numbers, each within 1 % (two significant digits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Distribution {
    /// How many values.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
    /// 999 of 1000 are at most this.
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

/// The longest write that is told from longer ones, in nanoseconds.
const HOUR_NS: u64 = 3_600_000_000_000;

/// The writer's histograms, some 30 KiB each.
pub(crate) struct Distributions {
    pub(crate) write_latency_ns: Histogram<u64>,
    pub(crate) block_bytes: Histogram<u64>,
}

impl Distributions {
    pub(crate) fn new() -> Distributions {
        let histogram = |value_max| {
            Histogram::new_with_bounds(1, value_max, 2).expect("constant bounds and two digits are within the crate's")
        };
        Distributions { write_latency_ns: histogram(HOUR_NS), block_bytes: histogram(BLOCK_BYTES_MAX as u64) }
    }
}

impl From<&Histogram<u64>> for Distribution {
    fn from(histogram: &Histogram<u64>) -> Distribution {
        Distribution {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}
