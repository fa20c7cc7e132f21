//! Files: opening, preallocation, locks, directory sync, with what the standard library offers everywhere.
//!
//! There is no direct I/O here: `device` uses its buffered rung. Called by `device` (the probe), `segment` and `logger`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Creates a file that must not be there yet, for writing, readable by its owner alone where owners exist.
///
/// # Errors
/// Besides the operating system's, `Unsupported` if `direct` is asked for.
pub(crate) fn open_segment(path: &Path, direct: bool) -> io::Result<File> {
    if direct {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "no direct I/O on this platform"));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    owner_only(&mut options);
    options.open(path)
}

/// Creates a file like [`open_segment`], to be filled in advance.
pub(crate) fn create_to_fill(path: &Path, direct: bool) -> io::Result<File> {
    open_segment(path, direct)
}

/// Opens a file that was filled in advance, for writing.
pub(crate) fn open_prepared(path: &Path, _direct: bool) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Gives `file` that size; the space is not reserved.
pub(crate) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)
}

/// One positioned write: the bytes written may be fewer than those given.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_at(file, bytes, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_write(file, bytes, offset);
    #[cfg(not(any(unix, windows)))]
    {
        use std::io::{Seek, SeekFrom, Write};
        let mut file = file;
        file.seek(SeekFrom::Start(offset))?;
        file.write(bytes)
    }
}

/// Makes the names in a directory durable, where directories can be synced.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The bytes that can still be written to the file system of `path`: without limit, since it cannot be asked.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    path.metadata().map(|_| u64::MAX)
}

/// What the system says of direct I/O on a file: there is none.
pub(crate) fn direct_alignment(_file: &File) -> Option<u32> {
    Some(0)
}

/// The name of the kind of file system, for messages: not known.
pub(crate) fn file_system_name(_file: &File) -> String {
    "type unknown".to_owned()
}

/// The largest file that this process may write, in bytes: not known.
pub(crate) fn file_size_limit() -> Option<u64> {
    None
}

/// The right to write the log in a directory, until dropped or until this process ends.
pub(crate) struct DirectoryLock {
    /// Open, and so locked, for as long as this lives.
    _file: File,
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
        Ok(()) => Ok(DirectoryLock { _file: file }),
        Err(TryLockError::WouldBlock) => {
            Err(Error::InUse { path: PathBuf::from(directory), holder: "another logger".to_owned() })
        }
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path, source)),
    }
}

/// New files are their owner's alone, where owners exist.
fn owner_only(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_dropped() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap();
        let lock = lock_directory(directory.path()).unwrap();
        assert!(matches!(lock_directory(directory.path()), Err(Error::InUse { .. })));
        drop(lock);
        drop(lock_directory(directory.path()).unwrap());
    }

    #[test]
    fn a_segment_never_replaces_a_file_and_is_never_direct() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap();
        let path = directory.path().join("segment");
        assert_eq!(open_segment(&path, true).unwrap_err().kind(), io::ErrorKind::Unsupported);
        preallocate(&open_segment(&path, false).unwrap(), 8192).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 8192);
        assert_eq!(open_segment(&path, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        sync_directory(directory.path()).unwrap();
    }
}
