//! Logs of one engine on two file systems, one of them frozen: those on the other one rotate, remove old segments and
//! flush.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use diolog::{Config, Engine, EngineConfig, Level, Logger, Outcome, Verdict};
use support::disk::{Frozen, on_a_disk};

/// On each of the two file systems.
const LOGS: usize = 50;

/// As in the tests of a frozen file system with one log: it must be thawed if the logs do not go on.
const THAW_AFTER: Duration = Duration::from_secs(600);

fn config(path: &Path) -> Config {
    support::segments::small(path).retain_segments(2).close_deadline(Duration::from_millis(50))
}

/// Writes until each log has begun its third segment and has removed its first.
fn rotate_and_retain(base: &Path, logs: &[Logger]) {
    for (number, logger) in logs.iter().enumerate() {
        support::segments::grow(logger, 3);
        while support::segments::numbers(&base.join(number.to_string())).contains(&1) {
            logger.flush().expect("durable");
            std::thread::yield_now();
        }
    }
}

#[test]
fn fifty_logs_go_on_while_the_file_system_of_fifty_others_is_frozen() {
    const TEST: &str = "fifty_logs_go_on_while_the_file_system_of_fifty_others_is_frozen";
    on_a_disk(64 << 20, "defaults", TEST, |disk| {
        let directory = support::directory();
        let engine = Engine::start(EngineConfig::new()).expect("a thread");
        let open = |base: &Path| {
            let open = |number: usize| engine.open(config(&base.join(number.to_string()))).expect("a log");
            (0..LOGS).map(open).collect::<Vec<_>>()
        };
        let (held, free) = (open(disk), open(directory.path()));
        let log_all = |logs: &[Logger]| {
            logs.iter().for_each(|logger| assert_eq!(logger.log(Level::Info, "a record"), Outcome::Written));
        };
        log_all(&held);
        held.iter().for_each(|logger| logger.flush().expect("durable"));
        let frozen = match Frozen::new(disk) {
            Ok(frozen) => frozen,
            Err(why) => return support::not_shown("a frozen file system", why),
        };
        // Each of the held logs has a block on its way, and wants a new segment.
        log_all(&held);
        held.iter().for_each(|logger| {
            logger.rotate().expect("open");
            let _ = logger.flush_within(Duration::ZERO);
        });
        let (send, done) = channel();
        let path = directory.path().to_owned();
        let others = std::thread::spawn(move || {
            rotate_and_retain(&path, &free);
            send.send(()).expect("somebody listens");
            drop(free);
        });
        let answer = done.recv_timeout(THAW_AFTER);
        drop(frozen);
        others.join().expect("no panic");
        answer.expect("the logs on the other file system go on");
        // What waited is written once the file system thaws.
        for logger in &held {
            logger.flush().expect("durable");
        }
        drop(held);
        let _ = engine.close();
        for number in 0..LOGS {
            let verification = diolog::verify(directory.path().join(number.to_string())).expect("a log");
            assert_ne!(verification.verdict, Verdict::Lost, "log {number}");
            let verification = diolog::verify(disk.join(number.to_string())).expect("a log");
            assert_eq!((verification.verdict, verification.report.records), (Verdict::Clean, 2), "log {number}");
        }
    });
}
