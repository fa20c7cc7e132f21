//! Logs whose process dies, for tests: a copy of the files as they are, and a ring file with the rings as they are.
//!
//! The logger that wrote them lives on, and is none of the copy's business.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use crate::callsite;
use crate::clock::Clock;
use crate::config::Config;
use crate::crash::layout::{
    CONTROL_OFFSET, DEFINITIONS_OFFSET, FOR_LOG, LOG_OPEN, MAGIC, OVERWRITES, RawDefinition, RawHeader, RawLog,
    RawSlot, SLOT_HEADER_BYTES, SLOT_USED, SLOTS_OFFSET, TICKS_OF_COUNTER, TICKS_OF_MONOTONIC, VERSION, log_offset,
    ring_file_name, slot_bytes,
};
use crate::crash::link::Link;
use crate::format::{Block0, LogId, StoredRunId, checksum, padded, segment_file_name};
use crate::logger::Logger;
use crate::ring::image::CONTROL_BYTES;
use crate::sys;
use crate::sys::directory::OpenDirectory;
use crate::sys::test_directory::directory;

/// A ring, as it is to be in the file.
#[derive(Clone)]
pub(super) struct DeadRing {
    pub(super) producer: u32,
    pub(super) name: String,
    pub(super) window_bytes: u64,
    pub(super) reserve_bytes: u64,
    pub(super) overwrites: bool,
    /// `FOR_LOG` or `FOR_RECORDER`.
    pub(super) purpose: u32,
    pub(super) control: [u8; CONTROL_BYTES],
    pub(super) bytes: Vec<u8>,
}

impl DeadRing {
    fn slot_bytes(&self) -> u64 {
        slot_bytes(self.window_bytes, self.reserve_bytes).expect("possible")
    }
}

/// A log whose process has died.
pub(super) struct Dead {
    _parent: tempfile::TempDir,
    pub(super) log: PathBuf,
    pub(super) rings: PathBuf,
    pub(super) link: Link,
    log_id: LogId,
    pub(super) dead_rings: Vec<DeadRing>,
}

/// A logger that closes no block unless it is told to flush.
pub(super) fn logger(path: &Path) -> Logger {
    Logger::open(config(path)).expect("a log")
}

pub(super) fn config(path: &Path) -> Config {
    Config::new(path)
        .flush_interval(Duration::from_secs(3600))
        .block_bytes(16 << 10)
        .ring_bytes(64 << 10)
        .first_segment_bytes(1 << 20)
        .segment_bytes(1 << 20)
}

/// The rings of a logger's producers, by id.
pub(super) fn rings(logger: &Logger) -> Vec<DeadRing> {
    let ring = |(id, name, ring): (u32, String, std::sync::Arc<crate::ring::Ring>)| {
        let (control, bytes) = ring.bytes();
        let (window_bytes, overwrites) = (ring.window_bytes() as u64, ring.overwrites());
        let reserve_bytes = bytes.len() as u64 - window_bytes;
        let purpose = FOR_LOG;
        DeadRing { producer: id, name, window_bytes, reserve_bytes, overwrites, purpose, control, bytes }
    };
    logger.shared().registry.rings().into_iter().map(ring).collect()
}

impl Dead {
    /// The log at `path` with these rings, as if its process had died now.
    pub(super) fn of(path: &Path, dead_rings: Vec<DeadRing>) -> Dead {
        Dead::in_directory(directory(), path, dead_rings)
    }

    /// The same in memory, if that has a file system.
    pub(super) fn in_memory(path: &Path, dead_rings: Vec<DeadRing>) -> Dead {
        let in_memory = tempfile::Builder::new().prefix("diolog-").tempdir_in("/dev/shm");
        Dead::in_directory(in_memory.unwrap_or_else(|_| directory()), path, dead_rings)
    }

    fn in_directory(parent: tempfile::TempDir, path: &Path, dead_rings: Vec<DeadRing>) -> Dead {
        let (log, rings) = (parent.path().join("log"), parent.path().join("rings"));
        fs::create_dir(&log).expect("a directory");
        fs::create_dir(&rings).expect("a directory");
        for entry in fs::read_dir(path).expect("readable").map(|entry| entry.expect("an entry").path()) {
            if entry.extension().is_some_and(|extension| extension == "dlog") {
                fs::copy(&entry, log.join(entry.file_name().expect("a name"))).expect("copied");
            }
        }
        let first = fs::read(log.join(segment_file_name(1))).unwrap_or_default();
        let header = Block0::read(|offset, out| {
            let bytes = first.get(offset as usize..).unwrap_or_default();
            let count = out.len().min(bytes.len());
            out[..count].copy_from_slice(&bytes[..count]);
            Ok::<_, std::io::Error>(count)
        });
        let (log_id, run) = match header {
            Ok(Block0::Segment { header, .. }) => (header.log, header.run),
            _ => (LogId([7; 16]), StoredRunId([9; 16])),
        };
        let link = Link { run, boot: sys::cpu::boot_id(), path: rings.join(ring_file_name(4711, 2)) };
        let dead = Dead { _parent: parent, log, rings, link, log_id, dead_rings };
        dead.write();
        dead
    }

