//! Ring files that nobody is led to, and runs whose segments are gone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::bounds::Patience;
use super::run::recover_patiently;
use super::test_rings::{Dead, DeadRing, config, logger, rings};
use super::tests::{Parts, change, lose_blocks_but, messages, recover_one, recovered, verifies};
use super::{RecoveryOutcome, recover, sweep};
use crate::clock::Clock;
use crate::config::RingMemory;
use crate::crash::layout::{FOR_RECORDER, LOG_BYTES, LOG_ENDED, LOG_FREE, LOGS_OFFSET, SLOTS_OFFSET};
use crate::crash::{NewLog, RingFiles};
use crate::format::{SNAPSHOTS_FOLDER, segment_file_name};
use crate::level::Level;
use crate::logger::Logger;
use crate::reader::{Verdict, info, verify};
use crate::segment::{Directory, Making};
use crate::sys::directory::OpenDirectory;
use crate::sys::test_directory::directory;

/// Opens and closes a log with its rings in this directory.
fn open_another(rings: &Path) {
    let parent = directory();
    let config = config(&parent.path().join("log")).ring_memory(RingMemory::Shared(rings.to_owned()));
    Logger::open(config).expect("a log").close().expect("closed");
}

/// A dead log whose ring file has this state in the log's entry.
fn dead_in_state(parts: &Parts, state: u32) -> Dead {
    let dead = parts.dead();
    change(&dead, (LOGS_OFFSET + LOG_BYTES) as usize, &state.to_le_bytes());
    dead
}

/// A new log in an empty directory, that directory, and a place for its rings; both are in the first value.
fn new_log() -> (TempDir, PathBuf, NewLog, OpenDirectory) {
    let parent = directory();
    let (place, path) = (parent.path().join("rings"), parent.path().join("log"));
    fs::create_dir(&path).expect("a directory");
    let opened = OpenDirectory::open(&path).expect("a directory");
    let new = NewLog { log: [9; 16], run: [1; 16], block_bytes: 4096, message_bytes_max: 100, path };
    (parent, place, new, opened)
}

#[test]
fn a_ring_file_that_no_log_needs_is_removed_by_the_next_open_in_its_directory() {
    let parts = Parts::new(false);
    type Leave = fn(&Parts) -> Dead;
    let cases: [(&str, bool, Leave); 13] = [
        ("its log has not ended", true, Parts::dead),
        ("its log has ended, it is said, and has a link", true, |parts| dead_in_state(parts, LOG_ENDED)),
        ("its log has ended", false, |parts| {
            let dead = dead_in_state(parts, LOG_ENDED);
            dead.remove_link();
            dead
        }),
        ("its log was not open yet, and has a link", true, |parts| dead_in_state(parts, LOG_FREE)),
        ("its log was not open yet", false, |parts| {
            let dead = parts.dead_with(Vec::new());
            change(&dead, (LOGS_OFFSET + LOG_BYTES) as usize, &LOG_FREE.to_le_bytes());
            dead.remove_link();
            dead
        }),
        ("its log has rings and is said not to be open yet", true, |parts| {
            let dead = dead_in_state(parts, LOG_FREE);
            dead.remove_link();
            dead
        }),
        ("the state and the checksum of its log are zeros", true, |parts| {
            let dead = parts.dead();
            change(&dead, (LOGS_OFFSET + LOG_BYTES) as usize, &[0; 8]);
            dead
        }),
        ("its table of logs is zeros", true, |parts| {
            let dead = parts.dead();
            change(&dead, LOGS_OFFSET as usize, &[0; 4 * LOG_BYTES as usize]);
            dead
        }),
        ("it was just created", false, |parts| {
            let dead = parts.dead();
            fs::write(&dead.link.path, b"").expect("written");
            dead
        }),
        ("it has no header yet", false, |parts| {
            let dead = parts.dead();
            fs::write(&dead.link.path, b"").expect("written");
            let file = fs::File::options().write(true).open(&dead.link.path).expect("there");
            file.set_len(SLOTS_OFFSET).expect("sparse");
            dead
        }),
        ("its header is damaged", true, |parts| {
            let dead = parts.dead();
            change(&dead, 0, &[0; 120]);
            dead
        }),
        ("it is of another boot, and its log has a link", true, |parts| {
            let mut dead = parts.dead();
            dead.link.boot = [1; 16];
            dead.write();
            dead
        }),
        ("it is of another boot", false, |parts| {
            let mut dead = parts.dead();
            dead.link.boot = [1; 16];
            dead.write();
            dead.remove_link();
            dead
        }),
    ];
    for (what, stays, leave) in cases {
        let dead = leave(&parts);
        let foreign = dead.rings.join("diolog-7-elsewhere.rings");
        fs::write(&foreign, b"").expect("written");
        open_another(&dead.rings);
        assert_eq!(dead.link.path.exists(), stays, "{what}");
        assert!(foreign.exists(), "{what}");
    }
    // What stays is recovered as ever.
    let dead = parts.dead();
    open_another(&dead.rings);
    assert_eq!(recovered(&dead).records, 15);
    // And after a restart of the machine, the log's own open removes it.
    let mut dead = parts.dead();
    dead.link.boot = [1; 16];
    dead.write();
    logger(&dead.log).close().expect("closed");
    assert!(!dead.link.path.exists());
}

