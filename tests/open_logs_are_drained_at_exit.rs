//! A log that is still open when the process exits is drained: at a return from `main`, at `process::exit`, wherever
//! its handles are, and whatever the exiting thread and the others are doing. The exit status stays, and nothing hangs.
//! Other ends of a process keep what was durable.
//!
//! The logs of these tests write nothing by themselves for an hour, and would wait for a day at exit: a record in the
//! files shows that the log was drained, and an exit that waits for something that never comes hangs the test.
#![cfg(target_os = "linux")]

mod support;

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Output, exit};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, OnceLock};
use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome, Overflow, Producer, Reader, Verdict};
use support::os;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The status that a child exits with.
const STATUS: i32 = 7;

fn config(path: impl AsRef<Path>) -> Config {
    support::config(path).flush_interval(HOUR).close_deadline(DAY)
}

/// A child's log, which is never dropped.
static LOGGER: OnceLock<Logger> = OnceLock::new();

fn logger() -> &'static Logger {
    LOGGER.get_or_init(|| Logger::open(config(support::child_directory())).expect("a log"))
}

fn log(message: &str) {
    assert_eq!(logger().log(Level::Info, message), Outcome::Written);
}

fn messages(path: &Path) -> Vec<String> {
    let reader = Reader::open(path).expect("a log");
    reader.map(|record| String::from_utf8_lossy(record.expect("readable").message()).into_owned()).collect()
}

fn verdict(path: &Path) -> Verdict {
    diolog::verify(path).expect("a log").verdict
}

/// Runs `test` as a child with `role`, calls `check` with its log, and returns its output.
fn run(test: &str, role: &str, check: impl FnOnce(&Path)) -> Output {
    let directory = support::directory();
    let path = directory.path().join("log");
    let output = support::run_child(test, role, &path);
    check(&path);
    output
}

/// Runs `test` as a child with `role`, which must exit with `status` and leave a log that was closed cleanly and holds
/// `kept`.
fn expect_drained(test: &str, role: &str, status: i32, kept: &[&str]) {
    let output = run(test, role, |path| {
        assert_eq!(messages(path), kept, "{role}");
        assert_eq!(verdict(path), Verdict::Clean, "{role}");
    });
    assert_eq!(output.status.code(), Some(status), "{role}: {output:?}");
}

static OWN_PRODUCER: Mutex<Option<Producer>> = Mutex::new(None);

#[test]
fn a_return_from_main_drains_a_logger_in_a_static() {
    if support::role().is_some() {
        log("by the thread's producer");
        let producer = logger().producer().expect("a ring");
        assert_eq!(producer.log(Level::Info, "by a producer in a static"), Outcome::Written);
        *OWN_PRODUCER.lock().expect("no panic") = Some(producer);
        // The test harness returns from `main` once this test has ended.
        return;
    }
    let kept = ["by the thread's producer", "by a producer in a static"];
    expect_drained("a_return_from_main_drains_a_logger_in_a_static", "child", 0, &kept);
}

#[test]
fn process_exit_drains_and_keeps_its_status() {
    if support::role().is_some() {
        log("one");
        exit(STATUS);
    }
    expect_drained("process_exit_drains_and_keeps_its_status", "child", STATUS, &["one"]);
}

#[test]
fn a_leaked_clone_is_drained() {
    if support::role().is_some() {
        let logger = Logger::open(config(support::child_directory())).expect("a log");
        assert_eq!(logger.log(Level::Info, "one"), Outcome::Written);
        std::mem::forget(logger.clone());
        drop(logger);
        exit(STATUS);
    }
    expect_drained("a_leaked_clone_is_drained", "child", STATUS, &["one"]);
}

thread_local! {
    static THREADS_OWN: OnceCell<Logger> = const { OnceCell::new() };
}

#[test]
fn a_logger_in_a_thread_local_is_drained() {
    const EXITS: &str = "of the thread that exits";
    if let Some(role) = support::role() {
        let log = || {
            THREADS_OWN.with(|own| {
                let logger = own.get_or_init(|| Logger::open(config(support::child_directory())).expect("a log"));
                assert_eq!(logger.log(Level::Info, "one"), Outcome::Written);
            });
        };
        if role == EXITS {
            log();
            exit(STATUS);
        }
        let logged = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                log();
                logged.wait();
                loop {
                    std::thread::park();
                }
            });
            logged.wait();
            exit(STATUS);
        });
    }
    for role in [EXITS, "of another thread"] {
        expect_drained("a_logger_in_a_thread_local_is_drained", role, STATUS, &["one"]);
    }
}

