//! A reader that wants the records since some time reads the blocks that may hold some, and of the others the headers.
//!
//! The clock is the test's. The bytes that are read are counted by the reader, and by the system.
#![cfg(feature = "unstable")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use diolog::unstable::{Hooks, ManualClock};
use diolog::{Filter, Level, ReadOptions, Report, Verdict};
use support::segments::bytes;

const SECOND: i64 = 1_000_000_000;

/// Wall time at the beginning, in nanoseconds since the Unix epoch.
const BEGIN: i64 = 1_700_000_000 * SECOND;

/// Records of each second: with them, a block of 256 KiB is nearly full.
const RECORDS: u64 = 3_000;

/// Writes a log of this many seconds, in blocks of one second each, and closes it.
fn write_log(path: &Path, seconds: u64) {
    let clock: &ManualClock = Box::leak(Box::default());
    clock.unix_ns.store(BEGIN, Relaxed);
    let advance = |by: i64| {
        clock.ticks.fetch_add(by as u64, Relaxed);
        clock.monotonic_ns.fetch_add(by as u64, Relaxed);
        clock.unix_ns.fetch_add(by, Relaxed);
    };
    advance(SECOND);
    let logger = Hooks::new().clock(clock).open(support::config(path).block_bytes(256 << 10)).expect("a log");
    let producer = logger.producer().expect("a producer");
    for second in 1..=seconds {
        for number in 0..RECORDS {
            assert!(producer.log(Level::Info, format!("{second:>32}{number:>32}")).is_accepted());
        }
        logger.flush().expect("durable");
        advance(SECOND);
    }
    drop(producer);
    logger.close().expect("a clean end");
}

/// Bytes that this thread has asked files for; `None` if the system does not say.
fn read_bytes() -> Option<u64> {
    let io = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

/// Reads the records of the last `seconds` of `all`, and compares them. Returns the report, and the bytes that were
/// read by the system's count.
fn read_last(path: &Path, seconds: u64, all: u64) -> (Report, Option<u64>) {
    let before = read_bytes();
    let since = BEGIN + (all - seconds + 1) as i64 * SECOND;
    let mut reader = ReadOptions::new().filter(Filter::new().since(since)).open(path).expect("a log");
    let mut read = 0;
    while let Some(record) = reader.next_record().expect("read") {
        let (second, number) = (all - seconds + 1 + read / RECORDS, read % RECORDS);
        assert_eq!(record.message(), format!("{second:>32}{number:>32}").as_bytes());
        read += 1;
    }
    assert_eq!(read, seconds * RECORDS);
    assert_eq!(reader.report().verdict(), Verdict::Clean, "{:#?}", reader.report());
    (reader.report().clone(), read_bytes().zip(before).map(|(after, before)| after - before))
}

/// Writes `seconds` seconds, of which the last hundredth is wanted.
fn at_most_a_fiftieth_is_read(seconds: u64) {
    let directory = support::directory();
    let path = directory.path().join("log");
    write_log(&path, seconds);
    let all = bytes(&path);
    let (report, by_system) = read_last(&path, seconds / 100, seconds);
    let figures =
        format!("{} of {all} bytes in blocks that were read, {by_system:?} by the system's count", report.bytes);
    writeln!(std::io::stderr(), "{figures}").expect("standard error is open");
    assert!(report.bytes <= all / 50, "{} of {all} bytes", report.bytes);
    assert!(report.unread_blocks >= seconds * 97 / 100, "{} of {seconds} blocks", report.unread_blocks);
    match by_system {
        Some(read) => assert!(read <= all / 50, "{read} of {all} bytes"),
        None => support::not_shown("what the system counted as read", "no /proc/thread-self/io"),
    }
}

#[test]
fn of_a_log_of_64_mib_a_fiftieth_is_read_if_a_hundredth_is_wanted() {
    at_most_a_fiftieth_is_read(280);
}

#[test]
#[ignore = "it writes more than 1 GiB: see scripts/read_since.sh"]
fn of_a_log_of_more_than_1_gib_a_fiftieth_is_read_if_a_hundredth_is_wanted() {
    at_most_a_fiftieth_is_read(4_600);
}
