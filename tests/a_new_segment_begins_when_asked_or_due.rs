//! A segment is left for the next one when somebody asks for that, and when it is too old: at the next block, and
//! without a loss.

mod support;

#[cfg(feature = "unstable")]
use diolog::Level;
use diolog::{Error, Logger, Verdict, verify};
use support::segments::{block, numbers, small};

/// As many blocks as would show a change of segments if there were one.
const SOME: usize = 5;

#[test]
fn rotate_begins_a_segment_at_the_next_block() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a producer");
    for segments in 1..=4 {
        block(&logger, &producer);
        assert_eq!(logger.stats().segments, segments, "16 MiB are not full");
        logger.rotate().expect("open");
        while logger.stats().segments == segments {
            block(&logger, &producer);
        }
        (0..SOME).for_each(|_| block(&logger, &producer));
        assert_eq!(logger.stats().segments, segments + 1, "one request, one change");
    }
    drop(producer);
    logger.close().expect("a clean end");
    assert_eq!(numbers(&path), [1, 2, 3, 4, 5]);
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    assert_eq!(verification.report.records, logger.stats().durable_records);
}

#[test]
fn several_requests_are_one_change_and_a_left_file_is_cut_to_its_blocks() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a producer");
    block(&logger, &producer);
    (0..10).for_each(|_| logger.rotate().expect("open"));
    while logger.stats().segments == 1 {
        block(&logger, &producer);
    }
    (0..SOME).for_each(|_| block(&logger, &producer));
    assert_eq!(logger.stats().segments, 2);
    drop(producer);
    logger.close().expect("a clean end");
    for segment in diolog::info(&path).expect("a log").segments {
        assert_eq!(segment.file_bytes, segment.used_bytes, "{}", segment.path.display());
    }
}

#[test]
fn an_empty_segment_is_not_left() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    logger.rotate().expect("open");
    // The writer sees the second flush in a later turn than the request.
    (0..2).for_each(|_| logger.flush().expect("nothing to do"));
    let producer = logger.producer().expect("a producer");
    (0..SOME).for_each(|_| block(&logger, &producer));
    assert_eq!(logger.stats().segments, 1);
}

#[test]
fn a_request_after_close_is_refused() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    logger.close().expect("a clean end");
    assert!(matches!(logger.rotate(), Err(Error::Closed)));
}

#[test]
fn a_request_without_a_further_record_does_not_hold_the_clean_end() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(small(&path)).expect("a log");
    let producer = logger.producer().expect("a producer");
    block(&logger, &producer);
    drop(producer);
    logger.rotate().expect("open");
    logger.close().expect("a clean end");
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    assert_eq!(verification.report.prepared_files, 0, "the prepared file, which was not used, is removed");
}

