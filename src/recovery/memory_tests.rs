//! A recovery takes little memory, whatever a ring file claims to have.

use std::fs::File;
use std::mem::offset_of;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::bounds::PRODUCERS_AT_ONCE;
use super::test_rings::Dead;
use super::tests::{Parts, change, verifies};
use super::{Recovery, RecoveryOutcome, recover};
use crate::crash::layout::{
    CONTROL_OFFSET, FOR_LOG, FOR_RECORDER, PAGE_BYTES, RawDefinition, RawHeader, RawSlot, SLOT_HEADER_BYTES, SLOT_USED,
};
use crate::format::{
    CallsiteParts, Kind, NAME_BYTES_MAX, ProducerRow, SegmentHeader, WallAnchor, checksum, padded, segment_file_name,
};
use crate::level::Level;
use crate::reader::Record;
use crate::ring::image::{CONTROL_BYTES, words};
use crate::segment::{Header, OfflineSegment};
use crate::sys::directory::OpenDirectory;

/// The log that the child recovers.
const CHILD: &str = "DIOLOG_TEST_RECOVERS";

/// The most memory of the process that recovers.
const MEMORY_KIB_MAX: u64 = 64 << 10;

/// A ring that is added to the file.
struct Ring<'a> {
    purpose: u32,
    producer: u32,
    /// Each byte of the producer's name, which has the longest length.
    name: u8,
    /// The number of the first record; those before it are gone.
    first: u64,
    /// The records, all of 32 bytes.
    records: &'a [u8],
}

/// Adds rings to the file.
fn add_rings<'a>(dead: &Dead, rings: impl Iterator<Item = Ring<'a>>) {
    let file = File::options().read(true).write(true).open(&dead.link.path).expect("there");
    let mut at = file.metadata().expect("there").len();
    for Ring { purpose, producer, name, first, records } in rings {
        let window_bytes = (records.len() as u64).next_power_of_two().max(PAGE_BYTES);
        let (read, attempted) = (32 * first, first + records.len() as u64 / 32);
        let mut control = [0; CONTROL_BYTES];
        let counts = [(words::NEXT_SEQUENCE, attempted), (words::ATTEMPTED, attempted)];
        let positions = [(words::READ_POSITION, read), (words::WRITE_POSITION, read + records.len() as u64)];
        counts.into_iter().chain(positions).for_each(|(at, word)| words::set(&mut control, at, word));
        let mut raw = RawSlot::new_zeroed();
        raw.window_bytes = U64::new(window_bytes);
        raw.sizes_crc = U32::new(raw.sizes_checksum());
        raw.state = U32::new(SLOT_USED);
        (raw.log, raw.purpose, raw.producer) = (U32::new(1), U32::new(purpose), U32::new(producer));
        raw.name_bytes = U16::new(NAME_BYTES_MAX as u16);
        raw.name = [name; _];
        raw.crc = U32::new(raw.checksum().expect("as long as it may be"));
        for (part, bytes) in [(0, raw.as_bytes()), (CONTROL_OFFSET, &control), (SLOT_HEADER_BYTES + read, records)] {
            file.write_all_at(bytes, at + part).expect("written");
        }
        at += SLOT_HEADER_BYTES + window_bytes;
        file.set_len(at).expect("sparse");
    }
    change(dead, offset_of!(RawHeader, slots_end), &at.to_le_bytes());
}

/// A record with this number. It is one of the callsite, or a message of 8 bytes.
fn record(sequence: u64, ticks: u64, callsite: Option<u32>) -> [u8; 32] {
    let mut record = [0; 32];
    let (length, kind) = if callsite.is_some() { (4, Kind::Structured) } else { (8, Kind::Message) };
    record[0] = length;
    record[4..6].copy_from_slice(&[kind as u8, Level::Info as u8]);
    record[8..16].copy_from_slice(&sequence.to_le_bytes());
    record[16..24].copy_from_slice(&ticks.to_le_bytes());
    record[24..28].copy_from_slice(&callsite.unwrap_or_default().to_le_bytes());
    record
}

