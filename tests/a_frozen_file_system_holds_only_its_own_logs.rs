//! Logs of one engine on two file systems, of which one is frozen, so that no write to it completes: the logs on the
//! other one flush, rotate, retain and close as ever.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use diolog::{Engine, EngineConfig, Error, Level, Logger, Verdict};
use support::disk::{Frozen, on_a_disk};

/// The time after which the test counts the healthy logs as held. It must thaw the file system then: no process with a
/// write to a frozen one can be killed. It is far beyond what they take, however busy the machine is.
const THAW_AFTER: Duration = Duration::from_secs(300);

/// On each file system.
const LOGS: usize = 6;

fn open_all(engine: &Engine, root: &Path, close_deadline: Duration) -> Vec<Logger> {
    let open = |number: usize| {
        let config = support::config(root.join(number.to_string()))
            .block_bytes(16 << 10)
            .segment_bytes(256 << 10)
            .retain_segments(2)
            .close_deadline(close_deadline);
        let logger = engine.open(config).expect("a log");
        assert!(logger.log(Level::Info, "begun").is_accepted());
        logger.flush().expect("durable");
        logger
    };
    (0..LOGS).map(open).collect()
}

/// Fills some segments of each log, durably, until retention has removed old ones.
fn rotate_and_retain(loggers: &[Logger], root: &Path) {
    for (number, logger) in loggers.iter().enumerate() {
        let segments = || {
            let names = std::fs::read_dir(root.join(number.to_string())).expect("readable");
            names
                .filter(|name| name.as_ref().expect("readable").file_name().to_string_lossy().ends_with(".dlog"))
                .count()
        };
        while logger.stats().segments < 6 || segments() > 4 {
            logger.log(Level::Info, [b'x'; 10_000]);
            logger.flush().expect("durable, beside a frozen file system");
        }
    }
}

fn hold_one_of_two(disk: &Path) {
    let directory = support::directory();
    let engine = Engine::start(EngineConfig::new()).expect("a thread");
    let held = open_all(&engine, disk, Duration::from_secs(1));
    let healthy = open_all(&engine, directory.path(), Duration::from_secs(60));
    let frozen = match Frozen::new(disk) {
        Ok(frozen) => frozen,
        Err(why) => return support::not_shown("a frozen file system", why),
    };
    // Writes in flight, and next segments asked for.
    for logger in &held {
        for _ in 0..40 {
            // If the ring is full, it is dropped.
            logger.log(Level::Info, [b'x'; 10_000]);
        }
        logger.rotate().expect("open");
    }
    let (send, done) = channel();
    let (root, first) = (directory.path().to_owned(), held[0].clone());
    let working = std::thread::spawn(move || {
        rotate_and_retain(&healthy, &root);
        // A close on the frozen one, which cannot end in time, holds nobody else.
        let ended = first.close();
        assert!(matches!(ended, Err(Error::CloseIncomplete { .. })), "{ended:?}");
        for logger in &healthy {
            assert!(logger.log(Level::Info, "the last").is_accepted());
            logger.close().expect("a clean end");
        }
        send.send(()).expect("somebody listens");
    });
    let in_time = done.recv_timeout(THAW_AFTER);
    drop(frozen);
    working.join().expect("no panic");
    in_time.expect("the healthy logs go on while the other file system is frozen");
    // The other logs there go on once it thaws.
    for logger in &held[1..] {
        logger.flush().expect("durable, after the thaw");
        logger.close().expect("a clean end");
    }
    for number in 0..LOGS {
        let path = directory.path().join(number.to_string());
        assert_eq!(diolog::verify(path).expect("a log").verdict, Verdict::Clean, "{number}");
    }
}

#[test]
fn logs_on_another_file_system_go_on() {
    on_a_disk(48 << 20, "defaults", "logs_on_another_file_system_go_on", hold_one_of_two);
}
