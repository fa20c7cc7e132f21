//! Whether an open file is the one at a path.

use std::fs::File;
use std::path::Path;

/// Whether `path` leads to `file`; `None` if it leads to nothing. True if the system does not say. While the file is
/// open, no other one has its identity.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> Option<bool> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    use std::os::unix::fs::MetadataExt as _;
    let there = match path.metadata() {
        Ok(there) => there,
        Err(error) => return (!matches!(error.kind(), NotFound | NotADirectory)).then_some(true),
    };
    Some(file.metadata().is_ok_and(|opened| (opened.dev(), opened.ino()) == (there.dev(), there.ino())))
}

/// The system has no such identities, so another file at the path is not noticed.
#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, path: &Path) -> Option<bool> {
    path.try_exists().unwrap_or(true).then_some(true)
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
        assert_eq!(is_at(&file, &path), Some(true));
        fs::remove_file(&path).expect("removed");
        assert_eq!(is_at(&file, &path), None);
        fs::write(&path, "one").expect("written");
        assert_eq!(is_at(&file, &path), Some(false));
    }
}
