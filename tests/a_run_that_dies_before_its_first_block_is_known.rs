//! A process that is killed before its first block is written has accepted records that are in no file. The log says so
//! for as long as it has the first segment of the next run that writes.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome, Verdict, Verification, verify};
use support::segments::file;

/// Those of a log that writes no block unless it is told to.
fn config(path: &Path) -> Config {
    support::config(path).flush_interval(Duration::from_secs(3600)).first_segment_bytes(1 << 20)
}

/// The child: logs some records, says so, and waits to be killed.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn log_and_wait() {
    let logger = Logger::open(config(&support::child_directory())).expect("a log");
    for number in 0..100 {
        assert_eq!(logger.log(Level::Info, format!("record {number}")), Outcome::Written);
    }
    println!("\nall are accepted");
    std::io::stdout().flush().expect("the parent listens");
    std::io::stdin().lines().for_each(drop);
    drop(logger);
}

/// Begins a run in a child process, and kills it before a block is written.
fn kill_a_run(test: &str, path: &Path) {
    let mut command = support::child_command(test, "killed", path);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child process");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    assert!(stdout.lines().any(|line| line.expect("text").contains("are accepted")), "the child ended early");
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
}

/// A run that works until what the earlier ones have left is cleared away, and is closed.
fn work_and_close(path: &Path, left: &[u64]) {
    let logger = Logger::open(config(path)).expect("a log");
    logger.log(Level::Info, "at work");
    logger.flush().expect("durable");
    while left.iter().any(|number| file(path, *number).exists()) {
        std::thread::yield_now();
    }
    logger.close().expect("a clean end");
}

/// The findings about a log that is unconfirmed.
fn findings(path: &Path) -> Vec<String> {
    let Verification { verdict, report, .. } = verify(path).expect("a log");
    assert_eq!(verdict, Verdict::Unconfirmed, "{report:#?}");
    report.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_next_runs_leave_the_trace_of_a_killed_one() {
    if support::role().is_some() {
        return log_and_wait();
    }
    let test = "the_next_runs_leave_the_trace_of_a_killed_one";
    let directory = support::directory();
    let path = directory.path().join("log");
    kill_a_run(test, &path);
    assert!(findings(&path)[0].contains("holds no block"));
    work_and_close(&path, &[1]);
    assert!(findings(&path)[0].contains("one run right before it ended before its first write"));
    kill_a_run(test, &path);
    kill_a_run(test, &path);
    work_and_close(&path, &[3, 4]);
    let [one, two] = findings(&path).try_into().expect("two findings");
    assert!(one.contains("00000002.dlog") && one.contains("one run"), "{one}");
    assert!(two.contains("00000005.dlog") && two.contains("2 runs right before it"), "{two}");
    // A closed run is no trace of another one.
    work_and_close(&path, &[]);
    assert_eq!(findings(&path), [one, two]);
}

#[test]
fn a_run_that_is_closed_without_a_record_raises_no_alarm() {
    let directory = support::directory();
    let path = directory.path().join("log");
    for _ in 0..3 {
        Logger::open(config(&path)).expect("a log").close().expect("a clean end");
    }
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
}
