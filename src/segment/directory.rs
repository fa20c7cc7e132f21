//! A log's directory, opened for writing: created if missing, locked, and searched for its last segment.
//!
//! `Logger::open` opens it and keeps it until the log is closed. Of each segment it reads only the first block.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    EVENT_FILE, EVENT_TEMPORARY_FILE, LOCK_FILE, LogId, OFFLINE_FILE, RINGS_TEMPORARY_FILE, SPARE_FILE,
    segment_file_name, segment_number,
};
use crate::sync::{lock, try_lock};
use crate::sys::directory::OpenDirectory;
use crate::sys::{Access, is_temporary_name};

use super::inspect::{NumberedFile, Search, inspect, search_for_bytes};
use super::location::{Complete, LogLocation, make};
use super::lock::{LogLock, SharedLock};
use super::owner::Owner;

/// A run may begin only after a segment number up to this one. The numbers that are left are more than any run uses.
const LAST_INDEX_MAX: u64 = u64::MAX / 2;

/// A log's directory and the lock on it. Dropping it releases the lock. If the thread that prepares segments is just
/// changing the directory, the lock is released when the change is done.
pub(crate) struct Directory {
    /// The path by which it was opened. A relative path may lead elsewhere after `open` has returned.
    path: PathBuf,
    /// Shared with the writer and the thread that makes and removes segments.
    pub(super) location: Arc<LogLocation>,
    /// The directories that [`Directory::open`] made, the outermost first. A failed open removes them.
    made: Vec<PathBuf>,
    /// Whether [`Directory::take_for`] has made the file that names the event. A failed open removes it.
    has_made_event_file: bool,
    /// Shared with the thread that makes and removes segments.
    pub(super) lock: SharedLock,
    /// The highest segment number in use, 0 in a new log.
    pub(super) last_index: u64,
    /// From this number on, no file holds a block: an earlier run prepared them and never used them.
    pub(super) unused_from: u64,
    /// The newest segment of the log that can be read, and the log's identity.
    pub(super) newest: Option<(u64, LogId)>,
}

/// How the files and directories of a log are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making {
    /// The mode of files. Directories get the same mode, and may be searched by everybody who may read files.
    pub(crate) file_mode: u32,
    /// The group of files and directories; `None` for the system's choice.
    pub(crate) group: Option<u32>,
    /// Whether missing parents of the log's directory are made.
    pub(crate) create_parents: bool,
}

impl Making {
    fn access(self) -> Access {
        Access { mode: self.file_mode, group: self.group }
    }
}

#[cfg(test)]
impl Making {
    pub(crate) const BY_DEFAULT: Making =
        Making { file_mode: Access::OWNER.mode, group: Access::OWNER.group, create_parents: false };
}

impl Directory {
    /// Opens `path` for writing. If it does not exist, makes it as `making` says.
    ///
    /// # Errors
    /// [`Error::NotALog`] if `path` is something else; [`Error::NoParent`]; [`Error::InUse`]; [`Error::Io`].
    pub(crate) fn open(path: &Path, making: Making) -> Result<Directory> {
        let mut made = Vec::new();
        let opened = make_directory(path, making, &mut made).and_then(|()| {
            LogLocation::open(path, making.access()).map_err(|source| Error::io("open the directory", path, source))
        });
        let location = opened.inspect_err(|_| remove_directories(&made))?;
        let mut directory = Directory {
            path: path.to_owned(),
            location: Arc::new(location),
            made,
            has_made_event_file: false,
            lock: SharedLock::default(),
            last_index: 0,
            unused_from: 1,
            newest: None,
        };
        let opened = LogLock::take(&directory.opened(), path).and_then(|held| {
            *lock(&directory.lock) = Some(held);
            directory.find_last_segment()
        });
        match opened {
            Ok(()) => Ok(directory),
            Err(error) => {
                directory.undo();
                Err(error)
            }
        }
    }

    /// The open directory.
    pub(crate) fn opened(&self) -> Arc<OpenDirectory> {
        self.location.directory()
    }

    /// Makes the directory that of an event, if it is nobody's.
    ///
    /// # Errors
    /// As [`Owner::take`].
    pub(crate) fn take_for(&mut self, owner: &Owner) -> Result<()> {
        self.has_made_event_file = owner.take(&self.opened())?;
        Ok(())
    }

