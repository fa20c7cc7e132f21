//! The segment to which blocks go now: its file, how far it is filled, and how old it is. Used by
//! [`Segments`](super::Segments), which decides when the next one begins.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::format::GRID_BYTES;
use crate::sys::fork::UnsharedFile;

use super::preparing::{NamedFile, Prepared};

/// The file and offset at which a block is to be written.
#[derive(Clone)]
pub(crate) struct WriteTarget {
    pub(crate) file: Arc<UnsharedFile>,
    pub(crate) segment_id: u64,
    pub(crate) offset: u64,
}

/// Whether a segment's file was ready when its first block was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// The run's first: its file is made by the open.
    First,
    InTime,
    Late,
}

/// The segment to which blocks go now.
pub(super) struct PresentSegment {
    pub(super) file: NamedFile,
    /// The file's path, for messages.
    pub(super) path: PathBuf,
    pub(super) id: u64,
    pub(super) index: u64,
    /// The size with which it was prepared.
    pub(super) bytes: u64,
    /// The offset of the next block. The file is cut here at its end.
    pub(super) used_bytes: u64,
    /// Whether it holds a block beside its header.
    has_block: bool,
    /// The next segment is asked for when this many bytes are used.
    next_asked_at: u64,
    /// The monotonic time of its first block.
    begun_ns: Option<u64>,
}

impl PresentSegment {
    /// An empty segment in this file.
    pub(super) fn new(id: u64, prepared: Prepared) -> PresentSegment {
        let Prepared { file, index, bytes, .. } = prepared;
        let path = file.path();
        assert!(bytes.is_multiple_of(GRID_BYTES as u64), "a segment of {bytes} bytes, off the grid");
        PresentSegment {
            file,
            path,
            id,
            index,
            bytes,
            used_bytes: 0,
            has_block: false,
            next_asked_at: bytes / 2,
            begun_ns: None,
        }
    }

    /// Gives a block of `block_bytes` its place, even beyond the segment's size.
    ///
    /// # Panics
    /// If `block_bytes` is not a positive multiple of 4096.
    pub(super) fn place(&mut self, block_bytes: usize) -> WriteTarget {
        assert!(
            block_bytes > 0 && block_bytes.is_multiple_of(GRID_BYTES),
            "a block of {block_bytes} bytes, off the grid"
        );
        let offset = self.used_bytes;
        self.has_block = offset > 0;
        self.used_bytes += block_bytes as u64;
        WriteTarget { file: Arc::clone(&self.file.file), segment_id: self.id, offset }
    }

    /// Whether it has no room for a block of `block_bytes`. Each segment takes at least one block beside its header,
    /// however small the segment is.
    pub(super) fn is_full_for(&self, block_bytes: usize) -> bool {
        self.has_block && self.used_bytes + block_bytes as u64 > self.bytes
    }

    /// Whether it is so full that the next segment is to be asked for.
    pub(super) fn wants_next(&self) -> bool {
        self.used_bytes >= self.next_asked_at
    }

    /// Asks for the next segment only after half of the rest is used.
    pub(super) fn put_off_next(&mut self) {
        self.next_asked_at = self.used_bytes + self.bytes.saturating_sub(self.used_bytes) / 2;
    }

    /// The time since the first call. `None` in that call.
    pub(super) fn begin_or_age(&mut self, now_ns: u64) -> Option<Duration> {
        let begun_ns = self.begun_ns.replace(self.begun_ns.unwrap_or(now_ns));
        begun_ns.map(|begun_ns| Duration::from_nanos(now_ns.saturating_sub(begun_ns)))
    }
}
