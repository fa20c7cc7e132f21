//! The reader gives a gap where records of a producer are missing, with their number and the cause.
#![cfg(feature = "unstable")]

mod support;

use diolog::{Entry, Level, Logger, LossCause, Outcome, Overflow, Producer, Reader};
use support::device::Control;

/// Runs of consecutive entries of one producer: how many records, or how many are missing and why.
#[derive(Debug, PartialEq, Eq)]
enum Stretch {
    Records(u64),
    Gap(u64, LossCause),
}

/// The entries of the log's only producer. Checks that each number is that of a record or in a gap, in order.
fn stretches(path: &std::path::Path) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut next = 0;
    for entry in Reader::open(path).expect("a log").entries() {
        let (first, stretch) = match entry.expect("readable") {
            Entry::Record(record) => (record.sequence(), Stretch::Records(1)),
            Entry::Gap(gap) => (gap.first_sequence(), Stretch::Gap(gap.count(), gap.cause())),
            other => panic!("{other:?}"),
        };
        assert_eq!(first, next, "{stretches:?}");
        next += match stretch {
            Stretch::Records(count) | Stretch::Gap(count, _) => count,
        };
        match (stretches.last_mut(), stretch) {
            (Some(Stretch::Records(count)), Stretch::Records(1)) => *count += 1,
            (_, stretch) => stretches.push(stretch),
        }
    }
    stretches
}

/// A log on a device that holds its writes back, with a ring that is soon full.
fn on_held_device(path: &std::path::Path, overflow: Overflow) -> (Control, Logger, Producer) {
    let control = Control::default();
    let config = support::config(path).ring_bytes(4096).overflow(overflow);
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    control.hold();
    (control, logger, producer)
}

/// Logs messages of one length until one is dropped, and then `more` that are dropped too. Returns how many were
/// written.
fn fill_and_drop(producer: &Producer, more: u64) -> u64 {
    let log = || producer.log(Level::Info, [b'x'; 100]);
    let mut written = 0;
    while log() == Outcome::Written {
        written += 1;
    }
    for _ in 0..more {
        assert_eq!(log(), Outcome::Dropped, "the device is held");
    }
    written
}

#[test]
fn records_that_a_full_ring_dropped_are_a_gap_before_the_next_record_and_after_the_last() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let (control, logger, producer) = on_held_device(&path, Overflow::DropNewest);
    let before = fill_and_drop(&producer, 4);
    control.release();
    logger.flush().expect("durable");
    assert_eq!(producer.log(Level::Info, "after"), Outcome::Written);
    logger.flush().expect("durable");
    control.hold();
    let after = fill_and_drop(&producer, 1);
    control.release();
    logger.close().expect("a clean end");
    let ring_full = |count| Stretch::Gap(count, LossCause::RingFull);
    assert_eq!(stretches(&path), [Stretch::Records(before), ring_full(5), Stretch::Records(1 + after), ring_full(2)]);
}

#[test]
fn records_that_waited_for_room_in_vain_are_a_gap() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let limit = std::time::Duration::from_millis(1);
    let (control, logger, producer) = on_held_device(&path, Overflow::BlockFor(limit));
    let before = fill_and_drop(&producer, 2);
    control.release();
    logger.flush().expect("durable");
    assert_eq!(producer.log(Level::Info, "after"), Outcome::Written);
    logger.close().expect("a clean end");
    let timed_out = Stretch::Gap(3, LossCause::TimedOut);
    assert_eq!(stretches(&path), [Stretch::Records(before), timed_out, Stretch::Records(1)]);
}

#[test]
fn records_that_newer_ones_overwrote_are_a_gap() {
    // While the writer copies records, an append may be dropped as well, and the cause of a gap with both is unknown.
    let without_drops = (0..100).any(|_| overwrite_records() == 0);
    assert!(without_drops, "an append was dropped in every run");
}

/// Makes a log with records that newer ones overwrote, and checks its gaps. Returns how many records were dropped.
fn overwrite_records() -> u64 {
    let directory = support::directory();
    let path = directory.path().join("log");
    let (control, logger, producer) = on_held_device(&path, Overflow::OverwriteOldest);
    while logger.stats().overwritten < 100 {
        producer.log(Level::Info, [b'x'; 100]);
    }
    control.release();
    logger.close().expect("a clean end");
    let stats = logger.stats();
    let stretches = stretches(&path);
    let of_cause = |wanted| {
        let gaps = stretches.iter().filter_map(|stretch| match stretch {
            Stretch::Gap(count, cause) if *cause == wanted => Some(*count),
            _ => None,
        });
        gaps.sum::<u64>()
    };
    if stats.dropped == 0 {
        assert_eq!(of_cause(LossCause::Overwritten), stats.overwritten, "{stretches:?}");
    }
    let all: u64 = [LossCause::Overwritten, LossCause::RingFull, LossCause::Unknown].map(of_cause).iter().sum();
    assert_eq!(all, stats.overwritten + stats.dropped, "{stretches:?}");
    stats.dropped
}
