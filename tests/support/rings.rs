//! A place for shared rings, and what is in it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// An empty directory on tmpfs for this user alone, removed with the value.
pub(crate) fn on_tmpfs() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("diolog-test-").tempdir_in("/dev/shm").expect("tmpfs on /dev/shm")
}

/// The ring files in a directory, or the links to them in a log's.
pub(crate) fn in_directory(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("readable").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "rings")).collect()
}

/// The one ring file in a directory.
pub(crate) fn the_one_in(directory: &Path) -> PathBuf {
    let files = in_directory(directory);
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().expect("one")
}

/// The bytes that a file takes of its file system.
pub(crate) fn allocated_bytes(file: &Path) -> u64 {
    fs::metadata(file).expect("a file").blocks() * 512
}
