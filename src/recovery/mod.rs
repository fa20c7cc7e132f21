//! Writes the records that a dead process left in its rings to its log: when the log is opened again, or on request.
//!
//! A run with rings in shared memory has a [link](crate::crash::link) in the log's directory. For each link, `run`
//! finds the ring file (`ring_file`), compares it with the run's blocks (`account`; `without_segments` if none is
//! left), and writes what is `missing`: the records of each ring (`source`) that no block has go into a segment of that
//! run (`compose`), and what a flight recorder has left into a `snapshot`. Ring files that no log needs are removed
//! (`sweep`). Of all the library, this alone uses the reader.
//!
//! It trusts no byte of a ring file, and can be killed at any moment. A segment appears whole or not at all, and a
//! record that is in a block is not written again. The ring file is removed after that.

mod bounds;
mod report;
mod ring_file;
mod definitions;
mod account;
mod without_segments;
mod source;
mod compose;
mod snapshot;
mod missing;
mod run;
mod sweep;

#[cfg(all(test, not(any(diolog_portable, loom))))]
mod damage_tests;
#[cfg(all(test, not(any(diolog_portable, loom))))]
mod leftover_tests;
#[cfg(all(test, target_os = "linux", not(any(diolog_portable, loom))))]
mod memory_tests;
#[cfg(all(test, not(any(diolog_portable, loom))))]
mod test_rings;
#[cfg(all(test, not(any(diolog_portable, loom))))]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use report::{Recovery, RecoveryOutcome};
pub(crate) use run::recover_runs;
pub(crate) use sweep::sweep;

use bounds::Patience;
use run::recover_patiently;

use crate::crash::link::Link;
use crate::error::{Error, Result};
use crate::format::{segment_file_name, segment_number};
use crate::reader::RunId;
use crate::segment::{Directory, LogLock, Making};
use crate::sys::Access;
use crate::sys::directory::OpenDirectory;

/// Recovers the records that dead processes left in their [shared rings](crate::RingMemory), and writes them to the log
/// in the directory at `path`. Opening the log for writing does the same.
///
/// `rings` is the directory with the ring files; `None` if they are where they were made. After a
/// [`Complete`](RecoveryOutcome::Complete) recovery, the records are in a segment of the run that died, each of them
/// once. If no run has left records, nothing happens. New files get the mode and the group of the log's newest segment;
/// if there is none, they are for this user alone.
///
/// # Errors
/// [`Error::InUse`] while a logger has the log open; [`Error::Io`] if the directory cannot be read. Errors of a single
/// run are in its [`Recovery`].
pub fn recover(path: impl AsRef<Path>, rings: Option<&Path>) -> Result<Vec<Recovery>> {
    recover_watched(path, rings, |_, _| {})
}

/// As [`recover`]. It calls `watch` after each ring, with the number of rings read so far and of all rings of the run.
///
/// # Errors
/// As [`recover`].
pub fn recover_watched(
    path: impl AsRef<Path>,
    rings: Option<&Path>,
    mut watch: impl FnMut(u64, u64),
) -> Result<Vec<Recovery>> {
    let Some(mut directory) = open_if_due(path.as_ref())? else { return Ok(Vec::new()) };
    recover_runs(&mut directory, rings, &mut watch)
}

