//! What is in a ring file besides the rings: its header, the table of logs, and where slots are.
//!
//! It is written by `pwrite` into the same pages that the rings are mapped from, so that a file system without room
//! returns an error. If the process dies, each of these writes is whole or undone, because none crosses a page. The
//! exception is a definition: it counts only when the end of the definitions has moved past it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::layout::{
    DEFINITIONS_OFFSET, LOG_ENDED, LOG_FREE, LOG_OPEN, LOGS_MAX, MAGIC, PATH_BYTES_MAX, RawHeader, RawLog, RawSlot,
    SLOT_FREE, SLOT_HEADER_BYTES, SLOT_USED, SLOTS_OFFSET, TICKS_OF_COUNTER, TICKS_OF_MONOTONIC, VERSION, log_offset,
    slot_bytes,
};
use crate::clock::{Clock, ClockAnchor};
use crate::grouped::Size;
use crate::sync::lock;
use crate::sys::MadeIn;
use crate::sys::file::{allocate, deallocate, file_size_limit, is_deleted};
use crate::sys::write::{grain, write_whole};

/// An open ring file. It is closed once nobody has a slot in it any more.
#[derive(Debug)]
pub(super) struct Contents {
    file: File,
    path: PathBuf,
    /// The path and the kind of file system, in words.
    place: String,
    made_in: MadeIn,
    tables: Mutex<Tables>,
    anchor_version: AtomicU64,
    pub(super) definitions_lost: AtomicU64,
}

#[derive(Debug)]
struct Tables {
    slots_end: u64,
    /// Offsets of free slots, by their sizes. Only their first pages have memory.
    free: HashMap<Sizes, Vec<u64>>,
    /// Slots that rings lie in, or were left in with records that are not known to be durable, by their offsets.
    taken: HashMap<u64, TakenSlot>,
    logs: Vec<Option<Arc<LogState>>>,
}

#[derive(Debug)]
struct TakenSlot {
    sizes: Sizes,
    log: Arc<LogState>,
    /// Whether the ring is gone.
    is_left: bool,
}

/// The sizes of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sizes {
    pub(super) window_bytes: u64,
    pub(super) reserve_bytes: u64,
}

/// A part of the file for one ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) sizes: Sizes,
}

/// A log whose rings are in the file.
#[derive(Debug)]
pub(super) struct LogState {
    /// Its place in the table.
    pub(super) index: u32,
    /// The address space of its reserves.
    pub(super) reserves_bytes: AtomicU64,
    /// Whether it has ended. It then gets no slots, because another log may have its place in the table. Set under the
    /// lock on the tables.
    pub(super) has_ended: AtomicBool,
}

/// A log as its entry names it.
#[derive(Clone, Debug)]
pub(crate) struct NewLog {
    pub(crate) log: [u8; 16],
    pub(crate) run: [u8; 16],
    pub(crate) block_bytes: u32,
    pub(crate) message_bytes_max: u32,
    /// Absolute.
    pub(crate) path: PathBuf,
}

