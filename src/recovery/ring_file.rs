//! A ring file whose process is dead. It is opened with care, locked, and read by position. It is never mapped, and no
//! field of it is trusted.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zerocopy::FromBytes;

use super::bounds::{PRODUCERS_AT_ONCE, Patience};
use crate::clock::TickConverter;
use crate::crash::is_ring_file_of_this_process;
use crate::crash::layout::{
    CONTROL_OFFSET, FOR_LOG, FOR_RECORDER, LOG_BYTES, LOG_DAMAGED, LOG_ENDED, LOG_FREE, LOG_OPEN, LOGS_MAX, MAGIC,
    OVERWRITES, RawHeader, RawLog, RawSlot, SLOT_FREE, SLOT_HEADER_BYTES, SLOT_USED, SLOTS_OFFSET, TICKS_OF_COUNTER,
    VERSION, log_offset, process_of_ring_file, slot_bytes,
};
use crate::crash::link::Link;
use crate::format::{LogId, NAME_BYTES_MAX, StoredRunId, cut_at, is_zero};
use crate::ring::image::{Image, Shape};
use crate::sys::directory::OpenDirectory;
use crate::sys::lock::FileLock;
use crate::sys::write::{grain, write_whole};
use crate::sys::{self, LockHolder, LockRefusal, LockState, cpu};

// A model counts its atomics otherwise.
#[cfg(not(loom))]
const _: () = assert!(crate::crash::layout::CONTROL_BYTES as usize >= crate::ring::image::CONTROL_BYTES);

/// The most slots that are read: more than all producers that a process can have. This bounds the work on a file that
/// claims to be very long.
const SLOTS_MAX: usize = 1 << 18;

/// How long a recovery waits for one lock, which another log's recovery may have at that moment. It does not wait for
/// the process whose rings are in the file: that one keeps the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// A ring file that this process has locked.
pub(super) struct DeadRingFile {
    locked: Locked,
    header: RawHeader,
}

/// A file that this process has locked, and of which nothing is known.
pub(super) struct Locked {
    file: File,
    directory: OpenDirectory,
    name: String,
    bytes: u64,
    /// Released after the file's descriptor is closed.
    _lock: FileLock,
}

/// Why there is no ring file to read.
pub(super) enum NotOpened {
    /// There is no such file.
    Missing,
    /// Its process has died while it made the file.
    Unfinished(Box<Locked>),
    /// It is not to be trusted, or somebody has it; the reason.
    Refused(String),
}

/// A log's entry in the table of logs.
#[derive(Debug)]
pub(super) struct LogEntry {
    pub(super) index: u32,
    pub(super) state: RingsState,
    pub(super) log: LogId,
    pub(super) block_bytes: u32,
    pub(super) message_bytes_max: u32,
}

/// What is to be done about a log's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RingsState {
    /// They are to be recovered.
    Open,
    /// Nothing: the log has ended, or they were recovered.
    Ended,
    /// The same as if it were open: they were recovered, but for what was damaged, or it is the state that is damaged.
    Damaged,
}

/// Where the slot of a producer is. There may be very many, so it holds nothing else: [`DeadRingFile::slot`] reads the
/// rest when the ring's turn comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotPlace {
    pub(super) producer: u32,
    /// Whether the ring gives up its oldest records.
    pub(super) overwrites: bool,
    at: u64,
}

/// A slot with a ring of one log.
#[derive(Debug)]
pub(super) struct FoundSlot {
    pub(super) producer: u32,
    pub(super) tid: u32,
    /// At most [`NAME_BYTES_MAX`] bytes.
    pub(super) name: String,
    pub(super) image: Image,
    /// Whether the ring gives up its oldest records.
    pub(super) overwrites: bool,
    /// Where its ring is in the file.
    pub(super) window_at: u64,
}

/// The slots of one log.
#[derive(Debug, Default)]
pub(super) struct FoundSlots {
    /// By producer.
    pub(super) places: Vec<SlotPlace>,
    /// What could not be read, if something.
    pub(super) damage: Option<String>,
}

impl FoundSlots {
    /// Whether they hold records, or damage may hide some that do.
    fn may_have_records(&self) -> bool {
        !self.places.is_empty() || self.damage.is_some()
    }
}

