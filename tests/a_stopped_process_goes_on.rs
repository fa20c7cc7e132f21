//! A process that is stopped for a while, whatever its threads are doing, goes on: dropped records are counted, and its
//! end does not hang.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diolog::{Logger, Outcome, Overflow};
use support::account::{self, Attempts, Overwrites};
use support::os;

/// Longer than the flush interval, the sleeps of a blocked producer, and the interval between two anchors of the clock:
/// all of them expire while the process is stopped.
const LONG_STOP: Duration = Duration::from_millis(1500);

/// Logs until its input ends, closes, and checks the account.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn child(overflow: Overflow) {
    let path = support::child_directory();
    let logger = Logger::open(support::config_of_ring(&path, 4096).overflow(overflow)).expect("a log");
    let stop = AtomicBool::new(false);
    let all: Vec<Attempts> = std::thread::scope(|scope| {
        let log = || {
            let producer = logger.producer().expect("a ring");
            let mut attempts = Attempts::new(&producer);
            while !stop.load(Ordering::Relaxed) {
                assert_ne!(attempts.log(&producer), Outcome::Closed);
                if attempts.outcomes.len().is_multiple_of(16) {
                    std::thread::yield_now();
                }
            }
            attempts
        };
        let threads = [scope.spawn(log), scope.spawn(log)];
        println!("\nlogging");
        std::io::stdout().flush().expect("the parent listens");
        std::io::stdin().lines().for_each(drop);
        stop.store(true, Ordering::Relaxed);
        threads.map(|thread| thread.join().expect("no panic")).into()
    });
    logger.close().expect("a clean end");
    account::check(&path, &all, Overwrites::No);
    std::process::exit(0);
}

fn stop_and_continue(test: &str, overflow: Overflow) {
    if support::role().is_some() {
        child(overflow);
    }
    let directory = support::directory();
    let mut command = support::child_command(test, "child", &directory.path().join("log"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child process");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    assert!(stdout.lines().any(|line| line.expect("text").contains("logging")), "the child ended early");
    for _ in 0..100 {
        os::send_signal(child.id(), libc::SIGSTOP);
        os::wait_until_stopped(child.id());
        os::send_signal(child.id(), libc::SIGCONT);
        std::thread::yield_now();
    }
    os::send_signal(child.id(), libc::SIGSTOP);
    os::wait_until_stopped(child.id());
    // The sleep is the fault under test, not a way to synchronise.
    std::thread::sleep(LONG_STOP);
    os::send_signal(child.id(), libc::SIGCONT);
    drop(child.stdin.take());
    assert!(child.wait().expect("a child of ours").success());
}

#[test]
fn a_process_stopped_while_it_drops_goes_on() {
    stop_and_continue("a_process_stopped_while_it_drops_goes_on", Overflow::DropNewest);
}

#[test]
fn a_process_stopped_while_it_waits_goes_on() {
    stop_and_continue("a_process_stopped_while_it_waits_goes_on", Overflow::BlockFor(Duration::from_millis(1)));
}
