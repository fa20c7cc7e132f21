//! What a newer diolog wrote is counted as present and named; it is neither lost nor passed over in silence.

use super::*;
use crate::format::{BlockFlags, BlockHeader};
use crate::reader::test_log::reseal;

/// A kind that no version knows yet, and that must not be skipped.
const KIND: u8 = 0x30;
/// An encoding that no version knows yet.
const ENCODING: u8 = 9;

type Change = fn(&mut BlockHeader);

/// Changes that make a block one that this version cannot read.
const NEWER_BLOCKS: [(&str, Change); 3] = [
    ("block flags 0x100", |header| header.flags |= zerocopy::little_endian::U16::new(0x0100)),
    ("format version 2", |header| header.magic[3] = b'2'),
    ("a block of 4096 bytes", |header| header.valid.set(4096 - 63)),
];

/// Six blocks with a record of each of two producers, over three segments, closed.
fn log() -> TestRun {
    let mut run = TestRun::new(1);
    for n in 0..6_u64 {
        if n % 2 == 0 {
            run.segment(n / 2 + 1);
        }
        run.block(Block::new().in_flight(1).record(1, 10 * n, n.to_string()).record(2, 10 * n + 1, n.to_string()));
    }
    run.close();
    run
}

/// Checks that the only thing that is said of the log is that a newer diolog wrote some of it, because of `mark`.
fn check(run: &TestRun, mark: &str) -> (Vec<String>, Report) {
    let directory = written(&[run]);
    let (messages, report) = read(directory.path());
    let verdict = report.verdict();
    assert_eq!(verdict, Verdict::Newer, "{report:#?}");
    assert_eq!((verdict.exit_code(), verdict.to_string().as_str()), (3, "written by a newer diolog"));
    let BlockCounts { torn, holes, lost, damaged_headers, stray, .. } = report.blocks;
    assert_eq!((torn, holes, lost, damaged_headers, stray, report.unreadable), (0, 0, 0, 0, 0, 0), "{report:#?}");
    for producer in report.runs.iter().flat_map(|run| &run.producers) {
        assert!(producer.holds && producer.damaged == 0, "{producer:#?}");
        assert_eq!(producer.missing, producer.dropped, "{producer:#?}");
    }
    let named = |finding: &Finding| finding.severity == Severity::Newer && finding.what.contains(mark);
    assert!(report.findings.iter().any(named), "{mark}: {:#?}", report.findings);
    (messages, report)
}

/// The number of records of producer 1.
fn records(report: &Report) -> u64 {
    report.runs[0].producers[0].records
}

#[test]
fn records_of_an_unknown_kind_count_as_present() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0").kind(1, 5, KIND, "?").kind(1, 6, KIND + 1, "?").record(1, 10, "1"));
    run.block(Block::new().lose(1, 2).kind(1, 20, KIND, "?"));
    let (messages, report) = check(run.close(), "record kind 0x30");
    assert_eq!((messages, report.newer_records, report.records), (vec!["0".into(), "1".into()], 3, 2));
    assert_eq!((records(&report), report.runs[0].producers[0].attempted), (5, 7));
    assert!(report.runs[0].clean_end && report.runs[0].producers[0].ended);
}

#[test]
fn one_finding_for_each_unknown_kind_is_enough() {
    let mut run = TestRun::with_segment(1);
    for n in 0..300 {
        run.block(Block::new().kind(1, n, KIND, "?"));
    }
    let (_, report) = check(run.close(), "record kind 0x30");
    assert_eq!((report.newer_records, report.findings.len(), report.findings_omitted), (300, 1, 0));
}

#[test]
fn a_shard_of_an_unknown_encoding_is_accounted_for_by_its_header() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0").record(2, 1, "0"));
    run.block(Block::new().encodings(0, ENCODING).record(1, 10, "1").record(1, 11, "1").record(2, 12, "1"));
    run.block(Block::new().record(1, 20, "2").record(2, 21, "2"));
    let (messages, report) = check(run.close(), "shard encoding 9");
    assert_eq!((messages, report.newer_records), (["0", "0", "2", "2"].map(String::from).to_vec(), 3));
    assert_eq!((records(&report), report.runs[0].producers[1].records), (4, 3));
}

#[test]
fn rows_and_final_counts_that_cannot_be_read_are_not_taken_for_missing() {
    for encoding in [0, ENCODING] {
        let mut run = TestRun::with_segment(1);
        run.block(Block::new().record(1, 0, "0"));
        // The row of producer 1, or a record beside it.
        run.block(Block::new().encodings(encoding, 0).note(KIND, b"?").record(1, 10, "1"));
        run.block(Block::new().encodings(encoding, 0).note(KIND, b"?").end(1));
        run.block(Block::new().flags(BlockFlags::CLEAN_END));
        let mark = if encoding == 0 { "record kind 0x30" } else { "shard encoding 9" };
        let (messages, report) = check(&run, mark);
        assert_eq!((messages, records(&report)), (vec!["0".into(), "1".into()], 2));
        assert_eq!((report.newer_records > 0, report.runs[0].clean_end), (true, true));
    }
}

#[test]
fn a_newer_block_is_present_wherever_it_stands() {
    for (mark, change) in NEWER_BLOCKS {
        for number in 0..8 {
            let mut run = log();
            let (segment, n) = (2.min(number / 2), if number < 4 { number % 2 + 1 } else { number - 3 });
            let image = &mut run.segments[segment];
            let offset = image.offsets[n];
            reseal(image.block(n), offset, change);
            let (messages, report) = check(&run, mark);
            let expected: Vec<_> =
                (0..6).filter(|n| *n != number).flat_map(|n| [n.to_string(), n.to_string()]).collect();
            assert_eq!(messages, expected, "block {number}");
            assert_eq!((report.blocks.newer, report.blocks.good), (1, 7), "block {number}");
            // The next row that can be read says how many records are in it.
            assert_eq!((records(&report), report.runs[0].clean_end), (6, number != 7), "block {number}");
        }
    }
}

