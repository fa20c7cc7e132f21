//! Files of asynclogger, the Go logger that diolog descends from: their entries, and what of them is damaged.
//!
//! A file is a sequence of blocks. A block begins with its capacity and the bytes of its entries that are valid, both
//! `u32` in little-endian order. Then come the entries, each a `u32` length and as many bytes; after the valid ones
//! stand zeros, or entries of an earlier use of the buffer, which are not to be read. The next block begins `capacity`
//! bytes after this one began. Capacities are multiples of 512 or 4096 bytes, by the version that wrote them.
//!
//! There are no checksums, times, levels or producers. So a changed byte inside an entry cannot be noticed; a changed
//! length can be, and costs at most the rest of its block.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Blocks begin on multiples of this.
const GRID: u64 = 512;

/// The capacity and the number of valid bytes.
const HEADER_BYTES: u64 = 8;

/// The length before each entry.
const LENGTH_BYTES: u64 = 4;

/// The longest block: the writer keeps capacities in an `i32`.
const CAPACITY_MAX: u64 = i32::MAX as u64;

/// Entries that are looked at to decide whether a block begins here, after damage.
const PROBED_ENTRIES: u32 = 16;

/// Entries that are looked at to decide whether a block's valid bytes are what its header says. It bounds the work on a
/// file made to take long.
const CHAINED_ENTRIES: u32 = 4096;

/// Damaged places that a report names.
const DAMAGE_MAX: usize = 100;

/// Reads the entries of one file, in the order of the file, and steps over damage.
///
/// ```no_run
/// let mut reader = diolog::asynclogger::Reader::open("/var/log/old/app.log")?;
/// while let Some(entry) = reader.next_entry()? {
///     println!("{}", String::from_utf8_lossy(entry.message()));
/// }
/// let report = reader.report();
/// println!("{} entries, {} damaged blocks", report.entries, report.damaged_blocks);
/// # Ok::<(), diolog::Error>(())
/// ```
///
/// Several threads have written a block's entries, so their order is that of the writes, more or less. The memory taken
/// is that of the longest entry, at most [`ENTRY_BYTES_MAX`](Self::ENTRY_BYTES_MAX).
#[derive(Debug)]
pub struct Reader<R = File> {
    source: BufReader<R>,
    path: PathBuf,
    /// Where `source` is.
    position: u64,
    /// Bytes of the file. Less than at first if it turns out to be shorter.
    length: u64,
    /// The block that is being read.
    block: Option<Block>,
    /// The one before it.
    last: Option<Block>,
    ended: bool,
    message: Vec<u8>,
    report: Report,
}

/// One block.
#[derive(Clone, Copy, Debug)]
struct Block {
    start: u64,
    /// As its header has it.
    capacity: u64,
    /// Where its valid entries end.
    end: u64,
    /// Where the next block begins.
    next: u64,
    /// The place of the next entry.
    at: u64,
    /// Whether an entry of it could not be read.
    is_damaged: bool,
}

impl Block {
    /// The block of a header, if there can be one like that.
    fn of(start: u64, header: [u8; HEADER_BYTES as usize]) -> Option<Block> {
        let [capacity, valid] = [0, 4].map(|at| u64::from(u32_at(&header, at)));
        let fits = capacity.is_multiple_of(GRID)
            && capacity <= CAPACITY_MAX
            && valid > LENGTH_BYTES
            && valid + HEADER_BYTES <= capacity;
        let at = start + HEADER_BYTES;
        fits.then_some(Block { start, capacity, end: at + valid, next: start + capacity, at, is_damaged: false })
    }
}

/// How the lengths of a block's entries lead from one to the next.
enum Chain {
    /// To the end of its valid bytes, or beyond the last entry that was looked at, without a contradiction.
    Whole(u64),
    /// To an entry that the end of the file cuts off.
    Cut(u64),
    /// To a length that is wrong.
    Broken,
}

