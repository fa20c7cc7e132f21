//! A snapshot: records that no writer has taken, in a file of their own that every reader can read.
//!
//! It is a whole run in one segment: rows, records, final counts and a clean end. It has the log's identity, and its
//! own identity as a run. The file is in the log's folder `snapshots`, and its name has the time and the reason. The
//! log itself ignores it. [`write()`] makes a snapshot of the caller's records: those of a flight recorder, or of rings
//! that a dead process left. A file with a snapshot's name is complete and durable.

mod blocks;
mod records;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zerocopy::little_endian::{I64, U64};

use crate::block::CallsiteTable;
use crate::error::{Error, Result};
use crate::format;
use crate::format::{
    LogId, NAME_BYTES_MAX, Process, ProducerRow, SNAPSHOTS_FOLDER, SegmentHeader, StoredRunId, WallAnchor,
    parse_snapshot_name, snapshot_file_name,
};
use crate::segment::{Header, OfflineSegment, Rows, random_bytes, random_id};
use crate::sys::directory::OpenDirectory;
use blocks::SnapshotBlocks;

pub(crate) use blocks::turn_bytes;
pub(crate) use records::{Copied, ProducerRecords, RecordHead, SnapshotSource, cause_of_gaps, row_after};

/// The most producers that a snapshot is sure to have room for: its header has a row for each.
pub(crate) const PRODUCERS_MAX: usize = format::PRODUCERS_MAX;

/// Whose records a snapshot holds.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotOrigin {
    pub(crate) log: LogId,
    /// The run that logged them.
    pub(crate) run: StoredRunId,
    /// The kernel's id of the boot in which they were logged, and the process that logged them.
    pub(crate) boot: [u8; 16],
    pub(crate) process: Process,
    pub(crate) service: String,
    /// The largest block, in bytes: large enough for the longest record.
    pub(crate) block_bytes: usize,
    pub(crate) message_bytes_max: usize,
}

/// The monotonic and the wall clock at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) monotonic_ns: u64,
    pub(crate) unix_ns: i64,
}

/// Writes the records of `producers`, which have these `rows` before their first records, to a snapshot of the log in
/// `directory`, and returns the file's path. The caller holds the log's lock. Each producer has at least one record,
/// and none is later than `now`. `callsites` has the definitions, or the producers add them.
///
/// # Errors
/// [`Error::Io`]. Nothing of the snapshot is left then.
pub(crate) fn write(
    directory: &OpenDirectory,
    origin: &SnapshotOrigin,
    reason: &str,
    now: Now,
    rows: &dyn Rows,
    producers: Vec<impl SnapshotSource>,
    callsites: &mut CallsiteTable,
) -> Result<PathBuf> {
    let folder = directory
        .open_or_make_directory(SNAPSHOTS_FOLDER)
        .map_err(|source| Error::io("open the directory", &directory.path_of(SNAPSHOTS_FOLDER), source))?;
    let name = free_name(&folder, now.unix_ns / 1_000_000, reason);
    let segment = SegmentHeader {
        log: origin.log,
        run: StoredRunId(random_bytes(folder.path())?),
        rings_of: Some(origin.run),
        boot: origin.boot,
        index: 1,
        block_bytes: u32::try_from(origin.block_bytes).unwrap_or(u32::MAX),
        message_bytes_max: u32::try_from(origin.message_bytes_max).unwrap_or(u32::MAX),
        service: origin.service.clone(),
        // A kernel's limit for the host's name is 64 bytes. One that is too long is left out.
        process: Some(origin.process.clone()).filter(|process| process.host.len() <= NAME_BYTES_MAX),
        ..SegmentHeader::default()
    };
    let anchor = WallAnchor { monotonic_ns: U64::new(now.monotonic_ns), unix_ns: I64::new(now.unix_ns) };
    let now_ns = now.monotonic_ns;
    let header = Header { segment: &segment, anchor, device: None, producers: rows, now_ns, control_sequence: 0 };
    let own_sequence = header.records();
    let offline = OfflineSegment { directory: &folder, header, segment_id: random_id(folder.path())?, direct: false };
    let blocks = SnapshotBlocks::new(producers, callsites, origin.block_bytes, own_sequence, anchor);
    offline.write_as(&name, 0, blocks)?;
    Ok(folder.path_of(&name))
}

impl Rows for &[ProducerRecords] {
    fn each(&self, take: &mut dyn FnMut(&ProducerRow)) {
        self.iter().for_each(|producer| take(&producer.row(0, producer.first())));
    }
}

/// A free name for a snapshot of this time, or of a little later. No two snapshots have the same time, so their names
/// order them. Two readings of the wall clock may be in the wrong order by some milliseconds: a snapshot less than a
/// second ahead was taken before this one.
fn free_name(folder: &OpenDirectory, unix_ms: i64, reason: &str) -> String {
    let names = folder.names().unwrap_or_default();
    let taken: BTreeSet<i64> = names.iter().filter_map(|name| Some(parse_snapshot_name(name)?.0)).collect();
    let before = taken.range(unix_ms..unix_ms.saturating_add(1000)).next_back();
    let first = before.map_or(unix_ms, |before| before.saturating_add(1));
    // If all of these times are taken, the write is refused.
    let free = (0..1000).map(|later| first.saturating_add(later)).find(|unix_ms| !taken.contains(unix_ms));
    snapshot_file_name(free.unwrap_or(first), reason)
}

