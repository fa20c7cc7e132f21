//! The flight recorder keeps the records that the log's level does not admit, the most recent ones of each thread, and
//! a snapshot writes them: every reader reads it, the log takes no notice of it, and nothing is written twice.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use diolog::{Config, Error, Level, Logger, Outcome, Reader, Verdict, debug, error, info, trace, verify};

const RING_BYTES: usize = 64 << 10;

fn config(path: &Path) -> Config {
    support::config(path).flight_recorder(RING_BYTES)
}

fn messages(path: &Path) -> Vec<String> {
    let records = Reader::open(path).expect("readable");
    records.map(|record| String::from_utf8_lossy(record.expect("a record").message()).into_owned()).collect()
}

/// The files in a log's `snapshots`, by name.
fn snapshots(log: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(log.join("snapshots")).expect("a directory");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[track_caller]
fn assert_clean(path: &Path) {
    let verification = verify(path).expect("readable");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
}

#[test]
fn a_snapshot_has_what_the_log_has_not_and_the_log_has_the_rest() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path)).expect("a log");
    let producer = logger.producer_named("orders").expect("a ring");
    assert_eq!(producer.log(Level::Info, "to the log"), Outcome::Written);
    assert_eq!(producer.log(Level::Debug, "to the recorder"), Outcome::Recorded);
    assert_eq!(trace!(producer, "price of {id} is {price}", id = 42, price = 17.25), Outcome::Recorded);
    assert_eq!(info!(producer, "order {id} filled", id = 42), Outcome::Written);
    assert_eq!(producer.log_args(Level::Debug, format_args!("{} by {}", 1, "args")), Outcome::Recorded);
    let stats = logger.stats();
    let recorder = stats.recorder.expect("a recorder");
    assert_eq!((stats.attempted, recorder.held, recorder.recorded, recorder.rings), (2, 3, 3, 1));

    let snapshot = logger.snapshot("no price").expect("written");
    assert_eq!(snapshot.parent(), Some(&*path.join("snapshots")));
    let name = snapshot.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.ends_with("Z-no-price.dlog") && name.len() == "20261126T153415.123Z-no-price.dlog".len(), "{name}");
    assert_eq!(messages(&snapshot), ["to the recorder", "price of 42 is 17.25", "1 by args"]);
    let first = Reader::open(&snapshot).expect("readable").next().expect("a record").expect("readable");
    assert_eq!(
        (first.level(), first.producer_name(), first.producer_id()),
        (Some(Level::Debug), "orders", producer.id())
    );
    assert_clean(&snapshot);
    let stats = logger.stats().recorder.expect("a recorder");
    assert_eq!((stats.held, stats.recorded, stats.snapshots, stats.snapshots_failed), (0, 3, 1, 0));

    logger.close().expect("a clean end");
    assert_eq!(messages(&path), ["to the log", "order 42 filled"]);
    assert_clean(&path);
}

#[test]
fn what_was_written_once_is_not_written_again_and_an_empty_snapshot_is_whole() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Debug, "one"), Outcome::Recorded);
    let first = logger.snapshot("first").expect("written");
    let empty = logger.snapshot("").expect("written");
    assert_eq!(producer.log(Level::Debug, "two"), Outcome::Recorded);
    let third = logger.snapshot("third").expect("written");
    assert_eq!((messages(&first), messages(&third)), (vec!["one".to_owned()], vec!["two".to_owned()]));
    assert_eq!(messages(&empty), Vec::<String>::new());
    [first, empty, third].iter().for_each(|path| assert_clean(path));
    logger.close().expect("a clean end");
    assert_eq!(snapshots(&path).len(), 3);
    assert!(matches!(logger.snapshot("late"), Err(Error::Closed)));
}

