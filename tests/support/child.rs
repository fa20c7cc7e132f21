//! Running a test of the same file again as a child process, which can then be killed, stopped or limited.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The environment variables that pass a role and a directory to the child.
const ROLE: &str = "DIOLOG_TEST_CHILD";
const DIRECTORY: &str = "DIOLOG_TEST_DIRECTORY";

/// The role that this process was started for, if it is a child.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The directory that the parent gave this child.
pub(crate) fn child_directory() -> PathBuf {
    std::env::var_os(DIRECTORY).expect("set by the parent").into()
}

/// The command that runs `test` of this file again, alone and as a child with `role`, logging to `directory`.
pub(crate) fn child_command(test: &str, role: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path to this test"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(DIRECTORY, directory);
    command
}

/// Runs `test` of this file again as a child with `role`, to its end.
pub(crate) fn run_child(test: &str, role: &str, directory: &Path) -> Output {
    child_command(test, role, directory).output().expect("a child process")
}

/// Runs `test` of this file again as a child with `role`, to its end, which must be a success. Prints the child's
/// reports of `not_shown` again, because its output is captured.
pub(crate) fn expect_success(test: &str, role: &str, directory: &Path) {
    let output = run_child(test, role, directory);
    assert_success(&output);
    let printed = String::from_utf8_lossy(&output.stderr);
    let reports = printed.lines().filter_map(|line| line.strip_prefix(super::NOT_SHOWN));
    reports.for_each(super::print_not_shown);
}

/// Runs `test` of this file again in a child process with a directory of its own, and returns true; the test is over
/// then. Returns false in that child.
pub(crate) fn ran_in_child(test: &str) -> bool {
    if role().is_some() {
        return false;
    }
    let directory = super::directory();
    expect_success(test, "child", directory.path());
    true
}

/// Fails with the child's output if the child failed.
pub(crate) fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "the child ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
