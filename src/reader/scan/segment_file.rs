//! One file of a log, open for reading: positioned reads that fill their buffer, and a small read-ahead.
//!
//! It does not interpret the bytes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::sys::{self, AtPath};

/// Bytes that the kernel is asked to read ahead: enough to keep several requests of the disk in flight.
pub(super) const READ_AHEAD_BYTES: u64 = 8 << 20;

/// Blocks of up to this size are read several at a time.
const SMALL_BYTES: usize = 32 << 10;

/// Bytes that are then read at once: they stay in the core's L2 cache until they are checked.
const CHUNK_BYTES: usize = 128 << 10;

/// A file of a log.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    path: PathBuf,
    /// Whether a symbolic link is followed.
    follow: bool,
    /// `None` if it is opened for each read.
    file: Option<File>,
}

impl SegmentFile {
    /// Opens the file at `path`. A symbolic link is followed only if `follow` is set.
    pub(crate) fn open(path: &Path, follow: bool) -> Result<SegmentFile> {
        let file = open(path, follow)?;
        Ok(SegmentFile { path: path.to_owned(), follow, file: Some(file) })
    }

    /// Closes the file, and has it opened again for each read.
    pub(crate) fn open_for_each_read(self) -> SegmentFile {
        SegmentFile { file: None, ..self }
    }

    /// Whether the file is held open.
    pub(crate) fn is_held(&self) -> bool {
        self.file.is_some()
    }

    /// The file's size, in bytes.
    pub(crate) fn bytes(&self) -> Result<u64> {
        self.with_file("examine", None, |file| Ok(file.metadata()?.len()))
    }

    /// What is at the file's path now. If it is not held open, any file there is taken for it.
    pub(crate) fn at_its_path(&self) -> AtPath {
        match &self.file {
            Some(file) => sys::at_path(file, &self.path),
            None if self.path.exists() => AtPath::This,
            None => AtPath::Nothing,
        }
    }

    /// Waits until all that has been written to the file is durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.with_file("sync", None, |file| match file.sync_data() {
            Err(error) if sys::file::has_nothing_to_sync(&error) => Ok(()),
            synced => synced,
        })
    }

    /// Asks the kernel to read [`READ_AHEAD_BYTES`] from `offset` on.
    pub(crate) fn read_ahead(&self, offset: u64) {
        if let Some(file) = &self.file {
            sys::file::read_ahead(file, offset, READ_AHEAD_BYTES);
        }
    }

    /// Fills `buffer` from `offset` on, and returns how much the file had.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.with_file("read", Some(offset), |file| sys::fill_at(file, buffer, offset))
    }

    /// The offset from which on the file may hold bytes other than zero: `offset`, or one after a hole; `None` if only
    /// a hole follows.
    pub(crate) fn next_data(&self, offset: u64) -> Result<Option<u64>> {
        self.with_file("search", Some(offset), |file| sys::file::next_data(file, offset))
    }

    fn with_file<T>(
        &self,
        operation: &'static str,
        offset: Option<u64>,
        act: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T> {
        let done = match &self.file {
            Some(file) => act(file),
            None => act(&open(&self.path, self.follow)?),
        };
        done.map_err(|source| Error::Io { operation, path: self.path.clone(), offset, source })
    }
}

fn open(path: &Path, follow: bool) -> Result<File> {
    sys::file::open_to_read(path, follow).map_err(|source| Error::io("open", path, source))
}

/// A part of a file, read at once for several small blocks.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    file: Option<Arc<SegmentFile>>,
    start: u64,
    bytes: Vec<u8>,
    filled: usize,
}

impl Chunk {
    /// `length` bytes of `file` at `offset`; `None` if there are fewer, or if it is more than a small block. The bytes
    /// may be older than those in the file.
    pub(crate) fn get(&mut self, file: &Arc<SegmentFile>, offset: u64, length: usize) -> Result<Option<&[u8]>> {
        if length > SMALL_BYTES {
            return Ok(None);
        }
        let is_this = self.file.as_ref().is_some_and(|held| Arc::ptr_eq(held, file));
        let held = offset.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let held = held.filter(|at| is_this && at.saturating_add(length) <= self.filled);
        let at = match held {
            Some(at) => at,
            None => {
                (self.file, self.filled) = (None, 0);
                self.bytes.resize(CHUNK_BYTES, 0);
                self.filled = file.read_at(offset, &mut self.bytes)?;
                (self.file, self.start) = (Some(Arc::clone(file)), offset);
                0
            }
        };
        Ok(self.bytes[..self.filled].get(at..at + length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_gives_what_the_file_has_at_any_place() {
        let directory = crate::reader::test_log::directory();
        let path = directory.path().join("bytes");
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n / 7) as u8).collect();
        std::fs::write(&path, &bytes).expect("write");
        let file = Arc::new(SegmentFile::open(&path, false).expect("open"));
        assert_eq!(file.bytes().expect("size"), 300_000);
        let mut chunk = Chunk::default();
        for (offset, length) in [(0, 100), (50, 4096), (130_000, 32 << 10), (100, 10), (299_990, 10), (131_072, 1)] {
            let got = chunk.get(&file, offset as u64, length).expect("read");
            assert_eq!(got, bytes.get(offset..offset + length), "{offset} {length}");
        }
        assert_eq!(chunk.get(&file, 299_990, 11).expect("read"), None, "after the end");
        assert_eq!(chunk.get(&file, 400_000, 1).expect("read"), None);
        assert_eq!(chunk.get(&file, 0, SMALL_BYTES + 1).expect("read"), None, "not few");
    }
}