    /// Writes the ring file and the link, as they were when the process died.
    pub(super) fn write(&self) {
        Dead::write_all(&[self]);
    }

    /// Writes one ring file with the rings of all these logs, which is the first one's, and their links.
    pub(super) fn write_all(all: &[&Dead]) {
        let link = &all[0].link;
        let file = fs::File::create(&link.path).expect("created");
        file.set_permissions(fs::Permissions::from_mode(0o600)).expect("ours");
        // Most of it is a hole.
        let of_slots = all.iter().flat_map(|dead| &dead.dead_rings).map(DeadRing::slot_bytes);
        file.set_len(SLOTS_OFFSET + of_slots.sum::<u64>()).expect("sparse");
        for (at, bytes) in parts(all) {
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, at as u64).expect("written");
        }
        all.iter().for_each(|dead| dead.write_link());
    }

    /// Writes the link alone.
    pub(super) fn write_link(&self) {
        self.link.write(&OpenDirectory::open(&self.log).expect("a directory")).expect("written");
    }

    pub(super) fn remove_link(&self) {
        Link::remove(&OpenDirectory::open(&self.log).expect("a directory"), self.link.run).expect("removed");
    }

    /// A byte of the ring file.
    pub(super) fn byte(&self, at: usize) -> u8 {
        let file = fs::File::open(&self.link.path).expect("there");
        let mut byte = [0];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, at as u64).expect("there");
        byte[0]
    }
}

/// The parts of the ring file, each with its offset.
fn parts(all: &[&Dead]) -> Vec<(usize, Vec<u8>)> {
    let mut parts: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut put = |at: usize, bytes: &[u8]| parts.push((at, bytes.to_vec()));
    let clock = Clock::detect();
    let mut definitions_end = DEFINITIONS_OFFSET as usize;
    for info in (1..).map_while(callsite::definition) {
        let mut payload = Vec::new();
        info.encode(64 << 10, &mut payload);
        let raw = RawDefinition { bytes: U32::new(payload.len() as u32), crc: U32::new(checksum(&payload)) };
        put(definitions_end, raw.as_bytes());
        put(definitions_end + size_of::<RawDefinition>(), &payload);
        definitions_end += size_of::<RawDefinition>() + padded(payload.len());
    }
    let mut slots_end = SLOTS_OFFSET as usize;
    for (index, dead) in (1..).zip(all) {
        let path = dead.log.as_os_str().as_encoded_bytes();
        let mut entry = RawLog {
            state: U32::new(LOG_OPEN),
            crc: U32::ZERO,
            log: dead.log_id.0,
            run: dead.link.run.0,
            block_bytes: U32::new(16 << 10),
            message_bytes_max: U32::new(4096),
            path_bytes: U16::new(path.len() as u16),
            reserved: [0; 6],
        };
        entry.crc = U32::new(entry.checksum(path));
        let at = log_offset(index) as usize;
        put(at, entry.as_bytes());
        put(at + size_of::<RawLog>(), path);
        for ring in &dead.dead_rings {
            let at = slots_end;
            slots_end += ring.slot_bytes() as usize;
            let mut slot = RawSlot {
                window_bytes: U64::new(ring.window_bytes),
                reserve_bytes: U64::new(ring.reserve_bytes),
                sizes_crc: U32::ZERO,
                state: U32::new(SLOT_USED),
                crc: U32::ZERO,
                log: U32::new(index),
                purpose: U32::new(ring.purpose),
                flags: U32::new(if ring.overwrites { OVERWRITES } else { 0 }),
                producer: U32::new(ring.producer),
                tid: U32::new(77),
                name_bytes: U16::new(ring.name.len() as u16),
                reserved: [0; 6],
                name: [0; 256],
            };
            slot.name[..ring.name.len()].copy_from_slice(ring.name.as_bytes());
            slot.sizes_crc = U32::new(slot.sizes_checksum());
            slot.crc = U32::new(slot.checksum().expect("a short name"));
            put(at, slot.as_bytes());
            put(at + CONTROL_OFFSET as usize, &ring.control);
            // Where nothing was written is a hole.
            let (window, reserve) = ring.bytes.split_at(ring.window_bytes as usize);
            put(at + SLOT_HEADER_BYTES as usize, window);
            if !crate::format::is_zero(reserve) {
                put(at + SLOT_HEADER_BYTES as usize + window.len(), reserve);
            }
        }
    }
    let mut header = RawHeader {
        magic: MAGIC,
        version: U32::new(VERSION),
        crc: U32::ZERO,
        boot: all[0].link.boot,
        pid: U32::new(4711),
        clock: U32::new(if clock.is_counter() { TICKS_OF_COUNTER } else { TICKS_OF_MONOTONIC }),
        reserved: [0; 24],
        anchor_version: U64::new(2),
        anchor_ticks: U64::new(clock.ticks()),
        anchor_ns: U64::new(clock.monotonic_ns()),
        definitions_end: U64::new(definitions_end as u64),
        definitions_lost: U64::ZERO,
        slots_end: U64::new(slots_end as u64),
    };
    header.crc = U32::new(header.checksum());
    put(0, header.as_bytes());
    parts
}