#[test]
fn a_ring_file_that_is_being_made_while_its_directory_is_swept_is_made() {
    let (_parent, place, new, opened) = new_log();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    sweep(&place);
                }
            });
        }
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..300 {
                let rings = RingFiles::new(&place, Clock::detect()).enter(&new, &opened).expect("a place");
                let slots = rings.slots();
                assert!(slots.path().exists() && !slots.place().contains("deleted"), "{}", slots.place());
                rings.end(&opened);
            }
        }));
        is_done.store(true, Ordering::Relaxed);
        made.expect("each is made");
    });
    assert_eq!(fs::read_dir(&place).expect("readable").count(), 0);
}

#[test]
fn a_ring_file_that_a_living_engine_has_is_not_waited_for() {
    let (_parent, place, new, opened) = new_log();
    let files = RingFiles::new(&place, Clock::detect());
    let other = files.enter(&NewLog { run: [2; 16], ..new.clone() }, &opened).expect("a place");
    // A log that did not end cleanly, while another one of the same engine lives on.
    drop(files.enter(&new, &opened).expect("a place"));
    other.slots();
    let [recovery, _] = recover(&new.path, None).expect("a log").try_into().expect("two runs");
    assert_eq!(recovery.outcome, RecoveryOutcome::Left);
    assert!(
        recovery.to_string().contains("is in use by this process, which has other logs' rings in it"),
        "{recovery}"
    );
    other.end(&opened);
}

#[test]
fn slots_that_nobody_uses_any_more_are_no_damage() {
    let (_parent, place, new, opened) = new_log();
    let files = RingFiles::new(&place, Clock::detect());
    let rings = files.enter(&new, &opened).expect("a place");
    // One was never used, the other one is free again.
    let [_unused, used] = [1, 2].map(|_| rings.slots().take(8192, 0, false).expect("room"));
    used.assign(1, 1, "orders");
    used.vacate();
    drop((used, rings));
    let [recovery] = recover(&new.path, None).expect("a log").try_into().expect("one run");
    assert_eq!((recovery.outcome, &recovery.reason), (RecoveryOutcome::Complete, &None), "{recovery}");
    assert_eq!(fs::read_dir(&place).expect("readable").count(), 0);
}

/// What `verify` says that the log's producers have lost.
fn losses(path: &Path) -> u64 {
    let report = verify(path).expect("a log").report;
    let producers = report.runs.iter().flat_map(|run| &run.producers);
    assert!(producers.clone().all(|row| row.holds), "{report:#?}");
    producers.map(|row| row.dropped + row.overwritten + row.unwritten + row.damaged + row.missing).sum()
}

