//! Removal of segments: what is removed, what is left, and when it stops.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::block::{Block, BlockPlace};
use crate::buffer::AlignedBuffer;
use crate::clock::ManualClock;
use crate::format::{BlockFlags, GRID_BYTES, Kind, SegmentHeader};

const LOG: LogId = LogId([1; 16]);
const ONE: Limits = Limits { bytes: None, segments: Some(1), age: None };

fn write_segment(directory: &Path, log: LogId, number: u64) {
    let header = SegmentHeader { log, previous_segment_id: number - 1, ..SegmentHeader::example(number) };
    let mut payload = Vec::new();
    header.encode(&mut payload);
    let mut block = Block::new(AlignedBuffer::new(GRID_BYTES, 0).unwrap());
    block.set_flag(BlockFlags::SEGMENT_HEADER);
    assert!(block.append_control(&mut 0, Kind::Segment, 1, &payload));
    let (mut buffer, length) = block.seal(0);
    crate::block::place(&mut buffer, BlockPlace { segment_id: number, file_offset: 0, in_flight: 0 });
    fs::write(directory.join(segment_file_name(number)), &buffer[..length]).unwrap();
}

fn numbers(directory: &Path) -> Vec<u64> {
    let mut numbers: Vec<_> =
        fs::read_dir(directory).unwrap().filter_map(|entry| segment_number(&entry.unwrap().file_name())).collect();
    numbers.sort_unstable();
    numbers
}

/// Segments 1 to 6 of one log.
fn six() -> tempfile::TempDir {
    let directory = crate::sys::test_directory::directory();
    (1..=6).for_each(|number| write_segment(directory.path(), LOG, number));
    directory
}

fn archive(directory: &Path, limits: Limits) -> Archive {
    Archive::new(location(directory), LOG, 6, limits, Clock::detect())
}

fn location(directory: &Path) -> Arc<LogLocation> {
    Arc::new(LogLocation::open(directory, crate::sys::Access::OWNER).unwrap())
}

#[test]
fn removing_can_be_stopped_and_goes_on_from_there() {
    let directory = six();
    let mut archive = archive(directory.path(), ONE);
    assert!(!archive.retire(6, 0, |progress| progress.removed == 2));
    assert_eq!(numbers(directory.path()), [3, 4, 5, 6]);
    assert!(archive.retire(6, 0, |_| false));
    assert_eq!(numbers(directory.path()), [6]);
    assert_eq!(archive.notes, Vec::<String>::new());
}

#[test]
fn inspecting_can_be_stopped_and_no_file_is_inspected_twice() {
    let directory = six();
    let mut archive = archive(directory.path(), ONE);
    let looked = std::cell::Cell::new(0);
    let mut rounds = 0;
    // Each round inspects a file or removes one.
    while !archive.retire(6, 0, |_| looked.replace(looked.get() + 1) % 2 == 1) {
        rounds += 1;
        assert!(rounds < 20, "no progress");
    }
    assert_eq!(numbers(directory.path()), [6]);
}

#[test]
fn a_file_put_in_a_segments_place_after_it_was_inspected_stays() {
    let directory = six();
    let mut archive = archive(directory.path(), Limits { segments: Some(6), ..ONE });
    assert!(archive.retire(6, 0, |_| false));
    assert_eq!(archive.ours, (1..=6).collect(), "all inspected, none to remove");
    archive.limits = ONE;
    let path = |number| directory.path().join(segment_file_name(number));
    write_segment(directory.path(), LogId([9; 16]), 2);
    fs::write(path(3), "a log in plain text").unwrap();
    fs::remove_file(path(4)).unwrap();
    fs::create_dir(path(4)).unwrap();
    assert!(archive.retire(6, 0, |_| false));
    assert_eq!(numbers(directory.path()), [2, 3, 4, 6]);
    let notes = archive.notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].ends_with("00000002.dlog is a segment of another log: retention leaves it alone"), "{notes:?}");
    assert!(notes[1].contains("00000003.dlog does not begin with a segment's header"), "{notes:?}");
}

#[test]
fn a_file_of_this_run_whose_first_block_was_refused_is_removed_like_its_segments() {
    let directory = six();
    let blank = |number| fs::write(directory.path().join(segment_file_name(number)), [0; GRID_BYTES]).unwrap();
    [3, 7, 9].into_iter().for_each(blank);
    write_segment(directory.path(), LOG, 8);
    let mut archive = archive(directory.path(), ONE);
    [7, 8, 9].into_iter().for_each(|number| archive.add(number));
    assert!(archive.retire(8, 0, |_| false));
    assert_eq!(numbers(directory.path()), [3, 8, 9], "neither an earlier run's nor the next one");
}

#[test]
fn files_after_the_newest_count_as_bytes_only_if_this_run_made_them() {
    let directory = six();
    let limits = Limits { bytes: Some(5 * GRID_BYTES as u64), segments: None, age: None };
    let mut archive = Archive::new(location(directory.path()), LOG, 4, limits, Clock::detect());
    assert!(archive.retire(4, 0, |_| false));
    assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
    archive.add(5);
    assert!(archive.retire(4, 0, |_| false));
    archive.add(6);
    assert!(archive.retire(4, 0, |_| false));
    assert_eq!(numbers(directory.path()), [2, 3, 4, 5, 6]);
}

