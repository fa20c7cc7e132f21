//! A lock on a file, for one holder at a time. Called by `segment` for the lock on a log, and by `reader`, which only
//! asks whether the lock is held.
//!
//! It is the standard library's lock: it ends with the process, but a forked child shares it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::directory::OpenDirectory;
use crate::sys::{FileId, LockHolder, LockRefusal, LockState};

/// An exclusive lock on a file, until dropped or until this process ends.
pub(crate) struct FileLock {
    /// Open, and so locked, for as long as this lives.
    file: File,
    /// Whether the file was created for the lock.
    made: bool,
}

impl FileLock {
    /// Locks the file `name` in `directory`, which is created if it is missing.
    ///
    /// # Errors
    /// [`LockRefusal`], without waiting, if the file is locked or the system refuses a step.
    pub(crate) fn take(directory: &OpenDirectory, name: &str) -> Result<FileLock, LockRefusal> {
        let refused = |operation, source| LockRefusal::Io { operation, source };
        let entry = directory.entry(name);
        if entry.as_ref().is_ok_and(|entry| !entry.is_file) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file: remove it");
            return Err(refused("lock", source));
        }
        let made = entry.is_err();
        let file = directory.open_or_create(name).map_err(|source| refused("open the lock file", source))?;
        match file.try_lock() {
            Ok(()) => Ok(FileLock { file, made }),
            Err(TryLockError::WouldBlock) => Err(LockRefusal::Held(LockHolder::Unknown)),
            Err(TryLockError::Error(source)) => Err(refused("lock", source)),
        }
    }

    /// Whether the file `name` in `directory` is the locked one. If files have no identity on a platform, an open one
    /// cannot be deleted there.
    pub(crate) fn is_at(&self, directory: &OpenDirectory, name: &str) -> bool {
        let held = self.file.metadata().and_then(|metadata| FileId::of(&metadata));
        match (directory.id_of(name), held) {
            (Ok(there), Ok(held)) => there == held,
            _ => cfg!(not(unix)) && directory.entry(name).is_ok(),
        }
    }

    /// Whether [`take`](Self::take) created the file.
    pub(crate) fn has_made_file(&self) -> bool {
        self.made
    }
}

/// Whether the file at `path` is locked: unknown, because the standard library cannot tell without locking it.
pub(crate) fn state(_path: &Path) -> LockState {
    LockState::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::test_directory::directory;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_dropped() {
        let directory = directory();
        let directory = OpenDirectory::open(directory.path()).unwrap();
        let lock = FileLock::take(&directory, "lock").unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert!(matches!(FileLock::take(&directory, "lock"), Err(LockRefusal::Held(_))));
        drop(lock);
        assert!(FileLock::take(&directory, "lock").is_ok());
    }
}
