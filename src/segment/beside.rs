//! Files beside the segments, in the log's directory: made by others than the thread that prepares segments, and under
//! the same rules.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::sync::lock;
use crate::sys::directory::OpenDirectory;

use super::directory::Directory;
use super::location::Location;
use super::lock::SharedLock;

/// The way to a log's directory for whoever writes other files there.
#[derive(Clone)]
pub(crate) struct Beside {
    location: Arc<Location>,
    lock: SharedLock,
}

impl Beside {
    /// The way to this directory, for as long as the log is open.
    pub(crate) fn of(directory: &Directory) -> Beside {
        Beside { location: Arc::clone(&directory.location), lock: Arc::clone(&directory.lock) }
    }

    /// Calls `work` with the directory, under the log's lock. It waits for a step of the thread that prepares segments,
    /// which takes milliseconds unless the disk holds it.
    ///
    /// # Errors
    /// [`Error::Closed`] once the log is closed; those of finding the directory again if it was deleted; and those of
    /// `work`.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&OpenDirectory) -> Result<R>) -> Result<R> {
        let mut held = lock(&self.lock);
        held.as_mut().ok_or(Error::Closed)?.renew(&self.location)?;
        work(&self.location.directory())
    }
}
