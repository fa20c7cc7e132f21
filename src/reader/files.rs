//! The files of a log: which there are, and what the first block of each says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result, is_not_found};
use crate::format::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockFlags, BlockHeader, HeaderFault, RunId, SegmentHeader,
    segment_number,
};

use super::block::{Loaded, Note};
use super::scan::{Cursor, Found, Scanned};
use super::segment_file::SegmentFile;

/// How far behind the last block a segment in use is searched, in its largest blocks: they complete out of order, and
/// this is twice what is in flight by default.
const TAIL_BLOCKS: u64 = 8;

/// A segment: a numbered file that holds blocks.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: Arc<Path>,
    /// The number in the file's name; 0 for a file opened by itself.
    pub(super) number: u64,
    /// The id that its blocks carry.
    pub(super) segment_id: u64,
    /// What block 0 says; `None` where it is damaged.
    pub(super) header: Option<Arc<SegmentHeader>>,
    /// Block 0, where it is intact.
    pub(super) block_0: Option<BlockHeader>,
    /// Where the blocks behind block 0 begin.
    pub(super) first_offset: u64,
    /// The number of the first of them.
    pub(super) first_number: u64,
}

impl Segment {
    /// Its place in the log.
    pub(super) fn index(&self) -> u64 {
        self.header.as_ref().map_or(self.number, |header| header.index)
    }

    /// Whether the oldest segments of the log may have been removed when this one was begun, or later by its writer.
    pub(super) fn knows_retention(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.compatible_features & SegmentHeader::RETENTION != 0)
    }

    pub(super) fn run(&self) -> Option<RunId> {
        self.header.as_ref().map(|header| header.run)
    }

    /// How far behind the last block to search, in bytes: all the way, but where the log is in use and the rest is zeros.
    pub(super) fn horizon(&self, in_use: bool) -> u64 {
        if !in_use {
            return u64::MAX;
        }
        let block_bytes = self.header.as_ref().map_or(0, |header| header.block_bytes);
        TAIL_BLOCKS * u64::from(block_bytes.clamp(128 << 10, BLOCK_BYTES_MAX as u32))
    }
}

/// What a numbered file is.
#[derive(Debug)]
pub(super) enum Inspected {
    Segment(Segment),
    /// Made ready, and not used yet.
    Prepared,
    /// Written by a newer diolog: what to say of it.
    Newer(String),
    /// Nothing readable: what to say of it.
    Unreadable(String),
}

/// How much of a file to look at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// All of it, where block 0 is damaged or zero.
    Whole,
    /// Block 0.
    FirstBlock,
}

/// The numbered files of a log's directory, or one file by itself.
#[derive(Debug)]
pub(super) struct LogFiles {
    root: PathBuf,
    is_directory: bool,
    /// Files that need no second look: segments, and what will never be one.
    settled: BTreeSet<PathBuf>,
    sync: bool,
}

impl LogFiles {
    /// Names the log at `path`. With `sync`, files are made durable before they are read.
    pub(super) fn open(path: &Path, sync: bool) -> Result<LogFiles> {
        let metadata = fs::metadata(path).map_err(|source| Error::io("open", path, source))?;
        if !metadata.is_dir() && !metadata.is_file() {
            return Err(not_a_log(path, "is neither a directory nor a file".into()));
        }
        if metadata.is_file() && metadata.len() == 0 {
            return Err(not_a_log(path, "is empty".into()));
        }
        Ok(LogFiles { root: path.to_owned(), is_directory: metadata.is_dir(), settled: BTreeSet::new(), sync })
    }

