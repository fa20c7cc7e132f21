//! Recoveries of logs whose process has died at some moment: what was accepted is there once, and the log verifies.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::test_rings::{Dead, DeadRing, logger, rings};
use super::{Recovery, RecoveryOutcome, forget, recover};
use crate::block::{BlockPlace, place};
use crate::clock::Clock;
use crate::crash::layout::{DEFINITIONS_OFFSET, LOG_BYTES, LOG_ENDED, LOGS_OFFSET, RawHeader, SLOTS_OFFSET, VERSION};
use crate::format::{BlockHeader, Kind, segment_file_name};
use crate::level::Level;
use crate::logger::Logger;
use crate::reader::{Reader, verify};
use crate::ring::image::words;
use crate::ring::{Budget, RingOptions, ring_with_reserve};
use crate::sys::test_directory::directory;

/// A record's producer, number and text.
pub(super) type Message = (String, u64, String);

/// The messages of a log by producer's name, in order, with those of structured records as text.
pub(super) fn messages(path: &Path) -> Vec<Message> {
    let mut reader = Reader::open(path).expect("a log");
    let mut messages = Vec::new();
    while let Some(record) = reader.next_record().expect("readable") {
        let mut text = Vec::new();
        record.write_message(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        messages.push((record.producer_name().to_owned(), record.sequence(), text));
    }
    messages.sort();
    messages
}

pub(super) fn recover_one(dead: &Dead) -> Recovery {
    let [recovery] = recover(&dead.log, None).expect("a log").try_into().expect("one run");
    recovery
}

pub(super) fn verifies(path: &Path) {
    let verification = verify(path).expect("a log");
    assert_eq!(verification.verdict.exit_code(), 0, "{:#?}", verification.report);
}

/// Recovers the log, and finds that it verifies as clean.
pub(super) fn recovered(dead: &Dead) -> Recovery {
    let recovery = recover_one(dead);
    assert_eq!((recovery.outcome, &recovery.reason), (RecoveryOutcome::Complete, &None), "{recovery}");
    if recovery.segment.is_some() {
        verifies(&dead.log);
    }
    assert!(!dead.link.path.exists() && recover(&dead.log, None).expect("a log").is_empty());
    recovery
}

/// Logs of two producers, in four parts: all but the last one is flushed, so that it is a block of its own.
pub(super) struct Parts {
    // Closed before its directory is removed: a close of a log that is gone waits for its deadline.
    pub(super) logger: Logger,
    parent: tempfile::TempDir,
    /// The rings as they were when all four parts were in them.
    pub(super) rings: Vec<DeadRing>,
}

impl Parts {
    /// `rotates`: after the second part the log goes on in another segment.
    pub(super) fn new(rotates: bool) -> Parts {
        let parent = directory();
        let logger = logger(&parent.path().join("log"));
        let orders = logger.producer_named("orders").expect("a producer");
        let trades = logger.producer_named("trades").expect("a producer");
        for part in 0..4_u64 {
            for number in 0..5_u64 {
                orders.log(Level::Info, format!("order {part} {number}"));
                crate::warn!(trades, "trade {part} of {number}", part, number);
                if part % 2 == 1 {
                    trades.log(Level::Error, "between");
                }
            }
            if part < 3 {
                logger.flush().expect("durable");
            }
            if part == 1 && rotates {
                logger.rotate().expect("in another segment");
            }
        }
        let mut rings = rings(&logger);
        // As if no block were known to be durable: the bytes are still there.
        rings.iter_mut().for_each(|ring| words::set(&mut ring.control, words::READ_POSITION, 0));
        Parts { parent, logger, rings }
    }

    pub(super) fn dead(&self) -> Dead {
        self.dead_with(self.rings.clone())
    }

    /// The same with other rings.
    pub(super) fn dead_with(&self, rings: Vec<DeadRing>) -> Dead {
        Dead::of(&self.parent.path().join("log"), rings)
    }

    /// The same in memory, for many recoveries.
    pub(super) fn dead_in_memory(&self) -> Dead {
        Dead::in_memory(&self.parent.path().join("log"), self.rings.clone())
    }

    /// All that was accepted.
    pub(super) fn accepted(self) -> Vec<Message> {
        self.logger.close().expect("closed");
        messages(&self.parent.path().join("log"))
    }
}

/// [`lose_blocks_but`] for those whose numbers are not in `landed`: a bit for each.
fn lose_blocks(log: &Path, landed: u32) {
    lose_blocks_but(log, |block| landed >> block & 1 == 1);
}

/// Signs the blocks of the log's segments as if none before them had been known to be durable, and wipes out those that
/// have not `landed`.
pub(super) fn lose_blocks_but(log: &Path, landed: impl Fn(u64) -> bool) {
    for number in 1.. {
        let path = log.join(segment_file_name(number));
        let Ok(mut bytes) = fs::read(&path) else { break };
        let mut at = 0;
        while let Some(header) =
            bytes.get(at..).filter(|rest| !rest.is_empty()).and_then(|rest| BlockHeader::decode(rest, at as u64).ok())
        {
            let end = at + header.stride_bytes() as usize;
            let block = header.sequence.get();
            if at > 0 && !landed(block) {
                bytes[at..end].fill(0);
            } else {
                let (segment_id, in_flight) = (header.segment_id.get(), block as u16);
                place(&mut bytes[at..end], BlockPlace { segment_id, file_offset: at as u64, in_flight });
            }
            at = end;
        }
        fs::write(&path, bytes).expect("written");
    }
}

#[test]
fn what_was_accepted_and_not_yet_written_is_there_once() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    let recovery = recovered(&dead);
    assert_eq!((recovery.records, recovery.producers, recovery.segment), (15, 2, Some(2)), "{recovery}");
    assert!(recovery.to_string().contains("15 records of 2 producers in segment 2"), "{recovery}");
    assert_eq!(messages(&dead.log), parts.accepted());
}

