//! A block is sealed when it is full, when a flush waits, when `flush_interval` has passed since its first record, or
//! when it holds a quarter of a ring; and for no other reason. Time stands still here until a test moves it.
#![cfg(feature = "unstable")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use diolog::unstable::ManualClock;
use diolog::{Config, Level, Logger, Outcome, Overflow};
use support::device::{Control, Write};

/// When a test begins.
const START: Duration = Duration::from_secs(10);

const INTERVAL: Duration = Duration::from_millis(100);

/// Bytes of a record in the ring besides its message.
const HEAD_BYTES: usize = 24;

/// A log under a recording device and a clock that stands still.
struct Rig {
    control: Control,
    clock: &'static ManualClock,
    logger: Logger,
    _directory: tempfile::TempDir,
}

impl Rig {
    fn new(configure: impl FnOnce(Config) -> Config) -> Rig {
        let directory = support::directory();
        let clock: &'static ManualClock = Box::leak(Box::default());
        move_to(clock, START);
        let control = Control::default();
        let config = configure(support::config(directory.path().join("log")).flush_interval(INTERVAL));
        let logger = control.hooks().clock(clock).open(config).expect("a log");
        Rig { control, clock, logger, _directory: directory }
    }
}

/// Sets all of the clock's hands, never back.
fn move_to(clock: &ManualClock, time: Duration) {
    let ns = time.as_nanos() as u64;
    clock.unix_ns.store(ns as i64, Ordering::SeqCst);
    clock.ticks.store(ns, Ordering::SeqCst);
    clock.monotonic_ns.store(ns, Ordering::SeqCst);
}

/// The header's count of bytes behind it.
fn valid_bytes(write: &Write) -> usize {
    u32::from_le_bytes(write.bytes[4..8].try_into().expect("four bytes")) as usize
}

#[test]
fn when_the_interval_has_passed_since_the_first_record() {
    let rig = Rig::new(|config| config.overflow(Overflow::Block));
    let producer = rig.logger.producer().expect("a ring");
    let message = [b'i'; 8];
    // Time goes on by a hundredth of the interval with each record. A block is sealed in a turn that begins at least an
    // interval after its first record was there; that turn finds the records of all the time between.
    let step = INTERVAL / 100;
    // More than that in a block, and a quarter of the ring may have been the reason.
    let below_a_quarter = (1 << 20) / 4 / (HEAD_BYTES + message.len());
    let count = |writes: &[Write]| writes.iter().map(|write| write.count(&message)).sum::<usize>();
    let sealed_by_time = |blocks: &[Write]| blocks.iter().filter(|b| b.count(&message) < below_a_quarter).count();
    let (mut now, mut appended) = (START, 0);
    while sealed_by_time(&rig.control.blocks()) < 5 {
        // Never so far ahead of a writer that does not run that the ring is full, which would be a reason too.
        rig.control.wait_for(|writes| count(writes) + 2 * below_a_quarter >= appended);
        for _ in 0..10 {
            assert_eq!(producer.log(Level::Info, message), Outcome::Written);
            now += step;
            move_to(rig.clock, now);
        }
        appended += 10;
        std::thread::yield_now();
    }
    for block in rig.control.blocks() {
        // Less the record or two that came between the turn's look at the clock and its look at the ring.
        assert!(block.count(&message) >= 98, "sealed too early, with {} records", block.count(&message));
    }
    rig.logger.close().expect("a clean end");
}

#[test]
fn when_the_interval_has_passed_for_one_ring_with_what_all_others_hold() {
    let rig = Rig::new(|config| config.ring_bytes(64 << 10));
    // So many that they are not all looked at in each turn.
    let producers: Vec<_> = (0..150).map(|_| rig.logger.producer().expect("a ring")).collect();
    for producer in &producers {
        assert_eq!(producer.log(Level::Info, "<one>"), Outcome::Written);
    }
    for turn in 1.. {
        if !rig.control.blocks().is_empty() {
            break;
        }
        move_to(rig.clock, START + INTERVAL * turn);
        std::thread::yield_now();
    }
    rig.logger.close().expect("a clean end");
    let blocks: Vec<_> = rig.control.blocks().iter().map(|block| block.count(b"<one>")).collect();
    assert_eq!(blocks[0], producers.len(), "{blocks:?}");
}

