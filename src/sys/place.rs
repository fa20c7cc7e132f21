//! What is at an open file's path.

use std::fs::File;
use std::path::Path;

/// What is at a file's path now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtPath {
    /// That file.
    This,
    /// Another one.
    Another,
    /// No file.
    Nothing,
}

/// What `path` leads to; `file` itself if the system does not say. While the file is open, no other one has its
/// identity.
#[cfg(unix)]
pub(crate) fn at_path(file: &File, path: &Path) -> AtPath {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    use std::os::unix::fs::MetadataExt as _;
    let there = match path.metadata() {
        Ok(there) => there,
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return AtPath::Nothing,
        Err(_) => return AtPath::This,
    };
    match file.metadata() {
        Ok(opened) if (opened.dev(), opened.ino()) == (there.dev(), there.ino()) => AtPath::This,
        _ => AtPath::Another,
    }
}

/// The system has no such identities, so another file at the path is not noticed.
#[cfg(not(unix))]
pub(crate) fn at_path(_: &File, path: &Path) -> AtPath {
    if path.try_exists().unwrap_or(true) { AtPath::This } else { AtPath::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    #[cfg(unix)]
    fn a_file_that_was_removed_or_made_anew_is_not_at_its_path() {
        let directory = crate::sys::test_directory::directory();
        let path = directory.path().join("file");
        fs::write(&path, "one").expect("written");
        let file = File::open(&path).expect("readable");
        assert_eq!(at_path(&file, &path), AtPath::This);
        fs::remove_file(&path).expect("removed");
        assert_eq!(at_path(&file, &path), AtPath::Nothing);
        fs::write(&path, "one").expect("written");
        assert_eq!(at_path(&file, &path), AtPath::Another);
    }
}
