//! Who may use the files and directories that this process makes.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use super::place::{AtPath, at_path};

/// The mode and the group of new files and directories, if the platform has them. Each is created for its owner alone,
/// and then gets both. So nobody has more access at any time, whatever the process's umask is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Permission bits of a file. A directory can be searched by those who may read its files.
    pub(crate) mode: u32,
    /// The group's id; `None` leaves the one that the system gives.
    pub(crate) group: Option<u32>,
}

impl Access {
    /// For the owner alone: how files and directories are created.
    pub(crate) const OWNER: Access = Access { mode: 0o600, group: None };

    /// The mode and the group of a file that exists.
    pub(crate) fn of(file: &Metadata) -> Access {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Access { mode: file.mode() & 0o777, group: Some(file.gid()) }
        }
        #[cfg(not(unix))]
        {
            let _ = file;
            Access::OWNER
        }
    }

    /// Sets mode and group of a new file.
    pub(crate) fn give_to_file(self, file: &File) -> io::Result<()> {
        if self == Access::OWNER { Ok(()) } else { self.give(file, self.mode) }
    }

    /// Sets mode and group of a new directory.
    pub(crate) fn give_to_directory(self, path: &Path) -> io::Result<()> {
        if self == Access::OWNER {
            return Ok(());
        }
        let directory = File::open(path)?;
        let is_ours = path.symlink_metadata().is_ok_and(|there| there.is_dir());
        if !is_ours || at_path(&directory, path) == AtPath::Another {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "another file has taken its place"));
        }
        self.give(&directory, self.mode_of_directory())
    }

    /// Sets mode and group of a new directory that is open.
    #[cfg_attr(
        not(all(target_os = "linux", not(any(diolog_portable, loom)))),
        expect(dead_code, reason = "directories are not open there")
    )]
    pub(crate) fn give_to_opened_directory(self, directory: &File) -> io::Result<()> {
        if self == Access::OWNER { Ok(()) } else { self.give(directory, self.mode_of_directory()) }
    }

    fn mode_of_directory(self) -> u32 {
        self.mode | (self.mode & 0o444) >> 2
    }

    #[cfg(unix)]
    fn give(self, file: &File, mode: u32) -> io::Result<()> {
        use std::os::unix::fs::{PermissionsExt as _, fchown};
        if let Some(group) = self.group {
            fchown(file, None, Some(group)).map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => io::Error::new(
                    error.kind(),
                    format!("{error}: it cannot get the group {group}, to which this process must belong"),
                ),
                _ => error,
            })?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))
    }

    #[cfg(not(unix))]
    fn give(self, _: &File, _: u32) -> io::Result<()> {
        Ok(())
    }
}
