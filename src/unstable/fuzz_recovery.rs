//! The target of fuzzing for what a recovery removes: a ring file with the rings of two logs is damaged, and the logs
//! are recovered in any order. Whatever was accepted is in its log, or the ring file is still there. Used by
//! [`fuzz`](super::fuzz).

use std::fs;
use std::io;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use zerocopy::FromBytes as _;

use crate::config::{Config, EngineConfig, RingMemory};
use crate::crash::layout::{
    CONTROL_BYTES, CONTROL_OFFSET, LOG_BYTES, LOGS_OFFSET, RawHeader, RawSlot, SLOTS_OFFSET, slot_bytes,
};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::is_zero;
use crate::level::Level;
use crate::reader::Reader;
use crate::recovery;
use crate::sys;
use crate::sys::write::{grain, write_whole};

const PAGE_BYTES: usize = 4096;

/// The producers of each log, and the records of each of them.
const PRODUCERS: usize = 2;
const RECORDS: usize = 20;

/// The files of two logs and of their rings, as a process leaves them that dies.
struct Dead {
    files: Vec<Left>,
    directory: PathBuf,
    logs: [PathBuf; 2],
    rings: PathBuf,
    /// Where the slots are in the file with the rings.
    slots: Vec<u64>,
}

/// A file.
struct Left {
    path: PathBuf,
    bytes: u64,
    /// The pages that are not zeros, with their offsets.
    pages: Vec<(u64, Vec<u8>)>,
}

/// Those in the directory that was used last: paths are in the files.
static DEAD: Mutex<Option<Dead>> = Mutex::new(None);

/// Steps, until the bytes end or one is unknown: damages of the ring file, recoveries, sweeps. Of the parts that are
/// compared with others, one is damaged at most; the table of logs may be damaged as often as wanted.
pub(super) fn recovery(bytes: &[u8], directory: &Path) {
    if cfg!(any(not(target_os = "linux"), diolog_portable)) {
        // There are no rings in files.
        return;
    }
    let mut dead = DEAD.lock().unwrap_or_else(PoisonError::into_inner);
    if dead.as_ref().is_none_or(|dead| dead.directory != directory) {
        *dead = Some(Dead::make(directory).expect("room for two logs"));
    }
    let Some(dead) = &*dead else { return };
    if dead.write().is_ok() {
        dead.follow(bytes);
    }
    clear(directory);
}

impl Dead {
    /// Lets an engine log, and copies its files while it lives.
    fn make(directory: &Path) -> Result<Dead> {
        let rings = directory.join("rings");
        let engine = Engine::start(EngineConfig::new().ring_memory(RingMemory::Shared(rings.clone())))?;
        let logs = ["first", "second"].map(|name| directory.join(name));
        // A log is closed with its last logger.
        let mut alive = Vec::new();
        for log in &logs {
            let config = Config::new(log).flush_interval(Duration::from_secs(3600)).block_bytes(PAGE_BYTES);
            let config = config.ring_bytes(2 * PAGE_BYTES).reserve_bytes(0).segment_bytes(1 << 20);
            let logger = engine.open(config.message_bytes_max(100))?;
            let mut producers = Vec::new();
            for at in 0..PRODUCERS {
                let producer = logger.producer_named(&at.to_string())?;
                for number in 0..RECORDS {
                    // Half of them are durable, and no longer in the ring.
                    if number == RECORDS / 2 {
                        logger.flush()?;
                    }
                    producer.log(Level::Info, text(at, number));
                }
                producers.push(producer);
            }
            alive.push((producers, logger));
        }
        let mut dead = Dead { files: Vec::new(), directory: directory.to_owned(), logs, rings, slots: Vec::new() };
        let copied = dead.copy_files();
        drop(alive);
        engine.close()?;
        clear(directory);
        copied.map(|()| dead).map_err(|source| Error::io("copy", directory, source))
    }

