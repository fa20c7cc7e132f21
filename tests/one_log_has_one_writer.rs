//! A log that is open for writing is `InUse` for every other logger, and the error names the holder. Readers take no
//! lock.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use diolog::{Error, Level, Logger, Outcome, Reader};

/// The holder named by the error of opening `path`.
fn holder(path: &Path) -> String {
    let error = Logger::open(support::config(path)).expect_err("somebody has it");
    let Error::InUse { path: named, holder } = &error else { panic!("{error}") };
    assert_eq!(named, path);
    assert!(error.to_string().contains("close that logger, or log to another directory"), "{error}");
    holder.clone()
}

/// The name of a holder. The portable code does not know it.
fn named(holder: impl Into<String>) -> String {
    if cfg!(diolog_portable) { "another logger".to_owned() } else { holder.into() }
}

/// A child that has reported that it has the log open.
fn child_with_log(test: &str, path: &Path) -> Child {
    let mut command = support::child_command(test, "holder", path);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child process");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    assert!(stdout.lines().any(|line| line.expect("text").contains("the log is open")), "the child ended early");
    child
}

/// The child: opens the log, logs, reports that, and closes when its input ends.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn hold_until_input_ends() {
    let logger = Logger::open(support::config(support::child_directory())).expect("a log");
    assert_eq!(logger.log(Level::Info, "from the holder"), Outcome::Written);
    logger.flush().expect("durable");
    println!("\nthe log is open");
    std::io::stdout().flush().expect("the parent listens");
    std::io::stdin().lines().for_each(drop);
    logger.close().expect("a clean end");
    std::process::exit(0);
}

#[test]
fn another_process_is_refused_and_the_error_names_the_holder() {
    if support::role().is_some() {
        hold_until_input_ends();
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    let mut child = child_with_log("another_process_is_refused_and_the_error_names_the_holder", &path);
    let before = std::fs::read_dir(&path).expect("a log").count();
    for _ in 0..3 {
        assert_eq!(holder(&path), named(format!("process {}", child.id())));
    }
    assert_eq!(std::fs::read_dir(&path).expect("a log").count(), before, "a refused open leaves nothing behind");
    // Readers take no lock.
    assert_eq!(Reader::open(&path).expect("a log").count(), 1);
    drop(child.stdin.take());
    assert!(child.wait().expect("a child of ours").success());
    // The child has ended, and its lock with it.
    let logger = Logger::open(support::config(&path)).expect("nobody has it");
    logger.log(Level::Info, "from the next one");
    logger.close().expect("a clean end");
    assert_eq!(Reader::open(&path).expect("a log").count(), 2);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, diolog::Verdict::Clean);
}

#[test]
fn a_killed_process_no_longer_has_the_log() {
    if support::role().is_some() {
        hold_until_input_ends();
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    let mut child = child_with_log("a_killed_process_no_longer_has_the_log", &path);
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
    let logger = Logger::open(support::config(&path)).expect("nobody has it");
    logger.close().expect("a clean end");
    // The log has the records that the killed process had flushed; its run has no end.
    assert_eq!(Reader::open(&path).expect("a log").count(), 1);
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!(verification.verdict, diolog::Verdict::Unconfirmed);
    let ends: Vec<_> = verification.report.runs.iter().map(|run| run.clean_end).collect();
    assert_eq!(ends, [false, true]);
}

#[test]
fn a_second_logger_of_this_process_is_refused() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    assert_eq!(holder(&path), named("this process"));
    // Under another name it is the same directory.
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    assert_eq!(holder(&link), named("this process"));
    // The refusals have not released the lock.
    assert_eq!(holder(&path), named("this process"));
    assert_eq!(logger.log(Level::Info, "still ours"), Outcome::Written);
    logger.close().expect("a clean end");
    Logger::open(support::config(&link)).expect("nobody has it").close().expect("a clean end");
}

#[test]
fn one_of_many_threads_that_open_a_log_at_once_gets_it() {
    let directory = support::directory();
    let path = directory.path().join("log");
    for _ in 0..10 {
        let start = std::sync::Barrier::new(8);
        let opened: Vec<_> = std::thread::scope(|scope| {
            let open = || {
                start.wait();
                Logger::open(support::config(&path))
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let refused = |result: &diolog::Result<Logger>| matches!(result, Err(Error::InUse { .. }));
        assert_eq!(opened.iter().filter(|result| refused(result)).count(), 7, "{opened:?}");
    }
}
