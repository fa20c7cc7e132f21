//! A file system that turns read-only under a log after an error of its own, as with ext4's `errors=remount-ro`: the
//! host process goes on, callers get errors, every loss is counted, and acknowledged records can be read.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::io::ErrorKind;
use std::os::linux::fs::MetadataExt;
use std::path::Path;

use diolog::{Error, Outcome, Reader, State, Verdict, verify};
use support::disk::{BEGUN_RECORDS, SHORT, begun_log, log_kilobyte, on_a_disk};

/// Makes ext4 report an error of the file system of `disk`.
fn turn_read_only(disk: &Path) -> std::io::Result<()> {
    let device = disk.metadata()?.st_dev();
    let name = std::fs::read_link(format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device)))?;
    let name = name.file_name().ok_or(ErrorKind::NotFound)?;
    std::fs::write(Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error"), "1")
}

fn log_on(disk: &Path) {
    let path = disk.join("log");
    let (logger, producer) = begun_log(&path, SHORT);
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
            assert_eq!(unconfirmed, accepted, "all but the flushed records");
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
fn the_host_goes_on_and_acknowledged_records_can_be_read() {
    on_a_disk(48 << 20, "errors=remount-ro", "the_host_goes_on_and_acknowledged_records_can_be_read", log_on);
}
