//! Which rung of the ladder a log stands on: what was asked for, what the file system and the kernel can do, and why.
//!
//! The file system is asked with a file of our own in the log's directory, removed before it is used, so that nothing
//! stays behind. tmpfs, btrfs and overlays on them accept `O_DIRECT` and ignore it: only `STATX_DIOALIGN` tells, where
//! the kernel (6.1) and the file system have it. Elsewhere a trial does: an aligned write must work, a misaligned one
//! must be refused; who takes both goes through the page cache.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::buffer::{ALIGNMENT_BYTES, AlignedBuffer};
use crate::error::is_want_of_room;

use crate::sys;
use crate::{Error, Result};

use super::buffered::Buffered;
use super::direct::{Direct, SECTOR_BYTES, write_whole};
use super::threaded::Threaded;
use super::uring::Uring;
use super::{BlockWrite, Device, DeviceKind, DeviceReport, HelperStart};

/// Which rung to use, or at least to demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DevicePreference {
    /// The best rung that works here.
    #[default]
    Auto,
    /// Direct I/O, by io_uring or by `pwrite`; opening fails where there is none.
    Direct,
    /// io_uring; opening fails where it cannot be.
    IoUring,
    /// Direct I/O by `pwrite`, without io_uring; opening fails where there is none.
    Pwrite,
    /// The page cache and `fdatasync`.
    Buffered,
}

impl fmt::Display for DevicePreference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DevicePreference::Auto => "auto",
            DevicePreference::Direct => "direct",
            DevicePreference::IoUring => "io_uring",
            DevicePreference::Pwrite => "pwrite",
            DevicePreference::Buffered => "buffered",
        })
    }
}

/// Decides the rung for a log in `directory`, which must exist. Nothing stays behind in it.
///
/// # Errors
/// [`Error::Io`] if no file can be made there (a read-only file system, no permission), or the trial write fails;
/// [`Error::InvalidConfig`] if the rung demanded cannot be.
pub(crate) fn probe(directory: &Path, preference: DevicePreference) -> Result<DeviceReport> {
    // Also where nothing depends on the file: a directory that cannot be written must be known now.
    let file = create_probe_file(directory, false)?;
    if preference == DevicePreference::Buffered {
        return Ok(DeviceReport {
            kind: DeviceKind::Buffered,
            reasons: vec!["direct: not wanted (device = buffered)".into()],
        });
    }
    let file = match direct_file(directory, &file)? {
        Ok(file) => file,
        Err(reason) if preference == DevicePreference::Auto => {
            return Ok(DeviceReport { kind: DeviceKind::Buffered, reasons: vec![format!("direct: {reason}")] });
        }
        Err(reason) => {
            return Err(refuse(
                preference,
                &reason,
                "log to a directory on a file system with direct I/O (ext4, xfs), or",
            ));
        }
    };
    if preference == DevicePreference::Pwrite {
        return Ok(DeviceReport {
            kind: DeviceKind::Pwrite,
            reasons: vec!["io_uring: not wanted (device = pwrite)".into()],
        });
    }
    match why_not_uring(file) {
        None => Ok(DeviceReport { kind: DeviceKind::IoUring, reasons: Vec::new() }),
        Some(reason) if preference == DevicePreference::IoUring => {
            Err(refuse(preference, &format!("io_uring: {reason}"), "allow it, or use \"direct\", or"))
        }
        Some(reason) => Ok(DeviceReport { kind: DeviceKind::Pwrite, reasons: vec![format!("io_uring: {reason}")] }),
    }
}

