//! With `drain_on_signals`, SIGTERM, SIGINT and SIGHUP drain the open logs before they end the process, with their own
//! status. What the program ignores or handles stays as it is.
//!
//! Each log writes nothing by itself for an hour: a record in the files shows that the log was drained.
#![cfg(all(target_os = "linux", not(diolog_portable), feature = "signals"))]

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome, Reader, Verdict};
use support::os;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const ENDING: [i32; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// In the child, which may have been started with some of the signals ignored.
fn drain_on_signals() {
    ENDING.into_iter().for_each(os::reset_signal);
    diolog::drain_on_signals().expect("handlers");
}

fn config() -> Config {
    support::config(support::child_directory()).flush_interval(Duration::from_secs(60 * 60))
}

/// In the child: opens the log and logs to it.
fn log_one() -> Logger {
    let logger = Logger::open(config().close_deadline(DAY)).expect("a log");
    assert_eq!(logger.log(Level::Info, "one"), Outcome::Written);
    logger
}

/// In the child: tells the parent that it may send signals, and waits for one that ends the process.
fn await_end() -> ! {
    std::fs::write(support::child_directory().with_extension("ready"), "").expect("writable");
    loop {
        std::thread::park();
    }
}

/// Starts `test` as a child with `role`, and waits until it awaits its end.
fn start(test: &str, role: &str, path: &Path) -> Child {
    let mut command = support::child_command(test, role, path);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child process");
    while !path.with_extension("ready").exists() {
        assert!(child.try_wait().expect("a child").is_none(), "{:?}", child.wait_with_output());
        std::thread::yield_now();
    }
    child
}

/// Sends `signal` to `child`, which it must end.
fn end(child: Child, signal: i32) {
    os::send_signal(child.id(), signal);
    assert_ended_by(&child.wait_with_output().expect("a child"), signal);
}

fn assert_ended_by(output: &Output, signal: i32) {
    assert_eq!(output.status.signal(), Some(signal), "{output:?}");
}

fn assert_drained(path: &Path) {
    let messages: Vec<_> =
        Reader::open(path).expect("a log").map(|record| record.expect("readable").message().to_vec()).collect();
    assert_eq!(messages, [b"one"]);
    assert_eq!(diolog::verify(path).expect("a log").verdict, Verdict::Clean);
}

/// Runs `test` as a child, ends it by `signal`, and checks that its log was drained.
fn expect_drained(test: &str, signal: i32) {
    let directory = support::directory();
    let path = directory.path().join("log");
    end(start(test, "child", &path), signal);
    assert_drained(&path);
}

#[test]
fn a_signal_drains_the_logs_and_ends_the_process_with_its_status() {
    const TEST: &str = "a_signal_drains_the_logs_and_ends_the_process_with_its_status";
    if support::role().is_some() {
        drain_on_signals();
        let _logger = log_one();
        // Twice is as good as once.
        diolog::drain_on_signals().expect("as before");
        await_end();
    }
    for signal in ENDING {
        expect_drained(TEST, signal);
    }
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn what_the_program_ignores_or_handles_stays_as_it_is() {
    const TEST: &str = "what_the_program_ignores_or_handles_stays_as_it_is";
    if support::role().is_some() {
        ENDING.into_iter().for_each(os::reset_signal);
        os::ignore_signal(libc::SIGHUP);
        os::handle_signal(libc::SIGINT, count);
        diolog::drain_on_signals().expect("handlers");
        let logger = log_one();
        let own = std::process::id();
        os::send_signal(own, libc::SIGHUP);
        os::send_signal(own, libc::SIGINT);
        while HANDLED.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(HANDLED.load(Ordering::SeqCst), 1);
        assert!(logger.is_enabled(Level::Error), "the log is open");
        await_end();
    }
    expect_drained(TEST, libc::SIGTERM);
}

#[test]
fn a_signal_ends_a_forked_child_at_once_and_leaves_the_parents_log_open() {
    const TEST: &str = "a_signal_ends_a_forked_child_at_once_and_leaves_the_parents_log_open";
    if support::role().is_some() {
        drain_on_signals();
        let logger = log_one();
        for signal in ENDING {
            let ended_by = os::fork_until_signal(|| os::send_signal(std::process::id(), signal));
            assert_eq!(ended_by, signal);
        }
        assert!(logger.is_enabled(Level::Error), "the log is open");
        await_end();
    }
    expect_drained(TEST, libc::SIGTERM);
}

#[test]
fn the_first_process_of_a_container_exits_as_if_the_signal_had_ended_it() {
    const TEST: &str = "the_first_process_of_a_container_exits_as_if_the_signal_had_ended_it";
    if support::role().is_some() {
        drain_on_signals();
        let _logger = log_one();
        assert_eq!(std::process::id(), 1);
        os::send_signal(1, libc::SIGTERM);
        await_end();
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    let child = support::child_command(TEST, "child", &path);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--"]).arg(child.get_program()).args(child.get_args());
    command.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = match command.output() {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("unshare failed") => output,
        other => return support::not_shown("process 1", format!("no namespace here: {other:?}")),
    };
    assert_eq!(output.status.code(), Some(128 + libc::SIGTERM), "{output:?}");
    assert_drained(&path);
}

#[cfg(feature = "unstable")]
#[test]
fn a_second_signal_ends_a_process_whose_disk_does_not_answer() {
    const TEST: &str = "a_second_signal_ends_a_process_whose_disk_does_not_answer";
    if support::role().is_some() {
        drain_on_signals();
        let control = support::device::Control::default();
        control.hold();
        let logger = control.hooks().open(config().close_deadline(DAY)).expect("a log");
        assert_eq!(logger.log(Level::Info, "one"), Outcome::Written);
        await_end();
    }
    let directory = support::directory();
    let mut child = start(TEST, "child", &directory.path().join("log"));
    // The first one asks, and the next ones count as the same request for a second.
    while child.try_wait().expect("a child").is_none() {
        os::send_signal(child.id(), libc::SIGTERM);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_ended_by(&child.wait_with_output().expect("a child"), libc::SIGTERM);
}

#[test]
fn sighup_rotates_the_logs_that_ask_for_it_and_ends_nothing() {
    const TEST: &str = "sighup_rotates_the_logs_that_ask_for_it_and_ends_nothing";
    if let Some(role) = support::role() {
        ENDING.into_iter().for_each(os::reset_signal);
        if role == "drains first" {
            diolog::drain_on_signals().expect("handlers");
        }
        let flushes = |logger: &Logger| {
            assert_eq!(logger.log(Level::Info, "one"), Outcome::Written);
            logger.flush().expect("durable");
        };
        let other = Logger::open(support::config(support::child_directory().with_extension("other"))).expect("a log");
        let asks = || support::config(support::child_directory()).rotate_on_hangup(true);
        Logger::open(asks()).expect("a log").close().expect("closed");
        // No open log asks for it, and the signal ends nothing all the same.
        os::send_signal(std::process::id(), libc::SIGHUP);
        let logger = Logger::open(asks()).expect("a log");
        [&logger, &other].into_iter().for_each(flushes);
        for segments in 1..=3 {
            os::send_signal(std::process::id(), libc::SIGHUP);
            while logger.stats().segments == segments {
                flushes(&logger);
            }
        }
        flushes(&other);
        assert_eq!(other.stats().segments, 1, "it does not ask");
        if role == "drains later" {
            diolog::drain_on_signals().expect("handlers");
        }
        // Not handled in a forked child.
        assert_eq!(os::fork_until_signal(|| os::send_signal(std::process::id(), libc::SIGHUP)), libc::SIGHUP);
        if role == "never drains" {
            logger.close().expect("closed");
        }
        await_end();
    }
    for role in ["drains first", "drains later", "never drains"] {
        let directory = support::directory();
        let path = directory.path().join("log");
        end(start(TEST, role, &path), libc::SIGTERM);
        assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean, "{role}");
    }
}

#[test]
fn a_log_that_is_refused_leaves_sighup_as_it_is() {
    const TEST: &str = "a_log_that_is_refused_leaves_sighup_as_it_is";
    if support::role().is_some() {
        os::reset_signal(libc::SIGHUP);
        let missing = support::config(support::child_directory().join("no/parent")).rotate_on_hangup(true);
        assert!(Logger::open(missing).is_err());
        let engine = diolog::Engine::start(diolog::EngineConfig::new().blocks_bytes_max(8192)).expect("an engine");
        let without_blocks = support::config(support::child_directory()).block_bytes(64 << 10);
        let refusal = engine.open(without_blocks.rotate_on_hangup(true)).expect_err("no room for its blocks");
        assert!(refusal.to_string().contains("blocks_bytes_max"), "{refusal}");
        await_end();
    }
    let directory = support::directory();
    end(start(TEST, "child", &directory.path().join("log")), libc::SIGHUP);
}

#[test]
fn a_program_that_handles_sighup_keeps_its_handler() {
    const TEST: &str = "a_program_that_handles_sighup_keeps_its_handler";
    if support::child::ran_in_child(TEST) {
        return;
    }
    os::handle_signal(libc::SIGHUP, count);
    let config = support::config(support::child_directory().join("log")).rotate_on_hangup(true);
    let logger = Logger::open(config).expect("a log");
    os::send_signal(std::process::id(), libc::SIGHUP);
    while HANDLED.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    logger.log(Level::Info, "one");
    logger.close().expect("closed");
    assert_eq!(logger.stats().segments, 1);
}
