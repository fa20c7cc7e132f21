//! A message whose `as_ref` panics was never logged: no half record, no sequence number, and the next one is whole.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use diolog::{Level, Logger, Outcome, Producer, Reader, Record};
use support::account::{self, Attempts, Overwrites};

struct Panics;

impl AsRef<[u8]> for Panics {
    fn as_ref(&self) -> &[u8] {
        panic!("instead of returning its bytes");
    }
}

/// A message that logs two others before it returns its bytes.
struct LogsItself<'a>(&'a Logger, &'a Producer);

impl AsRef<[u8]> for LogsItself<'_> {
    fn as_ref(&self) -> &[u8] {
        assert_eq!(self.1.log(Level::Info, "inner, through the producer"), Outcome::Written);
        assert_eq!(self.0.log(Level::Info, "inner, through the logger"), Outcome::Written);
        b"outer"
    }
}

#[test]
fn a_message_whose_panic_is_caught_leaves_no_trace() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    for _ in 0..10 {
        attempts.log(&producer);
        catch_unwind(AssertUnwindSafe(|| producer.log(Level::Info, Panics))).expect_err("it panics");
        catch_unwind(AssertUnwindSafe(|| logger.log(Level::Info, Panics))).expect_err("it panics");
        assert_eq!(attempts.log(&producer), Outcome::Written);
    }
    logger.close().expect("a clean end");
    assert_eq!(logger.stats().attempted, 20);
    account::check(&path, &[attempts], Overwrites::No);
}

#[test]
fn a_message_whose_panic_ends_the_thread_leaves_no_trace() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    for _ in 0..10 {
        let dying = logger.clone();
        let thread = std::thread::spawn(move || {
            assert_eq!(dying.log(Level::Info, "before"), Outcome::Written);
            dying.log(Level::Info, Panics);
        });
        thread.join().expect_err("it panics");
    }
    assert_eq!(logger.log(Level::Info, "after"), Outcome::Written);
    logger.close().expect("a clean end");
    let read: Vec<_> = Reader::open(&path).expect("a log").map(|record| record.expect("readable")).collect();
    let (after, before) = read.split_last().expect("records");
    assert!(before.len() == 10 && before.iter().all(|record| record.message() == b"before"));
    assert_eq!(after.message(), b"after");
    assert_eq!(diolog::verify(&path).expect("a log").verdict, diolog::Verdict::Clean);
}

#[test]
fn a_message_that_logs_others_comes_after_them() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Info, LogsItself(&logger, &producer)), Outcome::Written);
    assert_eq!(logger.log(Level::Info, LogsItself(&logger, &producer)), Outcome::Written);
    logger.close().expect("a clean end");
    let read: Vec<_> = Reader::open(&path).expect("a log").map(|record| record.expect("readable")).collect();
    let by = |id| {
        let of_producer = read.iter().filter(move |record| record.producer_id() == id);
        of_producer.map(|record| String::from_utf8_lossy(record.message())).collect::<Vec<_>>()
    };
    let own = read.iter().map(Record::producer_id).find(|&id| id != producer.id()).expect("the thread's own");
    assert_eq!(by(producer.id()), ["inner, through the producer", "outer", "inner, through the producer"]);
    assert_eq!(by(own), ["inner, through the logger", "inner, through the logger", "outer"]);
}
