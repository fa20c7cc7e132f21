//! Recoveries of ring files of which a part is damaged: it is said, the rest is in the log, and the file is kept.

use std::fs;
use std::mem::offset_of;

use super::test_rings::{Dead, DeadRing};
use super::tests::{Parts, change, messages, recover_one, recovered, verifies};
use super::{Recovery, RecoveryOutcome, recover};
use crate::crash::layout::{DEFINITIONS_OFFSET, FOR_RECORDER, LOG_OPEN, RawHeader, SLOT_HEADER_BYTES, SLOTS_OFFSET};
use crate::crash::layout::{LOG_BYTES, LOGS_OFFSET};
use crate::format::Kind;
use crate::reader::verify;
use crate::ring::HEAD_BYTES;

/// What a recovery says that found damage, and kept the file.
fn damaged(dead: &Dead) -> Recovery {
    let recovery = recover_one(dead);
    assert_eq!(recovery.outcome, RecoveryOutcome::Damaged, "{recovery}");
    assert!(recovery.rings.exists() && !dead.link.path.exists(), "{recovery:?}");
    recovery
}

#[test]
fn a_damaged_definition_is_reported_and_costs_no_record() {
    let parts = Parts::new(false);
    let payload = DEFINITIONS_OFFSET as usize + 8;
    let end = offset_of!(RawHeader, definitions_end);
    let cases: [(usize, &[u8]); 4] = [
        (payload + 5, &[0xFF]),
        (payload - 8, &[0xFF; 4]),
        (end, &(DEFINITIONS_OFFSET + 12).to_le_bytes()),
        (end, &[0xFF; 8]),
    ];
    for (at, bytes) in cases {
        let dead = parts.dead();
        change(&dead, at, bytes);
        let recovery = damaged(&dead);
        assert!(recovery.to_string().contains("the definition of a callsite"), "{at}: {recovery}");
        assert_eq!(recovery.records, 15, "{at}: {recovery}");
        // What those say that have this callsite is lost, and nothing else.
        let report = verify(&dead.log).expect("a log").report;
        assert_eq!((report.blocks.lost, report.findings.len()), (0, 1), "{at}: {report:#?}");
        assert!(report.findings[0].what.contains("have a callsite that the block does not define"), "{report:#?}");
        assert!(report.runs[0].clean_end && report.runs[0].producers.iter().all(|row| row.holds), "{report:#?}");
        assert_eq!(messages(&dead.log).len(), 50, "{at}");
    }
}

/// The rings of a log that a flight recorder has left a ring beside, whose first record is damaged.
fn with_damaged_recorder(parts: &Parts) -> Vec<DeadRing> {
    let mut ring = DeadRing { producer: 9, purpose: FOR_RECORDER, ..parts.rings[0].clone() };
    ring.bytes[8..16].fill(0xFF);
    [parts.rings.clone(), vec![ring]].concat()
}

#[test]
fn a_damaged_ring_of_the_flight_recorder_is_reported_and_costs_no_record_of_the_log() {
    let parts = Parts::new(false);
    let dead = parts.dead_with(with_damaged_recorder(&parts));
    // A recovery that was killed after it had written everything says the same when it is done once more.
    for records in [15, 0] {
        dead.write();
        let recovery = damaged(&dead);
        assert!(recovery.to_string().contains("the flight recorder's ring of producer 9 is damaged"), "{recovery}");
        assert_eq!(recovery.records, records, "{recovery}");
        verifies(&dead.log);
    }
    assert_eq!(messages(&dead.log), parts.accepted());
}

