//! Of a log, a segment that this user may not read is named, and all others are read.
#![cfg(target_os = "linux")]

mod support;

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use diolog::{Level, Logger, Reader, Verdict};

#[test]
fn one_segment_of_three() {
    if support::role().is_some() {
        support::os::become_user(65534);
        read_as_nobody(&support::child_directory());
        std::process::exit(0);
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    for run in 0..3 {
        let logger = Logger::open(support::config(&path)).expect("a log");
        logger.log(Level::Info, format!("run {run}"));
        logger.close().expect("a clean end");
    }
    let set_mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).expect("the owner may");
    set_mode(directory.path(), 0o755);
    set_mode(&path, 0o755);
    for (number, mode) in [(1, 0o644), (2, 0), (3, 0o644)] {
        set_mode(&path.join(format!("{number:08}.dlog")), mode);
    }
    if support::os::is_root() {
        support::child::expect_success("one_segment_of_three", "nobody", directory.path());
    } else {
        // Not root: the modes count for this process itself.
        read_as_nobody(directory.path());
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
