//! The logs of one engine share the threads that hold locks and prepare segments, and each needs only a few
//! descriptors.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;

use diolog::{Config, Engine, EngineConfig, Error, Level, Logger, Outcome, Verdict};
use support::os;

fn engine() -> Engine {
    Engine::start(EngineConfig::new()).expect("a thread")
}

/// A log with small files, so that a hundred of them take little.
fn config(path: impl AsRef<Path>) -> Config {
    support::config(path).block_bytes(16 << 10).segment_bytes(256 << 10).ring_bytes(64 << 10)
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// Logs until the log has gone to another segment.
fn rotate(logger: &Logger) {
    let before = logger.stats().segments;
    while logger.stats().segments == before {
        assert_eq!(logger.log(Level::Info, [b'x'; 10_000]), Outcome::Written);
        logger.flush().expect("durable");
    }
}

#[test]
fn one_thread_locks_and_one_prepares_for_one_log_and_for_a_hundred() {
    if support::child::ran_in_child("one_thread_locks_and_one_prepares_for_one_log_and_for_a_hundred") {
        return;
    }
    let directory = support::directory();
    let engine = engine();
    const NAMES: [&str; 2] = ["diolog-lock", "diolog-segments"];
    let threads = || NAMES.map(|name| os::threads_named(name).len());
    let open = |number: usize| engine.open(config(directory.path().join(number.to_string()))).expect("a log");
    let mut loggers = vec![open(0)];
    for name in NAMES {
        os::wait_for_threads(name, 1);
    }
    loggers.extend((1..100).map(open));
    assert_eq!(threads(), [1, 1]);
    loggers.iter().for_each(rotate);
    assert_eq!(threads(), [1, 1]);
    engine.close().expect("a clean end");
    // They end with the last log.
    for name in NAMES {
        os::wait_for_threads(name, 0);
    }
    for number in [0, 50, 99] {
        let report = diolog::verify(directory.path().join(number.to_string())).expect("a log");
        assert_eq!(report.verdict, Verdict::Clean);
    }
}

#[test]
fn a_log_needs_at_most_four_descriptors() {
    if support::child::ran_in_child("a_log_needs_at_most_four_descriptors") {
        return;
    }
    const LOGS: usize = 50;
    let directory = support::directory();
    let engine = engine();
    let before = open_descriptors();
    let loggers: Vec<_> = (0..LOGS)
        .map(|number| engine.open(config(directory.path().join(number.to_string()))).expect("a log"))
        .collect();
    let opened = open_descriptors() - before;
    assert!(opened <= 4 * LOGS, "{opened} descriptors for {LOGS} logs at rest");
    for logger in &loggers {
        rotate(logger);
        // Files that were left wait for the thread that cuts them: two more descriptors for a log at work.
        while open_descriptors() - before > 4 * LOGS + 2 {
            std::thread::yield_now();
        }
    }
    engine.close().expect("a clean end");
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_log_for_which_no_descriptor_is_left_says_what_the_limit_is_and_loses_nothing() {
    let test = "a_log_for_which_no_descriptor_is_left_says_what_the_limit_is_and_loses_nothing";
    if support::child::ran_in_child(test) {
        return;
    }
    const LIMIT: usize = 64;
    let directory = support::directory();
    os::set_limit(libc::RLIMIT_NOFILE, LIMIT as u64);
    let engine = engine();
    let path = |number: usize| directory.path().join(number.to_string());
    let mut loggers = Vec::new();
    let error = loop {
        match engine.open(config(path(loggers.len()))) {
            Ok(logger) => loggers.push(logger),
            Err(error) => break error,
        }
        assert!(loggers.len() < LIMIT, "more logs than descriptors");
    };
    let message = error.to_string();
    assert!(matches!(error, Error::Io { .. }), "{message}");
    assert!(message.contains("64 files open (ulimit -n), raise that or keep fewer logs open"), "{message}");
    assert!(loggers.len() >= LIMIT / 4 - 4, "{} logs with {LIMIT} descriptors", loggers.len());
    assert!(!path(loggers.len()).exists(), "the refused open leaves nothing behind");
    // The others go on, with or without a descriptor for a next segment.
    for logger in &loggers {
        for _ in 0..100 {
            assert_eq!(logger.log(Level::Info, [b'x'; 10_000]), Outcome::Written);
            logger.flush().expect("durable");
        }
    }
    let ended = loggers.len();
    engine.close().expect("a clean end");
    os::set_limit(libc::RLIMIT_NOFILE, 1000);
    for number in 0..ended {
        let report = diolog::verify(path(number)).expect("a log");
        assert_eq!((report.verdict, report.report.records), (Verdict::Clean, 100), "{number}");
    }
}
