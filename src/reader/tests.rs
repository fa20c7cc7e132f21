//! What a reader gives, from whole logs.

use super::test_log::{Block, TestRun, directory};
use super::*;

/// Everything that a reader gives: (message, ns, producer, sequence).
fn read(reader: &mut Reader) -> Vec<(String, u64, u32, u64)> {
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().expect("read") {
        let message = String::from_utf8(record.message().to_vec()).expect("text");
        records.push((message, record.timestamp_ns(), record.producer_id(), record.sequence()));
    }
    records
}

fn messages(path: impl AsRef<Path>) -> Vec<String> {
    read(&mut Reader::open(path).expect("open")).into_iter().map(|record| record.0).collect()
}

#[test]
fn a_closed_log_is_read_whole_and_is_clean() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a").record(2, 11, "b").lose(1, 3).record(1, 12, "c"));
    run.block(Block::new().record(1, 20, "d").record(2, 15, "e"));
    run.close().write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    let records = read(&mut reader);
    let expected = [("a", 10, 1, 0), ("b", 11, 2, 0), ("c", 12, 1, 4), ("e", 15, 2, 1), ("d", 20, 1, 5)];
    assert_eq!(records, expected.map(|(message, ns, producer, sequence)| (message.into(), ns, producer, sequence)));
    let report = reader.report();
    assert_eq!((report.records, report.late, report.blocks.good), (5, 0, 4));
    assert_eq!(report.verdict(), Verdict::Clean, "{report:#?}");
    let verification = verify(directory.path()).expect("verify");
    assert_eq!(verification.verdict, Verdict::Clean, "{:#?}", verification.report);
    let producer = &verification.report.runs[0].producers[0];
    assert_eq!((producer.attempted, producer.records, producer.dropped, producer.missing), (6, 3, 3, 3));
    assert!(producer.ended && producer.holds);
    assert_eq!(verification.report.runs, reader.report().runs, "reader and verify agree");
}

#[test]
fn an_owned_record_says_all_about_itself() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().truncated(7, 1_500, "cut")).close().write(directory.path());
    let record = Reader::open(directory.path()).expect("open").next().expect("one").expect("read");
    assert_eq!((record.message(), record.timestamp_ns(), record.sequence()), (&b"cut"[..], 1_500, 0));
    assert_eq!((record.producer_id(), record.producer_name(), record.tid()), (7, "worker-7", 107));
    assert_eq!((record.level(), record.is_truncated()), (Some(crate::Level::Info), true));
    assert_eq!((record.run().to_string(), record.unix_ns()), ("01".repeat(16), Some(1_000_001_500)));
}

#[test]
fn a_log_that_grows_is_read_on() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(read(&mut reader).len(), 1);
    assert_eq!(reader.report().verdict(), Verdict::Unconfirmed);
    assert_eq!(read(&mut reader).len(), 0);
    run.block(Block::new().record(1, 20, "b")).write(directory.path());
    assert_eq!(read(&mut reader)[0].0, "b");
    run.segment(2).block(Block::new().record(1, 30, "c")).close().write(directory.path());
    assert_eq!(read(&mut reader)[0].0, "c");
    assert_eq!(reader.report().verdict(), Verdict::Clean, "{:#?}", reader.report());
    let mut next = TestRun::new(2);
    next.segment(3).block(Block::new().record(1, 5, "d")).write(directory.path());
    assert_eq!(read(&mut reader)[0].0, "d");
    assert_eq!(reader.report().runs.len(), 2);
}

#[test]
fn runs_come_one_after_the_other_whatever_their_clocks_say() {
    let directory = directory();
    let (mut first, mut second) = (TestRun::with_segment(7), TestRun::new(3));
    first.block(Block::new().record(1, 900, "a")).close().write(directory.path());
    second.segment(2).block(Block::new().record(1, 100, "b")).close().write(directory.path());
    assert_eq!(messages(directory.path()), ["a", "b"]);
    let verification = verify(directory.path()).expect("verify");
    assert_eq!(verification.verdict, Verdict::Clean);
    assert_eq!(verification.report.late, 0);
}
