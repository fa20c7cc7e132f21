//! Threads for which there is no ring share one: nothing is refused, every record is accounted for, and the policy and
//! close mean the same there.
#![cfg(feature = "unstable")]

mod support;

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome, Overflow, Reader, Verdict};
use support::device::Control;

const THREADS: usize = 16;
const RECORDS: usize = 500;

/// A budget for two rings of 4 KiB.
fn two_rings(path: &Path) -> Config {
    support::config(path).ring_bytes(4096).thread_ring_bytes(4096).rings_bytes_max(8192).reserve_bytes(0)
}

/// The messages in the files, in no order, after a check that all is accounted for.
fn messages(path: &Path) -> Vec<String> {
    let verification = diolog::verify(path).expect("a log");
    assert!(matches!(verification.verdict, Verdict::Clean | Verdict::Dropped), "{:#?}", verification.report);
    assert!(verification.report.runs[0].producers.iter().all(|row| row.holds), "{:#?}", verification.report);
    let records = Reader::open(path).expect("a log");
    records.map(|record| String::from_utf8_lossy(record.expect("readable").message()).into_owned()).collect()
}

#[test]
fn every_record_of_more_threads_than_there_are_rings_is_in_the_files() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(two_rings(&path).overflow(Overflow::Block)).expect("a log");
    let all_are_alive = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (logger, all_are_alive) = (&logger, &all_are_alive);
            scope.spawn(move || {
                assert_eq!(logger.log(Level::Info, format!("{thread} 0")), Outcome::Written);
                all_are_alive.wait();
                for record in 1..RECORDS {
                    assert_eq!(logger.log(Level::Info, format!("{thread} {record}")), Outcome::Written);
                }
            });
        }
    });
    let common: Vec<_> = logger.stats().producers.into_iter().filter(|producer| producer.name == "(common)").collect();
    assert_eq!(common.len(), 1);
    // A thread gets a ring of its own once another one has ended.
    assert!(common[0].attempted >= (THREADS - 2) as u64, "{common:?}");
    let report = logger.close().expect("a clean end");
    assert_eq!((report.durable, report.lost()), ((THREADS * RECORDS) as u64, 0));
    let mut found = messages(&path);
    // A thread's records keep their order.
    for thread in 0..THREADS {
        let prefix = format!("{thread} ");
        let of_thread: Vec<_> = found.iter().filter(|message| message.starts_with(&prefix)).collect();
        assert_eq!(
            of_thread,
            (0..RECORDS).map(|record| format!("{thread} {record}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), THREADS * RECORDS);
}

/// A log whose rings are taken, and a device that completes nothing.
fn taken(overflow: Overflow) -> (Control, Logger, [diolog::Producer; 2], std::path::PathBuf, tempfile::TempDir) {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(two_rings(&path).overflow(overflow)).expect("a log");
    let producers = [logger.producer().expect("a ring"), logger.producer().expect("a ring")];
    control.hold();
    (control, logger, producers, path, directory)
}

#[test]
fn a_full_shared_ring_drops_and_counts_as_any_other() {
    let (control, logger, _producers, path, _directory) = taken(Overflow::DropNewest);
    let mut written = 0;
    while logger.log(Level::Info, [b's'; 104]) == Outcome::Written {
        written += 1;
    }
    for _ in 1..10 {
        assert_eq!(logger.log(Level::Info, [b's'; 104]), Outcome::Dropped);
    }
    control.release();
    let report = logger.close().expect("a clean end");
    assert_eq!((report.durable, report.dropped, report.dropped_by.ring_full, report.refused), (written, 10, 10, 0));
    assert_eq!(messages(&path).len() as u64, written);
}

#[test]
fn severe_records_are_the_last_to_be_dropped_where_windows_take_all_memory() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    // There is a reserve by default, which finds no memory.
    let config = support::config(&path).ring_bytes(4096).thread_ring_bytes(4096).rings_bytes_max(8192);
    let logger = control.hooks().open(config).expect("a log");
    let producers = [logger.producer().expect("a ring"), logger.producer().expect("a ring")];
    control.hold();
    // 128 bytes in a ring.
    let message = [b'g'; 104];
    let appends: [&dyn Fn(Level) -> Outcome; 2] =
        [&|level| logger.log(level, message), &|level| producers[0].log(level, message)];
    for append in appends {
        let written_of = |level| (0..).take_while(|_| append(level) == Outcome::Written).count();
        assert_eq!(written_of(Level::Info), 7 * 4096 / 8 / 128);
        assert_eq!(written_of(Level::Warn), 4096 / 8 / 128);
        assert_eq!(append(Level::Info), Outcome::Dropped);
    }
    assert_eq!(logger.stats().dropped_by.ring_memory, 6);
    control.release();
    let report = logger.close().expect("a clean end");
    assert_eq!((report.durable, report.dropped, report.refused), (2 * 4096 / 128, 6, 0));
    assert_eq!(messages(&path).len(), 2 * 4096 / 128);
}

#[test]
fn a_wait_for_space_in_the_shared_ring_ends_at_its_limit_and_holds_up_nobody() {
    let limit = Duration::from_millis(20);
    let (control, logger, _producers, path, _directory) = taken(Overflow::BlockFor(limit));
    let mut written = 0;
    while logger.log(Level::Info, [b's'; 104]) == Outcome::Written {
        written += 1;
    }
    // All wait at once, without the lock.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(logger.log(Level::Info, [b's'; 104]), Outcome::Dropped));
        }
    });
    assert_eq!(logger.stats().dropped_by.timed_out, 5);
    control.release();
    logger.close().expect("a clean end");
    assert_eq!(messages(&path).len() as u64, written);
}

#[test]
fn an_append_to_the_shared_ring_that_races_close_is_kept_or_refused() {
    for round in 0..20 {
        let directory = support::directory();
        let path = directory.path().join("log");
        let logger = Logger::open(two_rings(&path).overflow(Overflow::Block)).expect("a log");
        let _rings = [logger.producer().expect("a ring"), logger.producer().expect("a ring")];
        let written: u64 = std::thread::scope(|scope| {
            let logger = &logger;
            let appending: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(move || {
                        (0..).take_while(|_| logger.log(Level::Info, "racing") == Outcome::Written).count()
                    })
                })
                .collect();
            while logger.stats().attempted < round * 10 {
                std::thread::yield_now();
            }
            logger.close().expect("a clean end");
            appending.into_iter().map(|thread| thread.join().expect("no panic") as u64).sum()
        });
        assert_eq!(messages(&path).len() as u64, written, "round {round}");
        assert_eq!(logger.stats().refused_by.closed, 4, "each thread was refused once");
    }
}

#[test]
fn what_a_thread_without_a_ring_formats_is_as_long_as_a_message_may_be() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let rings = support::config(&path).ring_bytes(64 << 10).thread_ring_bytes(64 << 10).reserve_bytes(0);
    let logger = Logger::open(rings.rings_bytes_max(128 << 10)).expect("a log");
    let _both = [logger.producer().expect("a ring"), logger.producer().expect("a ring")];
    let long = "x".repeat(5_000);
    assert_eq!(diolog::info!(logger, "{long}", long = %long), Outcome::Written);
    assert_eq!(logger.log_args(Level::Info, format_args!("{long}")), Outcome::Written);
    assert!(logger.stats().producers.iter().any(|producer| producer.name == "(common)" && producer.attempted == 2));
    logger.close().expect("a clean end");
    assert!(messages(&path).iter().all(|message| *message == long), "each is whole");
}
