//! A file system that lets no write go on: `close` ends at its deadline all the same, and says what is missing.
//!
//! The kernel holds whoever writes, io_uring's workers too, and a thread with writes under way cannot even end.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use diolog::{Error, Outcome, Reader, State};
use support::disk::{BEGUN_RECORDS, Frozen, begun_log, log_kilobyte, on_a_disk};

/// How long a close that does not end is waited for before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Logs, freezes the disk with or without having filled it, logs more, and closes.
fn close_while_frozen(disk: &Path, fill: bool) {
    let path = disk.join("log");
    let (logger, producer) = begun_log(&path);
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
    // Where the rings are not full, something is on its way to the disk.
    while !fill && log() != Outcome::Written {}
    let (send, closed) = channel();
    let closing = std::thread::spawn(move || {
        send.send(logger.close()).expect("somebody listens");
        drop((producer, logger));
    });
    let answer = closed.recv_timeout(PATIENCE);
    drop(frozen);
    closing.join().expect("no panic");
    match answer.expect("close ends while the file system is frozen") {
        Err(Error::CloseIncomplete { unconfirmed, .. }) => assert!(unconfirmed > 0),
        other => panic!("{other:?}"),
    }
    assert!(Reader::open(&path).expect("a log").count() >= BEGUN_RECORDS, "what was flushed is there");
}

#[test]
fn with_writes_under_way() {
    on_a_disk(48 << 20, "defaults", "with_writes_under_way", |disk| close_while_frozen(disk, false));
}

#[test]
fn and_full() {
    on_a_disk(48 << 20, "defaults", "and_full", |disk| close_while_frozen(disk, true));
}
