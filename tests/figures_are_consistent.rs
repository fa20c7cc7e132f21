//! Every snapshot of a log's figures is consistent, whatever the load: in each row of producers, attempts are at least
//! what was written and what was lost; sums are those of the rows; what is durable was written; and nothing goes
//! backwards.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diolog::{Level, Logger, Outcome, Overflow, ProducerCounts, ProducerStats, Stats};

const COUNTS: usize = 12;

fn counts_of(row: &ProducerStats) -> [u64; COUNTS] {
    let by = row.dropped_by;
    let dropped = [by.ring_full, by.ring_memory, by.timed_out, by.device_failed];
    assert_eq!(row.dropped, dropped.iter().sum::<u64>(), "{row:#?}");
    assert!(row.attempted >= row.written + row.dropped + row.overwritten, "{row:#?}");
    assert!(row.truncated <= row.written, "{row:#?}");
    let [full, memory, timed_out, failed] = dropped;
    let counts = [row.attempted, row.written, row.truncated, row.payload_bytes, full, memory, timed_out, failed];
    let rest = [row.overwritten, row.waits, row.waited_ns, row.high_water_bytes];
    [counts.as_slice(), &rest].concat().try_into().expect("all counts")
}

fn sums_of(sums: &ProducerCounts) -> [u64; COUNTS - 1] {
    let by = sums.dropped_by;
    let counts = [sums.attempted, sums.written, sums.truncated, sums.payload_bytes];
    let losses = [by.ring_full, by.ring_memory, by.timed_out, by.device_failed, sums.overwritten];
    [counts.as_slice(), &losses, &[sums.waits, sums.waited_ns]].concat().try_into().expect("all counts")
}

fn totals_of(stats: &Stats) -> [u64; COUNTS - 1] {
    let by = stats.dropped_by;
    let counts = [stats.attempted, stats.written, stats.truncated, stats.payload_bytes];
    let losses = [by.ring_full, by.ring_memory, by.timed_out, by.device_failed, stats.overwritten];
    [counts.as_slice(), &losses, &[stats.waits, stats.waited_ns]].concat().try_into().expect("all counts")
}

/// The other figures, none of which may go backwards.
fn growing(stats: &Stats) -> Vec<u64> {
    let durable = [stats.durable_records, stats.durable_blocks, stats.durable_bytes, stats.padding_bytes];
    let others = [stats.device_bytes, stats.flushes, stats.segments, stats.producers_ended, stats.refused];
    let late = [stats.segments_in_time, stats.segments_late, stats.hidden, stats.write_errors];
    let distributions = [&stats.write_latency_ns, &stats.flush_latency_ns, &stats.block_bytes];
    let values = distributions.iter().flat_map(|all| [all.count, all.sum, all.max]);
    durable.into_iter().chain(others).chain(late).chain(values).collect()
}

/// Checks one snapshot, and that nothing is lower than in the one before.
#[derive(Default)]
struct Watch {
    rows: HashMap<u32, [u64; COUNTS]>,
    ended: [u64; COUNTS - 1],
    totals: [u64; COUNTS - 1],
    others: Vec<u64>,
}

