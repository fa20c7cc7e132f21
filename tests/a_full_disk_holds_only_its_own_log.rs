//! Two logs of one engine, one of them on a real file system that fills up: the other loses nothing and flushes as
//! ever. `one_log_of_an_engine_does_not_hold_the_others` has the same with a device that says that it is full.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use diolog::{Engine, EngineConfig, Level, Outcome, Overflow, State, Verdict, verify};
use support::disk::on_a_disk;

/// Records of the healthy log between two flushes of its own, and flushes while the other disk is full.
const RECORDS: u64 = 1000;
const FLUSHES: u64 = 20;

/// Fills the file system at `disk` through one log, while another one, beside the mount point, goes on.
fn fill_one_of_two(disk: &Path) {
    let paths = [disk.join("log"), disk.with_file_name("healthy")];
    let engine = Engine::start(EngineConfig::new()).expect("a thread");
    // What the full log's ring holds must fit into the room that is made: so it has no reserve.
    let full = engine.open(support::config(&paths[0]).reserve_bytes(0)).expect("a log");
    // The loop below may be faster than the writer: that is no loss, unless the full disk holds up the room for long.
    let waits = Overflow::BlockFor(Duration::from_secs(60));
    let healthy = engine.open(support::config(&paths[1]).overflow(waits)).expect("a log");
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0xBA; 4 << 20]).expect("room for the ballast");
    let (heard, states) = channel();
    full.on_state_change(move |state| _ = heard.send(state));

    let (filling, going_on) = (full.producer().expect("a ring"), healthy.producer().expect("a ring"));
    let mut accepted = 0_u64;
    let mut logged = 0_u64;
    let mut log_both = || {
        match filling.log(Level::Info, [b'x'; 1000]) {
            Outcome::Written => accepted += 1,
            // A loop without a pause would be faster than any writer.
            _ => std::thread::yield_now(),
        }
        assert_eq!(going_on.log(Level::Info, "of the healthy log"), Outcome::Written);
        logged += 1;
    };
    while states.try_recv() != Ok(State::Full) {
        log_both();
    }
    for _ in 0..FLUSHES {
        (0..RECORDS).for_each(|_| log_both());
        // A file that is being prepared takes room, and gives it back when there is no more: the log may go on for a
        // while.
        while full.stats().state != State::Full {
            log_both();
        }
        healthy.flush().expect("its disk has room");
        assert_eq!(healthy.stats().state, State::Ok);
    }
    std::fs::remove_file(&ballast).expect("ours to remove");
    // It resumes by itself.
    while full.flush().is_err() {}
    let lost = full.stats().dropped;
    engine.close().expect("clean ends");

    for (path, verdict, records) in
        [(&paths[0], support::account::intact(lost), accepted), (&paths[1], Verdict::Clean, logged)]
    {
        let verification = verify(path).expect("a log");
        assert_eq!((verification.verdict, verification.report.records), (verdict, records), "{}", path.display());
    }
}

#[test]
fn a_full_disk_costs_the_log_on_another_one_nothing() {
    on_a_disk(16 << 20, "defaults", "a_full_disk_costs_the_log_on_another_one_nothing", fill_one_of_two);
}
