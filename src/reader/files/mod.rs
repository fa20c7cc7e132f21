//! The files of a log: their names and kinds, the runs that they make, and suspicions about them.
//!
//! [`LogFiles`] lists and opens them; `inspect` finds out the kind of one. The walk and `info` use it.

mod absence;
mod inspect;
mod runs;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, is_not_found, is_of_one_file};
use crate::format::{
    LOCK_FILE, LogId, SNAPSHOTS_FOLDER, SegmentHeader, StoredRunId, crash_reason, parse_snapshot_name,
    run_of_rings_file, segment_file_name, segment_number,
};
use crate::sys::{self, AtPath, LockHolder, LockState};

use super::callsites::KnownCallsites;
use super::report::{Finding, InUse, Severity};
use super::scan::{Cursor, Found, Loaded, Scanned, SegmentFile};

pub(crate) use absence::{Facts, NamedRings, Suspicion, rings_of_recovered, rings_without_run, suspicions};
pub(crate) use inspect::{Inspected, Segment, misplacement};
use inspect::{Naming, block_0_of};
pub(crate) use runs::{Run, Sorted, log_of, sort};

/// Entries of a directory without a segment that are looked at, to say what there is instead.
const LOOKED_AT_MAX: usize = 1000;

/// The numbered files of a log's directory, the snapshots in a folder of them, or a single file.
#[derive(Debug)]
pub(crate) struct LogFiles {
    root: PathBuf,
    /// The open directory or file, by which another one at its path is noticed; `None` if it cannot be opened.
    opened: Option<fs::File>,
    /// Whether a whole log is read, and not snapshots or a single file.
    pub(crate) is_directory: bool,
    naming: Naming,
    /// Files that need no second look: segments, and files that will never be one.
    known: BTreeSet<PathBuf>,
    /// Whether files are made durable before they are read.
    pub(crate) sync: bool,
}

impl LogFiles {
    /// Names the log at `path`. With `sync`, files are made durable before they are read.
    pub(crate) fn open(path: &Path, sync: bool) -> Result<LogFiles> {
        let metadata = fs::metadata(path).map_err(|source| Error::io("open", path, source))?;
        if !metadata.is_dir() && !metadata.is_file() {
            return Err(not_a_log(path, "is neither a directory nor a file".into()));
        }
        if metadata.is_file() && metadata.len() == 0 {
            return Err(not_a_log(path, "is an empty file, and no segment of a log: name the log's directory".into()));
        }
        let opened = sys::file::open_to_read(path, true).ok();
        let naming = match metadata.is_dir() {
            false => Naming::Alone,
            true if has_snapshots_alone(path) => Naming::Times,
            true => Naming::Numbers,
        };
        let is_directory = naming == Naming::Numbers;
        Ok(LogFiles { root: path.to_owned(), opened, is_directory, naming, known: BTreeSet::new(), sync })
    }

    /// Whether these are the snapshots in a folder.
    pub(crate) fn are_snapshots(&self) -> bool {
        self.naming == Naming::Times
    }

    /// Checks that there are files of that naming, without a look at them.
    ///
    /// # Errors
    /// [`Error::NotALog`] for a directory without any, [`Error::Io`] if it cannot be listed.
    pub(crate) fn inspect_names(&self) -> Result<()> {
        self.numbered().map(drop)
    }