/// A message that ends the process when it is asked for its bytes or its text.
struct Exits;

impl AsRef<[u8]> for Exits {
    fn as_ref(&self) -> &[u8] {
        exit(STATUS)
    }
}

impl fmt::Display for Exits {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        exit(STATUS)
    }
}

#[test]
fn an_exit_from_within_a_message_drains() {
    if let Some(role) = support::role() {
        log("one");
        match role.as_str() {
            "text" => logger().log(Level::Info, Exits.to_string()),
            "bytes" => logger().log(Level::Info, Exits),
            _ => logger().producer().expect("a ring").log(Level::Info, Exits),
        };
        unreachable!("the message has exited");
    }
    for role in ["text", "bytes", "bytes, by a producer"] {
        expect_drained("an_exit_from_within_a_message_drains", role, STATUS, &["one"]);
    }
}

thread_local! {
    static LEAKED: Cell<Option<&'static Producer>> = const { Cell::new(None) };
}

/// Exits if it has interrupted an append of its thread's producer.
#[cfg(not(diolog_portable))]
extern "C" fn exit_if_inside_an_append(_: libc::c_int) {
    let outcome = match LEAKED.get() {
        Some(producer) => producer.log(Level::Info, "from the handler"),
        None => logger().log(Level::Info, "from the handler"),
    };
    if outcome == Outcome::Reentrant {
        exit(STATUS);
    }
}

#[cfg(not(diolog_portable))]
#[test]
fn an_exit_inside_an_append_does_not_wait_for_that_append() {
    const LEAKED_PRODUCER: &str = "of a producer that is not destroyed";
    if let Some(role) = support::role() {
        log("one");
        if role == LEAKED_PRODUCER {
            LEAKED.set(Some(Box::leak(Box::new(logger().producer().expect("a ring")))));
        }
        os::handle_signal(libc::SIGUSR1, exit_if_inside_an_append);
        let own = os::thread_id();
        std::thread::spawn(move || os::send_signals_to_thread(own, libc::SIGUSR1, || false));
        loop {
            match LEAKED.get() {
                Some(producer) => producer.log(Level::Info, "on and on"),
                None => logger().log(Level::Info, "on and on"),
            };
        }
    }
    for role in [LEAKED_PRODUCER, "of the thread's producer"] {
        let output = run("an_exit_inside_an_append_does_not_wait_for_that_append", role, |path| {
            assert_eq!(messages(path)[0], "one", "{role}");
            let report = diolog::verify(path).expect("a log").report;
            assert!(report.runs[0].clean_end, "{role}: {report:?}");
            // The append itself may be an attempt without an outcome.
            let accounted =
                |producer: &diolog::ProducerReport| producer.holds && producer.ended && producer.unwritten <= 1;
            assert!(report.runs[0].producers.iter().all(accounted), "{role}: {report:?}");
        });
        assert_eq!(output.status.code(), Some(STATUS), "{role}: {output:?}");
    }
}

static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Leaves the number of records written in a file.
extern "C" fn report_written() {
    let written = WRITTEN.load(Ordering::SeqCst);
    std::fs::write(support::child_directory().with_extension("written"), written.to_string()).expect("writable");
}

#[test]
fn an_exit_while_other_threads_log_keeps_all_that_they_were_told_is_written() {
    if support::role().is_some() {
        // Before the first open, so that it runs after the log has been drained.
        os::at_exit(report_written);
        let config = config(support::child_directory()).overflow(Overflow::Block);
        LOGGER.set(Logger::open(config).expect("a log")).expect("set once");
        for _ in 0..3 {
            std::thread::spawn(|| {
                let producer = logger().producer().expect("a ring");
                while producer.log(Level::Info, "on and on") != Outcome::Closed {
                    WRITTEN.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while WRITTEN.load(Ordering::SeqCst) < 10_000 {
            std::thread::yield_now();
        }
        exit(STATUS);
    }
    for _ in 0..5 {
        let test = "an_exit_while_other_threads_log_keeps_all_that_they_were_told_is_written";
        let output = run(test, "child", |path| {
            let written = std::fs::read_to_string(path.with_extension("written")).expect("the handler ran");
            let written: usize = written.parse().expect("a number");
            let kept = messages(path).len();
            assert!(written >= 10_000 && kept >= written, "{kept} of {written}");
            assert_eq!(verdict(path), Verdict::Clean);
        });
        assert_eq!(output.status.code(), Some(STATUS), "{output:?}");
    }
}

#[test]
fn threads_that_exit_at_once_end_the_process_drained() {
    if support::role().is_some() {
        log("one");
        let all = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    all.wait();
                    exit(STATUS);
                });
            }
        });
    }
    for _ in 0..5 {
        expect_drained("threads_that_exit_at_once_end_the_process_drained", "child", STATUS, &["one"]);
    }
}