    /// Sets the function that writes the files which must be beside the segments while the log is open. It is called
    /// under the log's lock, also for a directory that replaces a deleted one, and writes the files that are missing.
    pub(crate) fn complete_by(&self, complete: Complete) {
        self.location.complete_by(complete);
    }

    /// The number of the directory's file system, if the system tells it.
    pub(crate) fn file_system(&self) -> Option<u64> {
        self.opened().id_of(".").ok().map(|id| id.device)
    }

    /// Removes the files after the last one that holds any byte other than zero: earlier runs prepared them and did not
    /// use them. Returns the number of the next segment.
    ///
    /// # Errors
    /// [`Error::Io`]. It removes the last file first, so those before the failure are still there.
    pub(crate) fn remove_blank_end(&mut self) -> Result<u64> {
        while self.remove_last_blank()? {}
        Ok(self.last_index + 1)
    }

    /// Removes the last file if earlier runs have prepared and not used it, and it holds no byte other than zero.
    /// Returns whether it did.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn remove_last_blank(&mut self) -> Result<bool> {
        if self.last_index < self.unused_from {
            return Ok(false);
        }
        let directory = self.opened();
        let name = segment_file_name(self.last_index);
        let failed = |operation, source| Error::io(operation, &directory.path_of(&name), source);
        match search_for_bytes(&directory, self.last_index, || false) {
            Ok(Search::Blank) => directory.remove(&name).map_err(|source| failed("remove", source))?,
            Ok(Search::HoldsBytes | Search::Stopped) => return Ok(false),
            Err(source) => return Err(failed("read", source)),
        }
        self.last_index -= 1;
        Ok(true)
    }

    /// The highest segment number in use, 0 in a new log.
    pub(crate) fn last_index(&self) -> u64 {
        self.last_index
    }

    /// How many files right before number `index` hold no block.
    pub(crate) fn unused_before(&self, index: u64) -> u64 {
        index - self.unused_from
    }

    /// Searches the segments again, after one was added.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub(crate) fn look_again(&mut self) -> Result<()> {
        self.find_last_segment()
    }

    /// The log that the directory holds, if that is known.
    pub(crate) fn log(&self) -> Option<LogId> {
        self.newest.map(|(_, log)| log)
    }

    /// Removes what [`Directory::open`] created, after a later step of opening failed. If another logger has taken the
    /// lock, nothing is removed.
    pub(crate) fn undo(self) {
        // Only under the lock: the file to remove must not be one that another logger has locked.
        if let Some(held) = &*lock(&self.lock) {
            if self.has_made_event_file {
                let _ = self.opened().remove(EVENT_FILE);
            }
            if held.has_made_file() {
                let _ = self.opened().remove(LOCK_FILE);
            }
        }
        remove_directories(&self.made);
    }

    /// Finds the segments. Removes temporary files of an earlier run, which the lock allows.
    fn find_last_segment(&mut self) -> Result<()> {
        let failed = |source| Error::io("list", &self.path, source);
        let mut segments = Vec::new();
        let directory = self.opened();
        for name in directory.names().map_err(failed)? {
            segments.extend(segment_number(&name));
            if let Some(name) = name.to_str().filter(|name| is_temporary(name)) {
                let _ = directory.remove(name);
            }
        }
        segments.sort_unstable();
        self.last_index = segments.last().copied().unwrap_or(0);
        if self.last_index > LAST_INDEX_MAX {
            return Err(Error::NotALog {
                path: self.path.join(segment_file_name(self.last_index)),
                what: "has a number so high that it leaves none for the next segments: move it away".into(),
            });
        }
        self.unused_from = self.first_unused(&segments);
        self.newest = self.identify(&segments)?;
        Ok(())
    }

    /// The first number from which on the first block of every file is zero and no number is missing.
    fn first_unused(&self, numbers: &[u64]) -> u64 {
        let directory = self.opened();
        let is_unused = |number: u64| matches!(inspect(&directory, number), Ok(NumberedFile::Unwritten));
        let downwards = (0..=self.last_index).rev();
        let pairs = numbers.iter().rev().zip(downwards);
        let unused = pairs.take_while(|&(&number, next)| number == next && is_unused(number)).count();
        self.last_index + 1 - unused as u64
    }

    /// The log that the directory holds, and its newest segment.
    ///
    /// # Errors
    /// No segment can be read, and there is a file that may be one. A new log beside it would hide its records.
    fn identify(&self, numbers: &[u64]) -> Result<Option<(u64, LogId)>> {
        let directory = self.opened();
        let mut inspected = Vec::new();
        let mut unreadable = None;
        let newest_first = numbers.iter().rev().filter_map(|&number| match inspect(&directory, number) {
            Ok(NumberedFile::Segment(log)) => {
                inspected.push((number, log));
                Some(log)
            }
            Err(error) => {
                let entry = directory.entry(&segment_file_name(number));
                if entry.map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |entry| entry.is_file) {
                    unreadable.get_or_insert((number, error));
                }
                None
            }
            Ok(NumberedFile::Unwritten | NumberedFile::Other(_)) => None,
        });
        if let Some(log) = LogId::of_directory(newest_first) {
            return Ok(inspected.into_iter().find(|(_, other)| *other == log));
        }
        match unreadable {
            None => Ok(None),
            Some((number, error)) => {
                Err(Error::io("read the log's identity from", &directory.path_of(&segment_file_name(number)), error))
            }
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // If it is locked, the thread that prepares segments has the other reference, and drops the lock with it.
        if let Some(mut held) = try_lock(&self.lock) {
            *held = None;
        }
    }
}

