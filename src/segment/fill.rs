//! Makes a segment's file: reserved, filled with zeros, synced, named. Done by [`work`](super::work), step by step,
//! which says when there are enough zeros.
//!
//! A durable write into a block that was written before costs half of one into fresh space.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::buffer::AlignedBuffer;
use crate::error::{Error, Result, is_want_of_room};
use crate::format::{GRID_BYTES, SPARE_FILE};
use crate::sys;
use crate::sys::FileId;
use crate::sys::directory::OpenDirectory;
use crate::sys::write::{grain, write_whole};

use super::publish::publish;

/// How many zeros are written in one step: a tenth of a millisecond of a fast disk, some milliseconds
/// of a slow one. A larger buffer fills no faster, and shows in the memory of the process.
const CHUNK_BYTES: usize = 256 << 10;

/// One segment takes at most the free space divided by this.
const FREE_SPACE_SHARE: u64 = 8;

/// A segment's open file, and its name.
pub(super) struct NamedFile {
    pub(super) file: Arc<File>,
    /// It keeps the directory open in which the file was made.
    pub(super) directory: Arc<OpenDirectory>,
    pub(super) name: String,
    id: Option<FileId>,
}

impl NamedFile {
    /// `file`, which `directory` has by that name.
    fn new(file: File, directory: Arc<OpenDirectory>, name: String) -> NamedFile {
        // A file system whose numbers are not the same by name and by descriptor shows nothing by them.
        let id = sys::file::id(&file).ok().filter(|id| directory.id_of(&name).is_ok_and(|named| named == *id));
        NamedFile { file: Arc::new(file), directory, name, id }
    }

    /// Its path, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path_of(&self.name)
    }

    /// Why its name does not lead to it any more, if so: nobody finds what is written to it. A clause that follows the
    /// file's name.
    pub(super) fn why_lost(&self) -> Option<&'static str> {
        let deleted = || sys::file::is_deleted(&self.file).then_some("was deleted while in use");
        let Some(id) = self.id else { return deleted() };
        match self.directory.id_of(&self.name) {
            Ok(named) if named == id => None,
            Ok(_) => Some("was replaced by another file while in use"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => deleted().or(Some("was renamed while in use")),
            // Without the right to look at names, only this can be known.
            Err(_) => deleted(),
        }
    }

    /// Removes it, unless its name is another file's.
    pub(super) fn remove(&self) {
        if self.why_lost().is_none() {
            // An unused file that stays is removed at the next open.
            let _ = self.directory.remove(&self.name);
        }
    }
}

/// A file ready for blocks. The maker does not touch it any more.
pub(super) struct Prepared {
    pub(super) file: NamedFile,
    pub(super) index: u64,
    /// Its size, a multiple of 4096: as many of the wanted bytes as the file system gave.
    pub(super) bytes: u64,
    /// Why it was not prepared as it should be, if so.
    pub(super) shortfall: Option<String>,
}

/// A file that the writer has left, all its writes durable.
pub(super) struct Left {
    pub(super) file: Arc<File>,
    pub(super) used_bytes: u64,
}

impl Left {
    /// Cuts the file after its last block. If it cannot be cut, it keeps its zeros, which readers skip: that costs
    /// space, and no record.
    pub(super) fn cut(&self) {
        let _ = self.file.set_len(self.used_bytes);
    }
}

/// The size that a file should have, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) bytes: u64,
    /// The least, however little space there is.
    pub(super) bytes_min: u64,
}

/// A file that is being made. It has its name only when it is finished.
pub(super) struct Filling {
    directory: Arc<OpenDirectory>,
    file: File,
    bytes: u64,
    direct: bool,
    /// How many zeros have been written.
    filled_bytes: u64,
    shortfall: Option<String>,
}