#[test]
fn a_full_ring_keeps_the_newest_records_of_each_thread_in_order() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path)).expect("a log");
    const RECORDS: u32 = 10_000;
    thread::scope(|scope| {
        for thread in 0..4 {
            let producer = logger.producer_named(&format!("thread {thread}")).expect("a ring");
            scope.spawn(move || {
                for number in 0..RECORDS {
                    assert_eq!(debug!(producer, "{number}", number), Outcome::Recorded);
                }
            });
        }
    });
    let stats = logger.stats().recorder.expect("a recorder");
    let all = 4 * u64::from(RECORDS);
    assert_eq!((stats.recorded, stats.held + stats.overwritten), (all, all));
    // The threads have ended, and their rings are here until they are taken.
    assert_eq!(stats.rings, 4);
    let snapshot = logger.snapshot("full").expect("written");
    let records: Vec<_> = Reader::open(&snapshot).expect("readable").map(|record| record.expect("a record")).collect();
    assert!(records.is_sorted_by_key(|record| record.timestamp_ns()), "merged by time");
    for thread in 0..4 {
        let name = format!("thread {thread}");
        let own: Vec<_> = records.iter().filter(|record| record.producer_name() == name).collect();
        assert!(own.len() > RING_BYTES / 64 && own.len() < RECORDS as usize, "{} of {name}", own.len());
        let first = RECORDS as usize - own.len();
        for (number, record) in (first..).zip(own) {
            assert_eq!(record.message(), number.to_string().as_bytes());
            assert_eq!(record.sequence(), number as u64);
        }
    }
    assert_eq!(records.len() as u64, stats.held);
    assert_clean(&snapshot);
    assert_eq!(logger.stats().recorder.expect("a recorder").rings, 0, "taken, and free");
    logger.close().expect("a clean end");
}

#[test]
fn levels_decide_at_each_record_who_takes_it() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let recorded = config(&path).flight_recorder_level(Level::Debug).level(Level::Warn);
    let logger = Logger::open(recorded).expect("a log");
    let producer = logger.producer().expect("a ring");
    let all = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
    let outcomes = || {
        let by_producer = all.map(|level| producer.log(level, "message"));
        assert_eq!(all.map(|level| diolog::event!(producer, level, "structured")), by_producer);
        assert_eq!(all.map(|level| logger.log(level, "by the thread's own")), by_producer);
        assert_eq!(all.map(|level| diolog::event!(logger, level, "by the thread's own")), by_producer);
        assert_eq!(
            all.map(|level| producer.is_enabled(level)),
            by_producer.map(|outcome| outcome != Outcome::Filtered)
        );
        assert_eq!(all.map(|level| logger.is_enabled(level)), by_producer.map(|outcome| outcome != Outcome::Filtered));
        by_producer
    };
    use Outcome::{Filtered, Recorded, Written};
    assert_eq!(outcomes(), [Written, Written, Recorded, Recorded, Filtered]);
    logger.set_level(Level::Off);
    assert_eq!(outcomes(), [Recorded, Recorded, Recorded, Recorded, Filtered]);
    logger.set_level(Level::Trace);
    assert_eq!(outcomes(), [Written; 5]);
    logger.set_level(Level::Error);
    assert_eq!((logger.level(), outcomes()), (Level::Error, [Written, Recorded, Recorded, Recorded, Filtered]));
    logger.close().expect("a clean end");
    assert_eq!(outcomes_after_close(&producer), [Outcome::Closed; 2]);
    assert_eq!(messages(&path).len(), 4 * (2 + 5 + 1));
}

fn outcomes_after_close(producer: &diolog::Producer) -> [Outcome; 2] {
    [producer.log(Level::Debug, "late"), debug!(producer, "late")]
}