#[test]
fn ages_grow_with_the_run_whatever_the_wall_clock_says() {
    let directory = six();
    let clock: &ManualClock = Box::leak(Box::default());
    let limits = Limits { bytes: None, segments: None, age: Some(Duration::from_secs(60)) };
    let written = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ns = |seconds: u64| i64::try_from((written + Duration::from_secs(seconds)).as_nanos()).unwrap();
    let begin = || Archive::new(location(directory.path()), LOG, 6, limits, Clock::manual(clock));
    // Opened at a wall time before the files were written, and years later: nothing is old.
    for opened in [0, ns(300_000_000)] {
        clock.unix_ns.store(opened, Relaxed);
        let mut archive = begin();
        assert!(archive.retire(6, 0, |_| false));
        assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
        assert_eq!(archive.notes.len(), usize::from(opened > 0), "{:?}", archive.notes);
    }
    clock.unix_ns.store(ns(30), Relaxed);
    let mut archive = begin();
    // The clock is set to another year, and then a minute passes.
    clock.unix_ns.store(ns(300_000_000), Relaxed);
    assert!(archive.retire(6, 0, |_| false));
    assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
    clock.monotonic_ns.fetch_add(60_000_000_000, Relaxed);
    assert!(archive.retire(6, 0, |_| false));
    assert_eq!(numbers(directory.path()), [6]);
    assert_eq!(archive.notes, Vec::<String>::new());
}

#[test]
fn a_segment_of_this_run_is_no_older_than_the_run() {
    let directory = six();
    let clock: &ManualClock = Box::leak(Box::default());
    let limits = Limits { bytes: None, segments: None, age: Some(Duration::from_secs(60)) };
    let mut archive = Archive::new(location(directory.path()), LOG, 0, limits, Clock::manual(clock));
    clock.unix_ns.store(i64::MAX, Relaxed);
    assert!(archive.retire(6, 0, |_| false));
    assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
    clock.monotonic_ns.fetch_add(61_000_000_000, Relaxed);
    assert!(archive.retire(6, 0, |_| false));
    assert_eq!(numbers(directory.path()), [6]);
}

#[test]
fn segments_of_killed_runs_are_cut_before_they_are_counted() {
    let directory = six();
    for number in 1..=5 {
        let path = directory.path().join(segment_file_name(number));
        File::options().write(true).open(path).unwrap().set_len(16 << 20).unwrap();
    }
    // Room for all of them, but not for their zeros.
    let limits = Limits { bytes: Some(1 << 20), segments: None, age: None };
    let mut archive = archive(directory.path(), limits);
    let file = |number| File::open(directory.path().join(segment_file_name(number))).unwrap();
    // A write of the killed process to the fifth is still under way.
    let writing = file(5);
    assert!(crate::sys::try_lock(&writing).unwrap());
    assert!(!archive.retire(6, 0, |progress| progress.read_bytes >= 40 << 20), "stopped at the third");
    assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
    let mut wide = Limits { bytes: Some(17 << 20), ..limits };
    std::mem::swap(&mut archive.limits, &mut wide);
    assert!(archive.retire(6, 0, |_| false));
    assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
    let lengths = || (1..=5).map(|number| file(number).metadata().unwrap().len()).collect::<Vec<_>>();
    // A child that another test forks may hold the lock of a file for a moment.
    while lengths()[..4] != [4096; 4] {
        assert!(archive.sweep(u64::MAX, || false));
    }
    assert!(!cfg!(unix) || lengths()[4] == 16 << 20);
    drop(writing);
    while lengths() != [4096; 5] {
        assert!(archive.sweep(u64::MAX, || false));
    }
    assert_eq!(archive.notes, Vec::<String>::new());
}

#[test]
fn sweeping_can_be_stopped_and_goes_on_from_there() {
    let directory = six();
    for number in [2, 4] {
        fs::write(directory.path().join(segment_file_name(number)), vec![0; 3 << 20]).unwrap();
    }
    let mut archive = archive(directory.path(), Limits::default());
    let looked = std::cell::Cell::new(0);
    // Six files are inspected first, then the unused ones are read in chunks.
    assert!(!archive.sweep(u64::MAX, || looked.replace(looked.get() + 1) == 8));
    assert_eq!(numbers(directory.path()).len(), 6);
    let inherited = archive.inherited;
    assert!(archive.sweep(inherited, || false), "no block of this run is durable");
    assert_eq!(numbers(directory.path()).len(), 6);
    assert!(archive.sweep(inherited + 1, || false));
    assert_eq!(numbers(directory.path()), [1, 3, 5, 6]);
}

#[cfg(not(all(target_os = "linux", not(diolog_portable))))]
#[test]
fn a_directory_that_cannot_be_listed_is_noted_and_swept_later() {
    let parent = crate::sys::test_directory::directory();
    let directory = parent.path().join("log");
    fs::create_dir(&directory).unwrap();
    let mut archive = archive(&directory, Limits::default());
    fs::remove_dir(&directory).unwrap();
    assert!(archive.sweep(u64::MAX, || false));
    assert!(archive.notes[0].starts_with("cannot list"), "{:?}", archive.notes);
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join(segment_file_name(2)), [0; GRID_BYTES]).unwrap();
    assert!(archive.sweep(u64::MAX, || false));
    assert_eq!(numbers(&directory), Vec::<u64>::new());
    assert_eq!(archive.notes.len(), 1, "noted once");
}
