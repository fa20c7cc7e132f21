//! Whether a logger has a log open, as its lock tells.

use std::path::Path;

use crate::format::LOCK_FILE;
use crate::sys;

/// Whether a logger has a log open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InUse {
    /// Some process holds the log's lock.
    Yes,
    /// None does.
    No,
    /// The system cannot tell without taking the lock, or the lock file may not be read.
    Unknown,
}

impl InUse {
    /// Asks for the log in `directory`.
    pub(super) fn of(directory: &Path) -> InUse {
        match sys::lock::is_locked(&directory.join(LOCK_FILE)) {
            Some(true) => InUse::Yes,
            Some(false) => InUse::No,
            None => InUse::Unknown,
        }
    }
}
