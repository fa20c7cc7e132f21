//! Retention by count, bytes and age removes the oldest segments, those of earlier runs included. The segments that are
//! left still account for every record.

mod support;

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use diolog::{Level, Logger, Outcome, Overflow, Reader, Verdict, verify};
use support::account::{Attempts, producer_row, read};
use support::segments::{block, bytes, file, grow, numbers, run, small};

const HOUR: Duration = Duration::from_secs(3600);

/// Makes a segment look as if its last write was `ago`.
fn backdate(log: &std::path::Path, number: u64, ago: Duration) {
    let file = File::options().write(true).open(file(log, number)).expect("a segment");
    file.set_modified(SystemTime::now() - ago).expect("a time");
}

#[test]
fn a_limit_on_segments_removes_the_oldest_of_several_runs() {
    let directory = support::directory();
    let path = directory.path().join("log");
    for _ in 0..3 {
        run(small(&path).retain_segments(4), 3);
    }
    let left = numbers(&path);
    assert_eq!(left.len(), 4, "{left:?}: the last run's three, and one of the run before");
    assert!(left.windows(2).all(|pair| pair[1] == pair[0] + 1), "{left:?}: the oldest went");
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    assert_eq!(verification.report.runs.iter().map(|run| run.segments).collect::<Vec<_>>(), [1, 3]);
    assert!(verification.report.runs[0].retired);
}