#[test]
fn times_do_not_go_back_after_a_record_in_an_earlier_segment() {
    let parent = directory();
    let logger = logger(&parent.path().join("log"));
    let [quiet, busy] = ["quiet", "busy"].map(|name| logger.producer_named(name).expect("a producer"));
    quiet.log(Level::Info, "first");
    logger.flush().expect("durable");
    logger.rotate().expect("in another segment");
    let meanwhile = || {
        busy.log(Level::Info, "meanwhile");
        logger.flush().expect("durable");
    };
    while logger.stats().rotations() == 0 {
        meanwhile();
    }
    // The last one says that those before it are durable.
    (0..3).for_each(|_| meanwhile());
    quiet.log(Level::Info, "second");
    let mut rings = rings(&logger);
    // As a recovery may see it, which converts ticks by another anchor than the writer: earlier than the first record.
    let ring = rings.iter_mut().find(|ring| ring.name == "quiet").expect("its ring");
    let (first_ticks, second_ticks) = (16..24, 32 + 16..32 + 24);
    let ticks = u64::from_le_bytes(ring.bytes[first_ticks].try_into().expect("a word")) - 1_000_000;
    ring.bytes[second_ticks].copy_from_slice(&ticks.to_le_bytes());
    let dead = Dead::of(&parent.path().join("log"), rings);
    let recovery = recovered(&dead);
    assert_eq!((recovery.records, recovery.segment), (1, Some(3)), "{recovery}");
}