/// As [`recover`], and gives up the runs whose rings cannot be recovered now, for instance because they were on a file
/// system that is gone: the next open does not look for them any more. What they held is lost, and their runs stay in
/// the log without an end. A ring file that is there stays: the [`reason`](Recovery::reason) names it.
///
/// # Errors
/// As [`recover`], and [`Error::Io`] if the file that names the rings cannot be removed.
pub fn forget(path: impl AsRef<Path>, rings: Option<&Path>) -> Result<Vec<Recovery>> {
    let Some(mut directory) = open_if_due(path.as_ref())? else { return Ok(Vec::new()) };
    let opened = directory.opened();
    let before = Link::list(&opened)?;
    let mut recovered = recover_runs(&mut directory, rings, &mut |_, _| {})?;
    for recovery in recovered.iter_mut().filter(|recovery| recovery.outcome == RecoveryOutcome::Left) {
        for run in before.iter().filter(|run| recovery.run == RunId::from(**run)) {
            Link::remove(&opened, *run)?;
        }
        recovery.outcome = RecoveryOutcome::Forgotten;
        if let Some(rings) = recovery.rings.as_ref().filter(|rings| rings.symlink_metadata().is_ok()) {
            let why = recovery.reason.take().unwrap_or_default();
            recovery.reason = Some(format!("{why}; remove {} if nobody needs it", rings.display()));
        }
    }
    Ok(recovered)
}

/// Recovers each log in `base_directory` that names rings, unless it is in use, and keeps at most `snapshots_max`
/// snapshots of it. All of them share the time that one recovery waits for writes under way. Directories that cannot be
/// opened are left out. An error of `base_directory` itself has its path.
pub(crate) fn recover_below(
    base_directory: &Path,
    snapshots_max: u64,
    unix_ns: i64,
) -> Vec<(PathBuf, Result<Vec<Recovery>>)> {
    let listed = std::fs::read_dir(base_directory).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let entries = match listed {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![(base_directory.to_owned(), Err(Error::io("list", base_directory, error)))],
    };
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    paths.sort_unstable();
    let mut patience = Patience::of_recovery();
    let mut recover = |path: &Path| {
        let Ok(opened) = OpenDirectory::open(path) else { return Ok(Vec::new()) };
        if Link::list(&opened).unwrap_or_default().is_empty() {
            return Ok(Vec::new());
        }
        let mut directory = open(path, &opened)?;
        let recovered = recover_patiently(&mut directory, None, &mut patience, &mut |_, _| {})?;
        retire_snapshots(&directory, &recovered, snapshots_max, unix_ns);
        Ok(recovered)
    };
    let mut all = Vec::new();
    for path in paths {
        match recover(&path) {
            Ok(runs) if runs.is_empty() => {}
            Err(Error::InUse { .. }) => {}
            recovered => all.push((path, recovered)),
        }
    }
    all
}

/// Removes the oldest snapshots if one of the recoveries has written one.
pub(crate) fn retire_snapshots(directory: &Directory, recovered: &[Recovery], snapshots_max: u64, unix_ns: i64) {
    if let Some(written) = recovered.iter().rev().find_map(|recovery| recovery.snapshot.as_deref()) {
        crate::snapshot::retire(&directory.opened(), snapshots_max, written, unix_ns);
    }
}

/// Opens the log at `path` for writing, if it names rings.
///
/// # Errors
/// [`Error::InUse`] while a logger has the log open, also if it names none.
fn open_if_due(path: &Path) -> Result<Option<Directory>> {
    let opened = OpenDirectory::open(path).map_err(|source| Error::io("open", path, source))?;
    if Link::list(&opened)?.is_empty() {
        return LogLock::check_free(path).map(|()| None);
    }
    open(path, &opened).map(Some)
}

/// Opens the log at `path`, the directory `opened`, for writing.
///
/// # Errors
/// [`Error::InUse`] while a logger has the log open.
fn open(path: &Path, opened: &OpenDirectory) -> Result<Directory> {
    let Access { mode: file_mode, group } =
        access_of_newest(opened).map_err(|source| Error::io("look at the segments in", path, source))?;
    Directory::open(path, Making { file_mode, group, create_parents: false })
}

/// Who may use the newest segment of a log.
fn access_of_newest(directory: &OpenDirectory) -> io::Result<Access> {
    let newest = directory.names()?.iter().filter_map(|name| segment_number(name)).max();
    let Some(number) = newest else { return Ok(Access::OWNER) };
    Ok(Access::of(&directory.open_to_read(&segment_file_name(number))?.metadata()?))
}
