//! [`DeviceKind::Pwrite`](super::DeviceKind): `pwrite` on an `O_DIRECT | O_DSYNC` descriptor, one block at a time. A
//! block is durable when its write returns.

use std::collections::VecDeque;

use crate::error::is_want_of_room;
use crate::sys::write::{SECTOR_BYTES, write_whole};

use super::failed::FailedFiles;
use super::threaded::Operation;
use super::{BlockWrite, Completion};

/// Writes blocks with direct I/O.
#[derive(Default)]
pub(super) struct Direct {
    failed: FailedFiles,
}

impl Direct {
    /// A device that never writes to the files in `failed`.
    pub(super) fn after(failed: FailedFiles) -> Direct {
        Direct { failed }
    }
}

impl Operation for Direct {
    /// Each write is durable when it returns, so a batch would gain nothing.
    const TAKES_A_FILES_BLOCKS: bool = false;

    fn write(&mut self, batch: &mut VecDeque<BlockWrite>, completions: &mut Vec<Completion>) {
        for write in batch.drain(..) {
            let result = match self.failed.error_of(&write.file) {
                Some(error) => Err(error),
                None => write_whole(&write.file, write.bytes(), write.offset, SECTOR_BYTES),
            };
            if let Err(error) = &result
                && !is_want_of_room(error)
            {
                self.failed.insert(&write.file, error);
            }
            completions.push(write.complete(result));
        }
    }
}
