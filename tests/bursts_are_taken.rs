//! A burst that comes while the device takes no write is in the files afterwards, whole: behind a ring's window stands
//! a reserve, whose memory is bounded, kept in part for severe records, and given back.
#![cfg(feature = "unstable")]

mod support;

use std::sync::Barrier;

use diolog::{Config, Level, Logger, LossCause, Outcome, Overflow, Reader, Verdict};
use support::device::Control;

const MESSAGE: [u8; 64] = [b'b'; 64];

/// What a message takes in a ring.
const RECORD_BYTES: u64 = 24 + 64;

/// A log on a device that takes no write until it is let go on.
struct Rig {
    control: Control,
    logger: Logger,
    path: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Rig {
    fn new(configure: impl FnOnce(Config) -> Config) -> Rig {
        let directory = support::directory();
        let path = directory.path().join("log");
        let control = Control::default();
        let logger = control.hooks().open(configure(support::config(&path))).expect("a log");
        control.block_submit(true);
        Rig { control, logger, path, _directory: directory }
    }

    /// Lets the device go on. All `records` must be in the files, those of each producer in their order.
    fn go_on_and_find(self, records: u64) {
        self.control.block_submit(false);
        self.logger.flush().expect("durable");
        self.logger.close().expect("a clean end");
        let stats = self.logger.stats();
        assert_eq!((stats.attempted, stats.durable_records, stats.dropped, stats.refused), (records, records, 0, 0));
        let (mut read, mut next) = (0, std::collections::HashMap::new());
        let mut reader = Reader::open(&self.path).expect("a log");
        while let Some(record) = reader.next_record().expect("readable") {
            let expected = next.entry(record.producer_id()).or_insert(0);
            assert_eq!(record.sequence(), *expected, "producer {}", record.producer_id());
            assert_eq!(record.message(), MESSAGE);
            *expected += 1;
            read += 1;
        }
        assert_eq!(read, records);
        assert_eq!(diolog::verify(&self.path).expect("a log").verdict, Verdict::Clean);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // The logger's own drop waits for the device.
        self.control.block_submit(false);
    }
}

#[test]
fn a_burst_of_one_producer_is_written() {
    let rig = Rig::new(|config| config);
    let producer = rig.logger.producer().expect("a ring");
    for _ in 0..100_000 {
        assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written);
    }
    rig.go_on_and_find(100_000);
}

#[test]
fn a_burst_through_the_logger_is_written() {
    let rig = Rig::new(|config| config);
    for _ in 0..100_000 {
        assert_eq!(rig.logger.log(Level::Info, MESSAGE), Outcome::Written);
    }
    rig.go_on_and_find(100_000);
}

/// `threads` threads, all alive at once, log `records` records each.
fn burst_of_threads(threads: u64, records: u64) {
    let rig = Rig::new(|config| config);
    let all = Barrier::new(threads as usize);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                all.wait();
                for _ in 0..records {
                    assert_eq!(rig.logger.log(Level::Info, MESSAGE), Outcome::Written);
                }
                all.wait();
            });
        }
    });
    rig.go_on_and_find(threads * records);
}

#[test]
fn bursts_of_64_threads_are_written() {
    burst_of_threads(64, 5_000);
}

#[test]
fn bursts_of_1000_threads_are_written() {
    burst_of_threads(1_000, 10);
}

#[test]
fn a_burst_is_written_while_completions_come_and_go() {
    let rig = Rig::new(|config| config);
    rig.control.block_submit(false);
    let producer = rig.logger.producer().expect("a ring");
    for round in 0..20 {
        rig.control.hold();
        for _ in 0..15_000 {
            assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written, "round {round}");
        }
        rig.control.release();
        for _ in 0..1_000 {
            assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written, "round {round}");
        }
        if round % 3 == 0 {
            rig.logger.flush().expect("durable");
        }
    }
    rig.go_on_and_find(20 * 16_000);
}

// There is no portable way to give pages back.
#[test]
#[cfg(not(diolog_portable))]
fn the_memory_of_a_burst_is_given_back() {
    let rig = Rig::new(|config| config);
    let producer = rig.logger.producer().expect("a ring");
    let window = rig.logger.stats().ring_memory.used_bytes;
    let burst = || (0..50_000).for_each(|_| assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written));
    let used = || rig.logger.stats().ring_memory.used_bytes;
    burst();
    assert!(used() >= window.max(50_000 * RECORD_BYTES), "{} bytes", used());
    rig.control.block_submit(false);
    for _ in 0..2 {
        while used() > window {
            std::thread::yield_now();
        }
        burst();
    }
    rig.go_on_and_find(150_000);
}

#[test]
fn a_burst_beyond_the_memory_of_all_rings_is_dropped_with_that_cause() {
    let limit = 2 << 20;
    let rig = Rig::new(|config| config.rings_bytes_max(limit));
    let producer = rig.logger.producer().expect("a ring");
    let mut written = 0;
    while producer.log(Level::Info, MESSAGE) == Outcome::Written {
        written += 1;
    }
    let stats = rig.logger.stats();
    assert_eq!((stats.dropped, stats.dropped_by.count(LossCause::RingMemory)), (1, 1));
    assert!(stats.ring_memory.used_bytes <= stats.ring_memory.limit_bytes);
    assert_eq!(stats.ring_memory.limit_bytes, limit as u64);
    // The last eighth of the memory is kept for severe records.
    assert!(written * RECORD_BYTES <= limit as u64 / 8 * 7);
    assert_eq!(producer.log(Level::Warn, MESSAGE), Outcome::Written);
}

#[test]
fn severe_records_are_the_last_to_be_dropped() {
    for reserve_bytes in [64 << 10, 0] {
        for overflow in [Overflow::DropNewest, Overflow::BlockFor(std::time::Duration::from_millis(1))] {
            let small = |config: Config| config.ring_bytes(8192).reserve_bytes(reserve_bytes).overflow(overflow);
            let rig = Rig::new(small);
            let producer = rig.logger.producer().expect("a ring");
            while producer.log(Level::Info, MESSAGE) == Outcome::Written {}
            let mut severe = 0;
            while producer.log(if severe % 2 == 0 { Level::Warn } else { Level::Error }, MESSAGE) == Outcome::Written {
                severe += 1;
            }
            let kept = reserve_bytes.max(8192 * usize::from(reserve_bytes == 0)) as u64 / 8;
            assert!((kept / RECORD_BYTES - 1..=kept / RECORD_BYTES + 1).contains(&severe), "{severe} of {kept} bytes");
            rig.control.block_submit(false);
            rig.logger.close().expect("a clean end");
        }
    }
}

#[test]
fn an_overwriting_ring_has_the_size_that_was_asked_for() {
    let rig = Rig::new(|config| config.overflow(Overflow::OverwriteOldest).ring_bytes(8192));
    let producer = rig.logger.producer().expect("a ring");
    let before = rig.logger.stats().ring_memory.used_bytes;
    for _ in 0..10_000 {
        producer.log(Level::Info, MESSAGE);
    }
    assert_eq!((before, rig.logger.stats().ring_memory.used_bytes), (8192, 8192));
    let stats = rig.logger.stats();
    // What the writer has not taken into its blocks.
    assert!(stats.overwritten + stats.dropped > 0, "{stats:?}");
}
