//! Event logs: each event has a log of its own, which the first record opens, and nothing is lost or shared.

mod support;

use std::path::Path;

use diolog::{Config, Engine, EngineConfig, Error, EventLogs, Level, Outcome, Reader, Verdict};

fn engine() -> Engine {
    Engine::start(EngineConfig::new()).expect("a thread")
}

/// Settings with small files.
fn config() -> Config {
    support::config("").block_bytes(16 << 10).segment_bytes(256 << 10)
}

fn events(base_directory: &Path) -> EventLogs {
    EventLogs::new(&engine(), base_directory, config()).expect("valid settings")
}

fn messages(path: &Path) -> Vec<String> {
    let reader = Reader::open(path).expect("a log");
    reader.map(|record| String::from_utf8_lossy(record.expect("readable").message()).into_owned()).collect()
}

fn directories(base_directory: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(base_directory).expect("readable").map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_first_record_of_an_event_opens_its_log() {
    let directory = support::directory();
    let base = directory.path().join("not/there/yet");
    let events = events(&base);
    assert!(!base.exists() && events.names().is_empty() && !events.contains("payment"));
    assert_eq!(events.log("payment", Level::Info, "order 42 paid"), Outcome::Written);
    assert_eq!(events.log("shipping", Level::Warn, b"order 42 late"), Outcome::Written);
    assert_eq!(events.log("payment", Level::Debug, "below the level"), Outcome::Filtered);
    let audit = events.open("audit").expect("a log");
    assert_eq!(diolog::info!(audit, "desk {desk}", desk = 7_u64), Outcome::Written);
    assert_eq!(events.log("audit", Level::Info, "seen"), Outcome::Written, "in the same log");
    assert_eq!(events.names(), ["audit", "payment", "shipping"]);
    assert!(events.contains("payment") && !events.contains("refund"));
    let stats = events.stats();
    assert_eq!(stats.events.keys().collect::<Vec<_>>(), ["audit", "payment", "shipping"]);
    assert_eq!((stats.events["audit"].attempted, stats.sum.attempted, stats.refused_without_log), (2, 4, 0));
    assert_eq!(events.close().expect("a clean end").durable, 4);
    assert_eq!(messages(&base.join("payment")), ["order 42 paid"]);
    assert_eq!(messages(&base.join("audit")), ["desk 7", "seen"]);
}

#[test]
fn a_record_below_the_level_opens_no_log() {
    let directory = support::directory();
    let base = directory.path().join("events");
    let events = events(&base);
    assert_eq!(events.log("payment", Level::Debug, "below the level"), Outcome::Filtered);
    assert!(events.names().is_empty() && !base.exists());
    events.open("payment").expect("a log").set_level(Level::Debug);
    assert_eq!(events.log("payment", Level::Debug, "at its level"), Outcome::Written);
    assert_eq!(events.close().expect("a clean end").durable, 1);

    let recorder = config().flight_recorder(64 << 10).flight_recorder_level(Level::Debug);
    let recorded = EventLogs::new(&engine(), directory.path().join("recorded"), recorder).expect("valid settings");
    assert_eq!(recorded.log("payment", Level::Trace, "below both levels"), Outcome::Filtered);
    assert!(recorded.names().is_empty());
    assert_eq!(recorded.log("payment", Level::Debug, "for the recorder"), Outcome::Recorded);
    recorded.close().expect("a clean end");
}

#[test]
fn twenty_events_of_several_threads_are_all_in_their_own_files() {
    const EVENTS: usize = 20;
    const THREADS: usize = 4;
    const ROUNDS: usize = 500;
    let directory = support::directory();
    let events = events(directory.path());
    let name = |event: usize| format!("event {event}");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let events = &events;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    for event in 0..EVENTS {
                        let message = format!("{event} {thread} {round}");
                        while events.log(&name(event), Level::Info, &message) != Outcome::Written {
                            std::thread::yield_now();
                        }
                    }
                }
            });
        }
    });
    let attempted = events.stats().sum.attempted;
    let report = events.close().expect("a clean end");
    assert_eq!(report.durable, (EVENTS * THREADS * ROUNDS) as u64);
    assert_eq!(report.accepted + report.dropped, attempted);
    for event in 0..EVENTS {
        let path = directory.path().join(format!("event_{event}"));
        // Dropped attempts are in the identity, too.
        let verification = diolog::verify(&path).expect("a log");
        assert!(matches!(verification.verdict, Verdict::Clean | Verdict::Dropped), "{event}: {verification:?}");
        let mut next = [0; THREADS];
        for message in messages(&path) {
            let numbers: Vec<usize> = message.split(' ').map(|number| number.parse().expect("a number")).collect();
            assert_eq!((numbers[0], numbers[2]), (event, next[numbers[1]]), "{message}");
            next[numbers[1]] += 1;
        }
        assert_eq!(next, [ROUNDS; THREADS], "event {event}");
    }
}