#[test]
fn records_in_window_and_reserve_are_merged_by_their_numbers() {
    let parts = Parts::new(false);
    let options = RingOptions { enters_reserve: true, ..RingOptions::window(4096) };
    let (producer, mut consumer) =
        ring_with_reserve(options, 256 << 10, Arc::new(Budget::new(u64::MAX, 0))).expect("a ring");
    let tag = u32::from_le_bytes([Kind::Message as u8, Level::Info as u8, 0, 0]);
    let clock = Clock::detect();
    let append = |number: u64| {
        let text = format!("burst {number}").into_bytes();
        let result = producer.append(tag, &text[..], || clock.ticks());
        assert!(result.is_ok() || producer.append_past_window(false, tag, &text[..], || clock.ticks()).is_ok());
    };
    (0..300).for_each(append);
    // The writer has made the first ones durable, and the producer has gone on.
    consumer.observe();
    let mut released = 0;
    consumer.consume(1000, |_, _| {
        released += 1;
        true
    });
    let cursor = consumer.cursor();
    consumer.release(cursor);
    (300..400).for_each(append);
    let (mut control, bytes) = producer.ring().bytes();
    // No block has those: as if they had been dropped.
    words::set(&mut control, words::DROPPED_FULL, released);
    let holds = |bytes: &[u8]| bytes.windows(6).any(|window| window == b"burst ");
    assert!(holds(&bytes[..4096]) && holds(&bytes[4096..]), "in both");
    let ring = DeadRing { producer: 9, name: "burst".into(), control, bytes, ..parts.rings[0].clone() };
    let ring = DeadRing { window_bytes: 4096, reserve_bytes: 256 << 10, ..ring };
    let dead = parts.dead_with([parts.rings.clone(), vec![ring]].concat());
    let recovery = recover_one(&dead);
    assert_eq!(recovery.outcome, RecoveryOutcome::Complete, "{recovery}");
    let of_burst: Vec<_> = messages(&dead.log).into_iter().filter(|(name, ..)| name == "burst").collect();
    let first = of_burst[0].1;
    assert!(0 < first && first < 300, "{first}");
    let expected: Vec<_> = (first..400).map(|number| ("burst".to_owned(), number, format!("burst {number}"))).collect();
    assert_eq!(of_burst, expected);
}

#[test]
fn whichever_blocks_did_not_land_each_record_is_there_once() {
    for rotates in [false, true] {
        let parts = Parts::new(rotates);
        let dead: Vec<_> = (0..8)
            .map(|landed| {
                let dead = parts.dead();
                lose_blocks(&dead.log, landed);
                recovered(&dead);
                dead
            })
            .collect();
        let accepted = parts.accepted();
        for (landed, dead) in dead.iter().enumerate() {
            assert_eq!(messages(&dead.log), accepted, "{landed:03b}");
        }
    }
}

#[test]
fn blocks_whose_segments_header_did_not_land_are_not_written_twice() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    lose_blocks(&dead.log, 0b011);
    let path = dead.log.join(segment_file_name(1));
    let mut bytes = fs::read(&path).expect("there");
    bytes[..4096].fill(0);
    fs::write(&path, bytes).expect("written");
    let recovery = recover_one(&dead);
    assert_eq!((recovery.outcome, recovery.records), (RecoveryOutcome::Complete, 25), "{recovery}");
    verifies(&dead.log);
    assert_eq!(messages(&dead.log), parts.accepted());
}

#[test]
fn a_run_of_which_nothing_has_landed_verifies_after_its_recovery() {
    let parts = Parts::new(false);
    // No file, one without a byte, and one with zeros.
    for bytes in [None, Some(0), Some(1 << 20)] {
        let dead = parts.dead();
        let path = dead.log.join(segment_file_name(1));
        match bytes {
            None => fs::remove_file(&path).expect("removed"),
            Some(bytes) => fs::write(&path, vec![0; bytes]).expect("written"),
        }
        let recovery = recovered(&dead);
        assert_eq!((recovery.records, recovery.producers), (50, 2), "{bytes:?}: {recovery}");
        assert_eq!(messages(&dead.log).len(), 50);
    }
}