impl Watch {
    fn see(&mut self, stats: &Stats) {
        let not_lower = |now: &[u64], before: &[u64]| now.iter().zip(before).all(|(now, before)| now >= before);
        let mut sums = sums_of(&stats.ended);
        for row in &stats.producers {
            let now = counts_of(row);
            let before = self.rows.insert(row.id, now).unwrap_or_default();
            assert!(not_lower(&now, &before), "producer {} went from {before:?} to {now:?}", row.id);
            sums.iter_mut().zip(now).for_each(|(sum, count)| *sum += count);
        }
        let (ended, totals, others) = (sums_of(&stats.ended), totals_of(stats), growing(stats));
        assert_eq!(sums, totals, "sums are those of the rows");
        assert!(not_lower(&ended, &self.ended), "ended: from {:?} to {ended:?}", self.ended);
        assert!(not_lower(&totals, &self.totals), "totals: from {:?} to {totals:?}", self.totals);
        assert!(not_lower(&others, &self.others), "others: from {:?} to {others:?}", self.others);
        (self.ended, self.totals, self.others) = (ended, totals, others);

        assert!(stats.segments_in_time + stats.segments_late <= stats.rotations(), "{stats:#?}");
        assert!(stats.attempted >= stats.written + stats.dropped + stats.overwritten);
        assert!(stats.durable_records <= stats.written, "{stats:#?}");
        assert!(stats.padding_bytes <= stats.durable_bytes && stats.durable_bytes <= stats.device_bytes, "{stats:#?}");
        for all in [&stats.write_latency_ns, &stats.flush_latency_ns, &stats.block_bytes] {
            assert!(all.p50 <= all.p90 && all.p90 <= all.p95 && all.p95 <= all.p99, "{all:?}");
            assert!(all.p99 <= all.p999 && all.p999 <= all.max, "{all:?}");
            assert_eq!(all.buckets().map(|(_, count)| count).sum::<u64>(), all.count);
        }
    }
}

/// Threads that log with all their might, some through producers that end again and again, beside two that read.
fn hammer(overflow: Overflow) {
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = support::config(&path).ring_bytes(8192).reserve_bytes(64 << 10).overflow(overflow);
    let logger = Logger::open(config.message_bytes_max(100)).expect("a log");
    let done = AtomicBool::new(false);
    let (mut lost, mut cut) = (0, 0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut watch = Watch::default();
                while !done.load(Ordering::Relaxed) {
                    watch.see(&logger.stats());
                }
            });
        }
        let long_lived = scope.spawn(|| {
            let producer = logger.producer().expect("a ring");
            (0..30_000_u64).map(|at| producer.log(Level::Info, vec![b'x'; at as usize % 120])).collect::<Vec<_>>()
        });
        let short_lived = scope.spawn(|| {
            let mut outcomes = Vec::new();
            for round in 0..60 {
                let producer = logger.producer().expect("a ring");
                outcomes.extend((0..100).map(|_| producer.log(Level::Info, b"a short one")));
                if round % 10 == 0 {
                    logger.flush().expect("durable");
                }
            }
            outcomes
        });
        let outcomes = [long_lived, short_lived].map(|thread| thread.join().expect("no panic")).concat();
        lost = outcomes.iter().filter(|&&outcome| outcome == Outcome::Dropped).count() as u64;
        cut = outcomes.iter().filter(|&&outcome| outcome == Outcome::Truncated).count() as u64;
        done.store(true, Ordering::Relaxed);
    });
    logger.close().expect("a clean end");
    let stats = logger.stats();
    Watch::default().see(&stats);
    assert_eq!((stats.attempted, stats.dropped, stats.refused), (36_000, lost, 0));
    assert_eq!(stats.written + stats.dropped + stats.overwritten, stats.attempted);
    assert_eq!((stats.durable_records, stats.flushes, stats.flush_latency_ns.count), (stats.written, 6, 6));
    if overflow == Overflow::OverwriteOldest {
        assert!(stats.truncated <= cut);
    } else {
        assert_eq!((stats.truncated, stats.overwritten), (cut, 0));
    }
    assert!(stats.waits == 0 || matches!(overflow, Overflow::Block | Overflow::BlockFor(_)));
    assert_eq!(stats.waits == 0, stats.waited_ns == 0);
}

#[test]
fn every_snapshot_is_consistent_while_the_newest_are_dropped() {
    hammer(Overflow::DropNewest);
}

#[test]
fn every_snapshot_is_consistent_while_producers_wait() {
    hammer(Overflow::Block);
}

#[test]
fn every_snapshot_is_consistent_while_producers_wait_for_a_while() {
    hammer(Overflow::BlockFor(Duration::from_micros(20)));
}

#[test]
fn every_snapshot_is_consistent_while_the_oldest_are_overwritten() {
    hammer(Overflow::OverwriteOldest);
}