#[test]
fn a_record_of_the_flight_recorder_that_no_reader_would_find_valid_is_reported_and_left_out() {
    let parts = Parts::new(false);
    // The first record is of a callsite: its values are cut, or its callsite's number is 0, or it has no level.
    let cases: [(usize, &[u8]); 3] = [(0, &[18]), (HEAD_BYTES, &[0; 4]), (4, &[Kind::Message as u8, 0])];
    for (at, bytes) in cases {
        let mut ring = DeadRing { producer: 9, purpose: FOR_RECORDER, ..parts.rings[1].clone() };
        ring.bytes[at..][..bytes.len()].copy_from_slice(bytes);
        let dead = parts.dead_with([parts.rings.clone(), vec![ring]].concat());
        let recovery = damaged(&dead);
        let what = "the flight recorder's ring of producer 9 is damaged: some records in it are invalid";
        assert!(recovery.to_string().contains(what), "{at}: {recovery}");
        let snapshot = recovery.snapshot.expect("a snapshot");
        verifies(&snapshot);
        assert_eq!(messages(&snapshot).len(), 29, "{at}");
    }
}

#[test]
fn what_was_damaged_is_known_to_a_recovery_that_goes_on_after_a_kill() {
    let parts = Parts::new(false);
    let dead = parts.dead_with(with_damaged_recorder(&parts));
    let kept = damaged(&dead).rings;
    // The log's entry was marked, and nothing has happened since.
    fs::rename(kept, &dead.link.path).expect("renamed");
    dead.write_link();
    let recovery = damaged(&dead);
    assert!(recovery.to_string().contains("an earlier recovery has found"), "{recovery}");
}

#[test]
fn the_recovery_of_another_log_does_not_remove_a_file_that_is_damaged() {
    let logs = [Parts::new(false), Parts::new(false)];
    // In turns, the first log's part and the second one's is damaged.
    for outcomes in
        [[RecoveryOutcome::Damaged, RecoveryOutcome::Complete], [RecoveryOutcome::Complete, RecoveryOutcome::Damaged]]
    {
        let [first, mut second] = logs.each_ref().map(Parts::dead);
        second.link.path.clone_from(&first.link.path);
        Dead::write_all(&[&first, &second]);
        let rings_before = if outcomes[0] == RecoveryOutcome::Damaged { &[] } else { &first.dead_rings[..] };
        let before: u64 = rings_before.iter().map(|ring| SLOT_HEADER_BYTES + ring.bytes.len() as u64).sum();
        change(&first, (SLOTS_OFFSET + before + SLOT_HEADER_BYTES) as usize + 8, &[0xFF; 8]);
        let recoveries = [recover_one(&first), recover_one(&second)];
        assert_eq!(recoveries.each_ref().map(|recovery| recovery.outcome), outcomes, "{recoveries:?}");
        let files: Vec<_> = fs::read_dir(&first.rings).expect("readable").collect();
        assert_eq!(files.len(), 1, "{recoveries:?}");
        assert!(!first.link.path.exists() && recoveries[1].rings.exists(), "{recoveries:?}");
        assert!(recover(&first.log, None).expect("a log").is_empty());
    }
}

#[test]
fn a_log_whose_state_makes_no_sense_is_recovered() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    change(&dead, (LOGS_OFFSET + LOG_BYTES) as usize, &(LOG_OPEN | 1 << 20).to_le_bytes());
    assert_eq!(recovered(&dead).records, 15);
    assert_eq!(messages(&dead.log), parts.accepted());
}

#[test]
fn a_ring_file_of_another_user_is_refused_and_stays() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    if let Err(error) = std::os::unix::fs::chown(&dead.link.path, Some(65_534), None) {
        crate::sys::test_report::not_shown("a ring file of another user is refused", error);
        return;
    }
    let before = messages(&dead.log);
    let recovery = recover_one(&dead);
    assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{recovery}");
    assert!(recovery.to_string().contains("belongs to user 65534: recover the log as that user"), "{recovery}");
    assert!(dead.link.path.exists() && messages(&dead.log) == before);
    assert!(verify(&dead.log).expect("a log").verdict.exit_code() <= 1);
    // Once it is this user's again, it is recovered.
    let own = fs::metadata(&dead.log).map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata)).expect("there");
    std::os::unix::fs::chown(&dead.link.path, Some(own), None).expect("root may");
    assert_eq!(recovered(&dead).records, 15);
}