/// Makes the device for the rung that [`probe`] chose, or a lower one where the kernel now refuses it. Called on the
/// writer thread once it is where it will stay.
///
/// `buffers` are those that blocks will be written from; others work too, but slower on rung 1. `helper_start` is what
/// a helper thread does first: it inherits the writer's CPU, and must leave it.
///
/// # Errors
/// The operating system's, if it has no thread or memory to give.
pub(crate) fn create(
    report: &DeviceReport,
    in_flight_max: usize,
    buffers: &mut [AlignedBuffer],
    helper_start: impl Fn() + Send + Sync + 'static,
) -> io::Result<Box<dyn Device>> {
    let helper_start: HelperStart = Arc::new(helper_start);
    let mut report = report.clone();
    if report.kind == DeviceKind::IoUring {
        match Uring::new(report.clone(), in_flight_max, buffers, Arc::clone(&helper_start)) {
            Ok(device) => return Ok(Box::new(device)),
            Err(error) => {
                report.kind = DeviceKind::Pwrite;
                report.reasons.push(format!("io_uring: {}", explain(&error)));
            }
        }
    }
    Ok(match report.kind {
        DeviceKind::IoUring | DeviceKind::Pwrite => {
            Box::new(Threaded::new(Direct::default(), report, in_flight_max, helper_start)?)
        }
        DeviceKind::Buffered => Box::new(Threaded::new(Buffered::default(), report, in_flight_max, helper_start)?),
    })
}

/// The error for a rung demanded that cannot be.
fn refuse(preference: DevicePreference, reason: &str, remedy: &str) -> Error {
    Error::InvalidConfig {
        setting: "device",
        value: preference.to_string(),
        remedy: format!("{reason}; {remedy} use \"auto\""),
    }
}

/// A file in `directory` that has no name any more.
fn create_probe_file(directory: &Path, direct: bool) -> Result<File> {
    // Another process may probe the same directory at the same time; the lock comes later.
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let path = directory.join(format!(".probe-{}-{nanoseconds}.tmp", std::process::id()));
    let file = sys::file::open_segment(&path, direct);
    // A failed open can leave the file as well: O_DIRECT is refused after it has been created.
    let removed = std::fs::remove_file(&path);
    let file = file.map_err(|source| Error::io("create a file in", directory, source))?;
    removed.map_err(|source| Error::io("remove", &path, source))?;
    Ok(file)
}

/// A file without a name in `directory` that has taken a direct write, or the reason why there is none. `file` is one
/// of the same file system.
fn direct_file(directory: &Path, file: &File) -> Result<std::result::Result<File, String>> {
    let name = || sys::file::file_system_name(file);
    match sys::file::direct_alignment(file) {
        Some(0) => return Ok(Err(format!("the file system ({}) has no direct I/O here", name()))),
        Some(alignment) if !ALIGNMENT_BYTES.is_multiple_of(alignment as usize) => {
            return Ok(Err(format!("the file system ({}) wants writes aligned to {alignment} bytes", name())));
        }
        _ => {}
    }
    let file = match create_probe_file(directory, true) {
        Ok(file) => file,
        Err(error) if is_refusal_of_direct(&error) => {
            return Ok(Err(format!("the file system ({}) refuses O_DIRECT", name())));
        }
        Err(error) => return Err(error),
    };
    let io_error = |source| Error::io("write a trial block in", directory, source);
    let buffer = AlignedBuffer::new(2 * ALIGNMENT_BYTES, 0).map_err(io_error)?;
    match write_whole(&file, &buffer[..ALIGNMENT_BYTES], 0, SECTOR_BYTES) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Ok(Err(format!("the file system ({}) refuses direct writes of {ALIGNMENT_BYTES} bytes", name())));
        }
        // A full disk says nothing of how it is written to, and the log will wait for room: the file system's word is taken.
        Err(error) if is_want_of_room(&error) && sys::file::direct_alignment(&file).is_some() => return Ok(Ok(file)),
        Err(error) => return Err(io_error(error)),
    }
    // One byte off, in memory and in length: no device takes that without a copy.
    match write_whole(&file, &buffer[1..ALIGNMENT_BYTES], 0, 1) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Ok(file)),
        Ok(()) => Ok(Err(format!("the file system ({}) ignores O_DIRECT", name()))),
        Err(error) => Err(io_error(error)),
    }
}