/// Ends a child after it has logged one durable record, and one that is not.
fn end(role: &str) {
    log("durable");
    logger().flush().expect("durable");
    log("in memory");
    match role {
        "_exit" => os::exit_at_once(STATUS),
        "quick_exit" => os::quick_exit(STATUS),
        "abort" => std::process::abort(),
        "kill" => os::send_signal(std::process::id(), libc::SIGKILL),
        "SIGTERM" => os::send_signal(std::process::id(), libc::SIGTERM),
        "exec" => panic!("{}", Command::new("true").exec()),
        other => panic!("{other}"),
    }
    unreachable!("the process has ended");
}

/// Runs `test` as a child that ends in the way `role`, and expects that only the durable record is kept.
fn expect_durable_kept(test: &str, role: &str, status: Option<i32>, signal: Option<i32>) {
    let output = run(test, role, |path| {
        assert_eq!(messages(path), ["durable"], "{role}");
        assert_eq!(verdict(path), Verdict::Unconfirmed, "{role}");
    });
    assert_eq!((output.status.code(), output.status.signal()), (status, signal), "{role}: {output:?}");
}

#[test]
fn ends_without_exit_handlers_keep_what_was_durable() {
    const TEST: &str = "ends_without_exit_handlers_keep_what_was_durable";
    if let Some(role) = support::role() {
        end(&role);
    }
    expect_durable_kept(TEST, "_exit", Some(STATUS), None);
    expect_durable_kept(TEST, "quick_exit", Some(STATUS), None);
}

#[test]
fn an_abort_keeps_what_was_durable() {
    if let Some(role) = support::role() {
        end(&role);
    }
    expect_durable_kept("an_abort_keeps_what_was_durable", "abort", None, Some(libc::SIGABRT));
}

#[test]
fn a_signal_that_ends_the_process_keeps_what_was_durable() {
    const TEST: &str = "a_signal_that_ends_the_process_keeps_what_was_durable";
    if let Some(role) = support::role() {
        end(&role);
    }
    expect_durable_kept(TEST, "kill", None, Some(libc::SIGKILL));
    expect_durable_kept(TEST, "SIGTERM", None, Some(libc::SIGTERM));
}

#[test]
fn another_program_in_place_of_this_one_keeps_what_was_durable() {
    if let Some(role) = support::role() {
        end(&role);
    }
    expect_durable_kept("another_program_in_place_of_this_one_keeps_what_was_durable", "exec", Some(0), None);
}

#[test]
fn each_end_on_the_page_about_ends_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = std::fs::read_dir(root.join("tests")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = sources.filter(|path| path.is_file()).collect();
    let tests: String = files.iter().map(|path| std::fs::read_to_string(path).expect("source")).collect();
    let page = std::fs::read_to_string(root.join("docs/ending.md")).expect("the page");
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let names = rows.map(|row| row.trim_end_matches(" |").rsplit_once("| ").expect("columns").1.trim_matches('`'));
    let exists = |name: &str| match name.strip_suffix(".rs") {
        Some(_) => files.iter().any(|path| path.ends_with(name)),
        None => tests.contains(&format!("fn {name}()")),
    };
    let mut count = 0;
    for name in names {
        count += 1;
        assert!(exists(name), "{name}");
    }
    assert!(count >= 20, "{count} rows");
}

/// Exits that meet a device which does not answer, or a callback.
#[cfg(feature = "unstable")]
mod with_devices {
    use super::support::device::{Control, EIO};
    use super::*;