#[test]
fn a_recovery_that_was_killed_after_any_step_is_done_once_more_and_writes_nothing_twice() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    lose_blocks(&dead.log, 0b101);
    // A part of the segment was written.
    fs::write(dead.log.join("offline.tmp"), vec![7; 10_000]).expect("written");
    assert_eq!(recovered(&dead).records, 30);
    let accepted = parts.accepted();
    // The segment has its name, and nothing else has happened.
    dead.write();
    let recovery = recovered(&dead);
    assert_eq!((recovery.records, recovery.segment), (0, None), "{recovery}");
    assert_eq!(messages(&dead.log), accepted);
    // The log was struck off.
    dead.write();
    change(&dead, (LOGS_OFFSET + LOG_BYTES) as usize, &LOG_ENDED.to_le_bytes());
    assert_eq!(recovered(&dead).segment, None);
    // The ring file is gone.
    dead.write();
    fs::remove_file(&dead.link.path).expect("removed");
    let recovery = recovered(&dead);
    assert!(recovery.to_string().contains("nothing was missing"), "{recovery}");
    assert_eq!(messages(&dead.log), accepted);
    verifies(&dead.log);
}

#[test]
fn a_run_without_a_record_in_its_files_or_rings_leaves_nothing() {
    let parent = directory();
    let path = parent.path().join("log");
    let logger = logger(&path);
    let _producer = logger.producer_named("silent").expect("a producer");
    let dead = Dead::of(&path, rings(&logger));
    assert_eq!(recovered(&dead).segment, None);
    assert!(!dead.log.join("offline.tmp").exists());
}

#[test]
fn a_ring_file_that_is_not_to_be_trusted_is_refused_and_stays() {
    let parts = Parts::new(false);
    type Change = fn(&Dead);
    let cases: [(&str, Change); 10] = [
        ("may be written by others: its mode is 666", |dead| {
            fs::set_permissions(&dead.link.path, fs::Permissions::from_mode(0o666)).expect("ours");
        }),
        ("is no ring file of diolog", |dead| change(dead, 0, b"DLRINGS1")),
        ("this diolog reads version 2 alone", |dead| change(dead, 8, &(VERSION + 1).to_le_bytes())),
        ("begins with a damaged header", |dead| change(dead, 16, &[0xFF; 4])),
        ("its table of logs is damaged", |dead| change(dead, 4096 + 4096 + 40, &[0xFF; 4])),
        ("is not a regular file", |dead| {
            fs::rename(&dead.link.path, dead.rings.join("elsewhere")).expect("renamed");
            std::os::unix::fs::symlink("elsewhere", &dead.link.path).expect("linked");
        }),
        ("has more than one name", |dead| {
            fs::hard_link(&dead.link.path, dead.rings.join("elsewhere")).expect("linked");
        }),
        ("is not a regular file", |dead| {
            fs::remove_file(&dead.link.path).expect("removed");
            let made = std::process::Command::new("mkfifo").arg(&dead.link.path).status().expect("mkfifo");
            assert!(made.success());
        }),
        ("is not a regular file", |dead| {
            fs::remove_file(&dead.link.path).expect("removed");
            fs::create_dir(&dead.link.path).expect("made");
        }),
        ("there is no directory for", |dead| {
            fs::rename(&dead.rings, dead.rings.with_extension("away")).expect("renamed")
        }),
    ];
    for (reason, spoil) in cases {
        let dead = parts.dead();
        let before = messages(&dead.log);
        spoil(&dead);
        let recovery = recover_one(&dead);
        assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{reason}: {recovery}");
        assert!(recovery.to_string().contains(reason), "{reason}: {recovery}");
        assert_eq!(messages(&dead.log), before, "{reason}");
        assert!(dead.link.path.symlink_metadata().is_ok() || !dead.rings.exists(), "{reason}");
        assert_eq!(recover_one(&dead).outcome, RecoveryOutcome::Left, "{reason}: the link is still there");
        // Nobody is kept from logging by that.
        logger(&dead.log).close().expect("closed");
    }
}

#[test]
fn rings_of_another_boot_are_gone() {
    let parts = Parts::new(false);
    let mut dead = parts.dead();
    dead.link.boot = [1; 16];
    dead.write();
    let recovery = recover_one(&dead);
    assert!(recovery.outcome == RecoveryOutcome::Gone && recovery.to_string().contains("restarted"), "{recovery}");
    assert!(recover(&dead.log, None).expect("a log").is_empty() && !dead.link.path.exists());
    // So are those whose file is missing.
    dead.write();
    fs::remove_file(&dead.link.path).expect("removed");
    assert_eq!(recover_one(&dead).outcome, RecoveryOutcome::Gone);
    assert!(recover(&dead.log, None).expect("a log").is_empty());
}

