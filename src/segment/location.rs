//! Where a log's files are: the directory that was opened, or its replacement if it was deleted.
//!
//! Files are reached through the open directory, so they are found even after the directory was renamed, or after a
//! `chdir` or `chroot`. Only a deleted directory is looked up by its path, and made again.
//! [`Directory`](super::Directory), the writer and the thread that prepares segments share this; only that thread
//! restores the directory.

use std::fs::DirBuilder;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sync::lock;
use crate::sys::directory::{OpenDirectory, root_id};
use crate::sys::{Access, FileId};

/// How long a deleted directory may be missing before it is made again. Somebody who replaces it has this much time.
/// Less than the default of `close_deadline`, so that a log that is closed meanwhile still finds a place.
const MISSING_MAX: Duration = Duration::from_secs(2);

/// The place of a log's files.
pub(super) struct LogLocation {
    current: Mutex<Current>,
    access: Access,
    /// Writes the files that are missing beside the segments.
    complete: OnceLock<Complete>,
    /// The process's root directory when the log was opened. The absolute path of the log's directory is valid only
    /// from there.
    root: Option<FileId>,
}

/// Writes the files that must be in the log's directory beside the segments, if they are missing.
pub(crate) type Complete = Box<dyn Fn(&OpenDirectory) -> Result<()> + Send + Sync>;

struct Current {
    /// The directory that was opened last.
    directory: Arc<OpenDirectory>,
    /// Since when it is known that the directory was deleted and that no other is at its path.
    missing_since: Option<Instant>,
}

impl LogLocation {
    /// Opens the directory at `path`, which must exist.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn open(path: &Path, access: Access) -> io::Result<LogLocation> {
        let directory = Arc::new(OpenDirectory::open(path)?.with_access(access));
        let current = Current { directory, missing_since: None };
        Ok(LogLocation { current: Mutex::new(current), access, complete: OnceLock::new(), root: root_id().ok() })
    }

    /// The open directory.
    pub(super) fn directory(&self) -> Arc<OpenDirectory> {
        Arc::clone(&lock(&self.current).directory)
    }

    /// Sets the function that [completes](Self::complete) the directory.
    pub(super) fn complete_by(&self, complete: Complete) {
        assert!(self.complete.set(complete).is_ok(), "a log is opened once");
    }

    /// Writes the files that are missing beside the segments. The caller holds the log's lock.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn complete(&self) -> Result<()> {
        self.complete.get().map_or(Ok(()), |complete| complete(&self.directory()))
    }

    /// If the directory was deleted, opens the one that is at its path now. If there is none, that is an error; but
    /// after it has been missing for some seconds, this makes it.
    ///
    /// # Errors
    /// [`Error::Io`] if there is none, none can be made, or a `chroot` has changed where the path leads.
    pub(super) fn restore(&self) -> Result<()> {
        let mut current = lock(&self.current);
        let Current { directory, missing_since } = &mut *current;
        if !directory.is_deleted() {
            return Ok(());
        }
        let path = directory.path();
        let failed = |operation, source| Error::io(operation, path, source);
        if root_id().ok() != self.root {
            let source = io::Error::new(
                io::ErrorKind::NotFound,
                "it was deleted, and this process has another root directory now: open the log again",
            );
            return Err(failed("open the directory", source));
        }
        if missing_since.is_some_and(|since| since.elapsed() >= MISSING_MAX) && !path.exists() {
            make(path, self.access).map_err(|source| failed("recreate the deleted directory", source))?;
        }
        let opened = OpenDirectory::open(path).map_err(|source| {
            missing_since.get_or_insert_with(Instant::now);
            failed("open the directory", source)
        })?;
        *current = Current { directory: Arc::new(opened.with_access(self.access)), missing_since: None };
        Ok(())
    }
}

/// Makes a directory. Only its owner may use it until its final mode is set.
pub(super) fn make(path: &Path, access: Access) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    access.give_to_directory(path).inspect_err(|_| drop(std::fs::remove_dir(path)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::test_directory::directory;

    /// A location whose directory has been deleted.
    fn deleted(path: &Path) -> LogLocation {
        fs::create_dir(path).expect("a directory");
        let location = LogLocation::open(path, Access::OWNER).expect("there");
        location.restore().expect("nothing to do");
        fs::remove_dir(path).expect("empty");
        location
    }

    #[test]
    fn a_deleted_directory_is_made_anew_if_nobody_else_does() {
        let parent = directory();
        let path = parent.path().join("log");
        let location = deleted(&path);
        let error = location.restore().expect_err("missing");
        assert_eq!(error.io_error().map(io::Error::kind), Some(io::ErrorKind::NotFound), "{error}");
        assert!(location.restore().is_err() && !path.exists(), "not at once");
        lock(&location.current).missing_since = Instant::now().checked_sub(MISSING_MAX);
        location.restore().expect("made");
        location.directory().create_to_write("file", false).expect("there");
        assert!(path.join("file").exists());
    }

    #[test]
    fn a_directory_that_another_one_has_replaced_is_opened() {
        let parent = directory();
        let path = parent.path().join("log");
        let location = deleted(&path);
        fs::create_dir(&path).expect("a directory");
        location.restore().expect("there");
        location.directory().create_to_write("file", false).expect("there");
        assert!(path.join("file").exists());
    }

    #[cfg(all(target_os = "linux", not(diolog_portable)))]
    #[test]
    fn a_deleted_directory_is_not_looked_for_under_another_root() {
        let parent = directory();
        let path = parent.path().join("log");
        let mut location = deleted(&path);
        fs::create_dir(&path).expect("a directory");
        // As after a `chroot`.
        location.root = location.root.map(|root| FileId { inode: root.inode + 1, ..root });
        for _ in 0..2 {
            let error = location.restore().expect_err("another root").to_string();
            assert!(error.contains("another root directory") && error.contains(&*path.to_string_lossy()), "{error}");
        }
        assert!(location.directory().is_deleted());
    }
}