#[test]
fn what_a_target_does_not_admit_goes_to_the_recorder() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let recorded = config(&path).flight_recorder_level(Level::Debug).level("info,net=trace,hyper=off");
    let logger = Logger::open(recorded).expect("a log");
    use Outcome::{Filtered, Recorded, Written};
    for _ in 0..3 {
        assert_eq!(trace!(logger, target: "net", "1"), Written);
        assert_eq!(error!(logger, target: "hyper", "2"), Recorded);
        assert_eq!(info!(logger, target: "other", "3"), Written);
        assert_eq!(debug!(logger, target: "other", "4"), Recorded);
        assert_eq!(trace!(logger, target: "other", "5"), Filtered);
        assert_eq!(trace!(logger, target: "hyper", "6"), Filtered);
    }
    assert!(logger.is_enabled_for(Level::Debug, "hyper") && !logger.is_enabled_for(Level::Trace, "hyper"));
    assert!(logger.is_enabled_for(Level::Trace, "net::tcp") && logger.is_enabled_for(Level::Debug, "other"));
    logger.set_target_level("other", Level::Debug).expect("a target");
    assert_eq!(debug!(logger, target: "other", "7"), Written);
    logger.set_levels("off").expect("levels");
    assert_eq!(error!(logger, target: "net", "8"), Recorded);
    let snapshot = logger.snapshot("targets").expect("written");
    assert_eq!(messages(&snapshot), ["2", "4", "2", "4", "2", "4", "8"]);
    assert_clean(&snapshot);
    logger.close().expect("a clean end");
    assert_eq!(messages(&path), ["1", "3", "1", "3", "1", "3", "7"]);
}

#[test]
fn a_claim_that_the_log_does_not_take_goes_to_the_recorder() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path)).expect("a log");
    let mut producer = logger.producer().expect("a ring");
    let mut claim = producer.claim(Level::Debug, 8).expect("room");
    claim.copy_from_slice(b"in place");
    assert_eq!(claim.commit(), Outcome::Recorded);
    drop(producer.claim(Level::Debug, 8).expect("room"));
    assert_eq!(messages(&logger.snapshot("claim").expect("written")), ["in place"]);
    logger.close().expect("a clean end");
}

#[test]
fn long_messages_are_cut_to_the_recorders_ring() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path).flight_recorder(4096)).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Debug, [b'x'; 10_000]), Outcome::Recorded);
    let snapshot = logger.snapshot("long").expect("written");
    let record = Reader::open(&snapshot).expect("readable").next().expect("a record").expect("readable");
    assert_eq!((record.message().len(), record.is_truncated()), (2048 - 24, true));
    assert_clean(&snapshot);
    logger.close().expect("a clean end");
}

#[test]
fn without_a_recorder_there_is_no_snapshot_and_no_folder() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    assert_eq!(logger.log(Level::Debug, "filtered"), Outcome::Filtered);
    let refusal = logger.snapshot("none").expect_err("no recorder").to_string();
    assert_eq!(refusal, "flight_recorder is 0 bytes: a snapshot needs a log that was opened with one, such as 64 KiB");
    assert_eq!(logger.stats().recorder, None);
    logger.close().expect("a clean end");
    assert!(!path.join("snapshots").exists());
    let (memory, _) = Logger::in_memory();
    assert!(matches!(memory.snapshot("none"), Err(Error::InvalidConfig { .. })));
}

#[test]
fn the_oldest_snapshots_are_removed_and_other_files_stay() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path).snapshots_max(3)).expect("a log");
    let first = logger.snapshot("0").expect("written");
    fs::write(path.join("snapshots/notes.txt"), "mine").expect("written");
    // The wall clock has been set back since.
    fs::copy(&first, path.join("snapshots/29991231T235959.000Z-ahead.dlog")).expect("written");
    let kept: Vec<_> = (1..6).map(|number| logger.snapshot(&number.to_string()).expect("written")).collect();
    assert!(!first.exists());
    let mut left = kept[2..].to_vec();
    left.push(path.join("snapshots/notes.txt"));
    assert_eq!(snapshots(&path), left);
    logger.close().expect("a clean end");
}

