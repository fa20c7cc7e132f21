//! A lock on a file, for one holder at a time. Called by `segment` for the lock on a log, and by `reader`, which only
//! asks whether the lock is held.
//!
//! It is the standard library's lock: it ends with the process, but a forked child shares it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::file::owner_only;
use crate::sys::{LockHolder, LockRefusal, LockState};

/// An exclusive lock on a file, until dropped or until this process ends.
pub(crate) struct FileLock {
    /// Open, and so locked, for as long as this lives.
    file: File,
}

impl FileLock {
    /// Locks the file at `path`, which is created if it is missing.
    ///
    /// # Errors
    /// [`LockRefusal`], without waiting, if the file is locked or the system refuses a step.
    pub(crate) fn take(path: &Path) -> Result<FileLock, LockRefusal> {
        let refused = |operation, source| LockRefusal::Io { operation, source };
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file: remove it");
            return Err(refused("lock", source));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        owner_only(&mut options);
        let file = options.open(path).map_err(|source| refused("open the lock file", source))?;
        match file.try_lock() {
            Ok(()) => Ok(FileLock { file }),
            Err(TryLockError::WouldBlock) => Err(LockRefusal::Held(LockHolder::Unknown)),
            Err(TryLockError::Error(source)) => Err(refused("lock", source)),
        }
    }

    /// Whether the file at `path` is the locked one.
    #[cfg(unix)]
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        match (path.symlink_metadata(), self.file.metadata()) {
            (Ok(there), Ok(held)) => identity(there) == identity(held),
            _ => false,
        }
    }

    /// Whether the file at `path` is the locked one. An open file cannot be deleted on these platforms.
    #[cfg(not(unix))]
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        path.exists()
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
        let path = directory.path().join("lock");
        let lock = FileLock::take(&path).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert!(matches!(FileLock::take(&path), Err(LockRefusal::Held(_))));
        drop(lock);
        assert!(FileLock::take(&path).is_ok());
    }
}
