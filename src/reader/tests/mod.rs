//! Logs that the tests make, and what the reader gives and reports of them.

// Off Linux nothing tells that no logger has the log open: a reader that is told to pass over a block calls it late,
// where `verify`, which looks once more, may call it lost. So the two that compare them run on Linux.
#[cfg(not(diolog_portable))]
mod agreement;
mod damage;
#[cfg(not(diolog_portable))]
mod damaged_files;
mod every_bit;
mod gaps;
mod growth;
mod headers;
mod hostile;
mod losses;
mod misplaced;
mod model;
mod moved;
mod newer;
mod order;
mod refusal;
mod removal;
mod selection;
mod structured;
#[cfg(all(target_os = "linux", not(any(diolog_portable, loom))))]
mod sparse;

use super::test_log::{Block, TestRun, directory};
use super::*;
use crate::format::LOCK_FILE;
use crate::sys::directory::OpenDirectory;
use crate::sys::lock::FileLock;

/// A record: message, ns, producer, sequence.
type Row = (String, u64, u32, u64);

fn row(message: &str, ns: u64, producer: u32, sequence: u64) -> Row {
    (message.into(), ns, producer, sequence)
}

/// The records that a reader has now, after a look for what was written since it ended.
fn more(reader: &mut Reader) -> Vec<Row> {
    let found = reader.follow(Duration::ZERO).expect("read");
    let records = rows(reader);
    assert_eq!(found, !records.is_empty());
    records
}

/// The records that a reader has now.
fn rows(reader: &mut Reader) -> Vec<Row> {
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().expect("read") {
        let message = String::from_utf8_lossy(record.message()).into_owned();
        records.push((message, record.timestamp_ns(), record.producer_id(), record.sequence()));
    }
    records
}

/// The messages of the log at `path`, and the report, on which the reader and `verify` must agree.
fn read(path: impl AsRef<Path>) -> (Vec<String>, Report) {
    let mut reader = Reader::open(&path).expect("open");
    let messages = all_messages(&mut reader);
    let verification = verify(&path).expect("verify");
    assert_eq!(verification.verdict, reader.report().verdict(), "{:#?}\n{:#?}", reader.report(), verification.report);
    assert_eq!(verification.report.blocks, reader.report().blocks, "{:#?}", verification.report.findings);
    assert_eq!(verification.report.runs, reader.report().runs);
    (messages, verification.report)
}

/// The lock of a log, as a logger holds it.
fn locked(directory: &tempfile::TempDir) -> FileLock {
    let directory = OpenDirectory::open(directory.path()).expect("a directory");
    FileLock::take(&directory, LOCK_FILE).unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// All messages that a reader of a finished log gives.
fn all_messages(reader: &mut Reader) -> Vec<String> {
    let mut messages: Vec<_> = rows(reader).into_iter().map(|row| row.0).collect();
    // If nothing tells whether a logger has the log open, the reader stops before a block that may be in flight.
    while reader.pass_over_missing(Duration::ZERO).expect("read") {
        messages.extend(rows(reader).into_iter().map(|row| row.0));
    }
    messages
}

/// How many logs a test tries: `usual`, unless `DIOLOG_TEST_CASES` asks for more.
fn cases(usual: u32) -> u32 {
    std::env::var("DIOLOG_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

/// A directory with the files of these runs.
fn written(runs: &[&TestRun]) -> tempfile::TempDir {
    let directory = directory();
    runs.iter().for_each(|run| run.write(directory.path()));
    directory
}

#[test]
fn a_closed_log_is_read_whole_and_is_clean() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a").record(2, 11, "b").lose(1, 3).record(1, 12, "c"));
    run.block(Block::new().record(1, 20, "d").record(2, 15, "e"));
    let directory = written(&[run.close()]);
    let mut reader = Reader::open(directory.path()).expect("open");
    let expected = [row("a", 10, 1, 0), row("b", 11, 2, 0), row("c", 12, 1, 4), row("e", 15, 2, 1), row("d", 20, 1, 5)];
    assert_eq!(rows(&mut reader), expected);
    let report = reader.report();
    assert_eq!((report.records, report.late, report.blocks.good), (5, 0, 4));
    let (_, report) = read(directory.path());
    assert_eq!((report.verdict(), report.dropped()), (Verdict::Dropped, 3), "{report:#?}");
    let producer = &report.runs[0].producers[0];
    assert_eq!((producer.attempted, producer.records, producer.dropped, producer.missing), (6, 3, 3, 3));
    assert!(producer.ended && producer.holds);
}

#[test]
fn an_owned_record_has_all_that_a_borrowed_one_has() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().truncated(7, 1_500, "cut"));
    let directory = written(&[run.close()]);
    let mut reader = Reader::open(directory.path()).expect("open");
    let record = reader.next().expect("one").expect("read");
    assert_eq!((record.message(), record.timestamp_ns(), record.sequence()), (&b"cut"[..], 1_500, 0));
    assert_eq!((record.producer_id(), record.producer_name(), record.tid()), (7, "worker-7", 107));
    assert_eq!((record.level(), record.is_truncated()), (Some(crate::Level::Info), true));
    assert_eq!((record.run().to_string(), record.unix_ns()), ("01".repeat(16), Some(1_000_001_500)));
    assert!(reader.next().is_none());
    assert_eq!(reader.report().truncated, 1);
}

#[test]
fn one_file_of_a_log_can_be_read_by_itself() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).segment(2).block(Block::new().record(1, 20, "b"));
    let directory = written(&[run.close()]);
    let (messages, report) = read(directory.path().join("00000001.dlog"));
    assert_eq!((messages, report.verdict()), (vec!["a".to_string()], Verdict::Clean), "{report:#?}");
    assert!(report.runs[0].goes_on && !report.runs[0].clean_end);
    let (messages, report) = read(directory.path().join("00000002.dlog"));
    assert_eq!((messages, report.verdict()), (vec!["b".to_string()], Verdict::Clean), "{report:#?}");
    std::fs::remove_file(directory.path().join("00000002.dlog")).expect("ours");
    let (_, report) = read(directory.path().join("00000001.dlog"));
    assert_eq!(
        (report.runs[0].goes_on, report.verdict()),
        (false, Verdict::Unconfirmed),
        "nothing shows that it is whole"
    );
}

#[test]
fn the_writers_notes_are_reported() {
    use crate::format::StatusCode;
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().status(StatusCode::Device, "direct").record(1, 1, "a"));
    run.block(Block::new().status(StatusCode::Error, "no space").status(StatusCode::Resumed, "space again"));
    let directory = written(&[run.close()]);
    let (_, report) = read(directory.path());
    let run = &report.runs[0];
    assert_eq!((run.device.as_deref(), run.service.as_str()), (Some("direct"), "shop"));
    assert_eq!(run.notes, ["no space", "space again"]);
    let info = info(directory.path()).expect("info");
    let segment = &info.segments[0];
    assert_eq!((segment.device.as_deref(), segment.service.as_str()), (Some("direct"), "shop"));
    assert_eq!((segment.blocks, segment.index, segment.clean_end), (4, 1, true));
    assert_eq!((segment.used_bytes, segment.file_bytes), (5 * 4096, 5 * 4096));
    assert_eq!((segment.block_bytes, segment.message_bytes_max), (4096, 2000));
}
