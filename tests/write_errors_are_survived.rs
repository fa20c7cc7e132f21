//! A refused write loses no acknowledged record, and no other one without counting it. Write number N is refused, for
//! N = 0, 1, 2 … until a run has fewer writes than that: once or for good, with each kind of error.
#![cfg(all(target_os = "linux", feature = "unstable"))]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diolog::unstable::ManualClock;
use diolog::{Config, Error, Level, Logger, Outcome, Overflow, Reader, State, Verdict, verify};
use support::device::Control;
use support::faults::Plan;
use support::os::{Fate, Who, filter_system_calls};

const RECORDS: u64 = 60;
const FLUSH_EVERY: u64 = 12;

fn config(directory: &Path) -> Config {
    Config::new(directory.join("log"))
        .ring_bytes(4096)
        .reserve_bytes(0)
        .severe_only_eighths(0)
        .block_bytes(8192)
        .first_segment_bytes(12 << 10)
        .segment_bytes(64 << 10)
        .overflow(Overflow::DropNewest)
        // A run that can end does, however busy the machine is.
        .close_deadline(Duration::from_secs(600))
}

fn open(config: Config, plan: &Arc<Plan>) -> Logger {
    plan.hooks().open(config).expect("a log")
}

/// The results of a run's calls.
#[derive(Default)]
struct Results {
    accepted: BTreeSet<u64>,
    /// Accepted before a flush that succeeded.
    durable: BTreeSet<u64>,
    dropped: u64,
    close: Option<Error>,
}

/// Logs, flushes now and then, and closes.
fn run(logger: &Logger) -> Results {
    let mut results = Results::default();
    let producer = logger.producer().expect("a producer");
    for number in 0..RECORDS {
        let sequence = producer.next_sequence();
        match producer.log(Level::Info, record(number)) {
            Outcome::Written => assert!(results.accepted.insert(sequence)),
            Outcome::Dropped => results.dropped += 1,
            other => panic!("{other:?}"),
        }
        if number % FLUSH_EVERY == FLUSH_EVERY - 1 && logger.flush().is_ok() {
            results.durable.clone_from(&results.accepted);
        }
    }
    drop(producer);
    results.close = logger.close().err();
    if results.close.is_none() {
        results.durable.clone_from(&results.accepted);
    }
    results
}

fn record(number: u64) -> Vec<u8> {
    format!("record {number:04} {}", "x".repeat(150)).into_bytes()
}

/// The sequences in the files, each once, in order.
fn in_files(directory: &Path) -> BTreeSet<u64> {
    let mut sequences = BTreeSet::new();
    for record in Reader::open(directory.join("log")).expect("a log") {
        let record = record.expect("readable files");
        assert!(record.message().starts_with(b"record "), "an invented record");
        assert!(sequences.insert(record.sequence()), "{} twice", record.sequence());
    }
    sequences
}

/// Makes runs in each of which `count` writes are refused, from the first write on, the second, and so on, until a run
/// has fewer writes: with several blocks in flight, and with one, so that a segment's header is alone in flight.
fn strike_each_write(errno: i32, count: u64, writes_anyway: bool, check: impl Fn(u64, &Path, &Results)) {
    for blocks_in_flight in [4, 1] {
        strike_each_write_of(blocks_in_flight, errno, count, writes_anyway, &check);
    }
}