/// Removes the oldest snapshots of the log in `directory`, and keeps the newest `max`. Errors are ignored. It always
/// keeps the one just `written`. Those of a time after `unix_ns`, which is now, are from before the wall clock was set
/// back, and go first.
pub(crate) fn retire(directory: &OpenDirectory, max: u64, written: &Path, unix_ns: i64) {
    let Ok(folder) = directory.open_or_make_directory(SNAPSHOTS_FOLDER) else { return };
    let is_snapshot = |name: &String| {
        let is_other = written.file_name() != Some(name.as_ref());
        is_other && parse_snapshot_name(name.as_ref()).is_some() && folder.entry(name).is_ok_and(|entry| entry.is_file)
    };
    let names = folder.names().unwrap_or_default();
    let mut names: Vec<_> = names.into_iter().filter_map(|name| name.into_string().ok()).filter(is_snapshot).collect();
    // By time, the newest first. A name can be ahead of the clock by less than a second: see [`free_name`].
    let now = snapshot_file_name(unix_ns / 1_000_000 + 1000, "");
    names.sort_unstable_by_key(|name| (*name > now, Reverse(name.clone())));
    for name in names.iter().skip(usize::try_from(max.saturating_sub(1)).unwrap_or(usize::MAX)) {
        let _ = folder.remove(name);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::format::Kind;
    use crate::reader::{Reader, verify};
    use crate::sys::test_directory::directory;

    #[test]
    fn a_snapshots_name_comes_after_those_of_the_same_second_and_keeps_its_time_after_a_step_of_the_clock() {
        let directory = directory();
        let folder = OpenDirectory::open(directory.path()).expect("a directory");
        for unix_ms in [5_000, 5_004, 20_000] {
            std::fs::write(directory.path().join(snapshot_file_name(unix_ms, "why")), "").expect("written");
        }
        for (now, named) in [(4_000, 4_000), (4_900, 5_005), (5_000, 5_005), (5_003, 5_005), (5_010, 5_010)] {
            assert_eq!(free_name(&folder, now, "why"), snapshot_file_name(named, "why"), "{now}");
        }
    }

    /// A producer with a message of each length, at the times from `first_ns` on.
    fn producer(id: u32, first_ns: u64, lengths: &[usize]) -> ProducerRecords {
        let (name, dropped) = (format!("producer {id}"), 0);
        let mut producer = ProducerRecords { id, tid: 1, name, dropped, heads: Vec::new(), payloads: Vec::new() };
        for (number, &bytes) in (0..).zip(lengths) {
            let begin = producer.payloads.len();
            let (sequence, timestamp_ns) = (1000 + number, first_ns + 10 * number);
            let kind = Kind::Message as u8;
            producer.heads.push(RecordHead { sequence, timestamp_ns, kind, level: 5, flags: 0, begin, bytes });
            producer.payloads.resize(begin + bytes, b'x');
        }
        producer
    }

    /// Writes the producers as a snapshot, and returns the ids and lengths of the messages in it, which verifies.
    fn written(block_bytes: usize, producers: &[ProducerRecords]) -> Vec<(u32, usize)> {
        let directory = directory();
        let opened = OpenDirectory::open(directory.path()).expect("a directory");
        let origin = SnapshotOrigin {
            log: LogId([1; 16]),
            run: StoredRunId([3; 16]),
            boot: [2; 16],
            process: Process { id: 7, host: "host".to_owned() },
            service: "shop".to_owned(),
            block_bytes,
            message_bytes_max: 1 << 20,
        };
        let now = Now { monotonic_ns: 1_000_000, unix_ns: 1_700_000_000_000_000_000 };
        let mut callsites = CallsiteTable::new(false, block_bytes, |_, _| None);
        let path = write(
            &opened,
            &origin,
            "why",
            now,
            &producers,
            producers.iter().map(Copied::new).collect(),
            &mut callsites,
        )
        .expect("written");
        let verification = verify(&path).expect("readable");
        assert_eq!(verification.verdict.exit_code(), 0, "{:#?}", verification.report);
        assert_eq!(path.file_name(), Some("20231114T221320.000Z-why.dlog".as_ref()));
        let records = Reader::open(&path).expect("readable").map(|record| record.expect("a record"));
        records.map(|record| (record.producer_id(), record.message().len())).collect()
    }

    #[test]
    fn producers_are_merged_by_time_in_blocks_of_any_size() {
        let many: Vec<_> = (1..=300).map(|id| producer(id, u64::from(id), &[id as usize; 20])).collect();
        for block_bytes in [4096, 64 << 10, 1 << 20] {
            let records = written(block_bytes, &many);
            let expected = (0..20).flat_map(|_| (1..=300).map(|id| (id, id as usize)));
            // Times go up by 10 within a producer, and by 1 from one to the next.
            let mut by_time: Vec<_> =
                expected.enumerate().map(|(at, record)| (at as u64 / 300 * 10 + u64::from(record.0), record)).collect();
            by_time.sort_by_key(|(ns, (id, _))| (*ns, *id));
            assert_eq!(records, by_time.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), "{block_bytes}");
        }
    }

    #[test]
    fn a_record_that_is_larger_than_the_blocks_gets_a_block_of_its_own() {
        assert_eq!(written(4096, &[producer(1, 0, &[10, 100_000, 20])]), [(1, 10), (1, 100_000), (1, 20)]);
    }

    #[test]
    fn a_record_that_no_block_holds_is_missing_and_the_others_are_there() {
        let producers = [producer(1, 0, &[10, 17 << 20, 20]), producer(2, 5, &[17 << 20]), producer(3, 0, &[30])];
        assert_eq!(written(4096, &producers), [(1, 10), (3, 30), (1, 20)]);
    }

    #[test]
    fn a_snapshot_of_nobody_is_whole() {
        assert_eq!(written(4096, &[]), []);
    }
}
