//! `flush` returns when all records accepted before it are durable, and not earlier. The device of these tests holds
//! completions back, so that the tests do not depend on time.
#![cfg(feature = "unstable")]

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diolog::{Error, Level, Logger, Outcome, Overflow, Reader, State, verify};
use support::device::{Control, EIO};

/// Whether the device has completed a block that holds `message`.
fn is_durable(control: &Control, message: &[u8]) -> bool {
    control.writes().iter().any(|write| write.acknowledged && write.count(message) > 0)
}

fn open(control: &Control, path: &std::path::Path) -> Logger {
    // The interval never passes: only a flush closes a block.
    control.hooks().open(support::config(path).flush_interval(Duration::from_secs(3600))).expect("a log")
}

#[test]
fn a_flush_waits_for_the_device() {
    let directory = support::directory();
    let control = Control::default();
    let logger = open(&control, &directory.path().join("log"));
    control.hold();
    assert_eq!(logger.log(Level::Info, "the record that is waited for"), Outcome::Written);
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| {
            logger.flush().expect("durable");
            // The device has completed the block before the flush returns.
            assert!(is_durable(&control, b"the record that is waited for"));
        });
        let write = control.wait_for_message(b"the record that is waited for");
        assert!(!write.acknowledged && !flush.is_finished());
        control.release();
        flush.join().expect("the flush waited");
    });
    assert_eq!(logger.stats().durable_records, 1);
    logger.close().expect("a clean end");
}

#[test]
fn a_flush_covers_every_producer_including_those_that_have_ended() {
    let directory = support::directory();
    let control = Control::default();
    let logger = open(&control, &directory.path().join("log"));
    let producers: Vec<_> = (0..20).map(|_| logger.producer().expect("a ring")).collect();
    for producer in &producers {
        producer.log(Level::Info, format!("from live producer {} ", producer.id()));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| logger.log(Level::Info, "from a thread that ended"));
    });
    logger.flush().expect("durable");
    assert!(is_durable(&control, b"from a thread that ended"));
    for producer in &producers {
        assert!(is_durable(&control, format!("from live producer {} ", producer.id()).as_bytes()));
    }
    logger.close().expect("a clean end");
}

#[test]
fn many_threads_flush_at_once_and_each_finds_its_own_records_durable() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = open(&control, &path);
    let threads = 16;
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (logger, control, start) = (&logger, &control, &start);
            scope.spawn(move || {
                let producer = logger.producer().expect("a ring");
                start.wait();
                for round in 0..20 {
                    let message = format!("<{thread}-{round}>");
                    producer.log(Level::Info, &message);
                    logger.flush().expect("durable");
                    assert!(is_durable(control, message.as_bytes()), "{message}");
                }
            });
        }
    });
    logger.close().expect("a clean end");
    assert_eq!(Reader::open(&path).expect("a log").count(), threads * 20);
}

#[test]
fn a_new_producers_records_are_flushed_beside_producers_that_fill_all_blocks() {
    let directory = support::directory();
    // The blocks are small: one look at a busy ring finds more records than all free blocks hold.
    let config = support::config(directory.path().join("log")).block_bytes(4096).overflow(Overflow::Block);
    // Its rings hold thousands of blocks, which a slow disk writes one by one.
    let config = config.close_deadline(Duration::from_secs(3600));
    let logger = Logger::open(config).expect("a log");
    let done = AtomicBool::new(false);
    let flushed: Vec<_> = std::thread::scope(|scope| {
        for _ in 0..3 {
            let (producer, done) = (logger.producer().expect("a ring"), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(producer.log(Level::Info, [b'x'; 200]), Outcome::Written);
                }
            });
        }
        let newcomers = (0..5).map(|_| {
            let producer = logger.producer()?;
            assert_eq!(producer.log(Level::Info, "here"), Outcome::Written);
            logger.flush()
        });
        let flushed = newcomers.collect();
        done.store(true, Ordering::Relaxed);
        flushed
    });
    assert!(flushed.iter().all(Result::is_ok), "{flushed:?}");
    logger.close().expect("a clean end");
}

