//! Shared by the test files: a directory on the real disk, running a test again as a child process, devices under the
//! test's control, and the oracle, which compares the outcomes of appends with the files.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod account;
pub(crate) mod build;
pub(crate) mod child;
#[cfg(target_os = "linux")]
pub(crate) mod control_group;
#[cfg(feature = "unstable")]
pub(crate) mod device;
#[cfg(target_os = "linux")]
pub(crate) mod disk;
#[cfg(feature = "unstable")]
pub(crate) mod faults;
#[cfg(target_os = "linux")]
pub(crate) mod lives;
#[cfg(target_os = "linux")]
pub(crate) mod os;
#[cfg(all(target_os = "linux", feature = "unstable"))]
pub(crate) mod power;
pub(crate) mod random;
#[cfg(target_os = "linux")]
pub(crate) mod recorded_disk;
pub(crate) mod records;
#[cfg(target_os = "linux")]
pub(crate) mod rings;
pub(crate) mod segments;

use std::io::Write as _;
use std::path::{Path, PathBuf};

#[allow(unused_imports, reason = "each test file uses a part")]
pub(crate) use child::{child_command, child_directory, role, run_child};

use diolog::{Config, DevicePreference, RingMemory};

/// An empty directory on the disk of the build: the system's temporary directory may be tmpfs, without direct I/O.
///
/// `DIOLOG_TEST_ROOT` puts it elsewhere, to run the tests on another file system.
pub(crate) fn directory() -> tempfile::TempDir {
    let root = std::env::var_os("DIOLOG_TEST_ROOT").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    tempfile::tempdir_in(root).expect("a writable directory for tests")
}

/// The default configuration for a log at `path`, with the device that `DIOLOG_TEST_DEVICE` names, and with shared
/// rings in the directory that `DIOLOG_TEST_RINGS` names, if it does. A log has more time to close than by default: a
/// disk that many tests share may need seconds for a write.
pub(crate) fn config(path: impl AsRef<Path>) -> Config {
    let preference = match std::env::var("DIOLOG_TEST_DEVICE").as_deref() {
        Err(_) | Ok("auto") => DevicePreference::Auto,
        Ok("io_uring") => DevicePreference::IoUring,
        Ok("pwrite") => DevicePreference::Pwrite,
        Ok("buffered") => DevicePreference::Buffered,
        Ok(other) => panic!("DIOLOG_TEST_DEVICE={other}: auto, io_uring, pwrite or buffered"),
    };
    let rings = match std::env::var_os("DIOLOG_TEST_RINGS") {
        Some(directory) => RingMemory::Shared(directory.into()),
        None => RingMemory::Private,
    };
    let config = Config::new(path.as_ref()).device(preference).ring_memory(rings);
    config.close_deadline(std::time::Duration::from_secs(60))
}

/// As [`config`], with rings of exactly `ring_bytes`: without a reserve, and with no room kept for severe records.
pub(crate) fn config_of_ring(path: impl AsRef<Path>, ring_bytes: usize) -> Config {
    config(path).ring_bytes(ring_bytes).reserve_bytes(0).severe_only_eighths(0)
}

/// The beginning of a report of [`not_shown`].
const NOT_SHOWN: &str = "NOT SHOWN HERE: ";

/// Prints that a test could not show something on this machine, and why: no test passes in silence.
pub(crate) fn not_shown(what: &str, why: impl std::fmt::Display) {
    print_not_shown(&format!("{what}: {why}"));
}

fn print_not_shown(report: &str) {
    // Not `eprintln!`: the test harness discards its output if the test passes.
    writeln!(std::io::stderr(), "{NOT_SHOWN}{report}").expect("standard error is open");
}
