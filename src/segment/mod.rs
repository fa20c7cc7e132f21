//! The run's segments: where the next block stands, when a segment is full, and cutting it once it is left.
//!
//! The writer calls it. It creates and names files, and knows sizes and identities; it neither reads nor writes
//! blocks: a segment's header is a block like the others, and goes through the device.

mod directory;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use directory::Directory;

use crate::error::{Error, Result};
use crate::format::{GRID_BYTES, LogId, RunId};
use crate::sys;

/// Where a block will stand.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) file: Arc<File>,
    pub(crate) segment_id: u64,
    pub(crate) offset: u64,
}

/// One segment file that blocks still go to, or have just ceased to.
struct Segment {
    file: Arc<File>,
    path: PathBuf,
    id: u64,
    index: u64,
    /// Where the next block stands; what the file is cut to.
    used_bytes: u64,
}

/// The segments of one run.
pub(crate) struct Segments {
    directory: PathBuf,
    log: LogId,
    run: RunId,
    direct: bool,
    segment_bytes: u64,
    current: Segment,
    previous_id: u64,
    /// Left segments, each with the token of the last write to it: cut when that write is durable.
    left: VecDeque<(Segment, u64)>,
}

impl Segments {
    /// Begins a run: creates the segment that follows the last one of the directory.
    ///
    /// # Errors
    /// [`Error::Io`] with the file that could not be made.
    pub(crate) fn begin(directory: &Directory, direct: bool, segment_bytes: u64) -> Result<Segments> {
        let log = directory.log_id().map_or_else(|| random_bytes().map(LogId), Ok)?;
        let run = RunId(random_bytes()?);
        let index = directory.last_index() + 1;
        let current = create(directory.path(), index, direct, segment_bytes)?;
        Ok(Segments {
            directory: directory.path().to_owned(),
            log,
            run,
            direct,
            segment_bytes,
            current,
            previous_id: 0,
            left: VecDeque::new(),
        })
    }

    /// The log's identity.
    pub(crate) fn log(&self) -> LogId {
        self.log
    }

    /// The run's identity.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// The present segment's place in the log.
    pub(crate) fn index(&self) -> u64 {
        self.current.index
    }

    /// The id of the segment before the present one, 0 at the run's first.
    pub(crate) fn previous_id(&self) -> u64 {
        self.previous_id
    }

    /// The present segment's file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.current.path
    }

    /// Whether nothing was placed in the present segment yet, so that its header is due.
    pub(crate) fn is_new(&self) -> bool {
        self.current.used_bytes == 0
    }

    /// Whether a block of up to `block_bytes` still fits the present segment.
    pub(crate) fn has_room_for(&self, block_bytes: usize) -> bool {
        self.current.used_bytes + block_bytes as u64 <= self.segment_bytes
    }

    /// Gives the next `block_bytes` of the present segment away, also beyond its size: rotation is the caller's word.
    pub(crate) fn place(&mut self, block_bytes: usize) -> Spot {
        debug_assert!(block_bytes.is_multiple_of(GRID_BYTES));
        let offset = self.current.used_bytes;
        self.current.used_bytes += block_bytes as u64;
        Spot { file: Arc::clone(&self.current.file), segment_id: self.current.id, offset }
    }

    /// Leaves the present segment, whose last write has `last_token`, for a new one.
    ///
    /// # Errors
    /// [`Error::Io`] where no file can be made; the present segment then stays.
    pub(crate) fn rotate(&mut self, last_token: u64) -> Result<()> {
        let next = create(&self.directory, self.current.index + 1, self.direct, self.segment_bytes)?;
        self.previous_id = self.current.id;
        self.left.push_back((std::mem::replace(&mut self.current, next), last_token));
        Ok(())
    }

    /// Cuts the segments whose last write comes before `durable_token`, the first that is not durable.
    pub(crate) fn cut_left(&mut self, durable_token: u64) {
        while self.left.front().is_some_and(|(_, last_token)| *last_token < durable_token) {
            if let Some((segment, _)) = self.left.pop_front() {
                cut(&segment);
            }
        }
    }

    /// Cuts all segments, the present one too: the run is over and all is durable.
    pub(crate) fn cut_all(&mut self) {
        self.cut_left(u64::MAX);
        cut(&self.current);
    }
}

/// A file that cannot be cut keeps its zeros, which readers pass over: that costs space, not records.
fn cut(segment: &Segment) {
    let _ = segment.file.set_len(segment.used_bytes);
}

/// Makes segment `index`: the whole size asked for or, where the disk has less, as much as is written.
fn create(directory: &Path, index: u64, direct: bool, segment_bytes: u64) -> Result<Segment> {
    let path = directory.join(format!("{index:08}.dlog"));
    let file = sys::file::open_segment(&path, direct).map_err(|source| Error::io("create", &path, source))?;
    if let Err(source) = sys::file::preallocate(&file, segment_bytes) {
        // Without the whole size in advance the file grows as it is written; other errors are the caller's.
        use io::ErrorKind::{FileTooLarge, StorageFull, Unsupported};
        if !matches!(source.kind(), StorageFull | Unsupported | FileTooLarge) {
            let _ = std::fs::remove_file(&path);
            return Err(Error::io("preallocate", &path, source));
        }
    }
    sys::file::sync_directory(directory).map_err(|source| Error::io("sync the directory of", &path, source))?;
    let id = u64::from_le_bytes(random_bytes()?).max(1);
    Ok(Segment { file: Arc::new(file), path, id, index, used_bytes: 0 })
}

fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| {
        Error::io("draw a random identity for", Path::new("a log"), io::Error::other(source.to_string()))
    })?;
    Ok(bytes)
}
