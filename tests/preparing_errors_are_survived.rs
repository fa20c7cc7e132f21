//! A segment that cannot be prepared, cut or removed as it should be costs no record. Each system call that this takes is
//! refused from the middle of a run on; the run goes on, notes what went wrong, and ends cleanly.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use diolog::{DeviceKind, Level, Logger, Outcome, Reader, Verdict, verify};
use support::os::{Fate, Who, filter_system_calls};
use support::segments::{block, grow, numbers, small};

/// Runs `test` in a child in which the system `calls` fail with `errno` once its log has begun two segments. The log must
/// have a note that contains `note`.
fn refused(test: &str, calls: &[libc::c_long], errno: libc::c_int, note: &str) {
    if support::child::ran_in_child(test) {
        return;
    }
    let path = support::child_directory().join("log");
    let logger = Logger::open(small(&path).retain_segments(2)).expect("a log");
    if calls.contains(&libc::SYS_pwrite64) && logger.stats().device.kind != DeviceKind::IoUring {
        return support::not_shown("zeros that cannot be written", "blocks are written by the same system call");
    }
    grow(&logger, 2);
    filter_system_calls(Who::AllThreads, calls, Fate::Fails(errno), Fate::Allowed);
    let producer = logger.producer().expect("a producer");
    let is_noted = || {
        let report = verify(&path).expect("a log").report;
        report.runs.iter().flat_map(|run| &run.notes).any(|text| text.contains(note))
    };
    while !is_noted() {
        block(&logger, &producer);
    }
    // More than a segment takes.
    for _ in 0..20 {
        block(&logger, &producer);
    }
    assert_eq!(producer.log(Level::Info, "the last one"), Outcome::Written);
    let attempted = producer.next_sequence();
    drop(producer);
    logger.close().expect("a clean end");
    let verification = verify(&path).expect("a log");
    // A prepared file that cannot be removed at the end looks like one that was emptied.
    let is_kept = calls.contains(&libc::SYS_unlinkat) && verification.report.prepared_files > 0;
    let expected = if is_kept { Verdict::Unconfirmed } else { Verdict::Clean };
    assert_eq!(verification.verdict, expected, "{:#?}", verification.report);
    let row =
        verification.report.runs[0].producers.iter().find(|row| row.attempted == attempted).expect("the producer's");
    assert_eq!(row.attempted - row.retired, row.records, "{row:?}");
    let last = Reader::open(&path).expect("a log").last().expect("a record").expect("readable");
    assert_eq!(last.message(), b"the last one");
    assert!(!numbers(&path).is_empty());
}

#[test]
fn a_full_disk_on_which_no_space_can_be_reserved() {
    refused("a_full_disk_on_which_no_space_can_be_reserved", &[libc::SYS_fallocate], libc::ENOSPC, "cannot reserve");
}

#[test]
fn a_disk_error_while_reserving_space() {
    refused("a_disk_error_while_reserving_space", &[libc::SYS_fallocate], libc::EIO, "cannot reserve");
}

#[test]
fn zeros_that_cannot_be_written() {
    let calls = [libc::SYS_pwrite64];
    refused("zeros_that_cannot_be_written", &calls, libc::EIO, "cannot write zeros to a segment in advance");
}

#[test]
fn a_file_or_directory_that_cannot_be_synced() {
    let calls = [libc::SYS_fsync];
    refused("a_file_or_directory_that_cannot_be_synced", &calls, libc::EIO, "sync the directory");
}

#[test]
fn a_file_that_cannot_be_named() {
    let calls = [
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_renameat2,
    ];
    refused("a_file_that_cannot_be_named", &calls, libc::EDQUOT, "cannot name");
}

#[test]
fn segments_that_cannot_be_removed() {
    let calls = [
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink,
        libc::SYS_unlinkat,
    ];
    refused("segments_that_cannot_be_removed", &calls, libc::EIO, "older segments are kept until that is possible");
}
