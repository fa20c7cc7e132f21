//! `close` refuses later appends, writes all accepted records, and counts those that it could not write. Every call
//! returns the same.
#![cfg(feature = "unstable")]

mod support;

use std::time::Duration;

use diolog::{Error, Level, Logger, Outcome, Overflow, Reader, Verdict};
use support::device::Control;

/// How long a test waits, at least, for a device that does not answer.
const SHORT: Duration = Duration::from_millis(50);

fn incomplete(error: &Error) -> (u64, u64, &str) {
    let Error::CloseIncomplete { unconfirmed, dropped, reason } = error else { panic!("{error}") };
    (*unconfirmed, *dropped, reason)
}

#[test]
fn close_writes_all_records_and_returns_the_same_to_every_caller() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).flush_interval(Duration::from_secs(3600))).expect("a log");
    for number in 0..100 {
        logger.log(Level::Info, format!("{number}"));
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| logger.close().expect("a clean end"));
        }
    });
    logger.close().expect("still closed");
    assert_eq!(logger.stats().durable_records, 100);
    assert_eq!(Reader::open(&path).expect("a log").count(), 100);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn after_close_appends_flushes_and_producers_are_refused_and_counted() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(logger.log(Level::Info, "one"), Outcome::Written);
    logger.close().expect("a clean end");
    assert_eq!(producer.log(Level::Error, "late"), Outcome::Closed);
    assert_eq!(logger.log(Level::Error, "late"), Outcome::Closed);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(logger.log(Level::Error, "late, from a new thread"), Outcome::Closed));
    });
    assert_eq!(logger.stats().refused, 3);
    assert_eq!(logger.stats().attempted, 1);
    assert!(matches!(logger.flush(), Err(Error::Closed)));
    assert!(matches!(logger.flush_within(SHORT), Err(Error::Closed)));
    assert!(matches!(logger.producer(), Err(Error::Closed)));
    // A new level does not open the gate again.
    logger.set_level(Level::Trace);
    assert!(!logger.is_enabled(Level::Error));
    assert_eq!(producer.log(Level::Error, "late"), Outcome::Closed);
    assert_eq!(Reader::open(&path).expect("a log").count(), 1);
}

#[test]
fn dropping_the_last_handle_closes_the_log_even_if_producers_remain() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).flush_interval(Duration::from_secs(3600))).expect("a log");
    let clone = logger.clone();
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Info, "one"), Outcome::Written);
    drop(logger);
    assert_eq!(producer.log(Level::Info, "two: a handle is left"), Outcome::Written);
    drop(clone);
    assert_eq!(producer.log(Level::Info, "three"), Outcome::Closed);
    assert_eq!(Reader::open(&path).expect("a log").count(), 2);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn the_directory_is_free_as_soon_as_close_returns() {
    let directory = support::directory();
    let path = directory.path().join("log");
    for run in 1..=20 {
        let logger = Logger::open(support::config(&path)).expect("nobody has it");
        logger.log(Level::Info, "one");
        logger.close().expect("a clean end");
        // The handle still exists, but no longer holds the directory's lock.
        let next = Logger::open(support::config(&path)).expect("nobody has it");
        drop((logger, next));
        assert_eq!(diolog::verify(&path).expect("a log").report.runs.len(), 2 * run);
    }
}

#[test]
fn close_ends_at_its_deadline_under_a_stalled_device_and_counts_unconfirmed_records() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let config = support::config(&path).ring_bytes(4096).close_deadline(SHORT);
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    for _ in 0..5 {
        producer.log(Level::Info, "durable");
    }
    logger.flush().expect("durable");
    control.hold();
    let mut accepted = 0;
    while producer.log(Level::Info, "not durable") == Outcome::Written {
        accepted += 1;
    }
    let error = logger.close().expect_err("the device is stalled");
    let (unconfirmed, dropped, reason) = incomplete(&error);
    assert_eq!((unconfirmed, dropped), (accepted, logger.stats().dropped), "{reason}");
    assert!(reason.contains("deadline"), "{reason}");
    assert!(error.to_string().contains(&format!("{accepted} records")), "{error}");
    // A second close returns the same, even if the device works by now.
    control.release();
    assert_eq!(incomplete(&logger.close().expect_err("as before")), (unconfirmed, dropped, reason));
    assert_eq!(producer.log(Level::Info, "late"), Outcome::Closed);
    drop((producer, logger));

    // Durable records are in the files, and the run is not taken for a complete one.
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Unconfirmed, "{:#?}", verification.report.findings);
    assert!(verification.report.records >= 5);
    Logger::open(support::config(&path)).expect("the directory is free").close().expect("a clean end");
}

