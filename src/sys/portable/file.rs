//! Files: opening, preallocation, directory sync, with the standard library.
//!
//! There is no direct I/O here, so `device` writes buffered. Called by `device`, `segment` and `reader`.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Creates a file for writing, which must not exist yet, accessible only to its owner if the platform has owners.
///
/// # Errors
/// The operating system's; `Unsupported` with `direct`.
pub(crate) fn create_to_write(path: &Path, direct: bool) -> io::Result<File> {
    if direct {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "no direct I/O on this platform"));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    owner_only(&mut options);
    options.open(path)
}

/// Creates a file like [`create_to_write`], to be filled in advance.
pub(crate) fn create_to_fill(path: &Path, direct: bool) -> io::Result<File> {
    create_to_write(path, direct)
}

/// Opens a file that was filled in advance, for writing.
pub(crate) fn open_to_write(path: &Path, _direct: bool) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Sets the size of `file`; space is not reserved.
pub(crate) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)
}

/// One positioned write, which may write fewer bytes than given. Returns how many.
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

/// Whether an open file has no name any more, on platforms that allow that.
pub(crate) fn is_deleted(file: &File) -> bool {
    #[cfg(unix)]
    return file.metadata().is_ok_and(|metadata| std::os::unix::fs::MetadataExt::nlink(&metadata) == 0);
    #[cfg(not(unix))]
    {
        let _ = file;
        false
    }
}

/// Opens a file for reading, unless it is a FIFO or the like, whose open might never return. (The caller recognises
/// symbolic links by the directory's entries.)
pub(crate) fn open_to_read(path: &Path, _follow: bool) -> io::Result<File> {
    let metadata = path.metadata()?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    File::open(path)
}

/// One positioned read, which may read fewer bytes than asked for, and none at the file's end. Returns how many.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, bytes, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, bytes, offset);
    #[cfg(not(any(unix, windows)))]
    {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = file;
        file.seek(SeekFrom::Start(offset))?;
        file.read(bytes)
    }
}

/// Does nothing: there is no portable way to read ahead.
pub(crate) fn read_ahead(_file: &File, _offset: u64, _bytes: u64) {}

/// Makes a directory's entries durable, if the platform can sync directories.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The bytes that can still be written to the file system of `path`: not known, so the largest number.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    path.metadata().map(|_| u64::MAX)
}

/// The alignment that direct I/O on a file needs: 0, since there is none.
pub(crate) fn direct_alignment(_file: &File) -> Option<u32> {
    Some(0)
}

/// The name of the type of file system, for messages: not known.
pub(crate) fn file_system_name(_file: &File) -> String {
    "type unknown".to_owned()
}

/// The largest file that this process may write, in bytes: not known.
pub(crate) fn file_size_limit() -> Option<u64> {
    None
}

/// Makes new files accessible only to their owner, if the platform has owners.
pub(super) fn owner_only(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::test_directory::directory;

    #[test]
    fn a_created_file_never_replaces_another_and_is_never_direct() {
        let directory = directory();
        let path = directory.path().join("file");
        assert_eq!(create_to_write(&path, true).unwrap_err().kind(), io::ErrorKind::Unsupported);
        preallocate(&create_to_write(&path, false).unwrap(), 8192).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 8192);
        assert_eq!(create_to_write(&path, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        sync_directory(directory.path()).unwrap();
    }
}
