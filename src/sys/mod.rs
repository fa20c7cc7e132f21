//! Everything that depends on the platform: the operating system's calls and the CPU's instructions.
//!
//! `linux` and `portable` offer the same functions. `--cfg diolog_portable` builds `portable` on Linux, so that it is
//! tested there too; `--cfg loom` uses it as well, since a model has no kernel. All other modules may call this one. It
//! knows nothing of rings, blocks, records or logs, and uses only `sync`.

#[cfg(all(target_os = "linux", not(any(diolog_portable, loom))))]
mod linux;
#[cfg(all(target_os = "linux", not(any(diolog_portable, loom))))]
pub(crate) use linux::*;

#[cfg(not(all(target_os = "linux", not(any(diolog_portable, loom)))))]
mod portable;
#[cfg(not(all(target_os = "linux", not(any(diolog_portable, loom)))))]
pub(crate) use portable::*;

use std::fmt;

mod access;
mod fill;
mod in_use;
mod per_process;
mod place;
mod temporary;
pub(crate) mod write;

pub(crate) use access::Access;
pub(crate) use fill::fill_at;
pub(crate) use in_use::try_lock;
pub(crate) use per_process::{MadeIn, PerProcess};
pub(crate) use place::{AtPath, at_path};
pub(crate) use temporary::{is_temporary_name, temporary_name};

#[cfg(test)]
pub(crate) mod test_directory;
#[cfg(test)]
pub(crate) mod test_report;

/// How many words a `memory::WipedOnFork` has.
pub(crate) const WIPED_WORDS: usize = 5;

/// What has a name in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectoryEntry {
    /// Whether it is a regular file.
    pub(crate) is_file: bool,
    pub(crate) bytes: u64,
    /// The time of the last write, since 1970.
    pub(crate) modified: std::time::Duration,
}

/// The identity of a file or directory, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// Why `lock::FileLock::take` took no lock.
#[derive(Debug)]
pub(crate) enum LockRefusal {
    /// The file is locked already.
    Held(LockHolder),
    /// The system refused an operation.
    Io {
        /// The operation that was refused, such as "open the lock file".
        operation: &'static str,
        source: std::io::Error,
    },
}

/// Why `directory::OpenDirectory::open_owned` opened no directory.
#[derive(Debug)]
pub(crate) enum NotOwned {
    /// Somebody else could change it, or what it leads to: why, and what to do.
    #[cfg_attr(
        not(all(target_os = "linux", not(any(diolog_portable, loom)))),
        expect(dead_code, reason = "not known there")
    )]
    Refused(String),
    /// The system refused an operation.
    Io {
        /// The operation that was refused, such as "open the directory".
        operation: &'static str,
        source: std::io::Error,
    },
}

/// Whether a file is locked, as `lock::state` sees it without locking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(all(target_os = "linux", not(any(diolog_portable, loom)))),
    expect(dead_code, reason = "not known there")
)]
pub(crate) enum LockState {
    /// A process, maybe this one, holds the lock.
    Held(LockHolder),
    /// No process holds it, or the file does not exist.
    Free,
    /// The system does not say.
    Unknown,
}

/// Who holds the lock on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(all(target_os = "linux", not(any(diolog_portable, loom)))),
    expect(dead_code, reason = "not known there")
)]
pub(crate) enum LockHolder {
    /// This process.
    ThisProcess,
    /// The process with this id.
    Process(u32),
    /// Some process, which may be this one: the system does not say which.
    Unknown,
}

/// In the words of an error message.
impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockHolder::ThisProcess => f.write_str("this process"),
            LockHolder::Process(id) => write!(f, "process {id}"),
            LockHolder::Unknown => f.write_str("another logger"),
        }
    }
}
