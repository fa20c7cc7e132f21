//! The memory of a log grows neither with the number of records nor with the number of threads that come and go.
#![cfg(target_os = "linux")]

mod support;

use diolog::{Level, Logger, Outcome, Overflow};
use support::os;

/// Bytes that may be resident at the end beyond those at the beginning.
const MARGIN_BYTES: u64 = 1 << 20;

#[track_caller]
fn assert_flat(before: u64, after: u64) {
    assert!(after <= before + MARGIN_BYTES, "{before} bytes resident, then {after}");
}

#[test]
fn memory_is_flat_over_50_million_records() {
    // A process of its own: its memory is measured.
    if support::child::ran_in_child("memory_is_flat_over_50_million_records") {
        return;
    }
    let path = support::child_directory().join("log");
    // Files of a gigabyte would not fit everywhere, least of all on a file system in memory.
    let config = support::config(&path).segment_bytes(8 << 20).retain_bytes(32 << 20);
    let logger = Logger::open(config.overflow(Overflow::Block)).expect("a log");
    let producer = logger.producer().expect("a ring");
    let log = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            assert_eq!(producer.log(Level::Info, number.to_le_bytes()), Outcome::Written);
        }
        logger.flush().expect("durable");
        os::resident_bytes()
    };
    let before = log(0..1_000_000);
    let after = log(1_000_000..50_000_000);
    assert_flat(before, after);
    logger.close().expect("a clean end");
    assert_eq!(logger.stats().durable_records, 50_000_000);
    assert_flat(before, os::resident_bytes());
}

#[test]
fn memory_is_flat_over_100_000_threads() {
    // A process of its own: its memory is measured.
    if support::child::ran_in_child("memory_is_flat_over_100_000_threads") {
        return;
    }
    const AT_ONCE: u64 = 50;
    let path = support::child_directory().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let mut ended = 0;
    let mut run_threads = |threads: u64| {
        for _ in 0..threads / AT_ONCE {
            std::thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    scope.spawn(|| assert_eq!(logger.log(Level::Info, "once in a life"), Outcome::Written));
                }
            });
            // Their rings are reused once their records are durable.
            ended += AT_ONCE;
            while logger.stats().producers_ended < ended {
                logger.flush().expect("durable");
            }
        }
        (os::resident_bytes(), logger.stats().ring_memory.used_bytes)
    };
    let (before, ring_bytes_before) = run_threads(5_000);
    let (after, ring_bytes_after) = run_threads(95_000);
    assert_flat(before, after);
    assert!(ring_bytes_before <= AT_ONCE * (64 << 10));
    assert_eq!(ring_bytes_after, ring_bytes_before, "rings are reused");
    let stats = logger.stats();
    assert_eq!((stats.attempted, stats.refused, stats.dropped), (100_000, 0, 0));
    assert!(stats.producers.is_empty());
    logger.close().expect("a clean end");
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!(verification.verdict, diolog::Verdict::Clean);
    assert_eq!(verification.report.records, 100_000);
}
