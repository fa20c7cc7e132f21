//! Logging from the destructors of thread locals and from exit handlers of the process: each record is written, or refused
//! and counted, and nothing hangs.
#![cfg(target_os = "linux")]

mod support;

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use diolog::{Level, Logger, Outcome, Overflow, Producer, Reader, Verdict};

/// The outcomes of appends, one count for each that is allowed.
#[derive(Default)]
struct Counts {
    written: AtomicU64,
    no_ring: AtomicU64,
}

impl Counts {
    fn add(&self, outcome: Outcome) {
        match outcome {
            Outcome::Written => self.written.fetch_add(1, Ordering::Relaxed),
            Outcome::NoRing => self.no_ring.fetch_add(1, Ordering::Relaxed),
            // A panic in a destructor ends the process, and the test with it.
            other => panic!("{other:?}"),
        };
    }
}

/// Logs when the thread ends.
struct LogsWhenDropped(Logger, Arc<Counts>);

impl Drop for LogsWhenDropped {
    fn drop(&mut self) {
        for _ in 0..10 {
            self.1.add(self.0.log(Level::Info, "from a destructor"));
        }
    }
}

thread_local! {
    static EARLIER: RefCell<Option<LogsWhenDropped>> = const { RefCell::new(None) };
    static LATER: RefCell<Option<LogsWhenDropped>> = const { RefCell::new(None) };
    static OWN_PRODUCER: RefCell<Option<Producer>> = const { RefCell::new(None) };
}

#[test]
fn destructors_before_and_after_the_threads_own_producers_may_log() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).overflow(Overflow::Block)).expect("a log");
    let counts = Arc::new(Counts::default());
    let threads = 200;
    for thread in 0..threads {
        let (logger, counts) = (logger.clone(), Arc::clone(&counts));
        let ended = std::thread::spawn(move || {
            let at_end = || Some(LogsWhenDropped(logger.clone(), Arc::clone(&counts)));
            // The order of destructors depends on the first use: one runs before that of the thread's producers, one
            // after it. Every other thread has no producer before it ends.
            EARLIER.set(at_end());
            if thread % 2 == 0 {
                counts.add(logger.log(Level::Info, "from the thread itself"));
            }
            LATER.set(at_end());
            OWN_PRODUCER.set(Some(logger.producer().expect("a ring")));
        });
        ended.join().expect("no panic");
    }
    logger.close().expect("a clean end");
    let (written, no_ring) = (counts.written.load(Ordering::Relaxed), counts.no_ring.load(Ordering::Relaxed));
    assert_eq!(written + no_ring, threads * 20 + threads / 2, "every append had an outcome");
    assert_eq!((logger.stats().attempted, logger.stats().refused), (written, no_ring));
    assert_eq!(Reader::open(&path).expect("a log").count() as u64, written);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

/// The child's log. It is never dropped, as in a program that keeps its logger in a static.
static LOGGER: OnceLock<Logger> = OnceLock::new();

fn open_static() -> &'static Logger {
    LOGGER.get_or_init(|| Logger::open(support::config(support::child_directory())).expect("a log"))
}

/// Logs and closes, as a service does that must lose nothing.
extern "C" fn log_and_close() {
    let logger = open_static();
    let outcome = logger.log(Level::Info, "from atexit");
    logger.close().expect("a clean end");
    let told = format!("{outcome:?} {}", logger.stats().refused);
    std::fs::write(support::child_directory().with_extension("told"), told).expect("writable");
}

#[test]
fn a_handler_of_atexit_may_log() {
    if support::role().is_some() {
        support::os::at_exit(log_and_close);
        assert_eq!(open_static().log(Level::Info, "from main"), Outcome::Written);
        std::process::exit(0);
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    support::child::expect_success("a_handler_of_atexit_may_log", "child", &path);
    let told = std::fs::read_to_string(path.with_extension("told")).expect("the handler ran");
    let messages: Vec<_> = messages(&path);
    // The thread's producers may be destroyed by then; the refusal is counted.
    match told.as_str() {
        "Written 0" => assert_eq!(messages, ["from main", "from atexit"]),
        "NoRing 1" => assert_eq!(messages, ["from main"]),
        other => panic!("{other}"),
    }
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

fn messages(path: &Path) -> Vec<String> {
    let reader = Reader::open(path).expect("a log");
    reader.map(|record| String::from_utf8_lossy(record.expect("readable").message()).into_owned()).collect()
}

#[test]
fn a_process_that_exits_without_close_does_not_hang_and_keeps_what_was_flushed() {
    if support::role().is_some() {
        let logger = open_static();
        // Other threads are appending when the process ends.
        for _ in 0..3 {
            std::thread::spawn(|| {
                let producer = open_static().producer().expect("a ring");
                while producer.log(Level::Info, "on and on") != Outcome::Closed {}
            });
        }
        assert_eq!(logger.log(Level::Info, "flushed"), Outcome::Written);
        logger.flush().expect("durable");
        std::process::exit(0);
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    for run in 1..=5 {
        support::child::expect_success(
            "a_process_that_exits_without_close_does_not_hang_and_keeps_what_was_flushed",
            "child",
            &path,
        );
        let flushed = messages(&path).iter().filter(|&message| message == "flushed").count();
        assert_eq!(flushed, run, "every flushed record is there");
    }
    // No durable record is missing, but the runs have no end.
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Unconfirmed);
}
