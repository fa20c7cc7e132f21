//! What happens to the disk of one log of an engine stays there: the others lose nothing, flush, and find buffers for
//! their blocks.
#![cfg(feature = "unstable")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use diolog::{Engine, EngineConfig, Error, Level, Logger, Outcome, State, Verdict};
use support::device::Control;

/// ENOSPC, the same on every Unix.
const NO_SPACE: i32 = 28;

/// EIO, too.
const BROKEN: i32 = 5;

const BLOCK: usize = 4096;

fn engine(blocks: usize) -> Engine {
    Engine::start(EngineConfig::new().blocks_bytes_max(blocks * BLOCK)).expect("a thread")
}

fn config(path: &std::path::Path) -> diolog::Config {
    support::config(path).block_bytes(BLOCK).flush_interval(Duration::from_millis(1))
}

/// Logs records until `done`, and flushes now and then. Returns how many.
fn log_until(logger: &Logger, done: &AtomicBool) -> u64 {
    let producer = logger.producer().expect("a ring");
    let mut count = 0;
    while !done.load(SeqCst) || count < 2000 {
        assert_eq!(producer.log(Level::Info, "a record of the healthy log"), Outcome::Written);
        count += 1;
        if count % 64 == 0 {
            logger.flush().expect("the healthy log's disk has room");
        }
    }
    count
}

#[test]
fn a_full_disk_of_one_log_costs_the_others_no_record_and_no_buffer() {
    writes_of_one_log_fail(NO_SPACE, State::Full);
}

#[test]
fn a_broken_disk_of_one_log_costs_the_others_no_record_and_no_buffer() {
    writes_of_one_log_fail(BROKEN, State::Failed);
}

fn writes_of_one_log_fail(errno: i32, state: State) {
    let directory = support::directory();
    let paths = ["failing", "healthy"].map(|name| directory.path().join(name));
    // The failing log may take ten blocks; two are left to the healthy one.
    let engine = engine(12);
    let control = Control::default();
    let failing = control.hooks().open_on(&engine, config(&paths[0])).expect("a log");
    let healthy = engine.open(config(&paths[1])).expect("a log");
    control.fail_with(Some(errno));
    let done = AtomicBool::new(false);
    let logged = std::thread::scope(|scope| {
        let logged = scope.spawn(|| log_until(&healthy, &done));
        let producer = failing.producer().expect("a ring");
        // More than ten blocks hold.
        for _ in 0..2000 {
            producer.log(Level::Info, [b'x'; 100]);
        }
        assert!(matches!(failing.flush(), Err(Error::Io { .. })));
        assert_eq!((failing.stats().state, healthy.stats().state), (state, State::Ok));
        // Once the failing log has its ten blocks, a third log finds no two. It does not disturb the others.
        let error = loop {
            match engine.open(config(&directory.path().join("third"))) {
                Ok(third) => drop(third.close().expect("a clean end")),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::InvalidConfig { setting: "blocks_bytes_max", .. }), "{error}");
        done.store(true, SeqCst);
        logged.join().expect("no panic")
    });
    control.fail_with(None);
    // Until the writer has tried again, a flush returns the error.
    while failing.flush().is_err() {
        std::thread::yield_now();
    }
    engine.close().expect("clean ends");
    for (path, records) in paths.iter().zip([2000, logged]) {
        let verification = diolog::verify(path).expect("a log");
        assert_eq!((verification.verdict, verification.report.records), (Verdict::Clean, records));
    }
}