fn strike_each_write_of(
    blocks_in_flight: usize,
    errno: i32,
    count: u64,
    writes_anyway: bool,
    check: impl Fn(u64, &Path, &Results),
) {
    for first in 0.. {
        let directory = support::directory();
        let mut plan = Plan::new(first, count, errno);
        Arc::get_mut(&mut plan).expect("not shared yet").writes_anyway = writes_anyway;
        let for_good = count == u64::MAX;
        // A run whose device has failed for good lasts until its deadline.
        let deadline = Duration::from_millis(if for_good { 300 } else { 600_000 });
        let config = config(directory.path()).blocks_in_flight(blocks_in_flight).close_deadline(deadline);
        let logger = open(config, &plan);
        let results = run(&logger);
        let files = in_files(directory.path());
        assert!(results.durable.is_subset(&files), "write {first}: durable records are missing");
        assert!(files.is_subset(&results.accepted), "write {first}: records that no call has accepted");
        check(first, directory.path(), &results);
        if plan.struck() {
            assert!(!for_good || results.close.is_some(), "write {first}: a clean end on a device that has failed");
        } else {
            assert!(first > 5, "the first writes of a run are refused");
            assert!(for_good || results.close.is_none(), "an untouched run ends cleanly: {:?}", results.close);
            return;
        }
    }
}

fn expect_nothing_lost(first: u64, directory: &Path, results: &Results) {
    assert!(results.close.is_none(), "write {first}: {:?}", results.close);
    let verification = verify(directory.join("log")).expect("a log");
    let expected = support::account::intact(results.dropped);
    assert_eq!(verification.verdict, expected, "write {first}: {verification:#?}");
    assert_eq!(verification.report.records, results.accepted.len() as u64, "write {first}");
}

#[test]
fn a_write_refused_once_by_the_disk_loses_nothing() {
    for (errno, writes_anyway) in [(libc::EIO, false), (libc::EIO, true), (libc::EROFS, false), (libc::EFBIG, false)] {
        strike_each_write(errno, 1, writes_anyway, expect_nothing_lost);
    }
}

/// The last blocks of a segment, the next segment's header and its first blocks are in flight together. If one of the
/// former is refused, all of them go to the segment after the next.
#[test]
fn a_write_refused_while_the_next_segment_is_begun_loses_nothing() {
    for first in 0.. {
        let directory = support::directory();
        let plan = Plan::new(first, 1, libc::EIO);
        let config = config(directory.path()).ring_bytes(256 << 10).block_bytes(4096).blocks_in_flight(4);
        let config = config.first_segment_bytes(16 << 10).segment_bytes(16 << 10);
        let logger = open(config, &plan);
        let producer = logger.producer().expect("a producer");
        let mut results = Results::default();
        for number in 0..600 {
            results.accepted.insert(producer.next_sequence());
            assert_eq!(producer.log(Level::Info, record(number)), Outcome::Written);
        }
        drop(producer);
        results.close = logger.close().err();
        assert_eq!(in_files(directory.path()), results.accepted, "write {first}");
        expect_nothing_lost(first, directory.path(), &results);
        if !plan.struck() {
            return;
        }
    }
}

#[test]
fn a_follower_beside_refused_writes_gets_every_record_once_and_in_order() {
    for first in [3, 7, 12, 20] {
        let directory = support::directory();
        let plan = Plan::new(first, 2, libc::EIO);
        let config = config(directory.path()).ring_bytes(256 << 10).block_bytes(4096).blocks_in_flight(4);
        let logger = open(config.first_segment_bytes(16 << 10).segment_bytes(16 << 10), &plan);
        let producer = logger.producer().expect("a producer");
        assert_eq!(producer.log(Level::Info, record(0)), Outcome::Written);
        // The first write is not refused.
        logger.flush().expect("durable");
        let mut reader = Reader::open(directory.path().join("log")).expect("a log");
        let mut next = 0;
        let mut read_on = |wanted: u64| {
            while next < wanted {
                reader.follow(Duration::from_millis(20)).expect("readable");
                while let Some(read) = reader.next_record().expect("readable") {
                    assert_eq!((read.sequence(), read.message()), (next, &record(next)[..]), "write {first}");
                    next += 1;
                }
            }
        };
        for batch in 0..30 {
            (1..=20).for_each(|n| assert_eq!(producer.log(Level::Info, record(20 * batch + n)), Outcome::Written));
            read_on(20 * batch);
        }
        drop(producer);
        logger.close().expect("a clean end");
        read_on(601);
        assert!(plan.struck(), "write {first} was to be refused");
        let report = reader.report();
        assert_eq!((report.verdict(), report.blocks.lost, report.blocks.holes), (Verdict::Clean, 0, 0), "{report:#?}");
    }
}

