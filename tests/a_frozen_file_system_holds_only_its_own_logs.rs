//! Logs of one engine on two file systems, of which one is frozen, so that no write to it completes: the logs on the
//! other one flush, rotate, retain and close as ever, and the held ones lose nothing.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use diolog::{Engine, EngineConfig, Error, Level, Logger, Outcome, Verdict};
use support::disk::{Frozen, on_a_disk};

/// The time after which the test counts the healthy logs as held. It must thaw the file system then: no process with a
/// write to a frozen one can be killed. It is far beyond what they take, however busy the machine is.
const THAW_AFTER: Duration = Duration::from_secs(600);

/// On each file system. Each log that is held keeps a kernel thread in its write: these are more than the kernel gives
/// a ring of io_uring by its own choice.
const LOGS: usize = 50;

fn open_all(engine: &Engine, root: &Path, close_deadline: Duration) -> Vec<Logger> {
    let open = |number: usize| {
        let config =
            support::segments::small(root.join(number.to_string())).retain_segments(2).close_deadline(close_deadline);
        let logger = engine.open(config).expect("a log");
        assert_eq!(logger.log(Level::Info, "begun"), Outcome::Written);
        logger.flush().expect("durable");
        logger
    };
    (0..LOGS).map(open).collect()
}

/// Writes until each log has begun its third segment and has removed its first.
fn rotate_and_retain(loggers: &[Logger], root: &Path) {
    for (number, logger) in loggers.iter().enumerate() {
        support::segments::grow(logger, 3);
        while support::segments::numbers(&root.join(number.to_string())).contains(&1) {
            logger.flush().expect("durable, beside a frozen file system");
            std::thread::yield_now();
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
    // Each of the held logs has a block in flight, and asks for the next segment.
    for logger in &held {
        assert_eq!(logger.log(Level::Info, "held"), Outcome::Written);
        logger.rotate().expect("open");
        let _ = logger.flush_within(Duration::ZERO);
    }
    let (send, done) = channel();
    let (root, first) = (directory.path().to_owned(), held[0].clone());
    let working = std::thread::spawn(move || {
        rotate_and_retain(&healthy, &root);
        // A close on the frozen one, which cannot end in time, holds nobody else.
        let ended = first.close();
        assert!(matches!(ended, Err(Error::CloseIncomplete { .. })), "{ended:?}");
        for logger in &healthy {
            assert_eq!(logger.log(Level::Info, "the last"), Outcome::Written);
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
    let verify = |root: &Path, number: usize| diolog::verify(root.join(number.to_string())).expect("a log");
    for number in 0..LOGS {
        assert_eq!(verify(directory.path(), number).verdict, Verdict::Clean, "{number}");
    }
    for number in 1..LOGS {
        let verification = verify(disk, number);
        assert_eq!((verification.verdict, verification.report.records), (Verdict::Clean, 2), "{number}");
    }
}

#[test]
fn logs_on_another_file_system_go_on() {
    on_a_disk(64 << 20, "defaults", "logs_on_another_file_system_go_on", hold_one_of_two);
}