/// Why io_uring does not write `file`, which takes direct writes; `None` if it does.
fn why_not_uring(file: File) -> Option<String> {
    let buffer = match AlignedBuffer::new(ALIGNMENT_BYTES, 0) {
        Ok(buffer) => buffer,
        Err(error) => return Some(explain(&error)),
    };
    let report = DeviceReport { kind: DeviceKind::IoUring, reasons: Vec::new() };
    let mut device = match Uring::new(report, 1, std::slice::from_ref(&buffer), Arc::new(|| ())) {
        Ok(device) => device,
        Err(error) => return Some(explain(&error)),
    };
    device.submit(BlockWrite { token: 0, file: Arc::new(file), offset: 0, length: ALIGNMENT_BYTES, buffer });
    let mut completions = Vec::new();
    while completions.is_empty() {
        device.wait(Duration::from_secs(1));
        device.reap(&mut completions);
    }
    if device.report().kind != DeviceKind::IoUring {
        return device.report().reasons.first().cloned();
    }
    let refused = completions.pop().and_then(|completion| completion.result.err());
    // Want of room comes from the disk, and io_uring has brought it.
    refused.filter(|error| !is_want_of_room(error)).map(|error| explain(&error))
}

/// The error, with the likely reason where the kernel does not say.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "operation not permitted (seccomp, or kernel.io_uring_disabled?)".into(),
        io::ErrorKind::Unsupported => format!("{error} (an old kernel, or seccomp?)"),
        _ => error.to_string(),
    }
}

/// Whether an open failed because of `O_DIRECT`, and not for want of permission or space.
fn is_refusal_of_direct(error: &Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    error.io_error().is_some_and(|error| matches!(error.kind(), InvalidInput | Unsupported))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::test_directory::directory;

    fn entries(directory: &Path) -> usize {
        directory.read_dir().unwrap().count()
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let directory = directory();
        probe(directory.path(), DevicePreference::Auto).unwrap();
        probe(directory.path(), DevicePreference::Buffered).unwrap();
        assert_eq!(entries(directory.path()), 0);
    }

    #[test]
    fn buffered_is_what_one_gets_when_one_asks_for_it() {
        let directory = directory();
        let report = probe(directory.path(), DevicePreference::Buffered).unwrap();
        assert_eq!(report.kind, DeviceKind::Buffered);
        assert_eq!(report.to_string(), "buffered (direct: not wanted (device = buffered))");
    }

    #[test]
    fn a_directory_that_is_missing_or_is_a_file_is_an_io_error() {
        let directory = directory();
        let missing = directory.path().join("missing");
        assert!(matches!(probe(&missing, DevicePreference::Auto), Err(Error::Io { path, .. }) if path == missing));
        std::fs::write(&missing, "").unwrap();
        assert!(matches!(probe(&missing, DevicePreference::Auto), Err(Error::Io { .. })));
    }

    #[cfg(all(target_os = "linux", not(diolog_portable)))]
    #[test]
    fn tmpfs_is_buffered_and_refused_where_direct_is_demanded() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let report = probe(directory.path(), DevicePreference::Auto).unwrap();
        assert_eq!(report.kind, DeviceKind::Buffered);
        assert!(report.reasons[0].starts_with("direct: the file system (tmpfs)"), "{report}");
        for preference in [DevicePreference::Direct, DevicePreference::Pwrite, DevicePreference::IoUring] {
            let error = probe(directory.path(), preference).unwrap_err();
            let Error::InvalidConfig { setting, value, remedy } = error else { panic!("{error}") };
            assert_eq!((setting, value), ("device", preference.to_string()));
            assert!(remedy.contains("tmpfs") && remedy.contains("\"auto\""), "{remedy}");
        }
        assert_eq!(entries(directory.path()), 0);
    }

    #[cfg(not(all(target_os = "linux", not(diolog_portable))))]
    #[test]
    fn without_direct_io_the_rung_is_buffered() {
        let directory = directory();
        assert_eq!(probe(directory.path(), DevicePreference::Auto).unwrap().kind, DeviceKind::Buffered);
        assert!(matches!(probe(directory.path(), DevicePreference::Direct), Err(Error::InvalidConfig { .. })));
    }
}
