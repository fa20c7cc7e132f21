//! An append that races `close` is in the files, or returns `Closed`: it is never `Written` and lost.

mod support;

use std::sync::Barrier;
use std::time::Duration;

use diolog::{Level, Logger, Outcome, Overflow, Reader};
use support::account::{self, Attempts, Overwrites};

const THREADS: usize = 4;

/// Each round closes at a different moment of the appends. Nothing synchronises the two.
const ROUNDS: usize = 12;

fn log_until_closed(overflow: Overflow) {
    for round in 0..ROUNDS {
        let directory = support::directory();
        let path = directory.path().join("log");
        let logger = Logger::open(support::config(&path).ring_bytes(4096 << (round % 3)).overflow(overflow))
            .expect("a log can be opened");
        let start = Barrier::new(THREADS + 1);
        let all: Vec<Attempts> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        let producer = logger.producer().expect("a ring");
                        let mut attempts = Attempts::new(&producer);
                        start.wait();
                        while attempts.log(&producer) != Outcome::Closed {}
                        assert_eq!(attempts.log(&producer), Outcome::Closed, "closed for good");
                        attempts
                    })
                })
                .collect();
            start.wait();
            // In the first rounds close comes at once, then later and later.
            while logger.stats().attempted < (round * round * 30) as u64 {
                std::thread::yield_now();
            }
            logger.close().expect("a clean end");
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(logger.stats().refused >= THREADS as u64 * 2);
        let overwrites = if overflow == Overflow::OverwriteOldest { Overwrites::Yes } else { Overwrites::No };
        account::check(&path, &all, overwrites);
    }
}

#[test]
fn appends_that_drop_the_newest_are_kept_or_refused() {
    log_until_closed(Overflow::DropNewest);
}

#[test]
fn appends_that_block_are_kept_or_refused() {
    log_until_closed(Overflow::Block);
}

#[test]
fn appends_that_block_for_a_while_are_kept_or_refused() {
    log_until_closed(Overflow::BlockFor(Duration::from_micros(50)));
}

#[test]
fn appends_that_overwrite_the_oldest_are_kept_or_refused() {
    log_until_closed(Overflow::OverwriteOldest);
}

#[test]
fn appends_through_the_logger_are_kept_or_refused() {
    for round in 0..ROUNDS {
        let directory = support::directory();
        let path = directory.path().join("log");
        let logger = Logger::open(support::config(&path)).expect("a log");
        let mut accepted: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS as u64)
                .map(|thread| {
                    let logger = &logger;
                    scope.spawn(move || {
                        let mut accepted = Vec::new();
                        for number in 0.. {
                            let name = thread << 32 | number;
                            match logger.log(Level::Info, name.to_le_bytes()) {
                                Outcome::Written => accepted.push(name),
                                Outcome::Dropped => {}
                                Outcome::Closed => break,
                                other => panic!("unexpected {other:?}"),
                            }
                        }
                        accepted
                    })
                })
                .collect();
            while logger.stats().attempted < (round * round * 30) as u64 {
                std::thread::yield_now();
            }
            logger.close().expect("a clean end");
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        let mut read: Vec<u64> = Reader::open(&path)
            .expect("a log")
            .map(|record| u64::from_le_bytes(record.expect("readable").message().try_into().expect("eight bytes")))
            .collect();
        accepted.sort_unstable();
        read.sort_unstable();
        assert!(accepted == read, "{} accepted, {} in the files", accepted.len(), read.len());
    }
}
