//! The files on which a write or a sync has failed. A device never writes or syncs them again.
//!
//! After a failed sync the kernel reports the error once and marks the lost pages as clean, so the next sync succeeds.
//! So each device asks here before each write. A file keeps its first error as long as it is open.

use std::io;
use std::sync::{Arc, Weak};

use crate::error::SavedIoError;
use crate::sys::fork::UnsharedFile;

/// Failed files, each with its first error.
#[derive(Clone, Default)]
pub(super) struct FailedFiles {
    /// Few entries: a failed segment is replaced within a second, and its entry is removed after its file was closed.
    entries: Vec<Failed>,
}

#[derive(Clone)]
struct Failed {
    /// A weak reference keeps the allocation, so no other file can get its address.
    file: Weak<UnsharedFile>,
    error: SavedIoError,
}

impl FailedFiles {
    /// Remembers that `file` has failed, with its first error.
    pub(super) fn insert(&mut self, file: &Arc<UnsharedFile>, error: &io::Error) {
        self.entries.retain(|failed| failed.file.strong_count() > 0);
        if self.error_of(file).is_none() {
            self.entries.push(Failed { file: Arc::downgrade(file), error: error.into() });
        }
    }

    /// The first error of `file`, if it has failed.
    pub(super) fn error_of(&self, file: &Arc<UnsharedFile>) -> Option<io::Error> {
        let failed = self.entries.iter().find(|failed| std::ptr::eq(failed.file.as_ptr(), Arc::as_ptr(file)))?;
        Some(failed.error.to_io_error())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_failed_file_keeps_its_first_error_and_its_entry_is_removed_once_it_is_closed() {
        let open = || Arc::new(UnsharedFile::from(File::open(env!("CARGO_MANIFEST_DIR")).unwrap()));
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
