//! The targets of fuzzing for the remains of a dead process: a ring, and a whole ring file. Used by
//! [`fuzz`](super::fuzz).

use std::fs::File;
use std::io;
use std::path::Path;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

use crate::crash::layout::{
    DEFINITIONS_OFFSET, LOG_OPEN, LOGS_OFFSET, MAGIC, PATH_BYTES_MAX, RawDefinition, RawHeader, RawLog, RawSlot,
    SLOT_HEADER_BYTES, SLOT_USED, SLOTS_OFFSET, VERSION, slot_bytes,
};
use crate::crash::link::Link;
use crate::format::{StoredRunId, checksum, padded};
use crate::reader;
use crate::recovery;
use crate::ring::image::{CONTROL_BYTES, Image, Shape};
use crate::sys::cpu;
use crate::sys::directory::OpenDirectory;
use crate::sys::write::{grain, write_whole};

/// A ring: a byte for its shape, its control lines, its bytes.
pub(super) fn ring(bytes: &[u8]) {
    let Some((&[kind], rest)) = bytes.split_first_chunk() else { return };
    let Some((control, memory)) = rest.split_first_chunk::<CONTROL_BYTES>() else { return };
    let shape = Shape {
        window_bytes: 4096 << (kind & 3),
        reserve_bytes: if kind & 4 == 0 { 0 } else { 4096 << (kind >> 3 & 3) },
        overwrites: kind & 32 != 0,
    };
    if !shape.is_possible() {
        return;
    }
    let image = Image::new(shape, control);
    let _ = image.counts();
    let read = |offset: u64, buffer: &mut [u8]| -> io::Result<usize> {
        let held = usize::try_from(offset).ok().and_then(|offset| memory.get(offset..)).unwrap_or(&[]);
        let length = held.len().min(buffer.len());
        buffer[..length].copy_from_slice(&held[..length]);
        Ok(length)
    };
    let mut records = image.records(4096);
    let (mut last, mut found_bytes) = (None, 0);
    while let Some((head, payload)) = records.next(read) {
        assert_eq!(payload.len(), head.length as usize);
        assert!(last.is_none_or(|last| last < head.sequence), "{last:?}, then {}", head.sequence);
        last = Some(head.sequence);
        found_bytes += payload.len() as u64;
        records.take();
    }
    assert!(found_bytes <= shape.window_bytes + shape.reserve_bytes, "a ring holds no more than its size");
    let _ = records.fault();
}

/// The bit of an entry's state that says that its checksum and its state stay as they are.
const UNSEALED: u32 = 1 << 31;

/// A ring file. Each of its parts has its length before it: the header, the entry of a log, the definitions, the slots.
pub(super) fn ring_file(bytes: &[u8], directory: &Path) {
    let (log, path) = (directory.join("log"), directory.join("fuzzed.rings"));
    // If the disk has no room for it, there is nothing to test.
    if make(bytes, &log, &path).is_ok() {
        let _ = recovery::recover(&log, None);
        if let Ok(mut reader) = reader::Reader::open(&log) {
            while let Ok(Some(_)) = reader.next_record() {}
        }
        let _ = reader::verify(&log);
    }
    let _ = std::fs::remove_dir_all(log);
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_file(path.with_extension("rings.damaged"));
}

/// Writes the file, with valid checksums except perhaps its entry's, and a log with a link to it.
fn make(bytes: &[u8], log: &Path, path: &Path) -> io::Result<()> {
    std::fs::create_dir(log)?;
    let mut rest = bytes;
    let mut part = || {
        let (length, after) =
            rest.split_first_chunk().map_or((0, rest), |(length, rest)| (u16::from_le_bytes(*length), rest));
        let (part, after) = after.split_at(after.len().min(length.into()));
        rest = after;
        part.to_vec()
    };
    let file = File::create(path)?;
    set_owner_only(&file)?;
    let put = |bytes: &[u8], offset| write_whole(&file, bytes, offset, grain(false));
    let boot = cpu::boot_id();

    let mut header = part();
    header.resize(size_of::<RawHeader>(), 0);
    let Ok(mut raw) = RawHeader::read_from_bytes(&header) else { return Ok(()) };
    (raw.magic, raw.version, raw.boot) = (MAGIC, U32::new(VERSION), boot);
    raw.crc = U32::new(raw.checksum());
    put(raw.as_bytes(), 0)?;

    let mut entry = part();
    entry.resize(entry.len().max(size_of::<RawLog>()), 0);
    let run = StoredRunId([7; 16]);
    if let Ok((mut raw, path)) = RawLog::read_from_prefix(&entry) {
        let path = &path[..path.len().min(PATH_BYTES_MAX)];
        (raw.run, raw.path_bytes) = (run.0, U16::new(path.len() as u16));
        if raw.state.get() & UNSEALED == 0 {
            raw.state = U32::new(LOG_OPEN);
            raw.crc = U32::new(raw.checksum(path));
        } else {
            raw.state = U32::new(raw.state.get() & !UNSEALED);
        }
        put(&[raw.as_bytes(), path].concat(), LOGS_OFFSET)?;
    }

    let mut definitions = part();
    let mut at = 0;
    while let Some(bytes) = definitions.get_mut(at..)
        && let Ok((raw, payload)) = RawDefinition::mut_from_prefix(bytes)
        && let Some(payload) = payload.get(..raw.bytes.get() as usize)
    {
        raw.crc = U32::new(checksum(payload));
        at += size_of::<RawDefinition>() + padded(payload.len());
    }
    put(&definitions, DEFINITIONS_OFFSET)?;

    let mut slots = part();
    let mut at = 0;
    while let Some(bytes) = slots.get_mut(at..)
        && let Ok((raw, _)) = RawSlot::mut_from_prefix(bytes)
    {
        raw.sizes_crc = U32::new(raw.sizes_checksum());
        raw.state = U32::new(SLOT_USED);
        // A name that is too long is refused in any case.
        raw.crc = U32::new(raw.checksum().unwrap_or_default());
        let next =
            slot_bytes(raw.window_bytes.get(), raw.reserve_bytes.get()).and_then(|bytes| usize::try_from(bytes).ok());
        at = next.and_then(|bytes| at.checked_add(bytes)).unwrap_or(usize::MAX);
    }
    put(&slots, SLOTS_OFFSET)?;
    // The ends of what is there, unless the header has others.
    file.set_len(SLOTS_OFFSET + (slots.len() as u64).max(16 * SLOT_HEADER_BYTES))?;
    let link = Link { run, boot, path: path.to_owned() };
    link.write(&OpenDirectory::open(log)?).map_err(io::Error::other)
}

#[cfg(unix)]
pub(super) fn set_owner_only(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
pub(super) fn set_owner_only(_file: &File) -> io::Result<()> {
    Ok(())
}