#[test]
fn a_write_refused_once_for_want_of_room_loses_nothing() {
    for errno in [libc::ENOSPC, libc::EDQUOT] {
        strike_each_write(errno, 1, false, expect_nothing_lost);
    }
}

#[test]
fn a_disk_that_fails_for_good_keeps_durable_records_and_close_counts_the_others() {
    let check = |first: u64, directory: &Path, results: &Results| {
        let verification = verify(directory.join("log"));
        let Some(close) = &results.close else { return };
        let Error::CloseIncomplete { unconfirmed, dropped, .. } = close else { panic!("{close:?}") };
        assert_eq!(*dropped, results.dropped, "write {first}");
        let files = in_files(directory);
        assert!(unconfirmed + files.len() as u64 >= results.accepted.len() as u64, "write {first}: {close}");
        // If not even the segment's header was written, there is no log to verify.
        if let Ok(verification) = verification {
            assert_ne!(verification.verdict, Verdict::Lost, "write {first}: {verification:#?}");
        }
    };
    // At the same time: each run waits until its deadline.
    std::thread::scope(|scope| {
        for errno in [libc::EIO, libc::ENOSPC, libc::EROFS, libc::EDQUOT, libc::EFBIG] {
            scope.spawn(move || strike_each_write(errno, u64::MAX, false, check));
        }
    });
}

#[test]
fn flush_returns_the_devices_error_and_succeeds_once_blocks_are_written_again() {
    for errno in [libc::ENOSPC, libc::EIO] {
        let directory = support::directory();
        let control = Control::default();
        // Nothing is written but for a flush: the writes that are not acknowledged are then the refused ones.
        let config = config(directory.path()).flush_interval(Duration::from_secs(3600));
        let logger = control.hooks().open(config).expect("a log");
        let producer = logger.producer().expect("a producer");
        assert_eq!(producer.log(Level::Info, record(1)), Outcome::Written);
        logger.flush().expect("durable");
        control.fail_with(Some(errno));
        assert_eq!(producer.log(Level::Info, record(2)), Outcome::Written);
        let error = logger.flush().expect_err("no write succeeds");
        assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(errno), "{error}");
        control.fail_with(None);
        // A flush fails as long as the writer has not tried again.
        while logger.flush().is_err() {
            std::thread::yield_now();
        }
        assert_eq!(logger.stats().state, State::Ok);
        let refused = control.writes().iter().filter(|write| !write.acknowledged).count() as u64;
        assert!(refused > 0);
        assert_eq!(logger.stats().write_errors, refused);
        logger.close().expect("a clean end");
        assert_eq!(in_files(directory.path()).len(), 2);
        let verification = verify(directory.path().join("log")).expect("a log");
        assert!(
            verification.report.runs[0].notes.iter().any(|note| note.contains("cannot write")),
            "the log has no note of the error: {verification:#?}"
        );
    }
}

#[test]
fn a_callback_is_called_with_each_state_and_its_panic_does_not_reach_the_writer() {
    let directory = support::directory();
    let plan = Plan::new(1, 1, libc::ENOSPC);
    let logger = open(config(directory.path()), &plan);
    let (heard, states) = std::sync::mpsc::channel();
    logger.on_state_change(move |state| {
        let _ = heard.send(state);
        assert_ne!(state, State::Full, "the callback panics");
    });
    let producer = logger.producer().expect("a producer");
    assert_eq!(producer.log(Level::Info, record(1)), Outcome::Written);
    assert_eq!(states.recv(), Ok(State::Full));
    assert_eq!(states.recv(), Ok(State::Ok));
    logger.close().expect("a clean end");
    assert_eq!(in_files(directory.path()).len(), 1);
}