/// One entry, borrowed from its reader.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    offset: u64,
    message: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The bytes that were logged.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// Where the entry's length stands in the file, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// What a reader has found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Report {
    /// Blocks whose headers could be read.
    pub blocks: u64,
    /// Those of them of which some entries could not be read.
    pub damaged_blocks: u64,
    /// Entries that were given.
    pub entries: u64,
    /// Bytes that hold, or held, entries or blocks that could not be read.
    pub damaged_bytes: u64,
    /// Zeros after the last block: room that was never written to.
    pub unused_bytes: u64,
    /// The file ends before its last block does. That block's entries up to there were given.
    pub is_cut: bool,
    /// The damaged places, in the order of the file: the first 100.
    pub damage: Vec<Damage>,
    /// Damaged places beyond those.
    pub damage_omitted: u64,
}

impl Report {
    /// Whether no damage was found and the file is not cut.
    pub fn is_undamaged(&self) -> bool {
        self.damage.is_empty() && !self.is_cut
    }
}

/// A place in a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Damage {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
    /// What is wrong there.
    pub kind: DamageKind,
}

/// What is wrong at a damaged place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum DamageKind {
    /// The file ends within a header or an entry.
    Cut,
    /// An entry's length is 0 or goes beyond its block. The rest of the block is not read.
    Length,
    /// An entry is longer than [`Reader::ENTRY_BYTES_MAX`]. It is left out.
    TooLong,
    /// No block begins here, and bytes were skipped up to the next one or to the file's end.
    NoBlock,
    /// A block's capacity is wrong: another block begins within it. No entry is lost by that alone.
    Capacity,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { offset, bytes, kind } = self;
        match kind {
            DamageKind::Cut => write!(f, "cut off by the end of the file: {bytes} bytes at offset {offset}"),
            DamageKind::Length => {
                write!(
                    f,
                    "an entry's length is wrong: {bytes} bytes at offset {offset}, the rest of its block, not read"
                )
            }
            DamageKind::TooLong => write!(f, "an entry of {bytes} bytes at offset {offset} is too long to be read"),
            DamageKind::NoBlock => write!(f, "no block in {bytes} bytes at offset {offset}"),
            DamageKind::Capacity => write!(f, "the capacity of the block at offset {offset} is wrong"),
        }
    }
}

