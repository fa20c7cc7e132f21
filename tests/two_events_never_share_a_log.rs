//! Two events whose names become one directory never share its log: the directory keeps the name of the event that has
//! it, for other `EventLogs`, and after the process has ended.

mod support;

use std::fs;
use std::path::Path;

use diolog::{Engine, EngineConfig, Error, EventLogs, Level, Logger, Outcome, Reader, Verdict};

/// The events of a service that has just started.
fn events(base_directory: &Path) -> EventLogs {
    let engine = Engine::start(EngineConfig::new()).expect("a thread");
    let config = support::config("").block_bytes(16 << 10).segment_bytes(256 << 10);
    EventLogs::new(&engine, base_directory, config).expect("valid settings")
}

/// Logs to an event that another one keeps from its directory.
fn expect_refusal(events: &EventLogs, name: &str, other: &str) {
    assert_eq!(events.log(name, Level::Info, "x"), Outcome::NoLog, "{name:?}");
    let error = events.open(name).expect_err("the other event has the directory").to_string();
    let expected =
        format!("event name is {name:?}: use another name, the event {other:?} has its directory, order_paid");
    assert!(error.starts_with(&expected), "{error}");
}

fn messages(path: &Path) -> Vec<String> {
    let reader = Reader::open(path).expect("a log");
    reader.map(|record| String::from_utf8_lossy(record.expect("readable").message()).into_owned()).collect()
}

#[test]
fn the_event_that_had_the_directory_first_has_it_after_a_restart_and_in_other_event_logs() {
    const NAMES: [&str; 3] = ["order paid", "order_paid", "order/paid"];
    for first in NAMES {
        let directory = support::directory();
        let path = directory.path().join("order_paid");
        let before = events(directory.path());
        assert_eq!(before.log(first, Level::Info, "one"), Outcome::Written);
        // A second set beside it, as of another process, and a third one after it.
        let (beside, after) = (events(directory.path()), events(directory.path()));
        let others = || NAMES.into_iter().filter(|name| *name != first);
        others().for_each(|other| expect_refusal(&beside, other, first));
        assert!(matches!(beside.open(first), Err(Error::InUse { .. })));
        before.close().expect("a clean end");
        others().for_each(|other| expect_refusal(&after, other, first));
        assert_eq!(after.log(first, Level::Info, "two"), Outcome::Written, "the others did not take its place");
        others().for_each(|other| expect_refusal(&after, other, first));
        after.close().expect("a clean end");
        assert_eq!(path.join("event").exists(), first != "order_paid");
        assert_eq!(messages(&path), ["one", "two"]);
        let verification = diolog::verify(&path).expect("a log");
        assert_eq!((verification.verdict, verification.report.records), (Verdict::Clean, 2));
        assert!(verification.report.findings.is_empty(), "{verification:?}");
    }
}

#[test]
fn an_ordinary_log_is_not_that_of_an_event_with_another_name() {
    let directory = support::directory();
    let path = directory.path().join("order_paid");
    let logger = Logger::open(support::config(&path)).expect("a log");
    assert_eq!(logger.log(Level::Info, "one"), Outcome::Written);
    logger.close().expect("a clean end");
    let events = events(directory.path());
    expect_refusal(&events, "order paid", "order_paid");
    let remedy = events.open("order paid").expect_err("refused").to_string();
    assert!(remedy.contains("write the event's name to the file \"event\""), "{remedy}");
    assert_eq!(messages(&path), ["one"]);
    // As the error says.
    fs::write(path.join("event"), "order paid\n").expect("writable");
    assert!(events.open("order paid").is_ok());
    assert_eq!(events.log("order paid", Level::Info, "two"), Outcome::Written);
    expect_refusal(&events, "order_paid", "order paid");
    events.close().expect("a clean end");
    assert_eq!(messages(&path), ["one", "two"]);
}