impl Filling {
    /// Creates and reserves a file in `directory`; `direct` says whether blocks are written to it with direct I/O.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be created. A file that is not reserved in full is no error: see
    /// [`Prepared::shortfall`].
    pub(super) fn begin(directory: Arc<OpenDirectory>, wanted: Wanted, direct: bool) -> Result<Filling> {
        let _ = directory.remove(SPARE_FILE);
        let file = directory
            .create_to_fill(SPARE_FILE, direct)
            .map_err(|source| Error::io("create", &directory.path_of(SPARE_FILE), source))?;
        let (bytes, shortfall) = reserve(&file, &directory, wanted);
        Ok(Filling { directory, file, bytes, direct, filled_bytes: 0, shortfall })
    }

    /// Writes the next zeros. Returns whether that succeeded, and there are more to write.
    pub(super) fn write_zeros(&mut self, zeros: &mut Zeros) -> bool {
        let length = (self.bytes - self.filled_bytes).min(CHUNK_BYTES as u64) as usize;
        let written =
            zeros.get(length).and_then(|zeros| write_whole(&self.file, zeros, self.filled_bytes, grain(self.direct)));
        if let Err(error) = written {
            self.shortfall = Some(format!("cannot write zeros to a segment in advance: {error}"));
            return false;
        }
        self.filled_bytes += length as u64;
        self.filled_bytes < self.bytes
    }

    /// Syncs the file, and gives it the name of segment `index`, durably.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened or named; then nothing of it stays. A file that is not zero-written in full
    /// is no error: see [`Prepared::shortfall`].
    pub(super) fn finish(mut self, index: u64) -> Result<Prepared> {
        if let Err(error) = self.file.sync_all() {
            // Some of the zeros may be lost, but each block is written durably all the same.
            self.shortfall = Some(format!("cannot sync a prepared segment: {error}"));
        }
        let Filling { directory, file, bytes, direct, shortfall, .. } = self;
        drop(file);
        let failed = |source| Error::io("open", &directory.path_of(SPARE_FILE), source);
        let named = directory.open_to_write(SPARE_FILE, direct).map_err(failed).and_then(|file| {
            // Held until the last write to it is over, even if this process dies first: the next run cuts it only then.
            let _ = sys::try_lock(&file);
            Ok((file, publish(SPARE_FILE, &directory, index)?))
        });
        match named {
            Ok((file, name)) => Ok(Prepared { file: NamedFile::new(file, directory, name), index, bytes, shortfall }),
            Err(error) => {
                let _ = directory.remove(SPARE_FILE);
                Err(error)
            }
        }
    }
}

/// The zeros that files are filled with: memory that is there while one is being filled.
#[derive(Default)]
pub(super) struct Zeros(Option<AlignedBuffer>);

impl Zeros {
    fn get(&mut self, length: usize) -> io::Result<&[u8]> {
        let zeros = match self.0.take() {
            Some(zeros) => zeros,
            None => AlignedBuffer::new(CHUNK_BYTES, 0)?,
        };
        Ok(&self.0.insert(zeros)[..length])
    }
}

/// Reserves the wanted bytes, or fewer if the file system gives no more. Returns how many, and why they are fewer. If
/// none can be reserved, the file grows as it is written.
fn reserve(file: &File, directory: &OpenDirectory, wanted: Wanted) -> (u64, Option<String>) {
    let mut bytes = affordable(directory, wanted);
    let mut shortfall = None;
    while let Err(error) = sys::file::preallocate(file, bytes) {
        // A failed call may have reserved some of it: free that before asking for less.
        let _ = file.set_len(0);
        shortfall = Some(format!("cannot reserve {bytes} bytes for a segment: {error}"));
        if !is_want_of_room(&error) || bytes / 2 < wanted.bytes_min {
            return (wanted.bytes_min, shortfall);
        }
        bytes = (bytes / 2).next_multiple_of(GRID_BYTES as u64);
    }
    (bytes, shortfall)
}

/// The wanted bytes, limited by the free space and the process's file size limit.
fn affordable(directory: &OpenDirectory, wanted: Wanted) -> u64 {
    let share = directory.free_bytes().map_or(wanted.bytes, |free| free / FREE_SPACE_SHARE);
    let limit = sys::file::file_size_limit().unwrap_or(u64::MAX);
    let grid = GRID_BYTES as u64;
    wanted.bytes.min(share).max(wanted.bytes_min).min(limit) / grid * grid
}
