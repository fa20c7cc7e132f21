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
    // Enough for the allocator to have made all its arenas, also where threads meet seldom.
    let (before, ring_bytes_before) = run_threads(20_000);
    let (after, ring_bytes_after) = run_threads(80_000);
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

/// The resident bytes of a program, run in a child each with its log calls and without them, one second after its last
/// flush. `None` in the child.
fn resident_with_and_without_log_calls(test: &str, program: impl Fn(&Logger, bool)) -> Option<(u64, u64)> {
    if let Some(role) = support::role() {
        let directory = support::child_directory();
        let logger = Logger::open(support::config(directory.join("log"))).expect("a log");
        program(&logger, role == "logs");
        logger.close().expect("a clean end");
        return None;
    }
    let run = |role| {
        let directory = support::directory();
        support::child::expect_success(test, role, directory.path());
        let bytes = std::fs::read_to_string(directory.path().join("resident")).expect("the child wrote it");
        bytes.parse::<u64>().expect("a number")
    };
    Some((run("logs"), run("is silent")))
}

/// Waits a second after a flush, and notes the bytes that are resident then, for the parent.
fn note_resident(logger: &Logger) {
    logger.flush().expect("durable");
    // Not to synchronise: what the log keeps after a second is the question.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let file = support::child_directory().join("resident");
    std::fs::write(file, os::resident_bytes().to_string()).expect("writable");
}

#[test]
fn live_threads_that_logged_once_take_little_more_than_their_windows() {
    const THREADS: usize = 500;
    let program = |logger: &Logger, logs: bool| {
        let all = std::sync::Barrier::new(THREADS + 1);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    if logs {
                        assert_eq!(logger.log(Level::Info, "once"), Outcome::Written);
                    }
                    all.wait();
                    all.wait();
                });
            }
            all.wait();
            note_resident(logger);
            all.wait();
        });
    };
    let test = "live_threads_that_logged_once_take_little_more_than_their_windows";
    let Some((with, without)) = resident_with_and_without_log_calls(test, program) else { return };
    assert!(with <= without + (40 << 20), "{with} bytes resident, {without} without the log calls");
}

// Off Linux a ring comes from the allocator, and is kept for the next thread.
#[test]
#[cfg(not(diolog_portable))]
fn threads_that_have_ended_leave_little_behind() {
    const AT_ONCE: usize = 200;
    let program = |logger: &Logger, logs: bool| {
        for _ in 0..5_000 / AT_ONCE {
            std::thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    scope.spawn(|| {
                        // Bursts, some of which go beyond the window.
                        for _ in 0..if logs { 1_000 } else { 0 } {
                            assert_eq!(logger.log(Level::Info, [b'x'; 64]), Outcome::Written);
                        }
                    });
                }
            });
            // Rings go back once their records are durable.
            logger.flush().expect("durable");
        }
        note_resident(logger);
    };
    let test = "threads_that_have_ended_leave_little_behind";
    let Some((with, without)) = resident_with_and_without_log_calls(test, program) else { return };
    assert!(with <= without + (16 << 20), "{with} bytes resident, {without} without the log calls");
}
