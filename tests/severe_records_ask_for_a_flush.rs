//! With `flush_on`, a record of that level or a more severe one becomes durable by itself, with all accepted before it;
//! a less severe one waits for the interval, as ever.

mod support;

use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome, Verdict};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn config(path: &std::path::Path) -> Config {
    support::config(path).flush_interval(HOUR).level(Level::Trace)
}

fn wait_until_durable(logger: &Logger, records: u64) {
    while logger.stats().durable_records < records {
        std::thread::yield_now();
    }
}

#[test]
fn a_severe_record_becomes_durable_without_any_call_and_takes_the_earlier_ones_along() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path).flush_on(Level::Warn)).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut records = 0;
    for severe in [Level::Warn, Level::Error] {
        for level in [Level::Info, Level::Debug, Level::Trace] {
            assert_eq!(producer.log(level, "not severe"), Outcome::Written);
            assert_eq!(logger.log(level, "not severe"), Outcome::Written);
            records += 2;
        }
        // Once by this producer, once by the thread's own; too long for the fast path, and cut.
        for message in [&b"severe"[..], &[b'x'; 1000], &[b'x'; 100_000]] {
            assert!(matches!(producer.log(severe, message), Outcome::Written | Outcome::Truncated));
            records += 1;
            wait_until_durable(&logger, records);
            assert!(matches!(logger.log(severe, message), Outcome::Written | Outcome::Truncated));
            records += 1;
            wait_until_durable(&logger, records);
        }
        assert_eq!(logger.stats().durable_records, records);
    }
    logger.close().expect("a clean end");
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[cfg(target_os = "linux")]
#[test]
fn a_record_that_is_not_severe_enough_asks_for_nothing() {
    const TEST: &str = "a_record_that_is_not_severe_enough_asks_for_nothing";
    // Each log in a process of its own, where the writer is the only thread of its name.
    let Some(role) = support::role() else {
        for flush_on in ["none", "error", "off"] {
            support::child::expect_success(TEST, flush_on, support::directory().path());
        }
        return;
    };
    let config = config(&support::child_directory().join("log"));
    let config = match role.as_str() {
        "error" => config.flush_on(Level::Error),
        "off" => config.flush_on(Level::Off),
        _ => config,
    };
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    for level in [Level::Warn, Level::Info, Level::Debug, Level::Trace] {
        assert_eq!(producer.log(level, "not severe"), Outcome::Written);
    }
    if role != "error" {
        assert_eq!(producer.log(Level::Error, "no record is severe enough"), Outcome::Written);
    }
    support::os::wait_for_sleeps(support::os::thread_named("diolog-writer"), 10);
    assert_eq!(logger.stats().durable_records, 0);
    logger.close().expect("a clean end");
}

#[test]
fn severe_records_of_many_threads_are_all_durable_in_fewer_blocks() {
    let directory = support::directory();
    let logger = Logger::open(config(&directory.path().join("log")).flush_on(Level::Error)).expect("a log");
    let (threads, each) = (8, 2_000_u64);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let producer = logger.producer().expect("a ring");
                (0..each).for_each(|_| assert_eq!(producer.log(Level::Error, "severe"), Outcome::Written));
            });
        }
    });
    wait_until_durable(&logger, threads * each);
    let stats = logger.stats();
    assert!(stats.durable_blocks < threads * each / 10, "{} blocks", stats.durable_blocks);
    logger.close().expect("a clean end");
}

#[cfg(all(feature = "unstable", target_os = "linux"))]
#[test]
fn one_flush_serves_all_that_ask_while_another_is_under_way() {
    use support::device::Control;
    // In a process of its own, where the writer is the only thread of its name.
    if support::child::ran_in_child("one_flush_serves_all_that_ask_while_another_is_under_way") {
        return;
    }
    let control = Control::default();
    let config = config(&support::child_directory().join("log")).flush_on(Level::Error).blocks_in_flight(8);
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    control.hold();
    assert_eq!(producer.log(Level::Error, "first"), Outcome::Written);
    control.wait_for_message(b"first");
    for _ in 0..20 {
        assert_eq!(producer.log(Level::Error, "later"), Outcome::Written);
        // The writer has seen it, and done what there was to do.
        support::os::wait_for_sleeps(support::os::thread_named("diolog-writer"), 3);
    }
    assert!(control.blocks().iter().all(|block| block.count(b"later") == 0), "the first is not durable yet");
    control.release();
    wait_until_durable(&logger, 21);
    assert_eq!(control.blocks().iter().filter(|block| block.count(b"later") > 0).count(), 1);
    logger.close().expect("a clean end");
}
