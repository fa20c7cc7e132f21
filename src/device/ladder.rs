//! Chooses the kind of device for a log, from the setting and from tests of the file system and the kernel, and gives
//! the reasons.
//!
//! The probe uses a file in the log's directory. It removes the file's name before it writes, so that no file is left.
//! tmpfs, btrfs and overlays on them accept `O_DIRECT` and ignore it. `STATX_DIOALIGN` shows this if the kernel (6.1 or
//! later) and the file system support it. Otherwise the probe tries: an aligned write must work, and a misaligned one
//! must be refused. A file system that takes both uses the page cache.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::{ALIGNMENT_BYTES, AlignedBuffer};
use crate::error::{Error, Result, is_want_of_room};
use crate::sys;
use crate::sys::directory::OpenDirectory;
use crate::sys::write::{SECTOR_BYTES, write_whole};

use super::uring::{Uring, UringSize};
use super::{BlockWrite, DeviceKind, DeviceReport, explain};

/// Which kind of device to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DevicePreference {
    /// The best kind that works here.
    #[default]
    Auto,
    /// Direct I/O, by io_uring or by `pwrite`. Opening fails if neither works.
    Direct,
    /// io_uring. Opening fails if it does not work.
    IoUring,
    /// Direct I/O by `pwrite`, without io_uring. Opening fails if direct I/O does not work.
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

/// Chooses the kind of device for a log in `directory`. Leaves nothing behind in it.
///
/// # Errors
/// [`Error::Io`] if no file can be created there (a read-only file system, no permission), or the trial write fails;
/// [`Error::InvalidConfig`] if the kind that `preference` demands does not work.
pub(crate) fn probe(directory: &OpenDirectory, preference: DevicePreference) -> Result<DeviceReport> {
    // Made for every kind of device: `open` must fail if the directory cannot be written.
    let file = create_probe_file(directory, false)?;
    if preference == DevicePreference::Buffered {
        return Ok(DeviceReport {
            kind: DeviceKind::Buffered,
            reasons: vec!["direct: not wanted (device = buffered)".into()],
        });
    }
    let file = match try_direct(directory, &file)? {
        DirectTrial::Works(file) => file,
        DirectTrial::Refused(reason) if preference == DevicePreference::Auto => {
            return Ok(DeviceReport { kind: DeviceKind::Buffered, reasons: vec![format!("direct: {reason}")] });
        }
        DirectTrial::Refused(reason) => {
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

/// The error for a demanded kind that does not work.
fn refuse(preference: DevicePreference, reason: &str, remedy: &str) -> Error {
    Error::invalid("device", preference, format!("{reason}; {remedy} use \"auto\""))
}

/// Creates a file in `directory`, and removes its name.
fn create_probe_file(directory: &OpenDirectory, direct: bool) -> Result<File> {
    let name = sys::temporary_name();
    let file = directory.create_to_write(&name, direct);
    // A failed open can leave the file: the kernel refuses O_DIRECT after it has created the file.
    let removed = directory.remove(&name);
    let file = file.map_err(|source| Error::io("create a file in", directory.path(), source))?;
    removed.map_err(|source| Error::io("remove", &directory.path_of(&name), source))?;
    Ok(file)
}

/// The result of direct I/O on a trial file.
enum DirectTrial {
    /// Direct I/O works. The file, which has no name any more, was written with it.
    Works(File),
    /// Why direct I/O does not work here.
    Refused(String),
}

/// Tries direct I/O on a new file in `directory`. `file` is another file of the same file system, opened without direct
/// I/O.
fn try_direct(directory: &OpenDirectory, file: &File) -> Result<DirectTrial> {
    let refused = |what: &str| {
        Ok(DirectTrial::Refused(format!("the file system ({}) {what}", sys::file::file_system_name(file))))
    };
    match sys::file::direct_alignment(file) {
        Some(0) => return refused("has no direct I/O here"),
        Some(alignment) if !ALIGNMENT_BYTES.is_multiple_of(alignment as usize) => {
            return refused(&format!("wants writes aligned to {alignment} bytes"));
        }
        _ => {}
    }
    let file = match create_probe_file(directory, true) {
        Ok(file) => file,
        Err(error) if is_refusal_of_direct(&error) => return refused("refuses O_DIRECT"),
        Err(error) => return Err(error),
    };
    let io_error = |source| Error::io("write a trial block in", directory.path(), source);
    let buffer = AlignedBuffer::new(2 * ALIGNMENT_BYTES, 0).map_err(io_error)?;
    match write_whole(&file, &buffer[..ALIGNMENT_BYTES], 0, SECTOR_BYTES) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return refused(&format!("refuses direct writes of {ALIGNMENT_BYTES} bytes"));
        }
        // On a full disk the trial shows nothing about direct I/O, and the log can wait for room. So believe what the
        // file system reports.
        Err(error) if is_want_of_room(&error) && sys::file::direct_alignment(&file).is_some() => {
            return Ok(DirectTrial::Works(file));
        }
        Err(error) => return Err(io_error(error)),
    }
    // Misaligned by one byte, in memory and in length: a device with direct I/O refuses that.
    match write_whole(&file, &buffer[1..ALIGNMENT_BYTES], 0, 1) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(DirectTrial::Works(file)),
        Ok(()) => refused("ignores O_DIRECT"),
        Err(error) => Err(io_error(error)),
    }
}

