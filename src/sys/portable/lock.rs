//! The lock on a log's directory: one logger writes it at a time. It is the standard library's, which ends with the
//! process, but which a forked child shares. Called by `segment`, and
//! by `reader` to ask.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::file::owner_only;
use crate::{Error, Result};

/// The right to write the log in a directory, until dropped or until this process ends.
pub(crate) struct DirectoryLock {
    /// Open, and so locked, for as long as this lives.
    file: File,
}

impl DirectoryLock {
    /// Sees to it that the lock is on what stands at `directory` now: that may have been deleted and made again.
    ///
    /// # Errors
    /// As [`lock_directory`]: another logger may have it. The earlier lock is kept then.
    pub(crate) fn renew(&mut self, directory: &Path) -> Result<()> {
        if !is_at(&self.file, &directory.join("lock")) {
            *self = lock_directory(directory)?;
        }
        Ok(())
    }
}

/// Whether `path` still names `file`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (path.symlink_metadata(), file.metadata()) {
        (Ok(there), Ok(held)) => identity(there) == identity(held),
        _ => false,
    }
}

/// Whether `path` still names `file`: what is open cannot be deleted here.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Locks the log in `directory` for this logger alone, by the standard library's lock on its file `lock`.
///
/// # Errors
/// [`Error::InUse`] if this process or another one has it; [`Error::Io`] if the file cannot be made or locked.
pub(crate) fn lock_directory(directory: &Path) -> Result<DirectoryLock> {
    let path = directory.join("lock");
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file: remove it");
        return Err(Error::io("lock", &path, source));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    owner_only(&mut options);
    let file = options.open(&path).map_err(|source| Error::io("open the lock file", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock { file }),
        Err(TryLockError::WouldBlock) => {
            Err(Error::InUse { path: PathBuf::from(directory), holder: "another logger".to_owned() })
        }
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path, source)),
    }
}

/// Whether a logger has the log in `directory` locked: it cannot be told without taking the lock.
pub(crate) fn is_locked(_directory: &Path) -> Option<bool> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::directory;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_dropped() {
        let directory = directory();
        let lock = lock_directory(directory.path()).unwrap();
        assert!(matches!(lock_directory(directory.path()), Err(Error::InUse { .. })));
        drop(lock);
        drop(lock_directory(directory.path()).unwrap());
    }
}
