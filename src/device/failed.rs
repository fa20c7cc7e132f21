//! The descriptors that a write or a sync has failed on: they are never written or synced again.
//!
//! A failed sync is reported once; the kernel then takes the lost pages for clean, and the next sync succeeds. So the
//! first failure is remembered here for as long as the descriptor is open. Used by every rung, before each write.

use std::fs::File;
use std::io;
use std::sync::{Arc, Weak};

/// Failed descriptors, each with its first error.
#[derive(Default)]
pub(super) struct FailedFiles {
    /// Few: a failed segment is replaced by a fresh one within a second, and forgotten here once it is closed.
    entries: Vec<(Weak<File>, io::Error)>,
}

impl FailedFiles {
    /// Remembers that `file` has failed. Only the first error counts.
    pub(super) fn insert(&mut self, file: &Arc<File>, error: &io::Error) {
        self.entries.retain(|(failed, _)| failed.strong_count() > 0);
        if self.error_of(file).is_none() {
            self.entries.push((Arc::downgrade(file), copy_error(error)));
        }
    }

    /// The first error of `file`, if it has failed.
    pub(super) fn error_of(&self, file: &Arc<File>) -> Option<io::Error> {
        // A `Weak` keeps the allocation, so that no other file can have its address.
        let (_, error) = self.entries.iter().find(|(failed, _)| std::ptr::eq(failed.as_ptr(), Arc::as_ptr(file)))?;
        Some(copy_error(error))
    }
}

impl Clone for FailedFiles {
    fn clone(&self) -> FailedFiles {
        FailedFiles {
            entries: self.entries.iter().map(|(file, error)| (Weak::clone(file), copy_error(error))).collect(),
        }
    }
}

/// The same error once more: `io::Error` cannot be cloned.
pub(super) fn copy_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_file_keeps_its_first_error_and_is_forgotten_once_closed() {
        let open = || Arc::new(File::open(env!("CARGO_MANIFEST_DIR")).unwrap());
        let (first, second) = (open(), open());
        let mut failed = FailedFiles::default();
        failed.insert(&first, &io::Error::from_raw_os_error(5));
        failed.insert(&first, &io::Error::from_raw_os_error(9));
        assert_eq!(failed.error_of(&first).unwrap().raw_os_error(), Some(5));
        assert!(failed.error_of(&second).is_none());
        drop(first);
        failed.insert(&second, &io::Error::other("gone"));
        assert_eq!(failed.entries.len(), 1);
        assert_eq!(failed.error_of(&second).unwrap().to_string(), "gone");
    }
}