    /// The files that have not been settled yet, by number.
    ///
    /// # Errors
    /// [`Error::NotALog`] for a directory without a numbered file, [`Error::Io`] where it cannot be listed.
    fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        if !self.is_directory {
            let path = self.root.clone();
            return Ok(if self.settled.contains(&path) { Vec::new() } else { vec![(0, path)] });
        }
        let mut numbered = self.numbered()?;
        // A file that is begun while a directory is read may be passed over, and one begun after it seen.
        if numbered.windows(2).any(|pair| pair[1].0 != pair[0].0.wrapping_add(1)) {
            numbered = self.numbered()?;
        }
        numbered.retain(|(_, path)| !self.settled.contains(path));
        Ok(numbered)
    }

    /// All numbered files of the directory, by number.
    fn numbered(&self) -> Result<Vec<(u64, PathBuf)>> {
        let failed = |source| Error::io("list", &self.root, source);
        let (mut files, mut entries) = (Vec::new(), 0_u64);
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            entries += 1;
            files.extend(segment_number(&entry.file_name()).map(|number| (number, entry.path())));
        }
        if files.is_empty() {
            let what = if entries == 0 { "is empty" } else { "holds no .dlog file" };
            return Err(not_a_log(&self.root, what.into()));
        }
        files.sort();
        Ok(files)
    }

    /// Marks `path` as known: it will not be listed again.
    pub(super) fn settle(&mut self, path: &Path) {
        self.settled.insert(path.to_owned());
    }

    /// Whether all of a log is read, and not one file of it.
    pub(super) fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// Whether files are made durable before they are read.
    pub(super) fn syncs(&self) -> bool {
        self.sync
    }

    /// Whether a logger has the log open. `None`: it cannot be told.
    pub(super) fn are_in_use(&self) -> Option<bool> {
        let directory = if self.is_directory { Some(self.root.as_path()) } else { self.root.parent() };
        // The parent of a bare file name is an empty path.
        directory
            .and_then(|it| crate::sys::lock::is_locked(if it.as_os_str().is_empty() { Path::new(".") } else { it }))
    }

    /// Opens the file at `path`, durable first if that was asked for.
    pub(super) fn open_file(&self, path: &Path) -> Result<SegmentFile> {
        let file = SegmentFile::open(path, !self.is_directory)?;
        if self.sync {
            file.sync()?;
        }
        Ok(file)
    }

    /// How many of producers' records the intact blocks of a segment hold; none if it has been removed.
    pub(super) fn records_in(&self, segment: &Segment, in_use: bool) -> Result<u64> {
        let file = match SegmentFile::open(&segment.path, !self.is_directory) {
            Err(error) if is_not_found(&error) => return Ok(0),
            file => file?,
        };
        let mut cursor = Cursor::new(Some(segment.segment_id), segment.first_offset);
        let (mut block, mut records) = (Loaded::default(), 0);
        while let Scanned::Block(Found { offset, header, .. }) = cursor.next(&file, segment.horizon(in_use))? {
            if block.read(&file, offset, &header)? {
                block.take_apart(&header);
                records += block.shards.iter().map(|shard| u64::from(shard.records)).sum::<u64>();
            }
        }
        Ok(records)
    }

    /// Finds out what the files are that have not been settled yet, by number. Those that retention has removed since
    /// they were listed are left out. One that may not be read, or that the disk cannot read, is an error only where there is
    /// nothing else.
    pub(super) fn inspect_all(&self, in_use: bool) -> Result<Vec<(u64, PathBuf, Inspected)>> {
        let mut inspected = Vec::new();
        let mut refused = None;
        let mut is_newest = true;
        // The newest first: where one has been put to use, those before it have been too, and are seen to.
        for (number, path) in self.list()?.into_iter().rev() {
            // The newest file of a log in use is being made ready, or has just been begun.
            let depth = if in_use && is_newest { Depth::FirstBlock } else { Depth::Whole };
            is_newest = false;
            match self.inspect(number, &path, depth) {
                Err(error) if is_not_found(&error) && number > 0 => {}
                Err(error) if self.is_directory && is_of_one_file(&error) => {
                    let source = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    inspected.push((number, path, Inspected::Unreadable(format!("cannot be read: {source}"))));
                    refused = Some(error);
                }
                what => inspected.push((number, path, what?)),
            }
        }
        inspected.reverse();
        let is_readable = |(_, _, what): &(_, _, Inspected)| !matches!(what, Inspected::Unreadable(_));
        match refused {
            Some(error) if self.settled.is_empty() && !inspected.iter().any(is_readable) => Err(error),
            _ => Ok(inspected),
        }
    }

    /// Finds out what the file at `path` is.
    fn inspect(&self, number: u64, path: &Path, depth: Depth) -> Result<Inspected> {
        // Symbolic links are not followed, and nothing but a file is opened: a pipe would block.
        let metadata = if self.is_directory { path.symlink_metadata() } else { path.metadata() };
        if !metadata.map_err(|source| Error::io("examine", path, source))?.is_file() {
            return Ok(Inspected::Unreadable("is not a regular file: it was not read".into()));
        }
        let file = self.open_file(path)?;
        let mut first = [0; BLOCK_HEADER_BYTES];
        let filled = file.read_at(0, &mut first)?;
        let decoded = if filled < first.len() { Err(HeaderFault::NotABlock) } else { BlockHeader::decode(&first, 0) };
        match decoded {
            Ok(header) if header.block_flags().has(BlockFlags::SEGMENT_HEADER) => {
                inspect_block_0(number, path, &file, header)
            }
            Err(HeaderFault::Version(digit)) => Ok(Inspected::Newer(newer_version(digit))),
            Err(HeaderFault::Zero | HeaderFault::NotABlock) if first[..filled].iter().all(|&byte| byte == 0) => {
                match depth {
                    Depth::FirstBlock => Ok(Inspected::Prepared),
                    Depth::Whole => salvage(number, path, &file, None),
                }
            }
            _ if depth == Depth::FirstBlock => Ok(Inspected::Prepared),
            _ => salvage(number, path, &file, Some(&first[..filled])),
        }
    }
}

