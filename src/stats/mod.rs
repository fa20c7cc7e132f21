//! A log's figures at one moment, as [`Logger::stats`](crate::Logger::stats) returns them.
//!
//! This file holds the public types. The figures that the writer publishes while it runs are in `published`; the
//! producers' counters lie beside their rings, and the registry sums them up.

mod close_report;
mod losses;
mod published;
mod words;

use crate::device::DeviceReport;
use crate::format::DroppedBy;

pub use close_report::CloseReport;
pub use losses::{Losses, ProducerLosses};
pub(crate) use published::{Published, Publisher};

/// Whether the log's device takes writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[repr(u8)]
pub enum State {
    /// Writes succeed.
    #[default]
    Ok = 0,
    /// The disk is full: the writer holds the blocks and tries again.
    Full = 1,
    /// Writes fail for another reason: the writer holds the blocks and writes them to a new segment.
    Failed = 2,
}

impl State {
    const fn from_u8(state: u8) -> State {
        match state {
            0 => State::Ok,
            1 => State::Full,
            _ => State::Failed,
        }
    }
}

/// A log's counters at one moment. They are read one after the other while the log goes on, so a sum over several of
/// them may be off by the events in between.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Whether the device takes writes.
    pub state: State,
    /// How blocks are written, and why no faster way is used.
    pub device: DeviceReport,
    /// Attempts that passed the level, of all producers, ended ones included. Each took a sequence number.
    pub attempted: u64,
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
    /// Records that are durable, and all records before them too.
    pub durable_records: u64,
    /// Blocks that are durable, and all blocks before them too, without segment headers: those that `verify` counts as
    /// good.
    pub durable_blocks: u64,
    /// Bytes of those blocks and of the segment headers between them, padding included.
    pub durable_bytes: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Tries to prepare a segment that failed, or made a smaller one than asked for. The writer goes on in the present
    /// segment, and the log has a note.
    pub preparation_errors: u64,
    /// Segments begun by this run.
    pub segments: u64,
    /// The memory of the rings.
    pub ring_memory: RingMemory,
    /// From handing a block to the device until the device has completed it, in nanoseconds.
    pub write_latency_ns: Distribution,
    /// Sizes of written blocks, in bytes.
    pub block_bytes: Distribution,
    /// Producers that have ended.
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

/// Appends that were refused without a sequence number, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RefusedBy {
    /// [`Outcome::Closed`](crate::Outcome::Closed).
    pub closed: u64,
    /// [`Outcome::Forked`](crate::Outcome::Forked): counted in the child that was forked, and there alone.
    pub forked: u64,
    /// [`Outcome::Reentrant`](crate::Outcome::Reentrant).
    pub reentrant: u64,
    /// [`Outcome::NoRing`](crate::Outcome::NoRing).
    pub no_ring: u64,
}

impl RefusedBy {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.closed + self.forked + self.reentrant + self.no_ring
    }

    /// Adds those of another log.
    pub(crate) fn add(&mut self, other: RefusedBy) {
        let RefusedBy { closed, forked, reentrant, no_ring } = other;
        self.closed += closed;
        self.forked += forked;
        self.reentrant += reentrant;
        self.no_ring += no_ring;
    }

    /// Those that were counted after `earlier` ones of the same log.
    pub(crate) fn since(&self, earlier: &RefusedBy) -> RefusedBy {
        RefusedBy {
            closed: self.closed.saturating_sub(earlier.closed),
            forked: self.forked.saturating_sub(earlier.forked),
            reentrant: self.reentrant.saturating_sub(earlier.reentrant),
            no_ring: self.no_ring.saturating_sub(earlier.no_ring),
        }
    }

    /// The causes that occurred, in a word or two, each with its count.
    pub(crate) fn causes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let RefusedBy { closed, forked, reentrant, no_ring } = *self;
        let causes = [("closed", closed), ("forked", forked), ("re-entrant", reentrant), ("no ring", no_ring)];
        causes.into_iter().filter(|(_, count)| *count > 0)
    }
}

/// One live producer's counters.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
    /// Attempts given up because there was no room for the record.
    pub dropped: u64,
    /// The same by cause.
    pub dropped_by: DroppedBy,
    /// Records that newer ones replaced.
    pub overwritten: u64,
}

/// The memory of all rings of a log: their windows, and the chunks of their reserves that were entered and not given
/// back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RingMemory {
    /// Bytes taken. Two windows of 1 MiB share a huge page of 2 MiB, so a single one may occupy twice its size.
    pub used_bytes: u64,
    /// Bytes that may be taken: [`rings_bytes_max`](crate::Config::rings_bytes_max), or less in a small control group.
    pub limit_bytes: u64,
    /// The memory limit of the process's control group when the log was opened, if
    /// [`limit_bytes`](Self::limit_bytes) follows from it: a quarter of it, but at least one ring.
    pub group_bytes: Option<u64>,
    /// Why rings have no reserve, if they were to have one: the system refused address space for it.
    pub without_reserve: Option<String>,
}

/// The counts of all producers of a log. The registry makes it.
pub(crate) struct ProducerCounts {
    /// By id.
    pub(crate) live: Vec<ProducerStats>,
    /// Over all producers, those that have ended included.
    pub(crate) totals: ProducerTotals,
    /// The memory of all rings, idle ones included.
    pub(crate) ring_memory: RingMemory,
}

/// Sums over some producers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProducerTotals {
    /// How many of them have ended.
    pub(crate) ended: u64,
    pub(crate) attempted: u64,
    pub(crate) dropped: u64,
    pub(crate) dropped_by: DroppedBy,
    pub(crate) overwritten: u64,
}

/// A distribution in a few numbers. The count and the largest value are exact. A quantile is a value that occurred, or
/// less than 1 % below one, and never above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Distribution {
    /// The number of values.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The 99.9th percentile.
    pub p999: u64,
    /// The largest value.
    pub max: u64,
}
