//! What a ring file says at each moment, read as a recovery reads it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use zerocopy::FromBytes;

use super::layout::{
    CONTROL_OFFSET, DEFINITIONS_OFFSET, FOR_LOG, LOG_BYTES, LOG_ENDED, LOG_OPEN, LOGS_MAX, LOGS_OFFSET, MAGIC,
    OVERWRITES, RawDefinition, RawHeader, RawLog, RawSlot, SLOT_FREE, SLOT_USED, SLOTS_OFFSET, VERSION, slot_bytes,
};
use super::link::Link;
use super::{LogRings, NewLog, RingFiles};
use crate::callsite::{self, UntypedCallsite};
use crate::clock::{Clock, ClockAnchor};
use crate::format::{CallsiteInfo, FieldType, StoredRunId, Type, checksum, checksum_append};
use crate::level::Level;
use crate::ring::Slots;
use crate::sys::cpu;
use crate::sys::directory::OpenDirectory;
use crate::sys::test_directory::directory;

const WINDOW_BYTES: usize = 8192;
const RESERVE_BYTES: usize = 128 << 10;

/// A place for ring files, and a log's directory.
struct Rig {
    files: RingFiles,
    log: OpenDirectory,
    directory: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        let directory = directory();
        fs::create_dir(directory.path().join("log")).expect("a directory");
        let log = OpenDirectory::open(&directory.path().join("log")).expect("a directory");
        Rig { files: RingFiles::new(&directory.path().join("rings"), Clock::detect()), log, directory }
    }

    fn enter(&self, run: u8) -> LogRings {
        let path = self.log.path().to_owned();
        let log = NewLog { log: [9; 16], run: [run; 16], block_bytes: 4096, message_bytes_max: 100, path };
        self.files.enter(&log, &self.log).expect("a place")
    }

    fn ring_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("rings")).expect("a directory");
        entries.map(|entry| entry.expect("readable").path()).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.ring_files()[0]).expect("readable")
    }
}

fn at<T: FromBytes>(bytes: &[u8], offset: u64) -> T {
    let Ok((value, _)) = T::read_from_prefix(&bytes[offset as usize..]) else { panic!("{offset} is not in the file") };
    value
}

fn log_entry(bytes: &[u8], index: u64) -> RawLog {
    at(bytes, LOGS_OFFSET + index * LOG_BYTES)
}

/// The definitions in a file. Each must be whole.
fn definitions(bytes: &[u8]) -> Vec<CallsiteInfo> {
    let end = at::<RawHeader>(bytes, 0).definitions_end.get();
    let (mut found, mut offset) = (Vec::new(), DEFINITIONS_OFFSET);
    while offset < end {
        let raw: RawDefinition = at(bytes, offset);
        let begin = offset as usize + size_of::<RawDefinition>();
        let payload = &bytes[begin..begin + raw.bytes.get() as usize];
        assert_eq!(raw.crc.get(), checksum(payload));
        found.push(CallsiteInfo::decode(payload).expect("a definition"));
        offset = (begin + payload.len()).next_multiple_of(8) as u64;
    }
    assert_eq!(offset, end);
    found
}

/// A callsite that no other test has.
fn register(template: &str) -> u32 {
    let place = UntypedCallsite { level: Level::Info, line: 7, target: "crash::tests", file: file!(), template };
    callsite::register_place(place, &[("id", FieldType::new(Type::Unsigned))]).expect("an id")
}

#[test]
fn the_header_says_whose_rings_these_are_and_the_last_anchor() {
    let rig = Rig::new();
    let mut rings = rig.enter(1);
    let header: RawHeader = at(&rig.bytes(), 0);
    assert_eq!((header.magic, header.version.get(), header.pid.get()), (MAGIC, VERSION, std::process::id()));
    assert_eq!((header.boot, header.slots_end.get()), (cpu::boot_id(), SLOTS_OFFSET));
    let bytes = rig.bytes();
    assert_eq!(header.crc.get(), checksum_append(checksum(&bytes[..12]), &bytes[16..64]));
    let anchor = ClockAnchor { ticks: 77, ns: 88 };
    rings.publish_anchor(anchor);
    let published: RawHeader = at(&rig.bytes(), 0);
    assert_eq!((published.anchor_ticks.get(), published.anchor_ns.get()), (77, 88));
    assert_eq!(published.anchor_version.get(), header.anchor_version.get() + 2);
    rings.end(&rig.log);
}

