//! The outcome of a record that finds its ring full, policy by policy, under a device that completes no write.
#![cfg(feature = "unstable")]

mod support;

use std::time::{Duration, Instant};

use diolog::{Level, Logger, LossCause, Outcome, Overflow, Producer, Reader};
use support::device::Control;

/// 24 bytes of head and 104 of message: 32 of them fill a ring of 4096 bytes to the last byte.
const MESSAGE: [u8; 104] = [b'o'; 104];
const FIT: u64 = 32;

struct Rig {
    control: Control,
    logger: Logger,
    producer: Producer,
    path: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Rig {
    /// A log whose ring is full.
    fn full(overflow: Overflow) -> Rig {
        let directory = support::directory();
        let path = directory.path().join("log");
        let control = Control::default();
        let config = support::config_of_ring(&path, 4096).overflow(overflow);
        let logger = control.hooks().open(config).expect("a log");
        let producer = logger.producer().expect("a ring");
        control.hold();
        for _ in 0..FIT {
            assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written);
        }
        Rig { control, logger, producer, path, _directory: directory }
    }

    /// The sequence numbers in the files, after close.
    fn sequences(&self) -> Vec<u64> {
        self.control.release();
        self.logger.close().expect("a clean end");
        Reader::open(&self.path).expect("a log").map(|record| record.expect("readable").sequence()).collect()
    }
}

#[test]
fn drop_newest_is_the_default_keeps_the_oldest_and_counts_the_rest() {
    assert_eq!(Overflow::default(), Overflow::DropNewest);
    let rig = Rig::full(Overflow::default());
    for _ in 0..10 {
        assert_eq!(rig.producer.log(Level::Info, MESSAGE), Outcome::Dropped);
    }
    assert_eq!(rig.producer.next_sequence(), FIT + 10);
    let stats = rig.logger.stats();
    assert_eq!((stats.attempted, stats.dropped, stats.accepted()), (FIT + 10, 10, FIT));
    assert_eq!((stats.producers[0].attempted, stats.producers[0].dropped), (FIT + 10, 10));
    assert_eq!(stats.dropped_by.count(LossCause::RingFull), 10);
    assert_eq!(stats.producers[0].dropped_by, stats.dropped_by);
    // There is room again, and the sequence has a hole.
    rig.control.release();
    rig.logger.flush().expect("durable");
    assert_eq!(rig.producer.log(Level::Info, MESSAGE), Outcome::Written);
    assert_eq!(rig.sequences(), (0..FIT).chain([FIT + 10]).collect::<Vec<_>>());
    let report = rig.logger.close().expect("the same answer");
    assert_eq!((report.accepted, report.durable, report.dropped, report.lost()), (FIT + 1, FIT + 1, 10, 10));
    assert_eq!((report.dropped_by, report.overwritten), (stats.dropped_by, 0));
    assert_eq!(report.to_string(), "33 records durable; 10 dropped (ring full)");
}

#[test]
fn block_for_gives_up_after_its_time_and_counts() {
    let limit = Duration::from_millis(3);
    let rig = Rig::full(Overflow::BlockFor(limit));
    for lost in 1..=3 {
        let begin = Instant::now();
        assert_eq!(rig.producer.log(Level::Info, MESSAGE), Outcome::Dropped);
        assert!(begin.elapsed() >= limit, "it gave up after {:?}", begin.elapsed());
        assert_eq!(rig.logger.stats().dropped, lost);
    }
    assert_eq!(rig.sequences(), (0..FIT).collect::<Vec<_>>());
    let stats = rig.logger.stats();
    assert_eq!((stats.dropped, stats.dropped_by.count(LossCause::TimedOut)), (3, 3));
}

#[test]
fn block_for_appends_once_there_is_room() {
    // Much longer than the release can take: the test would hang if it were waited out.
    let rig = Rig::full(Overflow::BlockFor(Duration::from_secs(3600)));
    rig.control.release();
    assert_eq!(rig.producer.log(Level::Info, MESSAGE), Outcome::Written);
    assert_eq!(rig.sequences(), (0..=FIT).collect::<Vec<_>>());
    assert_eq!(rig.logger.stats().dropped, 0);
}

#[test]
fn block_appends_once_there_is_room() {
    let rig = Rig::full(Overflow::Block);
    rig.control.release();
    for _ in 0..1000 {
        assert_eq!(rig.producer.log(Level::Info, MESSAGE), Outcome::Written);
    }
    assert_eq!(rig.sequences(), (0..FIT + 1000).collect::<Vec<_>>());
    assert_eq!(rig.logger.stats().dropped, 0);
}

#[test]
fn overwrite_oldest_keeps_the_newest_and_counts_those_given_up() {
    let rig = Rig::full(Overflow::OverwriteOldest);
    // The writer copies records into blocks; once all blocks are full or held, the ring overwrites its oldest. While
    // the writer copies, for some hundred nanoseconds at a time, an append may be dropped: that must be counted. The
    // last one here is accepted, and is the newest record.
    let (mut attempted, mut dropped) = (FIT, 0);
    loop {
        attempted += 1;
        match rig.producer.log(Level::Info, MESSAGE) {
            Outcome::Written if rig.logger.stats().overwritten >= 100 => break,
            Outcome::Written => {}
            Outcome::Dropped => dropped += 1,
            other => panic!("{other:?}"),
        }
    }
    let sequences = rig.sequences();
    let stats = rig.logger.stats();
    assert_eq!((stats.attempted, stats.dropped), (attempted, dropped));
    assert_eq!(sequences.last(), Some(&(attempted - 1)));
    assert_eq!(sequences.len() as u64, attempted - stats.overwritten - dropped);
    assert!(sequences.is_sorted_by(|a, b| a < b));
}
