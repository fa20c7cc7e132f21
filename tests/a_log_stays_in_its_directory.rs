//! A log keeps to the directory that it was opened in: after a change of the working directory or of the root, and
//! after a rename of the directory. One that was deleted is made anew.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use diolog::{Level, Logger, Outcome, Reader, State, Verdict, verify};
use support::os::{change_root, is_root};
use support::segments::{block, grow, numbers, small};

/// Lets the log rotate and remove segments.
fn rotate(logger: &Logger) {
    grow(logger, logger.stats().segments + 4);
    assert_eq!(logger.stats().state, State::Ok);
}

/// Asserts that the closed log at `path` has rotated and kept two segments.
fn assert_rotated_and_retained(path: &Path) {
    let numbers = numbers(path);
    assert!(numbers.len() == 2 && numbers[0] >= 3, "{numbers:?}");
    let verification = verify(path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    assert!(verification.report.runs.iter().all(|run| run.notes.is_empty()), "{:#?}", verification.report);
}

/// Everything in a directory, with the contents of files.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").path());
    let mut contents: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
    contents.sort();
    contents
}

#[test]
fn a_change_of_the_working_directory_changes_nothing() {
    if support::child::ran_in_child("a_change_of_the_working_directory_changes_nothing") {
        return;
    }
    let root = support::child_directory();
    let (here, there) = (root.join("here"), root.join("there"));
    fs::create_dir(&here).expect("writable");
    fs::create_dir(&there).expect("writable");
    // A log of the same name, which is not the one that is open.
    support::segments::run(small(there.join("log")), 3);
    let before = contents(&there.join("log"));

    std::env::set_current_dir(&here).expect("a directory");
    let logger = Logger::open(small("log").retain_segments(2)).expect("a log");
    std::env::set_current_dir(&there).expect("a directory");
    rotate(&logger);
    let error = Logger::open(small(here.join("log"))).expect_err("it is open");
    assert!(matches!(error, diolog::Error::InUse { .. }), "{error}");
    logger.close().expect("a clean end");
    assert_rotated_and_retained(&here.join("log"));
    assert_eq!(contents(&there.join("log")), before);
}

#[test]
fn a_renamed_directory_is_followed() {
    let directory = support::directory();
    let (before, after) = (directory.path().join("before"), directory.path().join("after"));
    let logger = Logger::open(small(&before).retain_segments(2)).expect("a log");
    rotate(&logger);
    fs::rename(&before, &after).expect("ours");
    rotate(&logger);
    assert!(!before.exists());
    // Another log in the place of the first.
    support::segments::run(small(&before), 3);
    let others = contents(&before);
    rotate(&logger);
    logger.close().expect("a clean end");
    assert_rotated_and_retained(&after);
    assert_eq!(contents(&before), others);
}

#[test]
fn a_change_of_the_root_changes_nothing() {
    if !is_root() {
        return support::not_shown("a change of the root", "only root can change it");
    }
    if support::role().is_some() {
        return rotate_in_a_jail(&support::child_directory());
    }
    let directory = support::directory();
    support::child::expect_success("a_change_of_the_root_changes_nothing", "child", directory.path());
    // Seen from outside.
    assert_rotated_and_retained(&directory.path().join("log"));
}

/// The child of that test.
fn rotate_in_a_jail(root: &Path) {
    let log = root.join("log");
    let logger = Logger::open(small(&log).retain_segments(2)).expect("a log");
    let jail = root.join("jail");
    // The path of the log leads to another one in there.
    let inner = jail.join(log.strip_prefix("/").expect("absolute"));
    fs::create_dir_all(inner.parent().expect("below the jail")).expect("writable");
    support::segments::run(small(&inner), 3);
    change_root(&jail);
    let before = contents(&log);
    rotate(&logger);
    logger.close().expect("a clean end");
    assert_eq!(contents(&log), before);
}

/// It takes some seconds, which whoever replaces the directory has.
#[test]
fn a_deleted_directory_is_made_anew() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(small(&path)).expect("a log");
    let producer = logger.producer().expect("a producer");
    block(&logger, &producer);
    // The writer may make a file while the others are being deleted.
    while let Err(error) = fs::remove_dir_all(&path) {
        assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty, "{error}");
    }
    let error = logger.flush().expect_err("the records are gone");
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound), "{error}");
    assert_eq!(producer.log(Level::Info, "after it was deleted"), Outcome::Written);
    while logger.flush().is_err() {
        std::thread::yield_now();
    }
    assert_eq!(logger.stats().state, State::Ok);
    let error = logger.close().expect_err("the records are gone");
    assert!(error.to_string().contains("was deleted while in use"), "{error}");
    let mut records = Reader::open(&path).expect("a log");
    assert_eq!(records.next_record().expect("readable").expect("a record").message(), b"after it was deleted");
}

#[test]
fn a_lock_file_that_is_removed_while_it_is_locked_hangs_nobody() {
    let directory = support::directory();
    for round in 0..50 {
        let path = directory.path().join(format!("log{round}"));
        fs::create_dir(&path).expect("a directory");
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                while fs::remove_file(path.join("lock")).is_err() {}
            });
            start.wait();
            Logger::open(small(&path)).expect("a log").close().expect("a clean end");
        });
    }
}