#[test]
fn a_newer_block_at_the_end_of_an_open_run_does_not_make_the_end_torn() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0")).block(Block::new().in_flight(1).record(1, 10, "1"));
    let offset = run.last().offsets[2];
    reseal(run.last().block(2), offset, NEWER_BLOCKS[0].1);
    let (messages, report) = check(&run, NEWER_BLOCKS[0].0);
    assert_eq!((messages, report.blocks.newer), (vec!["0".to_string()], 1));
}

#[test]
fn a_copy_that_can_be_read_is_preferred_to_a_newer_one() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0")).block(Block::new().in_flight(1).record(1, 10, "1"));
    run.again(2, 2).close();
    let offset = run.segments[0].offsets[2];
    reseal(run.segments[0].block(2), offset, NEWER_BLOCKS[0].1);
    let (messages, report) = read(written(&[&run]).path());
    assert_eq!((messages, report.verdict()), (vec!["0".into(), "1".into()], Verdict::Clean), "{report:#?}");
    assert_eq!((report.blocks.duplicates, report.blocks.newer), (1, 0));
}

#[test]
fn a_newer_segment_in_a_run_takes_no_block_for_lost() {
    for segment in 0..3 {
        for change in [Some(NEWER_BLOCKS[0].1), Some(NEWER_BLOCKS[1].1), None] {
            let mut run = log();
            match change {
                Some(change) => reseal(run.segments[segment].block(0), 0, change),
                None => set_features(&mut run, segment),
            }
            let directory = written(&[&run]);
            let (messages, report) = read(directory.path());
            let expected: Vec<_> =
                (0..6).filter(|n| n / 2 != segment).flat_map(|n| [n.to_string(), n.to_string()]).collect();
            assert_eq!((messages, report.newer_files), (expected, 1), "{report:#?}");
            assert_eq!((report.verdict(), report.blocks.lost), (Verdict::Newer, 0), "{report:#?}");
            assert_eq!(report.blocks.newer, if segment == 1 { 2 } else { 0 }, "{report:#?}");
            assert!(report.runs[0].producers.iter().all(|row| row.holds && row.damaged == 0), "{report:#?}");
            if segment == 1 {
                assert_eq!(records(&report), 6);
            }
        }
    }
}

/// Gives a segment features that no version knows.
fn set_features(run: &mut TestRun, segment: usize) {
    // After the block's, the shard's and the record's header: log, run, reserved, boot, index, previous, two limits.
    let at = 64 + 32 + 16 + 4 * 16 + 2 * 8 + 2 * 4;
    let block = run.segments[segment].block(0);
    block[at] = 6;
    reseal(block, 0, |_| ());
}

#[test]
fn a_run_that_a_newer_diolog_wrote_does_not_hide_the_older_ones() {
    let mut old = TestRun::with_segment(1);
    old.block(Block::new().record(1, 10, "a")).close();
    let mut newer = TestRun::new(2);
    newer.features = 6;
    newer.segment(2).block(Block::new().record(1, 20, "b")).segment(3).close();
    let mut last = TestRun::new(3);
    last.segment(4).block(Block::new().record(1, 30, "c")).close();
    let (messages, report) = read(written(&[&old, &newer, &last]).path());
    assert_eq!((messages, report.newer_files), (vec!["a".into(), "c".into()], 2));
    assert_eq!(report.verdict(), Verdict::Newer, "{report:#?}");
    let is_newer = |finding: &Finding| finding.severity == Severity::Newer && finding.what.contains("features 0x6");
    assert!(report.findings.iter().all(is_newer), "{:#?}", report.findings);
}

#[test]
fn a_proved_loss_beside_newer_parts_is_lost_and_both_are_named() {
    let mut run = log();
    run.segments[0].block(2).fill(0);
    let offset = run.segments[1].offsets[2];
    reseal(run.segments[1].block(2), offset, NEWER_BLOCKS[0].1);
    let (_, report) = read(written(&[&run]).path());
    assert_eq!((report.verdict(), report.verdict().exit_code()), (Verdict::Lost, 2), "{report:#?}");
    assert_eq!((report.blocks.lost, report.blocks.newer), (1, 1));
    for severity in [Severity::Newer, Severity::Lost] {
        assert!(report.findings.iter().any(|finding| finding.severity == severity), "{:#?}", report.findings);
    }
}

#[test]
fn info_names_what_a_newer_diolog_wrote_where_it_looks() {
    let mut runs = vec![];
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0").kind(1, 5, KIND, "?")).close();
    runs.push(run);
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().encodings(0, ENCODING).record(1, 0, "0")).close();
    runs.push(run);
    for (_, change) in NEWER_BLOCKS {
        let mut run = log();
        let offset = run.segments[2].offsets[1];
        reseal(run.segments[2].block(1), offset, change);
        runs.push(run);
    }
    let mut run = log();
    set_features(&mut run, 1);
    runs.push(run);
    for run in &runs {
        let info = info(written(&[run]).path()).expect("info");
        let newer = |finding: &Finding| finding.severity == Severity::Newer && finding.what.contains("newer diolog");
        assert!(!info.findings.is_empty() && info.findings.iter().all(newer), "{info:#?}");
    }
}
