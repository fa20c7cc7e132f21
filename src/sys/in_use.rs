//! A lock on a file that says that a descriptor writes it.

use std::fs::{File, TryLockError};
use std::io;

/// Locks `file` for this descriptor, until the descriptor is closed and no write through it is under way. Returns false
/// if another descriptor has the lock. Does nothing on platforms where such a lock would keep readers out.
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
