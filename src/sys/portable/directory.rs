//! A directory by its absolute path, fixed when it was opened, and its files by their names in it. A change of the
//! working directory changes nothing; a rename of the directory is not followed. Called by `device` and `segment`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::file::open_to_read;
use crate::sys::{Access, DirectoryEntry, FileId, NotOwned};

/// A directory that was opened by a path.
pub(crate) struct OpenDirectory {
    path: PathBuf,
    /// The access to the files created in it.
    access: Access,
}

impl OpenDirectory {
    /// Opens the directory at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<OpenDirectory> {
        let path = std::path::absolute(path)?;
        let access = Access::OWNER;
        if path.metadata()?.is_dir() {
            Ok(OpenDirectory { path, access })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    /// Refuses: who may change a directory is not known here.
    ///
    /// # Errors
    /// Always [`NotOwned`].
    pub(crate) fn open_owned(_path: &Path) -> Result<OpenDirectory, NotOwned> {
        Err(NotOwned::Io { operation: "look at the directory", source: io::ErrorKind::Unsupported.into() })
    }

    /// The name of the type of file system that it is on: not known here.
    pub(crate) fn file_system_name(&self) -> String {
        "type unknown".to_owned()
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

    /// The path of the file `name` in it.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether there is no directory of that path any more.
    pub(crate) fn is_deleted(&self) -> bool {
        !self.path.is_dir()
    }

    /// The names in it, in no order.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.path)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    /// What has the name `name`; a symbolic link is not followed.
    pub(crate) fn entry(&self, name: &str) -> io::Result<DirectoryEntry> {
        let metadata = self.path_of(name).symlink_metadata()?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(DirectoryEntry {
            is_file: metadata.is_file(),
            bytes: metadata.len(),
            modified: modified.unwrap_or_default(),
        })
    }

    /// The identity of what has the name `name`; a symbolic link is not followed.
    ///
    /// # Errors
    /// The operating system's; `Unsupported` if files have no identity there.
    pub(crate) fn id_of(&self, name: &str) -> io::Result<FileId> {
        FileId::of(&self.path_of(name).symlink_metadata()?)
    }

    /// Creates a file for writing, which must not exist yet.
    ///
    /// # Errors
    /// The operating system's; `Unsupported` with `direct`.
    pub(crate) fn create_to_write(&self, name: &str, direct: bool) -> io::Result<File> {
        if direct {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "no direct I/O on this platform"));
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        owner_only(&mut options);
        let file = options.open(self.path_of(name))?;
        self.give_access(name, &file)?;
        Ok(file)
    }

    /// Creates a file like [`create_to_write`](Self::create_to_write), to be filled in advance.
    pub(crate) fn create_to_fill(&self, name: &str, direct: bool) -> io::Result<File> {
        self.create_to_write(name, direct)
    }

    /// Creates a file for reading and writing, which must not exist yet.
    pub(crate) fn create_to_map(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        owner_only(&mut options);
        options.open(self.path_of(name))
    }

    /// Opens a file that was filled in advance, for writing.
    pub(crate) fn open_to_write(&self, name: &str, _direct: bool) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path_of(name))
    }

    /// Opens a file for reading. A symbolic link is an error.
    pub(crate) fn open_to_read(&self, name: &str) -> io::Result<File> {
        let path = self.path_of(name);
        if path.symlink_metadata()?.is_symlink() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link"));
        }
        open_to_read(&path, false)
    }

    /// Opens a file for reading and writing. A symbolic link is an error, and so is a FIFO or the like.
    pub(crate) fn open_to_change(&self, name: &str) -> io::Result<File> {
        if !self.entry(name)?.is_file {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        OpenOptions::new().read(true).write(true).open(self.path_of(name))
    }

    /// Opens a file for reading and writing, or creates it.
    pub(super) fn open_or_create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        owner_only(&mut options);
        let existed = self.path_of(name).exists();
        let file = options.open(self.path_of(name))?;
        if !existed {
            self.give_access(name, &file)?;
        }
        Ok(file)
    }

    /// Opens the directory `name` in it, which is made if it is missing. A symbolic link is an error.
    pub(crate) fn open_or_make_directory(&self, name: &str) -> io::Result<OpenDirectory> {
        let path = self.path_of(name);
        match fs::create_dir(&path) {
            Ok(()) => {
                self.access.give_to_directory(&path)?;
                self.sync()?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if path.symlink_metadata()?.is_symlink() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is a symbolic link"));
        }
        Ok(OpenDirectory::open(&path)?.with_access(self.access))
    }

    /// Sets the access to a new file, which is removed if that is refused.
    fn give_access(&self, name: &str, file: &File) -> io::Result<()> {
        self.access.give_to_file(file).inspect_err(|_| drop(self.remove(name)))
    }

    /// Removes the name of a file.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path_of(name))
    }

    /// Renames a file within the directory, in place of one that has the new name.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path_of(from), self.path_of(to))
    }

    /// Makes its entries durable, if the platform can sync directories.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }

    /// The bytes that can still be written to its file system: not known, so the largest number.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        self.path.metadata().map(|_| u64::MAX)
    }
}

/// The identity of the process's root directory.
///
/// # Errors
/// The operating system's; `Unsupported` if files have no identity there.
pub(crate) fn root_id() -> io::Result<FileId> {
    FileId::of(&Path::new("/").metadata()?)
}

impl FileId {
    /// The identity of a file, by its metadata.
    ///
    /// # Errors
    /// `Unsupported` if the platform has none.
    pub(super) fn of(metadata: &fs::Metadata) -> io::Result<FileId> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Ok(FileId { device: metadata.dev(), inode: metadata.ino() })
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

/// Makes new files accessible only to their owner, if the platform has owners.
fn owner_only(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file::preallocate;
    use crate::sys::test_directory::directory;

    #[test]
    fn a_created_file_never_replaces_another_and_is_never_direct() {
        let directory = directory();
        let opened = OpenDirectory::open(directory.path()).unwrap();
        assert_eq!(opened.create_to_write("file", true).unwrap_err().kind(), io::ErrorKind::Unsupported);
        preallocate(&opened.create_to_write("file", false).unwrap(), 8192).unwrap();
        assert_eq!(opened.entry("file").unwrap().bytes, 8192);
        assert_eq!(opened.create_to_write("file", false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        opened.sync().unwrap();
        assert!(!opened.is_deleted());
    }
}