/// Begins segment after segment of a later run, each with a record, and closes it.
fn rotate_while(later: Logger, goes_on: impl Fn(&Logger) -> bool) {
    let producer = later.producer_named("later").expect("a producer");
    while goes_on(&later) {
        producer.log(Level::Info, "of the later run");
        later.rotate().expect("open");
        later.flush().expect("durable");
    }
    drop(producer);
    later.close().expect("closed");
}

#[test]
fn a_run_whose_segments_were_removed_meanwhile_gets_no_losses_that_it_did_not_have() {
    let parts = Parts::new(false);
    // The rings as they are: what was flushed is in none of them.
    let dead = parts.dead_with(rings(&parts.logger));
    let away = dead.rings.with_extension("away");
    fs::rename(&dead.rings, &away).expect("renamed");
    // A later run, whose retention removes them.
    let later = Logger::open(config(&dead.log).retain_segments(1)).expect("a log");
    assert_eq!(later.recovery()[0].outcome, RecoveryOutcome::Left);
    rotate_while(later, |_| dead.log.join(segment_file_name(1)).exists());
    fs::rename(&away, &dead.rings).expect("renamed");
    let recovery = recovered(&dead);
    assert_eq!((recovery.records, recovery.unwritten), (15, 0), "{recovery}");
    assert_eq!(losses(&dead.log), 0);
    assert_eq!(messages(&dead.log).iter().filter(|(name, ..)| name != "later").count(), 15);
}

#[test]
fn writes_of_a_dead_run_are_waited_for_however_many_segments_came_since_and_no_others() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    let away = dead.rings.with_extension("away");
    fs::rename(&dead.rings, &away).expect("renamed");
    let later = logger(&dead.log);
    rotate_while(later, |later| later.stats().segments < 18);
    fs::rename(&away, &dead.rings).expect("renamed");
    let open = |number| fs::File::open(dead.log.join(segment_file_name(number))).expect("there");
    let other = open(18);
    assert!(crate::sys::try_lock(&other).expect("locked"));
    let own = open(1);
    assert!(crate::sys::try_lock(&own).expect("locked"));
    let recovery = recover_one(&dead);
    assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{recovery}");
    assert!(recovery.to_string().contains("00000001.dlog is still open"), "{recovery}");
    drop(own);
    assert_eq!(recovered(&dead).records, 15);
}

#[test]
fn writes_of_several_dead_runs_are_waited_for_no_longer_than_those_of_one() {
    let logs = [Parts::new(false), Parts::new(false)];
    let [first, second] = logs.each_ref().map(Parts::dead);
    // The second run's files, in the first one's log.
    fs::copy(second.log.join(segment_file_name(1)), first.log.join(segment_file_name(2))).expect("copied");
    second.link.write(&OpenDirectory::open(&first.log).expect("a directory")).expect("written");
    second.remove_link();
    let held = [1, 2].map(|number| fs::File::open(first.log.join(segment_file_name(number))).expect("there"));
    assert!(held.iter().all(|file| crate::sys::try_lock(file).expect("locked")));
    let mut patience = Patience::of_recovery();
    while patience.left() > Duration::from_millis(20) {
        assert!(patience.wait());
    }
    let mut directory = Directory::open(&first.log, Making::BY_DEFAULT).expect("a log");
    let recoveries = recover_patiently(&mut directory, None, &mut patience, &mut |_, _| {}).expect("a log");
    assert_eq!(recoveries.len(), 2);
    for recovery in recoveries {
        assert!(recovery.to_string().contains("is still open"), "{recovery}");
    }
    assert!(patience.left().is_zero());
}

