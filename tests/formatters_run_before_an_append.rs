//! `%` and `?` run user code, before the append begins: it may log, panic, and take its time, and a log that closes
//! does not wait for it. What it writes is kept up to a bound.

mod support;

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

use diolog::{Level, Log, Logger, MemoryRecord, Outcome, Producer, Value, Verdict};

/// Logs through `log` when it is shown.
struct Logs<'a, L> {
    log: &'a L,
    depth: u32,
}

impl<L: Log> fmt::Display for Logs<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Logs { log, depth } = *self;
        f.write_str("begun, ")?;
        let outcome = match depth {
            0 => diolog::info!(log, "innermost"),
            _ => diolog::info!(log, "{inner}", inner = %Logs { log, depth: depth - 1 }, after = %"whole"),
        };
        assert_eq!(outcome, Outcome::Written);
        f.write_str("ended")
    }
}

fn nested(log: &impl Log) {
    assert_eq!(diolog::info!(log, "{outer}", outer = %Logs { log, depth: 2 }, id = 7_u8), Outcome::Written);
}

fn check_nested(records: &[MemoryRecord]) {
    let field = |at: usize, name| records[at].field(name);
    assert_eq!(records.len(), 4);
    assert!(records[0].fields().next().is_none(), "the innermost is first");
    let text = Some(Value::Text("begun, ended"));
    assert_eq!((field(1, "inner"), field(1, "after")), (text, Some(Value::Text("whole"))));
    assert_eq!(field(2, "inner"), text);
    assert_eq!((field(3, "outer"), field(3, "id")), (text, Some(Value::Unsigned(7))));
}

#[test]
fn a_formatter_that_logs_comes_after_its_own_records() {
    let (logger, memory) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    nested(&producer);
    check_nested(&memory.take());
    nested(&logger);
    check_nested(&memory.take());
    // Another log's first record makes the thread's producer for that.
    let (other, others) = Logger::in_memory();
    assert_eq!(diolog::info!(logger, "", inner = %Logs { log: &other, depth: 1 }), Outcome::Written);
    assert_eq!((memory.take().len(), others.take().len()), (1, 2));
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half of it")?;
        panic!("instead of the rest")
    }
}

#[test]
fn a_formatter_that_panics_leaves_no_trace() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a producer");
    let long = "x".repeat(5000);
    for number in 0..10_u64 {
        let panicking = [
            catch_unwind(AssertUnwindSafe(|| diolog::info!(producer, "{a} {b}", a = number, b = ?Panics))),
            catch_unwind(AssertUnwindSafe(|| diolog::info!(logger, "{a} {b}", a = number, b = ?Panics))),
            catch_unwind(AssertUnwindSafe(|| producer.log_args(Level::Info, format_args!("{Panics:?}")))),
            catch_unwind(AssertUnwindSafe(|| logger.log_args(Level::Info, format_args!("{Panics:?}")))),
        ];
        assert!(panicking.iter().all(Result::is_err));
        assert_eq!(producer.next_sequence(), number);
        // The buffer is back: it holds more than that of a formatter within a formatter.
        assert_eq!(diolog::info!(producer, "{text}", text = %long), Outcome::Written);
        assert_eq!(diolog::info!(logger, "{text}", text = %long), Outcome::Written);
    }
    logger.close().expect("a clean end");
    let stats = logger.stats();
    assert_eq!((stats.attempted, stats.refused, stats.durable_records), (20, 0, 20));
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

/// Says that it runs, and waits.
struct Waits {
    running: Sender<()>,
    go_on: Receiver<()>,
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.running.send(()).expect("the test listens");
        self.go_on.recv().expect("the test answers");
        f.write_str("late")
    }
}