#[test]
fn lone_records_are_in_time_beside_a_ring_that_fills_blocks() {
    let rig = Rig::new(|config| config.ring_bytes(64 << 10).block_bytes(4096).overflow(Overflow::Block));
    // So many that they are not all looked at in each turn.
    let lone: Vec<_> = (0..150).map(|_| rig.logger.producer().expect("a ring")).collect();
    let busy = rig.logger.producer().expect("a ring");
    for producer in &lone {
        producer.log(Level::Info, "<lone>");
    }
    // Time goes on while blocks are sealed as they get full, again and again, for two intervals.
    for turn in 1..=40 {
        let blocks = rig.control.blocks().len();
        for _ in 0..200 {
            assert_eq!(busy.log(Level::Info, [b'b'; 200]), Outcome::Written);
        }
        rig.control.wait_for(|writes| writes.iter().filter(|write| !write.is_segment_header()).count() > blocks);
        move_to(rig.clock, START + INTERVAL * turn / 20);
    }
    let came = |writes: &[Write]| writes.iter().map(|write| write.count(b"<lone>")).sum::<usize>() == lone.len();
    rig.control.wait_for(came);
    rig.logger.close().expect("a clean end");
}

#[test]
fn when_it_is_full() {
    let rig = Rig::new(|config| config.block_bytes(4096).ring_bytes(1 << 20));
    let producer = rig.logger.producer().expect("a ring");
    let message = [b'm'; 200];
    let records = 1000;
    for _ in 0..records {
        assert_eq!(producer.log(Level::Info, message), Outcome::Written);
    }
    // Time stands still, nobody flushes, and a quarter of the ring is far more than a block: only full ones can come.
    let fit_in_a_block = (4096 - 64 - 32 - 100) / (16 + 200);
    let full = records / (fit_in_a_block + 1);
    let writes = rig.control.wait_for(|writes| writes.len() > full);
    for write in writes.iter().filter(|write| !write.is_segment_header()) {
        let used = 64 + valid_bytes(write);
        assert!(used + 16 + 200 > 4096, "a block with {} bytes left was sealed", 4096 - used);
    }
    rig.logger.close().expect("a clean end");
    let all: usize = rig.control.blocks().iter().map(|write| write.count(&message)).sum();
    assert_eq!(all, records);
}

#[test]
fn when_a_flush_waits() {
    let rig = Rig::new(|config| config);
    let producer = rig.logger.producer().expect("a ring");
    for round in 1..=5 {
        producer.log(Level::Info, format!("<{round}>"));
        rig.logger.flush().expect("durable");
        let blocks = rig.control.blocks();
        assert_eq!(blocks.len(), round);
        assert_eq!(blocks[round - 1].count(format!("<{round}>").as_bytes()), 1);
    }
    // Nothing to seal: a flush writes no empty block.
    rig.logger.flush().expect("durable");
    assert_eq!(rig.control.blocks().len(), 5);
    rig.logger.close().expect("a clean end");
}

#[test]
fn when_it_holds_a_quarter_of_a_ring() {
    let ring_bytes = 16 << 10;
    let rig = Rig::new(|config| config.ring_bytes(ring_bytes));
    let producer = rig.logger.producer().expect("a ring");
    let message = [b'q'; 104];
    let in_ring = HEAD_BYTES + message.len();
    let in_a_quarter = (ring_bytes / 4).div_ceil(in_ring);
    for round in 1..=5 {
        for _ in 0..in_a_quarter {
            assert_eq!(producer.log(Level::Info, message), Outcome::Written);
        }
        // It comes without anybody flushing, and time stands still.
        let durable = |write: &&Write| write.told_durable && write.count(&message) > 0;
        rig.control.wait_for(|writes| writes.iter().filter(durable).count() >= round);
        let blocks = rig.control.blocks();
        assert_eq!(blocks.len(), round);
        assert_eq!(blocks[round - 1].count(&message), in_a_quarter, "sealed with less than a quarter in it");
    }
    rig.logger.close().expect("a clean end");
}

#[test]
fn each_ring_counts_for_itself() {
    let ring_bytes = 16 << 10;
    let rig = Rig::new(|config| config.ring_bytes(ring_bytes));
    let producers: Vec<_> = (0..8).map(|_| rig.logger.producer().expect("a ring")).collect();
    let message = [b'e'; 104];
    let below_a_quarter = (ring_bytes / 4).div_ceil(HEAD_BYTES + message.len()) - 1;
    for producer in &producers {
        for _ in 0..below_a_quarter {
            assert_eq!(producer.log(Level::Info, message), Outcome::Written);
        }
    }
    // Two quarters of a ring are there by now, but of no ring one. This one is the first:
    producers[3].log(Level::Info, [b'E'; 104]);
    let write = rig.control.wait_for_message(&[b'E'; 104]);
    assert_eq!(rig.control.blocks().len(), 1, "an earlier block was sealed with no reason");
    // All of that ring, and of the others what had come when the writer looked at them.
    assert!(write.count(&message) >= below_a_quarter, "{}", write.count(&message));
    rig.logger.close().expect("a clean end");
}
