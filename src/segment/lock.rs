//! The lock on a log: only one logger at a time writes it. It is a lock on the file `lock` in the log's directory.
//!
//! [`Directory`](super::Directory) takes it, and shares it with the thread that prepares segments. Readers take no
//! lock.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::format::LOCK_FILE;
use crate::sys::directory::OpenDirectory;
use crate::sys::lock::{self, FileLock};
use crate::sys::{LockRefusal, LockState};

use super::location::LogLocation;

/// The lock on a log; `None` after the log was closed. Code that changes the directory must hold the mutex, and find
/// the lock in it.
pub(super) type SharedLock = Arc<Mutex<Option<LogLock>>>;

/// The right to write the log in a directory.
pub(crate) struct LogLock(FileLock);

impl LogLock {
    /// Locks the log in `directory`. Error messages call it `path`.
    ///
    /// # Errors
    /// [`Error::InUse`] if another logger, in this process or another one, has the lock; [`Error::Io`] if the lock file
    /// cannot be created or locked.
    pub(super) fn take(directory: &OpenDirectory, path: &Path) -> Result<LogLock> {
        FileLock::take(directory, LOCK_FILE).map(LogLock).map_err(|refusal| match refusal {
            LockRefusal::Held(holder) => Error::InUse { path: path.to_owned(), holder: holder.to_string() },
            LockRefusal::Io { operation, source } => Error::io(operation, &path.join(LOCK_FILE), source),
        })
    }

    /// Checks that no logger has the log in the directory at `path` open, as far as the system tells. Takes no lock.
    ///
    /// # Errors
    /// [`Error::InUse`].
    pub(crate) fn check_free(path: &Path) -> Result<()> {
        match lock::state(&path.join(LOCK_FILE)) {
            LockState::Held(holder) => Err(Error::InUse { path: path.to_owned(), holder: holder.to_string() }),
            LockState::Free | LockState::Unknown => Ok(()),
        }
    }

    /// Whether [`LogLock::take`] created the lock file.
    pub(super) fn has_made_file(&self) -> bool {
        self.0.has_made_file()
    }

    /// Locks the log again if its directory or its lock file was deleted. Then writes the other files that are missing
    /// beside the segments.
    ///
    /// # Errors
    /// As [`LogLock::take`], [`LogLocation::restore`], and [`LogLocation::complete`]. Without a new lock, the old one
    /// is kept.
    pub(super) fn renew(&mut self, location: &LogLocation) -> Result<()> {
        location.restore()?;
        let directory = location.directory();
        if !self.0.is_at(&directory, LOCK_FILE) {
            *self = LogLock::take(&directory, directory.path())?;
        }
        location.complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::LockHolder;
    use crate::sys::test_directory::directory;

    fn take(path: &Path) -> Result<LogLock> {
        LogLock::take(&OpenDirectory::open(path).expect("a directory"), path)
    }

    #[test]
    fn a_second_logger_is_refused_and_the_message_names_the_holder() {
        let directory = directory();
        let _lock = take(directory.path()).expect("the first");
        let error = take(directory.path()).err().expect("refused");
        let Error::InUse { path, holder } = &error else { panic!("{error}") };
        assert_eq!(path, directory.path());
        assert!(["this process", "another logger"].contains(&holder.as_str()), "{error}");
        assert_eq!(LockHolder::Process(7).to_string(), "process 7");
    }

    #[test]
    fn a_lock_is_renewed_only_if_its_file_is_no_longer_there() {
        let directory = directory();
        let location = LogLocation::open(directory.path(), crate::sys::Access::OWNER).expect("a directory");
        let mut lock = take(directory.path()).expect("locked");
        lock.renew(&location).expect("nothing to do");
        std::fs::remove_file(directory.path().join(LOCK_FILE)).expect("removed");
        lock.renew(&location).expect("locked anew");
        assert!(directory.path().join(LOCK_FILE).exists());
        assert!(matches!(take(directory.path()), Err(Error::InUse { .. })));
    }

    #[test]
    fn a_lock_file_that_cannot_be_made_is_named() {
        let parent = directory();
        let path = parent.path().join("log");
        std::fs::create_dir(&path).expect("a directory");
        let opened = OpenDirectory::open(&path).expect("a directory");
        std::fs::remove_dir(&path).expect("empty");
        let error = LogLock::take(&opened, &path).err().expect("refused");
        assert!(matches!(&error, Error::Io { path: named, .. } if *named == path.join(LOCK_FILE)), "{error}");
    }
}
