//! [`DeviceKind::Buffered`](super::DeviceKind): writes blocks through the page cache, then calls `fdatasync` once for
//! all queued blocks of a file. The blocks are durable, and complete, when `fdatasync` returns.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::error::{SavedIoError, is_want_of_room};
use crate::sys::fork::UnsharedFile;
use crate::sys::write::write_whole;

use super::failed::FailedFiles;
use super::threaded::Operation;
use super::{BlockWrite, Completion};

/// Writes blocks through the page cache.
#[derive(Default)]
pub(super) struct Buffered {
    failed: FailedFiles,
    /// The blocks of the current batch that wait for the sync. Empty between batches.
    written: Vec<BlockWrite>,
}

impl Operation for Buffered {
    const TAKES_A_FILES_BLOCKS: bool = true;

    fn write(&mut self, batch: &mut VecDeque<BlockWrite>, completions: &mut Vec<Completion>) {
        for write in batch.drain(..) {
            let result = match self.failed.error_of(&write.file) {
                Some(error) => Err(error),
                // The page cache takes writes of any length.
                None => write_whole(&write.file, write.bytes(), write.offset, 1),
            };
            match result {
                Ok(()) => self.written.push(write),
                Err(error) => {
                    if !is_want_of_room(&error) {
                        self.failed.insert(&write.file, &error);
                    }
                    completions.push(write.complete(Err(error)));
                }
            }
        }
        let Some(file) = self.written.first().map(|write| Arc::clone(&write.file)) else { return };
        let result = self.sync(&file).map_err(|error| SavedIoError::from(&error));
        for write in self.written.drain(..) {
            completions.push(write.complete(result.clone().map_err(|error| error.to_io_error())));
        }
    }
}

impl Buffered {
    /// Syncs `file`. That makes the blocks written to it durable. Fails without a sync if a write to the file has
    /// failed, in this batch or in an earlier one.
    fn sync(&mut self, file: &Arc<UnsharedFile>) -> io::Result<()> {
        if let Some(error) = self.failed.error_of(file) {
            return Err(error);
        }
        let result = loop {
            match file.sync_data() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        // Every failure is final here, even a full disk: the kernel may have dropped the pages, so a second sync proves
        // nothing.
        result.map_err(|error| {
            let error = if is_want_of_room(&error) {
                io::Error::other(format!("the written blocks could not be synced: {error}"))
            } else {
                error
            };
            self.failed.insert(file, &error);
            error
        })
    }
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::buffer::AlignedBuffer;

    /// A sync that fails may have dropped the written pages, and the next one would succeed: so there is no next one.
    #[test]
    fn a_failed_sync_fails_all_blocks_that_it_was_for_and_the_file_for_good() {
        // The kernel takes every write to it, and cannot sync it.
        let null = File::options().write(true).open("/dev/null").expect("a device of every Linux");
        let file = Arc::new(UnsharedFile::from(null));
        let write = |token| {
            let buffer = AlignedBuffer::new(4096, 0).expect("memory");
            BlockWrite { token, file: Arc::clone(&file), offset: 4096 * token, length: 4096, buffer }
        };
        let (mut operation, mut completions) = (Buffered::default(), Vec::new());
        operation.write(&mut [write(0), write(1)].into(), &mut completions);
        assert_eq!(completions.iter().map(|completion| completion.token).collect::<Vec<_>>(), [0, 1]);
        for completion in completions {
            assert_eq!(completion.result.expect_err("not durable").raw_os_error(), Some(libc::EINVAL));
        }
        assert!(operation.failed.error_of(&file).is_some());
    }
}
