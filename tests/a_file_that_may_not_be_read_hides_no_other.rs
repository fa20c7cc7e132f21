//! If this user may not read one segment of a log, the reader names it, reads all others, and calls nothing lost.
#![cfg(target_os = "linux")]

mod support;

use std::path::Path;

use diolog::{Level, Logger, Reader, Verdict};

#[test]
fn the_two_readable_ones_of_three_segments_are_read() {
    support::os::as_nobody("the_two_readable_ones_of_three_segments_are_read", write_three_runs, read_as_nobody);
}

#[test]
fn what_this_user_may_not_read_is_not_lost() {
    support::os::as_nobody("what_this_user_may_not_read_is_not_lost", write_one_run, verify_as_nobody);
}

/// Writes three runs of one segment each, of which other users may not read the second.
fn write_three_runs(root: &Path) {
    let path = root.join("log");
    for run in 0..3 {
        let logger = Logger::open(support::config(&path)).expect("a log");
        logger.log(Level::Info, format!("run {run}"));
        logger.close().expect("a clean end");
    }
    hide(root, &path, 2);
}

/// Lets other users read all of the three segments but one.
fn hide(root: &Path, log: &Path, hidden: u64) {
    support::os::set_mode(root, 0o755);
    support::os::set_mode(log, 0o755);
    for number in 1..=3 {
        support::os::set_mode(&log.join(format!("{number:08}.dlog")), if number == hidden { 0 } else { 0o644 });
    }
}

fn read_as_nobody(root: &Path) {
    let path = root.join("log");
    let mut reader = Reader::open(&path).expect("two segments may be read");
    let messages: Vec<_> = reader.by_ref().map(|record| record.expect("readable").message().to_vec()).collect();
    assert_eq!(messages, [b"run 0", b"run 2"]);
    assert_eq!((reader.report().verdict(), reader.report().unreadable_files), (Verdict::Unconfirmed, 1));
    let named = |findings: &[diolog::Finding]| {
        findings.iter().any(|it| it.path.ends_with("00000002.dlog") && it.what.contains("cannot be read"))
    };
    assert!(named(&reader.report().findings), "{:?}", reader.report().findings);
    assert!(named(&diolog::info(&path).expect("two segments may be read").findings));
}

/// Writes logs of one run in three segments each, of which other users may not read the one with the log's number.
fn write_one_run(root: &Path) {
    for hidden in 1..=3 {
        let path = root.join(hidden.to_string());
        let logger = Logger::open(support::config(&path)).expect("a log");
        while logger.stats().segments < 3 {
            logger.log(Level::Info, "a record");
            logger.flush().expect("a disk");
            logger.rotate().expect("an open log");
        }
        logger.close().expect("a clean end");
        hide(root, &path, hidden);
    }
}

fn verify_as_nobody(root: &Path) {
    for hidden in 1..=3 {
        let report = diolog::verify(root.join(hidden.to_string())).expect("two segments may be read").report;
        assert_eq!((report.verdict(), report.blocks.lost), (Verdict::Unconfirmed, 0), "{report:#?}");
        let named = |what| {
            let of_it = |finding: &&diolog::Finding| finding.path.ends_with(format!("{hidden:08}.dlog"));
            report.findings.iter().filter(of_it).any(|finding| finding.what.contains(what))
        };
        assert!(named("cannot be read"), "{report:#?}");
        // After the last segment nothing shows that blocks are missing.
        assert_eq!(named("not in the files that this user may read"), hidden < 3, "{report:#?}");
    }
}
