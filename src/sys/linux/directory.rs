//! An open directory, and its files by their names in it. A rename of the directory changes nothing, nor does a change
//! of the process's working directory or root. Called by `device` and `segment`.
//!
//! No file is opened through a symbolic link, and every descriptor is closed on exec.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::sys::{Access, DirectoryEntry, FileId, NotOwned};

/// A directory that was opened by a path.
pub(crate) struct OpenDirectory {
    file: File,
    path: PathBuf,
    /// The access to the files created in it.
    access: Access,
}

impl OpenDirectory {
    /// Opens the directory at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<OpenDirectory> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC).open(path)?;
        // If the working directory has no name, the path stays as it was given.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(OpenDirectory { file, path, access: Access::OWNER })
    }

    /// Opens the directory at `path`, which nobody but this user may change. If it is missing, it is made for this user
    /// alone.
    ///
    /// # Errors
    /// [`NotOwned`].
    pub(crate) fn open_owned(path: &Path) -> Result<OpenDirectory, NotOwned> {
        let io = |operation| move |source| NotOwned::Io { operation, source };
        let refused = |reason: &str| NotOwned::Refused(reason.to_owned());
        // Without a slash at its end, which would lead through a symbolic link.
        let path = path.components().as_path();
        let open = || {
            let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
            OpenOptions::new().read(true).custom_flags(flags).open(path)
        };
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io("create the directory")(error));
                }
                _ => open(),
            },
            opened => opened,
        };
        let file = file.map_err(|error| match path.symlink_metadata() {
            Ok(there) if there.is_symlink() => refused("it is a symbolic link: name the directory that it leads to"),
            Ok(there) if !there.is_dir() => refused("it is not a directory: name one"),
            _ => io("open the directory")(error),
        })?;
        let metadata = file.metadata().map_err(io("look at the directory"))?;
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        if owner != rustix::process::geteuid().as_raw() {
            return Err(NotOwned::Refused(format!("it belongs to user {owner}: name a directory of this user")));
        }
        if mode & 0o022 != 0 {
            let reason = format!("others may change it (mode {mode:04o}): name a directory of mode 0700");
            return Err(NotOwned::Refused(reason));
        }
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(OpenDirectory { file, path, access: Access::OWNER })
    }

    /// The name of the type of file system that it is on, for messages.
    pub(crate) fn file_system_name(&self) -> String {
        super::file::file_system_name(&self.file)
    }

    /// The same directory, with this access to the files created in it from now on.
    pub(crate) fn with_access(mut self, access: Access) -> OpenDirectory {
        self.access = access;
        self
    }

    /// Its absolute path when it was opened, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the file `name` in it, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the directory was removed: nothing can be created in it.
    pub(crate) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// The names in it, in no order.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.file)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    /// What has the name `name`; a symbolic link is not followed.
    pub(crate) fn entry(&self, name: &str) -> io::Result<DirectoryEntry> {
        let stat = rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Ok(DirectoryEntry {
            is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified: Duration::new(seconds, nanoseconds),
        })
    }

    /// The identity of what has the name `name`; a symbolic link is not followed. It does not ask for times, for the
    /// reason that [`is_deleted`](super::file::is_deleted) gives.
    pub(crate) fn id_of(&self, name: &str) -> io::Result<FileId> {
        match rustix::fs::statx(&self.file, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO) {
            Ok(stat) => {
                Ok(FileId { device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino })
            }
            Err(Errno::NOENT) => Err(Errno::NOENT.into()),
            // A kernel before 4.11, or a sandbox that forbids the call.
            Err(_) => {
                let stat = rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
            }
        }
    }

    /// Creates a file for writing, which must not exist yet.
    ///
    /// `direct` adds `O_DIRECT | O_DSYNC`: a write returns when its bytes are durable.
    pub(crate) fn create_to_write(&self, name: &str, direct: bool) -> io::Result<File> {
        self.create_file(name, libc::O_WRONLY | write_flags(direct))
    }

    /// Creates a file like [`create_to_write`](Self::create_to_write), to be filled in advance: its writes do not wait
    /// until they are durable.
    pub(crate) fn create_to_fill(&self, name: &str, direct: bool) -> io::Result<File> {
        let direct = if direct { libc::O_DIRECT } else { 0 };
        self.create_file(name, libc::O_WRONLY | direct)
    }

    /// Creates a file that is to be mapped, for reading and writing. It must not exist yet.
    pub(crate) fn create_to_map(&self, name: &str) -> io::Result<File> {
        self.create_file(name, libc::O_RDWR)
    }

    /// Opens a file that was filled in advance, with the flags of [`create_to_write`](Self::create_to_write).
    pub(crate) fn open_to_write(&self, name: &str, direct: bool) -> io::Result<File> {
        self.open_file(name, libc::O_WRONLY | write_flags(direct))
    }

    /// Opens a file for reading. Opening a pipe does not block.
    pub(crate) fn open_to_read(&self, name: &str) -> io::Result<File> {
        self.open_file(name, libc::O_RDONLY | libc::O_NONBLOCK)
    }

    /// Opens a file for reading and writing. Opening a pipe does not block.
    pub(crate) fn open_to_change(&self, name: &str) -> io::Result<File> {
        self.open_file(name, libc::O_RDWR | libc::O_NONBLOCK)
    }

    /// Opens a file for reading and writing, or creates it. Returns whether it was created. Opening a pipe does not
    /// block.
    pub(super) fn open_or_create(&self, name: &str) -> io::Result<(File, bool)> {
        let flags = libc::O_RDWR | libc::O_NONBLOCK;
        loop {
            match self.open_file(name, flags) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened.map(|file| (file, false)),
            }
            match self.create_file(name, flags) {
                // Another process created it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created.map(|file| (file, true)),
            }
        }
    }

    /// Creates a file, first for its owner alone.
    fn create_file(&self, name: &str, flags: libc::c_int) -> io::Result<File> {
        let file = self.open_file(name, flags | libc::O_CREAT | libc::O_EXCL)?;
        match self.access.give_to_file(&file) {
            Ok(()) => Ok(file),
            Err(error) => {
                let _ = self.remove(name);
                Err(error)
            }
        }
    }

    /// Opens the directory `name` in it, which is made if it is missing, with the access of the files made here. A
    /// symbolic link is not followed.
    pub(crate) fn open_or_make_directory(&self, name: &str) -> io::Result<OpenDirectory> {
        let made = match rustix::fs::mkdirat(&self.file, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        let opened = self.open_file(name, libc::O_RDONLY | libc::O_DIRECTORY).and_then(|file| {
            if made {
                self.access.give_to_opened_directory(&file)?;
                self.sync()?;
            }
            Ok(OpenDirectory { file, path: self.path_of(name), access: self.access })
        });
        if made && opened.is_err() {
            let _ = rustix::fs::unlinkat(&self.file, name, AtFlags::REMOVEDIR);
        }
        opened
    }

    /// The flags are libc's: in rustix's default backend `OFlags::DSYNC` means `O_SYNC`, which would also sync the
    /// inode's times at each write.
    fn open_file(&self, name: &str, flags: libc::c_int) -> io::Result<File> {
        let flags = OFlags::from_bits_retain((flags | libc::O_NOFOLLOW | libc::O_CLOEXEC) as _);
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(retry_on_intr(|| rustix::fs::openat(&self.file, name, flags, mode))?))
    }

    /// Removes the name of a file.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.file, name, AtFlags::empty())?)
    }

    /// Renames a file within the directory, in place of one that has the new name.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.file, from, &self.file, to)?)
    }

    /// Makes its entries durable: the names created, changed and removed before this call.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// The bytes that an ordinary user can still write to its file system.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let stat = retry_on_intr(|| rustix::fs::fstatvfs(&self.file))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The flags of a descriptor that is written to.
