//! Paths that are not a log are refused with the reason; other files beside a log are left alone.

use super::*;
use crate::Error;
use crate::format::{LogId, SegmentHeader};
use crate::reader::test_log::reseal;

fn refused(path: impl AsRef<Path>) -> String {
    let error = Reader::open(&path).map(|_| ()).expect_err("no log");
    assert!(matches!(error, Error::NotALog { .. } | Error::Io { .. }), "{error:?}");
    assert_eq!(verify(&path).map(|_| ()).expect_err("no log").to_string(), error.to_string());
    assert_eq!(info(&path).map(|_| ()).expect_err("no log").to_string(), error.to_string());
    let message = error.to_string();
    message.trim_start_matches(&path.as_ref().display().to_string()).trim().to_string()
}

fn file(directory: &tempfile::TempDir, bytes: &[u8]) -> std::path::PathBuf {
    let path = directory.path().join("00000001.dlog");
    std::fs::write(&path, bytes).expect("write");
    path
}

#[test]
fn a_path_that_does_not_exist_is_an_error_of_the_system() {
    let said = refused("no/such/log");
    assert!(said.starts_with("cannot open no/such/log: ") && said.ends_with(": name the directory of a log"), "{said}");
}

#[test]
fn an_empty_directory_and_foreign_files_are_named() {
    let directory = directory();
    assert_eq!(refused(directory.path()), "is an empty directory: nothing was logged there yet");
    std::fs::write(directory.path().join("lock"), "").expect("write");
    assert_eq!(refused(directory.path()), "holds no .dlog file");
    let event = directory.path().join("payment");
    std::fs::create_dir(&event).expect("a directory");
    std::fs::write(event.join("00000001.dlog"), "").expect("write");
    let logs = refused(directory.path());
    assert_eq!(logs, format!("holds no .dlog file, but logs in directories of their own, such as {}", event.display()));
    let path = file(&directory, b"");
    assert_eq!(refused(&path), "is an empty file, and no segment of a log: name the log's directory");
    let path = file(&directory, b"Nov 20 10:00 kernel: \"oops\"\n");
    assert_eq!(refused(&path), r#"is not a diolog segment: it starts with "Nov 20 10:00 ker""#);
    let inside = refused(directory.path());
    assert!(inside.ends_with("is not a diolog segment: it starts with \"Nov 20 10:00 ker\""), "{inside}");
    assert!(refused("/dev/null").contains("neither a directory nor a file"));
}

#[test]
fn a_file_of_a_newer_version_is_named() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    reseal(run.last().block(0), 0, |header| header.magic[3] = b'2');
    let path = file(&directory, &run.last().bytes);
    assert_eq!(refused(path), "was written by a newer diolog (format version 2)");
}

#[test]
fn unknown_features_are_named_and_the_rest_is_read() {
    let directory = directory();
    let mut old = TestRun::with_segment(1);
    old.block(Block::new().record(1, 10, "a")).close().write(directory.path());
    let mut newer = TestRun::new(2);
    let header = SegmentHeader { log: LogId([9; 16]), incompatible_features: 6, ..SegmentHeader::example(2) };
    newer.segment_with(header).block(Block::new().record(1, 20, "b")).write(directory.path());
    let (messages, report) = read(directory.path());
    assert_eq!((messages, report.newer_files), (vec!["a".to_string()], 1));
    assert_eq!(report.verdict(), Verdict::Newer);
    assert!(report.findings[0].what.contains("newer diolog (features 0x6)"), "{:?}", report.findings);
}

#[test]
fn other_files_beside_the_segments_are_left_alone() {
    let mut run = TestRun::with_segment(1);
    let directory = written(&[run.block(Block::new().record(1, 10, "a")).close()]);
    for name in ["lock", "spare.tmp", ".00000002.dlog.swp", "README", "2.dlog"] {
        std::fs::write(directory.path().join(name), "not a segment").expect("write");
    }
    std::fs::create_dir(directory.path().join("snapshots")).expect("create");
    let (messages, report) = read(directory.path());
    assert_eq!((messages, report.verdict()), (vec!["a".to_string()], Verdict::Clean), "{report:#?}");
    assert_eq!(report.unreadable_files, 0);
}

#[test]
fn a_foreign_file_among_segments_is_reported_and_the_rest_is_read() {
    let mut run = TestRun::with_segment(1);
    let directory = written(&[run.block(Block::new().record(1, 10, "a")).close()]);
    std::fs::write(directory.path().join("00000002.dlog"), vec![7; 10_000]).expect("write");
    let (messages, report) = read(directory.path());
    assert_eq!((messages, report.verdict()), (vec!["a".to_string()], Verdict::Unconfirmed));
    assert_eq!((report.unreadable_files, report.findings.len()), (1, 1));
}

#[test]
fn a_directory_or_a_link_with_a_segments_name_is_reported_and_not_opened() {
    let mut run = TestRun::with_segment(1);
    let directory = written(&[run.block(Block::new().record(1, 10, "a")).close()]);
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir(path("00000005.dlog")).expect("create");
    #[cfg(unix)]
    std::os::unix::fs::symlink(path("00000001.dlog"), path("00000006.dlog")).expect("link");
    let (messages, report) = read(directory.path());
    assert_eq!((messages, report.verdict()), (vec!["a".to_string()], Verdict::Unconfirmed), "{report:#?}");
    assert_eq!(report.unreadable_files, if cfg!(unix) { 2 } else { 1 });
    let is_about_it = |finding: &Finding| finding.what.contains("not a regular file");
    assert!(report.findings.iter().all(is_about_it), "{report:#?}");
    assert_eq!(info(directory.path()).expect("info").findings.len() as u64, report.unreadable_files);
}

#[test]
fn files_prepared_by_a_run_that_was_not_closed_are_no_finding() {
    let mut run = TestRun::with_segment(1);
    let directory = written(&[run.block(Block::new().record(1, 10, "a"))]);
    let write = |name: &str, bytes| std::fs::write(directory.path().join(name), vec![0; bytes]).expect("write");
    write("00000002.dlog", 1 << 20);
    write("00000003.dlog", 0);
    let (_, report) = read(directory.path());
    assert_eq!((report.prepared_files, report.findings), (2, vec![]));
    assert_eq!(info(directory.path()).expect("info").prepared_files.len(), 2);
    // The next run leaves them there for a moment.
    TestRun::new(2).segment(4).block(Block::new().record(1, 20, "b")).close().write(directory.path());
    let (_, report) = read(directory.path());
    assert_eq!((report.prepared_files, report.findings), (2, vec![]));
}
