//! What a log meets in a directory that is not as it was: a process that gave up its rights to it after open, and
//! thousands of files that earlier runs left.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::fs;

use diolog::{Logger, Reader, State, Verdict, verify};
use support::os::{become_user, is_root, set_mode};
use support::segments::{block, file, grow, numbers, run, small};

/// Blocks that a segment of these logs has no room for.
const BLOCKS: usize = 40;

#[test]
fn a_process_that_gives_up_root_after_open_loses_no_record() {
    if !is_root() {
        return support::not_shown("a process that gives up root", "this one is not root");
    }
    if support::role().is_some() {
        let path = support::child_directory().join("log");
        let logger = Logger::open(small(&path).retain_segments(2)).expect("a log");
        grow(&logger, 2);
        become_user(65534, &path);
        let producer = logger.producer().expect("a producer");
        // The next segment cannot be made: the present one grows.
        (0..BLOCKS).for_each(|_| block(&logger, &producer));
        assert_eq!(logger.stats().state, State::Ok);
        drop(producer);
        return logger.close().map(drop).expect("a clean end");
    }
    let directory = support::directory();
    set_mode(directory.path(), 0o700);
    let test = "a_process_that_gives_up_root_after_open_loses_no_record";
    support::child::expect_success(test, "child", directory.path());
    let path = directory.path().join("log");
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    assert!(Reader::open(&path).expect("a log").count() > BLOCKS);
    let [run] = &verification.report.runs[..] else { panic!("{:#?}", verification.report.runs) };
    assert!(run.notes.iter().any(|note| note.contains("ermission denied")), "{:?}", run.notes);
}

#[test]
fn thousands_of_files_that_hold_nothing_are_removed_and_delay_no_record() {
    const FILES: u64 = 4000;
    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 1);
    for number in 2..2 + FILES {
        let zeros = if number % 2 == 0 { 0 } else { 8192 };
        fs::write(file(&path, number), vec![0; zeros]).expect("writable");
    }
    let logger = Logger::open(small(&path).retain_segments(100)).expect("a log");
    block(&logger, &logger.producer().expect("a producer"));
    while numbers(&path).len() > 2 {
        std::thread::yield_now();
    }
    assert_eq!(numbers(&path), [1, 2 + FILES]);
    logger.close().expect("a clean end");
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
}