impl Locked {
    /// Locks the file at `path`, which this user's processes alone have written. Waits for the process that has
    /// it, as `patience` allows.
    fn take(path: &Path, patience: &mut Patience) -> Result<Locked, NotOpened> {
        let refused = |why: String| NotOpened::Refused(format!("{} {why}", path.display()));
        let failed = |operation: &str, error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => NotOpened::Missing,
            _ => NotOpened::Refused(format!("cannot {operation} {}: {error}", path.display())),
        };
        let parts = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
        let Some((parent, name)) = parts else { return Err(refused("is no file's path".into())) };
        let directory = OpenDirectory::open(parent).map_err(|error| failed("open", error))?;
        let entry = directory.entry(name).map_err(|error| failed("examine", error))?;
        if !entry.is_file {
            return Err(refused("is not a regular file".into()));
        }
        let lock = lock(&directory, name, path, patience)?;
        let file = directory.open_to_change(name).map_err(|error| failed("open", error))?;
        let bytes = check(&file).map_err(|error| failed("examine", error))?.map_err(refused)?;
        Ok(Locked { file, directory, name: name.to_owned(), bytes, _lock: lock })
    }

    /// Removes the file.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn remove(self) -> io::Result<()> {
        self.directory.remove(&self.name)
    }
}

impl DeadRingFile {
    /// Opens and locks the ring file at `path`. Waits for the process that has it, as `patience` allows.
    pub(super) fn open(path: &Path, patience: &mut Patience) -> Result<DeadRingFile, NotOpened> {
        let refused = |why: &str| NotOpened::Refused(format!("{} {why}", path.display()));
        let locked = Locked::take(path, patience)?;
        let mut header = [0; size_of::<RawHeader>()];
        let filled = sys::fill_at(&locked.file, &mut header, 0)
            .map_err(|error| NotOpened::Refused(format!("cannot read {}: {error}", path.display())))?;
        // The process that makes the file sets its length first, and then writes the header.
        if is_zero(&header) && (filled == 0 || locked.bytes == SLOTS_OFFSET) {
            return Err(NotOpened::Unfinished(Box::new(locked)));
        }
        let header = RawHeader::read_from_bytes(&header[..filled]).ok().filter(|header| header.magic == MAGIC);
        let Some(header) = header else { return Err(refused("is no ring file of diolog")) };
        if header.version.get() != VERSION {
            let version = header.version.get();
            return Err(refused(&format!("has version {version}: this diolog reads version {VERSION} alone")));
        }
        if header.crc.get() != header.checksum() {
            return Err(refused("begins with a damaged header"));
        }
        if locked.bytes < SLOTS_OFFSET {
            return Err(refused("was cut off before its rings"));
        }
        Ok(DeadRingFile { locked, header })
    }

