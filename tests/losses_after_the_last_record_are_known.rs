//! Losses after a producer's last record leave no hole between two records. The files account for them too.
#![cfg(feature = "unstable")]

mod support;

use std::path::{Path, PathBuf};

use diolog::{Level, Outcome};
use support::account::{self, Attempts, Overwrites};
use support::device::Control;

/// A log whose rings hold 4 KiB, and its directory.
fn log_of_small_rings() -> (Control, diolog::Logger, PathBuf, tempfile::TempDir) {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config_of_ring(&path, 4096)).expect("a log");
    (control, logger, path, directory)
}

/// Logs until the ring is full, and `losses` records more. The device is held, so that no space gets free in between.
fn fill_and_lose(producer: &diolog::Producer, losses: usize) -> Attempts {
    let mut attempts = Attempts::new(producer);
    lose(&mut attempts, producer, losses);
    attempts
}

fn lose(attempts: &mut Attempts, producer: &diolog::Producer, losses: usize) {
    while attempts.log(producer) == Outcome::Written {}
    for _ in 1..losses {
        // A shorter message may still fit after a longer one did not.
        attempts.log(producer);
    }
    while attempts.outcomes.last() == Some(&Outcome::Written) {
        attempts.log(producer);
    }
}

#[test]
fn last_losses_of_producers_that_end_before_close_are_known() {
    let (control, logger, path, _directory) = log_of_small_rings();
    control.hold();
    let all: Vec<Attempts> = (1..=5)
        .map(|losses| {
            let producer = logger.producer().expect("a ring");
            fill_and_lose(&producer, losses)
        })
        .collect();
    control.release();
    logger.close().expect("a clean end");
    assert!(all.iter().all(|attempts| attempts.outcomes.last() == Some(&Outcome::Dropped)));
    account::check(&path, &all, Overwrites::No);
}

#[test]
fn last_losses_of_producers_alive_at_close_are_known() {
    let (control, logger, path, _directory) = log_of_small_rings();
    control.hold();
    let producers: Vec<_> = (0..5).map(|_| logger.producer().expect("a ring")).collect();
    let all: Vec<Attempts> = producers.iter().map(|producer| fill_and_lose(producer, 7)).collect();
    control.release();
    logger.close().expect("a clean end");
    account::check(&path, &all, Overwrites::No);
    assert_eq!(producers[0].log(Level::Info, "too late"), Outcome::Closed);
}

#[test]
fn a_producer_that_logged_nothing_has_lost_nothing() {
    let (control, logger, path, _directory) = log_of_small_rings();
    control.hold();
    let producer = logger.producer().expect("a ring");
    let attempts = fill_and_lose(&producer, 3);
    drop(producer);
    // The first producer's ring is not empty yet, so this one gets another.
    let idle = logger.producer().expect("a ring");
    control.release();
    logger.close().expect("a clean end");
    account::check(&path, &[attempts, Attempts::new(&idle)], Overwrites::No);
}

/// As [`lose`]. Half of the losses come after the writer has taken all records: no row of their block can count them.
fn lose_late(attempts: &mut Attempts, producer: &diolog::Producer, logger: &diolog::Logger, losses: usize) {
    lose(attempts, producer, losses);
    while logger.stats().written < attempts.count(Outcome::Written) {
        std::thread::yield_now();
    }
    lose(attempts, producer, losses);
}

/// The losses that the files of an open log show, and the verdict on it.
fn shown(path: &Path) -> (u64, diolog::Verdict) {
    let verification = diolog::verify(path).expect("readable");
    let producers = verification.report.runs.iter().flat_map(|run| &run.producers);
    (producers.map(|producer| producer.dropped + producer.overwritten).sum(), verification.verdict)
}

#[test]
fn a_flush_writes_the_losses_before_it() {
    let (control, logger, path, _directory) = log_of_small_rings();
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    for losses in [3, 1, 500] {
        control.hold();
        lose_late(&mut attempts, &producer, &logger, losses);
        control.release();
        logger.flush().expect("a working disk");
        let (dropped, verdict) = shown(&path);
        assert_eq!(dropped, attempts.count(Outcome::Dropped));
        // Off Linux, nothing tells that the log is open.
        let is_known_to_be_open = cfg!(all(target_os = "linux", not(diolog_portable)));
        assert_eq!(verdict == diolog::Verdict::Dropped, is_known_to_be_open, "{verdict:?}");
        let blocks = logger.stats().durable_blocks;
        logger.flush().expect("a working disk");
        assert_eq!(logger.stats().durable_blocks, blocks, "nothing is new");
    }
    drop(producer);
    logger.close().expect("a clean end");
    account::check(&path, &[attempts], Overwrites::No);
}

#[test]
fn losses_are_written_although_the_producer_logs_no_more() {
    let (control, logger, path, _directory) = log_of_small_rings();
    control.hold();
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    lose_late(&mut attempts, &producer, &logger, 3);
    control.release();
    while shown(&path).0 != attempts.count(Outcome::Dropped) {
        std::thread::yield_now();
    }
    drop(producer);
    logger.close().expect("a clean end");
    account::check(&path, &[attempts], Overwrites::No);
}
