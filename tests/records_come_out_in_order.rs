//! All records come out: each thread's in the order in which it logged them, all of them in the order of time, and the
//! runs in one directory one after the other.

mod support;

use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome, Overflow, Producer, Reader, Verdict};

const THREADS: usize = 8;

/// A line of a thread. Lines have many lengths; some are empty.
fn line(thread: usize, number: usize) -> String {
    if number.is_multiple_of(1000) {
        return String::new();
    }
    format!("thread {thread} line {number} {}", "x".repeat((thread * 7 + number * 13) % 300))
}

fn open(config: Config) -> Logger {
    // Blocking loses nothing, so that every line must come out.
    Logger::open(config.overflow(Overflow::Block)).expect("a log can be opened")
}

/// Eight threads log `lines` lines each, by calling `append` with the result of `make`.
fn log_from_threads<P>(lines: usize, make: impl Fn() -> P + Sync, append: impl Fn(&P, &str) -> Outcome + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (make, append) = (&make, &append);
            let spawned = std::thread::Builder::new().name(format!("worker-{thread}")).spawn_scoped(scope, move || {
                let producer = make();
                for number in 0..lines {
                    assert_eq!(append(&producer, &line(thread, number)), Outcome::Written);
                }
            });
            spawned.expect("a thread");
        }
    });
}

/// Reads the log: the lines of each thread must be there, in order, and times must not go back.
fn check(path: &std::path::Path, lines: usize) {
    let mut reader = Reader::open(path).expect("a log");
    let mut next = [0; THREADS];
    let mut last_ns = 0;
    while let Some(record) = reader.next_record().expect("readable") {
        let name = record.producer_name();
        let thread: usize = name.strip_prefix("worker-").expect("its thread's name").parse().expect("a number");
        assert_eq!(record.message(), line(thread, next[thread]).as_bytes(), "{name}");
        assert_eq!(record.sequence(), next[thread] as u64, "{name}");
        assert!(record.timestamp_ns() >= last_ns);
        last_ns = record.timestamp_ns();
        next[thread] += 1;
    }
    assert_eq!(next, [lines; THREADS]);
    assert_eq!(reader.report().late, 0);
    assert_eq!(diolog::verify(path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn records_of_eight_producers_come_out_in_order_over_several_segments() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = open(support::config(&path).segment_bytes(16 << 20));
    let producer = || logger.producer().expect("a ring");
    log_from_threads(130_000, producer, |producer: &Producer, line| producer.log(Level::Info, line));
    logger.close().expect("a clean end");
    assert!(logger.stats().segments > 1);
    check(&path, 130_000);
}

#[test]
fn lone_records_come_out_in_order_beside_a_producer_that_fills_segments() {
    const PARTS: u64 = 12;
    let directory = support::directory();
    let path = directory.path().join("log");
    // The interval never passes: a lone record may wait in its ring until that would harm the order.
    let logger = open(support::config(&path).flush_interval(Duration::from_secs(3600)));
    let (lone, busy) = (logger.producer().expect("a ring"), logger.producer().expect("a ring"));
    let message = vec![b'x'; 32 << 10];
    for _ in 0..PARTS {
        assert_eq!(lone.log(Level::Info, "lone"), Outcome::Written);
        for _ in 0..(Reader::MEMORY_BYTES_MAX / 4 / message.len()) {
            assert_eq!(busy.log(Level::Info, &message), Outcome::Written);
        }
    }
    logger.close().expect("a clean end");
    let mut reader = Reader::open(&path).expect("a log");
    let (mut lone_records, mut last_ns) = (0, 0);
    while let Some(record) = reader.next_record().expect("readable") {
        assert!(record.timestamp_ns() >= last_ns);
        last_ns = record.timestamp_ns();
        lone_records += u64::from(record.message() == b"lone");
    }
    assert_eq!((lone_records, reader.report().late), (PARTS, 0));
}

#[test]
fn records_logged_through_the_logger_come_out_in_order() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = open(support::config(&path).block_bytes(16 << 10));
    log_from_threads(10_000, || logger.clone(), |logger: &Logger, line| logger.log(Level::Info, line));
    logger.close().expect("a clean end");
    check(&path, 10_000);
}

#[test]
fn records_come_out_in_order_while_many_threads_flush() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = open(support::config(&path));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            // Until the log is closed, with no pause.
            scope.spawn(|| while logger.flush().is_ok() {});
        }
        let producer = || logger.producer().expect("a ring");
        log_from_threads(5_000, producer, |producer: &Producer, line| producer.log(Level::Info, line));
        logger.close().expect("a clean end");
    });
    check(&path, 5_000);
}

#[test]
fn runs_in_one_directory_come_out_one_after_the_other() {
    let directory = support::directory();
    let path = directory.path().join("log");
    for run in 0..3 {
        let logger = open(support::config(&path).service(format!("run {run}")));
        let producer = logger.producer_named("only").expect("a ring");
        for number in 0..2_000 {
            producer.log(Level::Info, format!("run {run} line {number}"));
        }
        logger.close().expect("a clean end");
    }
    let read: Vec<_> = Reader::open(&path).expect("a log").map(|record| record.expect("readable")).collect();
    let expected = (0..3).flat_map(|run| (0..2_000).map(move |number| format!("run {run} line {number}")));
    assert!(read.iter().map(|record| record.message()).eq(expected.collect::<Vec<_>>().iter().map(String::as_bytes)));
    assert!(read.is_sorted_by_key(diolog::Record::timestamp_ns));

    let verification = diolog::verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean);
    let services: Vec<_> = verification.report.runs.iter().map(|run| run.service.as_str()).collect();
    assert_eq!(services, ["run 0", "run 1", "run 2"]);
}
