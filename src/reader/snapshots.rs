//! The snapshots of a log: when and why each was taken, and how many records it has.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::format::{SNAPSHOTS_FOLDER, StoredRunId, parse_snapshot_name};

use super::files::{Inspected, LogFiles, not_a_log};
use super::report::Verdict;
use super::verify::verify;

/// A snapshot of a [flight recorder](crate::Config::flight_recorder).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// The file. [`Reader`](crate::Reader) reads it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::written::path"))]
    pub path: PathBuf,
    /// When it was taken, in milliseconds since the Unix epoch, by its name.
    pub unix_ms: i64,
    /// Why, by its name.
    pub reason: String,
    /// The records in its intact blocks.
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
            Inspected::Segment(segment) | Inspected::Misplaced(segment, _) => {
                let mut records = 0;
                files.each_block(&segment, |block| records += block.readable_records())?;
                (records, fault(&path))
            }
            Inspected::Prepared => (0, Some("holds no block".to_owned())),
            Inspected::Newer(what) | Inspected::Unreadable(what) | Inspected::Forbidden(what) => (0, Some(what)),
        };
        let bytes = path.symlink_metadata().map_or(0, |metadata| metadata.len());
        snapshots.push(SnapshotInfo { unix_ms, reason: reason.to_owned(), records, bytes, fault, path });
    }
    Ok(snapshots)
}

/// What is wrong with the snapshot at `path`, which has a header, as a clause that follows its name.
fn fault(path: &Path) -> Option<String> {
    let report = match verify(path) {
        Ok(verification) if verification.verdict <= Verdict::Dropped => return None,
        Ok(verification) => verification.report,
        Err(error) => return Some(format!("cannot be verified: {error}")),
    };
    Some(match report.findings.into_iter().max_by_key(|finding| finding.severity) {
        Some(finding) => format!("is damaged: {}", finding.what),
        None => "has no clean end: a part of it may be missing".to_owned(),
    })
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