#[test]
fn close_does_not_wait_for_a_formatter_and_its_record_is_refused() {
    let directory = support::directory();
    let on_disk = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    for logger in [on_disk, Logger::in_memory().0] {
        let through_logger = logger.clone();
        let producer = logger.producer().expect("a producer");
        for through_producer in [true, false] {
            let (running, has_begun) = channel();
            let (may_go_on, go_on) = channel();
            let (producer, through_logger) = (&producer, &through_logger);
            std::thread::scope(|scope| {
                // A producer is one thread's: this one waits meanwhile.
                let closing = logger.clone();
                scope.spawn(move || {
                    has_begun.recv().expect("it formats");
                    if through_producer {
                        assert_eq!(closing.log(Level::Info, "the log is open"), Outcome::Written);
                    } else {
                        closing.close().expect("a clean end, while it formats");
                    }
                    may_go_on.send(()).expect("it waits");
                });
                let waits = Waits { running, go_on };
                let outcome = if through_producer {
                    diolog::info!(producer, "{a}", a = %waits)
                } else {
                    diolog::info!(through_logger, "{a}", a = %waits)
                };
                assert_eq!(outcome, if through_producer { Outcome::Written } else { Outcome::Closed });
            });
        }
        assert_eq!(diolog::info!(producer, "", a = %1), Outcome::Closed);
        assert_eq!(logger.stats().refused_by.closed, 2);
    }
}

#[test]
fn what_a_formatter_writes_is_cut_at_the_longest_message_and_flagged() {
    struct Endless<'a>(&'a Cell<u64>);
    impl fmt::Display for Endless<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                self.0.set(self.0.get() + 1);
                f.write_str("größe")?;
            }
        }
    }
    let (logger, memory) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    let longest = producer.message_bytes_max();
    let writes = Cell::new(0);
    let endless = Endless(&writes);
    assert_eq!(diolog::info!(producer, "", a = 1_u64, %endless, b = -1_i128, c = %"after"), Outcome::Truncated);
    assert!(writes.get() <= longest as u64 / 7 + 1, "it is not asked for more: {} times", writes.get());
    assert_eq!(diolog::info!(logger, "", a = ?"short", %endless), Outcome::Truncated);
    let records = memory.take();
    assert!(records.iter().all(MemoryRecord::is_truncated));
    let cut: Vec<_> = records[0].fields().map(|field| field.cut).collect();
    assert_eq!(cut, [false, true, false, true], "each value says whether it is whole");
    let Some(Value::Text(text)) = records[0].field("endless") else { panic!("{:?}", records[0]) };
    assert!(text.len() > longest - 100 && "größe".repeat(longest).starts_with(text), "{} of {longest}", text.len());
    assert_eq!((records[0].field("a"), records[0].field("b")), (Some(Value::Unsigned(1)), Some(Value::Signed128(-1))));
    assert_eq!(records[0].field("c"), Some(Value::Text("")), "no room is left");
    assert_eq!(records[1].field("a"), Some(Value::Text("\"short\"")));
}

#[test]
fn a_formatter_that_fails_keeps_what_it_wrote_and_is_flagged() {
    struct Fails;
    impl fmt::Display for Fails {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("so far")?;
            Err(fmt::Error)
        }
    }
    let (logger, memory) = Logger::in_memory();
    assert_eq!(diolog::info!(logger, "", a = %Fails, b = %"whole"), Outcome::Truncated);
    let record = memory.take().pop().expect("one");
    assert_eq!((record.field("a"), record.field("b")), (Some(Value::Text("so far")), Some(Value::Text("whole"))));
}

/// The longest text that a formatter within a formatter gets.
fn within(producer: &Producer) -> Outcome {
    struct Inner<'a>(&'a Producer, &'a Cell<Option<Outcome>>);
    impl fmt::Display for Inner<'_> {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.1.set(Some(diolog::info!(self.0, "", text = %"y".repeat(2000))));
            Ok(())
        }
    }
    let outcome = Cell::new(None);
    assert_eq!(diolog::info!(producer, "", outer = %Inner(producer, &outcome)), Outcome::Written);
    outcome.get().expect("it was formatted")
}

#[test]
fn a_formatter_within_a_formatter_has_a_kibibyte() {
    let (logger, memory) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    assert_eq!(within(&producer), Outcome::Truncated);
    let records = memory.take();
    assert_eq!(records[0].field("text"), Some(Value::Text(&"y".repeat(1024))));
    assert!(records[0].is_truncated() && !records[1].is_truncated());
}

#[test]
fn a_ring_of_a_small_log_takes_formatted_fields_too() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).message_bytes_max(8)).expect("a log");
    let producer = logger.producer().expect("a producer");
    assert_eq!(diolog::info!(producer, "", a = %"1234", b = u128::MAX), Outcome::Truncated);
    assert_eq!(diolog::info!(producer, "", b = u128::MAX, c = Some(i128::MIN)), Outcome::Written);
    logger.close().expect("a clean end");
    assert_eq!(logger.stats().durable_records, 2);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}
