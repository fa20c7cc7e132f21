//! `Logger::disabled` logs nothing, and `Logger::in_memory` keeps what is logged for a test to look at. Neither touches
//! a disk or starts a thread; otherwise they behave as every logger.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diolog::{DeviceKind, Error, Level, Logger, Outcome};

#[test]
fn a_disabled_logger_filters_everything_and_every_call_succeeds() {
    let logger = Logger::disabled();
    let producer = logger.producer_named("orders").expect("a producer");
    for level in Level::ALL {
        assert!(!logger.is_enabled(level) && !producer.is_enabled(level));
        assert_eq!(logger.log(level, "to nowhere"), Outcome::Filtered);
        assert_eq!(producer.log(level, "to nowhere"), Outcome::Filtered);
        logger.set_level(Level::Trace);
    }
    assert_eq!(producer.next_sequence(), 0);
    logger.producer_builder().ring_bytes(1 << 20).build().expect("a producer");
    logger.producer_builder().ring_bytes(5).build().expect_err("an invalid size stays one");
    logger.flush().expect("nothing to wait for");
    logger.flush_within(Duration::ZERO).expect("nothing to wait for");
    logger.rotate().expect("nothing to leave");
    logger.on_state_change(|state| panic!("{state:?}"));
    let stats = logger.stats();
    assert_eq!((stats.attempted, stats.refused, stats.device.kind), (0, 0, DeviceKind::None));
    logger.close().expect("nothing to end");
    logger.close().expect("the same answer");
    assert_eq!(logger.log(Level::Error, "late"), Outcome::Closed);
    assert_eq!(producer.log(Level::Error, "late"), Outcome::Closed);
    assert!(matches!(logger.flush(), Err(Error::Closed)));
    assert!(matches!(logger.rotate(), Err(Error::Closed)));
    assert!(matches!(logger.producer(), Err(Error::Closed)));
    let other = Logger::disabled();
    assert_eq!(other.log(Level::Error, "to nowhere"), Outcome::Filtered, "each has a close of its own");
    let producer = other.producer().expect("a producer");
    drop(other);
    assert_eq!(producer.log(Level::Error, "late"), Outcome::Closed, "dropped is closed");
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn neither_starts_a_thread_or_opens_a_file() {
    if support::child::ran_in_child("neither_starts_a_thread_or_opens_a_file") {
        return;
    }
    let open_files = || std::fs::read_dir("/proc/self/fd").expect("listed").count();
    let before = (support::os::threads().len(), open_files());
    let disabled = Logger::disabled();
    let (logger, log) = Logger::in_memory();
    disabled.log(Level::Error, "to nowhere");
    logger.log(Level::Error, "kept");
    assert_eq!((support::os::threads().len(), open_files()), before);
    assert_eq!(log.messages(), ["kept"]);
}

#[test]
fn what_is_logged_into_memory_is_shown_in_order() {
    let (logger, log) = Logger::in_memory();
    let orders = logger.producer_named("orders").expect("a producer");
    let risk = logger.producer_named("risk").expect("a producer");
    assert_eq!(orders.log(Level::Info, "order 42"), Outcome::Written);
    assert_eq!(risk.log(Level::Trace, b"\xff\0"), Outcome::Written);
    assert_eq!(orders.log(Level::Error, ""), Outcome::Written);
    let thread = std::thread::Builder::new().name("matching".into());
    std::thread::scope(|scope| {
        let logger = &logger;
        let logs = move || assert_eq!(logger.log(Level::Debug, "filled"), Outcome::Written);
        thread.spawn_scoped(scope, logs).expect("a thread").join().expect("no panic");
    });
    let long = vec![b'x'; (64 << 10) + 1];
    assert_eq!(risk.log(Level::Warn, &long), Outcome::Truncated);
    let records = log.records();
    let shown = |at: usize| (records[at].level(), records[at].producer_name(), records[at].sequence());
    assert_eq!(shown(0), (Level::Info, "orders", 0));
    assert_eq!(shown(1), (Level::Trace, "risk", 0));
    assert_eq!(shown(2), (Level::Error, "orders", 1));
    assert_eq!(shown(3), (Level::Debug, "matching", 0));
    assert_eq!(shown(4), (Level::Warn, "risk", 1));
    assert_eq!((records[0].message(), records[1].message()), (&b"order 42"[..], &b"\xff\0"[..]));
    assert_eq!((records[1].text(), records[2].text()), ("\u{fffd}\0".into(), "".into()));
    assert_eq!((records[4].message().len(), records[4].is_truncated()), (risk.message_bytes_max(), true));
    assert!(!records[0].is_truncated());
    assert_eq!((records[0].producer_id(), records[1].producer_id()), (orders.id(), risk.id()));
    assert_eq!((orders.next_sequence(), logger.stats().attempted), (2, 5));
    assert_eq!(log.take().len(), 5);
    orders.log(Level::Info, "later");
    assert_eq!(log.clone().messages(), ["later"]);
    assert_eq!(logger.stats().attempted, 6);
}

#[test]
fn a_level_filters_and_close_refuses_as_in_a_log_on_disk() {
    let (logger, log) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    logger.set_level(Level::Warn);
    assert_eq!(producer.log(Level::Info, "filtered"), Outcome::Filtered);
    assert!(!producer.is_enabled(Level::Info) && logger.is_enabled(Level::Warn));
    logger.set_level(Level::Off);
    assert_eq!(logger.log(Level::Error, "filtered"), Outcome::Filtered);
    logger.set_level(Level::Trace);
    assert_eq!(producer.log(Level::Off, "no level of a record"), Outcome::Filtered);
    assert_eq!(producer.log(Level::Trace, "kept"), Outcome::Written);
    logger.flush().expect("nothing to wait for");
    let report = logger.close().expect("nothing to end");
    assert_eq!((report.accepted, report.durable, report.lost()), (1, 0, 0));
    assert_eq!(producer.log(Level::Error, "late"), Outcome::Closed);
    assert_eq!(logger.log(Level::Error, "late"), Outcome::Closed);
    assert_eq!(logger.close().expect("nothing to end"), report, "the same answer");
    assert_eq!((logger.stats().attempted, logger.stats().refused), (1, 2));
    drop((logger, producer));
    assert_eq!(log.messages(), ["kept"], "the records outlive the logger");
}

#[test]
fn an_append_that_races_close_is_kept_or_refused() {
    for _ in 0..50 {
        let (logger, log) = Logger::in_memory();
        let begun = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let appending = scope.spawn(|| {
                let mut written = 0;
                while logger.log(Level::Info, "raced") == Outcome::Written {
                    written += 1;
                    begun.store(true, Ordering::Release);
                }
                written
            });
            while !begun.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            logger.close().expect("nothing to end");
            let kept = log.records().len();
            assert_eq!(kept, appending.join().expect("no panic"), "close has waited");
        });
    }
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn a_forked_child_is_refused_by_a_logger_into_memory_and_not_by_a_disabled_one() {
    let (logger, log) = Logger::in_memory();
    let disabled = Logger::disabled();
    let producer = logger.producer().expect("a producer");
    let status = support::os::fork(|| {
        assert_eq!(producer.log(Level::Error, "from the child"), Outcome::Forked);
        assert_eq!(disabled.log(Level::Error, "from the child"), Outcome::Filtered);
        disabled.flush().expect("nothing to wait for");
        disabled.close().expect("nothing to end");
    });
    assert_eq!(status, 0);
    assert_eq!(producer.log(Level::Error, "from the parent"), Outcome::Written);
    assert_eq!(log.messages(), ["from the parent"]);
}
