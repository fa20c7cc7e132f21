//! Recoveries of ring files of which a part is damaged: it is said, the rest is in the log, and the file is kept.

use std::fs;
use std::mem::offset_of;

use super::test_rings::{Dead, DeadRing};
use super::tests::{Message, Parts, change, messages, recover_one, recovered, verifies};
use super::{Recovery, RecoveryOutcome, recover, sweep};
use crate::crash::layout::{
    CONTROL_OFFSET, DEFINITIONS_OFFSET, FOR_RECORDER, LOG_BYTES, LOG_DAMAGED, LOG_ENDED, LOG_FREE, LOG_OPEN,
    LOGS_OFFSET, RawHeader, RawLog, RawSlot, SLOT_FREE, SLOT_HEADER_BYTES, SLOTS_OFFSET, log_offset,
};
use crate::format::{Kind, segment_file_name};
use crate::reader::{Verdict, verify};
use crate::ring::HEAD_BYTES;
use crate::ring::image::{CONTROL_BYTES, words};

/// What a recovery says that found damage, and kept the file.
fn damaged(dead: &Dead) -> Recovery {
    let recovery = recover_one(dead);
    assert_eq!(recovery.outcome, RecoveryOutcome::Damaged, "{recovery}");
    assert!(recovery.rings.as_ref().is_some_and(|rings| rings.exists()) && !dead.link.path.exists(), "{recovery:?}");
    recovery
}

#[test]
fn a_damaged_definition_is_reported_and_costs_no_record() {
    let parts = Parts::new(false);
    let payload = DEFINITIONS_OFFSET as usize + 8;
    let end = offset_of!(RawHeader, definitions_end);
    let cases: [(usize, &[u8], bool); 4] = [
        (payload + 5, &[0xFF], true),
        (payload - 8, &[0xFF; 4], true),
        (end, &(DEFINITIONS_OFFSET + 12).to_le_bytes(), false),
        (end, &[0xFF; 8], false),
    ];
    for (at, bytes, is_lost) in cases {
        let dead = parts.dead();
        change(&dead, at, bytes);
        let recovery = damaged(&dead);
        assert!(recovery.to_string().contains("the definition of a callsite"), "{at}: {recovery}");
        assert_eq!(recovery.records, 15, "{at}: {recovery}");
        // What those say that have this callsite is lost, and nothing else.
        let report = verify(&dead.log).expect("a log").report;
        assert_eq!((report.blocks.lost, report.findings.len()), (0, usize::from(is_lost)), "{at}: {report:#?}");
        let is_undefined = |what: &str| what.contains("have a callsite that the block does not define");
        assert!(report.findings.iter().all(|finding| is_undefined(&finding.what)), "{report:#?}");
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
    let kept = damaged(&dead).rings.expect("a file");
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
        let kept = recoveries[1].rings.as_ref().expect("a file");
        assert!(!first.link.path.exists() && kept.exists(), "{recoveries:?}");
        assert!(recover(&first.log, None).expect("a log").is_empty());
    }
}

#[test]
fn a_log_whose_state_makes_no_sense_is_recovered() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    let state = (LOGS_OFFSET + LOG_BYTES) as usize;
    change(&dead, state, &LOG_DAMAGED.to_le_bytes());
    assert_eq!(damaged(&dead).records, 15);
    for value in [LOG_OPEN | 1 << 20, LOG_FREE, LOG_ENDED] {
        let dead = parts.dead();
        change(&dead, state, &value.to_le_bytes());
        assert_eq!(recovered(&dead).records, 15, "{value}");
    }
    assert_eq!(messages(&dead.log), parts.accepted());
}