    /// Its path, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.locked.directory.path_of(&self.locked.name)
    }

    /// The process whose rings these are.
    pub(super) fn process(&self) -> u32 {
        self.header.pid.get()
    }

    /// Whether the machine has not been restarted since. After a restart, a file on a disk holds only what the kernel
    /// had written back before.
    pub(super) fn is_of_this_boot(&self) -> bool {
        self.header.boot == cpu::boot_id()
    }

    /// The entry of a run's log. `None` if the table has none: it is used again once the log has ended.
    ///
    /// # Errors
    /// The operating system's, and `InvalidData` if the entry may be one that is damaged.
    pub(super) fn log_of(&self, run: StoredRunId) -> io::Result<Option<LogEntry>> {
        let mut is_damaged = false;
        let mut whole = HashSet::new();
        for index in 0..LOGS_MAX {
            let raw_state = self.log_state(index)?;
            let state = match raw_state {
                LOG_FREE | LOG_ENDED => RingsState::Ended,
                LOG_DAMAGED => RingsState::Damaged,
                _ => RingsState::Open,
            };
            match self.raw_log(index)? {
                Some((raw, _)) if raw.run == run.0 => {
                    let (block_bytes, message_bytes_max) = (raw.block_bytes.get(), raw.message_bytes_max.get());
                    let mut entry = LogEntry { index, state, log: LogId(raw.log), block_bytes, message_bytes_max };
                    // A log has rings only once it is open.
                    if raw_state == LOG_FREE && self.has_slots(&entry)? {
                        entry.state = RingsState::Open;
                    }
                    return Ok(Some(entry));
                }
                Some(_) => _ = whole.insert(index),
                None => is_damaged |= state == RingsState::Open,
            }
        }
        // The state may be damaged as well. But entries that were never used have no rings.
        let others = self.slots_where(|slot| !whole.contains(&slot.log.get()))?;
        if is_damaged || others.may_have_records() {
            Err(io::Error::new(io::ErrorKind::InvalidData, "its table of logs is damaged"))
        } else {
            Ok(None)
        }
    }

    /// The path of the log with this entry, if that is not the one in `directory`, and names these rings too.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn another_log(&self, entry: &LogEntry, directory: &OpenDirectory) -> io::Result<Option<PathBuf>> {
        let entry = self.raw_log(entry.index)?;
        Ok(entry.and_then(|(raw, path)| Link::in_another(&path, StoredRunId(raw.run), directory)))
    }

    /// Whether the log with this entry is the one in `directory`.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn is_of(&self, entry: &LogEntry, directory: &OpenDirectory) -> io::Result<bool> {
        let entry = self.raw_log(entry.index)?;
        Ok(entry.is_some_and(|(_, path)| Link::is_directory(&path, directory)))
    }

    fn log_state(&self, index: u32) -> io::Result<u32> {
        let mut state = [0; 4];
        sys::fill_at(&self.locked.file, &mut state, log_offset(index))?;
        Ok(u32::from_le_bytes(state))
    }

    /// The entry with this index and the path of its log, if it is whole.
    fn raw_log(&self, index: u32) -> io::Result<Option<(RawLog, Vec<u8>)>> {
        let mut page = vec![0; LOG_BYTES as usize];
        if sys::fill_at(&self.locked.file, &mut page, log_offset(index))? < page.len() {
            return Ok(None);
        }
        let Ok((raw, path)) = RawLog::read_from_prefix(&page) else { return Ok(None) };
        let path = path.get(..usize::from(raw.path_bytes.get()));
        Ok(path.filter(|path| raw.checksum(path) == raw.crc.get()).map(|path| (raw, path.to_vec())))
    }

    /// Notes in the entry of a log what became of its rings.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn set_log_state(&self, entry: &LogEntry, state: RingsState) -> io::Result<()> {
        let state = match state {
            RingsState::Open => LOG_OPEN,
            RingsState::Ended => LOG_ENDED,
            RingsState::Damaged => LOG_DAMAGED,
        };
        write_whole(&self.locked.file, &state.to_le_bytes(), log_offset(entry.index), grain(false))
    }

    /// Where the header says that the definitions of callsites end.
    pub(super) fn definitions_end(&self) -> u64 {
        self.header.definitions_end.get()
    }

    /// Reads bytes of the file from `offset`. Returns how many there are.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        sys::fill_at(&self.locked.file, buffer, offset)
    }

    fn has_slots(&self, entry: &LogEntry) -> io::Result<bool> {
        Ok(!self.slots(entry, FOR_LOG)?.places.is_empty() || !self.slots(entry, FOR_RECORDER)?.places.is_empty())
    }

    /// The rings of a log's producers for this purpose.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn slots(&self, entry: &LogEntry, purpose: u32) -> io::Result<FoundSlots> {
        self.slots_where(|slot| slot.log.get() == entry.index && slot.purpose.get() == purpose)
    }

    /// The rings in the slots that are wanted.
    ///
    /// # Errors
    /// The operating system's.
    fn slots_where(&self, is_wanted: impl Fn(&RawSlot) -> bool) -> io::Result<FoundSlots> {
        let mut found = FoundSlots::default();
        let mut producers = HashSet::new();
        let mut at = SLOTS_OFFSET;
        // A slot that was being added may be beyond it.
        let claimed_end = self.header.slots_end.get();
        let mut has_end = false;
        let mut note = |damage: String| _ = found.damage.get_or_insert(damage);
        if claimed_end > self.locked.bytes {
            note("it ends before its last ring does".into());
        }
        let mut count = 0;
        while self.locked.bytes.saturating_sub(at) >= SLOT_HEADER_BYTES {
            has_end |= at == claimed_end;
            if count == SLOTS_MAX {
                note("it claims to have more rings than a process can have".into());
                break;
            }
            count += 1;
            let Some(SlotPage { raw, slot, bytes }) = self.slot_page(at)? else {
                if at < claimed_end {
                    note(format!("the ring at offset {at} has damaged sizes, which hides those after it"));
                }
                break;
            };
            // One that has none yet, or no more; or whose ring is just being assigned.
            let is_empty = slot.as_ref().map_or_else(|| raw.is_undescribed(), |slot| slot.image.is_empty());
            let is_free = raw.state.get() == SLOT_FREE && is_empty;
            match slot {
                _ if is_free => {}
                Some(_) if !is_wanted(&raw) => {}
                Some(_) if found.places.len() == PRODUCERS_AT_ONCE => {
                    note("it claims to have more rings of the log than a log can have".into());
                    // The end was not looked for.
                    has_end = true;
                    break;
                }
                Some(slot) if producers.insert(slot.producer) => {
                    if raw.state.get() != SLOT_USED {
                        note(format!("the ring of producer {} has a damaged state", slot.producer));
                    }
                    found.places.push(SlotPlace { producer: slot.producer, overwrites: slot.overwrites, at });
                }
                _ => note(format!("the ring at offset {at} has a damaged description")),
            }
            at = at.saturating_add(bytes);
        }
        if !has_end && at != claimed_end {
            note("it does not say where its last ring ends".into());
        }
        found.places.sort_unstable_by_key(|place| place.producer);
        Ok(found)
    }

    /// The slot at this place.
    ///
    /// # Errors
    /// The operating system's, and `InvalidData` if the file has been changed since the place was found.
    pub(super) fn slot(&self, place: SlotPlace) -> io::Result<FoundSlot> {
        let slot = self.slot_page(place.at)?.and_then(|page| page.slot);
        slot.filter(|slot| (slot.producer, slot.overwrites) == (place.producer, place.overwrites)).ok_or_else(|| {
            let what = format!("the ring at offset {} has been changed", place.at);
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    /// The first page of the slot at this offset; `None` if its sizes are damaged, or if the file ends before.
    fn slot_page(&self, at: u64) -> io::Result<Option<SlotPage>> {
        let mut page = [0; SLOT_HEADER_BYTES as usize];
        sys::fill_at(&self.locked.file, &mut page, at)?;
        let Ok((raw, _)) = RawSlot::read_from_prefix(&page) else { return Ok(None) };
        let (window_bytes, reserve_bytes) = (raw.window_bytes.get(), raw.reserve_bytes.get());
        let overwrites = raw.flags.get() & OVERWRITES != 0;
        let shape = Shape { window_bytes, reserve_bytes, overwrites };
        let sizes_are_right = raw.sizes_crc.get() == raw.sizes_checksum() && shape.is_possible();
        let bytes = slot_bytes(window_bytes, reserve_bytes).filter(|_| sizes_are_right);
        Ok(bytes.map(|bytes| SlotPage { slot: FoundSlot::read(&raw, &page, shape, at), raw, bytes }))
    }

    /// Reads bytes of a slot's ring, from `offset` in its window.
    pub(super) fn read_ring(&self, slot: &FoundSlot, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_at(slot.window_at.saturating_add(offset), buffer)
    }

    /// Converts the ticks of its records.
    pub(super) fn converter(&self) -> TickConverter {
        let RawHeader { anchor_version, anchor_ticks, anchor_ns, clock, .. } = &self.header;
        // An anchor that was being written is none.
        let anchor = (anchor_version.get() & 1 == 0).then(|| (anchor_ticks.get(), anchor_ns.get()));
        TickConverter::of_this_boot(clock.get() == TICKS_OF_COUNTER, anchor)
    }

    /// Removes the file, unless another log needs it. If a log's part of it was damaged, it only gets another name,
    /// which is returned.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn finish(self) -> io::Result<Option<PathBuf>> {
        self.finish_but_for(None)
    }

    /// The same. The link of `given_up` does not count.
    fn finish_but_for(self, given_up: Option<StoredRunId>) -> io::Result<Option<PathBuf>> {
        let mut is_damaged = false;
        let mut done = HashSet::new();
        for index in 0..LOGS_MAX {
            let entry = self.raw_log(index)?;
            let is_linked = || {
                let linked = entry.as_ref().map(|(raw, path)| (StoredRunId(raw.run), path));
                linked.is_some_and(|(run, path)| Some(run) != given_up && Link::is_in(path, run))
            };
            let is_needed = match self.log_state(index)? {
                // The state has no checksum. While there is a link, the log's next open finds whether it is right.
                state @ (LOG_ENDED | LOG_DAMAGED) if entry.is_some() => {
                    done.insert(index);
                    is_damaged |= state == LOG_DAMAGED;
                    is_linked()
                }
                // It had no record yet; but if there is a link, the log's next open looks for the file. If the entry or
                // its state is damaged, its rings show it.
                LOG_FREE | LOG_ENDED | LOG_DAMAGED => is_linked(),
                // The same, if its records are gone.
                _ => self.is_of_this_boot() || is_linked(),
            };
            if is_needed {
                return Ok(None);
            }
        }
        if self.is_of_this_boot() {
            let others = self.slots_where(|slot| !done.contains(&slot.log.get()))?;
            // Damage that may hide rings keeps the file; if it was found before, under the other name.
            if !others.places.is_empty() || (others.may_have_records() && !is_damaged) {
                return Ok(None);
            }
        }
        let Locked { directory, name, .. } = &self.locked;
        if is_damaged {
            let kept = format!("{name}.damaged");
            directory.rename(name, &kept)?;
            return Ok(Some(directory.path_of(&kept)));
        }
        directory.remove(name)?;
        Ok(None)
    }

    /// Removes the file, which is of another boot, unless another log's link leads to it.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn give_up(self, run: StoredRunId) -> io::Result<()> {
        if self.is_of_this_boot() {
            return Ok(());
        }
        if let Some(entry) = self.log_of(run)?.filter(|entry| entry.state != RingsState::Damaged) {
            self.set_log_state(&entry, RingsState::Ended)?;
        }
        self.finish_but_for(Some(run)).map(drop)
    }
}

