//! Makes a segment's file: reserves its space, fills it with zeros, syncs it, and names it. [`work`](super::work) calls
//! it step by step, and decides when there are enough zeros.
//!
//! Zeros pay off: a durable write into a block that was written before costs half as much as one into fresh space.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::buffer::AlignedBuffer;
use crate::error::{Error, Result, is_want_of_room};
use crate::format::{GRID_BYTES, SPARE_FILE, segment_file_name};
use crate::sys;
use crate::sys::FileId;
use crate::sys::directory::OpenDirectory;
use crate::sys::fork::UnsharedFile;
use crate::sys::write::{grain, write_whole};

use crate::segment::publish::publish;

/// How many zeros are written in one step. It takes a tenth of a millisecond on a fast disk, and some milliseconds on a
/// slow one. A larger buffer is no faster, and takes memory.
const CHUNK_BYTES: usize = 256 << 10;

/// One segment may take one part in this many of the free space.
const FREE_SPACE_SHARE: u64 = 8;

/// A segment's open file, and its name.
pub(in crate::segment) struct NamedFile {
    pub(in crate::segment) file: Arc<UnsharedFile>,
    /// Keeps the directory in which the file was made open.
    pub(in crate::segment) directory: Arc<OpenDirectory>,
    pub(in crate::segment) name: String,
    id: Option<FileId>,
}

impl NamedFile {
    /// Pairs `file` with its name in `directory`.
    fn new(file: File, directory: Arc<OpenDirectory>, name: String) -> NamedFile {
        // Some file systems give different numbers by name and by descriptor. On these the numbers show nothing, and
        // are not used.
        let id = sys::file::id(&file).ok().filter(|id| directory.id_of(&name).is_ok_and(|named| named == *id));
        NamedFile { file: Arc::new(UnsharedFile::from(file)), directory, name, id }
    }

    /// Its path, for messages.
    pub(in crate::segment) fn path(&self) -> PathBuf {
        self.directory.path_of(&self.name)
    }

    /// Why the file's name does not lead to it any more, as a clause that follows the name; `None` if it does. Nobody
    /// would find what is written to an unreachable file.
    pub(in crate::segment) fn why_unreachable(&self) -> Option<&'static str> {
        let deleted = || sys::file::is_deleted(&self.file).then_some("was deleted while in use");
        let Some(id) = self.id else { return deleted() };
        match self.directory.id_of(&self.name) {
            Ok(named) if named == id => None,
            Ok(_) => Some("was replaced by another file while in use"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => deleted().or(Some("was renamed while in use")),
            // Without permission to look up names, nothing else can be known.
            Err(_) => deleted(),
        }
    }

    /// Removes the file, unless its name belongs to another file now.
    pub(in crate::segment) fn remove(&self) {
        if self.why_unreachable().is_none() {
            // If this fails, the next open removes the unused file.
            let _ = self.directory.remove(&self.name);
        }
    }
}

/// A file that is ready for blocks. Its maker does not touch it any more.
pub(in crate::segment) struct Prepared {
    pub(in crate::segment) file: NamedFile,
    pub(in crate::segment) index: u64,
    /// Its size, a multiple of 4096: the wanted bytes, or fewer if the file system had no room for more.
    pub(in crate::segment) bytes: u64,
    /// Why its preparation is not complete, if it is not.
    pub(in crate::segment) shortfall: Option<String>,
}

/// A file to which the writer writes no more. All its writes are durable.
pub(in crate::segment) struct LeftFile {
    pub(in crate::segment) file: Arc<UnsharedFile>,
    pub(in crate::segment) used_bytes: u64,
}

impl LeftFile {
    /// Cuts the file after its last block. If that fails, the file keeps its zeros. That costs space but no record,
    /// because readers skip zeros.
    pub(super) fn cut(&self) {
        let _ = self.file.set_len(self.used_bytes);
    }
}

/// The size that a file should have, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) bytes: u64,
    /// The minimum, used even if there is less space than that.
    pub(super) bytes_min: u64,
}

/// A file that is being made. It gets its name when it is finished.
pub(super) struct Filling {
    directory: Arc<OpenDirectory>,
    file: File,
    bytes: u64,
    direct: bool,
    /// How many bytes of zeros have been written.
    filled_bytes: u64,
    shortfall: Option<String>,
}

impl Filling {
    /// Creates a file in `directory` and reserves its space. `direct` says whether blocks will be written to it with
    /// direct I/O.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be created. If its space cannot all be reserved, that is no error: see
    /// [`Prepared::shortfall`].
    pub(super) fn begin(directory: Arc<OpenDirectory>, wanted: Wanted, direct: bool) -> Result<Filling> {
        let _ = directory.remove(SPARE_FILE);
        let file = directory
            .create_to_fill(SPARE_FILE, direct)
            .map_err(|source| Error::io("create", &directory.path_of(SPARE_FILE), source))?;
        let (bytes, shortfall) = reserve(&file, &directory, wanted);
        Ok(Filling { directory, file, bytes, direct, filled_bytes: 0, shortfall })
    }

    /// Writes the next zeros. Returns `true` if that succeeded and there are more to write.
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

    /// Syncs the file, and names it as segment `index`, durably.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened or named; then the file is removed. Missing zeros are no error: see
    /// [`Prepared::shortfall`].
    pub(super) fn finish(mut self, index: u64) -> Result<Prepared> {
        if let Err(error) = self.file.sync_all() {
            // Some of the zeros may be lost. Each block will still be written durably.
            self.shortfall = Some(format!("cannot sync a prepared segment: {error}"));
        }
        let Filling { directory, file, bytes, direct, shortfall, .. } = self;
        drop(file);
        let failed = |source| Error::io("open the prepared file", &directory.path_of(SPARE_FILE), source);
        let named = directory.open_to_write(SPARE_FILE, direct).map_err(failed).and_then(|file| {
            // The kernel holds this lock until the last write to the file has ended, even if this process dies first.
            // The next run cuts the file only after that.
            let _ = sys::try_lock(&file);
            let name = segment_file_name(index);
            publish(SPARE_FILE, &directory, &name)?;
            Ok((file, name))
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

/// The zeros with which files are filled. The memory exists only while a file is being filled.
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

/// Reserves the wanted bytes, or fewer if the file system has no room for more. Returns how many, and why they are
/// fewer. If nothing can be reserved, the file grows as it is written.
fn reserve(file: &File, directory: &OpenDirectory, wanted: Wanted) -> (u64, Option<String>) {
    let mut bytes = affordable(directory, wanted);
    let mut shortfall = None;
    while let Err(error) = sys::file::preallocate(file, bytes) {
        // A failed call may have reserved a part. Free it before asking for less.
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