#[test]
fn a_limit_of_one_segment_keeps_only_the_present_one() {
    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 3);
    run(small(&path).retain_segments(1), 3);
    assert_eq!(numbers(&path).len(), 1);
    assert_eq!(verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn a_limit_on_bytes_removes_the_oldest_segments_of_several_runs() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let limit = 128 << 10;
    for _ in 0..3 {
        run(small(&path), 4);
    }
    assert!(bytes(&path) > limit);
    let before = numbers(&path);
    run(small(&path).retain_bytes(limit), 1);
    let left = numbers(&path);
    assert!(bytes(&path) <= limit, "{} bytes in {left:?}", bytes(&path));
    assert!(left.len() >= 2 && left[0] > before[0], "{left:?}: some history is left, the oldest is not");
    assert_eq!(verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn a_limit_on_bytes_makes_room_before_the_next_file_exists() {
    let directory = support::directory();
    let path = directory.path().join("log");
    // The present segment and the next: with a third, the oldest must go first.
    let logger = Logger::open(small(&path).retain_bytes(64 << 10)).expect("a log");
    grow(&logger, 6);
    // The segment before the present one was complete: it was removed when the next was prepared, at the latest.
    assert!(numbers(&path).len() <= 3, "{:?}", numbers(&path));
    logger.close().expect("a clean end");
    assert!(bytes(&path) <= 64 << 10, "{:?}", numbers(&path));
    assert_eq!(verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn a_limit_on_age_counts_from_the_last_write_and_leaves_no_gap() {
    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 3);
    run(small(&path), 2);
    for number in [1, 2] {
        backdate(&path, number, 2 * HOUR);
    }
    run(small(&path).retain_for(3 * HOUR), 1);
    assert_eq!(numbers(&path), [1, 2, 3, 4, 5, 6], "none is three hours old");
    run(small(&path).retain_for(HOUR), 1);
    assert_eq!(numbers(&path), [3, 4, 5, 6, 7]);
    // An old segment after a younger one stays until that is removed: a log has no gaps.
    backdate(&path, 4, 2 * HOUR);
    run(small(&path).retain_for(HOUR), 1);
    assert_eq!(numbers(&path), [3, 4, 5, 6, 7, 8]);
    assert_eq!(verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn before_the_run_has_a_durable_block_the_log_keeps_its_newest_segment() {
    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 3);
    (1..=3).for_each(|number| backdate(&path, number, 2 * HOUR));
    let logger = Logger::open(small(&path).retain_for(HOUR).retain_segments(1)).expect("a log");
    while numbers(&path) != [3, 4] {
        std::thread::yield_now();
    }
    let records = Reader::open(&path).expect("a log").count();
    assert!(records > 0, "the log is never without a record");
    block(&logger, &logger.producer().expect("a producer"));
    while numbers(&path) != [4] {
        std::thread::yield_now();
    }
    logger.close().expect("a clean end");
}

#[test]
fn a_clock_that_is_ahead_makes_no_segment_old() {
    let directory = support::directory();
    let path = directory.path().join("log");
    // To a clock that is years ahead, all files look as if they were years old, at the first open and at the next ones.
    for (earlier, segments) in [(3, 2), (5, 1), (6, 2)] {
        if earlier == 3 {
            run(small(&path), 3);
        }
        (1..=3).for_each(|number| backdate(&path, number, 100_000 * HOUR));
        run(small(&path).retain_for(24 * HOUR), segments);
        assert_eq!(numbers(&path), (1..=earlier + segments).collect::<Vec<_>>());
    }
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    let notes: Vec<_> = verification.report.runs.iter().flat_map(|run| &run.notes).collect();
    assert_eq!(notes.len(), 1, "the run that found the pause: {notes:?}");
    assert!(notes[0].contains("4166 days"), "{notes:?}");
    // A pause of some hours counts.
    (1..=8).for_each(|number| backdate(&path, number, 2 * HOUR));
    run(small(&path).retain_for(HOUR), 1);
    assert_eq!(numbers(&path), [9]);
}

#[test]
fn without_limits_nothing_is_removed() {
    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 3);
    (1..=3).for_each(|number| backdate(&path, number, 100_000 * HOUR));
    run(small(&path), 2);
    assert_eq!(numbers(&path), [1, 2, 3, 4, 5]);
}

/// Logs with several producers as fast as they can, until there are losses before and after the cut that retention
/// made.
fn identity_under(overflow: Overflow) {
    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 2);
    let config =
        small(&path).ring_bytes(4096).reserve_bytes(0).severe_only_eighths(0).overflow(overflow).retain_segments(3);
    let logger = Logger::open(config).expect("a log");
    let done = AtomicBool::new(false);
    let all: Vec<Attempts> = std::thread::scope(|scope| {
        let log_until_done = || {
            let producer = logger.producer().expect("a producer");
            let mut attempts = Attempts::new(&producer);
            while !done.load(Ordering::Relaxed) {
                attempts.log(&producer);
                if overflow != Overflow::Block && attempts.outcomes.len().is_multiple_of(1000) {
                    // On two cores, the writer must run too.
                    std::thread::yield_now();
                }
            }
            attempts
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(log_until_done)).collect();
        // A producer that ends before the cut is in no baseline; one that begins after it is in none either.
        drop(logger.producer_named("early").map(|early| early.log(Level::Info, support::account::message(5, 0))));
        let lost = || logger.stats().dropped + logger.stats().overwritten;
        let wants_losses = overflow != Overflow::Block;
        for _ in 0..2 {
            let (segments, losses) = (logger.stats().segments, lost());
            while logger.stats().segments < segments + 5 || (wants_losses && lost() == losses) {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    logger.close().expect("a clean end");
    assert_eq!(numbers(&path).len(), 3);

    let verification = verify(&path).expect("a log");
    let dropped = verification.report.dropped();
    assert_eq!(verification.verdict, support::account::intact(dropped), "{:#?}", verification.report);
    let [run] = &verification.report.runs[..] else { panic!("{:#?}", verification.report.runs) };
    assert!(run.retired && run.clean_end);
    let (records, _) = read(&path);
    let mut retired_losses = 0;
    for attempts in &all {
        let row = producer_row(run, attempts.id);
        let kept = records.get(&attempts.id).map_or(&[][..], Vec::as_slice);
        let (written, dropped) = (attempts.count(Outcome::Written), attempts.count(Outcome::Dropped));
        assert!(row.ended && row.holds, "{row:?}");
        assert_eq!((row.attempted, row.dropped), (attempts.outcomes.len() as u64, dropped), "{row:?}");
        assert_eq!((row.records, row.damaged, row.unwritten), (kept.len() as u64, 0, 0), "{row:?}");
        let lost = row.dropped + row.overwritten - row.retired_losses;
        assert_eq!(row.attempted - row.retired, row.records + lost, "{row:?}");
        assert!(kept.first().is_none_or(|&first| first >= row.retired), "{row:?}: {kept:?}");
        // The log holds the records whose outcome was `Written` and that were neither cut off nor overwritten.
        let after_cut =
            |&(sequence, &outcome): &(usize, &Outcome)| sequence as u64 >= row.retired && outcome == Outcome::Written;
        let expected: Vec<_> =
            attempts.outcomes.iter().enumerate().filter(after_cut).map(|(at, _)| at as u64).collect();
        if overflow == Overflow::OverwriteOldest {
            assert!(kept.iter().all(|sequence| expected.binary_search(sequence).is_ok()), "{row:?}");
            assert!(row.overwritten <= written);
        } else {
            assert_eq!(kept, expected, "{row:?}");
            assert_eq!(row.overwritten, 0);
        }
        retired_losses += row.retired_losses;
    }
    let rows = &run.producers;
    assert!(rows.iter().any(|row| row.retired > 0), "something was cut off: {rows:?}");
    if overflow != Overflow::Block {
        assert!(retired_losses > 0, "losses before the cut: {rows:?}");
        let kept_losses = rows.iter().map(|row| row.dropped + row.overwritten - row.retired_losses).sum::<u64>();
        assert!(kept_losses > 0, "and after it: {rows:?}");
        assert!(overflow != Overflow::DropNewest || dropped == kept_losses, "{dropped}: {rows:?}");
    }
}

#[test]
fn the_identity_holds_with_losses_before_and_after_the_cut_if_the_newest_are_dropped() {
    identity_under(Overflow::DropNewest);
}

#[test]
fn the_identity_holds_with_losses_before_and_after_the_cut_if_callers_wait_for_a_time() {
    identity_under(Overflow::BlockFor(Duration::from_micros(1)));
}

#[test]
fn the_identity_holds_with_losses_before_and_after_the_cut_if_the_oldest_are_overwritten() {
    identity_under(Overflow::OverwriteOldest);
}

#[test]
fn the_identity_holds_after_the_cut_if_callers_wait() {
    identity_under(Overflow::Block);
}

#[test]
fn while_the_log_is_read_and_verified_nothing_is_reported_lost() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(small(&path).retain_segments(2)).expect("a log");
    grow(&logger, 2);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|which| {
                let (logger, path) = (&logger, &path);
                scope.spawn(move || {
                    let mut followed = Reader::open(path).expect("a log");
                    while logger.stats().segments < 24 {
                        if which == 0 {
                            let verification = verify(path).expect("a log");
                            assert_ne!(verification.verdict, Verdict::Lost, "{:#?}", verification.report);
                        } else {
                            followed.follow(Duration::ZERO).expect("readable");
                            while let Some(record) = followed.next_record().expect("readable") {
                                assert_eq!(record.message(), b"a block of its own");
                            }
                            assert_ne!(followed.report().verdict(), Verdict::Lost, "{:#?}", followed.report());
                        }
                    }
                })
            })
            .collect();
        grow(&logger, 24);
        readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
    });
    logger.close().expect("a clean end");
    assert_eq!(verify(&path).expect("a log").verdict, Verdict::Clean);
}
