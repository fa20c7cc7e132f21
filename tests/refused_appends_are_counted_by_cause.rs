//! A refused append takes no sequence number. It is counted by its cause, in the figures of the process that made it
//! and in the files. (`signals_disturb_nothing` has the appends that a signal handler makes within another one.)
#![cfg(all(feature = "unstable", target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;

use diolog::{Level, Logger, Outcome, Verdict, verify};
use support::device::Control;
use support::os;

/// Refused appends in the files: of a closed log, within another append, without a ring; and the verdict on the log.
fn in_files(path: &Path) -> ([u64; 3], Verdict) {
    let verification = verify(path).expect("a log");
    let [run] = &verification.report.runs[..] else { panic!("{:#?}", verification.report.runs) };
    ([run.refused_closed, run.refused_reentrant, run.refused_no_ring], verification.verdict)
}

#[test]
fn appends_while_the_log_closes_are_in_the_files_and_later_ones_in_the_figures() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    control.hold();
    assert_eq!(producer.log(Level::Info, "one"), Outcome::Written);
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| logger.close());
        while logger.is_enabled(Level::Error) {
            std::thread::yield_now();
        }
        for _ in 0..3 {
            assert_eq!(producer.log(Level::Error, "late"), Outcome::Closed);
            assert_eq!(logger.log(Level::Error, "late"), Outcome::Closed);
        }
        assert_eq!((logger.stats().refused, logger.stats().refused_by.closed), (6, 6));
        // The record is not durable yet, so the run's last block, which has the counts, is not written.
        control.release();
        closing.join().expect("no panic").expect("a clean end");
    });
    assert_eq!(producer.log(Level::Error, "too late for the files"), Outcome::Closed);
    assert_eq!(logger.stats().refused_by.closed, 7);
    assert_eq!((logger.stats().attempted, producer.next_sequence()), (1, 1));
    assert_eq!(in_files(&path), ([6, 0, 0], Verdict::Clean));
}

#[test]
fn appends_of_a_forked_child_are_in_its_own_figures_alone() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(logger.log(Level::Info, "this makes the thread's ring"), Outcome::Written);
    logger.flush().expect("durable");
    let status = os::fork(|| {
        for _ in 0..3 {
            assert_eq!(producer.log(Level::Error, "in the child"), Outcome::Forked);
            assert_eq!(logger.log(Level::Error, "in the child"), Outcome::Forked);
        }
        let stats = logger.stats();
        assert_eq!((stats.refused, stats.refused_by.forked, stats.attempted), (6, 6, 1));
    });
    assert_eq!(status, 0);
    assert_eq!((logger.stats().refused, logger.stats().refused_by.forked), (0, 0));
    logger.close().expect("a clean end");
    assert_eq!(in_files(&path), ([0, 0, 0], Verdict::Clean));
}

#[test]
fn appends_for_which_no_ring_can_be_made_are_lost_records_in_the_files() {
    if support::child::ran_in_child("appends_for_which_no_ring_can_be_made_are_lost_records_in_the_files") {
        return;
    }
    let path = support::child_directory().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    os::set_limit(libc::RLIMIT_AS, 0);
    let outcomes = [(); 3].map(|()| logger.log(Level::Error, "no memory for a ring"));
    os::set_limit(libc::RLIMIT_AS, u64::MAX);
    assert_eq!(outcomes, [Outcome::NoRing; 3]);
    assert_eq!(producer.log(Level::Info, "one"), Outcome::Written);
    assert_eq!(logger.log(Level::Info, "two"), Outcome::Written);
    let stats = logger.stats();
    assert_eq!((stats.refused, stats.refused_by.no_ring, stats.attempted), (3, 3, 2));
    logger.close().expect("a clean end");
    assert_eq!(in_files(&path), ([0, 0, 3], Verdict::Dropped));
}
