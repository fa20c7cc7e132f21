//! A process that is killed while its disk refuses writes, at any moment: each record that was durable is read once, and
//! none that was not logged.
#![cfg(all(target_os = "linux", feature = "unstable"))]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use diolog::unstable::Hooks;
use diolog::{Config, Level, Logger, Outcome, Reader, Verdict, verify};
use support::faults::{FaultyDevice, Plan};

const TEST: &str = "what_was_durable_is_read_once_whenever_the_process_is_killed";

/// The refused writes of a child: from the first on, so many.
fn plan(role: &str) -> (u64, u64) {
    let (first, count) = role.split_once('-').expect("two numbers");
    (first.parse().expect("a number"), count.parse().expect("a number"))
}

/// The child: logs, flushes, and reports each record that is durable, until it is killed.
#[allow(clippy::print_stdout, reason = "messages to the parent")]
fn log_until_killed(role: &str) {
    let (first, count) = plan(role);
    let plan = Plan::new(first, count, libc::EIO);
    let config = Config::new(support::child_directory())
        .ring_bytes(64 << 10)
        .block_bytes(8192)
        .first_segment_bytes(12 << 10)
        .segment_bytes(64 << 10);
    let logger: Logger =
        Hooks::new().wrap_device(move |device| FaultyDevice::around(device, plan)).open(config).expect("a log");
    let producer = logger.producer().expect("a producer");
    println!();
    for number in 0_u64.. {
        assert_eq!(producer.log(Level::Info, format!("record {number}")), Outcome::Written);
        let word = if logger.flush().is_ok() { "durable" } else { "refused" };
        println!("{word} {number}");
        std::io::stdout().flush().expect("the parent listens");
    }
}

/// Kills a child with these refused writes once it has reported `lines` records. Returns those that it called durable.
fn kill_after(path: &Path, role: &str, lines: usize) -> BTreeSet<u64> {
    let mut command = support::child_command(TEST, role, path);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a child process");
    let mut reported = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut durable = BTreeSet::new();
    let number = |line: &str| line.rsplit_once(' ').and_then(|(_, number)| number.parse().ok());
    let is_report = |line: &String| line.starts_with("durable ") || line.starts_with("refused ");
    let first: Vec<_> = reported.by_ref().filter(is_report).take(lines).collect();
    assert_eq!(first.len(), lines, "the child ended early");
    child.kill().expect("a child of ours");
    // Those that it reported before it died.
    for line in first.into_iter().chain(reported.filter(is_report)) {
        if let (true, Some(number)) = (line.starts_with("durable "), number(&line)) {
            durable.extend(0..=number);
        }
    }
    child.wait().expect("a child of ours");
    durable
}

#[test]
fn what_was_durable_is_read_once_whenever_the_process_is_killed() {
    if let Some(role) = support::role() {
        return log_until_killed(&role);
    }
    let directory = support::directory();
    for first in 0..8 {
        for (count, lines) in [(1, 3), (2, first as usize + 1), (3, 12), (1000, first as usize + 2)] {
            let path = directory.path().join(format!("{first}-{count}"));
            let durable = kill_after(&path, &format!("{first}-{count}"), lines);
            let mut read = BTreeSet::new();
            for record in Reader::open(&path).expect("a log") {
                let record = record.expect("readable");
                let message = String::from_utf8(record.message().to_vec()).expect("text");
                let number = message.strip_prefix("record ").and_then(|number| number.parse().ok());
                assert!(read.insert(number.expect("a record that was logged")), "{message} twice");
            }
            let missing: Vec<_> = durable.difference(&read).collect();
            assert!(missing.is_empty(), "{count} writes refused from {first} on, killed: {missing:?} of {durable:?}");
            let verification = verify(&path).expect("a log");
            assert_ne!(verification.verdict, Verdict::Lost, "{:#?}", verification.report.findings);
        }
    }
}