#[test]
fn requests_while_producers_log_as_fast_as_they_can_lose_nothing() {
    use support::account::{Attempts, Overwrites, check};
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = support::config(&path).ring_bytes(4096).first_segment_bytes(1 << 20);
    let logger = Logger::open(config.overflow(diolog::Overflow::Block)).expect("a log");
    let all: Vec<Attempts> = std::thread::scope(|scope| {
        let log_until_done = || {
            let producer = logger.producer().expect("a producer");
            let mut attempts = Attempts::new(&producer);
            while logger.stats().segments < 6 {
                for _ in 0..100 {
                    attempts.log(&producer);
                }
            }
            attempts
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(log_until_done)).collect();
        while logger.stats().segments < 6 {
            logger.rotate().expect("open");
            std::thread::yield_now();
        }
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    logger.close().expect("a clean end");
    check(&path, &all, Overwrites::No);
}

#[cfg(feature = "unstable")]
mod by_age {
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use diolog::unstable::{Hooks, ManualClock};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn clock() -> &'static ManualClock {
        let clock = Box::leak(Box::<ManualClock>::default());
        advance(clock, MINUTE);
        clock
    }

    fn advance(clock: &ManualClock, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).expect("some hours");
        clock.ticks.fetch_add(ns, Relaxed);
        clock.monotonic_ns.fetch_add(ns, Relaxed);
    }

    #[test]
    fn a_segment_is_left_when_its_first_block_is_old_enough_and_not_before() {
        let directory = support::directory();
        let path = directory.path().join("log");
        let clock = clock();
        let config = support::config(&path).rotate_after(10 * MINUTE);
        let logger = Hooks::new().clock(clock).open(config).expect("a log");
        let producer = logger.producer().expect("a producer");
        // A segment without a block does not age.
        advance(clock, 60 * MINUTE);
        for segments in 1..=3 {
            for minute in 0..10 {
                block(&logger, &producer);
                // The writer has seen the block's segment before time goes on.
                (0..2).for_each(|_| logger.flush().expect("nothing to do"));
                assert_eq!(logger.stats().segments, segments, "minute {minute}");
                advance(clock, MINUTE);
            }
            while logger.stats().segments == segments {
                block(&logger, &producer);
            }
        }
        drop(producer);
        logger.close().expect("a clean end");
        let verification = verify(&path).expect("a log");
        assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    }

    #[test]
    fn a_segment_that_is_too_old_is_left_at_the_next_block() {
        let directory = support::directory();
        let path = directory.path().join("log");
        let clock = clock();
        let config = support::config(&path).rotate_after(10 * MINUTE);
        let logger = Hooks::new().clock(clock).open(config).expect("a log");
        let producer = logger.producer().expect("a producer");
        block(&logger, &producer);
        (0..2).for_each(|_| logger.flush().expect("nothing to do"));
        advance(clock, 20 * MINUTE);
        // The next file is prepared, and not used.
        while numbers(&path).len() < 2 {
            std::thread::yield_now();
        }
        (0..2).for_each(|_| logger.flush().expect("nothing to do"));
        assert_eq!(logger.stats().segments, 1);
        assert_eq!(producer.log(Level::Info, "wakes it"), diolog::Outcome::Written);
        logger.flush().expect("durable");
        while logger.stats().segments == 1 {
            block(&logger, &producer);
        }
    }

    const HOUR_NS: i64 = 3_600_000_000_000;

    /// Sets the wall clock, which the writer has seen when the next block is written.
    fn set_wall_clock(clock: &ManualClock, unix_ns: i64) {
        clock.unix_ns.store(unix_ns, Relaxed);
    }

    #[test]
    fn a_segment_is_left_at_the_full_hour_and_once_however_far_the_clock_is_set() {
        let directory = support::directory();
        let path = directory.path().join("log");
        let clock = clock();
        set_wall_clock(clock, 100 * HOUR_NS + HOUR_NS / 2);
        let config = support::config(&path).rotate_at(diolog::RotateAt::Hourly);
        let logger = Hooks::new().clock(clock).open(config).expect("a log");
        let producer = logger.producer().expect("a producer");
        let stays = |segments: u64, why: &str| {
            for _ in 0..SOME {
                block(&logger, &producer);
                (0..2).for_each(|_| logger.flush().expect("nothing to do"));
                assert_eq!(logger.stats().segments, segments, "{why}");
            }
        };
        let leaves = |segments: u64| {
            while logger.stats().segments < segments {
                block(&logger, &producer);
            }
        };
        stays(1, "half past");
        set_wall_clock(clock, 101 * HOUR_NS - 1);
        stays(1, "right before the hour");
        set_wall_clock(clock, 101 * HOUR_NS);
        leaves(2);
        stays(2, "once for an hour");
        set_wall_clock(clock, 101 * HOUR_NS - 1_000_000_000);
        stays(2, "a clock that is set back by a second");
        set_wall_clock(clock, 1_000 * HOUR_NS);
        leaves(3);
        stays(3, "once for many hours");
        set_wall_clock(clock, 50 * HOUR_NS + 1);
        stays(3, "a clock that is set back by days");
        set_wall_clock(clock, 51 * HOUR_NS);
        leaves(4);
        stays(4, "the clock is right again");
        drop(producer);
        logger.close().expect("a clean end");
        assert_eq!(numbers(&path), [1, 2, 3, 4]);
        assert_eq!(verify(&path).expect("a log").verdict, Verdict::Clean);
    }
}

