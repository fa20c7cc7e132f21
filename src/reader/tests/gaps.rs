//! Gaps between records: where they come, how many records they stand for, and why these are missing.

use super::*;
use crate::LossCause::{self, Damaged, DeviceFailed, Removed, RingFull, Unknown, Unwritten};

/// An entry: a message, or a gap's producer, first sequence, count and cause.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    Record(String),
    Gap(u32, u64, u64, LossCause),
}

fn record(message: &str) -> Shown {
    Shown::Record(message.into())
}

fn shown(entry: &Entry) -> Shown {
    match entry {
        Entry::Record(record) => Shown::Record(String::from_utf8_lossy(record.message()).into_owned()),
        Entry::Gap(gap) => Shown::Gap(gap.producer_id(), gap.first_sequence(), gap.count(), gap.cause()),
    }
}

fn entries(reader: &mut Reader) -> Vec<Shown> {
    reader.entries().map(|entry| shown(&entry.expect("read"))).collect()
}

/// The entries of a log of these runs; the reader that gives only records gives the same ones.
fn of(runs: &[&TestRun]) -> Vec<Shown> {
    let directory = written(runs);
    let entries = entries(&mut Reader::open(directory.path()).expect("open"));
    let records: Vec<_> = read(directory.path()).0.into_iter().map(Shown::Record).collect();
    let is_record = |entry: &&Shown| matches!(entry, Shown::Record(_));
    assert_eq!(entries.iter().filter(is_record).cloned().collect::<Vec<_>>(), records);
    entries
}

#[test]
fn a_gap_comes_before_the_producers_next_record_and_says_why() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a").record(2, 11, "b"));
    run.block(Block::new().record(2, 20, "c").lose(1, 3).gap(1, 1, 3, DeviceFailed).record(1, 30, "d"));
    run.block(Block::new().lose(2, 1).record(2, 40, "e"));
    let expected = [
        record("a"),
        record("b"),
        record("c"),
        Shown::Gap(1, 1, 3, DeviceFailed),
        record("d"),
        Shown::Gap(2, 2, 1, Unknown),
        record("e"),
    ];
    assert_eq!(of(&[run.close()]), expected);
}

#[test]
fn a_gap_after_a_producers_last_record_comes_from_its_final_counts() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a").record(2, 20, "b").lose(1, 2).end(1));
    run.block(Block::new().record(2, 30, "c").lose(2, 4));
    run.change_row(2, |row| (row.next_sequence, row.unwritten) = (7, 1));
    let mut next = TestRun::new(2);
    next.segment(2).block(Block::new().record(1, 5, "d"));
    let expected = [
        record("a"),
        record("b"),
        Shown::Gap(1, 1, 2, RingFull),
        record("c"),
        Shown::Gap(2, 2, 1, Unwritten),
        Shown::Gap(2, 3, 4, RingFull),
        record("d"),
    ];
    assert_eq!(of(&[run.close(), next.close()]), expected);
}

#[test]
fn records_in_a_missing_block_are_a_gap() {
    let mut run = TestRun::with_segment(1);
    for (ns, message) in [(10, "a"), (20, "b"), (30, "c"), (40, "d")] {
        run.block(Block::new().record(1, ns, message));
    }
    run.close();
    run.last().block(2)[100] ^= 1;
    run.last().block(4)[100] ^= 1;
    let expected = [record("a"), Shown::Gap(1, 1, 1, Damaged), record("c"), Shown::Gap(1, 3, 1, Damaged)];
    assert_eq!(of(&[&run]), expected);
}

#[test]
fn records_in_a_segment_that_is_removed_before_it_is_read_are_a_gap() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(entries(&mut reader), [record("a")]);
    run.segment(2).block(Block::new().record(1, 20, "b").lose(1, 3).record(1, 30, "c"));
    run.segment(3).block(Block::new().lose(1, 1).record(1, 40, "d"));
    run.segments[2].write(directory.path());
    std::fs::remove_file(directory.path().join("00000001.dlog")).expect("ours");
    assert!(reader.follow(Duration::ZERO).expect("read"));
    assert_eq!(entries(&mut reader), [Shown::Gap(1, 1, 5, Removed), Shown::Gap(1, 6, 1, Unknown), record("d")]);
}

#[test]
fn what_retention_removed_before_the_reader_opened_the_log_is_no_gap() {
    let mut run = TestRun::new(1);
    run.retains = true;
    run.segment(1).block(Block::new().record(1, 10, "a").lose(1, 3).record(1, 20, "b"));
    run.segment(2).block(Block::new().lose(1, 2).record(1, 30, "c"));
    run.close();
    let directory = written(&[&run]);
    std::fs::remove_file(directory.path().join("00000001.dlog")).expect("ours");
    let entries = entries(&mut Reader::open(directory.path()).expect("open"));
    assert_eq!(entries, [Shown::Gap(1, 5, 2, Unknown), record("c")]);
}

#[test]
fn a_follower_comes_back_for_a_gap_alone() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    let mut plain = Reader::open(directory.path()).expect("open");
    assert_eq!(entries(&mut reader), [record("a")]);
    assert_eq!(rows(&mut plain).len(), 1);
    run.block(Block::new().lose(1, 2).end(1)).write(directory.path());
    assert!(reader.follow(Duration::ZERO).expect("read"));
    assert_eq!(entries(&mut reader), [Shown::Gap(1, 1, 2, RingFull)]);
    assert!(!reader.follow(Duration::ZERO).expect("read"));
    assert_eq!(more(&mut plain), []);
}

#[test]
fn a_gap_has_the_names_and_the_time_of_what_follows_it_and_is_a_sentence() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 1_010, "a").lose(1, 1).gap(1, 1, 1, RingFull).record(1, 1_020, "b"));
    let directory = written(&[run.close()]);
    let mut reader = Reader::open(directory.path()).expect("open");
    let gap = reader.entries().find_map(|entry| match entry.expect("read") {
        Entry::Gap(gap) => Some(gap),
        Entry::Record(_) => None,
    });
    let gap = gap.expect("one");
    assert_eq!((gap.run().to_string(), gap.producer_name(), gap.tid()), ("01".repeat(16), "worker-1", 101));
    assert_eq!((gap.timestamp_ns(), gap.unix_ns(), gap.is_dropped()), (1_020, Some(1_000_001_020), true));
    assert_eq!(gap.to_string(), "1 record of worker-1 dropped here: ring full");
    let mut reader = Reader::open(directory.path()).expect("open");
    let Some(EntryRef::Record(record)) = reader.next_entry().expect("read") else { panic!("a record comes first") };
    assert_eq!((record.service(), record.pid(), record.host()), ("shop", Some(4711), Some("host")));
}
