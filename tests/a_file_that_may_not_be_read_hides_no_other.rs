//! If this user may not read one segment of a log, the reader names it and reads all others.
#![cfg(target_os = "linux")]

mod support;

use std::path::Path;

use diolog::{Level, Logger, Reader, Verdict};

#[test]
fn the_two_readable_ones_of_three_segments_are_read() {
    support::os::as_nobody("the_two_readable_ones_of_three_segments_are_read", write_three_runs, read_as_nobody);
}

/// Writes three runs of one segment each. Other users may read the first and the last.
fn write_three_runs(root: &Path) {
    let path = root.join("log");
    for run in 0..3 {
        let logger = Logger::open(support::config(&path)).expect("a log");
        logger.log(Level::Info, format!("run {run}"));
        logger.close().expect("a clean end");
    }
    support::os::set_mode(root, 0o755);
    support::os::set_mode(&path, 0o755);
    for (number, mode) in [(1, 0o644), (2, 0), (3, 0o644)] {
        support::os::set_mode(&path.join(format!("{number:08}.dlog")), mode);
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
