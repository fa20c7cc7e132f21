//! A segment that cannot be prepared, cut or removed as it should be costs no record. The kernel refuses one of the
//! system calls for it from the middle of a run on; the run goes on, has a note of the error, and ends cleanly.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use diolog::{DeviceKind, Level, Logger, Outcome, Reader, Verdict, verify};
use support::os::{Fate, Who, filter_system_calls};
use support::segments::{block, grow, numbers, small};

/// The size of a segment: a header and 15 blocks.
const SEGMENT_BYTES: u64 = 64 << 10;

/// Runs `test` in a child in which the system `calls` fail with `errno` after its log has begun two segments. The log
/// must have a note that contains `note`.
fn refuse(test: &str, calls: &[libc::c_long], errno: libc::c_int, note: &str) {
    if support::child::ran_in_child(test) {
        return;
    }
    let path = support::child_directory().join("log");
    let config = small(&path).segment_bytes(SEGMENT_BYTES).first_segment_bytes(SEGMENT_BYTES);
    let logger = Logger::open(config.retain_segments(2)).expect("a log");
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
    // More than a segment holds.
    for _ in 0..20 {
        block(&logger, &producer);
    }
    let keeps_prepared = calls.contains(&libc::SYS_unlinkat);
    assert!(logger.stats().preparation_errors > 0 || keeps_prepared);
    if keeps_prepared {
        // Half of a segment and a little more, so that the next file is prepared, and the end of the run needs none.
        grow(&logger, logger.stats().segments + 1);
        (0..7).for_each(|_| block(&logger, &producer));
        while verify(&path).expect("a log").report.prepared_files == 0 {
            std::thread::yield_now();
        }
    }
    assert_eq!(producer.log(Level::Info, "the last one"), Outcome::Written);
    let attempted = producer.next_sequence();
    drop(producer);
    logger.close().expect("a clean end");
    let verification = verify(&path).expect("a log");
    // A prepared file that cannot be removed at the end looks like one that was emptied.
    let expected = if keeps_prepared { (Verdict::Unconfirmed, 1) } else { (Verdict::Clean, 0) };
    let found = (verification.verdict, verification.report.prepared_files);
    assert_eq!(found, expected, "{:#?}", verification.report);
    let row =
        verification.report.runs[0].producers.iter().find(|row| row.attempted == attempted).expect("the producer's");
    assert_eq!(row.attempted - row.retired, row.records, "{row:?}");
    let last = Reader::open(&path).expect("a log").last().expect("a record").expect("readable");
    assert_eq!(last.message(), b"the last one");
    assert!(!numbers(&path).is_empty());
}

#[test]
fn a_full_disk_that_has_no_space_to_reserve_costs_no_record() {
    let test = "a_full_disk_that_has_no_space_to_reserve_costs_no_record";
    refuse(test, &[libc::SYS_fallocate], libc::ENOSPC, "cannot reserve");
}

#[test]
fn a_disk_error_while_reserving_space_costs_no_record() {
    let test = "a_disk_error_while_reserving_space_costs_no_record";
    refuse(test, &[libc::SYS_fallocate], libc::EIO, "cannot reserve");
}

#[test]
fn zeros_that_cannot_be_written_cost_no_record() {
    let test = "zeros_that_cannot_be_written_cost_no_record";
    refuse(test, &[libc::SYS_pwrite64], libc::EIO, "cannot write zeros to a segment in advance");
}

#[test]
fn a_file_or_directory_that_cannot_be_synced_costs_no_record() {
    let test = "a_file_or_directory_that_cannot_be_synced_costs_no_record";
    refuse(test, &[libc::SYS_fsync], libc::EIO, "sync the directory");
}

#[test]
fn a_file_that_cannot_be_named_costs_no_record() {
    let calls = [
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_renameat2,
    ];
    refuse("a_file_that_cannot_be_named_costs_no_record", &calls, libc::EDQUOT, "cannot name");
}

#[test]
fn segments_that_cannot_be_removed_are_kept_and_cost_no_record() {
    let calls = [
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink,
        libc::SYS_unlinkat,
    ];
    let test = "segments_that_cannot_be_removed_are_kept_and_cost_no_record";
    refuse(test, &calls, libc::EIO, "older segments are kept until that is possible");
}