#[test]
fn a_log_whose_disk_stalls_ends_at_its_deadline_and_the_others_go_on() {
    let directory = support::directory();
    let paths = ["stalled", "healthy"].map(|name| directory.path().join(name));
    let engine = engine(16);
    let control = Control::default();
    let stalled = config(&paths[0]).close_deadline(Duration::from_millis(50));
    let stalled = control.hooks().open_on(&engine, stalled).expect("a log");
    let healthy = engine.open(config(&paths[1])).expect("a log");
    control.hold();
    assert_eq!(stalled.log(Level::Info, "on its way for ever"), Outcome::Written);
    control.wait_for_message(b"on its way for ever");
    let logged = log_until(&healthy, &AtomicBool::new(true));
    let error = stalled.close().expect_err("the disk does not answer");
    assert!(matches!(error, Error::CloseIncomplete { unconfirmed: 1, .. }), "{error}");
    assert_eq!(healthy.log(Level::Info, "after the end of the other"), Outcome::Written);
    healthy.flush().expect("durable");
    // The directory, and the blocks that the stalled log had, are free again.
    control.release();
    let again = engine.open(config(&paths[0])).expect("the lock is free");
    assert_eq!(again.log(Level::Info, "again"), Outcome::Written);
    assert_eq!(engine.close().expect("clean ends").durable, logged + 2);
}

#[test]
fn an_open_that_would_leave_a_log_without_blocks_is_refused_and_leaves_nothing() {
    let directory = support::directory();
    let path = |at: usize| directory.path().join(at.to_string());
    let engine = engine(6);
    let logs: Vec<_> = (0..3).map(|at| engine.open(config(&path(at))).expect("room for two blocks")).collect();
    let error = engine.open(config(&path(3))).expect_err("no room");
    let Error::InvalidConfig { setting: "blocks_bytes_max", value, remedy } = error else { panic!("{error}") };
    assert!(value == "24 KiB" && remedy.contains("4 KiB"), "{value}: {remedy}");
    assert!(!path(3).exists());
    for logger in &logs {
        assert_eq!(logger.log(Level::Info, "a record"), Outcome::Written);
        logger.flush().expect("durable");
    }
    logs[0].close().expect("a clean end");
    let late = engine.open(config(&path(3))).expect("another log has ended");
    assert_eq!(late.log(Level::Info, "a record"), Outcome::Written);
    assert_eq!(engine.close().expect("clean ends").durable, 3);
}

#[test]
fn the_rings_of_all_logs_share_one_limit() {
    let directory = support::directory();
    let engine = Engine::start(EngineConfig::new().rings_bytes_max(256 << 10)).expect("a thread");
    let open = |name| engine.open(support::config(directory.path().join(name)).ring_bytes(64 << 10)).expect("a log");
    let (one, two) = (open("one"), open("two"));
    let rings: Vec<_> = [&one, &two, &one, &two].map(|logger| logger.producer().expect("a ring")).into();
    let error = one.producer().expect_err("the limit of all");
    let Error::RingMemory { ring_bytes: 65536, limit_bytes: 262_144, remedy } = error else { panic!("{error}") };
    assert!(remedy.contains("engine's"), "{remedy}");
    // The figures of each log show that the engine's limit is reached, although the log's own is not.
    for logger in [&one, &two] {
        let stats = logger.stats();
        let engine = stats.ring_memory.engine.expect("an engine");
        assert_eq!((stats.ring_memory.used_bytes, engine.used_bytes), (128 << 10, 256 << 10));
        assert!(engine.limit_bytes == 256 << 10 && stats.ring_memory.limit_bytes > 256 << 10, "{stats:?}");
        let text = stats.to_prometheus("a log");
        assert!(text.contains("\ndiolog_engine_ring_memory_bytes{log=\"a log\"} 262144\n"), "{text}");
        assert!(text.contains("\ndiolog_engine_ring_memory_limit_bytes{log=\"a log\"} 262144\n"), "{text}");
    }
    // What one log gives back, another one may take.
    drop(rings);
    two.close().expect("a clean end");
    // Once their end is durable.
    while (0..3).map(|_| one.producer()).collect::<Result<Vec<_>, _>>().is_err() {
        std::thread::yield_now();
    }
    for bytes in [0, 4095] {
        let refused = Engine::start(EngineConfig::new().rings_bytes_max(bytes)).expect_err("too small");
        assert!(matches!(refused, Error::InvalidConfig { setting: "rings_bytes_max", .. }), "{refused}");
    }
    let refused = Engine::start(EngineConfig::new().blocks_bytes_max(8191)).expect_err("too small");
    assert!(matches!(refused, Error::InvalidConfig { setting: "blocks_bytes_max", .. }), "{refused}");
}
