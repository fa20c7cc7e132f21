//! `RLIMIT_FSIZE`: a log keeps to a limit on the size of files by using more files. If the limit is set while the log
//! is open, no accepted record is lost, and the dropped ones are counted.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::time::Duration;

use diolog::{Error, Level, Logger, Outcome, Overflow, State};
use support::account::{self, Attempts, Overwrites};
use support::os;

const LIMIT_BYTES: u64 = 256 << 10;

/// The largest segment, in bytes.
fn largest_segment(path: &Path) -> u64 {
    let sizes =
        std::fs::read_dir(path).expect("a log").map(|entry| entry.expect("a file").metadata().expect("ours").len());
    sizes.max().expect("a segment")
}

#[test]
fn a_log_keeps_to_a_limit_by_more_files() {
    if support::child::ran_in_child("a_log_keeps_to_a_limit_by_more_files") {
        return;
    }
    // SIGXFSZ is not ignored: a write beyond the limit, by a thread of the program, would end the process.
    os::set_limit(libc::RLIMIT_FSIZE, LIMIT_BYTES);
    let path = support::child_directory().join("log");
    let config = support::config(&path).block_bytes(16 << 10).overflow(Overflow::Block);
    let logger = Logger::open(config).expect("many small files will do");
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    for _ in 0..30_000 {
        assert_eq!(attempts.log(&producer), Outcome::Written);
    }
    logger.close().expect("a clean end");
    // Those by the library's threads, which block the signal, would fail.
    assert_eq!(logger.stats().write_errors, 0);
    assert!(logger.stats().segments > 5, "{} segments", logger.stats().segments);
    assert!(largest_segment(&path) <= LIMIT_BYTES);
    account::check(&path, &[attempts], Overwrites::No);
}

#[test]
fn a_limit_below_a_block_is_refused_at_open() {
    if support::child::ran_in_child("a_limit_below_a_block_is_refused_at_open") {
        return;
    }
    os::set_limit(libc::RLIMIT_FSIZE, 64 << 10);
    let path = support::child_directory().join("log");
    let error = Logger::open(support::config(&path)).expect_err("a block has 256 KiB");
    assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
    assert!(error.to_string().contains("64 KiB"), "the limit is named: {error}");
    assert!(!path.exists());
}

#[test]
fn a_limit_set_while_the_log_is_open_loses_no_accepted_record() {
    if support::child::ran_in_child("a_limit_set_while_the_log_is_open_loses_no_accepted_record") {
        return;
    }
    // SIGXFSZ is not ignored: the library's threads block it, and get an error instead.
    os::reset_signal(libc::SIGXFSZ);
    let path = support::child_directory().join("log");
    let config = support::config_of_ring(&path, 4096).block_bytes(16 << 10).segment_bytes(1 << 20);
    // A close that can end does, however busy the machine is.
    let logger = Logger::open(config.close_deadline(Duration::from_secs(600))).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut accepted = Vec::new();
    let mut log = |number: u64| {
        let outcome = producer.log(Level::Info, number.to_le_bytes());
        if outcome == Outcome::Written {
            accepted.push(number);
        }
        outcome
    };
    for number in 0..10 {
        log(number);
    }
    logger.flush().expect("durable");
    os::set_limit(libc::RLIMIT_FSIZE, 128 << 10);
    let mut number = 10;
    while logger.stats().write_errors == 0 {
        if log(number) == Outcome::Dropped {
            std::thread::yield_now();
        }
        number += 1;
    }
    // Callers can go on logging.
    for _ in 0..1000 {
        log(number);
        number += 1;
    }
    logger.close().expect("a clean end");
    let stats = logger.stats();
    assert_eq!(stats.attempted, number);
    assert_eq!(stats.dropped, number - accepted.len() as u64);
    assert_eq!(stats.durable_records, accepted.len() as u64);
    let read: Vec<u64> = diolog::Reader::open(&path)
        .expect("a log")
        .map(|record| u64::from_le_bytes(record.expect("readable").message().try_into().expect("eight bytes")))
        .collect();
    assert!(read == accepted, "{} records accepted, {} in the files", accepted.len(), read.len());
}

#[test]
fn records_wait_while_no_further_file_can_be_opened() {
    if support::child::ran_in_child("records_wait_while_no_further_file_can_be_opened") {
        return;
    }
    // A segment may not grow beyond its size.
    os::set_limit(libc::RLIMIT_FSIZE, 32 << 10);
    let path = support::child_directory().join("log");
    let logger = Logger::open(support::segments::small(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    assert_eq!(attempts.log(&producer), Outcome::Written);
    logger.flush().expect("durable");
    os::set_limit(libc::RLIMIT_NOFILE, 0);
    let error = loop {
        assert_eq!(attempts.log(&producer), Outcome::Written);
        if let Err(error) = logger.flush() {
            break error;
        }
    };
    assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(libc::EMFILE), "{error}");
    assert_eq!(logger.stats().state, State::Failed);
    // The records that could not be written are kept, and wait.
    os::set_limit(libc::RLIMIT_NOFILE, 1024);
    while logger.flush().is_err() {
        std::thread::yield_now();
    }
    assert_eq!(logger.stats().state, State::Ok);
    assert_eq!(attempts.log(&producer), Outcome::Written);
    logger.close().expect("a clean end");
    assert!(largest_segment(&path) <= 32 << 10);
    account::check(&path, &[attempts], Overwrites::No);
}

#[test]
fn producers_are_refused_if_a_small_file_has_no_room_for_their_rows() {
    if support::child::ran_in_child("producers_are_refused_if_a_small_file_has_no_room_for_their_rows") {
        return;
    }
    os::set_limit(libc::RLIMIT_FSIZE, 128 << 10);
    let path = support::child_directory().join("log");
    let config = support::config(&path).ring_bytes(4096).block_bytes(64 << 10).overflow(Overflow::Block);
    let logger = Logger::open(config).expect("a log");
    let mut producers = Vec::new();
    let error = loop {
        match logger.producer_named(&format!("{:0>255}", producers.len())) {
            Ok(producer) => producers.push(producer),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::TooManyProducers { .. }), "{error}");
    assert!(error.to_string().contains("ulimit -f"), "{error}");
    let mut all: Vec<_> = producers.iter().map(Attempts::new).collect();
    while logger.stats().segments < 4 {
        for (attempts, producer) in all.iter_mut().zip(&producers) {
            assert_eq!(attempts.log(producer), Outcome::Written);
        }
        logger.flush().expect("durable");
    }
    logger.close().expect("a clean end");
    assert_eq!(logger.stats().write_errors, 0, "a header beyond the limit would be one");
    assert!(largest_segment(&path) <= 128 << 10);
    account::check(&path, &all, Overwrites::No);
}
