//! A block is sealed when it is full, when a flush waits, when `flush_interval` has passed since its first record, or
//! when it holds a quarter of a ring; and for no other reason. Time stands still in these tests until they move it.
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

/// The bytes that a record takes in the ring besides its message.
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

/// Sets all of the clock's times to `time`, which is not before the present one.
fn move_to(clock: &ManualClock, time: Duration) {
    let ns = time.as_nanos() as u64;
    clock.unix_ns.store(ns as i64, Ordering::SeqCst);
    clock.ticks.store(ns, Ordering::SeqCst);
    clock.monotonic_ns.store(ns, Ordering::SeqCst);
}

/// The header's count of the bytes after it.
fn valid_bytes(write: &Write) -> usize {
    u32::from_le_bytes(write.bytes[4..8].try_into().expect("four bytes")) as usize
}

#[test]
fn a_block_is_sealed_once_the_interval_has_passed_since_its_first_record() {
    let rig = Rig::new(|config| config.overflow(Overflow::Block));
    let producer = rig.logger.producer().expect("a ring");
    let message = [b'i'; 8];
    // Each record takes a hundredth of the interval. A block is sealed in a turn that begins at least an interval after
    // its first record was appended; that turn finds the records of all the time in between.
    let step = INTERVAL / 100;
    // A block with more records than that may have been sealed because it held a quarter of the ring.
    let below_a_quarter = (1 << 20) / 4 / (HEAD_BYTES + message.len());
    let count = |writes: &[Write]| writes.iter().map(|write| write.count(&message)).sum::<usize>();
    let sealed_by_time = |blocks: &[Write]| blocks.iter().filter(|b| b.count(&message) < below_a_quarter).count();
    let (mut now, mut appended) = (START, 0);
    while sealed_by_time(&rig.control.blocks()) < 5 {
        // The writer may not get a CPU for a while. The ring must not be full by then: that would be a reason too. What
        // the writer sees then for the first time is due an interval later.
        while count(&rig.control.writes()) + 2 * below_a_quarter < appended {
            now += INTERVAL;
            move_to(rig.clock, now);
            std::thread::yield_now();
        }
        for _ in 0..10 {
            assert_eq!(producer.log(Level::Info, message), Outcome::Written);
            now += step;
            move_to(rig.clock, now);
        }
        appended += 10;
        std::thread::yield_now();
    }
    for block in rig.control.blocks() {
        // The turn may miss a record or two appended after it read the clock and before it looked at the ring.
        assert!(block.count(&message) >= 98, "sealed too early, with {} records", block.count(&message));
    }
    rig.logger.close().expect("a clean end");
}

#[test]
fn a_block_sealed_for_one_rings_interval_holds_the_records_of_all_rings() {
    let rig = Rig::new(|config| config.ring_bytes(64 << 10));
    // So many that a turn does not look at all of them.
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
fn lone_records_are_written_in_time_beside_a_ring_that_fills_blocks() {
    let rig = Rig::new(|config| config.ring_bytes(64 << 10).block_bytes(4096).overflow(Overflow::Block));
    // So many that a turn does not look at all of them.
    let lone: Vec<_> = (0..150).map(|_| rig.logger.producer().expect("a ring")).collect();
    let busy = rig.logger.producer().expect("a ring");
    for producer in &lone {
        producer.log(Level::Info, "<lone>");
    }
    // Time goes on for two intervals while one block after the other is sealed because it is full.
    for turn in 1..=40 {
        let blocks = rig.control.blocks().len();
        for _ in 0..200 {
            assert_eq!(busy.log(Level::Info, [b'b'; 200]), Outcome::Written);
        }
        rig.control.wait_for(|writes| writes.iter().filter(|write| !write.is_segment_header()).count() > blocks);
        move_to(rig.clock, START + INTERVAL * turn / 20);
    }
    let arrived = |writes: &[Write]| writes.iter().map(|write| write.count(b"<lone>")).sum::<usize>() == lone.len();
    rig.control.wait_for(arrived);
    rig.logger.close().expect("a clean end");
}

#[test]
fn a_block_is_sealed_when_it_is_full() {
    let rig = Rig::new(|config| config.block_bytes(4096).ring_bytes(1 << 20));
    let producer = rig.logger.producer().expect("a ring");
    let message = [b'm'; 200];
    let records = 1000;
    for _ in 0..records {
        assert_eq!(producer.log(Level::Info, message), Outcome::Written);
    }
    // Time stands still, nobody flushes, and a quarter of the ring is far more than a block: only full blocks are
    // sealed.
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
fn a_block_is_sealed_when_a_flush_waits() {
    let rig = Rig::new(|config| config);
    let producer = rig.logger.producer().expect("a ring");
    for round in 1..=5 {
        producer.log(Level::Info, format!("<{round}>"));
        rig.logger.flush().expect("durable");
        let blocks = rig.control.blocks();
        assert_eq!(blocks.len(), round);
        assert_eq!(blocks[round - 1].count(format!("<{round}>").as_bytes()), 1);
    }
    // With nothing to seal, a flush writes no empty block.
    rig.logger.flush().expect("durable");
    assert_eq!(rig.control.blocks().len(), 5);
    rig.logger.close().expect("a clean end");
}

#[test]
fn a_block_is_sealed_when_it_holds_a_quarter_of_a_ring() {
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
        // Nobody flushes, and time stands still.
        let durable = |write: &&Write| write.acknowledged && write.count(&message) > 0;
        rig.control.wait_for(|writes| writes.iter().filter(durable).count() >= round);
        let blocks = rig.control.blocks();
        assert_eq!(blocks.len(), round);
        assert_eq!(blocks[round - 1].count(&message), in_a_quarter, "sealed with less than a quarter in it");
    }
    rig.logger.close().expect("a clean end");
}

#[test]
fn a_block_is_not_sealed_for_parts_of_several_rings_that_add_up_to_a_quarter() {
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
    // Together these are more than a quarter of a ring, but no ring has one. The next record makes it one:
    producers[3].log(Level::Info, [b'E'; 104]);
    let write = rig.control.wait_for_message(&[b'E'; 104]);
    assert_eq!(rig.control.blocks().len(), 1, "an earlier block was sealed without a reason");
    // All records of that ring, and those of the others that the writer had seen when it looked at them.
    assert!(write.count(&message) >= below_a_quarter, "{}", write.count(&message));
    rig.logger.close().expect("a clean end");
}
