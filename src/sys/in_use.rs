//! The mark on a file that a descriptor writes it.

use std::fs::{File, TryLockError};
use std::io;

/// Locks `file` for this descriptor, until it is closed and no write by it is under way. Returns false if another
/// descriptor has it. Platforms where a lock would keep readers out have none.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    if !cfg!(unix) {
        return Ok(true);
    }
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