/// Whether a file of this name is temporary: one that the lock's holder is making (a segment, a file of rings, or the
/// name of an event), or the trial file of the device's probe.
fn is_temporary(name: &str) -> bool {
    [SPARE_FILE, OFFLINE_FILE, RINGS_TEMPORARY_FILE, EVENT_TEMPORARY_FILE].contains(&name) || is_temporary_name(name)
}

/// Removes directories, the innermost first. One that is not empty stays, without an error.
fn remove_directories(made: &[PathBuf]) {
    made.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
}

/// Makes `path` if it is missing, and its missing parents if `making` says so. Adds the directories that it made to
/// `made`.
fn make_directory(path: &Path, making: Making, made: &mut Vec<PathBuf>) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => {
            return Err(Error::NotALog {
                path: path.to_owned(),
                what: "is not a directory, and a log is one: give the log a name of its own".into(),
            });
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::io("open the directory", path, source)),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|_| making.create_parents) {
        make_directory(parent, making, made)?;
    }
    match make(path, making.access()) {
        Ok(()) => {
            made.push(path.to_owned());
            Ok(())
        }
        // Another opener made it first. The lock decides between the two.
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(source) => match parent {
            // A file system that makes no directories, such as procfs, may give the same error.
            Some(parent) if source.kind() == io::ErrorKind::NotFound && !parent.exists() => {
                Err(Error::NoParent { path: path.to_owned(), parent: parent.to_owned() })
            }
            _ => Err(Error::io("create the directory", path, source)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::test_directory::directory;

    #[test]
    fn only_files_that_the_lock_holder_makes_are_temporary() {
        for temporary in ["spare.tmp", "offline.tmp", "rings.tmp", "event.tmp", ".probe-1-2.tmp"] {
            assert!(is_temporary(temporary), "{temporary}");
        }
        for other in ["lock", "event", "a.tmp", ".probe.tmp", "00000001.dlog"] {
            assert!(!is_temporary(other), "{other}");
        }
    }

    #[test]
    fn the_unused_files_are_those_at_the_end_without_a_gap() {
        // Each file's number, and the byte that fills it.
        let cases: [(&[(u64, u8)], u64); 6] = [
            (&[], 1),
            (&[(1, 7)], 2),
            (&[(1, 7), (2, 0), (3, 0)], 2),
            (&[(1, 7), (3, 0)], 3),
            (&[(1, 0), (2, 7)], 3),
            (&[(1, 0)], 1),
        ];
        for (files, unused_from) in cases {
            let parent = directory();
            for &(number, byte) in files {
                fs::write(parent.path().join(segment_file_name(number)), [byte; 4096]).expect("a file");
            }
            let opened = Directory::open(parent.path(), Making::BY_DEFAULT).expect("a directory");
            assert_eq!(opened.unused_from, unused_from, "{files:?}");
        }
    }
}
