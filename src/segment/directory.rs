//! A log's directory, opened for writing: made if missing, locked, its last segment found.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::{
    BLOCK_HEADER_BYTES, BlockHeader, GRID_BYTES, Kind, LogId, RecordHeader, SegmentHeader, ShardHeader,
};
use crate::sys::lock::{DirectoryLock, lock_directory};

/// The file in a log's directory that its writer holds locked.
const LOCK_FILE: &str = "lock";

/// A log's directory and the lock on it. Dropping it gives the lock back.
pub(crate) struct Directory {
    path: PathBuf,
    /// Whether [`Directory::open`] made it, so that a failed open can take it away again.
    made: bool,
    lock: Option<DirectoryLock>,
    last_index: u64,
    log: Option<LogId>,
}

impl Directory {
    /// Opens `path` for writing; its parent must exist.
    ///
    /// # Errors
    /// [`Error::NotALog`] where something else stands there; [`Error::InUse`]; [`Error::Io`].
    pub(crate) fn open(path: &Path) -> Result<Directory> {
        let made = make_directory(path)?;
        let mut directory = Directory { path: path.to_owned(), made, lock: None, last_index: 0, log: None };
        let opened = lock_directory(path).and_then(|lock| {
            directory.lock = Some(lock);
            directory.find_last_segment()
        });
        match opened {
            Ok(()) => Ok(directory),
            Err(error) => {
                directory.undo();
                Err(error)
            }
        }
    }

    /// Takes away what [`Directory::open`] made, after a later step of opening failed.
    pub(crate) fn undo(mut self) {
        self.lock = None;
        if self.made {
            // Only what an open itself makes: anything else in the directory keeps it.
            let _ = fs::remove_file(self.path.join(LOCK_FILE));
            let _ = fs::remove_dir(&self.path);
        }
    }

    /// The directory's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The highest segment number in use, 0 in a new log.
    pub(crate) fn last_index(&self) -> u64 {
        self.last_index
    }

    /// The log's identity, from its newest readable segment.
    pub(crate) fn log_id(&self) -> Option<LogId> {
        self.log
    }

    fn find_last_segment(&mut self) -> Result<()> {
        let failed = |source| Error::io("list", &self.path, source);
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            segments.extend(name.to_str().and_then(segment_number));
        }
        segments.sort_unstable();
        self.last_index = segments.last().copied().unwrap_or(0);
        self.log = segments.iter().rev().find_map(|index| log_id_of(&self.path.join(format!("{index:08}.dlog"))));
        Ok(())
    }
}

/// The number in `00000001.dlog`, and nothing else.
fn segment_number(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".dlog")?;
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// Creates `path` where it is missing. Whether it did.
fn make_directory(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(false),
        Ok(_) => {
            return Err(Error::NotALog {
                path: path.to_owned(),
                what: "is not a directory: a log is one, give it a name of its own".into(),
            });
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::io("open the directory", path, source)),
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::NotALog {
            path: path.to_owned(),
            what: "cannot be made, because its parent directory does not exist: create that first".into(),
        },
        _ => Error::io("create the directory", path, source),
    })?;
    Ok(true)
}

/// The log's identity in a segment's header; `None` where it cannot be read.
fn log_id_of(path: &Path) -> Option<LogId> {
    let mut file = File::open(path).ok()?;
    let mut block = vec![0; GRID_BYTES];
    file.read_exact(&mut block).ok()?;
    // The decoder bounds the capacity, and so what is allocated here.
    let header = BlockHeader::decode(&block, 0).ok()?;
    block.resize(header.capacity.get() as usize, 0);
    file.read_exact(&mut block[GRID_BYTES..]).ok()?;
    let payload = &block[BLOCK_HEADER_BYTES..][..header.valid.get() as usize];
    if !header.payload_is_intact(payload) {
        return None;
    }
    let (_, records, _) = ShardHeader::split(payload)?;
    let (record, payload, _) = RecordHeader::split(records).ok()?;
    if record.kind != Kind::Segment as u8 {
        return None;
    }
    Some(SegmentHeader::decode(payload)?.log)
}

#[cfg(test)]
mod tests {
    use super::segment_number;

    #[test]
    fn only_whole_segment_names_count() {
        assert_eq!(segment_number("00000012.dlog"), Some(12));
        assert_eq!(segment_number("123456789.dlog"), Some(123_456_789));
        for other in ["12.dlog", "00000012.dlo", "0000001x.dlog", ".00000012.dlog", "spare.tmp", "+0000012.dlog"] {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }
}