#[test]
fn a_log_is_listed_and_linked_until_it_has_ended() {
    let rig = Rig::new();
    let [first, second] = [rig.enter(1), rig.enter(2)];
    let bytes = rig.bytes();
    for (index, run) in [(0, 1), (1, 2)] {
        let entry = log_entry(&bytes, index);
        assert_eq!((entry.state.get(), entry.log, entry.run), (LOG_OPEN, [9; 16], [run; 16]));
        assert_eq!((entry.block_bytes.get(), entry.message_bytes_max.get()), (4096, 100));
        let begin = (LOGS_OFFSET + index * LOG_BYTES) as usize;
        let end = begin + size_of::<RawLog>() + usize::from(entry.path_bytes.get());
        assert_eq!(&bytes[begin + size_of::<RawLog>()..end], rig.log.path().as_os_str().as_encoded_bytes());
        assert_eq!(entry.crc.get(), checksum(&bytes[begin + 8..end]));
        let link = Link::read(&rig.log, StoredRunId([run; 16])).expect("there").expect("a link");
        assert_eq!((link.boot, &link.path), (cpu::boot_id(), &rig.ring_files()[0]));
    }
    first.end(&rig.log);
    assert_eq!([0, 1].map(|index| log_entry(&rig.bytes(), index).state.get()), [LOG_ENDED, LOG_OPEN]);
    assert_eq!(Link::list(&rig.log).expect("readable"), [StoredRunId([2; 16])]);
    let third = rig.enter(3);
    assert_eq!(log_entry(&rig.bytes(), 0).run, [3; 16], "the place of the first");
    second.end(&rig.log);
    assert_eq!(rig.ring_files().len(), 1);
    third.end(&rig.log);
    assert_eq!((rig.ring_files().len(), Link::list(&rig.log).expect("readable").len()), (0, 0));
}

#[test]
fn a_log_that_does_not_end_leaves_the_file() {
    let rig = Rig::new();
    let [ended, left] = [rig.enter(1), rig.enter(2)];
    drop(left);
    ended.end(&rig.log);
    assert_eq!([0, 1].map(|index| log_entry(&rig.bytes(), index).state.get()), [LOG_ENDED, LOG_OPEN]);
    // The next log gets a file of its own.
    let next = rig.enter(3);
    assert_eq!(rig.ring_files().len(), 2);
    next.end(&rig.log);
    assert_eq!(rig.ring_files().len(), 1);
}

#[test]
fn more_logs_than_a_file_lists_have_several_files() {
    let rig = Rig::new();
    let path = rig.log.path().to_owned();
    let log = NewLog { log: [9; 16], run: [1; 16], block_bytes: 4096, message_bytes_max: 100, path };
    // They share a link, whose sync a thousand times takes long.
    let mut all: Vec<_> = (0..LOGS_MAX).map(|_| rig.files.enter_file(&log).expect("a place")).collect();
    assert_eq!(rig.ring_files().len(), 1);
    all.push(rig.enter(2));
    assert_eq!(rig.ring_files().len(), 2);
    all.into_iter().for_each(|rings| rings.end(&rig.log));
    assert_eq!(rig.ring_files().len(), 0);
}