#[test]
fn a_blocked_producer_returns_when_a_stalled_log_closes() {
    let directory = support::directory();
    let control = Control::default();
    let config = support::config(directory.path().join("log")).ring_bytes(4096).overflow(Overflow::Block);
    let logger = control.hooks().open(config.close_deadline(SHORT)).expect("a log");
    control.hold();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| {
            let producer = logger.producer().expect("a ring");
            let mut accepted = 0;
            loop {
                match producer.log(Level::Info, [b'x'; 100]) {
                    Outcome::Written => accepted += 1,
                    Outcome::Closed => return (accepted, producer.next_sequence()),
                    other => panic!("{other:?}"),
                }
            }
        });
        // The ring is full; the next append waits.
        while logger.stats().attempted < 4096 / (24 + 104) {
            std::thread::yield_now();
        }
        let error = logger.close().expect_err("the device is stalled");
        let (accepted, attempted) = blocked.join().expect("no panic");
        assert_eq!(accepted, attempted, "the one refused took no number");
        assert_eq!(incomplete(&error).0, accepted);
    });
}

#[test]
fn close_with_no_time_at_all_still_counts_every_record() {
    for records in [0, 1, 1000] {
        let directory = support::directory();
        let path = directory.path().join("log");
        let logger = Logger::open(support::config(&path).close_deadline(Duration::ZERO)).expect("a log");
        let producer = logger.producer().expect("a ring");
        for _ in 0..records {
            assert_eq!(producer.log(Level::Info, "one of a few"), Outcome::Written);
        }
        let unconfirmed = match logger.close() {
            Ok(()) => 0,
            Err(error) => incomplete(&error).0,
        };
        let stats = logger.stats();
        assert_eq!((stats.attempted, stats.dropped), (records, 0));
        assert_eq!(stats.durable_records + unconfirmed, records);
        // Confirmed records are in the files. (Unconfirmed ones may be there too.)
        if stats.durable_records > 0 {
            assert!(Reader::open(&path).expect("a log").count() as u64 >= stats.durable_records);
        }
    }
}

#[test]
fn a_flush_that_close_cuts_short_does_not_succeed() {
    let deadline = Duration::from_millis(400);
    // The device works again in time to drain all records, or too late: in each case flush and close return the same.
    for silence in [deadline / 4, deadline * 4 / 5, deadline * 9 / 10, deadline * 2] {
        let directory = support::directory();
        let path = directory.path().join("log");
        let control = Control::default();
        let config = support::config(&path).ring_bytes(1 << 20).block_bytes(4096).close_deadline(deadline);
        let logger = control.hooks().open(config).expect("a log");
        let producer = logger.producer().expect("a ring");
        control.hold();
        for _ in 0..2000 {
            assert_eq!(producer.log(Level::Info, [b'x'; 200]), Outcome::Written);
        }
        let (flushed, closed) = std::thread::scope(|scope| {
            let (asks, asked) = std::sync::mpsc::channel();
            let logger = &logger;
            let flush = scope.spawn(move || {
                asks.send(()).expect("awaited");
                logger.flush()
            });
            asked.recv().expect("it asks");
            let close = scope.spawn(|| logger.close());
            std::thread::sleep(silence);
            control.release();
            (flush.join().expect("no panic"), close.join().expect("no panic"))
        });
        match (&flushed, &closed) {
            // In the last case, the flush came so late that the log had ended, cleanly.
            (Ok(()), Ok(())) | (Err(_), Err(_)) | (Err(Error::Closed), Ok(())) => {}
            _ => panic!("after {silence:?}: {flushed:?} and {closed:?}"),
        }
        if flushed.is_ok() {
            assert_eq!(Reader::open(&path).expect("a log").count(), 2000);
        }
    }
}

#[test]
fn close_returns_even_if_the_writer_does_not_answer_and_its_result_stands() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = || support::config(&path).close_deadline(Duration::from_millis(50));
    let control = Control::default();
    control.block_submit(true);
    let logger = control.hooks().open(config()).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Info, "nobody knows"), Outcome::Written);
    let first = logger.close().expect_err("the writer is kept");
    assert_eq!(incomplete(&first).0, 1);
    control.block_submit(false);
    // The writer ends, all records are written in the end, and the directory is free again.
    let next = loop {
        match Logger::open(config()) {
            Ok(next) => break next,
            Err(Error::InUse { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(logger.close().expect_err("as before").to_string(), first.to_string());
    next.close().expect("a clean end");
}