#[test]
fn threads_that_log_an_event_first_at_the_same_time_share_its_log() {
    let directory = support::directory();
    let events = events(directory.path());
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                assert_eq!(events.log("start", Level::Info, "here"), Outcome::Written);
            });
        }
    });
    assert_eq!(events.close().expect("a clean end").durable, 8);
    assert_eq!(messages(&directory.path().join("start")).len(), 8);
}

#[test]
fn a_name_stays_below_the_base_directory_and_has_a_directory_alone() {
    let directory = support::directory();
    let base = directory.path().join("base");
    let events = events(&base);
    for name in ["../outside", "order paid", "nul\0", "c:\\d"] {
        assert_eq!(events.log(name, Level::Info, "x"), Outcome::Written, "{name:?}");
    }
    assert_eq!(directories(&base), ["_._outside", "c__d", "nul_", "order_paid"]);
    assert_eq!(directories(directory.path()), ["base"]);
    // Another event whose directory would be the same one.
    for (name, other) in [("order_paid", "order paid"), ("order/paid", "order paid"), ("..\\outside", "../outside")] {
        assert_eq!(events.log(name, Level::Info, "x"), Outcome::NoLog, "{name:?}");
        let error = events.open(name).expect_err("shared").to_string();
        assert!(error.contains(&format!("the event {other:?} has its directory")), "{error}");
    }
    // Also when that one is closed.
    events.close_event("order paid").expect("a clean end");
    assert_eq!(events.log("order_paid", Level::Info, "x"), Outcome::NoLog);
    for name in ["", ".", "..", &"x".repeat(10_000)] {
        assert_eq!(events.log(name, Level::Info, "x"), Outcome::NoLog);
        let error = events.open(name).expect_err("no directory has that name");
        assert!(matches!(error, Error::InvalidConfig { setting: "event name", .. }), "{error}");
    }
    assert_eq!(events.stats().refused_without_log, 8);
    assert_eq!(events.close().expect("a clean end").durable, 3, "and one in the log that was closed");
}