/// Damages of the first log's entry: what is written from its first byte on.
fn damages_of_entry() -> [(&'static str, Vec<u8>); 6] {
    let with_state = |state: u32| [&state.to_le_bytes()[..], &[0; 4]].concat();
    [
        ("its state and its checksum are zeros", vec![0; 8]),
        ("all of it is zeros", vec![0; LOG_BYTES as usize]),
        ("all of it is something else", vec![0xFF; LOG_BYTES as usize]),
        ("it claims to be open", with_state(LOG_OPEN)),
        ("it claims to have ended", with_state(LOG_ENDED)),
        ("it claims to be damaged", with_state(LOG_DAMAGED)),
    ]
}

#[test]
fn a_damaged_entry_in_the_table_of_logs_keeps_the_rings() {
    let parts = Parts::new(false);
    let slot = SLOTS_OFFSET as usize + offset_of!(RawSlot, crc);
    for (what, damage) in damages_of_entry() {
        for is_slot_damaged in [false, true] {
            let dead = parts.dead();
            change(&dead, log_offset(1) as usize, &damage);
            if is_slot_damaged {
                change(&dead, slot, &[0xFF; 4]);
            }
            let recovery = recover_one(&dead);
            assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{what}: {recovery}");
            assert!(recovery.to_string().contains("its table of logs is damaged"), "{what}: {recovery}");
            sweep(&dead.rings);
            assert!(dead.link.path.exists(), "{what}");
            let [recovery] = recover(&dead.log, None).expect("a log").try_into().expect("the link stays");
            assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{what}: {recovery}");
            // The file as it was.
            dead.write();
            assert_eq!(recovered(&dead).records, 15, "{what}");
        }
    }
    // The damage of a log without rings has cost nothing.
    let dead = parts.dead_with(Vec::new());
    change(&dead, log_offset(1) as usize, &[0; LOG_BYTES as usize]);
    assert_eq!(recovered(&dead).records, 0);
}

#[test]
fn the_recovery_of_another_log_does_not_remove_a_file_whose_table_of_logs_is_damaged() {
    let logs = [Parts::new(false), Parts::new(false)];
    for (what, damage) in damages_of_entry() {
        let [first, mut second] = logs.each_ref().map(Parts::dead);
        second.link.path.clone_from(&first.link.path);
        Dead::write_all(&[&first, &second]);
        change(&first, log_offset(1) as usize, &damage);
        let recovery = recover_one(&second);
        assert_eq!((recovery.outcome, recovery.records), (RecoveryOutcome::Complete, 15), "{what}: {recovery}");
        let recovery = recover_one(&first);
        assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{what}: {recovery}");
        assert!(first.link.path.exists(), "{what}");
        Dead::write_all(&[&first, &second]);
        assert_eq!(recover_one(&first).records, 15, "{what}");
        assert_eq!(recover_one(&second).records, 0, "{what}");
        assert!(!first.link.path.exists(), "{what}");
    }
}

#[test]
fn a_ring_with_records_that_looks_unused_is_damaged() {
    let parts = Parts::new(false);
    let of_recorder = DeadRing { producer: 9, purpose: FOR_RECORDER, ..parts.rings[0].clone() };
    let rings = [parts.rings.clone(), vec![of_recorder]].concat();
    for (at, overwrites) in [(0, false), (0, true), (2, false)] {
        for has_segment in [true, false] {
            let mut rings = rings.clone();
            rings[at].control.fill(0);
            rings[at].overwrites = overwrites;
            let dead = parts.dead_with(rings.clone());
            if !has_segment {
                fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
            }
            let recovery = damaged(&dead);
            let said = format!("ring of producer {} is damaged: it has records, and claims", rings[at].producer);
            assert!(recovery.to_string().contains(&said), "{at}: {recovery}");
        }
    }
    // One that was never used, or in which the process was about to commit the first record, has lost nothing.
    for has_begun in [true, false] {
        let mut rings = rings.clone();
        rings[0].control.fill(0);
        if has_begun {
            words::set(&mut rings[0].control, words::APPEND_FLAG, 1);
        } else {
            rings[0].bytes.fill(0);
        }
        let dead = parts.dead_with(vec![DeadRing { producer: 7, ..rings[0].clone() }, rings[1].clone()]);
        fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
        recovered(&dead);
    }
}

#[test]
fn counts_and_positions_that_contradict_the_records_are_damage_of_their_ring_alone() {
    let parts = Parts::new(false);
    let records: u64 = 20;
    let bytes = 40;
    let write_position = words::get(&parts.rings[0].control, words::WRITE_POSITION);
    assert_eq!(write_position, records * bytes, "so many records of this size");
    let none = 15 * bytes;
    let as_if_none =
        [(words::READ_POSITION, none), (words::WRITE_POSITION, none), (words::NEXT_SEQUENCE, 0), (words::ATTEMPTED, 0)];
    let cases: [(&str, &[(usize, u64)]); 11] = [
        ("blocks have more records than were counted", &as_if_none),
        ("the last record is cut off", &[(words::WRITE_POSITION, (records - 1) * bytes)]),
        ("so are two", &[(words::WRITE_POSITION, (records - 2) * bytes)]),
        ("all are", &[(words::WRITE_POSITION, 0)]),
        ("the first one that no block has is passed over", &[(words::READ_POSITION, 16 * bytes)]),
        ("there were more attempts", &[(words::NEXT_SEQUENCE, records + 2), (words::ATTEMPTED, records + 2)]),
        ("the two counts of attempts differ", &[(words::NEXT_SEQUENCE, u64::MAX)]),
        ("so they do", &[(words::ATTEMPTED, records + 2)]),
        ("more was lost than was attempted", &[(words::DROPPED_FULL, 1 << 40)]),
        ("a record that was dropped is there", &[(words::DROPPED_FULL, 1)]),
        ("a ring that keeps its oldest records has lost one", &[(words::OVERWRITTEN, 1)]),
    ];
    for (what, changes) in cases {
        for has_segment in [true, false] {
            let mut rings = parts.rings.clone();
            changes.iter().for_each(|(at, word)| words::set(&mut rings[0].control, *at, *word));
            let dead = parts.dead_with(rings);
            if !has_segment {
                // Then what a ring has released may have been in a segment that is gone.
                if changes[0].0 == words::READ_POSITION {
                    continue;
                }
                fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
            }
            let recovery = damaged(&dead);
            let said = recovery.to_string();
            assert!(said.contains("the ring of producer 1 is damaged: its counts do not fit"), "{what}: {recovery}");
            assert_eq!((recovery.producers, recovery.unwritten), (1, 0), "{what}: {recovery}");
            let report = verify(&dead.log).expect("a log").report;
            assert!(!report.runs[0].clean_end && report.verdict() == Verdict::Unconfirmed, "{what}: {report:#?}");
            assert!(report.runs[0].producers.iter().all(|row| row.ended == (row.id == 2)), "{what}: {report:#?}");
        }
    }
}

#[test]
fn a_slot_whose_state_is_damaged_is_read_and_reported() {
    let parts = Parts::new(false);
    let state = SLOTS_OFFSET as usize + offset_of!(RawSlot, state);
    for value in [SLOT_FREE, 2, 1 << 31] {
        let dead = parts.dead();
        change(&dead, state, &value.to_le_bytes());
        let recovery = damaged(&dead);
        assert!(recovery.to_string().contains("the ring of producer 1 has a damaged state"), "{value}: {recovery}");
        assert_eq!(recovery.records, 15, "{value}: {recovery}");
        assert_eq!(messages(&dead.log).len(), 50, "{value}");
    }
    // A free slot whose ring is empty belongs to nobody.
    let mut rings = parts.rings.clone();
    let empty = DeadRing { producer: 9, control: [0; CONTROL_BYTES], ..rings[0].clone() };
    rings.insert(0, empty);
    let dead = parts.dead_with(rings);
    change(&dead, state, &SLOT_FREE.to_le_bytes());
    assert_eq!(recovered(&dead).records, 15);
    assert_eq!(messages(&dead.log), parts.accepted());
}

#[test]
fn zeros_in_place_of_a_slots_description_are_no_free_slot() {
    let parts = Parts::new(false);
    let state = offset_of!(RawSlot, state);
    // Without the ring's control lines, and with them: the rest of the page.
    for bytes in [size_of::<RawSlot>() - state, SLOT_HEADER_BYTES as usize - state] {
        let dead = parts.dead();
        change(&dead, SLOTS_OFFSET as usize + state, &vec![0; bytes]);
        let recovery = damaged(&dead);
        assert!(recovery.to_string().contains("has a damaged description"), "{bytes}: {recovery}");
        assert!((1..15).contains(&recovery.records), "those of the other ring: {recovery}");
        assert_eq!(verify(&dead.log).expect("a log").verdict, Verdict::Unconfirmed, "{bytes}");
    }
}

#[test]
fn an_end_of_the_rings_that_is_too_low_hides_none_of_them() {
    let parts = Parts::new(false);
    let slot = SLOT_HEADER_BYTES + parts.rings[0].bytes.len() as u64;
    let end = offset_of!(RawHeader, slots_end);
    for bytes in [0, slot] {
        let dead = parts.dead();
        change(&dead, end, &(SLOTS_OFFSET + bytes).to_le_bytes());
        assert_eq!(recovered(&dead).records, 15, "{bytes}");
    }
    let dead = parts.dead();
    change(&dead, end, &(SLOTS_OFFSET + slot + 8).to_le_bytes());
    let recovery = damaged(&dead);
    assert!(recovery.to_string().contains("does not say where its last ring ends"), "{recovery}");
    assert_eq!(messages(&dead.log), parts.accepted());
}

/// The bytes of the ring file that a recovery goes by, but for those of records.
fn places_of_account(dead: &Dead) -> impl Iterator<Item = usize> + use<> {
    let range = |begin: u64, bytes: usize| begin as usize..begin as usize + bytes;
    let path_bytes = dead.log.as_os_str().len();
    // Every byte of the first slot, and some of the second one.
    let of_slots = [(SLOTS_OFFSET, 1), (SLOTS_OFFSET + SLOT_HEADER_BYTES + dead.dead_rings[0].bytes.len() as u64, 11)];
    let header = range(0, size_of::<RawHeader>());
    let entry = range(log_offset(1), size_of::<RawLog>() + path_bytes);
    let others = range(log_offset(0), 8).chain(range(log_offset(2), 8));
    let slots = of_slots.into_iter().flat_map(move |(at, step)| {
        let heads = range(at, 80).chain(range(at + CONTROL_OFFSET, CONTROL_BYTES));
        heads.step_by(step).chain(range(at, SLOT_HEADER_BYTES as usize).step_by(61 * step))
    });
    header.chain(entry).chain(others).chain(range(DEFINITIONS_OFFSET, 100)).chain(slots)
}

/// A recovery from a ring file that was damaged at one place.
struct Damaged<'a> {
    dead: &'a Dead,
    at: usize,
    recovery: Recovery,
    /// What the log holds if nothing is damaged.
    accepted: &'a [Message],
    after: Vec<Message>,
}

