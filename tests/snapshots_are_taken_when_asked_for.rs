//! Snapshots are taken after a severe record, at a panic, and from time to time, by a thread of the library: the append
//! waits for none of them.

mod support;

use std::fs;
use std::panic::{self, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use diolog::{Config, Level, Logger, Outcome, Reader, SnapshotInfo, Verdict, error, snapshots, verify};

fn config(path: &Path) -> Config {
    support::config(path).flight_recorder(64 << 10)
}

fn messages(path: &Path) -> Vec<String> {
    let records = Reader::open(path).expect("readable");
    records.map(|record| String::from_utf8_lossy(record.expect("a record").message()).into_owned()).collect()
}

/// Waits until the log has written so many snapshots.
fn wait_for(logger: &Logger, written: u64) {
    while logger.stats().recorder.expect("a recorder").snapshots < written {
        thread::yield_now();
    }
}

/// The log's snapshots, each of which verifies.
fn listed(path: &Path) -> Vec<SnapshotInfo> {
    let listed = snapshots(path).expect("a log");
    for snapshot in &listed {
        let verification = verify(&snapshot.path).expect("readable");
        assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    }
    listed
}

#[test]
fn a_severe_record_takes_a_snapshot_of_what_led_to_it() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path).snapshot_on(Level::Warn)).expect("a log");
    let producer = logger.producer_named("orders").expect("a ring");
    assert_eq!(producer.log(Level::Debug, "what led to it"), Outcome::Recorded);
    assert_eq!(producer.log(Level::Info, "not severe"), Outcome::Written);
    assert_eq!(logger.stats().recorder.expect("a recorder").snapshots, 0);
    assert_eq!(producer.log(Level::Warn, "severe"), Outcome::Written);
    wait_for(&logger, 1);
    // Structured, and through the thread's own producer; more than a second has passed or the log ends: none is missed.
    assert_eq!(logger.log(Level::Trace, "what led to the next"), Outcome::Recorded);
    assert_eq!(error!(logger, "more severe", id = 42), Outcome::Written);
    logger.close().expect("a clean end");
    let listed = listed(&path);
    let shown: Vec<_> = listed.iter().map(|snapshot| (&*snapshot.reason, messages(&snapshot.path))).collect();
    let expected = [("warn", vec!["what led to it".to_owned()]), ("error", vec!["what led to the next".to_owned()])];
    assert_eq!(shown, expected);
}

#[test]
fn severe_records_without_anything_recorded_take_none() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path).snapshot_on(Level::Error)).expect("a log");
    for _ in 0..100 {
        assert_eq!(logger.log(Level::Error, "severe"), Outcome::Written);
    }
    logger.close().expect("a clean end");
    assert_eq!((listed(&path), path.join("snapshots").exists()), (Vec::new(), false));
}

#[test]
fn a_severe_record_that_the_log_does_not_take_counts_too() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path).level(Level::Off).snapshot_on(Level::Error)).expect("a log");
    assert_eq!(logger.log(Level::Error, "severe"), Outcome::Recorded);
    wait_for(&logger, 1);
    logger.close().expect("a clean end");
    assert_eq!(messages(&listed(&path)[0].path), ["severe"]);
    assert_eq!(messages(&path), Vec::<String>::new());
}

#[test]
fn time_alone_takes_one_if_there_is_something_new() {
    let directory = support::directory();
    let path = directory.path().join("log");
    // Before the writer begins. The writer orders one a second, and the thread that takes it may come late: what is
    // known is the time from here to a snapshot, not that between two.
    let begin = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let logger = Logger::open(config(&path).snapshot_every(Duration::from_secs(1))).expect("a log");
    assert_eq!(logger.log(Level::Debug, "one"), Outcome::Recorded);
    wait_for(&logger, 1);
    assert_eq!(logger.log(Level::Debug, "two"), Outcome::Recorded);
    wait_for(&logger, 2);
    logger.close().expect("a clean end");
    let listed = listed(&path);
    assert!(listed.iter().all(|snapshot| snapshot.reason == "periodic"));
    assert_eq!(listed.iter().map(|snapshot| messages(&snapshot.path)).collect::<Vec<_>>(), [["one"], ["two"]]);
    // The writer's clock need not run exactly as the other one does.
    assert!(listed[1].unix_ms >= begin + 1_980, "{begin}: {listed:?}");
}