impl Reader {
    /// The longest entry that is read, in bytes. The writer's buffers are 64 MiB by default, for all its shards
    /// together.
    pub const ENTRY_BYTES_MAX: usize = 64 << 20;

    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Reader> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| Error::io("open the file", path, source))?;
        Reader::new(file, path)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads from `source`, from its beginning. `path` names it in errors.
    ///
    /// # Errors
    /// [`Error::Io`] if it has no end or no beginning to go to, such as a pipe.
    pub fn new(mut source: R, path: impl Into<PathBuf>) -> Result<Reader<R>> {
        let path = path.into();
        let length = source.seek(SeekFrom::End(0)).and_then(|length| source.rewind().map(|()| length));
        let length = length.map_err(|source| Error::io("read", &path, source))?;
        Ok(Reader {
            source: BufReader::with_capacity(64 << 10, source),
            path,
            position: 0,
            length,
            block: None,
            last: None,
            ended: false,
            message: Vec::new(),
            report: Report::default(),
        })
    }

    /// The next entry; `None` after the last one.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read. The next call tries the same place again.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>> {
        while !self.ended {
            let Some(block) = self.block else {
                self.find_block()?;
                continue;
            };
            let at = block.at;
            if self.read_entry(block)? {
                self.report.entries += 1;
                return Ok(Some(Entry { offset: at, message: &self.message }));
            }
        }
        Ok(None)
    }

    /// What was found so far. It is complete once [`next_entry`](Self::next_entry) has returned `None`.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Reads the next entry of `block` into `message`. False if there was none, or not one that can be read.
    fn read_entry(&mut self, block: Block) -> Result<bool> {
        let end = block.end.min(self.length);
        if block.at >= block.end {
            self.leave(block);
            return Ok(false);
        }
        let left = end.saturating_sub(block.at);
        let is_cut = end < block.end;
        let mut length = [0; LENGTH_BYTES as usize];
        // Fewer bytes than asked for: the file has become shorter, and `length` says so now.
        if left < LENGTH_BYTES || !self.read_at(block.at, &mut length)? {
            self.damage_rest(block, if is_cut { DamageKind::Cut } else { DamageKind::Length });
            return Ok(false);
        }
        let bytes = u64::from(u32::from_le_bytes(length));
        let next = block.at + LENGTH_BYTES + bytes;
        if bytes == 0 || next > block.end {
            self.damage_rest(block, DamageKind::Length);
        } else if next > end {
            self.damage_rest(block, DamageKind::Cut);
        } else if bytes > Reader::ENTRY_BYTES_MAX as u64 {
            self.report.damaged_blocks += u64::from(!block.is_damaged);
            self.damage(block.at, LENGTH_BYTES + bytes, DamageKind::TooLong);
            self.block = Some(Block { at: next, is_damaged: true, ..block });
        } else {
            let mut message = std::mem::take(&mut self.message);
            message.resize(bytes as usize, 0);
            let read = self.read_at(block.at + LENGTH_BYTES, &mut message);
            self.message = message;
            if read? {
                self.block = Some(Block { at: next, ..block });
                return Ok(true);
            }
            self.damage_rest(block, DamageKind::Cut);
        }
        Ok(false)
    }

    /// Notes that the rest of the block's entries cannot be read, and leaves it.
    fn damage_rest(&mut self, block: Block, kind: DamageKind) {
        self.report.damaged_blocks += u64::from(!block.is_damaged);
        let end = block.end.min(self.length);
        self.damage(block.at, end.saturating_sub(block.at), kind);
        self.leave(block);
    }

    fn leave(&mut self, block: Block) {
        self.block = None;
        self.last = Some(block);
    }

    fn damage(&mut self, offset: u64, bytes: u64, kind: DamageKind) {
        self.report.is_cut |= kind == DamageKind::Cut;
        self.report.damaged_bytes += if kind == DamageKind::Capacity { 0 } else { bytes };
        if self.report.damage.len() < DAMAGE_MAX {
            let place = self.report.damage.partition_point(|damage| damage.offset <= offset);
            self.report.damage.insert(place, Damage { offset, bytes, kind });
        } else {
            self.report.damage_omitted += 1;
        }
    }

    /// Goes to the next block, or to the end if there is none.
    fn find_block(&mut self) -> Result<()> {
        let expected = self.last.map_or(0, |last| last.next);
        if let Some(block) = self.block_at(expected)? {
            return self.begin(block);
        }
        let (block, is_zero) = self.search(expected, self.length)?;
        let end = block.map_or(self.length, |block| block.start);
        let bytes = end.saturating_sub(expected);
        if let Some(block) = block {
            self.begin(block)?;
            self.damage(expected, bytes, DamageKind::NoBlock);
            return Ok(());
        }
        if is_zero {
            self.report.unused_bytes += bytes;
        } else {
            let kind = if bytes < HEADER_BYTES { DamageKind::Cut } else { DamageKind::NoBlock };
            self.damage(expected, bytes, kind);
        }
        // The writer writes whole blocks.
        self.report.is_cut |= expected > self.length;
        self.ended = true;
        Ok(())
    }

    /// The block whose header stands at `at`, if there is one.
    fn block_at(&mut self, at: u64) -> Result<Option<Block>> {
        let mut header = [0; HEADER_BYTES as usize];
        let is_there = self.length.saturating_sub(at) >= HEADER_BYTES && self.read_at(at, &mut header)?;
        Ok(if is_there { Block::of(at, header) } else { None })
    }

    /// Begins to read `block`. A wrong capacity must not hide the blocks between it and where it leads to. So if
    /// nothing confirms the capacity, looks for another block within it.
    fn begin(&mut self, mut block: Block) -> Result<()> {
        let next = self.block_at(block.next)?;
        let is_as_before = self.last.is_some_and(|last| last.capacity == block.capacity);
        let leads_to_a_block = next.is_some() || block.next == self.length;
        let is_as_next = next.is_some_and(|next| next.capacity == block.capacity);
        if !(leads_to_a_block && (is_as_before || is_as_next)) {
            let from = match self.chain(block, CHAINED_ENTRIES)? {
                Chain::Whole(at) | Chain::Cut(at) => at.next_multiple_of(GRID),
                Chain::Broken => block.start + GRID,
            };
            if let Some(hidden) = self.search(from, block.next)?.0 {
                self.damage(block.start, HEADER_BYTES / 2, DamageKind::Capacity);
                block.next = hidden.start;
                block.end = block.end.min(hidden.start);
            }
        }
        self.report.blocks += 1;
        self.block = Some(block);
        Ok(())
    }

    /// The first block that begins on the grid in `from..to`, by its header and its first entries; and whether all
    /// bytes before it are zeros. Goes through each byte once.
    fn search(&mut self, from: u64, to: u64) -> Result<(Option<Block>, bool)> {
        let to = to.min(self.length);
        let mut is_zero = true;
        let mut at = from;
        while at < to {
            let mut sector = [0; GRID as usize];
            let bytes = (to - at).min(GRID) as usize;
            if !self.read_at(at, &mut sector[..bytes])? {
                break;
            }
            let header = sector.first_chunk().copied().unwrap_or_default();
            if let Some(block) = Block::of(at, header)
                && bytes as u64 >= HEADER_BYTES
                && self.probe(block)?
            {
                return Ok((Some(block), is_zero));
            }
            is_zero &= sector.iter().all(|byte| *byte == 0);
            at += GRID;
        }
        Ok((None, is_zero))
    }

    /// Follows the lengths of the first entries. Returns whether they are right, and the file holds one whole at least.
    fn probe(&mut self, block: Block) -> Result<bool> {
        Ok(match self.chain(block, PROBED_ENTRIES)? {
            Chain::Whole(_) => true,
            Chain::Cut(at) => at > block.at,
            Chain::Broken => false,
        })
    }

    /// Follows the lengths of the block's entries, of so many at most.
    fn chain(&mut self, block: Block, entries: u32) -> Result<Chain> {
        let mut at = block.at;
        for _ in 0..entries {
            if at == block.end {
                break;
            }
            if block.end - at <= LENGTH_BYTES {
                return Ok(Chain::Broken);
            }
            let mut length = [0; LENGTH_BYTES as usize];
            if self.length.saturating_sub(at) < LENGTH_BYTES || !self.read_at(at, &mut length)? {
                return Ok(Chain::Cut(at));
            }
            let bytes = u64::from(u32::from_le_bytes(length));
            let next = at + LENGTH_BYTES + bytes;
            if bytes == 0 || next > block.end {
                return Ok(Chain::Broken);
            }
            if next > self.length {
                return Ok(Chain::Cut(at));
            }
            at = next;
        }
        Ok(Chain::Whole(at))
    }

    /// Fills `buffer` from `at`. False if the file has become shorter: `length` is its end then.
    fn read_at(&mut self, at: u64, buffer: &mut [u8]) -> Result<bool> {
        let mut filled = 0;
        let result = self.seek_to(at).and_then(|()| {
            while filled < buffer.len() {
                match self.source.read(&mut buffer[filled..]) {
                    Ok(0) => break,
                    Ok(bytes) => filled += bytes,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
        self.position += filled as u64;
        result.map_err(|source| {
            // The buffer's position may be anywhere.
            self.position = u64::MAX;
            Error::Io { operation: "read", path: self.path.clone(), offset: Some(at), source }
        })?;
        if filled < buffer.len() {
            self.length = self.length.min(at + filled as u64);
        }
        Ok(filled == buffer.len())
    }

    /// Goes to `at`, and keeps what is buffered if that is near.
    fn seek_to(&mut self, at: u64) -> io::Result<()> {
        if self.position == u64::MAX {
            self.source.seek(SeekFrom::Start(at))?;
        } else if let Ok(step) = i64::try_from(i128::from(at) - i128::from(self.position)) {
            self.source.seek_relative(step)?;
        }
        self.position = at;
        Ok(())
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES as usize], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
