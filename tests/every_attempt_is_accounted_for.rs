//! Whatever the load and the policy, the files agree with the outcomes of the appends: every record written is there
//! once, whole and in order; every loss is a hole in the sequence that the counts explain; and `verify` shows all that
//! from the files alone.

mod support;

use std::sync::Barrier;
use std::time::Duration;

use diolog::{Logger, Outcome, Overflow};
use support::account::{self, Attempts, Overwrites};

/// The smallest ring: it holds some 60 short records, so that every policy has to act.
const RING_BYTES: usize = 4096;

/// Each producer logs `messages` messages as fast as it can, all at once.
fn run(producers: usize, messages: usize, overflow: Overflow) {
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = support::config(&path).ring_bytes(RING_BYTES).reserve_bytes(64 << 10);
    let logger = Logger::open(config.overflow(overflow)).expect("a log can be opened");
    let start = Barrier::new(producers);
    let all: Vec<Attempts> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..producers)
            .map(|_| {
                scope.spawn(|| {
                    let producer = logger.producer().expect("a ring");
                    let mut attempts = Attempts::new(&producer);
                    start.wait();
                    for _ in 0..messages {
                        attempts.log(&producer);
                    }
                    attempts
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    logger.close().expect("a clean end");

    let stats = logger.stats();
    let dropped: u64 = all.iter().map(|attempts| attempts.count(Outcome::Dropped)).sum();
    assert_eq!(stats.attempted, (producers * messages) as u64);
    assert_eq!(stats.dropped, dropped);
    assert_eq!(stats.durable_records, stats.attempted - dropped - stats.overwritten);
    if overflow == Overflow::Block {
        assert_eq!(dropped, 0, "blocking loses nothing");
    }
    let overwrites = if overflow == Overflow::OverwriteOldest { Overwrites::Yes } else { Overwrites::No };
    account::check(&path, &all, overwrites);
}

/// All policies with this many producers.
fn run_all(producers: usize, messages: usize) {
    let limit = Duration::from_micros(20);
    for overflow in [Overflow::DropNewest, Overflow::Block, Overflow::BlockFor(limit), Overflow::OverwriteOldest] {
        run(producers, messages, overflow);
    }
}

#[test]
fn every_attempt_of_one_producer_is_accounted_for() {
    run_all(1, 10_000);
}

#[test]
fn every_attempt_of_four_producers_is_accounted_for() {
    run_all(4, 5_000);
}

#[test]
fn every_attempt_of_eight_producers_is_accounted_for() {
    run_all(8, 3_000);
}

#[test]
fn every_attempt_of_64_producers_is_accounted_for() {
    run_all(64, 800);
}

#[test]
fn every_attempt_of_256_producers_is_accounted_for() {
    run_all(256, 300);
}