#[cfg(all(target_os = "linux", feature = "time-zones"))]
fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

#[cfg(all(target_os = "linux", feature = "time-zones"))]
#[test]
fn a_segment_ends_at_midnight_of_the_local_time_zone() {
    a_segment_ends("a_segment_ends_at_midnight_of_the_local_time_zone", diolog::RotateAt::DailyLocal, 24 * 3600);
}

#[cfg(all(target_os = "linux", feature = "time-zones"))]
#[test]
fn a_segment_ends_at_a_full_hour_of_the_local_time_zone() {
    a_segment_ends("a_segment_ends_at_a_full_hour_of_the_local_time_zone", diolog::RotateAt::HourlyLocal, 3600);
}

/// Runs children with time zones in which `at`, which is every `period` seconds, is soon.
#[cfg(all(target_os = "linux", feature = "time-zones"))]
fn a_segment_ends(test: &str, at: diolog::RotateAt, period: u64) {
    if let Some(due) = support::role() {
        let path = support::child_directory();
        let logger = Logger::open(support::config(&path).rotate_at(at)).expect("a log");
        let due: u64 = due.parse().expect("a number");
        let mut logged = unix_seconds();
        if logged >= due {
            std::fs::write(path.with_extension("late"), "").expect("writable");
            return;
        }
        // A record a second: more would fill the segment.
        while logger.stats().segments < 2 {
            let now = unix_seconds();
            if now != logged || now >= due {
                logger.log(Level::Info, "tick");
                logger.flush().expect("a disk");
                logged = now;
            }
            std::thread::yield_now();
        }
        assert!(unix_seconds() >= due, "not before");
        return logger.close().map(drop).expect("a clean end");
    }
    let directory = support::directory();
    // The child may be slow to begin. Then the time that it waits for is a period away.
    for seconds in [3, 10, 60, 600] {
        let path = directory.path().join(seconds.to_string());
        let due = unix_seconds() + seconds;
        let until = (period - due % period) % period;
        // The local time is ahead of UTC by this, which the variable says with a minus.
        let zone = format!("LOC-{:02}:{:02}:{:02}", until / 3600, until / 60 % 60, until % 60);
        let output = support::child_command(test, &due.to_string(), &path).env("TZ", zone).output();
        support::child::assert_success(&output.expect("a child process"));
        if !path.with_extension("late").exists() {
            assert_eq!(numbers(&path), [1, 2]);
            return;
        }
    }
    panic!("no child has begun within ten minutes");
}

#[cfg(all(target_os = "linux", feature = "time-zones"))]
#[test]
fn a_time_zone_that_is_not_known_is_noted_in_the_log() {
    const TEST: &str = "a_time_zone_that_is_not_known_is_noted_in_the_log";
    if let Some(role) = support::role() {
        let at = role.parse().expect("a word");
        let config = support::config(support::child_directory()).rotate_at(at);
        return Logger::open(config).expect("a log").close().map(drop).expect("a clean end");
    }
    for (role, zone, noted) in [
        (
            "daily_local",
            "No/Where",
            &["the local time zone is not known (TZ is \"No/Where\"): segments end at midnight in UTC"][..],
        ),
        (
            "hourly_local",
            "No/Where",
            &["the local time zone is not known (TZ is \"No/Where\"): segments end at full hours in UTC"],
        ),
        ("daily_local", "LOC-02:00", &[]),
        ("daily", "No/Where", &[]),
    ] {
        let directory = support::directory();
        let path = directory.path().join("log");
        let output = support::child_command(TEST, role, &path).env("TZ", zone).output();
        support::child::assert_success(&output.expect("a child process"));
        let verification = verify(&path).expect("a log");
        let notes = verification.report.runs.iter().flat_map(|run| &run.notes).collect::<Vec<_>>();
        assert_eq!(notes, noted, "{role} {zone}");
    }
}
