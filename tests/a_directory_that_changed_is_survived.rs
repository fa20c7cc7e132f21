//! What a log meets in a directory that is not as it was: a process that gave up its rights to it after open, and
//! thousands of files that earlier runs left.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::fs;

use diolog::{Logger, Producer, Reader, State, Verdict, verify};
use support::os::{become_user, is_root, set_mode, thread_named, wait_until_asleep};
use support::segments::{block, file, grow, numbers, run, small};

/// Blocks that a segment of these logs has no room for.
const BLOCKS: usize = 40;

/// Runs `test` in a child that gives up root after its log, whose directory has `mode`, has begun two segments, and
/// then calls `then`. The log must be clean, and have a note of the segment that could not be made. Returns how many
/// records it holds.
fn give_up_root(test: &str, mode: u32, then: impl FnOnce(&Logger, Producer)) -> usize {
    if support::role().is_some() {
        let path = support::child_directory().join("log");
        let logger = Logger::open(small(&path).retain_segments(2)).expect("a log");
        grow(&logger, 2);
        set_mode(&path, mode);
        become_user(65534, &path);
        let producer = logger.producer().expect("a producer");
        then(&logger, producer);
        assert_eq!(logger.stats().state, State::Ok);
        logger.close().expect("a clean end");
        std::process::exit(0);
    }
    let directory = support::directory();
    set_mode(directory.path(), 0o700);
    support::child::expect_success(test, "child", directory.path());
    let path = directory.path().join("log");
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    let [run] = &verification.report.runs[..] else { panic!("{:#?}", verification.report.runs) };
    assert!(run.notes.iter().any(|note| note.contains("ermission denied")), "{:?}", run.notes);
    Reader::open(&path).expect("a log").count()
}

#[test]
fn a_process_that_gives_up_root_after_open_loses_no_record() {
    if !is_root() {
        return support::not_shown("a process that gives up root", "this one is not root");
    }
    let test = "a_process_that_gives_up_root_after_open_loses_no_record";
    let records = give_up_root(test, 0o700, |logger, producer| {
        // Asks for the next segment, which cannot be made.
        while logger.stats().preparation_errors == 0 {
            block(logger, &producer);
        }
        // So the present one grows.
        (0..BLOCKS).for_each(|_| block(logger, &producer));
    });
    assert!(records > BLOCKS);
}

#[test]
fn a_segment_that_cannot_be_made_is_noted_even_if_no_block_needs_it() {
    if !is_root() {
        return support::not_shown("a process that gives up root", "this one is not root");
    }
    let test = "a_segment_that_cannot_be_made_is_noted_even_if_no_block_needs_it";
    give_up_root(test, 0o755, |logger, producer| {
        let blocks = logger.stats().durable_blocks + 3;
        (0..2).for_each(|_| block(logger, &producer));
        // Its end is in a third block, which asks for the next segment: half of this one is used. No block comes
        // between that and the last one of close.
        drop(producer);
        while logger.stats().durable_blocks < blocks {
            logger.flush().expect("durable");
        }
        // The thread that makes segments has been woken by now, and sleeps again once it has been refused: it may look
        // at the log's lock, so that it does not start a thread to take that anew, and wait for it.
        wait_until_asleep(thread_named("diolog-segments"));
    });
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
    // As if as many runs had been killed.
    let [finding] = &verification.report.findings[..] else { panic!("{:#?}", verification.report) };
    assert!(finding.what.starts_with("4000 runs right before it ended"), "{finding}");
    assert_eq!(verification.verdict, Verdict::Unconfirmed);
}
