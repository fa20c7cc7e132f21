//! A file that cannot be read may be a segment of the log. Retention stops there, and no log is begun beside it.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;

use diolog::{Error, Logger, Verdict, verify};
use support::os::{as_nobody, set_mode};
use support::segments::{file, grow, numbers, run, small};

/// Lets every user write to the directory.
fn open_to_all(root: &Path) {
    set_mode(root, 0o777);
}

#[test]
fn retention_waits_for_a_segment_that_cannot_be_read_now() {
    as_nobody("retention_waits_for_a_segment_that_cannot_be_read_now", open_to_all, |root| {
        let path = root.join("log");
        let logger = Logger::open(small(&path).retain_segments(3)).expect("a log");
        grow(&logger, 4);
        let second = file(&path, 2);
        set_mode(&second, 0);
        grow(&logger, 12);
        let kept = numbers(&path);
        // Retention runs before each file is made.
        assert!(kept.starts_with(&[2]) && kept.is_sorted_by(|one, next| one + 1 == *next), "a gap: {kept:?}");
        set_mode(&second, 0o600);
        grow(&logger, 16);
        assert!(!second.exists(), "it can be read again");
        logger.close().expect("a clean end");
        let report = verify(&path).expect("a log").report;
        assert_eq!((report.verdict(), report.blocks.lost), (Verdict::Clean, 0), "{report:#?}");
    });
}

#[test]
fn no_log_is_begun_beside_segments_that_cannot_be_read() {
    as_nobody(
        "no_log_is_begun_beside_segments_that_cannot_be_read",
        |root| {
            open_to_all(root);
            let path = root.join("log");
            run(small(&path), 1);
            set_mode(&path, 0o777);
            set_mode(&path.join("lock"), 0o666);
            set_mode(&file(&path, 1), 0);
            std::os::unix::fs::symlink("nowhere", file(&path, 2)).expect("linked");
        },
        |root| {
            let path = root.join("log");
            let before = numbers(&path);
            let error = Logger::open(small(&path)).expect_err("whose log this is cannot be known");
            assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("00000001.dlog")), "{error}");
            assert_eq!(numbers(&path), before, "nothing was made");
        },
    );
}
