//! A disk that fills up and gets space again: the process lives, the log resumes by itself, and its files agree with
//! the counts. On real file systems that are too small for a log's default sizes.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::sync::mpsc::channel;

use diolog::{Level, Logger, Outcome, Reader, State, verify};
use support::disk::on_a_disk;

/// The size of the file that is removed to make room.
const BALLAST_BYTES: u64 = 4 << 20;

/// Fills the file system at `disk` through a log, frees some of it, and goes on.
fn fill_and_resume(disk: &Path) {
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0xBA; BALLAST_BYTES as usize]).expect("room for the ballast");
    let path = disk.join("log");
    // All sizes are the defaults, which ask for more than this disk has. But rings have no reserve: what is accepted
    // must fit into the room that is made.
    let logger = Logger::open(support::config(&path).reserve_bytes(0)).expect("a log");
    let (heard, states) = channel();
    logger.on_state_change(move |state| _ = heard.send(state));
    let producer = logger.producer().expect("a producer");
    let message = [b'x'; 1000];
    let mut accepted = 0_u64;
    let mut log = || match producer.log(Level::Info, message) {
        Outcome::Written => accepted += 1,
        Outcome::Dropped => std::thread::yield_now(),
        other => panic!("{other:?}"),
    };
    while states.try_recv() != Ok(State::Full) {
        log();
    }
    assert!(logger.flush().is_err(), "the disk is full");
    std::fs::remove_file(&ballast).expect("ours to remove");
    assert_eq!(states.recv(), Ok(State::Ok), "it resumes by itself");
    (0..100).for_each(|_| log());
    logger.close().expect("a clean end");

    let verification = verify(&path).expect("a log");
    let expected = support::account::intact(logger.stats().dropped);
    assert_eq!(verification.verdict, expected, "{verification:#?}");
    assert_eq!(verification.report.records, accepted);
    assert_eq!(Reader::open(&path).expect("a log").count() as u64, accepted);
}

fn on_a_disk_of(bytes: u64, test: &str) {
    on_a_disk(bytes, "defaults", test, fill_and_resume);
}

#[test]
fn a_log_on_a_full_disk_of_16_mib_resumes() {
    on_a_disk_of(16 << 20, "a_log_on_a_full_disk_of_16_mib_resumes");
}

#[test]
fn a_log_on_a_full_disk_of_48_mib_resumes() {
    on_a_disk_of(48 << 20, "a_log_on_a_full_disk_of_48_mib_resumes");
}
