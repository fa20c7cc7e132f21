//! Files: opening for direct I/O, preallocation, directory sync, and what the system says of a file.
//!
//! No file is opened through a symbolic link, but one that a reader was given by name, and every descriptor is closed on
//! exec. What a file holds is not known here. Called by `device`, `segment` and `reader`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FallocateFlags, StatxFlags};

/// Creates a file that must not be there yet, for writing, readable by its owner alone.
///
/// `direct` adds `O_DIRECT | O_DSYNC`: a write returns when the block is durable. The flags are libc's: in rustix's
/// default backend `OFlags::DSYNC` means `O_SYNC`, which would sync the inode's times as well, for each block.
pub(crate) fn open_segment(path: &Path, direct: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(segment_flags(direct)).open(path)
}

/// The flags of a descriptor that blocks are written to.
fn segment_flags(direct: bool) -> libc::c_int {
    let durable = if direct { libc::O_DIRECT | libc::O_DSYNC } else { 0 };
    libc::O_NOFOLLOW | libc::O_CLOEXEC | durable
}

/// Creates a file like [`open_segment`], to be filled in advance: no write to it waits until it is durable.
pub(crate) fn create_to_fill(path: &Path, direct: bool) -> io::Result<File> {
    let direct = if direct { libc::O_DIRECT } else { 0 };
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | direct;
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)
}

/// Opens a file that was filled in advance as [`open_segment`] would have.
pub(crate) fn open_prepared(path: &Path, direct: bool) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(segment_flags(direct)).open(path)
}

/// Gives `file` `bytes` of space and that size, without writing it. Where the file system cannot reserve space, only
/// the size is set.
///
/// # Errors
/// With ENOSPC the file may have kept a part of the space: cut it back, or remove it.
pub(crate) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes)) {
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes),
        result => Ok(result?),
    }
}

/// One `pwrite`: the bytes written may be fewer than those given.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(bytes, offset)
}

/// Opens a file for reading. A link in its place is followed only if `follow` says so; a pipe does not block.
pub(crate) fn open_to_read(path: &Path, follow: bool) -> io::Result<File> {
    let no_follow = if follow { 0 } else { libc::O_NOFOLLOW };
    OpenOptions::new().read(true).custom_flags(no_follow | libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)
}

/// One `pread`: the bytes read may be fewer than asked for; none at the file's end.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(bytes, offset)
}

/// Has the kernel begin to read this part of `file` into its cache. A hint: nothing is lost if it does not.
pub(crate) fn read_ahead(file: &File, offset: u64, bytes: u64) {
    let _ = rustix::fs::fadvise(file, offset, std::num::NonZeroU64::new(bytes), rustix::fs::Advice::WillNeed);
}

/// Makes the names in a directory durable: those created, renamed and removed before this call.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    let flags = libc::O_DIRECTORY | libc::O_CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags).open(directory)?.sync_all()
}

/// Whether an open file has no name any more: what is written to it is gone when it is closed.
///
/// Asks for the number of names and nothing else. Linux 6.13 and later give a file whose times were asked for a new time
/// at its next write, however soon that is, and a durable write then writes the inode too: on ext4 a flushed record took
/// 165 µs instead of 115.
pub(crate) fn is_deleted(file: &File) -> bool {
    match rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
        Ok(stat) if stat.stx_mask & StatxFlags::NLINK.bits() != 0 => stat.stx_nlink == 0,
        // A kernel before 4.11, a sandbox that forbids it, a file system that does not say.
        _ => file.metadata().is_ok_and(|metadata| metadata.nlink() == 0),
    }
}

/// The bytes that an ordinary user can still write to the file system that holds `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::io::retry_on_intr(|| rustix::fs::statvfs(path))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What the kernel says of direct I/O on `file`: the alignment in bytes that memory, offsets and lengths need; 0 if
/// there is none; `None` if this kernel (before 6.1) or this file system does not say.
pub(crate) fn direct_alignment(file: &File) -> Option<u32> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    let known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::DIOALIGN);
    match (stat.stx_dio_mem_align, stat.stx_dio_offset_align) {
        _ if !known => None,
        (0, _) | (_, 0) => Some(0),
        (memory, offset) => Some(memory.max(offset)),
    }
}

/// The name of the kind of file system that holds `file`, for messages; its magic number where the name is not known.
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
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::sys::test_directory::directory;

    /// The status flags of an open file, as libc names them.
    fn flags(file: &File) -> i32 {
        rustix::fs::fcntl_getfl(file).unwrap().bits() as i32
    }

    #[test]
    fn a_direct_segment_has_o_direct_and_o_dsync_and_not_o_sync() {
        let directory = directory();
        let flags = flags(&open_segment(&directory.path().join("direct"), true).unwrap());
        assert_eq!(flags & libc::O_DIRECT, libc::O_DIRECT);
        assert_eq!(flags & libc::O_DSYNC, libc::O_DSYNC);
        // O_SYNC is O_DSYNC and one bit more.
        assert_eq!(flags & (libc::O_SYNC & !libc::O_DSYNC), 0);
        assert_eq!(flags & libc::O_ACCMODE, libc::O_WRONLY);
    }

    #[test]
    fn a_buffered_segment_has_none_of_them() {
        let directory = directory();
        let flags = flags(&open_segment(&directory.path().join("buffered"), false).unwrap());
        assert_eq!(flags & (libc::O_DIRECT | libc::O_SYNC), 0);
    }

    #[test]
    fn a_segment_is_its_owners_alone_and_never_replaces_a_file_or_follows_a_link() {
        let directory = directory();
        let path = directory.path().join("segment");
        let mode = open_segment(&path, false).unwrap().metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(open_segment(&path, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).unwrap();
        assert_eq!(open_segment(&link, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(open_to_read(&link, false).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert!(!directory.path().join("elsewhere").exists());
    }

    #[test]
    fn preallocation_sets_the_size_and_reserves_the_space() {
        let directory = directory();
        let file = open_segment(&directory.path().join("segment"), false).unwrap();
        preallocate(&file, 1 << 20).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 1 << 20);
        assert!(metadata.blocks() * 512 >= 1 << 20);
        sync_directory(directory.path()).unwrap();
        assert!(free_bytes(directory.path()).unwrap() > 0);
    }
}