/// Adds `count` rings to the file. Each one's producer has a name of this byte, has made one record that is gone, and
/// another one that is in the ring, of the callsites from [`FIRST_CALLSITE`] on if it `has_callsite`.
fn add_small_rings(dead: &Dead, purpose: u32, name: u8, has_callsite: bool, count: usize) {
    let records: Vec<_> =
        (0..count as u32).map(|number| record(1, 0, has_callsite.then_some(FIRST_CALLSITE + number))).collect();
    let numbered = (100..).zip(&records);
    add_rings(dead, numbered.map(|(producer, records)| Ring { purpose, producer, name, first: 1, records }));
}

/// The id of the first callsite that is added to the file.
const FIRST_CALLSITE: u32 = 1000;

/// Adds `count` callsites to the file. With 1,200 bytes each, the most that fit a file are some 49,000.
fn add_definitions(dead: &Dead, count: usize) {
    let file = File::options().read(true).write(true).open(&dead.link.path).expect("there");
    let mut end = [0; 8];
    let end_at = offset_of!(RawHeader, definitions_end);
    file.read_exact_at(&mut end, end_at as u64).expect("a header");
    let mut at = u64::from_le_bytes(end);
    for number in 0..count as u32 {
        let template = format!("{number:0>1100}");
        let id = FIRST_CALLSITE + number;
        let parts =
            CallsiteParts { id, level: 3, line: 1, target: "shop", file: "a.rs", template: &template, fields: &[] };
        let mut payload = Vec::new();
        parts.encode(usize::MAX, &mut payload);
        let raw = RawDefinition { bytes: U32::new(payload.len() as u32), crc: U32::new(checksum(&payload)) };
        payload.resize(padded(payload.len()), 0);
        file.write_all_at(&[raw.as_bytes(), &payload].concat(), at).expect("written");
        at += (size_of::<RawDefinition>() + payload.len()) as u64;
    }
    change(dead, end_at, &at.to_le_bytes());
}

/// Recovers a log whose ring file has too many rings.
fn recover_some(log: &Path) -> Recovery {
    let [recovery] = recover(log, None).expect("a log").try_into().expect("one run");
    assert_eq!(recovery.outcome, RecoveryOutcome::Damaged, "{recovery}");
    assert!(recovery.to_string().contains("it claims to have more rings of the log than a log can have"), "{recovery}");
    recovery
}

/// The peak of the memory that this process has taken is within the limit.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn check_memory() {
    let status = std::fs::read_to_string("/proc/self/status").expect("there");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    println!("\nrecovered with{peak}");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib <= MEMORY_KIB_MAX, "{kib} KiB");
}

/// Runs `test` again in a child, which recovers the log.
fn recover_in_child(test: &str, log: &Path) {
    // With one thread, the allocator has one heap.
    let child = std::process::Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", &format!("recovery::memory_tests::{test}"), "--nocapture", "--test-threads=1"])
        .env(CHILD, log)
        .output()
        .expect("a child");
    assert!(child.status.success(), "{child:?}");
}

#[test]
fn a_file_that_claims_more_rings_than_a_log_can_have_is_recovered_in_bounded_memory() {
    if let Some(log) = std::env::var_os(CHILD) {
        let recovery = recover_some(Path::new(&log));
        assert_eq!(recovery.producers, PRODUCERS_AT_ONCE as u64, "{recovery}");
        // One of each ring, and those of the two producers that are real.
        assert_eq!(recovery.records, PRODUCERS_AT_ONCE as u64 - 2 + 50, "{recovery}");
        assert!(recovery.snapshot.is_some(), "{recovery}");
        return check_memory();
    }
    let parts = Parts::new(false);
    let dead = parts.dead();
    // The rings are then the only account of the run.
    std::fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
    add_definitions(&dead, PRODUCERS_AT_ONCE);
    add_small_rings(&dead, FOR_LOG, b'n', true, PRODUCERS_AT_ONCE - 2);
    add_small_rings(&dead, FOR_RECORDER, b'n', true, PRODUCERS_AT_ONCE + 1);
    recover_in_child("a_file_that_claims_more_rings_than_a_log_can_have_is_recovered_in_bounded_memory", &dead.log);
    verifies(&dead.log);
    let callsite = |record: Record| record.callsite().map(|callsite| callsite.template().len());
    for path in [&dead.log, &crate::reader::snapshots(&dead.log).expect("a log")[0].path] {
        let records = crate::reader::Reader::open(path).expect("readable").map(|record| record.expect("a record"));
        let defined = records.filter_map(callsite).filter(|length| *length == 1100).count();
        assert!(defined >= PRODUCERS_AT_ONCE - 2, "{defined} in {}", path.display());
    }
}