/// Whether an error is that of a file, so that the others can be read, and this one not later either: no right to it, or a
/// defect of the disk.
fn is_of_one_file(error: &Error) -> bool {
    const EIO: i32 = 5;
    error.io_error().is_some_and(|source| {
        source.kind() == std::io::ErrorKind::PermissionDenied || source.raw_os_error() == Some(EIO)
    })
}

/// An [`Error::NotALog`].
pub(super) fn not_a_log(path: &Path, what: String) -> Error {
    Error::NotALog { path: path.to_owned(), what }
}

fn newer_version(digit: u8) -> String {
    format!("was written by a newer diolog (format version {})", char::from(digit).escape_default())
}

/// Reads a segment's block 0, whose header is valid.
fn inspect_block_0(number: u64, path: &Path, file: &SegmentFile, block: BlockHeader) -> Result<Inspected> {
    let mut loaded = Loaded::default();
    let intact = loaded.read(file, 0, &block)?;
    if intact {
        loaded.take_apart(&block);
    }
    let header = loaded.notes.into_iter().find_map(|note| match note {
        Note::Segment(header) => Some(Arc::from(header)),
        _ => None,
    });
    let header: Option<Arc<SegmentHeader>> = header.filter(|_| intact);
    if let Some(unknown) = header.as_ref().map(|header| header.incompatible_features).filter(|&bits| bits != 0) {
        return Ok(Inspected::Newer(format!(
            "was written by a newer diolog (features {unknown:#x} are not known here)"
        )));
    }
    Ok(Inspected::Segment(Segment {
        path: path.into(),
        number,
        segment_id: block.segment_id.get(),
        block_0: header.is_some().then_some(block),
        header,
        first_offset: u64::from(block.capacity.get()),
        first_number: block.sequence.get(),
    }))
}

/// Looks for blocks behind a block 0 that is damaged, or zero (`first` is `None`).
fn salvage(number: u64, path: &Path, file: &SegmentFile, first: Option<&[u8]>) -> Result<Inspected> {
    Ok(match Cursor::new(None, 0).next(file, u64::MAX)? {
        Scanned::Block(found) => Inspected::Segment(Segment {
            path: path.into(),
            number,
            segment_id: found.header.segment_id.get(),
            header: None,
            block_0: None,
            first_offset: found.offset,
            first_number: found.header.sequence.get(),
        }),
        Scanned::End(debris) if debris.newer > 0 => {
            Inspected::Newer("holds blocks that this version does not know".into())
        }
        Scanned::End(debris) => match first {
            None if debris.is_empty() => Inspected::Prepared,
            None => Inspected::Unreadable("holds no readable block, and its first one is zero".into()),
            Some(first) if first.get(8..11) == Some(&BLOCK_MAGIC[..3]) => {
                Inspected::Unreadable("is a segment without a readable block".into())
            }
            Some(first) => {
                let start = first[..first.len().min(16)].escape_ascii();
                Inspected::Unreadable(format!("is not a diolog segment: it starts with \"{start}\""))
            }
        },
    })
}