    /// The files that are not known yet, by number.
    ///
    /// # Errors
    /// [`Error::NotALog`] for a directory without a numbered file, [`Error::Io`] if it cannot be listed.
    fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        if self.naming == Naming::Alone {
            let path = self.root.clone();
            return Ok(if self.known.contains(&path) { Vec::new() } else { vec![(0, path)] });
        }
        let mut numbered = self.numbered()?;
        // While a directory is read, a file that is created may be left out, and one that is created later listed.
        if numbered.windows(2).any(|pair| pair[1].0 != pair[0].0.wrapping_add(1)) {
            numbered = self.numbered()?;
        }
        numbered.retain(|(_, path)| !self.known.contains(path));
        Ok(numbered)
    }

    /// The newest file, if it is not known yet.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        self.list().ok()?.pop().map(|(_, path)| path)
    }

    /// All numbered files of the directory, by number. Snapshots are numbered by their names, from 1 on.
    fn numbered(&self) -> Result<Vec<(u64, PathBuf)>> {
        let failed = |source| Error::io("list", &self.root, source);
        let (mut files, mut entries) = (Vec::new(), 0_u64);
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            entries += 1;
            let name = entry.file_name();
            match self.naming {
                Naming::Times => files.extend(parse_snapshot_name(&name).map(|_| (0, entry.path()))),
                _ => files.extend(segment_number(&name).map(|number| (number, entry.path()))),
            }
        }
        if files.is_empty() {
            let what = match entries {
                0 => "is an empty directory: nothing was logged there yet".into(),
                _ => no_segment(&self.root),
            };
            return Err(not_a_log(&self.root, what));
        }
        files.sort();
        if self.naming == Naming::Times {
            (1..).zip(&mut files).for_each(|(place, (number, _))| *number = place);
        }
        Ok(files)
    }

    /// The rings that files in the directory name, the newest last. None if the directory cannot be listed.
    pub(crate) fn named_rings(&self) -> Vec<NamedRings> {
        if !self.is_directory {
            return Vec::new();
        }
        let named = |entry: fs::DirEntry| Some((run_of_rings_file(&entry.file_name())?, entry.path(), entry));
        let mut runs: Vec<_> = entries(&self.root).filter_map(named).collect();
        runs.sort_by_cached_key(|(_, path, entry)| {
            (entry.metadata().and_then(|metadata| metadata.modified()).ok(), path.clone())
        });
        let named = runs.into_iter().map(|(run, path, _)| NamedRings {
            run: run.into(),
            path: path.into(),
            has_snapshot: self.has_crash_snapshot(run),
        });
        named.collect()
    }

    /// Whether a recovery has written what the flight recorder of this run kept.
    fn has_crash_snapshot(&self, run: StoredRunId) -> bool {
        let reason = crash_reason(run);
        let is_for_it = |name: &OsStr| parse_snapshot_name(name).is_some_and(|(_, given)| given == reason);
        let mut snapshots = entries(&self.root.join(SNAPSHOTS_FOLDER)).filter(|entry| is_for_it(&entry.file_name()));
        snapshots.any(|entry| block_0_of(&entry.path()).is_some_and(|(_, header)| header.rings_of == Some(run)))
    }

    /// Whether the directory or file at the log's path is still the one that was opened.
    pub(crate) fn is_at_its_path(&self) -> bool {
        self.opened.as_ref().is_none_or(|opened| sys::at_path(opened, &self.root) == AtPath::This)
    }

    /// Whether another log is at the path, or none. `last` is the last segment that is open, and what is at its path.
    pub(crate) fn are_replaced(&self, last: Option<(u64, AtPath)>) -> bool {
        !self.is_at_its_path()
            || match last {
                None | Some((_, AtPath::This)) => false,
                Some((_, AtPath::Another)) => true,
                // Retention removes a segment only after there is a later one.
                Some((number, AtPath::Nothing)) => self.ends_at(number),
            }
    }

    /// Whether the log has left its path, where its files were found: what is missing then may be anywhere. One file is
    /// read to its end, even if it is removed meanwhile.
    pub(crate) fn have_moved(&self) -> bool {
        self.naming != Naming::Alone && !self.is_at_its_path()
    }

    /// Checks that the files have not [moved](Self::have_moved).
    ///
    /// # Errors
    /// [`Error::NotALog`].
    pub(crate) fn check_place(&self) -> Result<()> {
        if self.have_moved() { Err(self.replaced()) } else { Ok(()) }
    }

    /// The error for a log that is no longer at its path.
    pub(crate) fn replaced(&self) -> Error {
        not_a_log(&self.root, "was removed, or another log is there now: open it again to read that".into())
    }

    /// Whether the directory has no file with a number above `number`.
    fn ends_at(&self, number: u64) -> bool {
        self.numbered().map_or(true, |files| files.last().is_none_or(|(last, _)| *last <= number))
    }

    /// Marks `path` as known: it will not be listed again.
    pub(crate) fn mark_known(&mut self, path: &Path) {
        self.known.insert(path.to_owned());
    }

    /// Whether a logger has the log open. Of one file, whether one has the log of its directory open.
    pub(crate) fn in_use(&self) -> InUse {
        match self.lock_state() {
            Some(LockState::Held(_)) => InUse::Yes,
            Some(LockState::Free) => InUse::No,
            Some(LockState::Unknown) | None => InUse::Unknown,
        }
    }

    /// The process id of the logger that has the log open, if there is one and the system says which.
    pub(crate) fn in_use_by(&self) -> Option<u32> {
        match self.lock_state() {
            Some(LockState::Held(LockHolder::ThisProcess)) => Some(std::process::id()),
            Some(LockState::Held(LockHolder::Process(id))) => Some(id),
            _ => None,
        }
    }

    /// Whether a logger that has the log open is writing the run of `last`, the log's last segment, if that run has no
    /// end: it is not if the process that wrote it is gone, and another one has the log open and has not written a
    /// block yet. Of one file nothing is said: the log may go on in another.
    pub(crate) fn is_being_written(&self, last: Option<&SegmentHeader>) -> bool {
        let was_left = last.and_then(|header| header.process.as_ref()).is_some_and(|writer| {
            // Ids of another machine, or of a process in another namespace, tell nothing.
            let is_here = !writer.host.is_empty() && writer.host == sys::cpu::host_name();
            let is_another = self.in_use_by().is_some_and(|id| id != writer.id);
            is_here && is_another && sys::process::is_gone(writer.id)
        });
        self.is_directory && !was_left
    }

    fn lock_state(&self) -> Option<LockState> {
        if self.naming == Naming::Times {
            // Each is complete when it has its name.
            return Some(LockState::Free);
        }
        let directory = if self.is_directory { Some(self.root.as_path()) } else { self.root.parent() };
        // The parent of a bare file name is an empty path, to which joining gives the name alone.
        directory.map(|directory| sys::lock::state(&directory.join(LOCK_FILE)))
    }

    /// Whether these files are one segment, the one with `index` and `segment_id`, and the next segment in its
    /// directory follows it with block `next`.
    pub(crate) fn go_on_elsewhere(&self, index: u64, segment_id: u64, next: u64) -> bool {
        if self.naming != Naming::Alone {
            return false;
        }
        let directory = self.root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let numbered = entries(directory).filter_map(|entry| Some((segment_number(&entry.file_name())?, entry.path())));
        let after = numbered.filter(|(number, _)| *number > index).min();
        after
            .and_then(|(_, path)| block_0_of(&path))
            .is_some_and(|(block, header)| header.previous_segment_id == segment_id && block.sequence.get() == next)
    }

    /// Findings about files of the directory that have no segment's name, and hold a segment of `log` whose number no
    /// file `has`. The first block of each file is read, and no error is given: nothing says that they are the log's.
    pub(crate) fn misnamed(&self, log: LogId, has: impl Fn(u64) -> bool) -> Vec<Finding> {
        if !self.is_directory {
            return Vec::new();
        }
        let is_other = |entry: &fs::DirEntry| segment_number(&entry.file_name()).is_none();
        let mut others: Vec<_> = entries(&self.root).filter(is_other).collect();
        others.sort_by_key(fs::DirEntry::file_name);
        let others = others.iter().map(fs::DirEntry::path);
        let segments = others.filter_map(|path| Some((block_0_of(&path)?.1, path)));
        segments
            .filter(|(header, _)| header.log == log && !has(header.index))
            .map(|(header, path)| {
                let name = segment_file_name(header.index);
                let what = format!("holds segment {} of this log: rename it to {name}", header.index);
                Finding::of_file(Severity::Note, path, what)
            })
            .collect()
    }

    /// Opens the file at `path`, after making it durable if that was asked for.
    pub(crate) fn open_file(&self, path: &Path) -> Result<SegmentFile> {
        let file = SegmentFile::open(path, self.naming == Naming::Alone)?;
        if self.sync {
            file.sync()?;
        }
        Ok(file)
    }

    /// As [`open_file`](Self::open_file); `None` if the file has been removed.
    pub(crate) fn open_if_there(&self, path: &Path) -> Result<Option<SegmentFile>> {
        match self.open_file(path) {
            Err(error) if is_not_found(&error) => Ok(None),
            file => file.map(Some),
        }
    }

    /// Calls `take` with each of a segment's intact blocks; not at all if the segment has been removed.
    pub(crate) fn each_block(&self, segment: &Segment, take: impl FnMut(&Loaded)) -> Result<()> {
        self.each_block_below(segment, u64::MAX, u64::MAX, take)
    }

    /// The same for the blocks with numbers below `below`. `horizon` is how far to search after the last block.
    pub(crate) fn each_block_below(
        &self,
        segment: &Segment,
        below: u64,
        horizon: u64,
        mut take: impl FnMut(&Loaded),
    ) -> Result<()> {
        let Some(file) = self.open_if_there(&segment.path)? else { return Ok(()) };
        let mut cursor = Cursor::new(Some(segment.segment_id), segment.first_offset);
        let (mut block, mut callsites) = (Loaded::default(), KnownCallsites::default());
        while let Scanned::Block(Found { offset, header, newer, .. }) = cursor.next(&file, horizon)? {
            if newer.is_none() && header.sequence.get() < below && block.read(&file, offset, &header)? {
                block.take_apart(&header, &mut callsites);
                take(&block);
            }
        }
        Ok(())
    }

    /// The kinds of all files that are not known yet, by number. A file that retention has removed since it was listed
    /// is left out. A file that may not be read, or that the disk cannot read, is an error only if it is the only one.
    /// `newest_is_unfinished`: a logger may be preparing the newest file, or writing its first block.
    pub(crate) fn inspect_all(&self, newest_is_unfinished: bool) -> Result<Vec<(u64, PathBuf, Inspected)>> {
        let mut inspected = Vec::new();
        let mut refused = None;
        // The newest first: if one is found in use, all before it were used before, and are found so.
        for (at, (number, path)) in self.list()?.into_iter().rev().enumerate() {
            let is_unfinished = newest_is_unfinished && at == 0;
            match inspect::inspect(number, &path, is_unfinished, self.naming, || self.open_file(&path)) {
                Err(error) if is_not_found(&error) && number > 0 => {}
                Err(error) if self.naming != Naming::Alone && error.io_error().is_some_and(is_of_one_file) => {
                    let source = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    let what = format!("cannot be read: {source}");
                    let kind = if is_forbidden(&error) { Inspected::Forbidden } else { Inspected::Unreadable };
                    inspected.push((number, path, kind(what)));
                    refused = Some(error);
                }
                what => inspected.push((number, path, what?)),
            }
        }
        inspected.reverse();
        let is_readable =
            |(_, _, what): &(_, _, Inspected)| !matches!(what, Inspected::Unreadable(_) | Inspected::Forbidden(_));
        match refused {
            Some(error) if self.known.is_empty() && !inspected.iter().any(is_readable) => Err(error),
            _ => Ok(inspected),
        }
    }
}

