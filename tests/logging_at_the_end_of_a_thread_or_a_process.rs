//! Logging from the destructors of thread locals and from exit handlers of the process: each record is written, and
//! nothing hangs.
#![cfg(target_os = "linux")]

mod support;

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diolog::{Level, Logger, Outcome, Overflow, Producer, Reader, Verdict};

/// Counts appends, all of which are to succeed.
#[derive(Default)]
struct Counts {
    written: AtomicU64,
}

impl Counts {
    fn add(&self, outcome: Outcome) {
        // A panic in a destructor ends the process, and the test with it.
        assert_eq!(outcome, Outcome::Written);
        self.written.fetch_add(1, Ordering::Relaxed);
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
            // The destructors run in the reverse order of the first use: LATER's before that of the thread's producers,
            // EARLIER's after it. Every other thread has no producer before it ends; LATER's destructor makes it one.
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
    // EARLIER's records go through the ring that such threads share.
    let written = counts.written.load(Ordering::Relaxed);
    assert_eq!(written, threads * 20 + threads / 2);
    assert_eq!((logger.stats().attempted, logger.stats().refused), (written, 0));
    assert_eq!(Reader::open(&path).expect("a log").count() as u64, written);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

/// The `close_deadline` of a log that must not wait for ever: a test that hangs shows that it does.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The child's log. It is never dropped, as in a program that keeps its logger in a static.
static LOGGER: OnceLock<Logger> = OnceLock::new();

fn open_static() -> &'static Logger {
    LOGGER.get_or_init(|| Logger::open(support::config(support::child_directory()).close_deadline(DAY)).expect("a log"))
}

/// Logs and closes, as a service does that must lose nothing. Leaves the outcome in a file for the parent.
extern "C" fn log_and_close() {
    let logger = open_static();
    let outcome = logger.log(Level::Info, "from atexit");
    logger.close().expect("a clean end");
    let report = format!("{outcome:?}, {} refused", logger.stats().refused);
    std::fs::write(support::child_directory().with_extension("outcome"), report).expect("writable");
}

/// Runs `test` as a child that logs in a handler of `atexit`. Returns the outcome there, and the messages in the log.
fn log_at_exit_of_child(test: &str, role: &str) -> (String, Vec<String>) {
    let directory = support::directory();
    let path = directory.path().join("log");
    support::child::expect_success(test, role, &path);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
    let outcome = std::fs::read_to_string(path.with_extension("outcome")).expect("the handler ran");
    (outcome, messages(&path))
}

#[test]
fn a_handler_of_atexit_may_log_on_a_thread_that_has_logged_nothing() {
    const MAIN_EXITS: &str = "the main thread exits";
    if let Some(role) = support::role() {
        let log = || assert_eq!(open_static().log(Level::Info, "from another thread"), Outcome::Written);
        std::thread::spawn(log).join().expect("no panic");
        // After the first open, so that it runs before the library's own handler.
        support::os::at_exit(log_and_close);
        if role == MAIN_EXITS {
            // The test harness returns from `main` once this test has ended.
            return;
        }
        std::process::exit(0);
    }
    for role in [MAIN_EXITS, "the thread of the test exits"] {
        let test = "a_handler_of_atexit_may_log_on_a_thread_that_has_logged_nothing";
        let (outcome, messages) = log_at_exit_of_child(test, role);
        assert_eq!(outcome, "Written, 0 refused", "{role}");
        assert_eq!(messages, ["from another thread", "from atexit"], "{role}");
    }
}

#[test]
fn a_handler_of_atexit_registered_before_the_first_open_finds_the_log_closed() {
    if support::role().is_some() {
        support::os::at_exit(log_and_close);
        assert_eq!(open_static().log(Level::Info, "from the thread"), Outcome::Written);
        std::process::exit(0);
    }
    let test = "a_handler_of_atexit_registered_before_the_first_open_finds_the_log_closed";
    let (outcome, messages) = log_at_exit_of_child(test, "child");
    assert_eq!((outcome.as_str(), &messages[..]), ("Closed, 1 refused", &["from the thread".to_owned()][..]));
}

#[test]
fn a_log_that_a_late_handler_of_atexit_opens_is_drained_too() {
    extern "C" fn open_another() {
        let path = support::child_directory().with_extension("another");
        let logger = Logger::open(support::config(path).close_deadline(DAY)).expect("a log");
        assert_eq!(logger.log(Level::Info, "very late"), Outcome::Written);
        std::mem::forget(logger);
    }
    if support::role().is_some() {
        support::os::at_exit(open_another);
        std::thread::spawn(|| open_static().log(Level::Info, "in time")).join().expect("no panic");
        // A thread that has logged nothing.
        std::process::exit(0);
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    support::child::expect_success("a_log_that_a_late_handler_of_atexit_opens_is_drained_too", "child", &path);
    let another = path.with_extension("another");
    for (path, message) in [(&path, "in time"), (&another, "very late")] {
        assert_eq!(diolog::verify(path).expect("a log").verdict, Verdict::Clean);
        assert_eq!(messages(path), [message]);
    }
}

/// With glibc, `exit` first destroys the thread locals of its thread, and with them the producers.
#[cfg(target_env = "gnu")]
#[test]
fn a_handler_of_atexit_may_log_on_a_thread_that_has_logged_before() {
    if support::role().is_some() {
        assert_eq!(open_static().log(Level::Info, "from the thread"), Outcome::Written);
        support::os::at_exit(log_and_close);
        std::process::exit(0);
    }
    let test = "a_handler_of_atexit_may_log_on_a_thread_that_has_logged_before";
    let (outcome, messages) = log_at_exit_of_child(test, "child");
    assert_eq!(outcome, "Written, 0 refused");
    assert_eq!(messages, ["from the thread", "from atexit"]);
}

fn messages(path: &Path) -> Vec<String> {
    let reader = Reader::open(path).expect("a log");
    reader.map(|record| String::from_utf8_lossy(record.expect("readable").message()).into_owned()).collect()
}
