//! The rings of the flight recorder count in the memory of all rings, and give way: those that ended threads have left
//! take no more than a quarter of it, and none of them keeps a producer from its ring.

mod support;

use std::path::Path;
use std::thread;

use diolog::{Config, Level, Logger, Outcome, Reader, RecorderStats, verify};

const RING_BYTES: usize = 64 << 10;

fn config(path: &Path, rings: usize) -> Config {
    let config = support::config(path).ring_bytes(RING_BYTES).reserve_bytes(0);
    config.rings_bytes_max(rings * RING_BYTES).flight_recorder(RING_BYTES)
}

fn recorder(logger: &Logger) -> RecorderStats {
    logger.stats().recorder.expect("a recorder")
}

/// Runs a thread that records one message, and waits until its ring for the log is free again.
fn record_in_a_thread(logger: &Logger, message: &str) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let producer = logger.producer().expect("a ring");
            assert_eq!(producer.log(Level::Debug, message), Outcome::Recorded);
        });
    });
    while !logger.stats().producers.is_empty() {
        logger.flush().expect("written");
    }
}

fn messages(path: &Path) -> Vec<String> {
    let records = Reader::open(path).expect("readable");
    records.map(|record| String::from_utf8_lossy(record.expect("a record").message()).into_owned()).collect()
}

#[test]
fn ended_threads_leave_at_most_a_quarter_of_the_memory_the_latest_ones() {
    let directory = support::directory();
    let logger = Logger::open(config(&directory.path().join("log"), 16)).expect("a log");
    for number in 0..100 {
        record_in_a_thread(&logger, &format!("{number}"));
    }
    let stats = recorder(&logger);
    assert_eq!((stats.rings, stats.held, stats.recorded, stats.overwritten), (4, 4, 100, 96));
    let snapshot = logger.snapshot("ended").expect("written");
    assert_eq!(messages(&snapshot), ["96", "97", "98", "99"]);
    assert_eq!(verify(&snapshot).expect("readable").verdict.exit_code(), 0);
    assert_eq!(recorder(&logger).rings, 0);
    logger.close().expect("a clean end");
}

#[test]
fn a_producer_gets_the_memory_that_an_ended_thread_has_left_to_the_recorder() {
    let directory = support::directory();
    let logger = Logger::open(config(&directory.path().join("log"), 4)).expect("a log");
    record_in_a_thread(&logger, "given up");
    assert_eq!(recorder(&logger).rings, 1);
    // All of the memory: the spare ring of the thread's producer, the recorder's, and two more.
    let producers: Vec<_> = (0..4).map(|_| logger.producer().expect("a ring")).collect();
    assert_eq!((recorder(&logger).rings, recorder(&logger).held), (0, 0));
    assert!(logger.producer().is_err(), "there is no more");
    // Nor is there any for the recorder: its records are let go, and counted.
    for producer in &producers {
        assert_eq!(producer.log(Level::Debug, "let go"), Outcome::Filtered);
        assert_eq!(producer.log(Level::Info, "to the log"), Outcome::Written);
    }
    assert_eq!((recorder(&logger).unrecorded, recorder(&logger).recorded), (4, 1));
    drop(producers);
    logger.close().expect("a clean end");
}

#[test]
fn threads_without_a_ring_record_through_one_that_they_have_in_common() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path, 2)).expect("a log");
    let producers: Vec<_> = (0..2).map(|_| logger.producer().expect("a ring")).collect();
    let log = |name: &str| {
        assert_eq!(logger.log(Level::Debug, name), Outcome::Recorded);
        assert_eq!(diolog::debug!(logger, "of {name}", name), Outcome::Recorded);
        assert_eq!(logger.log(Level::Info, "to the log"), Outcome::Written);
    };
    log("one");
    thread::scope(|scope| drop(scope.spawn(|| log("two"))));
    let stats = recorder(&logger);
    assert_eq!((stats.rings, stats.held, stats.recorded, stats.unrecorded), (1, 4, 4, 0));
    // Beyond what the two producers have taken: this ring and the common one of the log.
    assert_eq!(logger.stats().ring_memory.used_bytes, 4 * RING_BYTES as u64);
    let snapshot = logger.snapshot("common").expect("written");
    let of_common = Reader::open(&snapshot).expect("readable").map(|record| record.expect("a record"));
    assert!(of_common.into_iter().all(|record| record.producer_name() == "(common)"));
    assert_eq!(messages(&snapshot), ["one", "of one", "two", "of two"]);
    assert_eq!(verify(&snapshot).expect("readable").verdict.exit_code(), 0);
    drop(producers);
    logger.close().expect("a clean end");
    assert_eq!(messages(&path), ["to the log"; 2]);
}
