//! The names of text files: the present one, and numbered ones for the files before it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Frees the name `path`: the file becomes number 1, number 1 becomes number 2, and so on. At most `files_max` files
/// exist after a new one has been created: those with higher numbers, from a time when more were allowed, are removed.
///
/// # Errors
/// A file cannot be renamed or removed. None is lost, but some may already have a higher number.
pub(super) fn make_room(path: &Path, files_max: u32) -> io::Result<()> {
    let kept = files_max.saturating_sub(1);
    // Up to the first number without a file that can be removed.
    let _ = (kept + 1..).find(|number| fs::remove_file(numbered(path, *number)).is_err());
    if kept == 0 {
        return unless_missing(fs::remove_file(path));
    }
    // Rename only up to the first free number: files after a gap stay.
    let first_free = (1..kept).find(|number| !numbered(path, *number).exists()).unwrap_or(kept);
    for number in (1..first_free).rev() {
        unless_missing(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
    }
    unless_missing(fs::rename(path, numbered(path, 1)))
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// The path with a dot and a number.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// Whether `path` leads to `file`. Without Unix, always true.
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let (Ok(own), Ok(named)) = (file.metadata(), fs::metadata(path)) else { return false };
        id(&own) == id(&named)
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        true
    }
}
