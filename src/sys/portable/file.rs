//! Open files: preallocation, positioned reads and writes, with the standard library; opening for readers.
//!
//! There is no direct I/O here, so `device` writes buffered. Called by `device`, `segment` and `reader`.

use std::fs::{File, FileTimes, Metadata};
use std::io;
use std::path::Path;

use crate::sys::FileId;

/// Sets the size of `file`; space is not reserved.
pub(crate) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)
}

/// Refuses: there is no portable way to promise room.
///
/// # Errors
/// Always `Unsupported`.
pub(crate) fn allocate(_file: &File, _offset: u64, _bytes: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Refuses: there is no portable way to give room back.
///
/// # Errors
/// Always `Unsupported`.
pub(crate) fn deallocate(_file: &File, _offset: u64, _bytes: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
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

/// `None`: it is not known here whether another user may have written a file.
pub(crate) fn why_not_own(_metadata: &Metadata) -> Option<String> {
    None
}

/// Gives `file` the times of the last access and the last write that `metadata` has.
pub(crate) fn set_times(file: &File, metadata: &Metadata) -> io::Result<()> {
    file.set_times(FileTimes::new().set_accessed(metadata.accessed()?).set_modified(metadata.modified()?))
}

/// The offset from which on a file may hold bytes other than zero: `offset`, since there is no portable way to find
/// holes.
pub(crate) fn next_data(_file: &File, offset: u64) -> io::Result<Option<u64>> {
    Ok(Some(offset))
}

/// Whether a sync failed because the file system has nothing to write: it cannot be written to.
pub(crate) fn has_nothing_to_sync(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), InvalidInput | ReadOnlyFilesystem | Unsupported)
}

/// Whether the disk could not read or write a place, on platforms that tell.
pub(crate) fn is_of_the_disk(error: &io::Error) -> bool {
    // EIO, which has this number on every Unix.
    cfg!(unix) && error.raw_os_error() == Some(5)
}

/// The identity of an open file.
///
/// # Errors
/// The operating system's; `Unsupported` if files have no identity there.
pub(crate) fn id(file: &File) -> io::Result<FileId> {
    FileId::of(&file.metadata()?)
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