/// The first page of a slot.
struct SlotPage {
    raw: RawSlot,
    /// What it describes; `None` if that is damaged.
    slot: Option<FoundSlot>,
    /// The bytes of the whole slot.
    bytes: u64,
}

impl FoundSlot {
    /// The slot at `at`, whose description is in the first page; `None` if that is damaged.
    fn read(raw: &RawSlot, page: &[u8], shape: Shape, at: u64) -> Option<FoundSlot> {
        let name = raw.producer_name()?;
        let control = page.get(CONTROL_OFFSET as usize..)?.first_chunk()?;
        (raw.checksum() == Some(raw.crc.get()) && raw.producer.get() > 0).then(|| FoundSlot {
            producer: raw.producer.get(),
            tid: raw.tid.get(),
            name: cut_at(&String::from_utf8_lossy(name), NAME_BYTES_MAX).to_owned(),
            image: Image::new(shape, control),
            overwrites: shape.overwrites,
            window_at: at + SLOT_HEADER_BYTES,
        })
    }
}

/// Locks the file, which is there.
fn lock(directory: &OpenDirectory, name: &str, path: &Path, patience: &mut Patience) -> Result<FileLock, NotOpened> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        // Asked first, since taking a lock creates a file that has been removed meanwhile.
        let holder = match sys::lock::state(path) {
            LockState::Held(holder) => holder,
            LockState::Free | LockState::Unknown => match FileLock::take(directory, name) {
                Ok(lock) if lock.has_made_file() => {
                    let _ = directory.remove(name);
                    return Err(NotOpened::Missing);
                }
                Ok(lock) => return Ok(lock),
                Err(LockRefusal::Held(holder)) => holder,
                Err(LockRefusal::Io { operation, source }) => {
                    return Err(NotOpened::Refused(format!("cannot {operation} {}: {source}", path.display())));
                }
            },
        };
        let is_owner = match holder {
            LockHolder::ThisProcess => is_ring_file_of_this_process(name),
            LockHolder::Process(id) => process_of_ring_file(name) == Some(id),
            LockHolder::Unknown => false,
        };
        if is_owner || Instant::now() >= deadline || !patience.wait() {
            let until = if is_owner { ", which has other logs' rings in it" } else { "" };
            return Err(NotOpened::Refused(format!("{} is in use by {holder}{until}", path.display())));
        }
    }
}

/// The length of the file, if only this user's processes can have written it. Otherwise, the reason why not.
fn check(file: &File) -> io::Result<Result<u64, String>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Err("is not a regular file".into()));
    }
    Ok(sys::file::why_not_own(&metadata).map_or(Ok(metadata.len()), Err))
}