#[test]
fn a_link_that_a_power_cut_brings_back_after_the_runs_end_raises_no_alarm() {
    let parts = Parts::new(false);
    let mut dead = parts.dead();
    recovered(&dead);
    for boot in [dead.link.boot, [1; 16]] {
        dead.link.boot = boot;
        dead.write_link();
        let recovery = recovered(&dead);
        assert!(recovery.to_string().contains("recovered, nothing was missing"), "{recovery}");
        verifies(&dead.log);
    }
}

#[test]
fn rings_of_this_boot_that_are_not_found_keep_their_link_until_they_are_given_up() {
    let parts = Parts::new(false);
    let other = directory();
    // Another directory is named, or the one of the link is empty, as in another container.
    for rings in [Some(other.path()), None] {
        let dead = parts.dead();
        let away = dead.rings.join("away");
        if rings.is_none() {
            fs::rename(&dead.link.path, &away).expect("renamed");
        }
        for _ in 0..2 {
            let [recovery] = recover(&dead.log, rings).expect("a log").try_into().expect("one run");
            assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{recovery}");
            assert!(recovery.to_string().contains("is missing"), "{recovery}");
        }
        if rings.is_none() {
            fs::rename(&away, &dead.link.path).expect("renamed");
        }
        assert_eq!(recovered(&dead).records, 15);
        // Those that are not there are given up without a word about a file, the others with one.
        for is_there in [false, true] {
            dead.write();
            let (named, place) = if is_there { (None, &dead.link.path) } else { (Some(other.path()), &away) };
            let mut hidden = fs::metadata(&dead.link.path).expect("there").permissions();
            hidden.set_mode(if is_there { 0o666 } else { 0o600 });
            fs::set_permissions(&dead.link.path, hidden).expect("ours");
            let [recovery] = forget(&dead.log, named).expect("a log").try_into().expect("one run");
            assert_eq!(recovery.outcome, RecoveryOutcome::Forgotten, "{recovery}");
            let stays = format!("remove {} if nobody needs it", place.display());
            assert_eq!(recovery.to_string().contains(&stays), is_there, "{recovery}");
            assert!(recover(&dead.log, None).expect("a log").is_empty() && dead.link.path.exists());
        }
    }
}

#[test]
fn rings_are_found_in_another_directory() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    let moved = dead.rings.with_extension("moved");
    fs::rename(&dead.rings, &moved).expect("renamed");
    let [recovery] = recover(&dead.log, Some(&moved)).expect("a log").try_into().expect("one run");
    assert_eq!((recovery.outcome, recovery.records), (RecoveryOutcome::Complete, 15), "{recovery}");
    assert_eq!(messages(&dead.log), parts.accepted());
}

#[test]
fn a_ring_file_that_was_cut_off_gives_what_is_left_of_it() {
    let parts = Parts::new(false);
    let accepted = messages(&recover_into(&parts).log);
    let length = fs::metadata(&parts.dead().link.path).expect("there").len();
    let slot = (length - SLOTS_OFFSET) / 2;
    let lengths = [0, 100, 5000, 9000, DEFINITIONS_OFFSET, SLOTS_OFFSET - 1].into_iter();
    let of_slots = [0, 4095, 4096, 4596, 5096, 8192, slot - 1, slot, slot + 4096, slot + 4596, slot + 5096];
    let lengths = lengths.chain(of_slots.map(|bytes| SLOTS_OFFSET + bytes));
    for length in lengths {
        let dead = parts.dead();
        let before = messages(&dead.log);
        let file = fs::File::options().write(true).open(&dead.link.path).expect("there");
        file.set_len(length).expect("cut");
        let recovery = recover_one(&dead);
        assert_ne!(recovery.outcome, RecoveryOutcome::Complete, "{length}: {recovery}");
        let after = messages(&dead.log);
        assert!(before.iter().all(|message| after.contains(message)), "{length}");
        assert!(after.iter().all(|message| accepted.contains(message)), "{length}");
        assert!(after.windows(2).all(|pair| pair[0] != pair[1]), "{length}");
        let code = verify(&dead.log).expect("a log").verdict.exit_code();
        assert_eq!(code, 1, "{length}: no end, and nothing else is wrong");
        let kept = fs::read_dir(&dead.rings).expect("readable").count();
        assert_eq!(kept, 1, "{length}: nothing is deleted that was not recovered");
        // Once more, it finds nothing new.
        for recovery in recover(&dead.log, None).expect("a log") {
            assert_eq!((recovery.outcome, recovery.records), (RecoveryOutcome::Left, 0), "{length}: {recovery}");
        }
        assert_eq!(messages(&dead.log), after, "{length}");
    }
}

