//! The directory that unit tests put their files in. (Integration tests have theirs in `tests/support`.)

use std::path::Path;

/// An empty directory under `target/`, so on a real disk, which is removed with the returned value.
pub(crate) fn directory() -> tempfile::TempDir {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&target).expect("create target/");
    tempfile::Builder::new().prefix("diolog-").tempdir_in(target).expect("create a directory in target/")
}
