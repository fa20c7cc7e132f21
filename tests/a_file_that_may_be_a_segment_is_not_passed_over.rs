//! A file that cannot be read may be a segment of the log. Retention stops there, and no log is begun beside it.
#![cfg(target_os = "linux")]

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
        assert!(kept.contains(&2) && kept.is_sorted_by(|one, next| one + 1 == *next), "a gap: {kept:?}");
        set_mode(&second, 0o600);
        let mut segments = 13;
        while second.exists() {
            grow(&logger, segments);
            segments += 1;
        }
        logger.close().expect("a clean end");
        let report = verify(&path).expect("a log").report;
        assert_eq!((report.verdict(), report.blocks.lost), (Verdict::Clean, 0), "{report:#?}");
        let said = |note: &&String| note.contains("older segments are kept until that is possible");
        // The note may be in a segment that retention has removed since.
        assert!(report.runs.iter().flat_map(|run| &run.notes).filter(said).count() <= 1, "{report:#?}");
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