/// Changes bytes of the ring file.
pub(super) fn change(dead: &Dead, at: usize, bytes: &[u8]) {
    let file = fs::File::options().write(true).open(&dead.link.path).expect("there");
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, at as u64).expect("written");
}

/// A recovered copy.
fn recover_into(parts: &Parts) -> Dead {
    let dead = parts.dead();
    recovered(&dead);
    dead
}

#[test]
fn a_terabyte_of_holes_takes_no_time_and_no_memory() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    let file = fs::File::options().write(true).open(&dead.link.path).expect("there");
    file.set_len(1 << 40).expect("sparse");
    let slots_end = std::mem::offset_of!(RawHeader, slots_end) as u64;
    std::os::unix::fs::FileExt::write_all_at(&file, &(1_u64 << 40).to_le_bytes(), slots_end).expect("written");
    let recovery = recover_one(&dead);
    assert_eq!((recovery.outcome, recovery.records), (RecoveryOutcome::Damaged, 15), "{recovery}");
    let rings = recovery.rings.expect("a file");
    assert!(rings.exists() && rings.to_string_lossy().ends_with(".damaged"), "{rings:?}");
}

#[test]
fn a_log_in_use_is_not_recovered() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    let logger = logger(&dead.log);
    assert_eq!(logger.recovery().len(), 1);
    dead.write();
    let error = recover(&dead.log, None).expect_err("in use");
    assert!(matches!(error, crate::Error::InUse { .. }), "{error}");
    logger.close().expect("closed");
    // The run that came meanwhile stays as it is, and the dead one is whole already.
    assert_eq!(recovered(&dead).segment, None);
}

/// The log that a child recovers.
const CHILD: &str = "DIOLOG_TEST_RECOVERS_AT_ONCE";

/// The child: recovers the log at `path` as soon as its parent says so.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn recover_when_told(path: &Path) {
    println!("\nready");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("open");
    match recover(path, None) {
        Ok(recoveries) => {
            assert!(recoveries.iter().all(|recovery| recovery.outcome == RecoveryOutcome::Complete), "{recoveries:?}");
        }
        Err(error) => assert!(matches!(error, crate::Error::InUse { .. }), "{error}"),
    }
}

#[test]
fn two_recoveries_at_once_write_each_record_once() {
    if let Some(log) = std::env::var_os(CHILD) {
        return recover_when_told(Path::new(&log));
    }
    let parts = Parts::new(false);
    let dead = parts.dead();
    let mut children = Vec::from([(); 4].map(|()| {
        Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "recovery::tests::two_recoveries_at_once_write_each_record_once", "--nocapture"])
            .env(CHILD, &dead.log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child")
    }));
    // Kept open until they have ended.
    let _outputs = Vec::from_iter(children.iter_mut().map(|child| {
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line == "ready")));
        lines
    }));
    children.iter_mut().for_each(|child| drop(child.stdin.take()));
    assert!(children.into_iter().all(|mut child| child.wait().expect("its end").success()));
    assert_eq!(messages(&dead.log), parts.accepted());
    verifies(&dead.log);
}
