//! A disk that fails inside the kernel: completions of io_uring carry the error, or a sync returns it. What was durable
//! before is there afterwards.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use diolog::{Config, DeviceKind, DevicePreference, Error, Logger, Outcome, Reader, State, Verdict, verify};
use support::disk::{BEGUN_RECORDS, SHORT, begun_log, log_kilobyte, mount_again, on_a_disk, shut_down};
use support::os::{Fate, Who, filter_system_calls};

/// The file system is shut down under an open log, as by a disk that vanishes.

#[test]
fn an_eio_in_a_completion_of_io_uring_loses_no_durable_record() {
    on_a_disk(64 << 20, "defaults", "an_eio_in_a_completion_of_io_uring_loses_no_durable_record", |disk| {
        let path = disk.join("log");
        let (logger, producer) = begun_log(&path, SHORT);
        if logger.stats().device.kind != DeviceKind::IoUring {
            return support::not_shown("an EIO inside io_uring", logger.stats().device);
        }
        if let Err(why) = shut_down(disk) {
            return support::not_shown("an EIO inside io_uring", why);
        }
        (0..10).for_each(|_| _ = log_kilobyte(&producer));
        let error = logger.flush().expect_err("the disk is gone");
        assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(libc::EIO), "{error}");
        assert_eq!(logger.stats().state, State::Failed);
        let error = logger.close().expect_err("the disk is gone");
        let Error::CloseIncomplete { unconfirmed: 10, .. } = error else { panic!("{error}") };
        drop((logger, producer));

        mount_again(disk);
        assert_eq!(Reader::open(&path).expect("a log").count(), BEGUN_RECORDS);
        let verification = verify(&path).expect("a log");
        assert_eq!(verification.verdict, Verdict::Unconfirmed, "{:#?}", verification.report.findings);
        // The next run begins as after any crash.
        begun_log(&path, Duration::from_secs(600)).0.close().expect("a clean end");
        assert_eq!(Reader::open(&path).expect("a log").count(), 2 * BEGUN_RECORDS);
    });
}

/// A filter on system calls refuses every sync from some moment on.
#[test]
fn an_eio_of_a_sync_loses_no_durable_record_and_makes_none_durable() {
    if support::child::ran_in_child("an_eio_of_a_sync_loses_no_durable_record_and_makes_none_durable") {
        return;
    }
    let path = support::child_directory().join("log");
    let config = Config::new(&path).device(DevicePreference::Buffered).close_deadline(Duration::from_millis(200));
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a producer");
    (0..100).for_each(|_| assert_eq!(log_kilobyte(&producer), Outcome::Written));
    logger.flush().expect("a disk that works");

    filter_system_calls(Who::AllThreads, &[libc::SYS_fdatasync], Fate::Fails(libc::EIO), Fate::Allowed);
    (0..10).for_each(|_| assert_eq!(log_kilobyte(&producer), Outcome::Written));
    let error = logger.flush().expect_err("a sync that fails");
    assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(libc::EIO), "{error}");
    assert_eq!((logger.stats().state, logger.stats().durable_records), (State::Failed, 100));
    let error = logger.close().expect_err("no sync succeeds");
    let Error::CloseIncomplete { unconfirmed: 10, .. } = error else { panic!("{error}") };

    let mut sequences = BTreeSet::new();
    for record in Reader::open(&path).expect("a log") {
        assert!(sequences.insert(record.expect("readable").sequence()), "a record twice");
    }
    assert!((0..100).all(|durable| sequences.contains(&durable)), "{sequences:?}");
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Unconfirmed, "{:#?}", verification.report.findings);
}
