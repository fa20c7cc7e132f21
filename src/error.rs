//! What can go wrong outside the hot path. (Appending returns an [`Outcome`](crate::Outcome) instead.)

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A result whose error is diolog's.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that names the value and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of [`Config`](crate::Config) that cannot be, or does not fit another.
    #[error("{setting} is {value}: {remedy}")]
    InvalidConfig {
        /// The setting's name.
        setting: &'static str,
        /// The value given.
        value: String,
        /// What would do.
        remedy: String,
    },
    /// Another process, or another [`Logger`](crate::Logger) of this one, has the log open for writing.
    #[error("{} is in use by {holder}: close that logger, or log to another directory", path.display())]
    InUse {
        /// The log's directory.
        path: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// The operating system refused something.
    #[error("cannot {operation} {}{}: {source}{}", path.display(), At(*offset), remedy(source))]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Where in the file, in bytes, if it matters.
        offset: Option<u64>,
        /// Why it was refused.
        source: io::Error,
    },
    /// A file or directory that holds no log, or none that this version reads.
    #[error("{} {what}", path.display())]
    NotALog {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// The logger has been closed.
    #[error("the logger is closed: open it again to log or flush")]
    Closed,
    /// The process is a fork of the one that opened the logger; the writer thread lives only there.
    #[error("the logger belongs to the parent process: open another log in the forked one")]
    Forked,
    /// A flush did not become durable in the time given. The records are still on their way.
    #[error("not durable after {waited:?}: the records stay accepted, flush again to wait longer")]
    FlushTimeout {
        /// The time given.
        waited: Duration,
    },
    /// [`Logger::close`](crate::Logger::close) reached its deadline, or the device had failed.
    #[error(
        "{unconfirmed} records were accepted but not confirmed durable at close{}: {reason}",
        if *dropped > 0 { format!(" ({dropped} more had been dropped)") } else { String::new() }
    )]
    CloseIncomplete {
        /// Records accepted, but not known to be durable.
        unconfirmed: u64,
        /// Records dropped during the run by the overflow policy.
        dropped: u64,
        /// Why.
        reason: String,
    },
    /// More producers than a log can have.
    #[error("{count} producers {what}: {remedy}")]
    TooManyProducers {
        /// How many there are.
        count: u64,
        /// Which of them are counted.
        what: &'static str,
        /// What would do.
        remedy: &'static str,
    },
    /// All rings together would take more than the engine's limit.
    #[error("a ring of {ring_bytes} bytes would exceed rings_bytes_max of {limit_bytes} bytes for all: {remedy}")]
    RingMemory {
        /// The ring asked for, in bytes.
        ring_bytes: usize,
        /// The limit for all rings, in bytes.
        limit_bytes: usize,
        /// What would do.
        remedy: &'static str,
    },
}

impl Error {
    /// An [`Error::Io`] without an offset.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { operation, path: path.to_owned(), offset: None, source }
    }

    /// The operating system's error, where there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// An operating system's error that can be given to several callers: [`io::Error`] cannot be cloned.
#[derive(Clone, Debug)]
pub(crate) struct SavedIoError {
    kind: io::ErrorKind,
    os_error: Option<i32>,
    message: String,
}

impl SavedIoError {
    /// The error once more.
    pub(crate) fn to_io_error(&self) -> io::Error {
        match self.os_error {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::new(self.kind, self.message.clone()),
        }
    }
}

impl From<&io::Error> for SavedIoError {
    fn from(error: &io::Error) -> SavedIoError {
        SavedIoError { kind: error.kind(), os_error: error.raw_os_error(), message: error.to_string() }
    }
}

/// Whether the file that was to be used does not exist.
pub(crate) fn is_not_found(error: &Error) -> bool {
    error.io_error().is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
}

/// Whether the operating system refused for want of room: on the disk, in a quota, or below the process's file size limit.
pub(crate) fn is_want_of_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// What to do where the kind of error says it.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => ": give this user the right to it, or choose another place",
        io::ErrorKind::ReadOnlyFilesystem => ": the file system is mounted read-only, choose another place",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room, or choose another place",
        _ => "",
    }
}

/// " at offset N", or nothing.
struct At(Option<u64>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, " at offset {offset}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_operation_the_path_the_offset_and_the_reason() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Error::Io { operation: "read", path: "a/b.dlog".into(), offset: Some(4096), source };
        assert_eq!(
            error.to_string(),
            "cannot read a/b.dlog at offset 4096: permission denied: give this user the right to it, or choose another place"
        );
        assert!(error.io_error().is_some());
        let error = Error::io("create", Path::new("a"), io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(error.to_string(), "cannot create a: entity not found");
    }
}