/// The entries of the directory at `path`, as far as it can be listed.
fn entries(path: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(path).into_iter().flatten().flatten()
}

/// Whether the directory at `path` holds snapshots, and no segment of a log.
fn has_snapshots_alone(path: &Path) -> bool {
    let names = || entries(path).map(|entry| entry.file_name());
    names().any(|name| parse_snapshot_name(&name).is_some()) && !names().any(|name| segment_number(&name).is_some())
}

/// How a directory without a segment differs from a log. The base directory of event logs is one, and a log of which
/// only the snapshots of its flight recorder are left.
fn no_segment(directory: &Path) -> String {
    let snapshots = directory.join(SNAPSHOTS_FOLDER);
    if has_snapshots_alone(&snapshots) {
        let (directory, snapshots) = (directory.display(), snapshots.display());
        return format!(
            "holds no record of the log itself, but snapshots of its flight recorder: `diolog snapshots {directory}` \
             lists them, and `cat` and `verify` read {snapshots}"
        );
    }
    let has_segment =
        |path: &PathBuf| entries(path).take(LOOKED_AT_MAX).any(|entry| segment_number(&entry.file_name()).is_some());
    match entries(directory).take(LOOKED_AT_MAX).map(|entry| entry.path()).find(has_segment) {
        Some(log) => format!("holds no .dlog file, but logs in directories of their own, such as {}", log.display()),
        None => "holds no .dlog file".into(),
    }
}

/// Whether a permission is missing.
fn is_forbidden(error: &Error) -> bool {
    error.io_error().is_some_and(|source| source.kind() == std::io::ErrorKind::PermissionDenied)
}

/// An [`Error::NotALog`].
pub(crate) fn not_a_log(path: &Path, what: String) -> Error {
    Error::NotALog { path: path.to_owned(), what }
}
