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
    let answers = std::thread::scope(|scope| {
        let closing: Vec<_> = (0..8).map(|_| scope.spawn(|| logger.close().expect("a clean end"))).collect();
        closing.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert_eq!(logger.log(Level::Info, "refused, and not part of the answer"), Outcome::Closed);
    let report = logger.close().expect("still closed");
    assert!(answers.iter().all(|answer| *answer == report), "{answers:?}");
    assert_eq!((report.accepted, report.durable, report.lost()), (100, 100, 0));
    assert_eq!(report.to_string(), "100 records durable");
    assert_eq!(logger.stats().durable_records, 100);
    assert_eq!(Reader::open(&path).expect("a log").count(), 100);
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean);
    assert_eq!(verification.report.blocks.good, logger.stats().durable_blocks, "both leave segment headers out");
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
    assert_eq!((logger.stats().refused, logger.stats().refused_by.closed), (3, 3));
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
    let config = support::config_of_ring(&path, 4096).close_deadline(SHORT);
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

/// Closes a log that gives close no time, after as many records. Calls `before` before the first record and `after`
/// after the last one. Returns the number of unconfirmed records.
fn close_in_no_time(records: u64, before: impl FnOnce(&Control), after: impl FnOnce(&Logger)) -> u64 {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config(&path).close_deadline(Duration::ZERO)).expect("a log");
    let producer = logger.producer().expect("a ring");
    before(&control);
    for _ in 0..records {
        assert_eq!(producer.log(Level::Info, "one of a few"), Outcome::Written);
    }
    after(&logger);
    let error = logger.close().expect_err("a clean end takes time");
    let (unconfirmed, dropped, reason) = incomplete(&error);
    let stats = logger.stats();
    assert_eq!((stats.attempted, stats.dropped, dropped), (records, 0, 0), "{reason}");
    assert_eq!(stats.durable_records + unconfirmed, records, "{reason}");
    // Confirmed records are in the files. (Unconfirmed ones may be there too.)
    if stats.durable_records > 0 {
        assert!(Reader::open(&path).expect("a log").count() as u64 >= stats.durable_records);
    }
    unconfirmed
}

#[test]
fn close_with_no_time_at_all_still_counts_every_record() {
    for records in [0, 1, 1000] {
        assert_eq!(close_in_no_time(records, |_| (), |logger| logger.flush().expect("durable")), 0);
        assert_eq!(close_in_no_time(records, Control::hold, |_| ()), records);
        // The device completes as many blocks as it can until then: durable and unconfirmed records add up.
        close_in_no_time(records, |_| (), |_| ());
    }
}

/// A flush waits for records that the stalled device has not taken, and close begins.
#[cfg(target_os = "linux")]
mod beside_a_flush {
    use super::*;

    const RECORDS: u64 = 2000;

    /// The results of a flush and of a later close. Calls `stall` while both wait for a stalled device.
    fn flush_and_close(deadline: Duration, stall: impl FnOnce(&Control)) -> (diolog::Result<()>, diolog::Result<()>) {
        let directory = support::directory();
        let path = directory.path().join("log");
        let control = Control::default();
        let config = support::config(&path).ring_bytes(1 << 20).block_bytes(4096).close_deadline(deadline);
        let logger = control.hooks().open(config).expect("a log");
        let producer = logger.producer().expect("a ring");
        control.hold();
        // More than the blocks in flight hold: most of these records stay in the ring.
        for _ in 0..RECORDS {
            assert_eq!(producer.log(Level::Info, [b'x'; 200]), Outcome::Written);
        }
        let (flushed, closed) = std::thread::scope(|scope| {
            let (sender, flusher) = std::sync::mpsc::channel();
            let logger = &logger;
            let flush = scope.spawn(move || {
                sender.send(support::os::thread_id()).expect("awaited");
                logger.flush()
            });
            support::os::wait_until_asleep(flusher.recv().expect("it flushes"));
            let close = scope.spawn(|| logger.close());
            while logger.is_enabled(Level::Error) {
                std::thread::yield_now();
            }
            stall(&control);
            (flush.join().expect("no panic"), close.join().expect("no panic"))
        });
        control.release();
        let unconfirmed = closed.as_ref().err().map_or(0, |error| incomplete(error).0);
        assert_eq!(logger.stats().durable_records + unconfirmed, RECORDS);
        if closed.is_ok() {
            assert_eq!(Reader::open(&path).expect("a log").count() as u64, RECORDS);
        }
        (flushed, closed.map(drop))
    }

    /// Both have failed for want of time.
    fn assert_cut_short((flushed, closed): (diolog::Result<()>, diolog::Result<()>)) {
        assert!(matches!(flushed, Err(Error::Closed)), "{flushed:?}");
        let error = closed.expect_err("records are left in the ring");
        assert!(incomplete(&error).0 > 0, "{error}");
    }

    #[test]
    fn flush_and_close_succeed_if_the_device_works_again_in_time() {
        let (flushed, closed) = flush_and_close(Duration::from_secs(600), Control::release);
        flushed.expect("durable");
        closed.expect("a clean end");
    }

    #[test]
    fn flush_and_close_fail_if_the_device_works_again_too_late_to_drain_the_ring() {
        let deadline = Duration::from_millis(400);
        // Close keeps the last quarter of its deadline for the final counts, and drains no longer by then.
        let stall = deadline * 7 / 8;
        assert_cut_short(flush_and_close(deadline, |control| {
            // The sleep is the fault under test, not a way to synchronise.
            std::thread::sleep(stall);
            control.release();
        }));
    }

    #[test]
    fn flush_and_close_fail_if_the_device_does_not_work_again() {
        assert_cut_short(flush_and_close(SHORT, |_| ()));
    }
}

#[test]
fn close_returns_even_if_the_writer_does_not_answer_and_its_result_stands() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    control.block_submit(true);
    let logger = control.hooks().open(support::config(&path).close_deadline(SHORT)).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Info, "nobody knows"), Outcome::Written);
    let first = logger.close().expect_err("the writer is kept");
    assert_eq!(incomplete(&first).0, 1);
    control.block_submit(false);
    // The writer ends, all records are written in the end, and the directory is free again.
    let next = loop {
        match Logger::open(support::config(&path)) {
            Ok(next) => break next,
            Err(Error::InUse { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(logger.close().expect_err("as before").to_string(), first.to_string());
    next.close().expect("a clean end");
}