#[test]
fn a_panic_takes_one_and_the_program_goes_on() {
    if support::child::ran_in_child("a_panic_takes_one_and_the_program_goes_on") {
        return;
    }
    panic::set_hook(Box::new(|_| {}));
    // As long as it takes on this machine.
    diolog::flush_on_panic_within(Duration::from_secs(24 * 60 * 60));
    let path = support::child_directory().join("log");
    let other = support::child_directory().join("other");
    let logger = Logger::open(config(&path).snapshot_on_panic(true)).expect("a log");
    let without = Logger::open(config(&other)).expect("a log");
    assert_eq!(logger.log(Level::Debug, "before the panic"), Outcome::Recorded);
    assert_eq!(without.log(Level::Debug, "before the panic"), Outcome::Recorded);
    catch_unwind(|| panic!("on purpose")).expect_err("a panic");
    // The panic has waited for it.
    assert_eq!(logger.stats().recorder.expect("a recorder").snapshots, 1);
    assert_eq!(logger.log(Level::Info, "after the panic"), Outcome::Written);
    logger.close().expect("a clean end");
    without.close().expect("a clean end");
    let listed = listed(&path);
    assert_eq!((listed.len(), &*listed[0].reason), (1, "panic"));
    assert_eq!(messages(&listed[0].path), ["before the panic"]);
    assert_eq!(snapshots(&other).expect("a log"), []);
}

#[cfg(target_os = "linux")]
#[test]
fn a_panic_that_aborts_leaves_a_whole_snapshot() {
    use std::os::unix::process::ExitStatusExt as _;
    const TEST: &str = "a_panic_that_aborts_leaves_a_whole_snapshot";
    extern "C" fn panic_and_abort() {
        panic!("on purpose");
    }
    if support::role().is_some() {
        diolog::flush_on_panic_within(Duration::from_secs(24 * 60 * 60));
        let path = support::child_directory().join("log");
        let logger = Logger::open(config(&path).snapshot_on_panic(true)).expect("a log");
        assert_eq!(logger.log(Level::Debug, "before the panic"), Outcome::Recorded);
        panic_and_abort();
    }
    let directory = support::directory();
    let output = support::run_child(TEST, "child", directory.path());
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    let listed = listed(&directory.path().join("log"));
    assert_eq!((listed.len(), messages(&listed[0].path)), (1, vec!["before the panic".to_owned()]));
}

#[test]
fn one_that_cannot_be_written_is_counted_and_its_records_are_in_the_next() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path).snapshot_on(Level::Error)).expect("a log");
    // A file in the folder's place.
    fs::write(path.join("snapshots"), "in the way").expect("written");
    assert_eq!(logger.log(Level::Debug, "one"), Outcome::Recorded);
    let refusal = logger.snapshot("refused").expect_err("no folder");
    assert!(refusal.to_string().contains("snapshots"), "{refusal}");
    assert_eq!(logger.log(Level::Error, "severe"), Outcome::Written);
    while logger.stats().recorder.expect("a recorder").snapshots_failed < 2 {
        thread::yield_now();
    }
    fs::remove_file(path.join("snapshots")).expect("removed");
    assert_eq!(logger.log(Level::Debug, "two"), Outcome::Recorded);
    let snapshot = logger.snapshot("then").expect("written");
    assert_eq!(messages(&snapshot), ["one", "two"]);
    logger.close().expect("a clean end");
    assert_eq!(listed(&path).len(), 1);
    // The log itself says that the one that nobody waited for was not written.
    let verification = verify(&path).expect("readable");
    assert_eq!(verification.verdict, Verdict::Clean);
    let notes = &verification.report.runs[0].notes;
    assert!(notes.iter().any(|note| note.contains("no snapshot (error) was written")), "{notes:?}");
}

#[test]
fn threads_that_log_go_on_while_snapshots_are_taken() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path)).expect("a log");
    const RECORDS: u64 = 200_000;
    let taken = thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let producer = logger.producer().expect("a ring");
                    for number in 0..RECORDS {
                        let outcome = diolog::debug!(producer, "{number}", number);
                        assert!(matches!(outcome, Outcome::Recorded | Outcome::Filtered), "{outcome:?}");
                    }
                })
            })
            .collect();
        let mut taken = Vec::new();
        while !threads.iter().all(|thread| thread.is_finished()) {
            taken.push(logger.snapshot("beside").expect("written"));
        }
        taken
    });
    let last = logger.snapshot("last").expect("written");
    logger.close().expect("a clean end");
    let kept: Vec<_> = taken.iter().chain([&last]).filter(|path| path.exists()).collect();
    let mut seen = std::collections::HashMap::<u32, u64>::new();
    for path in kept {
        let verification = verify(path).expect("readable");
        assert!(verification.verdict <= Verdict::Dropped, "{:#?}", verification.report);
        for record in Reader::open(path).expect("readable") {
            let record = record.expect("a record");
            // No record twice, and none out of order.
            let before = seen.insert(record.producer_id(), record.sequence());
            assert!(before.is_none_or(|before| before < record.sequence()), "{before:?} {}", record.sequence());
        }
    }
    let stats = logger.stats().recorder.expect("a recorder");
    assert_eq!(stats.snapshots, taken.len() as u64 + 1);
    assert!(seen.values().all(|last| *last == RECORDS - 1), "the newest are there: {seen:?}");
}