#[test]
fn a_recovery_without_its_snapshot_says_what_it_has_written_and_is_completed_later() {
    let parts = Parts::new(false);
    let recorder = DeadRing { producer: 9, purpose: FOR_RECORDER, ..parts.rings[0].clone() };
    let dead = parts.dead_with([parts.rings.clone(), vec![recorder]].concat());
    let in_the_way = dead.log.join(SNAPSHOTS_FOLDER);
    fs::write(&in_the_way, b"").expect("written");
    for records in [15, 0] {
        let recovery = recover_one(&dead);
        assert_eq!((recovery.outcome, recovery.records), (RecoveryOutcome::Left, records), "{recovery}");
        assert_eq!(recovery.segment, (records > 0).then_some(2), "{recovery}");
        assert_eq!(recovery.verdict(), Verdict::Unconfirmed);
        let said = recovery.to_string();
        assert!(said.contains("the flight recorder's records are not in a snapshot yet"), "{said}");
        assert_eq!(said.contains("not all is recovered yet, 15 records of 2 producers in segment 2"), records > 0);
        assert!(dead.link.path.exists(), "{said}");
        let report = verify(&dead.log).expect("a log").report;
        assert_eq!(report.verdict(), Verdict::Unconfirmed, "{report:#?}");
        let found = info(&dead.log).expect("a log").findings;
        for found in [&report.findings, &found] {
            let [finding] = &found[..] else { panic!("{found:?}") };
            assert!(finding.what.contains("perhaps not what its flight recorder kept"), "{finding}");
        }
    }
    fs::remove_file(&in_the_way).expect("removed");
    let recovery = recovered(&dead);
    let snapshot = recovery.snapshot.expect("a snapshot");
    verifies(&snapshot);
    assert_eq!(messages(&dead.log), parts.accepted());
    // Killed right after it had named the snapshot, it has left nothing undone; but the name alone shows nothing.
    dead.write();
    let findings = || info(&dead.log).expect("a log").findings;
    verifies(&dead.log);
    assert_eq!(findings(), []);
    fs::write(&snapshot, b"").expect("written");
    assert_eq!(verify(&dead.log).expect("a log").verdict, Verdict::Unconfirmed);
    assert_eq!(findings().len(), 1);
}

#[test]
fn a_run_of_which_a_later_segment_is_left_gets_no_losses_that_it_did_not_have() {
    let parent = directory();
    let path = parent.path().join("log");
    let logger = logger(&path);
    let producer = logger.producer_named("orders").expect("a producer");
    while logger.stats().segments <= 1 {
        producer.log(Level::Info, "durable");
        logger.rotate().expect("open");
        logger.flush().expect("durable");
    }
    (0..10).for_each(|_| _ = producer.log(Level::Info, "in the ring"));
    let dead = Dead::of(&path, rings(&logger));
    // No block says that those in the first segment were durable.
    lose_blocks_but(&dead.log, |_| true);
    fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
    let recovery = recover_one(&dead);
    assert_eq!(recovery.outcome, RecoveryOutcome::Complete, "{recovery}");
    assert_eq!((recovery.records, recovery.unwritten), (10, 0), "{recovery}");
    assert_eq!(losses(&dead.log), 0);
}

#[test]
fn files_of_a_recovery_have_the_access_of_the_logs_segments() {
    let parts = Parts::new(false);
    for mode in [0o600, 0o640, 0o664] {
        let dead = parts.dead();
        let access = |number| {
            let path = dead.log.join(segment_file_name(number));
            let metadata = fs::metadata(path).expect("there");
            (metadata.permissions().mode() & 0o7777, std::os::unix::fs::MetadataExt::gid(&metadata))
        };
        let first = dead.log.join(segment_file_name(1));
        // A group that this process may not give is no part of the claim.
        let _ = std::os::unix::fs::chown(&first, None, Some(65_534));
        fs::set_permissions(&first, fs::Permissions::from_mode(mode)).expect("ours");
        let recovery = recover_one(&dead);
        assert_eq!(recovery.segment, Some(2), "{recovery}");
        assert_eq!(access(2), access(1), "{mode:o}");
        verifies(&dead.log);
    }
}