/// Why io_uring cannot write `file`, which was opened for direct I/O; `None` if it can.
fn why_not_uring(file: File) -> Option<String> {
    let buffer = match AlignedBuffer::new(ALIGNMENT_BYTES, 0) {
        Ok(buffer) => buffer,
        Err(error) => return Some(explain(&error)),
    };
    let mut uring = match Uring::new(UringSize::of_one_log(1)) {
        Ok(uring) => uring,
        Err(error) => return Some(explain(&error)),
    };
    // An error here only makes writes slower.
    let _ = uring.register(std::slice::from_ref(&buffer));
    uring.submit(BlockWrite { token: 0, file: Arc::new(file.into()), offset: 0, length: ALIGNMENT_BYTES, buffer });
    let mut completions = Vec::new();
    while completions.is_empty() && uring.broken().is_none() {
        uring.wait(Duration::from_secs(1));
        uring.reap(&mut completions);
    }
    if let Some(error) = uring.broken() {
        return Some(explain(&error));
    }
    let refused = completions.pop().and_then(|completion| completion.result.err());
    // A full disk is no fault of io_uring, so io_uring works.
    refused.filter(|error| !is_want_of_room(error)).map(|error| explain(&error))
}

/// Whether an open failed because of `O_DIRECT`, not for lack of permission or space.
fn is_refusal_of_direct(error: &Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    error.io_error().is_some_and(|error| matches!(error.kind(), InvalidInput | Unsupported))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sys::test_directory::directory;

    fn probe(directory: &Path, preference: DevicePreference) -> Result<DeviceReport> {
        super::probe(&OpenDirectory::open(directory).expect("a directory"), preference)
    }

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
    fn buffered_is_used_when_it_is_asked_for() {
        let directory = directory();
        let report = probe(directory.path(), DevicePreference::Buffered).unwrap();
        assert_eq!(report.kind, DeviceKind::Buffered);
        assert_eq!(report.to_string(), "buffered (direct: not wanted (device = buffered))");
    }

    #[test]
    fn a_directory_that_was_deleted_is_an_io_error() {
        let parent = directory();
        let path = parent.path().join("log");
        std::fs::create_dir(&path).unwrap();
        let opened = OpenDirectory::open(&path).unwrap();
        std::fs::remove_dir(&path).unwrap();
        let probed = super::probe(&opened, DevicePreference::Auto);
        assert!(matches!(probed, Err(Error::Io { path: named, .. }) if named == path));
    }

    #[cfg(all(target_os = "linux", not(diolog_portable)))]
    #[test]
    fn tmpfs_is_buffered_and_refused_if_direct_is_demanded() {
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
    fn without_direct_io_the_kind_is_buffered() {
        let directory = directory();
        assert_eq!(probe(directory.path(), DevicePreference::Auto).unwrap().kind, DeviceKind::Buffered);
        assert!(matches!(probe(directory.path(), DevicePreference::Direct), Err(Error::InvalidConfig { .. })));
    }
}
