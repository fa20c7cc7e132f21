//! What several test files need: a directory on the real disk, a way to run a test again as a child process, a device
//! under the test's control, and the comparison of what callers were told with what the files hold.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod account;
pub(crate) mod child;
#[cfg(feature = "testing")]
pub(crate) mod device;

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

/// Whether this process may do what only root may. Says so where not, since the test will then show less.
pub(crate) fn is_root(what_is_not_shown: &str) -> bool {
    // The owner of a process's own directory in /proc is its effective user.
    let root = std::fs::metadata("/proc/self").is_ok_and(|metadata| {
        #[cfg(unix)]
        {
            std::os::unix::fs::MetadataExt::uid(&metadata) == 0
        }
        #[cfg(not(unix))]
        {
            drop(metadata);
            false
        }
    });
    if !root {
        eprintln!("not root, so this is not shown here: {what_is_not_shown}");
    }
    root
}