#[test]
fn a_log_whose_directory_is_deleted_reports_it_and_goes_on_once_it_is_back() {
    let directory = support::directory();
    let logger = open(config(directory.path()), &Plan::new(u64::MAX, 0, libc::EIO));
    let producer = logger.producer().expect("a producer");
    assert_eq!(producer.log(Level::Info, record(1)), Outcome::Written);
    logger.flush().expect("durable");
    let (heard, states) = std::sync::mpsc::channel();
    logger.on_state_change(move |state| _ = heard.send(state));

    std::fs::remove_dir_all(directory.path().join("log")).expect("ours to remove");
    assert_eq!(states.recv(), Ok(State::Failed));
    assert_eq!(producer.log(Level::Info, record(2)), Outcome::Written);
    let error = logger.flush().expect_err("nowhere to write");
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound), "{error}");

    std::fs::create_dir(directory.path().join("log")).expect("a directory again");
    assert_eq!(states.recv(), Ok(State::Ok));
    expect_gone(&logger);
    let messages: Vec<_> = Reader::open(directory.path().join("log"))
        .expect("a log")
        .map(|record| record.expect("readable").message().to_vec())
        .collect();
    assert_eq!(messages, [record(2)], "records in the deleted files are gone; those that were not durable are here");
}

#[test]
fn a_segment_deleted_before_its_first_record_is_replaced_and_costs_no_record() {
    let directory = support::directory();
    let logger = open(config(directory.path()), &Plan::new(u64::MAX, 0, libc::EIO));
    let producer = logger.producer().expect("a producer");
    std::fs::remove_file(directory.path().join("log/00000001.dlog")).expect("there");
    assert_eq!(producer.log(Level::Info, record(1)), Outcome::Written);
    // A flush fails as long as the next segment is being prepared.
    while logger.flush().is_err() {
        std::thread::yield_now();
    }
    logger.close().expect("a clean end");
    let read: Vec<_> = Reader::open(directory.path().join("log"))
        .expect("a log")
        .map(|record| record.expect("readable").message().to_vec())
        .collect();
    assert_eq!(read, [record(1)]);
    // The next segment's header testifies that the deleted one held no block.
    let verification = diolog::verify(directory.path().join("log")).expect("a log");
    assert_eq!(verification.verdict, diolog::Verdict::Clean, "{:?}", verification.report.findings);
}

#[test]
fn a_flush_into_a_deleted_file_fails() {
    let directory = support::directory();
    flush_into_a_deleted_file(directory.path());
}

/// Kernels before 4.11 have no `statx`, and some sandboxes forbid it.
#[test]
fn a_deleted_file_is_found_without_statx() {
    if support::child::ran_in_child("a_deleted_file_is_found_without_statx") {
        return;
    }
    filter_system_calls(Who::AllThreads, &[libc::SYS_statx], Fate::Fails(libc::ENOSYS), Fate::Allowed);
    flush_into_a_deleted_file(&support::child_directory());
}

/// Closes a log of which durable records are not in its directory any more: `close` says so, though a flush may have
/// said it before. Returns the reason.
fn expect_gone(logger: &Logger) -> String {
    let error = logger.close().expect_err("readers do not find some records");
    let Error::CloseIncomplete { unconfirmed: 0, reason, .. } = error else { panic!("{error}") };
    assert!(reason.contains("readers do not find records that were durable"), "{reason}");
    reason
}

fn flush_into_a_deleted_file(directory: &Path) {
    let logger = open(config(directory), &Plan::new(u64::MAX, 0, libc::EIO));
    let producer = logger.producer().expect("a producer");
    producer.log(Level::Info, record(1));
    logger.flush().expect("durable");
    std::fs::remove_file(directory.join("log/00000001.dlog")).expect("there");
    let error = logger.flush().expect_err("the records that it waits for are gone");
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound), "{error}");
    producer.log(Level::Info, record(2));
    while logger.flush().is_err() {
        std::thread::yield_now();
    }
    expect_gone(&logger);
}

