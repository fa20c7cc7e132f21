//! The snapshots of a log: when and why each was taken, and how many records it has.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::format::{SNAPSHOTS_FOLDER, StoredRunId, parse_snapshot_name};

use super::files::{Inspected, LogFiles, not_a_log};
use super::report::Verdict;
use super::verify::{Verification, verify};

/// A snapshot of a [flight recorder](crate::Config::flight_recorder).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// The file. [`Reader`](crate::Reader) reads it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::path"))]
    pub path: PathBuf,
    /// When it was taken, in milliseconds since the Unix epoch, by its name.
    pub unix_ms: i64,
    /// Why, by its name.
    pub reason: String,
    /// The records in it that a reader gives.
    pub records: u64,
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// What is wrong with the file, if a part of it is missing, damaged, or cannot be read.
    pub fault: Option<String>,
}

/// Lists the snapshots of the log at `path`, the oldest first. It may also be the folder of the snapshots, or one of
/// them.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// use diolog::{Config, Level, Logger};
///
/// let logger = Logger::open(Config::new(&path).flight_recorder(64 << 10))?;
/// logger.log(Level::Debug, "price of 42: 17.3");
/// logger.snapshot("no fill")?;
/// logger.close()?;
///
/// let snapshots = diolog::snapshots(&path)?;
/// assert_eq!((snapshots.len(), snapshots[0].records, snapshots[0].reason.as_str()), (1, 1, "no-fill"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NotALog`](crate::Error::NotALog) if there is neither a log nor a snapshot; [`Error::Io`](crate::Error::Io)
/// if it cannot be listed.
pub fn snapshots(path: impl AsRef<Path>) -> Result<Vec<SnapshotInfo>> {
    let path = path.as_ref();
    let mut files = LogFiles::open(path, false)?;
    if files.is_directory {
        // A log without a segment may have some: a recovery has found nothing else.
        let Some(snapshots) = of_log(path)? else { return files.inspect_names().map(|()| Vec::new()) };
        files = snapshots;
    }
    let mut snapshots = Vec::new();
    for (_, path, inspected) in files.inspect_all(false)? {
        let Some((unix_ms, reason)) = path.file_name().and_then(parse_snapshot_name) else {
            match inspected {
                Inspected::Unreadable(what) if !files.is_directory => return Err(not_a_log(&path, what)),
                _ => continue,
            }
        };
        let (records, fault) = match inspected {
            Inspected::Segment(_) | Inspected::Misplaced(..) => examine(&path),
            Inspected::Prepared => (0, Some("holds no block".to_owned())),
            Inspected::Newer(what) | Inspected::Unreadable(what) | Inspected::Forbidden(what) => (0, Some(what)),
        };
        let bytes = path.symlink_metadata().map_or(0, |metadata| metadata.len());
        snapshots.push(SnapshotInfo { unix_ms, reason: reason.to_owned(), records, bytes, fault, path });
    }
    Ok(snapshots)
}

/// The records of the snapshot at `path`, which has a header, and what is wrong with it, as a clause that follows its
/// name.
fn examine(path: &Path) -> (u64, Option<String>) {
    let Verification { verdict, report } = match verify(path) {
        Ok(verification) => verification,
        Err(error) => return (0, Some(format!("cannot be verified: {error}"))),
    };
    let fault = match report.findings.into_iter().max_by_key(|finding| finding.severity) {
        _ if verdict <= Verdict::Dropped => None,
        Some(finding) => Some(format!("is damaged: {}", finding.what)),
        None => Some("has no clean end: a part of it may be missing".to_owned()),
    };
    (report.records, fault)
}

/// The snapshots in the folder of the log at `path`; `None` if it holds none.
fn of_log(path: &Path) -> Result<Option<LogFiles>> {
    let folder = path.join(SNAPSHOTS_FOLDER);
    if !folder.is_dir() {
        return Ok(None);
    }
    LogFiles::open(&folder, false).map(|files| Some(files).filter(LogFiles::are_snapshots))
}

/// How far the last snapshot that a run has taken itself has the records of its flight recorder, in the log at `path`:
/// for each producer in it, the number after the last one. The run wrote it while nobody else did, and before it had
/// freed the records of it, it took no other one.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub(crate) fn written_by_last_snapshot(path: &Path, run: StoredRunId) -> Result<HashMap<u32, u64>> {
    let Some(files) = of_log(path)? else { return Ok(HashMap::new()) };
    let of_the_run = files.inspect_all(false)?.into_iter().filter_map(|(_, _, inspected)| match inspected {
        Inspected::Segment(segment) => Some(segment),
        _ => None,
    });
    let of_the_run = of_the_run.filter(|segment| segment.header.as_ref().is_some_and(|it| it.rings_of == Some(run)));
    // By the monotonic time, since the clock of the names may have been set.
    let last = of_the_run.max_by_key(|segment| segment.block_0.map(|block| block.first_ns.get()));
    let mut written = HashMap::new();
    if let Some(last) = last {
        files.each_block(&last, |block| {
            written.extend(block.ends.iter().map(|row| (row.id, row.next_sequence)));
        })?;
    }
    Ok(written)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use zerocopy::little_endian::U32;

    use super::*;
    use crate::reader::Reader;
    use crate::reader::test_log::{Block, TestRun, directory, reseal};

    /// The records and the fault that are listed for a snapshot with these blocks.
    fn listed(run: &TestRun) -> (u64, Option<String>) {
        let directory = directory();
        run.write(directory.path());
        let path = directory.path().join("20231114T221320.000Z-why.dlog");
        std::fs::rename(directory.path().join(run.segments[0].file_name()), &path).expect("one file");
        let [snapshot] = snapshots(&path).expect("a snapshot").try_into().expect("one");
        let given = Reader::open(&path).expect("a snapshot").filter(Result::is_ok).count() as u64;
        assert_eq!(snapshot.records, given, "{snapshot:?}");
        (snapshot.records, snapshot.fault)
    }

    #[test]
    fn a_snapshot_is_listed_with_the_records_that_a_reader_gives_from_it() {
        let mut run = TestRun::with_segment(1);
        run.block(Block::new().record(1, 0, "0").kind(1, 5, 0x90, "later").record(1, 10, "1")).close();
        assert_eq!(listed(&run), (2, None));
        let mut run = TestRun::with_segment(1);
        run.block(Block::new().record(1, 0, "0")).block(Block::new().record(1, 5, "1")).close();
        reseal(run.last().block(2), 2 * 4096, |header| header.valid = U32::new(32));
        let (records, fault) = listed(&run);
        assert_eq!(records, 1);
        assert!(fault.is_some_and(|fault| fault.starts_with("is damaged")));
    }
}
