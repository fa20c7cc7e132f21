//! Access to the log's directory for code that writes other files there than segments. It follows the same rules as the
//! thread that prepares segments.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::sync::lock;
use crate::sys::directory::OpenDirectory;

use super::directory::Directory;
use super::location::LogLocation;
use super::lock::SharedLock;

/// Access to a log's directory, for files beside the segments.
#[derive(Clone)]
pub(crate) struct Beside {
    location: Arc<LogLocation>,
    lock: SharedLock,
}

impl Beside {
    /// Access to this directory, for as long as the log is open.
    pub(crate) fn of(directory: &Directory) -> Beside {
        Beside { location: Arc::clone(&directory.location), lock: Arc::clone(&directory.lock) }
    }

    /// Calls `work` with the directory, under the log's lock. That may wait for a step of the thread that prepares
    /// segments, which takes milliseconds unless the disk hangs.
    ///
    /// # Errors
    /// [`Error::Closed`] after the log was closed; the errors of restoring a deleted directory; and those of `work`.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&OpenDirectory) -> Result<R>) -> Result<R> {
        let mut held = lock(&self.lock);
        held.as_mut().ok_or(Error::Closed)?.renew(&self.location)?;
        work(&self.location.directory())
    }
}
