//! What several test files need: a directory on the real disk, a way to run a test again as a child process, a device
//! under the test's control, and the comparison of what callers were told with what the files hold.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod account;
pub(crate) mod child;
#[cfg(feature = "unstable")]
pub(crate) mod device;
#[cfg(target_os = "linux")]
pub(crate) mod disk;
#[cfg(target_os = "linux")]
pub(crate) mod os;
pub(crate) mod segments;

use std::io::Write as _;
use std::path::{Path, PathBuf};

#[allow(unused_imports, reason = "each test file uses a part")]
pub(crate) use child::{child_command, child_directory, role, run_child};

use diolog::{Config, DevicePreference};

/// An empty directory on the build's own disk, which is where the log goes: elsewhere may be tmpfs.
///
/// `DIOLOG_TEST_ROOT` puts it elsewhere, to run the suite on another file system.
pub(crate) fn directory() -> tempfile::TempDir {
    let root = std::env::var_os("DIOLOG_TEST_ROOT").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    tempfile::tempdir_in(root).expect("the directory for tests can be written")
}

/// A configuration for a log at `path`: the defaults, on the rung that `DIOLOG_TEST_DEVICE` asks for.
pub(crate) fn config(path: impl AsRef<Path>) -> Config {
    let preference = match std::env::var("DIOLOG_TEST_DEVICE").as_deref() {
        Err(_) | Ok("auto") => DevicePreference::Auto,
        Ok("io_uring") => DevicePreference::IoUring,
        Ok("pwrite") => DevicePreference::Pwrite,
        Ok("buffered") => DevicePreference::Buffered,
        Ok(other) => panic!("DIOLOG_TEST_DEVICE={other}: auto, io_uring, pwrite or buffered"),
    };
    Config::new(path.as_ref()).device(preference)
}

/// Says that something is not shown here, and why: no test passes in silence.
pub(crate) fn not_shown(what: &str, why: impl std::fmt::Display) {
    // Not `eprintln!`, which is not heard from a test that passes.
    writeln!(std::io::stderr(), "NOT SHOWN HERE: {what}: {why}").expect("standard error is open");
}