#[test]
fn a_slot_says_whose_ring_it_holds_while_it_holds_one() {
    let rig = Rig::new();
    let rings = rig.enter(1);
    let slots = rings.slots();
    let slot = slots.take(WINDOW_BYTES, RESERVE_BYTES, true).expect("room");
    let sizes = (WINDOW_BYTES as u64, RESERVE_BYTES as u64);
    let read = || at::<RawSlot>(&rig.bytes(), SLOTS_OFFSET);
    let raw = read();
    assert_eq!((raw.window_bytes.get(), raw.reserve_bytes.get()), sizes);
    assert_eq!(raw.sizes_crc.get(), checksum(&rig.bytes()[SLOTS_OFFSET as usize..][..16]));
    assert!(raw.state.get() == SLOT_FREE && raw.is_undescribed());
    let end = SLOTS_OFFSET + slot_bytes(sizes.0, sizes.1).expect("small");
    assert_eq!((at::<RawHeader>(&rig.bytes(), 0).slots_end.get(), rig.bytes().len() as u64), (end, end));

    slot.assign(7, 4711, "the name");
    let raw = read();
    assert_eq!((raw.state.get(), raw.log.get(), raw.purpose.get()), (SLOT_USED, 0, FOR_LOG));
    assert_eq!((raw.flags.get(), raw.producer.get(), raw.tid.get()), (OVERWRITES, 7, 4711));
    assert_eq!(&raw.name[..usize::from(raw.name_bytes.get())], b"the name");
    let described = &rig.bytes()[SLOTS_OFFSET as usize + 28..][..28 + 8];
    assert_eq!(raw.crc.get(), checksum(described), "from the log's index to the end of the name");
    assert_eq!((raw.window_bytes.get(), raw.reserve_bytes.get()), sizes);

    // Window and control lines are where the layout has them.
    let offset = |address: *const u8| address as usize - slot.control().as_ptr() as usize + CONTROL_OFFSET as usize;
    assert_eq!(offset(slot.window().as_ptr()), 4096);
    assert_eq!(offset(slot.reserve().expect("mapped").as_ptr()), 4096 + WINDOW_BYTES);

    slot.vacate();
    assert!(read().state.get() == SLOT_FREE && read().is_undescribed());
    assert_eq!(read().sizes_crc.get(), raw.sizes_crc.get());
    drop(slot);
    let again = slots.take(WINDOW_BYTES, RESERVE_BYTES, false).expect("room");
    assert_eq!(rig.bytes().len() as u64, end, "the same slot");
    again.assign(8, 4711, "");
    assert_eq!((read().producer.get(), read().flags.get(), read().name_bytes.get()), (8, 0, 0));
    let other = slots.take(WINDOW_BYTES, 0, false).expect("room");
    assert!(other.reserve().is_none() && rig.bytes().len() as u64 > end);
    rings.end(&rig.log);
}

#[test]
fn a_slot_with_records_of_an_open_log_is_left_alone() {
    let rig = Rig::new();
    let [rings, others] = [rig.enter(1), rig.enter(2)];
    let take = |slots: Arc<dyn Slots>| slots.take(WINDOW_BYTES, 0, false).expect("room");
    let slot = take(rings.slots());
    slot.assign(1, 1, "");
    let end = rig.bytes().len();
    drop(slot);
    let state = || at::<RawSlot>(&rig.bytes(), SLOTS_OFFSET).state.get();
    assert_eq!(state(), SLOT_USED);
    let _other = take(others.slots());
    assert!(rig.bytes().len() > end, "another slot");
    let end = rig.bytes().len();
    rings.end(&rig.log);
    assert!(state() == SLOT_FREE && at::<RawSlot>(&rig.bytes(), SLOTS_OFFSET).is_undescribed());
    let _again = take(others.slots());
    assert_eq!(rig.bytes().len(), end, "the first slot");
    others.end(&rig.log);
}

#[test]
fn definitions_are_in_the_file_before_a_record_can_name_them() {
    let before = register("defined before {id}");
    let rig = Rig::new();
    let rings = rig.enter(1);
    let has = |id| definitions(&rig.bytes()).into_iter().find(|info| info.id == id);
    assert_eq!(has(before).as_ref(), callsite::definition(before));
    let after = register("defined after {id}");
    assert_eq!(has(after).as_ref(), callsite::definition(after));
    assert_eq!(at::<RawHeader>(&rig.bytes(), 0).definitions_lost.get(), 0);
    rings.end(&rig.log);
}