#[test]
fn a_process_that_died_before_its_first_segment_has_left_the_directory_to_its_event() {
    let directory = support::directory();
    let path = directory.path().join("order_paid");
    fs::create_dir(&path).expect("writable");
    // What a crash leaves before the file has its name.
    fs::write(path.join("lock"), "").expect("writable");
    fs::write(path.join("event.tmp"), "order/pa").expect("writable");
    let events = events(directory.path());
    events.open("order paid").expect("nobody's directory");
    events.close_event("order paid").expect("a clean end");
    assert_eq!(fs::read_to_string(path.join("event")).expect("there"), "order paid\n");
    assert!(!path.join("event.tmp").exists());
    // What a crash leaves after it.
    for entry in fs::read_dir(&path).expect("readable").map(|entry| entry.expect("readable").path()) {
        if entry.extension().is_some_and(|extension| extension == "dlog") {
            fs::remove_file(entry).expect("writable");
        }
    }
    expect_refusal(&events, "order_paid", "order paid");
    assert_eq!(events.log("order paid", Level::Info, "x"), Outcome::Written);
    events.close().expect("a clean end");
}

#[test]
fn a_damaged_name_is_an_error_that_says_what_to_do_and_costs_no_record() {
    let directory = support::directory();
    let path = directory.path().join("order_paid");
    let file = path.join("event");
    let before = events(directory.path());
    assert_eq!(before.log("order paid", Level::Info, "one"), Outcome::Written);
    before.close().expect("a clean end");
    let huge = [&b"x".repeat(1 << 20)[..], b"\n"].concat();
    for damaged in [&b""[..], b"\n", b"order paid", b"\0\0\0\0\0\0\0\0\0\0\0", b"order\xffpaid\n", &huge] {
        fs::write(&file, damaged).expect("writable");
        let events = events(directory.path());
        for name in ["order paid", "order_paid"] {
            assert_eq!(events.log(name, Level::Info, "x"), Outcome::NoLog);
            let error = events.open(name).expect_err("no name");
            assert!(matches!(&error, Error::NotALog { path, .. } if *path == file), "{error}");
            let remedy = "write that name to it, or remove it if the event has the directory's own name";
            assert!(error.to_string().contains(remedy), "{error}");
        }
        assert_eq!(fs::read(&file).expect("readable"), damaged, "as it was");
        assert_eq!(messages(&path), ["one"]);
        assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
    }
    fs::write(&file, "order paid\n").expect("writable");
    let after = events(directory.path());
    assert_eq!(after.log("order paid", Level::Info, "two"), Outcome::Written);
    after.close().expect("a clean end");
    fs::remove_file(&file).expect("writable");
    fs::create_dir(&file).expect("writable");
    let events = events(directory.path());
    assert!(events.open("order paid").is_err() && events.open("order_paid").is_err(), "a directory is no name");
    assert_eq!(messages(&path), ["one", "two"]);
}

#[cfg(all(target_os = "linux", not(diolog_portable)))]
#[test]
fn an_open_that_fails_leaves_no_name() {
    let directory = support::directory();
    let in_the_way = directory.path().join("rings");
    fs::write(&in_the_way, "").expect("writable");
    // The name is in the directory by the time that the rings cannot be made.
    let rings = diolog::RingMemory::Shared(in_the_way);
    let engine = Engine::start(EngineConfig::new().ring_memory(rings)).expect("a thread");
    let base = directory.path().join("base");
    let refused = EventLogs::new(&engine, &base, support::config("")).expect("valid settings");
    assert!(refused.open("order paid").is_err());
    assert!(!base.exists());
    assert_eq!(events(&base).log("order_paid", Level::Info, "x"), Outcome::Written);
}

/// It takes some seconds, which whoever replaces the directory has.
#[cfg(unix)]
#[test]
fn a_directory_that_is_made_anew_keeps_its_event() {
    let directory = support::directory();
    let path = directory.path().join("order_paid");
    let events = events(directory.path());
    let log = events.open("order paid").expect("a log");
    // The writer may make a file while the others are being deleted.
    while let Err(error) = fs::remove_dir_all(&path) {
        assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty, "{error}");
    }
    assert_eq!(log.log(Level::Info, "after it was deleted"), Outcome::Written);
    while log.flush().is_err() {
        std::thread::yield_now();
    }
    assert_eq!(fs::read_to_string(path.join("event")).expect("there"), "order paid\n");
    let _ = events.close();
}
