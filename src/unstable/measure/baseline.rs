//! The baseline of sustained logging: bare rings into a file, and nothing else.
//!
//! Slots have a fixed size; there is no clock, no checksum, no account of losses. One thread copies the slots of all
//! rings into a buffer of 1 MiB and writes it with `O_DIRECT | O_DSYNC`, one write after the other, into a file that
//! has been written before (the state in which the disk is fastest). Waiting sides spin, then yield, then sleep, as
//! those of a log do.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::{Backoff, CachePadded};

use super::MESSAGE_BYTES;
use crate::buffer::ALIGNMENT_BYTES;
use crate::sys::write::{grain, write_whole};

/// A message and its length.
pub(super) const SLOT_BYTES: usize = 8 + MESSAGE_BYTES;

const SLOT_WORDS: usize = SLOT_BYTES / 8;

/// About a mebibyte, like the ring of a producer.
const SLOTS: u64 = 1 << 14;

/// Bytes of a write.
pub(super) const WRITE_BYTES: usize = 1 << 20;

/// How long a waiting side sleeps at a time, after spinning and yielding.
const SLEEP: Duration = Duration::from_micros(50);

/// One producer's ring.
pub(super) struct BareRing {
    words: Box<[AtomicU64]>,
    written: CachePadded<AtomicU64>,
    read: CachePadded<AtomicU64>,
    /// The producer pushes no more.
    ended: AtomicBool,
    /// The consumer takes no more.
    given_up: AtomicBool,
}

impl BareRing {
    pub(super) fn new() -> BareRing {
        let words = (0..SLOTS as usize * SLOT_WORDS).map(|_| AtomicU64::new(0)).collect();
        BareRing {
            words,
            written: CachePadded::default(),
            read: CachePadded::default(),
            ended: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        }
    }

    /// Pushes `message` `count` times, waiting for space if the ring is full, and ends. Ends early if the consumer has
    /// given up.
    pub(super) fn push_all(&self, message: &[u8], count: u64) {
        let mut read = 0;
        for written in 0..count {
            let backoff = Backoff::new();
            while written - read == SLOTS {
                read = self.read.load(Ordering::Acquire);
                if written - read == SLOTS {
                    if self.given_up.load(Ordering::Relaxed) {
                        return;
                    }
                    wait(&backoff);
                }
            }
            let slot = self.slot(written);
            slot[0].store(message.len() as u64, Ordering::Relaxed);
            for (word, bytes) in slot[1..].iter().zip(message.chunks_exact(8)) {
                let bytes = bytes.try_into().expect("chunks of 8");
                word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
            }
            self.written.store(written + 1, Ordering::Release);
        }
        self.ended.store(true, Ordering::Release);
    }

    fn slot(&self, number: u64) -> &[AtomicU64] {
        let at = (number % SLOTS) as usize * SLOT_WORDS;
        &self.words[at..at + SLOT_WORDS]
    }

    /// Moves slots into `out`, as many as fit. Returns the bytes taken, and whether the ring is empty for good.
    fn take(&self, read: &mut u64, out: &mut [u8]) -> (usize, bool) {
        let ended = self.ended.load(Ordering::Acquire);
        let written = self.written.load(Ordering::Acquire);
        let count = (written - *read).min((out.len() / SLOT_BYTES) as u64);
        for (slot, number) in out.chunks_exact_mut(SLOT_BYTES).zip(*read..*read + count) {
            for (bytes, word) in slot.chunks_exact_mut(8).zip(self.slot(number)) {
                bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
        }
        *read += count;
        self.read.store(*read, Ordering::Release);
        (count as usize * SLOT_BYTES, ended && *read == written)
    }
}

/// Moves everything that is pushed into `rings` to `file`, until the last ring has ended. Returns the bytes written.
///
/// # Errors
/// The operating system's, of the first write that failed.
pub(super) fn drain_into(rings: &[BareRing], file: &File) -> io::Result<u64> {
    let drained = drain_all(rings, file);
    for ring in rings {
        ring.given_up.store(true, Ordering::Relaxed);
    }
    drained
}

fn drain_all(rings: &[BareRing], file: &File) -> io::Result<u64> {
    let mut memory = AlignedMemory::new();
    let buffer = memory.bytes();
    let mut read = vec![0; rings.len()];
    let (mut used, mut offset) = (0, 0);
    let mut backoff = Backoff::new();
    loop {
        let mut taken = 0;
        let mut ended = true;
        for (ring, read) in rings.iter().zip(&mut read) {
            let (bytes, ring_ended) = ring.take(read, &mut buffer[used..]);
            used += bytes;
            taken += bytes;
            ended &= ring_ended;
            if WRITE_BYTES - used < SLOT_BYTES {
                write_whole(file, buffer, offset, grain(true))?;
                offset += WRITE_BYTES as u64;
                used = 0;
            }
        }
        if ended {
            let length = used.next_multiple_of(ALIGNMENT_BYTES);
            if length > 0 {
                write_whole(file, &buffer[..length], offset, grain(true))?;
            }
            return Ok(offset + length as u64);
        }
        if taken == 0 {
            wait(&backoff);
        } else {
            backoff = Backoff::new();
        }
    }
}

/// Creates `path`, writes at least `bytes` bytes of zeros, and opens it for [`drain_into`].
///
/// # Errors
/// The operating system's.
pub(super) fn written_file(path: &Path, bytes: u64) -> io::Result<File> {
    let file = open_direct(path)?;
    let mut zeros = AlignedMemory::new();
    for number in 0..bytes.div_ceil(WRITE_BYTES as u64) {
        write_whole(&file, zeros.bytes(), number * WRITE_BYTES as u64, grain(true))?;
    }
    file.sync_all()?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    // A file system without direct I/O gets synchronous writes, as from a log there.
    options
        .clone()
        .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
        .open(path)
        .or_else(|_| options.custom_flags(libc::O_DSYNC).open(path))
}

#[cfg(not(target_os = "linux"))]
fn open_direct(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn wait(backoff: &Backoff) {
    if backoff.is_completed() {
        std::thread::sleep(SLEEP);
    } else {
        backoff.snooze();
    }
}

/// [`WRITE_BYTES`] of memory, aligned for direct I/O.
struct AlignedMemory(Vec<u8>);

impl AlignedMemory {
    fn new() -> AlignedMemory {
        AlignedMemory(vec![0; WRITE_BYTES + ALIGNMENT_BYTES])
    }

    fn bytes(&mut self) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(ALIGNMENT_BYTES);
        &mut self.0[start..start + WRITE_BYTES]
    }
}
