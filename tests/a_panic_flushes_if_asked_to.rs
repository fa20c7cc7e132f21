//! With `flush_on_panic`, the records before a panic are durable before the process aborts or unwinds, if the disk
//! answers in time. The hook never waits for itself, and never hangs.
//!
//! Each test is a process of its own, since the hook is the process's. Its log writes nothing by itself for an hour.
#![cfg(target_os = "linux")]

mod support;

use std::cell::Cell;
use std::os::unix::process::ExitStatusExt as _;
use std::panic::{self, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use diolog::{Config, Level, Logger, Outcome, Producer, Reader, Verdict};
use support::os;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn path() -> PathBuf {
    support::child_directory().join("log")
}

fn config() -> Config {
    support::config(path()).flush_interval(HOUR)
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

fn logger() -> &'static Logger {
    LOGGER.get_or_init(|| Logger::open(config()).expect("a log"))
}

fn log(message: &str) {
    assert_eq!(logger().log(Level::Info, message), Outcome::Written);
}

fn panic_and_go_on() {
    catch_unwind(|| panic!("on purpose")).expect_err("a panic");
}

fn messages(path: &Path) -> Vec<String> {
    let reader = Reader::open(path).expect("a log");
    reader.map(|record| String::from_utf8_lossy(record.expect("readable").message()).into_owned()).collect()
}

/// A panic in it aborts the process.
extern "C" fn panic_and_abort() {
    panic!("on purpose");
}

#[test]
fn a_panic_that_aborts_leaves_the_records_before_it_durable() {
    const FLUSHES: &str = "with the hook";
    if let Some(role) = support::role() {
        if role == FLUSHES {
            diolog::flush_on_panic_within(DAY);
        }
        log("one");
        panic_and_abort();
    }
    for (role, kept) in [(FLUSHES, &["one"][..]), ("without", &[])] {
        let directory = support::directory();
        let test = "a_panic_that_aborts_leaves_the_records_before_it_durable";
        let output = support::run_child(test, role, directory.path());
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{role}: {output:?}");
        let path = directory.path().join("log");
        assert_eq!(messages(&path), kept, "{role}");
        assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Unconfirmed, "{role}");
    }
}

#[test]
fn the_hook_of_the_program_comes_first_and_what_it_logs_is_flushed() {
    if support::child::ran_in_child("the_hook_of_the_program_comes_first_and_what_it_logs_is_flushed") {
        return;
    }
    panic::set_hook(Box::new(|_| log("from the program's hook")));
    diolog::flush_on_panic();
    // Twice is as good as once.
    diolog::flush_on_panic_within(DAY);
    log("before the panic");
    panic_and_go_on();
    assert_eq!(logger().stats().durable_records, 2);
    os::exit_at_once(0);
}

#[test]
fn panics_flush_at_most_once_a_second() {
    if support::child::ran_in_child("panics_flush_at_most_once_a_second") {
        return;
    }
    panic::set_hook(Box::new(|_| {}));
    diolog::flush_on_panic_within(DAY);
    loop {
        let first = Instant::now();
        log("before the first panic");
        panic_and_go_on();
        let flushed = logger().stats();
        log("before the second panic");
        panic_and_go_on();
        let stats = logger().stats();
        // On a busy machine the second panic may come too late to show anything.
        if first.elapsed() < Duration::from_secs(1) && flushed.durable_records == flushed.attempted {
            assert_eq!(stats.durable_records, flushed.durable_records);
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    // A second later it flushes again.
    while logger().stats().durable_records != logger().stats().attempted {
        panic_and_go_on();
    }
    os::exit_at_once(0);
}

#[test]
fn a_panic_in_a_forked_child_flushes_nothing() {
    if support::child::ran_in_child("a_panic_in_a_forked_child_flushes_nothing") {
        return;
    }
    panic::set_hook(Box::new(|_| {}));
    diolog::flush_on_panic_within(DAY);
    log("one");
    assert_eq!(os::fork(panic_and_go_on), 0);
    assert_eq!(logger().stats().durable_records, 0);
    os::exit_at_once(0);
}

thread_local! {
    static PRODUCER: Cell<Option<&'static Producer>> = const { Cell::new(None) };
}

/// Panics if it has interrupted an append, and ends the process if the panic flushed nothing.
extern "C" fn panic_if_inside_an_append(_: libc::c_int) {
    let producer = PRODUCER.get().expect("set before");
    if producer.log(Level::Info, "from the handler") == Outcome::Reentrant {
        panic_and_go_on();
        os::exit_at_once(i32::from(logger().stats().flushes > 0));
    }
}

#[test]
fn a_panic_inside_an_append_flushes_nothing() {
    if support::child::ran_in_child("a_panic_inside_an_append_flushes_nothing") {
        return;
    }
    panic::set_hook(Box::new(|_| {}));
    diolog::flush_on_panic_within(DAY);
    // The thread may log for long before it is interrupted within an append: most of that is dropped.
    LOGGER.set(Logger::open(config().ring_bytes(4096).reserve_bytes(0)).expect("a log")).expect("set once");
    PRODUCER.set(Some(Box::leak(Box::new(logger().producer().expect("a ring")))));
    os::handle_signal(libc::SIGUSR1, panic_if_inside_an_append);
    let own = os::thread_id();
    std::thread::spawn(move || os::send_signals_to_thread(own, libc::SIGUSR1, || false));
    loop {
        PRODUCER.get().expect("set").log(Level::Info, "on and on");
    }
}

#[cfg(feature = "unstable")]
mod with_devices {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::support::device::{Control, EIO};
    use super::*;

    #[test]
    fn a_panic_waits_no_longer_than_its_limit_for_all_logs() {
        let test = "with_devices::a_panic_waits_no_longer_than_its_limit_for_all_logs";
        if support::child::ran_in_child(test) {
            return;
        }
        let control = Control::default();
        control.hold();
        let open = |name: &str| {
            let logger = control.hooks().open(config().path(path().with_extension(name))).expect("a log");
            assert_eq!(logger.log(Level::Info, name), Outcome::Written);
            logger
        };
        let loggers = ["a", "b"].map(open);
        diolog::flush_on_panic_within(Duration::from_millis(10));
        panic_and_go_on();
        // Both were asked: their blocks are on their way.
        for name in ["a", "b"] {
            control.wait_for_message(name.as_bytes());
        }
        assert!(loggers.iter().all(|logger| logger.stats().durable_records == 0));
        os::exit_at_once(0);
    }

    #[test]
    fn a_panic_in_a_callback_does_not_wait_for_the_thread_that_it_is_on() {
        let test = "with_devices::a_panic_in_a_callback_does_not_wait_for_the_thread_that_it_is_on";
        if support::child::ran_in_child(test) {
            return;
        }
        diolog::flush_on_panic_within(DAY);
        let control = Control::default();
        let logger = control.hooks().open(config()).expect("a log");
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        logger.on_state_change(move |_| {
            panic_and_go_on();
            counted.fetch_add(1, Ordering::SeqCst);
        });
        control.fail_with(Some(EIO));
        assert_eq!(logger.log(Level::Info, "one"), Outcome::Written);
        let _ = logger.flush();
        while calls.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        control.fail_with(None);
        logger.close().expect("a clean end");
        os::exit_at_once(0);
    }
}
