//! Gives a complete file its number, durably. Used for prepared segments and for those written offline.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::segment_file_name;
use crate::sys;

/// Renames `temporary` to segment `number` of the log in `directory`, and syncs the directory. Returns the new path.
///
/// The caller holds the log's lock, so that nobody else makes a file of that name meanwhile.
///
/// # Errors
/// [`Error::Io`], with `AlreadyExists` if there is anything of that name: a rename would replace it. After an error
/// nothing of that name was added; `temporary` may still be there.
pub(super) fn publish(temporary: &Path, directory: &Path, number: u64) -> Result<PathBuf> {
    let path = directory.join(segment_file_name(number));
    if path.symlink_metadata().is_ok() {
        return Err(Error::io("create", &path, io::ErrorKind::AlreadyExists.into()));
    }
    fs::rename(temporary, &path).map_err(|source| Error::io("name", &path, source))?;
    if let Err(source) = sys::file::sync_directory(directory) {
        // A power cut could take the name away from a file with durable blocks.
        let _ = fs::remove_file(&path);
        return Err(Error::io("sync the directory", directory, source));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::test_directory::directory;

    #[test]
    fn a_name_that_is_taken_is_refused_whatever_has_it() {
        let directory = directory();
        let temporary = directory.path().join("temporary");
        fs::write(&temporary, "new").expect("written");
        fs::write(directory.path().join(segment_file_name(1)), "old").expect("written");
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere", directory.path().join(segment_file_name(2))).expect("linked");
        for number in 1..=if cfg!(unix) { 2 } else { 1 } {
            let error = publish(&temporary, directory.path(), number).expect_err("taken");
            assert_eq!(error.io_error().map(io::Error::kind), Some(io::ErrorKind::AlreadyExists), "{error}");
        }
        assert_eq!(fs::read(directory.path().join(segment_file_name(1))).expect("readable"), b"old");
        let path = publish(&temporary, directory.path(), 3).expect("free");
        assert_eq!(fs::read(path).expect("readable"), b"new");
        assert!(!temporary.exists());
    }
}