fn write_flags(direct: bool) -> libc::c_int {
    if direct { libc::O_DIRECT | libc::O_DSYNC } else { 0 }
}

/// The identity of the process's root directory.
pub(crate) fn root_id() -> io::Result<FileId> {
    let metadata = Path::new("/").metadata()?;
    Ok(FileId { device: metadata.dev(), inode: metadata.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file;
    use crate::sys::test_directory::directory;

    fn open(path: &Path) -> OpenDirectory {
        OpenDirectory::open(path).expect("a directory")
    }

    /// The status flags of an open file, as libc names them.
    fn flags(file: &File) -> i32 {
        rustix::fs::fcntl_getfl(file).unwrap().bits() as i32
    }

    #[test]
    fn a_direct_file_has_o_direct_and_o_dsync_and_not_o_sync() {
        let directory = directory();
        let directory = open(directory.path());
        for file in [directory.create_to_write("direct", true), directory.open_to_write("direct", true)] {
            let flags = flags(&file.unwrap());
            assert_eq!(flags & libc::O_DIRECT, libc::O_DIRECT);
            assert_eq!(flags & libc::O_DSYNC, libc::O_DSYNC);
            // O_SYNC is O_DSYNC and one bit more.
            assert_eq!(flags & (libc::O_SYNC & !libc::O_DSYNC), 0);
            assert_eq!(flags & libc::O_ACCMODE, libc::O_WRONLY);
        }
    }

    #[test]
    fn a_buffered_file_has_none_of_them() {
        let directory = directory();
        let flags = flags(&open(directory.path()).create_to_write("buffered", false).unwrap());
        assert_eq!(flags & (libc::O_DIRECT | libc::O_SYNC), 0);
    }

    #[test]
    fn a_created_file_is_accessible_only_to_its_owner_and_never_replaces_a_file_or_follows_a_link() {
        let directory = directory();
        let opened = open(directory.path());
        let mode = opened.create_to_write("file", false).unwrap().metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(opened.create_to_write("file", false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), directory.path().join("link")).unwrap();
        assert_eq!(opened.create_to_write("link", false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(opened.open_to_read("link").err().and_then(|error| error.raw_os_error()), Some(libc::ELOOP));
        assert!(opened.open_or_create("link").is_err());
        assert!(!directory.path().join("elsewhere").exists());
    }

    #[test]
    fn a_directory_that_others_may_change_is_not_owned_and_a_missing_one_is_made() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let parent = directory();
        let path = parent.path().join("rings");
        let refusal = |path: &Path| match OpenDirectory::open_owned(path) {
            Err(NotOwned::Refused(reason)) => reason,
            Err(NotOwned::Io { operation, source }) => format!("{operation}: {source}"),
            Ok(_) => "none".to_owned(),
        };
        assert_eq!(refusal(&path), "none");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
        assert_eq!(refusal(&path), "none");
        symlink(&path, parent.path().join("link")).unwrap();
        for link in ["link", "link/"] {
            assert!(refusal(&parent.path().join(link)).contains("symbolic link"));
        }
        for (mode, is_refused) in [(0o750, false), (0o755, false), (0o770, true), (0o702, true), (0o1777, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(refusal(&path).contains("others may change it"), is_refused, "{mode:o}");
        }
        std::fs::write(parent.path().join("file"), b"").unwrap();
        assert!(refusal(&parent.path().join("file")).contains("not a directory"));
        assert!(refusal(&parent.path().join("missing/rings")).starts_with("create the directory: "));
    }

    #[test]
    fn a_renamed_directory_is_followed_and_a_deleted_one_is_known() {
        let parent = directory();
        std::fs::create_dir(parent.path().join("before")).unwrap();
        let opened = open(&parent.path().join("before"));
        std::fs::rename(parent.path().join("before"), parent.path().join("after")).unwrap();
        std::fs::create_dir(parent.path().join("before")).unwrap();
        let file = opened.create_to_write("file", false).unwrap();
        assert_eq!(opened.id_of("file").unwrap(), file::id(&file).unwrap());
        opened.rename("file", "other").unwrap();
        opened.sync().unwrap();
        assert_eq!(opened.names().unwrap(), ["other"]);
        assert!(parent.path().join("after/other").exists());
        assert!(opened.entry("other").unwrap().is_file && opened.entry("file").is_err());
        assert!(opened.free_bytes().unwrap() > 0);
        opened.remove("other").unwrap();
        assert!(!opened.is_deleted());
        std::fs::remove_dir(parent.path().join("after")).unwrap();
        assert!(opened.is_deleted() && opened.create_to_write("file", false).is_err());
    }
}
