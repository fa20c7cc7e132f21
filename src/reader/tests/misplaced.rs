//! Files and blocks of a log in another's place: each block counts once, nothing is given out as this log's that is
//! not, and the log is never clean.

use super::*;
use crate::reader::test_log::reseal;

/// Files 1 to 3, with two blocks each: all of one run, or of a run each.
fn three_files(one_run: bool) -> Vec<TestRun> {
    let mut runs = Vec::new();
    let mut run = TestRun::new(1);
    for file in 1..4_u64 {
        run.segment(file);
        for n in [2 * file - 2, 2 * file - 1] {
            run.block(Block::new().record(1, 10 * n, n.to_string()));
        }
        if !one_run || file == 3 {
            run.close();
            runs.push(std::mem::replace(&mut run, TestRun::new(file as u8 + 1)));
        }
    }
    runs
}

/// A log of three files, changed by `change`: the messages that are read, and the report.
fn changed(one_run: bool, change: impl FnOnce(&dyn Fn(u64) -> std::path::PathBuf)) -> (String, Report) {
    let runs = three_files(one_run);
    let directory = written(&runs.iter().collect::<Vec<_>>());
    assert_eq!(read(directory.path()).1.verdict(), Verdict::Clean);
    change(&|number| directory.path().join(format!("{number:08}.dlog")));
    let (messages, report) = read(directory.path());
    assert_ne!(report.verdict(), Verdict::Clean, "{report:#?}");
    assert!(report.runs.iter().all(|run| run.producers.iter().all(|row| row.holds)), "{report:#?}");
    (messages.concat(), report)
}

/// Whether a finding about file `number` contains `what`.
fn finds(report: &Report, number: u64, what: &str) -> bool {
    let name = format!("{number:08}.dlog");
    report.findings.iter().any(|finding| finding.path.ends_with(&name) && finding.what.contains(what))
}

#[test]
fn a_file_renamed_over_another_is_found_and_what_was_there_is_missed() {
    for one_run in [false, true] {
        let (messages, report) = changed(one_run, |path| std::fs::rename(path(2), path(1)).expect("rename"));
        assert_eq!(messages, "2345", "one run: {one_run}");
        assert!(finds(&report, 1, "holds the header of segment 2, not 1"), "{report:#?}");
        // The baseline of the run's second segment says what the first one held.
        let missed = if one_run { "the segments before it are gone" } else { "files before it is missing" };
        assert!(finds(&report, 1, missed), "{report:#?}");
    }
}

#[test]
fn a_file_copied_over_another_is_found_and_read_once() {
    for one_run in [false, true] {
        let (messages, report) = changed(one_run, |path| {
            std::fs::copy(path(2), path(1)).expect("copy");
        });
        assert_eq!(messages, "2345", "one run: {one_run}");
        assert!(finds(&report, 1, "holds the header of segment 2, not 1"), "{report:#?}");
        assert_eq!((report.blocks.duplicates, report.runs.len()), (if one_run { 2 } else { 4 }, 2 - one_run as usize));
        let segments: Vec<_> = report.runs.iter().map(|run| run.segments).collect();
        assert_eq!(segments, if one_run { vec![2] } else { vec![1, 1] });
    }
}

#[test]
fn files_that_have_changed_places_are_found_and_read_in_their_order() {
    for one_run in [false, true] {
        let (messages, report) = changed(one_run, |path| {
            std::fs::rename(path(1), path(9)).expect("rename");
            std::fs::rename(path(2), path(1)).expect("rename");
            std::fs::rename(path(9), path(2)).expect("rename");
        });
        assert_eq!(messages, "012345", "one run: {one_run}");
        assert!(finds(&report, 1, "segment 2, not 1") && finds(&report, 2, "segment 1, not 2"), "{report:#?}");
        assert_eq!((report.findings.len(), report.verdict()), (2, Verdict::Unconfirmed), "{report:#?}");
    }
}

#[test]
fn a_file_with_another_number_is_found_and_read_in_its_order() {
    let (messages, report) = changed(false, |path| std::fs::rename(path(2), path(7)).expect("rename"));
    assert_eq!((messages.as_str(), report.findings.len()), ("012345", 1), "{report:#?}");
    assert!(finds(&report, 7, "segment 2, not 7"), "{report:#?}");
}

