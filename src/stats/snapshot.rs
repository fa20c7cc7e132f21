//! [`Stats`]: a log's figures at one moment.

use super::{
    Distribution, ListenerStats, ProducerCounts, ProducerStats, RecorderStats, RefusedBy, RingMemoryStats,
    WriteErrorsBy,
};
use crate::device::DeviceReport;
use crate::format::{DroppedBy, State};

/// A log's figures at one moment.
///
/// They are read one after the other while the log goes on, in an order that keeps them consistent:
///
/// - in each row of producers, and in the sums, attempts are at least the records written and lost;
/// - sums are those of the rows;
/// - durable records are at most the written ones;
/// - no count is lower than in an earlier call. [`accepted`](Stats::accepted) is a difference of two, and may be lower.
///
/// Records that the level filters out are in none of them.
///
/// A call takes some microseconds, and a little more for each live producer. It stores to no cache line of a producer,
/// and neither an append nor a write waits for it. For a moment it holds a lock that is taken when producers come and
/// go.
///
/// The next append has to fetch back a cache line that a call has read. So calls read it 100 times a second, after 64
/// in a row. If there are more, [`attempted`](Stats::attempted) of these may lack attempts of the last 10 ms that the
/// writer has not taken yet.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Whether the device takes writes.
    pub state: State,
    /// How blocks are written, and why no faster way is used.
    pub device: DeviceReport,
    /// Attempts that passed the level, of all producers, including ended ones. Each took a sequence number.
    pub attempted: u64,
    /// Records that the writer has taken from rings into blocks, durable or not.
    pub written: u64,
    /// Of these: records that were longer than allowed, and were cut.
    pub truncated: u64,
    /// Bytes of those records as they came: messages, and values of structured records with 4 bytes for the callsite.
    pub payload_bytes: u64,
    /// Attempts given up because there was no room for the record.
    pub dropped: u64,
    /// The same by cause.
    pub dropped_by: DroppedBy,
    /// Records that newer ones replaced before the writer read them.
    pub overwritten: u64,
    /// Appends refused without a sequence number.
    pub refused: u64,
    /// The same by cause.
    pub refused_by: RefusedBy,
    /// Records that their callsite's `limit` has hidden: no attempts, and no losses.
    pub hidden: u64,
    /// How often producers have waited for room, by [`Overflow::Block`](crate::Overflow::Block) or
    /// [`BlockFor`](crate::Overflow::BlockFor).
    pub waits: u64,
    /// How long they have waited in all, in nanoseconds. Waits under way are not in it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub waited_ns: u64,
    /// Records that are durable, and all records before them too.
    pub durable_records: u64,
    /// Blocks that are durable, and all blocks before them too. Segment headers do not count, as in `verify`'s count of
    /// good blocks.
    pub durable_blocks: u64,
    /// Bytes of those blocks and of the segment headers between them, including padding.
    pub durable_bytes: u64,
    /// Of these: padding. Each block takes a multiple of 4096 bytes.
    pub padding_bytes: u64,
    /// Bytes of all writes that have succeeded. Besides the durable bytes, these are blocks that wait for one before
    /// them, and blocks that were written again after an error.
    pub device_bytes: u64,
    /// Flushes that callers asked for, and that have succeeded.
    pub flushes: u64,
    /// Flushes that were answered with an error.
    pub flush_errors: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// The same by kind.
    pub write_errors_by: WriteErrorsBy,
    /// Segments that were deleted, renamed or replaced while they were written.
    pub lost_segments: u64,
    /// Failed tries to prepare a segment, and tries that made a smaller one than asked for. The writer continues in the
    /// present segment, and the log has a note.
    pub preparation_errors: u64,
    /// Segments begun by this run.
    pub segments: u64,
    /// Of these, without the first: segments whose file was ready when it was needed.
    pub segments_in_time: u64,
    /// Of these, without the first: segments whose file was not ready. The writer continued in the segment before,
    /// beyond its size, or blocks waited.
    pub segments_late: u64,
    /// The memory of the rings.
    pub ring_memory: RingMemoryStats,
    /// How long the device takes to complete a block, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::distribution::nanoseconds"))]
    pub write_latency_ns: Distribution,
    /// How long a caller's flush takes until everything is durable, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::distribution::nanoseconds"))]
    pub flush_latency_ns: Distribution,
    /// Sizes of written blocks, in bytes.
    pub block_bytes: Distribution,
    /// The [listeners](crate::Config::listener), in the order in which they were set; not those whose level is `Off`.
    pub listeners: Vec<ListenerStats>,
    /// The [flight recorder](crate::Config::flight_recorder); `None` without one. Its records are in no other figure.
    pub recorder: Option<RecorderStats>,
    /// Producers that have ended.
    pub producers_ended: u64,
    /// The sums over those.
    pub ended: ProducerCounts,
    /// The live producers, by id.
    pub producers: Vec<ProducerStats>,
}

impl Stats {
    /// Records that entered a ring: attempts minus those dropped.
    ///
    /// Exact when nobody logs. While producers drop records, an attempt may be counted before its drop, so that this is
    /// lower in a later call. [`written`](Stats::written) never is.
    pub fn accepted(&self) -> u64 {
        self.attempted.saturating_sub(self.dropped)
    }

    /// Changes of the segment: segments begun after the run's first.
    pub fn rotations(&self) -> u64 {
        self.segments.saturating_sub(1)
    }
}
