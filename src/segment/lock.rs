//! The lock on a log: one logger writes it at a time. It is a lock on the file `lock` in the log's directory.
//!
//! [`Directory`](super::Directory) takes it, and shares it with the thread that prepares segments. Readers take no
//! lock.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::format::LOCK_FILE;
use crate::sys::lock::FileLock;
use crate::sys::{LockHolder, LockRefusal};

/// The lock on a log, until the log is closed (`None`). Whoever changes the directory does so under the mutex, and only
/// while the lock is there.
pub(super) type SharedLock = Arc<Mutex<Option<LogLock>>>;

/// The right to write the log in a directory.
pub(super) struct LogLock(FileLock);

impl LogLock {
    /// Locks the log in `directory`.
    ///
    /// # Errors
    /// [`Error::InUse`] if another logger, of this process or another one, has it; [`Error::Io`] if the lock file
    /// cannot be created or locked.
    pub(super) fn take(directory: &Path) -> Result<LogLock> {
        let path = directory.join(LOCK_FILE);
        FileLock::take(&path).map(LogLock).map_err(|refusal| match refusal {
            LockRefusal::Held(holder) => Error::InUse { path: directory.to_owned(), holder: name(holder) },
            LockRefusal::Io { operation, source } => Error::io(operation, &path, source),
        })
    }

    /// Locks the log anew if `directory` was deleted and made again since.
    ///
    /// # Errors
    /// As [`LogLock::take`]; the earlier lock is kept then.
    pub(super) fn renew(&mut self, directory: &Path) -> Result<()> {
        if !self.0.is_at(&directory.join(LOCK_FILE)) {
            *self = LogLock::take(directory)?;
        }
        Ok(())
    }
}

/// The holder, as error messages name it.
fn name(holder: LockHolder) -> String {
    match holder {
        LockHolder::ThisProcess => "this process".to_owned(),
        LockHolder::Process(id) => format!("process {id}"),
        LockHolder::Unknown => "another logger".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::test_directory::directory;

    #[test]
    fn a_second_logger_is_refused_and_the_message_names_the_holder() {
        let directory = directory();
        let _lock = LogLock::take(directory.path()).expect("the first");
        let error = LogLock::take(directory.path()).err().expect("refused");
        let Error::InUse { path, holder } = &error else { panic!("{error}") };
        assert_eq!(path, directory.path());
        assert!(["this process", "another logger"].contains(&holder.as_str()), "{error}");
        assert_eq!(name(LockHolder::Process(7)), "process 7");
    }

    #[test]
    fn a_lock_is_renewed_only_if_its_file_is_no_longer_there() {
        let directory = directory();
        let mut lock = LogLock::take(directory.path()).expect("locked");
        lock.renew(directory.path()).expect("nothing to do");
        std::fs::remove_file(directory.path().join(LOCK_FILE)).expect("removed");
        lock.renew(directory.path()).expect("locked anew");
        assert!(directory.path().join(LOCK_FILE).exists());
        assert!(matches!(LogLock::take(directory.path()), Err(Error::InUse { .. })));
    }

    #[test]
    fn a_lock_file_that_cannot_be_made_is_named() {
        let directory = directory();
        let missing = directory.path().join("missing");
        let error = LogLock::take(&missing).err().expect("refused");
        assert!(matches!(&error, Error::Io { path, .. } if *path == missing.join(LOCK_FILE)), "{error}");
    }
}
