//! The error of every call outside the hot path. (Appending returns an [`Outcome`](crate::Outcome) instead.)
//!
//! It is the same for writing and reading, and names only things that a caller can see: no internal state, no invented
//! path.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::grouped::{Grouped, Size, counted};
use crate::sys::file::is_of_the_disk;
use crate::sys::limits::refused_open_files;

/// A result whose error is diolog's.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of opening, flushing, closing and reading a log. Its message names the value or the path, and a remedy if
/// there is one.
///
/// ```
/// use diolog::{Config, Error, Logger};
///
/// match Logger::open(Config::new("no/such/parent/log")) {
///     Err(Error::InUse { holder, .. }) => println!("wait for {holder}"),
///     Err(Error::Io { operation, source, .. }) => println!("{operation}: {:?}", source.kind()),
///     Err(error @ Error::NoParent { .. }) => assert_eq!(
///         error.to_string(),
///         "no/such/parent/log cannot be created, because the directory no/such/parent does not exist: create that \
///          first, or set create_parents",
///     ),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of [`Config`](crate::Config) that is invalid or does not fit another.
    #[error("{setting} is {value}: {remedy}")]
    InvalidConfig {
        /// The setting's name.
        setting: &'static str,
        /// The value given.
        value: String,
        /// How to correct it.
        remedy: String,
    },
    /// Another process, or another [`Logger`](crate::Logger) of this one, has the log open for writing.
    #[error("{} is in use by {holder}: close that logger, or log to another directory", path.display())]
    InUse {
        /// The log's directory.
        path: PathBuf,
        /// The process that has it open, such as "process 4711", or what is known of it.
        holder: String,
    },
    /// The operating system refused something.
    #[error("cannot {operation} {}{}: {source}{}", path.display(), At(*offset), remedy(operation, source))]
    Io {
        /// The operation, as a verb: "write".
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The position in the file, in bytes, if there is one.
        offset: Option<u64>,
        /// The system's error.
        source: io::Error,
    },
    /// The path is not a log, or not one that this version can read.
    #[error("{} {what}", path.display())]
    NotALog {
        /// The path.
        path: PathBuf,
        /// The rest of the sentence: how the path differs from a log.
        what: String,
    },
    /// The directory that a new log's directory is to be made in does not exist.
    #[error(
        "{} cannot be created, because the directory {} does not exist: create that first, or set create_parents",
        path.display(),
        parent.display()
    )]
    NoParent {
        /// The log's directory.
        path: PathBuf,
        /// The directory above it.
        parent: PathBuf,
    },
    /// The logger has been closed.
    #[error("the logger is closed: open it again to log or flush")]
    Closed,
    /// This process was forked from the one that opened the logger. Only that one has the writer thread.
    #[error("the logger belongs to the parent process: open another log in this one")]
    Forked,
    /// The records were not durable within the limit of a flush. They are still on their way.
    #[error("not durable after {waited:?}: the records stay accepted, flush again to wait longer")]
    FlushTimeout {
        /// The limit.
        waited: Duration,
    },
    /// [`Logger::close`](crate::Logger::close) reached its deadline, or the device had failed.
    #[error("{}: {reason}", incomplete(*unconfirmed, *dropped))]
    CloseIncomplete {
        /// Records accepted, but not known to be durable.
        unconfirmed: u64,
        /// Records that were dropped or overwritten during the run.
        dropped: u64,
        /// The cause: the device's error, or the step that took too long.
        reason: String,
    },
    /// The log cannot have more producers.
    #[error("{count} producers {what}: {remedy}")]
    TooManyProducers {
        /// The number of producers.
        count: u64,
        /// Which producers are counted.
        what: &'static str,
        /// A remedy.
        remedy: &'static str,
    },
    /// All rings together would exceed `rings_bytes_max`.
    #[error(
        "a ring of {} would exceed rings_bytes_max of {} for all: {remedy}",
        Size(*ring_bytes as u64),
        Size(*limit_bytes as u64)
    )]
    RingMemory {
        /// The ring asked for, in bytes.
        ring_bytes: usize,
        /// The limit for all rings, in bytes.
        limit_bytes: usize,
        /// A remedy.
        remedy: &'static str,
    },
}