    #[test]
    fn all_logs_are_asked_to_close_before_one_is_waited_for() {
        if support::role().is_some() {
            let control = Control::default();
            control.hold();
            let open = |name| {
                let logger = control.hooks().open(config(support::child_directory().with_extension(name)));
                let logger = logger.expect("a log");
                assert_eq!(logger.log(Level::Info, name), Outcome::Written);
                logger
            };
            let loggers = ["a", "b", "c"].map(open);
            std::thread::spawn(move || {
                // No write completes before every log has been asked.
                for logger in loggers {
                    while logger.is_enabled(Level::Error) {
                        std::thread::yield_now();
                    }
                    std::mem::forget(logger);
                }
                control.release();
            });
            exit(STATUS);
        }
        let output = run("with_devices::all_logs_are_asked_to_close_before_one_is_waited_for", "child", |path| {
            for name in ["a", "b", "c"] {
                let path = path.with_extension(name);
                assert_eq!(messages(&path), [name]);
                assert_eq!(verdict(&path), Verdict::Clean);
            }
        });
        assert_eq!(output.status.code(), Some(STATUS), "{output:?}");
    }

    #[test]
    fn logs_whose_disk_does_not_answer_are_given_up_at_their_deadline() {
        if support::role().is_some() {
            let control = Control::default();
            let logs = ["a", "b", "c"].map(|name| {
                let config = config(support::child_directory().with_extension(name));
                let logger = control.hooks().open(config.close_deadline(Duration::from_millis(100))).expect("a log");
                assert_eq!(logger.log(Level::Info, "durable"), Outcome::Written);
                logger.flush().expect("durable");
                logger
            });
            control.hold();
            for logger in logs {
                assert_eq!(logger.log(Level::Info, "nobody knows"), Outcome::Written);
                std::mem::forget(logger);
            }
            exit(STATUS);
        }
        let output =
            run("with_devices::logs_whose_disk_does_not_answer_are_given_up_at_their_deadline", "child", |path| {
                for name in ["a", "b", "c"] {
                    let path = path.with_extension(name);
                    assert_eq!(verdict(&path), Verdict::Unconfirmed);
                    assert_eq!(messages(&path).first().map(String::as_str), Some("durable"));
                }
            });
        assert_eq!(output.status.code(), Some(STATUS), "{output:?}");
    }

    #[test]
    fn an_exit_from_on_loss_waits_for_the_other_logs_alone() {
        if support::role().is_some() {
            log("of the other log");
            let control = Control::default();
            control.hold();
            let losing = config(support::child_directory().with_extension("losing"));
            let losing = losing.ring_bytes(4096).message_bytes_max(100).overflow(Overflow::DropNewest);
            let losing = control.hooks().open(losing).expect("a log");
            losing.on_loss(|_| exit(STATUS));
            let producer = losing.producer().expect("a ring");
            loop {
                producer.log(Level::Info, [b'x'; 100]);
            }
        }
        let test = "with_devices::an_exit_from_on_loss_waits_for_the_other_logs_alone";
        expect_drained(test, "child", STATUS, &["of the other log"]);
    }

    #[test]
    fn an_exit_from_a_callback_waits_for_the_other_logs_alone() {
        const MAIN_EXITS_TOO: &str = "the main thread exits too";
        if let Some(role) = support::role() {
            log("of the other log");
            let control = Control::default();
            let failing = config(support::child_directory().with_extension("failing"));
            let exits_too = role == MAIN_EXITS_TOO;
            let deadline = if exits_too { Duration::from_millis(300) } else { DAY };
            let failing = control.hooks().open(failing.close_deadline(deadline)).expect("a log");
            failing.on_state_change(move |_| {
                if exits_too {
                    // Only after the other thread, which then waits for this one until the deadline.
                    while logger().is_enabled(Level::Error) {
                        std::thread::yield_now();
                    }
                }
                exit(STATUS);
            });
            control.fail_with(Some(EIO));
            assert_eq!(failing.log(Level::Info, "of the failing log"), Outcome::Written);
            if exits_too {
                let _ = failing.flush_within(Duration::from_millis(1));
                std::mem::forget(failing);
                exit(STATUS);
            }
            let _ = failing.flush();
            loop {
                std::thread::park();
            }
        }
        for role in ["it exits alone", MAIN_EXITS_TOO] {
            let test = "with_devices::an_exit_from_a_callback_waits_for_the_other_logs_alone";
            expect_drained(test, role, STATUS, &["of the other log"]);
        }
    }
}