/// Copies the `n`th block of file `from` over that of file `to`.
fn copy_block(from: std::path::PathBuf, to: std::path::PathBuf, n: usize) {
    let (from, mut bytes) = (std::fs::read(from).expect("read"), std::fs::read(&to).expect("read"));
    let end = (n + 1) * 4096;
    bytes.resize(bytes.len().max(end), 0);
    bytes[end - 4096..end].copy_from_slice(&from[end - 4096..end]);
    std::fs::write(to, bytes).expect("write");
}

#[test]
fn a_header_written_over_another_costs_no_block_of_a_segment_that_the_log_names() {
    let (messages, report) = changed(true, |path| copy_block(path(2), path(1), 0));
    assert_eq!(messages, "012345");
    assert!(finds(&report, 1, "holds the header of segment 2, not 1"), "{report:#?}");
    assert_eq!((report.blocks.lost, report.runs.len(), report.runs[0].segments), (0, 1, 3), "{report:#?}");
    // The header went astray, and is missing in its own file.
    let (messages, report) = changed(true, |path| {
        copy_block(path(2), path(1), 0);
        let mut bytes = std::fs::read(path(2)).expect("read");
        bytes[..4096].fill(0);
        std::fs::write(path(2), bytes).expect("write");
    });
    assert_eq!(messages, "012345");
    assert_eq!((report.blocks.lost, report.runs.len()), (0, 1), "{report:#?}");
}

#[test]
fn blocks_after_another_segments_header_are_not_read_if_nothing_names_their_segment() {
    let (messages, report) = changed(false, |path| copy_block(path(2), path(1), 0));
    assert_eq!(messages, "2345");
    assert!(finds(&report, 1, "holds the header of segment 2, not 1"), "{report:#?}");
    assert!(finds(&report, 1, "of a segment that nothing in this log names"), "{report:#?}");
}

#[test]
fn a_file_overwritten_in_part_keeps_the_blocks_that_are_left() {
    let (messages, _) = changed(true, |path| {
        copy_block(path(2), path(1), 0);
        copy_block(path(2), path(1), 1);
    });
    assert_eq!(messages, "12345");
}

#[test]
fn a_block_written_to_another_file_is_found_and_never_given_out_there() {
    for one_run in [false, true] {
        let (messages, report) = changed(one_run, |path| copy_block(path(2), path(1), 2));
        assert_eq!((messages.as_str(), report.blocks.lost), ("02345", 1), "{report:#?}");
        assert!(finds(&report, 1, "a block of another segment"), "{report:#?}");
    }
    // After the last block it costs nothing.
    let (messages, report) = changed(true, |path| copy_block(path(3), path(1), 3));
    assert_eq!((messages.as_str(), report.verdict()), ("012345", Verdict::Unconfirmed), "{report:#?}");
    assert!(finds(&report, 1, "a block of another segment"), "{report:#?}");
}

#[test]
fn a_file_of_another_log_is_named_and_not_read() {
    let other = |number: u64| {
        let mut run = TestRun::new(0x77);
        run.log = 8;
        run.segment(number).block(Block::new().record(1, 0, "X")).block(Block::new().record(1, 5, "Y")).close();
        run
    };
    for number in [2, 4] {
        // With its own number, and with another.
        for named in [number, 3] {
            let (messages, report) = changed(false, |path| {
                std::fs::write(path(number), &other(named).last().bytes).expect("write");
            });
            assert_eq!(messages, if number == 2 { "0145" } else { "012345" });
            assert!(finds(&report, number, "belongs to another log"), "{report:#?}");
            assert_eq!(report.findings.len(), 1, "{report:#?}");
        }
    }
    // Over the first file of two, and before all others of a log that has one left.
    for (runs, left) in [(&three_files(false)[..2], "23"), (&three_files(false)[1..2], "23")] {
        let directory = written(&runs.iter().collect::<Vec<_>>());
        std::fs::write(directory.path().join("00000001.dlog"), &other(1).last().bytes).expect("write");
        let (messages, report) = read(directory.path());
        assert_eq!(messages.concat(), left);
        assert!(finds(&report, 1, "belongs to another log"), "{report:#?}");
    }
    // One block of it costs the block that stood there.
    let (messages, report) = changed(false, |path| {
        let mut bytes = std::fs::read(path(1)).expect("read");
        let mut block = other(1).last().block(2).to_vec();
        reseal(&mut block, 2 * 4096, |_| ());
        bytes[2 * 4096..3 * 4096].copy_from_slice(&block);
        std::fs::write(path(1), bytes).expect("write");
    });
    assert_eq!((messages.as_str(), report.blocks.lost), ("02345", 1));
}