impl Error {
    /// An [`Error::Io`] without an offset.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { operation, path: path.to_owned(), offset: None, source }
    }

    /// An [`Error::InvalidConfig`].
    pub(crate) fn invalid(setting: &'static str, value: impl Display, remedy: impl Into<String>) -> Error {
        Error::InvalidConfig { setting, value: value.to_string(), remedy: remedy.into() }
    }

    /// The refusal of an operation for which `who` calls, and would wait for itself.
    pub(crate) fn waits_for_itself(who: &str, operation: &'static str, path: &Path) -> Error {
        let source = io::Error::new(io::ErrorKind::Deadlock, format!("{who} would wait for itself"));
        Error::io(operation, path, source)
    }

    /// The operating system's error, if this is [`Error::Io`].
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Of the kind of the system's error, or else of the kind that fits best, with the error inside.
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        use io::ErrorKind::*;
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            Error::InvalidConfig { .. } => InvalidInput,
            Error::InUse { .. } => ResourceBusy,
            Error::NotALog { .. } => InvalidData,
            Error::NoParent { .. } => NotFound,
            Error::FlushTimeout { .. } => TimedOut,
            Error::RingMemory { .. } => OutOfMemory,
            Error::Closed | Error::Forked | Error::CloseIncomplete { .. } | Error::TooManyProducers { .. } => Other,
        };
        io::Error::new(kind, error)
    }
}

/// Shows what `Display` shows, for programs that return the error from `main` or unwrap it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
    /// A new error that equals the saved one.
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

/// Whether the error says that a file does not exist.
pub(crate) fn is_not_found(error: &Error) -> bool {
    error.io_error().is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
}

/// Whether the operating system refused for want of room: on the disk, in a quota, or under the process's file size
/// limit.
pub(crate) fn is_want_of_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether an error concerns one file only and will not pass, so that others can be read: a missing permission, or a
/// defect of the disk.
pub(crate) fn is_of_one_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || is_of_the_disk(error)
}

/// What was not complete at a close.
fn incomplete(unconfirmed: u64, dropped: u64) -> String {
    let dropped = if dropped > 0 { format!(" ({} more had been dropped)", Grouped(dropped)) } else { String::new() };
    if unconfirmed == 0 {
        return format!("the log was closed, and not all that was durable is in it{dropped}");
    }
    let were = if unconfirmed == 1 { "was" } else { "were" };
    format!("{} {were} accepted but not confirmed durable at close{dropped}", counted(unconfirmed, "record"))
}

/// The remedy for an error of this kind, if one is known. Only readers use the operation "open".
fn remedy(operation: &str, source: &io::Error) -> Cow<'static, str> {
    if let Some(limit) = refused_open_files(source) {
        let remedy =
            format!(": this process may have {limit} files open (ulimit -n), raise that or keep fewer logs open");
        return remedy.into();
    }
    let known = match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if operation == "open" => {
            ": name the directory of a log"
        }
        io::ErrorKind::PermissionDenied if matches!(operation, "open" | "list") => {
            ": read it as the user who writes the log, or let the writer set file_mode = 0o640 and group"
        }
        io::ErrorKind::PermissionDenied => ": give this user the right to it, or choose another place",
        io::ErrorKind::ReadOnlyFilesystem => ": the file system is mounted read-only, choose another place",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room, or choose another place",
        _ => "",
    };
    known.into()
}

/// Shows " at offset N", or nothing.
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
        let error = Error::CloseIncomplete { unconfirmed: 1_000, dropped: 2_000, reason: "late".into() };
        let sentence =
            "1,000 records were accepted but not confirmed durable at close (2,000 more had been dropped): late";
        assert_eq!(error.to_string(), sentence);
        let error = Error::io("create", Path::new("a"), io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(error.to_string(), "cannot create a: entity not found");
    }

    #[test]
    fn an_error_passes_through_functions_that_return_those_of_the_system() {
        let error = io::Error::from(Error::io("create", Path::new("a"), io::ErrorKind::NotFound.into()));
        assert_eq!((error.kind(), &*error.to_string()), (io::ErrorKind::NotFound, "cannot create a: entity not found"));
        let error = io::Error::from(Error::Closed);
        assert!(error.get_ref().is_some_and(|inner| matches!(inner.downcast_ref(), Some(Error::Closed))), "{error:?}");
    }

    #[test]
    fn who_reads_a_log_is_told_other_remedies_than_who_writes_it() {
        let said = |operation, kind: io::ErrorKind| Error::io(operation, Path::new("a"), kind.into()).to_string();
        assert_eq!(
            said("open", io::ErrorKind::NotFound),
            "cannot open a: entity not found: name the directory of a log"
        );
        for operation in ["open", "list"] {
            let remedy = "read it as the user who writes the log, or let the writer set file_mode = 0o640 and group";
            let expected = format!("cannot {operation} a: permission denied: {remedy}");
            assert_eq!(said(operation, io::ErrorKind::PermissionDenied), expected);
        }
        assert!(said("create", io::ErrorKind::PermissionDenied).ends_with("or choose another place"));
    }
}
