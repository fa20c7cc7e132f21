//! A file system that an error of its own turns read-only under a log, as ext4's `errors=remount-ro` does: the host goes
//! on, callers are told, every loss is counted, and what was acknowledged can be read.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::io::ErrorKind;
use std::os::linux::fs::MetadataExt;
use std::path::Path;

use diolog::{Error, Outcome, Reader, State, Verdict, verify};
use support::disk::{BEGUN_RECORDS, begun_log, log_kilobyte, on_a_disk};

/// Has ext4 report an error of the file system that `disk` is on.
fn turn_read_only(disk: &Path) -> std::io::Result<()> {
    let device = disk.metadata()?.st_dev();
    let name = std::fs::read_link(format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device)))?;
    let name = name.file_name().ok_or(ErrorKind::NotFound)?;
    std::fs::write(Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error"), "1")
}

fn log_on(disk: &Path) {
    let path = disk.join("log");
    let (logger, producer) = begun_log(&path);
    let log = || log_kilobyte(&producer);
    if let Err(error) = turn_read_only(disk) {
        return support::not_shown("a file system that turns read-only", error);
    }
    let mut accepted = 0_u64;
    while logger.stats().state != State::Failed {
        accepted += u64::from(log() == Outcome::Written);
    }
    let refused = logger.flush().expect_err("nothing can be written");
    assert_eq!(refused.io_error().map(std::io::Error::kind), Some(ErrorKind::ReadOnlyFilesystem), "{refused}");
    assert!(logger.stats().write_errors > 0);
    match logger.close() {
        Err(Error::CloseIncomplete { unconfirmed, reason, .. }) => {
            assert_eq!(unconfirmed, accepted, "all but what was flushed");
            assert!(reason.contains("Read-only file system"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Unconfirmed, "{verification:#?}");
    assert_eq!(verification.report.records, BEGUN_RECORDS as u64);
    assert_eq!(Reader::open(&path).expect("a log").count(), BEGUN_RECORDS);
}

#[test]
fn after_an_error_of_its_own() {
    on_a_disk(48 << 20, "errors=remount-ro", "after_an_error_of_its_own", log_on);
}
