//! Writes that failed, by kind.

use std::io;

use crate::error::is_want_of_room;
use crate::sys;

/// Writes that failed, by kind: whether the disk is full, broken or read-only calls for different remedies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
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

/// The kind of a failed write.
#[derive(Clone, Copy)]
pub(crate) enum WriteErrorKind {
    NoRoom,
    Device,
    ReadOnly,
    Other,
}

impl WriteErrorKind {
    pub(crate) const COUNT: usize = 4;

    pub(crate) fn of(error: &io::Error) -> WriteErrorKind {
        match error.kind() {
            _ if is_want_of_room(error) => WriteErrorKind::NoRoom,
            _ if sys::file::is_of_the_disk(error) => WriteErrorKind::Device,
            io::ErrorKind::ReadOnlyFilesystem => WriteErrorKind::ReadOnly,
            _ => WriteErrorKind::Other,
        }
    }
}

impl WriteErrorsBy {
    /// From the count of each [`WriteErrorKind`], in their order.
    pub(crate) fn from_counts([no_room, device, read_only, other]: [u64; WriteErrorKind::COUNT]) -> WriteErrorsBy {
        WriteErrorsBy { no_room, device, read_only, other }
    }

    /// All of them.
    pub const fn total(&self) -> u64 {
        self.no_room + self.device + self.read_only + self.other
    }
}
