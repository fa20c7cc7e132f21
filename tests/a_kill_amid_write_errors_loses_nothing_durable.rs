//! A process that is killed while its disk refuses writes, at any moment: each record that was durable is read once,
//! and none that was not logged. If newer records overwrite older ones, the newest of each burst is the one that a
//! flush makes durable.
#![cfg(all(target_os = "linux", feature = "unstable"))]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use diolog::{Config, Level, Logger, Outcome, Overflow, Reader, Verdict, verify};
use support::faults::Plan;

/// How a child logs between two flushes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One record.
    OneByOne,
    /// More records than the ring holds, each of which overwrites the oldest.
    Overwriting,
}

impl Way {
    const BOTH: [Way; 2] = [Way::OneByOne, Way::Overwriting];

    fn name(self) -> &'static str {
        match self {
            Way::OneByOne => "one by one",
            Way::Overwriting => "overwriting",
        }
    }
}

/// What a child is to do.
struct Task {
    way: Way,
    /// The first write that is refused, and how many are.
    first: u64,
    count: u64,
}

impl Task {
    fn role(&self) -> String {
        format!("{}-{}-{}", self.way.name(), self.first, self.count)
    }

    fn of(role: &str) -> Task {
        let parts: Vec<_> = role.split('-').collect();
        let [name, first, count] = parts[..] else { panic!("{role}") };
        let way = Way::BOTH.into_iter().find(|way| way.name() == name).expect("one of them");
        Task { way, first: first.parse().expect("a number"), count: count.parse().expect("a number") }
    }
}

/// The child: logs, flushes, and reports whether the last record is durable, and how many were overwritten so far,
/// until it is killed.
#[allow(clippy::print_stdout, reason = "messages to the parent")]
fn log_until_killed(task: &Task) {
    let plan = Plan::new(task.first, task.count, libc::EIO);
    let (overflow, ring_bytes, burst) = match task.way {
        Way::OneByOne => (Overflow::DropNewest, 64 << 10, 1),
        Way::Overwriting => (Overflow::OverwriteOldest, 4096, 500),
    };
    let config = Config::new(support::child_directory())
        .overflow(overflow)
        .ring_bytes(ring_bytes)
        .block_bytes(8192)
        .first_segment_bytes(12 << 10)
        .segment_bytes(64 << 10);
    let logger: Logger = plan.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("a producer");
    println!();
    let mut number = 0_u64;
    loop {
        let mut last = Outcome::Dropped;
        for _ in 0..burst {
            last = producer.log(Level::Info, format!("record {number}"));
            // While the writer copies from a ring that overwrites, it is full.
            assert!(last == Outcome::Written || task.way == Way::Overwriting, "{last:?}");
            number += 1;
        }
        let word = if logger.flush().is_ok() && last == Outcome::Written { "durable" } else { "refused" };
        println!("{word} {} {}", number - 1, logger.stats().overwritten);
        std::io::stdout().flush().expect("the parent listens");
    }
}

/// What a child has reported.
#[derive(Default)]
struct Reported {
    /// The records that it called durable, by their numbers.
    durable: BTreeSet<u64>,
    /// How many were overwritten.
    overwritten: u64,
}

/// Kills a child with this task once it has reported `lines` flushes.
fn kill_after(path: &Path, task: &Task, lines: usize) -> Reported {
    let mut command = support::child_command(TEST, &task.role(), path);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a child process");
    let mut printed = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let is_report = |line: &String| line.starts_with("durable ") || line.starts_with("refused ");
    let first: Vec<_> = printed.by_ref().filter(is_report).take(lines).collect();
    assert_eq!(first.len(), lines, "the child ended early");
    child.kill().expect("a child of ours");
    let mut reported = Reported::default();
    // With those that it reported before it died. The last line may be cut.
    for line in first.into_iter().chain(printed.filter(is_report)) {
        let parts: Vec<_> = line.split(' ').collect();
        let [word, number, overwritten] = parts[..] else { continue };
        let Ok(number) = number.parse() else { continue };
        if word == "durable" {
            let first = if task.way == Way::OneByOne { 0 } else { number };
            reported.durable.extend(first..=number);
        }
        reported.overwritten = overwritten.parse().unwrap_or(reported.overwritten);
    }
    child.wait().expect("a child of ours");
    reported
}

const TEST: &str = "what_was_durable_is_read_once_whenever_the_process_is_killed";

#[test]
fn what_was_durable_is_read_once_whenever_the_process_is_killed() {
    if let Some(role) = support::role() {
        return log_until_killed(&Task::of(&role));
    }
    for way in Way::BOTH {
        let directory = support::directory();
        let (mut durable, mut overwritten) = (0, 0);
        for first in 0..8 {
            for (count, lines) in [(1, 3), (2, first as usize + 1), (3, 12), (1000, first as usize + 2)] {
                let task = Task { way, first, count };
                let path = directory.path().join(task.role());
                let reported = kill_after(&path, &task, lines);
                check(&path, &task, &reported.durable);
                durable += reported.durable.len();
                overwritten += reported.overwritten;
            }
        }
        assert!(durable > 0 && (overwritten > 0) == (way == Way::Overwriting), "{durable}, {overwritten}");
    }
}

/// Checks that the log holds the `durable` records, and each record once and in its order.
fn check(path: &Path, task: &Task, durable: &BTreeSet<u64>) {
    let role = task.role();
    let mut read = BTreeSet::new();
    for record in Reader::open(path).expect("a log") {
        let record = record.expect("readable");
        let message = String::from_utf8(record.message().to_vec()).expect("text");
        let number: u64 = message.strip_prefix("record ").and_then(|number| number.parse().ok()).expect("one of ours");
        assert_eq!(record.sequence(), number, "{role}: each attempt took a number");
        assert!(read.last().is_none_or(|&before| before < number), "{role}: {message} twice, or out of order");
        read.insert(number);
    }
    let missing: Vec<_> = durable.difference(&read).collect();
    assert!(missing.is_empty(), "{role}, killed: {missing:?} of {durable:?}");
    let verification = verify(path).expect("a log");
    assert_ne!(verification.verdict, Verdict::Lost, "{role}: {:#?}", verification.report.findings);
}
