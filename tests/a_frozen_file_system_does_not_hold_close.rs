//! A file system that is frozen, so that no write completes: `close` ends at its deadline all the same, and reports the
//! unconfirmed records.
//!
//! The kernel blocks every thread that writes, io_uring's workers too, and a thread with writes in flight cannot even
//! end.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use diolog::{Error, Outcome, Reader, State};
use support::disk::{BEGUN_RECORDS, Frozen, SHORT, begun_log, log_kilobyte, on_a_disk};

/// The time after which the test counts a close as one that does not end. It must thaw the file system then: no process
/// with a write to a frozen one can be killed. It is far beyond the deadline of close, however busy the machine is.
const THAW_AFTER: Duration = Duration::from_secs(600);

/// Logs, freezes the disk (after filling it, with `fill`), logs more, and closes.
fn close_while_frozen(disk: &Path, fill: bool) {
    let path = disk.join("log");
    let (logger, producer) = begun_log(&path, SHORT);
    let log = || log_kilobyte(&producer);
    while fill && logger.stats().state != State::Full {
        if log() != Outcome::Written {
            std::thread::yield_now();
        }
    }
    let frozen = match Frozen::new(disk) {
        Ok(frozen) => frozen,
        Err(why) => return support::not_shown("a frozen file system", why),
    };
    // While the rings are not full, blocks are in flight.
    while !fill && log() != Outcome::Written {}
    let (send, closed) = channel();
    let closing = std::thread::spawn(move || {
        send.send(logger.close()).expect("somebody listens");
        drop((producer, logger));
    });
    let answer = closed.recv_timeout(THAW_AFTER);
    drop(frozen);
    closing.join().expect("no panic");
    match answer.expect("close ends while the file system is frozen") {
        Err(Error::CloseIncomplete { unconfirmed, .. }) => assert!(unconfirmed > 0),
        other => panic!("{other:?}"),
    }
    assert!(Reader::open(&path).expect("a log").count() >= BEGUN_RECORDS, "the flushed records are there");
}

#[test]
fn close_ends_at_its_deadline_with_writes_in_flight() {
    on_a_disk(48 << 20, "defaults", "close_ends_at_its_deadline_with_writes_in_flight", |disk| {
        close_while_frozen(disk, false)
    });
}

#[test]
fn close_ends_at_its_deadline_on_a_full_file_system() {
    on_a_disk(48 << 20, "defaults", "close_ends_at_its_deadline_on_a_full_file_system", |disk| {
        close_while_frozen(disk, true)
    });
}