    fn copy_files(&mut self) -> io::Result<()> {
        let [first, second] = self.logs.clone();
        for folder in [first, second, self.rings.clone()] {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if !path.extension().is_some_and(|extension| extension == "dlog" || extension == "rings") {
                    continue;
                }
                let file = fs::File::open(&path)?;
                let (bytes, mut pages) = (file.metadata()?.len(), Vec::new());
                // Most of the ring file is a hole, and a fuzzer allows no such allocation.
                for offset in (0..bytes).step_by(PAGE_BYTES) {
                    let mut page = vec![0; PAGE_BYTES];
                    let filled = sys::fill_at(&file, &mut page, offset)?;
                    page.truncate(filled);
                    if !is_zero(&page) {
                        pages.push((offset, page));
                    }
                }
                self.files.push(Left { path: path.clone(), bytes, pages });
                if folder == self.rings {
                    (self.slots, self.rings) = (slots(&file, bytes), path);
                    return Ok(());
                }
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Writes the files as they were.
    fn write(&self) -> io::Result<()> {
        for Left { path, bytes, pages } in &self.files {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            let file = fs::File::create(path)?;
            super::fuzz_rings::set_owner_only(&file)?;
            file.set_len(*bytes)?;
            for (offset, page) in pages {
                self.put(path, *offset, page)?;
            }
        }
        Ok(())
    }

    fn put(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = fs::File::options().write(true).open(path)?;
        write_whole(&file, bytes, offset, grain(false))
    }

    fn follow(&self, bytes: &[u8]) {
        let (mut rest, mut is_damaged) = (bytes, false);
        while let Some(step) = Step::read(&mut rest) {
            match step {
                Step::Overwrite { offset, bytes } => self.damage(LOGS_OFFSET + offset, bytes),
                Step::Zeros { slot, offset, bytes } if !is_damaged => {
                    is_damaged = true;
                    let (base, end) = match slot {
                        None => (0, size_of::<RawHeader>()),
                        Some(slot) => (self.slots[slot % self.slots.len()], size_of::<RawSlot>()),
                    };
                    let offset = offset % end;
                    // Zeros in place of a whole description, or of some bytes.
                    let is_whole = slot.is_some() && bytes == usize::from(u8::MAX);
                    let (offset, bytes) = if is_whole {
                        (offset_of!(RawSlot, state), end - offset_of!(RawSlot, state))
                    } else {
                        (offset, (bytes % 17).min(end - offset))
                    };
                    self.damage(base + offset as u64, &vec![0; bytes]);
                }
                Step::Flip { slot, offset, bit } if !is_damaged => {
                    is_damaged = true;
                    let slot = self.slots[slot % self.slots.len()] + CONTROL_OFFSET;
                    let at = slot + offset % CONTROL_BYTES;
                    let mut byte = [0];
                    let read = fs::File::open(&self.rings).and_then(|file| sys::fill_at(&file, &mut byte, at));
                    read.into_iter().for_each(|_| self.damage(at, &[byte[0] ^ 1 << (bit % 8)]));
                }
                Step::Zeros { .. } | Step::Flip { .. } => {}
                Step::Recover(log) => drop(recovery::recover(&self.logs[log % 2], None)),
                Step::Sweep => self.rings.parent().into_iter().for_each(recovery::sweep),
            }
            self.check();
        }
    }

    /// Damages the ring file, if it is still there under its name.
    fn damage(&self, offset: u64, bytes: &[u8]) {
        if self.rings.exists() {
            let _ = self.put(&self.rings, offset, bytes);
        }
    }

    /// # Panics
    /// If the ring file is gone, and a record is in no log; or if a record is there twice.
    fn check(&self) {
        let is_kept = self.rings.exists() || self.rings.with_extension("rings.damaged").exists();
        for log in &self.logs {
            let mut found = messages(log);
            for at in 0..PRODUCERS {
                for number in 0..RECORDS {
                    let message = text(at, number);
                    let is_there = found.iter().position(|found| *found == message).map(|at| found.swap_remove(at));
                    assert!(is_there.is_some() || is_kept, "{message} is lost in {}", log.display());
                }
            }
            assert!(found.is_empty(), "{found:?} were not logged, or are there twice, in {}", log.display());
        }
    }
}

/// The text of a record.
fn text(producer: usize, number: usize) -> String {
    format!("{number} of {producer}")
}

/// The records of the log at `path`.
fn messages(path: &Path) -> Vec<String> {
    let records = Reader::open(path).into_iter().flatten().map_while(Result::ok);
    records.map(|record| String::from_utf8_lossy(record.message()).into_owned()).collect()
}

/// Where the slots are in a ring file of so many bytes.
fn slots(file: &fs::File, bytes: u64) -> Vec<u64> {
    let next = |at: &u64| {
        let mut raw = [0; size_of::<RawSlot>()];
        sys::fill_at(file, &mut raw, *at).ok()?;
        let raw = RawSlot::read_from_bytes(&raw).ok()?;
        at.checked_add(slot_bytes(raw.window_bytes.get(), raw.reserve_bytes.get())?)
    };
    std::iter::successors(Some(SLOTS_OFFSET), next).take_while(|at| *at < bytes).collect()
}

/// Empties the directory.
fn clear(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// A step.
enum Step<'a> {
    /// Bytes in the table of logs.
    Overwrite { offset: u64, bytes: &'a [u8] },
    /// Zeros in the description of a slot, or in the header.
    Zeros { slot: Option<usize>, offset: usize, bytes: usize },
    /// A bit of a ring's positions and counts.
    Flip { slot: usize, offset: u64, bit: u8 },
    /// The recovery of a log.
    Recover(usize),
    /// What an open of another log with rings in the directory does.
    Sweep,
}

impl<'a> Step<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Step<'a>> {
        let mut byte = || {
            let (&first, after) = rest.split_first()?;
            *rest = after;
            Some(first)
        };
        let kind = byte()?;
        let step = match kind {
            0 => {
                let offset = u16::from_le_bytes([byte()?, byte()?]);
                let bytes = usize::from(byte()?).min(rest.len());
                let (bytes, after) = rest.split_at(bytes);
                *rest = after;
                Step::Overwrite { offset: u64::from(offset) % (3 * LOG_BYTES), bytes }
            }
            1 | 2 => {
                let slot = if kind == 2 { Some(usize::from(byte()?)) } else { None };
                let offset = usize::from(u16::from_le_bytes([byte()?, byte()?]));
                Step::Zeros { slot, offset, bytes: byte()?.into() }
            }
            3 => {
                let slot = byte()?.into();
                Step::Flip { slot, offset: u16::from_le_bytes([byte()?, byte()?]).into(), bit: byte()? }
            }
            4 => Step::Recover(byte()?.into()),
            5 => Step::Sweep,
            _ => return None,
        };
        Some(step)
    }
}
