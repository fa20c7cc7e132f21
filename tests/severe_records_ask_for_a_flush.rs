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

#[test]
fn a_record_that_is_not_severe_enough_asks_for_nothing() {
    let directory = support::directory();
    for (name, flush_on) in [("none", None), ("error", Some(Level::Error)), ("off", Some(Level::Off))] {
        let path = directory.path().join(name);
        let config = config(&path);
        let logger = Logger::open(match flush_on {
            Some(level) => config.flush_on(level),
            None => config,
        });
        let logger = logger.expect("a log");
        let producer = logger.producer().expect("a ring");
        for level in [Level::Warn, Level::Info, Level::Debug, Level::Trace] {
            assert_eq!(producer.log(level, "not severe"), Outcome::Written);
        }
        if flush_on != Some(Level::Error) {
            assert_eq!(producer.log(Level::Error, "no record is severe enough"), Outcome::Written);
        }
        // Far longer than the writer sleeps.
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(logger.stats().durable_records, 0, "{name}");
        logger.close().expect("a clean end");
    }
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

#[cfg(feature = "unstable")]
#[test]
fn one_flush_serves_all_that_ask_while_another_is_under_way() {
    use support::device::Control;
    let directory = support::directory();
    let control = Control::default();
    let config = config(&directory.path().join("log")).flush_on(Level::Error).blocks_in_flight(8);
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    control.hold();
    assert_eq!(producer.log(Level::Error, "first"), Outcome::Written);
    control.wait_for_message(b"first");
    for _ in 0..20 {
        assert_eq!(producer.log(Level::Error, "later"), Outcome::Written);
        // Time for a block of its own.
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(control.blocks().iter().all(|block| block.count(b"later") == 0), "the first is not durable yet");
    control.release();
    wait_until_durable(&logger, 21);
    assert_eq!(control.blocks().iter().filter(|block| block.count(b"later") > 0).count(), 1);
    logger.close().expect("a clean end");
}