#[test]
fn what_a_recorders_rings_hold_is_recovered_in_bounded_memory() {
    const RINGS: u64 = 40;
    const RECORDS: u64 = (2 << 20) / 32;
    if let Some(log) = std::env::var_os(CHILD) {
        let [recovery] = recover(Path::new(&log), None).expect("a log").try_into().expect("one run");
        assert_eq!(recovery.outcome, RecoveryOutcome::Complete, "{recovery}");
        return check_memory();
    }
    let parts = Parts::new(false);
    let dead = parts.dead();
    // All of them take turns.
    let begin = crate::clock::Clock::detect().ticks() - RECORDS * RINGS;
    for ring in 0..RINGS {
        let ticks = |sequence| begin + sequence * RINGS + ring;
        let records: Vec<_> = (0..RECORDS).flat_map(|sequence| record(sequence, ticks(sequence), None)).collect();
        let (purpose, producer) = (FOR_RECORDER, 100 + ring as u32);
        add_rings(&dead, std::iter::once(Ring { purpose, producer, name: b'n', first: 0, records: &records }));
    }
    recover_in_child("what_a_recorders_rings_hold_is_recovered_in_bounded_memory", &dead.log);
    let snapshots = crate::reader::snapshots(&dead.log).expect("a log");
    let [snapshot] = &snapshots[..] else { panic!("{snapshots:?}") };
    assert_eq!((snapshot.records, &snapshot.fault), (RINGS * RECORDS, &None));
}

#[test]
fn rings_beyond_those_that_a_log_can_have_are_damage_and_cost_no_other_record() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    std::fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
    // No UTF-8, so that each byte of the name would become three.
    add_small_rings(&dead, FOR_LOG, 0xFF, false, PRODUCERS_AT_ONCE);
    let recovery = recover_some(&dead.log);
    assert_eq!(recovery.records, PRODUCERS_AT_ONCE as u64 - 2 + 50, "{recovery}");
    assert_eq!(recovery.rings.as_ref().and_then(|rings| rings.extension()), Some("damaged".as_ref()), "{recovery}");
    let report = crate::reader::verify(&dead.log).expect("a log").report;
    let names = report.runs[0].producers.iter().map(|row| row.name.len());
    assert_eq!(names.max(), Some(NAME_BYTES_MAX / 3 * 3));
}

#[test]
fn a_run_whose_blocks_have_more_producers_than_a_log_can_have_is_left() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    std::fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
    let row = |id| ProducerRow { id, next_sequence: 1, records: 1, ..ProducerRow::default() };
    let write = |count: usize| {
        let rows: Vec<_> = (1..=count as u32).map(row).collect();
        let header = Header {
            segment: &SegmentHeader { run: dead.link.run, ..SegmentHeader::example(1) },
            anchor: WallAnchor { monotonic_ns: U64::new(1), unix_ns: I64::new(1) },
            device: None,
            producers: &rows.as_slice(),
            now_ns: 1,
            control_sequence: 0,
        };
        let directory = &OpenDirectory::open(&dead.log).expect("a directory");
        OfflineSegment { directory, header, segment_id: 77, direct: false }.write(0, []).expect("written");
    };
    for (count, why) in
        [(PRODUCERS_AT_ONCE + 1, "more producers than a log can have"), (PRODUCERS_AT_ONCE, "of another log")]
    {
        write(count);
        let [recovery] = recover(&dead.log, None).expect("a log").try_into().expect("one run");
        assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{recovery}");
        assert!(recovery.to_string().contains(why), "{count}: {recovery}");
        std::fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
    }
}
