//! A killed run leaves its segment at the size that was reserved. The next run cuts the zeros off in the background,
//! and counts the segment without them; readers see the same log before and after.
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use diolog::{Config, Level, Logger, Reader, Verdict, verify};
use support::segments::{file, numbers};

const SEGMENT_BYTES: u64 = 1 << 20;

fn config(path: &Path) -> Config {
    support::config(path).block_bytes(64 << 10).first_segment_bytes(SEGMENT_BYTES).segment_bytes(SEGMENT_BYTES)
}

/// The child: logs one record durably, reports that, and waits to be killed.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn log_and_wait() {
    let logger = Logger::open(config(&support::child_directory()).retain_bytes(3 * SEGMENT_BYTES)).expect("a log");
    logger.log(Level::Info, "from a run that is killed");
    logger.flush().expect("durable");
    println!("\nthe record is durable");
    std::io::stdout().flush().expect("the parent listens");
    std::io::stdin().lines().for_each(drop);
}

/// Begins a run in a child process and kills it when it has a durable record.
fn kill_a_run(test: &str, path: &Path) {
    let mut command = support::child_command(test, "killed", path);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child process");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    assert!(stdout.lines().any(|line| line.expect("text").contains("is durable")), "the child ended early");
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
}

fn lengths(path: &Path) -> Vec<u64> {
    numbers(path).into_iter().map(|number| file(path, number).metadata().expect("a segment").len()).collect()
}

#[test]
fn many_killed_runs_push_out_no_history_and_look_the_same_afterwards() {
    if support::role().is_some() {
        return log_and_wait();
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    let test = "many_killed_runs_push_out_no_history_and_look_the_same_afterwards";
    (0..6).for_each(|_| kill_a_run(test, &path));
    assert_eq!(numbers(&path), [1, 2, 3, 4, 5, 6], "six mebibytes of zeros, and three are the limit");
    let last = *lengths(&path).last().expect("a segment");
    assert_eq!(last, SEGMENT_BYTES, "nobody has cut the last one yet");
    let before = verify(&path).expect("a log");
    let mut standing = Reader::open(&path).expect("a log");
    let mut records = 0;
    while standing.next_record().expect("readable").is_some() {
        records += 1;
    }
    assert_eq!(records, 6);
    let report = format!("{:?}", standing.report());

    let logger = Logger::open(config(&path)).expect("a log");
    while lengths(&path)[..6].contains(&SEGMENT_BYTES) {
        std::thread::yield_now();
    }
    // A reader that stands in the last one sees nothing new.
    assert!(!standing.follow(Duration::ZERO).expect("readable"));
    logger.log(Level::Info, "from a run that is closed");
    logger.close().expect("a clean end");
    assert!(standing.follow(Duration::ZERO).expect("readable"));
    assert_eq!(standing.next_record().expect("readable").expect("a record").message(), b"from a run that is closed");
    assert!(standing.next_record().expect("readable").is_none());
    let last_run = file(&path, 7);
    let after = verify(&path).expect("a log");
    assert_eq!(before.verdict, Verdict::Unconfirmed);
    assert_eq!(after.verdict, before.verdict);
    assert_eq!(format!("{:?}", after.report.runs[..6].to_vec()), format!("{:?}", before.report.runs));
    assert_eq!(standing.report().runs.len(), 7);
    fs::remove_file(last_run).expect("ours");
    let mut again = Reader::open(&path).expect("a log");
    while again.next_record().expect("readable").is_some() {}
    assert_eq!(format!("{:?}", again.report()), report);
}

#[test]
fn the_time_of_the_last_write_stays() {
    if support::role().is_some() {
        return log_and_wait();
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    kill_a_run("the_time_of_the_last_write_stays", &path);
    let killed = file(&path, 1);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    fs::File::options().write(true).open(&killed).expect("there").set_modified(time).expect("a time");
    let logger = Logger::open(config(&path)).expect("a log");
    while killed.metadata().expect("there").len() == SEGMENT_BYTES {
        std::thread::yield_now();
    }
    logger.close().expect("a clean end");
    assert_eq!(killed.metadata().expect("there").modified().expect("a time"), time);
}

/// On Linux a forked child keeps its parent's files open: a write to them may be under way.
#[cfg(all(target_os = "linux", not(diolog_portable)))]
#[test]
fn a_segment_that_a_child_of_the_killed_process_has_open_is_cut_later() {
    use support::os::{fork_and_wait, send_signal};
    let test = "a_segment_that_a_child_of_the_killed_process_has_open_is_cut_later";
    let directory = support::directory();
    let path = directory.path().join("log");
    let forked = directory.path().join("forked");
    if support::role().is_some() {
        let logger = Logger::open(config(&support::child_directory())).expect("a log");
        logger.log(Level::Info, "from a run that is killed");
        logger.flush().expect("durable");
        let forked = support::child_directory().with_file_name("forked");
        fs::write(forked, fork_and_wait().to_string()).expect("writable");
        std::process::abort();
    }
    // Without a pipe, which the child's child would keep open.
    let mut command = support::child_command(test, "killed", &path);
    assert!(!command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a child process").success());
    let forked: u32 = fs::read_to_string(forked).expect("written").parse().expect("a number");
    let begin = || Logger::open(config(&path).retain_segments(1000)).expect("a log");
    let logger = begin();
    logger.log(Level::Info, "beside the child");
    logger.close().expect("a clean end, after which the preparing thread has done all it could");
    assert_eq!(lengths(&path)[0], SEGMENT_BYTES);
    send_signal(forked, libc::SIGKILL);
    let logger = begin();
    while lengths(&path)[0] == SEGMENT_BYTES {
        std::thread::yield_now();
    }
    logger.close().expect("a clean end");
}
