//! Appending makes no system call: a thread that may make none but `exit` can log. With rings in a file it makes one
//! for each chunk of a reserve, which allocates that.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};

use diolog::{Config, Engine, EngineConfig, EventLogs, Level, Log, Logger, Outcome, Overflow, RingMemory};
use support::os::{Fate, Who, filter_system_calls};

/// Logs fields of every type. The first call registers the places, which takes a lock and allocates.
fn log_fields(log: &impl Log, number: u64) -> [Outcome; 3] {
    let text = "a text of some length";
    let (bytes, letter, absent) = (text.as_bytes(), Some('x'), None::<&str>);
    [
        diolog::info!(log, "", number, a = 1.5, b = -1_i8, c = true, d = u128::MAX, e = i128::MIN, f = 0.5_f32),
        diolog::info!(log, "", text, bytes, letter, absent, some = Some(text)),
        diolog::info!(log, "", %number, ?letter, ?text),
    ]
}

/// The names of events that the thread under the filter logs.
const EVENTS: [&str; 2] = ["payment", "shipping"];

/// Event logs on an engine of their own.
fn event_logs(config: Config, rings: RingMemory) -> EventLogs {
    let engine = Engine::start(EngineConfig::new().ring_memory(rings)).expect("a thread");
    EventLogs::new(&engine, support::child_directory().with_extension("events"), config).expect("valid settings")
}

/// Logs on a thread that may make no system call, then spins, because ending would make some. Meanwhile another thread
/// does whatever takes a lock: an append that took one too would wait for it at some time, which is a system call.
fn child(overflow: Overflow, rings: RingMemory, breaks_the_rule: bool) {
    static DONE: AtomicBool = AtomicBool::new(false);
    // Small enough that appends enter the reserve, enter its chunks, and find it full.
    let config = support::config(support::child_directory()).ring_bytes(4096).reserve_bytes(128 << 10);
    let config = config.flight_recorder(4096).flight_recorder_level(Level::Debug).snapshot_on(Level::Warn);
    let allowed: &[_] = match rings {
        RingMemory::Private => &[libc::SYS_exit],
        _ => &[libc::SYS_exit, libc::SYS_fallocate],
    };
    let config = config.overflow(overflow);
    let events = event_logs(config.clone().thread_ring_bytes(4096), rings.clone());
    let logger = Logger::open(config.ring_memory(rings)).expect("a log");
    let producer = logger.producer().expect("a producer");
    let handle = logger.clone();
    let events_of_thread = events.clone();
    let _never_joined = std::thread::spawn(move || {
        assert_eq!(handle.log(Level::Info, "this makes the thread's ring"), Outcome::Written);
        let log_events = |level| EVENTS.map(|event| events_of_thread.log(event, level, "an event"));
        assert_eq!(log_events(Level::Info), [Outcome::Written; 2], "this opens the logs and makes the rings");
        while log_events(Level::Debug) != [Outcome::Recorded; 2] {}
        assert_eq!(log_fields(&producer, 0), [Outcome::Written; 3]);
        assert_eq!(log_fields(&handle, 0), [Outcome::Written; 3]);
        let record = |number: u64| {
            diolog::debug!(producer, "recorded {number}", number);
            producer.log(Level::Warn, "asks for a snapshot");
            [producer.log(Level::Debug, "recorded"), handle.log(Level::Debug, "recorded")]
        };
        // These make the rings of the recorder. While a snapshot copies a ring, it takes no record.
        while record(0) != [Outcome::Recorded; 2] {}
        filter_system_calls(Who::ThisThread, allowed, Fate::Allowed, Fate::Fatal);
        for number in 0..100_000 {
            producer.log(Level::Info, [b'x'; 64]);
            producer.log(Level::Trace, "filtered");
            record(number);
            handle.log(Level::Info, "through the thread's own producer");
            log_events(Level::Info);
            log_events(Level::Debug);
            log_fields(&producer, number);
            log_fields(&handle, number);
            producer.log_args(Level::Info, format_args!("{number}"));
        }
        if breaks_the_rule {
            std::thread::yield_now();
        }
        DONE.store(true, Ordering::Release);
        loop {
            std::hint::spin_loop();
        }
    });
    let beside = events.clone();
    // Has the lock on the events most of the time.
    let asks = std::thread::spawn(move || {
        while !DONE.load(Ordering::Acquire) {
            beside.stats();
        }
    });
    while !DONE.load(Ordering::Acquire) {
        logger.producer().expect("a producer");
        logger.flush().expect("durable");
        logger.snapshot("beside").expect("written");
        logger.stats();
        events.open("audit").expect("a log").log(Level::Info, "beside");
        events.close_event("audit").expect("a clean end");
    }
    asks.join().expect("no panic");
    events.close().expect("a clean end");
    logger.close().expect("a clean end");
    let stats = logger.stats();
    assert!(stats.durable_records > 1 && stats.dropped + stats.overwritten > 0, "{stats:?}");
    std::process::exit(0);
}

fn run(test: &str, role: &str) -> std::process::ExitStatus {
    let directory = support::directory();
    support::run_child(test, role, &directory.path().join("log")).status
}

#[test]
fn an_append_that_drops_makes_no_system_call() {
    if support::role().is_some() {
        child(Overflow::DropNewest, RingMemory::Private, false);
    }
    assert!(run("an_append_that_drops_makes_no_system_call", "child").success());
}

#[test]
fn an_append_that_overwrites_makes_no_system_call() {
    if support::role().is_some() {
        child(Overflow::OverwriteOldest, RingMemory::Private, false);
    }
    assert!(run("an_append_that_overwrites_makes_no_system_call", "child").success());
}

#[test]
fn an_append_to_a_shared_ring_allocates_chunks_of_its_reserve_and_makes_no_other_system_call() {
    const TEST: &str = "an_append_to_a_shared_ring_allocates_chunks_of_its_reserve_and_makes_no_other_system_call";
    if let Some(directory) = support::role() {
        child(Overflow::DropNewest, RingMemory::Shared(directory.into()), false);
    }
    let tmpfs = support::rings::on_tmpfs();
    let status = run(TEST, tmpfs.path().to_str().expect("text"));
    assert!(status.success(), "{status}");
    assert!(support::rings::in_directory(tmpfs.path()).is_empty());
}

#[test]
fn an_append_to_a_shared_window_makes_no_system_call() {
    if let Some(directory) = support::role() {
        child(Overflow::OverwriteOldest, RingMemory::Shared(directory.into()), false);
    }
    let tmpfs = support::rings::on_tmpfs();
    let status = run("an_append_to_a_shared_window_makes_no_system_call", tmpfs.path().to_str().expect("text"));
    assert!(status.success(), "{status}");
}

#[test]
fn the_filter_kills_a_thread_that_makes_one() {
    if support::role().is_some() {
        child(Overflow::DropNewest, RingMemory::Private, true);
    }
    let status = run("the_filter_kills_a_thread_that_makes_one", "child");
    assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}");
}
