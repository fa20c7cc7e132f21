//! A ring keeps its records until they are durable: while the device has not completed their blocks, no space is free;
//! once it has, all of it is.
#![cfg(feature = "unstable")]

mod support;

use std::time::Duration;

use diolog::{Level, Outcome, Overflow};
use support::account::{self, Attempts, Overwrites};
use support::device::Control;

#[test]
fn a_producer_drops_while_the_device_holds_its_records_and_resumes_afterwards() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config_of_ring(&path, 4096)).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    for _ in 0..10 {
        control.hold();
        let before = control.writes().len();
        while attempts.log(&producer) != Outcome::Dropped {}
        // The writer has copied the records and submitted them: that alone frees nothing.
        control.wait_for(|writes| writes.len() > before);
        let written = attempts.count(Outcome::Written);
        for _ in 0..1000 {
            attempts.log(&producer);
        }
        // A shorter message may still fit after a longer one did not.
        assert!(attempts.count(Outcome::Written) <= written + 3);
        control.release();
        while attempts.log(&producer) != Outcome::Written {
            std::thread::yield_now();
        }
    }
    logger.close().expect("a clean end");
    account::check(&path, &[attempts], Overwrites::No);
}

#[test]
fn a_ring_accepts_records_up_to_its_size_while_the_device_is_held() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config_of_ring(&path, 8192)).expect("a log");
    let producer = logger.producer().expect("a ring");
    // A record takes 24 bytes of head and 104 of message: 64 of them fill the ring to the last byte.
    let message = [b'r'; 104];
    for round in 1..=20 {
        control.hold();
        for number in 0..64 {
            assert_eq!(producer.log(Level::Info, message), Outcome::Written, "round {round}, record {number}");
        }
        control.wait_for(|writes| {
            writes.iter().map(|write| write.count(&message)).sum::<usize>() >= (round - 1) * 64 + 16
        });
        for _ in 0..100 {
            assert_eq!(producer.log(Level::Info, message), Outcome::Dropped, "round {round}");
        }
        assert_eq!(logger.stats().durable_records, (round as u64 - 1) * 64);
        control.release();
        logger.flush().expect("durable");
        assert_eq!(logger.stats().durable_records, round as u64 * 64);
    }
    logger.close().expect("a clean end");
    assert_eq!(logger.stats().dropped, 2000);
}

#[test]
fn a_blocked_producer_waits_until_a_block_is_durable_and_loses_nothing() {
    let directory = support::directory();
    let control = Control::default();
    let config = support::config(directory.path().join("log")).ring_bytes(8192).overflow(Overflow::Block);
    let logger = control.hooks().open(config.flush_interval(Duration::from_secs(3600))).expect("a log");
    let message = [b'b'; 104];
    control.hold();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| {
            let producer = logger.producer().expect("a ring");
            for _ in 0..64 {
                assert_eq!(producer.log(Level::Info, message), Outcome::Written);
            }
            // The ring is full: this append waits until a block is durable.
            assert_eq!(producer.log(Level::Info, message), Outcome::Written);
            assert!(control.writes().iter().any(|write| write.acknowledged && write.count(&message) > 0));
        });
        while logger.stats().attempted < 64 {
            std::thread::yield_now();
        }
        control.wait_for(|writes| writes.iter().any(|write| write.count(&message) > 0));
        assert_eq!(logger.stats().attempted, 64);
        control.release();
        blocked.join().expect("it waited");
    });
    logger.close().expect("a clean end");
    assert_eq!((logger.stats().durable_records, logger.stats().dropped), (65, 0));
}

#[test]
fn an_overwriting_ring_takes_records_while_the_device_is_held() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let config = support::config(&path).ring_bytes(4096).block_bytes(4096).overflow(Overflow::OverwriteOldest);
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    control.hold();
    // More than all blocks and the ring hold: the oldest records are given up.
    while attempts.outcomes.len() < 50_000 {
        attempts.log(&producer);
    }
    assert!(logger.stats().overwritten > 0);
    control.release();
    logger.close().expect("a clean end");
    let last_written = attempts.outcomes.iter().rposition(|&outcome| outcome == Outcome::Written);
    account::check(&path, std::slice::from_ref(&attempts), Overwrites::Yes);
    let (records, _) = account::read(&path);
    let last_kept = records[&attempts.id].last().map(|&sequence| sequence as usize);
    assert_eq!(last_kept, last_written, "the newest record is kept");
}
