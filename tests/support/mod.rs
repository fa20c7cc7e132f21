//! What several test files need: a directory on the real disk, and a way to run a test again as a child process.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::Path;
use std::process::{Command, Output};

/// An empty directory on the build's own disk, which is where the log goes: elsewhere may be tmpfs.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build directory can be written")
}

/// The variable that tells a child what to do.
const ROLE: &str = "DIOLOG_TEST_CHILD";

/// The role that this process was started for, if it is a child.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The command that runs `test` of this file again, alone and as a child with `role`, logging to `directory`.
pub(crate) fn child_command(test: &str, role: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path to this test"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env("DIOLOG_TEST_DIRECTORY", directory);
    command
}

/// Runs `test` of this file again as a child with `role`, to its end.
pub(crate) fn run_child(test: &str, role: &str, directory: &Path) -> Output {
    child_command(test, role, directory).output().expect("a child process")
}

/// The directory that the parent gave this child.
pub(crate) fn child_directory() -> std::path::PathBuf {
    std::env::var_os("DIOLOG_TEST_DIRECTORY").expect("set by the parent").into()
}
