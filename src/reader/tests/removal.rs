//! Reading a log while retention removes its oldest segments.

use std::fs;
use std::path::Path;

use super::*;

/// A closed run of five segments: producer 1 logs in all of them and loses some, 2 logs in the first three.
fn five_segments() -> TestRun {
    let mut run = TestRun::new(1);
    for index in 1..=5 {
        let mut block = Block::new().lose(1, index).record(1, 10 * index, format!("a{index}"));
        if index <= 3 {
            block = block.record(2, 10 * index + 1, format!("b{index}"));
        }
        run.segment(index).block(block);
        if index == 1 {
            run.block(Block::new().record(2, 12, "c1"));
        }
    }
    run.close();
    run
}

fn remove(directory: &Path, indices: impl IntoIterator<Item = u64>) {
    for index in indices {
        fs::remove_file(directory.join(format!("{index:08}.dlog"))).expect("removable");
    }
}

fn messages(reader: &mut Reader) -> Vec<String> {
    more(reader).into_iter().map(|row| row.0).collect()
}

/// The files that findings name, each of which must name retention.
fn removed(report: &Report) -> Vec<String> {
    report.findings.iter().for_each(|finding| assert!(finding.what.contains("as retention does"), "{finding}"));
    report.findings.iter().map(|finding| finding.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// Checks that the identity of producer 1 holds, with `retired` attempts in the segments that are gone.
fn assert_identity(report: &Report, retired: u64) {
    let producer = &report.runs[0].producers[0];
    assert!(producer.holds && producer.ended, "{report:#?}");
    assert_eq!((producer.attempted, producer.retired, producer.damaged), (20, retired, 0), "{report:#?}");
    let lost = producer.dropped - producer.retired_losses;
    assert_eq!(producer.attempted - producer.retired, producer.records + lost, "{report:#?}");
}

#[test]
fn a_segment_removed_before_it_is_read_is_named_and_later_ones_are_read() {
    let directory = written(&[&five_segments()]);
    let mut reader = Reader::open(directory.path()).expect("open");
    remove(directory.path(), [1, 2]);
    assert_eq!(messages(&mut reader), ["a3", "b3", "a4", "a5"]);
    assert_eq!(removed(reader.report()), ["00000001.dlog", "00000002.dlog"]);
    assert_eq!(reader.report().verdict(), Verdict::Unconfirmed, "nothing is called lost");
    assert_identity(reader.report(), 2 + 3);
}

// If the system cannot tell whether a logger has the log open, more segments are opened ahead.
#[cfg(not(diolog_portable))]
#[test]
fn a_segment_removed_while_it_is_read_is_read_to_its_end() {
    let directory = written(&[&five_segments()]);
    let mut seen = 0;
    let verification = ReadOptions::new()
        .verify_watched(directory.path(), |report| {
            seen += 1;
            if seen == 1 {
                assert_eq!(report.bytes, 4096, "one block: in the middle of the first segment");
                remove(directory.path(), [1, 2, 3]);
            }
        })
        .expect("verify");
    let report = &verification.report;
    assert_eq!(verification.verdict, Verdict::Unconfirmed, "{report:#?}");
    assert_eq!((report.blocks.lost, report.blocks.holes, report.blocks.torn), (0, 0, 0));
    assert_eq!(report.records, 3 + 1 + 1, "all of the first segment, and one from each that is left");
    let named: Vec<_> = report.findings.iter().filter(|finding| finding.what.contains("as retention does")).collect();
    assert!(named.len() == 2 && named[0].path.ends_with("00000002.dlog"), "{report:#?}");
    // The attempts in segments 2 and 3; those in the first were read.
    assert_identity(report, 3 + 4);
}

#[test]
fn a_reader_too_slow_for_retention_goes_on_where_the_log_now_begins() {
    let directory = directory();
    let whole = five_segments();
    let mut first = TestRun::new(1);
    first.segment(1).block(Block::new().lose(1, 1).record(1, 10, "a1").record(2, 11, "b1"));
    first.block(Block::new().record(2, 12, "c1")).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(messages(&mut reader), ["a1", "b1", "c1"]);
    whole.write(directory.path());
    remove(directory.path(), 1..=4);
    assert_eq!(messages(&mut reader), ["a5"]);
    assert_eq!(removed(reader.report()).first().map(String::as_str), Some("00000001.dlog"));
    assert_eq!(reader.report().blocks.lost, 0, "{:#?}", reader.report());
    assert_identity(reader.report(), 3 + 4 + 5);
}

#[test]
fn a_segment_missing_after_one_that_is_there_is_lost() {
    let directory = written(&[&five_segments()]);
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(messages(&mut reader).len(), 9);
    remove(directory.path(), [3]);
    let (_, report) = read(directory.path());
    assert_eq!(report.verdict(), Verdict::Lost);
    assert!(report.blocks.lost > 0, "{report:#?}");
}

#[test]
fn a_run_whose_end_was_removed_is_not_taken_for_closed_and_the_next_is_read() {
    let mut next = TestRun::new(2);
    next.segment(6).block(Block::new().record(1, 5, "c")).close();
    let directory = written(&[&five_segments(), &next]);
    let mut reader = Reader::open(directory.path()).expect("open");
    remove(directory.path(), 1..=5);
    assert_eq!(messages(&mut reader), ["c"]);
    assert_eq!(removed(reader.report()).len(), 5);
    let runs = &reader.report().runs;
    assert_eq!(runs.iter().map(|run| run.clean_end).collect::<Vec<_>>(), [false, true]);
    assert_eq!(reader.report().verdict(), Verdict::Unconfirmed);
}

#[test]
fn a_segment_that_cannot_be_opened_is_not_called_removed() {
    let directory = written(&[&five_segments()]);
    let mut reader = Reader::open(directory.path()).expect("open");
    remove(directory.path(), [2]);
    // A link to itself: it is there, and opening it fails.
    std::os::unix::fs::symlink("00000002.dlog", directory.path().join("00000002.dlog")).expect("a link");
    let (mut found, mut errors) = (Vec::new(), 0);
    loop {
        match reader.next_record() {
            Ok(Some(record)) => found.push(String::from_utf8_lossy(record.message()).into_owned()),
            Ok(None) => break,
            Err(_) => errors += 1,
        }
    }
    assert_eq!((&*found.join(" "), errors), ("a1 b1 c1 a3 b3 a4 a5", 1));
    let report = reader.report();
    let [finding] = &report.findings[..] else { panic!("one finding: {report:#?}") };
    assert!(finding.path.ends_with("00000002.dlog"), "{finding}");
    assert_eq!(finding.what, "could not be opened: its records were not read");
    assert_eq!(report.verdict(), Verdict::Unconfirmed);
    assert_identity(report, 3);
}
