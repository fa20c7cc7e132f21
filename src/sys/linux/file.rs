//! Open files: preallocation, positioned reads and writes, and properties of files and file systems; opening for
//! readers.
//!
//! No file is opened through a symbolic link, except one that a reader was given by name, and every descriptor is
//! closed on exec. Nothing is known here of a file's contents. Called by `device`, `segment` and `reader`.

use std::fs::{File, FileTimes, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FallocateFlags, StatxFlags};

use crate::sys::FileId;

/// Reserves `bytes` of space for `file` and sets its size, without writing it. If the file system cannot reserve space,
/// only the size is set.
///
/// # Errors
/// After ENOSPC the file may have kept a part of the space: cut it, or remove it.
pub(crate) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes)) {
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes),
        result => Ok(result?),
    }
}

/// How many bytes are allocated at a time: a call that a signal interrupts begins anew.
const ALLOCATED_AT_ONCE: u64 = 1 << 20;

/// Gives `file` room for `bytes` bytes from `offset`, within its size, so that no write to them can fail for want of
/// it. They keep what they hold, and are zero at first.
///
/// # Errors
/// There is no room, or the file system cannot promise it. A part may be allocated then.
pub(crate) fn allocate(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    let end = offset + bytes;
    for from in (offset..end).step_by(ALLOCATED_AT_ONCE as usize) {
        let bytes = ALLOCATED_AT_ONCE.min(end - from);
        rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, from, bytes))?;
    }
    Ok(())
}

/// Gives the room of such bytes back to the system: they are zero then.
///
/// # Errors
/// The file system refuses.
pub(crate) fn deallocate(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, flags, offset, bytes))?)
}

/// One `pwrite`, which may write fewer bytes than given. Returns how many.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(bytes, offset)
}

/// Opens a file for reading. A symbolic link is followed only with `follow`. Opening a pipe does not block.
pub(crate) fn open_to_read(path: &Path, follow: bool) -> io::Result<File> {
    let no_follow = if follow { 0 } else { libc::O_NOFOLLOW };
    OpenOptions::new().read(true).custom_flags(no_follow | libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)
}

/// One `pread`, which may read fewer bytes than asked for, and none at the file's end. Returns how many.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(bytes, offset)
}

/// Asks the kernel to begin reading this part of `file` into its cache. Only a hint.
pub(crate) fn read_ahead(file: &File, offset: u64, bytes: u64) {
    let _ = rustix::fs::fadvise(file, offset, std::num::NonZeroU64::new(bytes), rustix::fs::Advice::WillNeed);
}

/// The offset from which on `file` may hold bytes other than zero: `offset` itself, or one after a hole; `None` if only
/// a hole follows, or the file's end. A file system that does not know its holes has none.
pub(crate) fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data.max(offset))),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(Some(offset)),
        Err(error) => Err(error.into()),
    }
}

/// Whether a sync failed because the file system has nothing to write: it cannot be written to.
pub(crate) fn has_nothing_to_sync(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP))
}

/// Whether the disk could not read or write a place.
pub(crate) fn is_of_the_disk(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// Whether an open file has no name any more: its contents are gone when it is closed.
///
/// It queries only the number of names. After a query of a file's times, Linux 6.13 and later give the file a new time
/// at its next write, however soon that is, so that a durable write also writes the inode: on ext4 a flushed record
/// took 165 µs instead of 115.
pub(crate) fn is_deleted(file: &File) -> bool {
    match rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
        Ok(stat) if stat.stx_mask & StatxFlags::NLINK.bits() != 0 => stat.stx_nlink == 0,
        // A kernel before 4.11, a sandbox that forbids the call, or a file system that does not know the number.
        _ => file.metadata().is_ok_and(|metadata| metadata.nlink() == 0),
    }
}

/// Why a user other than this one may have written a file, or may change it; `None` if none may. It is a clause that
/// follows the file's name.
pub(crate) fn why_not_own(metadata: &Metadata) -> Option<String> {
    let (user, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if user != rustix::process::geteuid().as_raw() {
        return Some(format!("belongs to user {user}: recover the log as that user"));
    }
    if mode & 0o022 != 0 {
        return Some(format!("may be written by others: its mode is {mode:o}"));
    }
    (metadata.nlink() > 1).then(|| "has more than one name: somebody has linked it".to_owned())
}

/// Gives `file` the times of the last access and the last write that `metadata` has.
pub(crate) fn set_times(file: &File, metadata: &Metadata) -> io::Result<()> {
    file.set_times(FileTimes::new().set_accessed(metadata.accessed()?).set_modified(metadata.modified()?))
}

/// The identity of an open file. It does not ask for times, as [`is_deleted`] does not.
pub(crate) fn id(file: &File) -> io::Result<FileId> {
    match rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::INO) {
        Ok(stat) => {
            Ok(FileId { device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino })
        }
        Err(_) => file.metadata().map(|metadata| FileId { device: metadata.dev(), inode: metadata.ino() }),
    }
}

/// The alignment, in bytes, that direct I/O on `file` needs of memory, offsets and lengths; 0 if there is no direct
/// I/O; `None` if this kernel (before 6.1) or this file system does not report it.
pub(crate) fn direct_alignment(file: &File) -> Option<u32> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    let known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::DIOALIGN);
    match (stat.stx_dio_mem_align, stat.stx_dio_offset_align) {
        _ if !known => None,
        (0, _) | (_, 0) => Some(0),
        (memory, offset) => Some(memory.max(offset)),
    }
}

/// The name of the type of file system that holds `file`, for messages; its magic number if the name is not known.
pub(crate) fn file_system_name(file: &File) -> String {
    // The numbers are those of statfs(2) and linux/magic.h.
    let name = match rustix::fs::fstatfs(file).map(|stat| stat.f_type as u32) {
        Ok(0x0102_1994) => "tmpfs",
        Ok(0x8584_58f6) => "ramfs",
        Ok(0x9123_683e) => "btrfs",
        Ok(0x794c_7630) => "overlay",
        Ok(0x0000_ef53) => "ext4",
        Ok(0x5846_5342) => "xfs",
        Ok(0xf2f5_2010) => "f2fs",
        Ok(0x2fc1_2fc1) => "zfs",
        Ok(0x0000_6969) => "nfs",
        Ok(0x6573_5546) => "fuse",
        Ok(0x0102_1997) => "9p",
        Ok(0xff53_4d42 | 0xfe53_4d42) => "smb",
        Ok(number) => return format!("type {number:#x}"),
        Err(_) => return "type unknown".to_owned(),
    };
    name.to_owned()
}

/// The largest file that this process may write, in bytes.
pub(crate) fn file_size_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::directory::OpenDirectory;
    use crate::sys::test_directory::directory;

    #[test]
    fn preallocation_sets_the_size_and_reserves_the_space() {
        let directory = directory();
        let file = OpenDirectory::open(directory.path()).unwrap().create_to_write("file", false).unwrap();
        preallocate(&file, 1 << 20).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 1 << 20);
        assert!(metadata.blocks() * 512 >= 1 << 20);
    }
}