/// Opens a log with a durable record, does something to its first segment, and shows that the writer notices and that
/// nothing accepted since is lost. Returns the error of the flush that noticed.
fn disturb_the_present_segment(directory: &Path, disturb: impl FnOnce(&Path)) -> String {
    // A clock that stands still: it is never time for the writer to look by itself whether the segment is there.
    let clock: &ManualClock = Box::leak(Box::default());
    let logger = Plan::new(u64::MAX, 0, libc::EIO).hooks().clock(clock).open(config(directory)).expect("a log");
    let producer = logger.producer().expect("a producer");
    assert_eq!(producer.log(Level::Info, record(1)), Outcome::Written);
    logger.flush().expect("durable");
    let (heard, states) = std::sync::mpsc::channel();
    logger.on_state_change(move |state| _ = heard.send(state));
    disturb(&directory.join("log"));
    assert_eq!(producer.log(Level::Info, record(2)), Outcome::Written);
    let error = logger.flush().expect_err("nobody finds the record that it waits for");
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound), "{error}");
    assert_eq!(states.recv(), Ok(State::Failed));
    assert_eq!(producer.log(Level::Info, record(3)), Outcome::Written);
    // A flush fails as long as the next segment is being prepared.
    while logger.flush().is_err() {
        std::thread::yield_now();
    }
    assert_eq!(states.recv(), Ok(State::Ok));
    expect_gone(&logger);
    error.to_string()
}

#[test]
fn a_present_segment_that_is_renamed_is_replaced() {
    let directory = support::directory();
    let error = disturb_the_present_segment(directory.path(), |log| {
        std::fs::rename(log.join("00000001.dlog"), log.join("moved")).expect("ours");
    });
    assert!(error.contains("was renamed while in use"), "{error}");
    assert_eq!(in_files(directory.path()), BTreeSet::from([2]), "what was not durable is in the next one");
    assert!(directory.path().join("log/moved").exists());
    // Put back by its name, it is part of the log again.
    let log = directory.path().join("log");
    std::fs::rename(log.join("moved"), log.join("00000001.dlog")).expect("ours");
    assert_eq!(in_files(directory.path()), BTreeSet::from([0, 1, 2]));
}

#[test]
fn a_present_segment_that_is_replaced_by_another_file_is_noticed_without_a_flush() {
    let directory = support::directory();
    let logger = open(config(directory.path()), &Plan::new(u64::MAX, 0, libc::EIO));
    logger.log(Level::Info, record(1));
    logger.flush().expect("durable");
    let (heard, states) = std::sync::mpsc::channel();
    logger.on_state_change(move |state| _ = heard.send(state));
    let (other, present) = (directory.path().join("other"), directory.path().join("log/00000001.dlog"));
    std::fs::write(&other, "somebody else's").expect("writable");
    std::fs::rename(&other, &present).expect("ours");
    assert_eq!(states.recv(), Ok(State::Failed));
    let error = logger.flush().expect_err("nobody has been told yet");
    assert!(error.to_string().contains("was replaced by another file while in use"), "{error}");
    logger.log(Level::Info, record(2));
    assert_eq!(states.recv(), Ok(State::Ok));
    expect_gone(&logger);
    assert_eq!(std::fs::read(&present).expect("there"), b"somebody else's", "it is not touched");
}

#[test]
fn a_present_segment_that_is_moved_away_is_noticed_by_close() {
    let directory = support::directory();
    let logger = open(config(directory.path()), &Plan::new(u64::MAX, 0, libc::EIO));
    logger.log(Level::Info, record(1));
    logger.flush().expect("durable");
    std::fs::rename(directory.path().join("log/00000001.dlog"), directory.path().join("moved")).expect("ours");
    let reason = expect_gone(&logger);
    assert!(reason.contains("was renamed while in use"), "{reason}");
}
