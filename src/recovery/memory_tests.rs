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
    CONTROL_OFFSET, FOR_LOG, FOR_RECORDER, PAGE_BYTES, RawHeader, RawSlot, SLOT_HEADER_BYTES, SLOT_USED,
};
use crate::format::{Kind, NAME_BYTES_MAX, ProducerRow, SegmentHeader, WallAnchor, segment_file_name};
use crate::level::Level;
use crate::ring::image::{CONTROL_BYTES, words};
use crate::segment::{Header, OfflineSegment};
use crate::sys::directory::OpenDirectory;

/// The log that the child recovers.
const CHILD: &str = "DIOLOG_TEST_RECOVERS";

/// The most memory of the process that recovers.
const MEMORY_KIB_MAX: u64 = 64 << 10;

/// Bytes of the smallest slot.
const SLOT_BYTES: u64 = SLOT_HEADER_BYTES + PAGE_BYTES;

/// Adds `count` rings to the file. Each one's producer has the longest name, of this byte, has made one record that is
/// gone, and another one that is in the ring.
fn add_rings(dead: &Dead, purpose: u32, name: u8, count: usize) {
    let file = File::options().read(true).write(true).open(&dead.link.path).expect("there");
    let begin = file.metadata().expect("there").len();
    let end = begin + count as u64 * SLOT_BYTES;
    file.set_len(end).expect("sparse");
    let mut record = vec![0; 32];
    record[0] = 8;
    record[4..6].copy_from_slice(&[Kind::Message as u8, Level::Info as u8]);
    record[8] = 1;
    let mut control = [0; CONTROL_BYTES];
    let counts = [(words::NEXT_SEQUENCE, 2), (words::ATTEMPTED, 2)];
    let positions = [(words::READ_POSITION, 32), (words::WRITE_POSITION, 64)];
    counts.into_iter().chain(positions).for_each(|(at, word)| words::set(&mut control, at, word));
    for number in 0..count {
        let mut raw = RawSlot::new_zeroed();
        raw.window_bytes = U64::new(PAGE_BYTES);
        raw.sizes_crc = U32::new(raw.sizes_checksum());
        raw.state = U32::new(SLOT_USED);
        (raw.log, raw.purpose) = (U32::new(1), U32::new(purpose));
        raw.producer = U32::new(100 + number as u32);
        raw.name_bytes = U16::new(NAME_BYTES_MAX as u16);
        raw.name = [name; _];
        raw.crc = U32::new(raw.checksum().expect("as long as it may be"));
        let at = begin + number as u64 * SLOT_BYTES;
        for (part, bytes) in [(0, raw.as_bytes()), (CONTROL_OFFSET, &control), (SLOT_HEADER_BYTES + 32, &record)] {
            file.write_all_at(bytes, at + part).expect("written");
        }
    }
    change(dead, offset_of!(RawHeader, slots_end), &end.to_le_bytes());
}

/// Recovers a log whose ring file has too many rings.
fn recover_some(log: &Path) -> Recovery {
    let [recovery] = recover(log, None).expect("a log").try_into().expect("one run");
    assert_eq!(recovery.outcome, RecoveryOutcome::Damaged, "{recovery}");
    assert!(recovery.to_string().contains("it claims to have more rings of the log than a log can have"), "{recovery}");
    recovery
}

#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn recover_in_child(log: &Path) {
    let recovery = recover_some(log);
    assert_eq!(recovery.producers, PRODUCERS_AT_ONCE as u64, "{recovery}");
    // One of each ring, and those of the two producers that are real.
    assert_eq!(recovery.records, PRODUCERS_AT_ONCE as u64 - 2 + 50, "{recovery}");
    assert!(recovery.snapshot.is_some(), "{recovery}");
    let status = std::fs::read_to_string("/proc/self/status").expect("there");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    println!("\nrecovered with{peak}");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib <= MEMORY_KIB_MAX, "{kib} KiB");
}

#[test]
fn a_file_that_claims_more_rings_than_a_log_can_have_is_recovered_in_bounded_memory() {
    if let Some(log) = std::env::var_os(CHILD) {
        return recover_in_child(Path::new(&log));
    }
    let parts = Parts::new(false);
    let dead = parts.dead();
    // The rings are then the only account of the run.
    std::fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
    add_rings(&dead, FOR_LOG, b'n', PRODUCERS_AT_ONCE - 2);
    add_rings(&dead, FOR_RECORDER, b'n', PRODUCERS_AT_ONCE + 1);
    let test =
        "recovery::memory_tests::a_file_that_claims_more_rings_than_a_log_can_have_is_recovered_in_bounded_memory";
    // With one thread, the allocator has one heap.
    let child = std::process::Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, &dead.log)
        .output()
        .expect("a child");
    assert!(child.status.success(), "{child:?}");
    verifies(&dead.log);
}

#[test]
fn rings_beyond_those_that_a_log_can_have_are_damage_and_cost_no_other_record() {
    let parts = Parts::new(false);
    let dead = parts.dead();
    std::fs::remove_file(dead.log.join(segment_file_name(1))).expect("there");
    // No UTF-8, so that each byte of the name would become three.
    add_rings(&dead, FOR_LOG, 0xFF, PRODUCERS_AT_ONCE);
    let recovery = recover_some(&dead.log);
    assert_eq!(recovery.records, PRODUCERS_AT_ONCE as u64 - 2 + 50, "{recovery}");
    assert_eq!(recovery.rings.extension(), Some("damaged".as_ref()), "{recovery}");
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
