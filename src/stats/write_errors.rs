//! Writes that failed, by kind.

use std::io;

use crate::error::is_want_of_room;
use crate::format::counts_by_cause;
use crate::sys;

counts_by_cause! {
    /// Writes that failed, by kind: whether the disk is full, broken or read-only calls for different remedies.
    pub struct WriteErrorsBy {
        /// For want of room: a full disk, a quota, or the process's limit on file sizes.
        pub no_room: u64,
        /// The device could not write, or an earlier write is known to have failed (`EIO`). The kernel's log says more.
        pub device: u64,
        /// The file system is read-only (`EROFS`). The kernel makes it so after errors.
        pub read_only: u64,
        /// All others, such as a network file system whose server is gone. The log has a note with the error.
        pub other: u64,
    }
}

/// The kind of a failed write, in the order of the fields of [`WriteErrorsBy`].
#[derive(Clone, Copy)]
pub(crate) enum WriteErrorKind {
    NoRoom,
    Device,
    ReadOnly,
    Other,
}

impl WriteErrorKind {
    pub(crate) const COUNT: usize = WriteErrorsBy::NAMES.len();

    pub(crate) fn of(error: &io::Error) -> WriteErrorKind {
        match error.kind() {
            _ if is_want_of_room(error) => WriteErrorKind::NoRoom,
            _ if sys::file::is_of_the_disk(error) => WriteErrorKind::Device,
            io::ErrorKind::ReadOnlyFilesystem => WriteErrorKind::ReadOnly,
            _ => WriteErrorKind::Other,
        }
    }
}