/// Checks that the damage is reported, and the file kept, or that it has cost nothing.
fn is_reported_or_costs_nothing(Damaged { dead, at, recovery, accepted, after }: Damaged<'_>) {
    let is_kept = fs::read_dir(&dead.rings).expect("readable").count() == 1;
    let is_reported = matches!(recovery.outcome, RecoveryOutcome::Damaged | RecoveryOutcome::Left) && is_kept;
    assert!(is_reported || after == accepted, "{at:#x}: {recovery}");
}

/// Damages a log's ring file at each of the `places` in turn, recovers the log, and checks that it holds what it held
/// before. Then calls `check`.
fn damage_at<P: Iterator<Item = usize>>(
    places: impl FnOnce(&Dead) -> P,
    damage: impl Fn(&Dead, usize),
    check: impl Fn(Damaged<'_>),
) {
    let parts = Parts::new(false);
    let dead = &parts.dead_in_memory();
    let before = messages(&dead.log);
    recovered(dead);
    let accepted = &messages(&dead.log);
    for at in places(dead) {
        for entry in fs::read_dir(&dead.rings).expect("readable") {
            fs::remove_file(entry.expect("an entry").path()).expect("removed");
        }
        let _ = fs::remove_file(dead.log.join(segment_file_name(2)));
        dead.write();
        damage(dead, at);
        let recovery = recover_one(dead);
        let after = messages(&dead.log);
        assert!(before.iter().all(|message| after.contains(message)), "{at}: {recovery}");
        check(Damaged { dead, at, recovery, accepted, after });
    }
}

fn flip_bit(dead: &Dead, at: usize) {
    change(dead, at, &[dead.byte(at) ^ 1 << (at % 8)]);
}

#[test]
fn a_flipped_bit_of_the_account_in_a_ring_file_is_reported_or_costs_nothing() {
    damage_at(places_of_account, flip_bit, is_reported_or_costs_nothing);
}

#[test]
fn zeros_in_the_tables_of_a_ring_file_are_reported_or_cost_nothing() {
    let places = |dead: &Dead| {
        let entry = size_of::<RawLog>() + dead.log.as_os_str().len();
        let tables = [(0, size_of::<RawHeader>()), (log_offset(1), entry), (SLOTS_OFFSET, 64)];
        tables.into_iter().flat_map(|(at, bytes)| (at as usize..at as usize + bytes).step_by(4))
    };
    for bytes in [8, 16] {
        damage_at(places, |dead, at| change(dead, at, &vec![0; bytes]), is_reported_or_costs_nothing);
    }
}

#[test]
fn a_flipped_bit_of_a_record_in_a_ring_changes_no_other_one() {
    let window = (SLOTS_OFFSET + SLOT_HEADER_BYTES) as usize;
    // Records have no checksum: a changed one may be kept as it is.
    let places = (window + 600..window + 800).step_by(7);
    damage_at(
        |_| places,
        flip_bit,
        |Damaged { at, recovery, accepted, after, .. }| {
            let missing = accepted.iter().filter(|message| !after.contains(message)).count();
            assert!(recovery.outcome == RecoveryOutcome::Damaged || missing <= 1, "{at}: {recovery}");
        },
    );
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