#[test]
fn an_event_that_was_closed_is_opened_again_and_no_sum_goes_back() {
    let directory = support::directory();
    let events = events(directory.path());
    let log = |message: &str| assert_eq!(events.log("job", Level::Info, message), Outcome::Written);
    log("one");
    let logger = events.open("job").expect("open");
    assert_eq!(events.close_event("job").expect("a clean end").durable, 1);
    assert!(!events.contains("job") && events.names().is_empty());
    assert_eq!(logger.log(Level::Info, "late"), Outcome::Closed);
    let stats = events.stats();
    assert_eq!((stats.closed_logs, stats.sum.attempted, stats.sum.durable_records), (1, 1, 1));
    assert_eq!((stats.events.len(), stats.closed["job"]), (0, stats.sum));
    assert!(stats.sum.padding_bytes > 0 && stats.sum.durable_blocks > 0, "{stats:?}");
    assert_eq!(events.close_event("job").expect("nothing to close").durable, 0);
    assert_eq!(events.close_event("never").expect("nothing to close").durable, 0);
    log("two");
    // By a logger of its own, as a caller may do.
    events.open("job").expect("open").close().expect("a clean end");
    log("three");
    let stats = events.stats();
    assert_eq!((stats.closed_logs, stats.sum.attempted), (2, 3));
    assert_eq!((stats.closed["job"].attempted, stats.events["job"].attempted), (2, 1));
    events.close().expect("a clean end");
    assert_eq!(events.stats().sum.durable_records, 3);
    assert_eq!(messages(&directory.path().join("job")), ["one", "two", "three"]);
    assert_eq!(diolog::verify(directory.path().join("job")).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn after_close_records_are_refused_and_counted_and_nothing_is_made() {
    let directory = support::directory();
    let events = events(directory.path());
    events.log("known", Level::Info, "x");
    let other = events.clone();
    events.close().expect("a clean end");
    std::fs::remove_dir_all(directory.path().join("known")).expect("nobody has it open");
    for _ in 0..3 {
        assert_eq!(events.log("known", Level::Info, "x"), Outcome::Closed);
        assert_eq!(other.log("new", Level::Info, "x"), Outcome::Closed);
    }
    assert!(matches!(events.open("known"), Err(Error::Closed)));
    assert!(events.names().is_empty() && !events.contains("known"));
    assert_eq!(directories(directory.path()), Vec::<String>::new());
    assert_eq!(events.stats().refused_without_log, 6);
    assert_eq!(events.close().expect("nothing is open").durable, 0);
}

#[test]
fn no_more_logs_are_open_than_the_limit_which_the_error_names() {
    let directory = support::directory();
    let events = events(directory.path()).events_max(2).expect("a limit");
    for name in ["a", "b"] {
        assert_eq!(events.log(name, Level::Info, "x"), Outcome::Written);
    }
    assert_eq!(events.log("c", Level::Info, "x"), Outcome::NoLog);
    let message = events.open("c").expect_err("one more").to_string();
    let expected = "events_max is 2: the log of \"c\" would be one more: close others by close_event, or raise it";
    assert_eq!(message, expected);
    assert_eq!(directories(directory.path()), ["a", "b"]);
    events.close_event("a").expect("a clean end");
    assert_eq!(events.log("c", Level::Info, "x"), Outcome::Written);
    assert_eq!(events.log("a", Level::Info, "x"), Outcome::NoLog, "the limit holds for one that was open before");
    let events = events.events_max(3).expect("a limit");
    assert_eq!(events.log("a", Level::Info, "x"), Outcome::Written);
    let message = events.clone().events_max(0).expect_err("no log at all").to_string();
    assert_eq!(message, "events_max is 0: use at least 1: each record needs a log");
    assert_eq!(events.log("a", Level::Info, "x"), Outcome::Written, "the limit before still holds");
}

#[test]
fn the_default_settings_have_room_for_the_blocks_of_any_number_of_events() {
    let directory = support::directory();
    // Two blocks of each would be more than 128 MiB.
    let config = support::config("").block_bytes(512 << 10).first_segment_bytes(1 << 20).segment_bytes(1 << 20);
    let events = EventLogs::new(&engine(), directory.path(), config).expect("valid settings");
    for number in 0..140 {
        assert_eq!(events.log(&format!("event {number}"), Level::Info, "x"), Outcome::Written, "{number}");
    }
    assert_eq!((events.names().len(), events.stats().refused_without_log), (140, 0));
    assert_eq!(events.close().expect("clean ends").durable, 140);
}

#[test]
fn a_log_that_cannot_be_opened_refuses_its_records_and_open_says_why() {
    let directory = support::directory();
    let base = directory.path().join("base");
    let events = events(&base);
    std::fs::write(&base, "in the way").expect("writable");
    for _ in 0..3 {
        assert_eq!(events.log("a", Level::Info, "x"), Outcome::NoLog);
    }
    let error = events.open("a").expect_err("a file is in the way").to_string();
    assert!(error.contains("base"), "{error}");
    assert_eq!((events.stats().refused_without_log, events.names().len()), (3, 0));
    std::fs::remove_file(&base).expect("there");
    // This tries at once.
    events.open("a").expect("nothing is in the way");
    assert_eq!(events.log("a", Level::Info, "x"), Outcome::Written);
    let engine = engine();
    let error = EventLogs::new(&engine, &base, config().block_bytes(5)).expect_err("no size of a block").to_string();
    assert!(error.starts_with("block_bytes is 5"), "{error}");
}

#[test]
fn an_engine_that_was_closed_opens_no_logs() {
    let directory = support::directory();
    let engine = engine();
    let events = EventLogs::new(&engine, directory.path(), config()).expect("valid settings");
    assert_eq!(events.log("a", Level::Info, "x"), Outcome::Written);
    assert_eq!(engine.close().expect("a clean end").durable, 1);
    assert_eq!(events.log("a", Level::Info, "x"), Outcome::Closed);
    assert_eq!(events.log("b", Level::Info, "x"), Outcome::Closed);
    assert_eq!(directories(directory.path()), ["a"]);
}

#[cfg(all(target_os = "linux", not(diolog_portable)))]
#[test]
fn a_forked_child_is_refused_and_does_not_wait() {
    let directory = support::directory();
    let events = events(directory.path());
    assert_eq!(events.log("a", Level::Info, "x"), Outcome::Written);
    let status = support::os::fork(|| {
        assert_eq!(events.log("a", Level::Info, "x"), Outcome::Forked);
        assert_eq!(events.log("b", Level::Info, "x"), Outcome::Forked);
        assert!(matches!(events.close(), Err(Error::Forked)));
        assert!(events.names().is_empty());
    });
    assert_eq!(status, 0);
    assert_eq!(events.close().expect("a clean end").durable, 1);
}
