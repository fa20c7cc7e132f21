//! DeviceKind 2: `pwrite` on an `O_DIRECT | O_DSYNC` descriptor, a block at a time. A block is durable when its write returns.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use crate::error::is_want_of_room;
use crate::sys;

use super::failed::FailedFiles;
use super::threaded::Operation;
use super::{BlockWrite, Completion};

/// Direct I/O takes whole sectors: where it has stopped short, it goes on from the last of these. A disk with larger
/// sectors stops at multiples of its own.
pub(super) const SECTOR_BYTES: usize = 512;

/// Writes blocks through no cache.
#[derive(Default)]
pub(super) struct Direct {
    failed: FailedFiles,
}

impl Direct {
    /// One that knows what has failed before it.
    pub(super) fn after(failed: FailedFiles) -> Direct {
        Direct { failed }
    }
}

impl Operation for Direct {
    /// Each write is durable by itself, so that there is nothing to gain from taking several.
    const BATCH_MAX: usize = 1;

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

/// Writes all of `bytes`, going on after interrupts and short writes.
///
/// A short write goes on from the last multiple of `grain` that it reached. Some bytes may be written twice, but the
/// block is not acknowledged before all of it is there.
pub(super) fn write_whole(file: &File, bytes: &[u8], offset: u64, grain: usize) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match sys::file::write_at(file, &bytes[done..], offset + done as u64) {
            Ok(count) => done = resume_at(done, count, bytes.len(), grain)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(refusal(error, offset + done as u64, bytes.len() - done)),
        }
    }
    Ok(())
}

/// Where to go on after a write from `done` of a block of `length` bytes wrote `count`.
///
/// # Errors
/// `WriteZero` if it brought nothing forward.
pub(super) fn resume_at(done: usize, count: usize, length: usize, grain: usize) -> io::Result<usize> {
    let reached = done + count;
    let next = if reached == length { length } else { reached / grain * grain };
    if next > done { Ok(next) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// The error to report for one write. Where the process's file size limit ends inside a block, the kernel cuts the
/// write to an odd length and then calls that invalid: what is meant is that the file may not grow so far.
pub(super) fn refusal(error: io::Error, offset: u64, length: usize) -> io::Error {
    let over_limit = sys::file::file_size_limit().is_some_and(|limit| offset.saturating_add(length as u64) > limit);
    if error.kind() == io::ErrorKind::InvalidInput && over_limit { io::ErrorKind::FileTooLarge.into() } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_goes_on_from_a_whole_sector_and_nothing_brought_forward_is_an_error() {
        assert_eq!(resume_at(0, 8192, 8192, 512).unwrap(), 8192);
        assert_eq!(resume_at(0, 5000, 8192, 512).unwrap(), 4608);
        assert_eq!(resume_at(0, 5000, 8192, 1).unwrap(), 5000);
        assert_eq!(resume_at(4096, 4096, 8192, 512).unwrap(), 8192);
        assert_eq!(resume_at(4096, 100, 12288, 512).unwrap_err().kind(), io::ErrorKind::WriteZero);
        assert_eq!(resume_at(4096, 0, 8192, 1).unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
