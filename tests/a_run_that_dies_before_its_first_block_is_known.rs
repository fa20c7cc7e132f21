//! A process that is killed before its first block is written has accepted records that are in no file. The log says so
//! for as long as it has the first segment of the next run that writes.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome, RingMemory, Verdict, Verification, verify};
use support::segments::file;

/// Those of a log that writes no block unless it is told to.
fn config(path: &Path) -> Config {
    support::config(path).flush_interval(Duration::from_secs(3600)).first_segment_bytes(1 << 20)
}

/// The child: logs so many records, says so, and waits to be killed. Its role says where its rings are, too.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn log_and_wait(role: &str) {
    let (records, rings) = role.split_once(' ').expect("two words");
    let rings = if rings.is_empty() { RingMemory::Private } else { RingMemory::Shared(rings.into()) };
    let logger = Logger::open(config(&support::child_directory()).ring_memory(rings)).expect("a log");
    for number in 0..records.parse().expect("a number") {
        assert_eq!(logger.log(Level::Info, format!("record {number}")), Outcome::Written);
    }
    println!("\nall are accepted");
    std::io::stdout().flush().expect("the parent listens");
    std::io::stdin().lines().for_each(drop);
    drop(logger);
}

/// Begins a run with private rings in a child process, and kills it before a block is written.
fn kill_a_run(test: &str, path: &Path) {
    kill_a_run_of(test, "100 ", path);
}

/// The same of one with this role.
fn kill_a_run_of(test: &str, role: &str, path: &Path) {
    let mut command = support::child_command(test, role, path);
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
    if let Some(role) = support::role() {
        return log_and_wait(&role);
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

/// Runs of a test in whose place shared rings lie.
#[cfg(all(target_os = "linux", not(diolog_portable)))]
mod with_shared_rings {
    use diolog::{Reader, RecoveryOutcome, recover};

    use super::*;
    use crate::support::rings;

    fn recovers(path: &Path) {
        let recoveries = recover(path, None).expect("a log");
        assert!(!recoveries.is_empty());
        assert!(recoveries.iter().all(|one| one.outcome == RecoveryOutcome::Complete), "{recoveries:?}");
    }

    #[test]
    fn a_killed_run_without_a_record_that_is_recovered_raises_no_alarm() {
        const TEST: &str = "with_shared_rings::a_killed_run_without_a_record_that_is_recovered_raises_no_alarm";
        if let Some(role) = support::role() {
            return log_and_wait(&role);
        }
        for by_the_next_open in [false, true] {
            let (directory, place) = (support::directory(), rings::on_tmpfs());
            let path = directory.path().join("log");
            for _ in 0..2 {
                kill_a_run_of(TEST, &format!("0 {}", place.path().display()), &path);
                if !by_the_next_open {
                    recovers(&path);
                }
                work_and_close(&path, &[]);
            }
            let verification = verify(&path).expect("a log");
            assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
        }
    }

    #[test]
    fn the_recovery_of_a_run_leaves_the_trace_of_one_before_it() {
        const TEST: &str = "with_shared_rings::the_recovery_of_a_run_leaves_the_trace_of_one_before_it";
        if let Some(role) = support::role() {
            return log_and_wait(&role);
        }
        for records in [0, 100] {
            let (directory, place) = (support::directory(), rings::on_tmpfs());
            let path = directory.path().join("log");
            work_and_close(&path, &[]);
            kill_a_run(TEST, &path);
            kill_a_run_of(TEST, &format!("{records} {}", place.path().display()), &path);
            recovers(&path);
            let found = findings(&path);
            let what = if records == 0 { "holds no block" } else { "one run right before it ended before its first" };
            assert!(found.len() == 1 && found[0].contains(what), "{found:?}");
            work_and_close(&path, &[2]);
            let [found] = findings(&path).try_into().expect("one finding");
            assert!(found.contains("one run right before it ended before its first write"), "{found}");
            assert_eq!(Reader::open(&path).expect("a log").count(), 2 + records);
        }
    }

    #[test]
    fn several_runs_that_are_recovered_after_one_another_raise_no_alarm() {
        const TEST: &str = "with_shared_rings::several_runs_that_are_recovered_after_one_another_raise_no_alarm";
        if let Some(role) = support::role() {
            return log_and_wait(&role);
        }
        let (directory, place) = (support::directory(), rings::on_tmpfs());
        let (path, away) = (directory.path().join("log"), place.path().join("away"));
        let rings = place.path().join("rings");
        for life in 0..3 {
            kill_a_run_of(TEST, &format!("{} {}", life * 10, rings.display()), &path);
            // The next one does not find them.
            std::fs::create_dir_all(&away).expect("a directory");
            let dead = rings::the_one_in(&rings);
            std::fs::rename(&dead, away.join(dead.file_name().expect("a name"))).expect("renamed");
            std::fs::remove_dir(&rings).expect("empty");
        }
        std::fs::rename(&away, &rings).expect("renamed");
        recovers(&path);
        assert_eq!(Reader::open(&path).expect("a log").count(), 30);
        let verification = verify(&path).expect("a log");
        assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    }
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