#[test]
fn a_flush_ends_although_records_are_dropped_all_the_time() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = support::config_of_ring(&path, 4096).block_bytes(4096).blocks_in_flight(1);
    let logger = Logger::open(config).expect("a log");
    let done = AtomicBool::new(false);
    let dropped = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (producer, done) = (logger.producer().expect("a ring"), &done);
                scope.spawn(move || {
                    let mut dropped = 0;
                    while !done.load(Ordering::Relaxed) || dropped == 0 {
                        dropped += u64::from(producer.log(Level::Info, [b'x'; 200]) == Outcome::Dropped);
                    }
                    dropped
                })
            })
            .collect();
        let flushed: Vec<_> = (0..20).map(|_| logger.flush()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(flushed.iter().all(Result::is_ok), "{flushed:?}");
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<u64>()
    });
    // What was lost since shows, too.
    logger.flush().expect("durable");
    assert_eq!(verify(&path).expect("readable").report.dropped(), dropped);
    logger.close().expect("a clean end");
}

#[test]
fn a_flush_with_nothing_to_wait_for_returns_at_once() {
    let directory = support::directory();
    let control = Control::default();
    let logger = open(&control, &directory.path().join("log"));
    logger.flush().expect("nothing was accepted");
    logger.log(Level::Info, "one");
    logger.flush().expect("durable");
    // All records are durable: a device that completes nothing more makes no difference.
    control.hold();
    logger.flush().expect("still durable");
    control.release();
    logger.close().expect("a clean end");
}

#[test]
fn flush_within_times_out_under_a_stalled_device_and_loses_no_record() {
    let directory = support::directory();
    let control = Control::default();
    let logger = open(&control, &directory.path().join("log"));
    control.hold();
    logger.log(Level::Info, "delayed");
    let limit = Duration::from_millis(2);
    let error = logger.flush_within(limit).expect_err("the device is stalled");
    assert!(matches!(error, Error::FlushTimeout { waited } if waited == limit), "{error}");
    assert_eq!(logger.log(Level::Info, "accepted in the meantime"), Outcome::Written);
    control.release();
    logger.flush_within(Duration::from_secs(3600)).expect("durable");
    assert!(is_durable(&control, b"delayed") && is_durable(&control, b"accepted in the meantime"));
    logger.close().expect("a clean end");
}

#[test]
fn a_device_error_is_returned_by_flush_and_the_host_goes_on() {
    let directory = support::directory();
    let control = Control::default();
    let config = support::config(directory.path().join("log")).ring_bytes(4096).overflow(Overflow::Block);
    let logger = control.hooks().open(config.close_deadline(Duration::from_millis(50))).expect("a log");
    let producer = logger.producer().expect("a ring");
    producer.log(Level::Info, "before");
    logger.flush().expect("durable");
    control.fail_with(Some(EIO));
    assert_eq!(producer.log(Level::Info, "into the failure"), Outcome::Written);
    let error = logger.flush().expect_err("the device fails");
    assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(EIO), "{error}");
    assert!(error.to_string().contains(".dlog"), "the file is named: {error}");
    assert_eq!(logger.stats().state, State::Failed);
    assert!(logger.stats().write_errors > 0);
    assert_eq!(logger.stats().durable_records, 1);
    // A producer that blocks would wait for ever: it drops records while the device has failed.
    let mut accepted = 1;
    while producer.log(Level::Info, [b'x'; 100]) == Outcome::Written {
        accepted += 1;
    }
    let stats = logger.stats();
    assert!(stats.dropped > 0);
    assert_eq!(stats.dropped_by.device_failed, stats.dropped);
    let error = logger.close().expect_err("records are not on the disk");
    let Error::CloseIncomplete { unconfirmed, dropped, reason } = &error else { panic!("{error}") };
    assert_eq!((*unconfirmed, *dropped), (accepted, stats.dropped), "{reason}");
}

#[test]
fn a_flush_that_close_overtakes_is_answered() {
    let directory = support::directory();
    let control = Control::default();
    let logger = open(&control, &directory.path().join("log"));
    control.hold();
    logger.log(Level::Info, "flushed and closed");
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| logger.flush());
        control.wait_for_message(b"flushed and closed");
        let close = scope.spawn(|| logger.close());
        while logger.log(Level::Info, "until it is closing") != Outcome::Closed {
            std::thread::yield_now();
        }
        control.release();
        flush.join().expect("no panic").expect("durable");
        close.join().expect("no panic").expect("a clean end");
    });
    assert!(is_durable(&control, b"flushed and closed"));
}
