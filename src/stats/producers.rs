//! The figures of a log's producers: a row for each live one, one row for all that have ended, and their sums.
//!
//! A row is read from two sides. The producer counts its attempts and its losses beside its ring; the writer counts
//! what it takes from there, in [`Drained`]. The registry reads both, the writer's first and the attempts last, and in
//! each row attempts are at least what was written and what was lost.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use crate::format::DroppedBy;

/// One live producer's figures.
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
    /// Bytes of its ring, without the reserve.
    pub ring_bytes: u64,
    /// The most bytes that the writer has seen in its ring, including the reserve: of records that were not durable
    /// yet. In a ring that overwrites: of records that it had not taken yet.
    pub high_water_bytes: u64,
    /// Attempts that passed the level. At least `written + dropped + overwritten`: the rest are in the ring.
    pub attempted: u64,
    /// Records that the writer has taken from the ring into a block.
    pub written: u64,
    /// Those of them that were cut.
    pub truncated: u64,
    /// Bytes of those records as they came: messages, and values of structured records with 4 bytes for the callsite.
    pub payload_bytes: u64,
    /// Attempts given up because there was no room for the record.
    pub dropped: u64,
    /// The same by cause.
    pub dropped_by: DroppedBy,
    /// Records that newer ones replaced.
    pub overwritten: u64,
    /// How often the producer has waited for room, or has begun to.
    pub waits: u64,
    /// How long it has waited in all, in nanoseconds. A wait under way is not in it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub waited_ns: u64,
}

impl ProducerStats {
    /// Its counts.
    pub(crate) fn counts(&self) -> ProducerCounts {
        let ProducerStats { attempted, written, truncated, payload_bytes, dropped, dropped_by, .. } = *self;
        let ProducerStats { overwritten, waits, waited_ns, .. } = *self;
        ProducerCounts {
            attempted,
            written,
            truncated,
            payload_bytes,
            dropped,
            dropped_by,
            overwritten,
            waits,
            waited_ns,
        }
    }
}

/// Sums over producers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProducerCounts {
    /// Attempts that passed the level.
    pub attempted: u64,
    /// Records that the writer has taken from rings into blocks.
    pub written: u64,
    /// Those of them that were cut.
    pub truncated: u64,
    /// Bytes of those records, as [`ProducerStats::payload_bytes`].
    pub payload_bytes: u64,
    /// Attempts given up because there was no room for the record.
    pub dropped: u64,
    /// The same by cause.
    pub dropped_by: DroppedBy,
    /// Records that newer ones replaced.
    pub overwritten: u64,
    /// How often producers have waited for room.
    pub waits: u64,
    /// How long they have waited in all, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub waited_ns: u64,
}

impl ProducerCounts {
    /// Adds those of other producers.
    pub(crate) fn add(&mut self, other: &ProducerCounts) {
        let ProducerCounts { attempted, written, truncated, payload_bytes, .. } = *other;
        self.attempted += attempted;
        self.written += written;
        self.truncated += truncated;
        self.payload_bytes += payload_bytes;
        self.dropped += other.dropped;
        self.dropped_by += other.dropped_by;
        self.overwritten += other.overwritten;
        self.waits += other.waits;
        self.waited_ns += other.waited_ns;
    }
}

/// The memory of all rings of a log: their windows, and the chunks of their reserves that were entered and not given
/// back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RingMemoryStats {
    /// Where rings are: "private memory", or the ring file and the kind of file system that it is on, with a warning if
    /// that may make an append wait for a disk, or if somebody has deleted the file.
    pub place: String,
    /// How many callsites have no definition in the ring file, for lack of room. After a crash of the process, their
    /// records are not recovered.
    pub definitions_lost: u64,
    /// Bytes taken. Two windows of 1 MiB share a huge page of 2 MiB, so a single one may occupy twice its size.
    pub used_bytes: u64,
    /// Bytes that this log may take: [`rings_bytes_max`](crate::Config::rings_bytes_max), or less in a small control
    /// group. With an engine, the limit of [`engine`](Self::engine) may be reached before.
    pub limit_bytes: u64,
    /// The memory limit of the process's control group when the log was opened, if [`limit_bytes`](Self::limit_bytes)
    /// was lowered because of it: to a quarter of it, but at least one ring.
    pub group_bytes: Option<u64>,
    /// Why rings have no reserve, if they should have one: the system refused address space for it.
    pub without_reserve: Option<String>,
    /// The same of all logs of the engine that serves this one; `None` for a log without an engine.
    pub engine: Option<EngineRingMemoryStats>,
}

/// The memory of the rings of all logs of an engine together. It is the same in each log's figures: it is not to be
/// added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EngineRingMemoryStats {
    /// Bytes taken. For a moment, these include bytes that are being refused. The common ring of a log's threads that
    /// get none of their own may exceed the limit.
    pub used_bytes: u64,
    /// Bytes that all logs may take: [`rings_bytes_max`](crate::EngineConfig::rings_bytes_max), or less in a small
    /// control group.
    pub limit_bytes: u64,
    /// The memory limit of the process's control group when the engine was started, if
    /// [`limit_bytes`](Self::limit_bytes) was lowered because of it, to a quarter of it.
    pub group_bytes: Option<u64>,
}

/// All producers of a log at one moment. The registry makes it.
pub(crate) struct Producers {
    /// By id.
    pub(crate) live: Vec<ProducerStats>,
    /// How many have ended.
    pub(crate) ended_producers: u64,
    /// The sums over those that have ended.
    pub(crate) ended: ProducerCounts,
    /// The sums over all, including those that have ended.
    pub(crate) totals: ProducerCounts,
    /// The memory of all rings, including idle ones.
    pub(crate) ring_memory: RingMemoryStats,
}

/// The writer's counts of the records that it has taken from one ring. Only the writer changes them, and they only
/// grow.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    written: AtomicU64,
    truncated: AtomicU64,
    payload_bytes: AtomicU64,
    high_water_bytes: AtomicU64,
}

/// [`Drained`], as it was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DrainedCounts {
    pub(crate) written: u64,
    pub(crate) truncated: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) high_water_bytes: u64,
}

impl Drained {
    /// Publishes the writer's account of the ring so far.
    pub(crate) fn publish(&self, written: u64, truncated: u64, payload_bytes: u64) {
        self.payload_bytes.store(payload_bytes, Relaxed);
        self.written.store(written, Release);
        // Release: _records cut_. A thread that sees a cut record sees it among those written.
        self.truncated.store(truncated, Release);
    }

    /// Publishes the most bytes that the ring has held.
    pub(crate) fn publish_high_water(&self, bytes: u64) {
        self.high_water_bytes.store(bytes, Relaxed);
    }

    /// The account.
    pub(crate) fn read(&self) -> DrainedCounts {
        // Acquire: _records cut_.
        let truncated = self.truncated.load(Acquire);
        DrainedCounts {
            truncated,
            written: self.written.load(Acquire),
            payload_bytes: self.payload_bytes.load(Relaxed),
            high_water_bytes: self.high_water_bytes.load(Relaxed),
        }
    }
}