#[test]
fn blocks_of_any_size_hold_what_many_threads_have_recorded() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let small = config(&path).block_bytes(4096).flight_recorder(4096).ring_bytes(4096).reserve_bytes(0);
    let logger = Logger::open(small).expect("a log");
    let text = "a text that is longer than the other ones".repeat(10);
    let producers: Vec<_> = (0..50).map(|_| logger.producer().expect("a ring")).collect();
    for number in 0..20 {
        for (thread, producer) in producers.iter().enumerate() {
            let text = &text[..thread * 8];
            assert_eq!(debug!(producer, "{number} of {thread}: {text}", number, thread, text), Outcome::Recorded);
            assert_eq!(producer.log(Level::Trace, text), Outcome::Recorded);
        }
    }
    let held = logger.stats().recorder.expect("a recorder").held;
    let snapshot = logger.snapshot("small").expect("written");
    let records: Vec<_> = Reader::open(&snapshot).expect("readable").map(|record| record.expect("a record")).collect();
    assert!(records.is_sorted_by_key(|record| record.timestamp_ns()) && records.len() as u64 == held);
    assert!(records.iter().all(|record| record.level() != Some(Level::Debug) || record.callsite().is_some()));
    assert_clean(&snapshot);
    logger.close().expect("a clean end");
}

#[test]
fn what_a_crash_left_half_written_is_replaced() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path)).expect("a log");
    fs::create_dir(path.join("snapshots")).expect("made");
    fs::write(path.join("snapshots/offline.tmp"), vec![1; 1 << 20]).expect("written");
    assert_eq!(logger.log(Level::Debug, "whole"), Outcome::Recorded);
    let snapshot = logger.snapshot("then").expect("written");
    assert_eq!((snapshots(&path), messages(&snapshot)), (vec![snapshot], vec!["whole".to_owned()]));
    logger.close().expect("a clean end");
}

#[cfg(unix)]
#[test]
fn a_folder_is_made_for_those_who_may_read_the_log_and_a_link_in_its_place_is_refused() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path).file_mode(0o640)).expect("a log");
    let snapshot = logger.snapshot("first").expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&snapshot), mode(&path.join("snapshots"))), (0o640, 0o750));
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(path.join("snapshots"), &elsewhere).expect("renamed");
    symlink(&elsewhere, path.join("snapshots")).expect("linked");
    assert!(matches!(logger.snapshot("second"), Err(Error::Io { .. })));
    assert_eq!(fs::read_dir(&elsewhere).expect("a directory").count(), 1);
    logger.close().expect("a clean end");
}

#[test]
fn logs_of_an_engine_have_recorders_of_their_own() {
    use diolog::{Engine, EngineConfig};
    let directory = support::directory();
    let engine = Engine::start(EngineConfig::new()).expect("an engine");
    let paths = ["one", "two"].map(|name| directory.path().join(name));
    let loggers = paths.each_ref().map(|path| engine.open(config(path).snapshot_on(Level::Error)).expect("a log"));
    for (path, logger) in paths.iter().zip(&loggers) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(logger.log(Level::Debug, &name), Outcome::Recorded);
        assert_eq!(error!(logger, "severe"), Outcome::Written);
    }
    engine.close().expect("a clean end");
    for path in &paths {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let taken = snapshots(path);
        assert_eq!((taken.len(), messages(&taken[0])), (1, vec![name]));
    }
}

#[cfg(all(target_os = "linux", not(diolog_portable)))]
#[test]
fn rings_in_shared_memory_are_the_same() {
    use diolog::RingMemory;
    let directory = support::directory();
    let path = directory.path().join("log");
    let rings = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let shared = config(&path).ring_memory(RingMemory::Shared(rings.path().into()));
    let logger = Logger::open(shared).expect("a log");
    for round in ["one", "two"] {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let producer = logger.producer().expect("a ring");
                    assert_eq!(producer.log(Level::Debug, round), Outcome::Recorded);
                    assert_eq!(debug!(producer, "{round} with a field", round), Outcome::Recorded);
                });
            }
        });
        let snapshot = logger.snapshot(round).expect("written");
        assert_eq!(messages(&snapshot).len(), 6);
        assert_clean(&snapshot);
    }
    logger.close().expect("a clean end");
}