impl Contents {
    /// Describes the empty `file` at `path`, on a file system of the kind `system`.
    ///
    /// # Errors
    /// The file has no room.
    pub(super) fn begin(file: File, path: PathBuf, system: &str, clock: Clock, boot: [u8; 16]) -> io::Result<Contents> {
        let place = match system {
            "tmpfs" => format!("{} (tmpfs)", path.display()),
            other => format!("{} ({other}: an append may wait for its disk)", path.display()),
        };
        check_limit(SLOTS_OFFSET)?;
        file.set_len(SLOTS_OFFSET)?;
        let anchor = clock.anchor();
        let mut header = RawHeader {
            magic: MAGIC,
            version: U32::new(VERSION),
            crc: U32::ZERO,
            boot,
            pid: U32::new(std::process::id()),
            clock: U32::new(if clock.is_counter() { TICKS_OF_COUNTER } else { TICKS_OF_MONOTONIC }),
            reserved: [0; 24],
            anchor_version: U64::new(2),
            anchor_ticks: U64::new(anchor.ticks),
            anchor_ns: U64::new(anchor.ns),
            definitions_end: U64::new(DEFINITIONS_OFFSET),
            definitions_lost: U64::ZERO,
            slots_end: U64::new(SLOTS_OFFSET),
        };
        header.crc = U32::new(header.checksum());
        let tables = Tables { slots_end: SLOTS_OFFSET, free: HashMap::new(), taken: HashMap::new(), logs: Vec::new() };
        let contents = Contents {
            file,
            path,
            place,
            made_in: MadeIn::this_process(),
            tables: Mutex::new(tables),
            anchor_version: AtomicU64::new(2),
            definitions_lost: AtomicU64::new(0),
        };
        contents.write(0, header.as_bytes())?;
        Ok(contents)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the rings of `log` are, in words.
    pub(super) fn place_of(&self, log: &Arc<LogState>) -> String {
        // After a clean end the file has no name.
        let is_open = || lock(&self.tables).logs.iter().flatten().any(|open| Arc::ptr_eq(open, log));
        match is_deleted(&self.file) && is_open() {
            true => format!("{}, deleted by somebody: what is accepted ends with the process", self.place),
            false => self.place.clone(),
        }
    }

    /// Whether the calling process is the one whose rings these are. A forked child leaves them alone.
    pub(super) fn is_own(&self) -> bool {
        self.made_in.is_this_process()
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// There is no room, or this is a forked child.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.is_own() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        write_whole(&self.file, bytes, offset, grain(false))
    }

    /// Publishes the clock's ticks and the monotonic time of one moment.
    pub(super) fn publish_anchor(&self, anchor: ClockAnchor) {
        let version = self.anchor_version.fetch_add(2, Ordering::Relaxed) + 2;
        // In one write: it is never found half done.
        let words = [version, anchor.ticks, anchor.ns].map(U64::new);
        // The header is allocated. If the write fails all the same, the last anchor stays.
        let _ = self.write(offset_of!(RawHeader, anchor_version) as u64, words.as_bytes());
    }

    /// Lists a log. `None` if there are as many as the table holds.
    ///
    /// # Errors
    /// There is no room; or the path is too long.
    pub(super) fn enter_log(&self, new: &NewLog) -> io::Result<Option<Arc<LogState>>> {
        let path = new.path.as_os_str().as_encoded_bytes();
        if path.len() > PATH_BYTES_MAX {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let mut tables = lock(&self.tables);
        let index = tables.logs.iter().position(Option::is_none).unwrap_or(tables.logs.len());
        if index == LOGS_MAX as usize {
            return Ok(None);
        }
        let mut raw = RawLog {
            state: U32::new(LOG_FREE),
            crc: U32::ZERO,
            log: new.log,
            run: new.run,
            block_bytes: U32::new(new.block_bytes),
            message_bytes_max: U32::new(new.message_bytes_max),
            path_bytes: U16::new(path.len() as u16),
            reserved: [0; 6],
        };
        raw.crc = U32::new(raw.checksum(path));
        self.write(log_offset(index as u32), &[raw.as_bytes(), path].concat())?;
        let state = Arc::new(LogState {
            index: index as u32,
            reserves_bytes: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        });
        if index == tables.logs.len() {
            tables.logs.push(None);
        }
        tables.logs[index] = Some(Arc::clone(&state));
        Ok(Some(state))
    }

    /// Marks the log as open, after its link is durable. From now on there may be records to recover.
    ///
    /// # Errors
    /// The file can no longer be written to.
    pub(super) fn open_log(&self, log: &LogState) -> io::Result<()> {
        self.write_log_state(log.index, LOG_OPEN)
    }

    /// Describes the slot at `offset`, free at first, unless its log has ended.
    pub(super) fn describe_slot(&self, log: &LogState, offset: u64, raw: &RawSlot) {
        let _tables = lock(&self.tables);
        if !log.has_ended.load(Ordering::Relaxed) {
            // The page is there, so that the write is not refused.
            let _ = self.write(offset, raw.as_bytes());
            let _ = self.write(offset + offset_of!(RawSlot, state) as u64, &SLOT_USED.to_le_bytes());
        }
    }

    /// Marks a slot as free, and takes its description away: its ring may hold records that nobody wants. The page is
    /// there, so that the write is not refused.
    pub(super) fn free_slot(&self, extent: Extent) {
        let _ = self.write(extent.offset, extent.sizes.as_raw().as_bytes());
    }

    /// Marks a log as ended when all of its records are durable. Its slots are free then.
    pub(super) fn end_log(&self, log: &Arc<LogState>) {
        let mut tables = lock(&self.tables);
        log.has_ended.store(true, Ordering::Relaxed);
        // This fails only if the file cannot be written at all. Then a recovery finds that the log is complete.
        let _ = self.write_log_state(log.index, LOG_ENDED);
        let Tables { taken, free, logs, .. } = &mut *tables;
        taken.retain(|offset, slot| {
            if !Arc::ptr_eq(&slot.log, log) {
                return true;
            }
            self.free_slot(Extent { offset: *offset, sizes: slot.sizes });
            // A slot whose ring still lives comes back when the ring is dropped.
            if slot.is_left {
                self.empty(Extent { offset: *offset, sizes: slot.sizes });
                free.entry(slot.sizes).or_default().push(*offset);
            }
            false
        });
        logs[log.index as usize] = None;
    }

    /// Whether a listed log has not ended.
    pub(super) fn has_open_logs(&self) -> bool {
        lock(&self.tables).logs.iter().any(Option::is_some)
    }

    fn write_log_state(&self, index: u32, state: u32) -> io::Result<()> {
        self.write(log_offset(index) + offset_of!(RawLog, state) as u64, &state.to_le_bytes())
    }

    /// A part of the file for a ring of `log`: free, its first page and its window allocated.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn take(&self, log: &Arc<LogState>, sizes: Sizes) -> io::Result<Extent> {
        // A child that was forked since, in a signal handler, leaves its parent's file alone.
        if !self.is_own() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let extent = {
            let mut tables = lock(&self.tables);
            if log.has_ended.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::NotConnected.into());
            }
            let offset = match tables.free.get_mut(&sizes).and_then(Vec::pop) {
                Some(offset) => offset,
                None => self.extend(&mut tables, sizes)?,
            };
            tables.taken.insert(offset, TakenSlot { sizes, log: Arc::clone(log), is_left: false });
            Extent { offset, sizes }
        };
        // Outside of the lock, because it takes long.
        allocate(&self.file, extent.window_offset(), sizes.window_bytes)
            .inspect_err(|_| self.give_back(extent, true))?;
        Ok(extent)
    }

    /// Makes a slot at the end of the file.
    fn extend(&self, tables: &mut Tables, sizes: Sizes) -> io::Result<u64> {
        let offset = tables.slots_end;
        let end = slot_bytes(sizes.window_bytes, sizes.reserve_bytes).and_then(|bytes| offset.checked_add(bytes));
        let end = end.ok_or(io::ErrorKind::FileTooLarge)?;
        check_limit(end)?;
        if !self.is_own() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.file.set_len(end)?;
        allocate(&self.file, offset, SLOT_HEADER_BYTES)?;
        self.write(offset, sizes.as_raw().as_bytes())?;
        self.write(offset_of!(RawHeader, slots_end) as u64, &end.to_le_bytes())?;
        tables.slots_end = end;
        Ok(offset)
    }

    /// Takes back the part of the file of a ring that is gone. If the ring may hold records that are not durable (not
    /// `is_vacant`), the part stays as it is until its log has ended.
    pub(super) fn give_back(&self, extent: Extent, is_vacant: bool) {
        if !self.is_own() {
            return;
        }
        let mut tables = lock(&self.tables);
        let Some(slot) = tables.taken.get_mut(&extent.offset) else {
            // Its log has ended.
            self.empty(extent);
            tables.free.entry(extent.sizes).or_default().push(extent.offset);
            return;
        };
        if !is_vacant {
            slot.is_left = true;
            return;
        }
        tables.taken.remove(&extent.offset);
        self.empty(extent);
        tables.free.entry(extent.sizes).or_default().push(extent.offset);
    }

    /// Gives the memory of a slot, except its first page, back to the system.
    fn empty(&self, extent: Extent) {
        let Sizes { window_bytes, reserve_bytes } = extent.sizes;
        // If it is refused, the memory stays until the next ring uses it.
        let _ = deallocate(&self.file, extent.window_offset(), window_bytes + reserve_bytes);
    }
}

impl Sizes {
    /// A slot with these sizes that is free, and not described.
    pub(super) fn as_raw(self) -> RawSlot {
        let mut raw = RawSlot::new_zeroed();
        raw.window_bytes = U64::new(self.window_bytes);
        raw.reserve_bytes = U64::new(self.reserve_bytes);
        raw.sizes_crc = U32::new(raw.sizes_checksum());
        raw.state = U32::new(SLOT_FREE);
        raw.crc = U32::new(raw.checksum().unwrap_or_default());
        raw
    }
}

impl Extent {
    /// Where the window begins.
    pub(super) fn window_offset(self) -> u64 {
        self.offset + SLOT_HEADER_BYTES
    }
}

/// Checks that the process may write a file of `bytes`: the system would send it a signal.
///
/// # Errors
/// It may not.
fn check_limit(bytes: u64) -> io::Result<()> {
    match file_size_limit() {
        Some(limit) if bytes > limit => {
            let (bytes, limit) = (Size(bytes), Size(limit));
            let message = format!("it would take {bytes}, and this process may write {limit} (ulimit -f)");
            Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
        }
        _ => Ok(()),
    }
}
