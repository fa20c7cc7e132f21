//! The log's figures in its own blocks, for readers of the files. They are written at most once a second and in the
//! last block, and only in a block that is written anyway. A log in which nothing is logged writes none before its end.

use std::collections::BTreeMap;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{I64, U32, U64};

use super::control::ControlRecords;
use super::sources::Sources;
use crate::block::Block;
use crate::format::{BlockFlags, Kind, LogFigures, ProducerFigures};
use crate::shared::Shared;
use crate::stats::{Distribution, Stats};
use crate::writer::schedule::Every;

/// How often figures are written, in nanoseconds.
const FIGURES_NS: u64 = 1_000_000_000;

/// The most producers with figures at one time: those whose rings are fullest.
const PRODUCERS_MAX: usize = 32;

/// The producers' figures take at most one part in this many of the room in the block.
const PRODUCERS_PART: usize = 8;

/// When the next figures are due, and what the last ones said.
pub(super) struct FigureRows {
    every: Every,
    /// Whether a block had no room for figures that were due. The next block begins with them.
    are_owed: bool,
    last_ns: u64,
    write_latency_ns: Distribution,
    flush_latency_ns: Distribution,
}

impl FigureRows {
    /// For a log that begins at `now_ns`. The first figures are due a second later.
    pub(super) fn new(now_ns: u64) -> FigureRows {
        FigureRows {
            every: Every::after(FIGURES_NS, now_ns),
            are_owed: false,
            last_ns: now_ns,
            write_latency_ns: Distribution::default(),
            flush_latency_ns: Distribution::default(),
        }
    }

    /// Whether figures are to be added to a block that begins, because the one before had no room for them. It is the
    /// only other try: the block's records matter more.
    pub(super) fn take_owed(&mut self) -> bool {
        std::mem::take(&mut self.are_owed)
    }

    /// Whether figures are due.
    pub(super) fn take_due(&mut self, now_ns: u64) -> bool {
        self.every.take_due(now_ns)
    }

    /// Notes that a block had no room for figures that were due.
    pub(super) fn owe(&mut self) {
        self.are_owed = true;
    }

    /// Adds the figures of the log and of some producers. Returns whether the log's had room.
    pub(super) fn append(
        &mut self,
        block: &mut Block,
        control: &mut ControlRecords,
        shared: &Shared,
        sources: &Sources,
        now_ns: u64,
    ) -> bool {
        let stats = shared.stats();
        let figures = self.figures_of(&stats, shared.clock.unix_ns(), now_ns);
        let producers_bytes = block.free_bytes() / PRODUCERS_PART;
        if !control.append(block, Kind::Figures, now_ns, figures.as_bytes()) {
            return false;
        }
        block.set_flag(BlockFlags::FIGURES);
        let mut payload = Vec::new();
        let mut added_bytes = 0;
        for row in fullest(&stats, sources) {
            payload.clear();
            row.encode(&mut payload);
            added_bytes += payload.len();
            if added_bytes > producers_bytes || !control.append(block, Kind::ProducerFigures, now_ns, &payload) {
                break;
            }
        }
        (self.last_ns, self.write_latency_ns, self.flush_latency_ns) =
            (now_ns, stats.write_latency_ns, stats.flush_latency_ns);
        true
    }

    fn figures_of(&self, stats: &Stats, unix_ns: i64, now_ns: u64) -> LogFigures {
        let writes = stats.write_latency_ns.since(&self.write_latency_ns);
        let flushes = stats.flush_latency_ns.since(&self.flush_latency_ns);
        LogFigures {
            unix_ns: I64::new(unix_ns),
            interval_ns: U64::new(now_ns.saturating_sub(self.last_ns)),
            state: stats.state as u8,
            reserved: [0; 3],
            producers: U32::new(u32::try_from(stats.producers.len()).unwrap_or(u32::MAX)),
            producers_ended: U64::new(stats.producers_ended),
            attempted: U64::new(stats.attempted),
            written: U64::new(stats.written),
            truncated: U64::new(stats.truncated),
            payload_bytes: U64::new(stats.payload_bytes),
            dropped_ring_full: U64::new(stats.dropped_by.ring_full),
            dropped_ring_memory: U64::new(stats.dropped_by.ring_memory),
            dropped_timed_out: U64::new(stats.dropped_by.timed_out),
            dropped_device_failed: U64::new(stats.dropped_by.device_failed),
            overwritten: U64::new(stats.overwritten),
            refused: U64::new(stats.refused),
            hidden: U64::new(stats.hidden),
            waits: U64::new(stats.waits),
            waited_ns: U64::new(stats.waited_ns),
            durable_records: U64::new(stats.durable_records),
            durable_blocks: U64::new(stats.durable_blocks),
            durable_bytes: U64::new(stats.durable_bytes),
            padding_bytes: U64::new(stats.padding_bytes),
            device_bytes: U64::new(stats.device_bytes),
            flushes: U64::new(stats.flushes),
            flush_errors: U64::new(stats.flush_errors),
            write_errors: U64::new(stats.write_errors),
            preparation_errors: U64::new(stats.preparation_errors),
            segments: U64::new(stats.segments),
            segments_late: U64::new(stats.segments_late),
            rings_bytes: U64::new(stats.ring_memory.used_bytes),
            rings_bytes_max: U64::new(stats.ring_memory.limit_bytes),
            writes: U64::new(writes.count),
            write_p50_ns: U64::new(writes.p50),
            write_p99_ns: U64::new(writes.p99),
            write_max_ns: U64::new(writes.max),
            interval_flushes: U64::new(flushes.count),
            flush_p50_ns: U64::new(flushes.p50),
            flush_p99_ns: U64::new(flushes.p99),
            flush_max_ns: U64::new(flushes.max),
        }
    }
}

/// The rows of the producers whose rings are fullest, the fullest first.
fn fullest(stats: &Stats, sources: &Sources) -> Vec<ProducerFigures> {
    let held: BTreeMap<_, _> = sources.iter().map(|(_, source)| (source.id, source.consumer.held_bytes())).collect();
    let mut rows: Vec<_> = stats
        .producers
        .iter()
        .map(|row| (held.get(&row.id).copied().unwrap_or(0), row))
        .map(|(held_bytes, row)| (held_bytes as f64 / row.ring_bytes.max(1) as f64, held_bytes, row))
        .collect();
    rows.sort_by(|(one, _, first), (other, _, second)| other.total_cmp(one).then(first.id.cmp(&second.id)));
    rows.truncate(PRODUCERS_MAX);
    let figures = |(_, held_bytes, row): (f64, u64, &crate::stats::ProducerStats)| ProducerFigures {
        id: row.id,
        name: row.name.clone(),
        ring_bytes: row.ring_bytes,
        held_bytes,
        high_water_bytes: row.high_water_bytes,
        attempted: row.attempted,
        written: row.written,
        dropped: row.dropped,
        overwritten: row.overwritten,
        waited_ns: row.waited_ns,
    };
    rows.into_iter().map(figures).collect()
}
