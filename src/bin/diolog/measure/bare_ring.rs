//! The baseline of sustained logging: bare rings into a file, and nothing else.
//!
//! Slots of fixed size, no clock, no checksum, no account of what was lost; one thread copies what is in the rings into
//! a buffer of 1 MiB and writes it, with `O_DIRECT | O_DSYNC`, into a file that has been written before (the state in
//! which the disk is fastest), one write after the other. Waiting sides spin, then yield, then sleep, as those of a
//! log do.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::{Backoff, CachePadded};

/// Bytes of a message.
pub(crate) const MESSAGE_BYTES: usize = 64;

/// A message and its length.
pub(crate) const SLOT_BYTES: usize = 8 + MESSAGE_BYTES;

const SLOT_WORDS: usize = SLOT_BYTES / 8;

/// About a mebibyte, like the ring of a producer.
const SLOTS: u64 = 1 << 14;

/// Bytes of a write.
pub(crate) const WRITE_BYTES: usize = 1 << 20;

/// Alignment of memory, offset and length of a write.
const GRID_BYTES: usize = 4096;

/// How long a side that waits sleeps at a time, once spinning and yielding did not help.
const SLEEP: Duration = Duration::from_micros(50);

/// One producer's ring.
pub(crate) struct BareRing {
    words: Box<[AtomicU64]>,
    written: CachePadded<AtomicU64>,
    read: CachePadded<AtomicU64>,
    /// The producer will push no more.
    ended: AtomicBool,
    /// Nothing more will be taken.
    given_up: AtomicBool,
}

impl BareRing {
    pub(crate) fn new() -> BareRing {
        let words = (0..SLOTS as usize * SLOT_WORDS).map(|_| AtomicU64::new(0)).collect();
        BareRing {
            words,
            written: CachePadded::default(),
            read: CachePadded::default(),
            ended: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        }
    }

    /// Pushes `message` `count` times, waiting for space where there is none, and ends. Ends early if the other side has
    /// given up.
    pub(crate) fn push_all(&self, message: &[u8], count: u64) {
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

    /// Moves what is in the ring into `out`, as far as it fits. The bytes taken, and whether nothing more will come.
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

/// Moves all that comes through `rings` into `file`, until the last of them has ended. Bytes written.
///
/// # Errors
/// The operating system's, of the first write that failed.
pub(crate) fn drain_into(rings: &[BareRing], file: &File) -> io::Result<u64> {
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
                write_at(file, buffer, offset)?;
                offset += WRITE_BYTES as u64;
                used = 0;
            }
        }
        if ended {
            let length = used.next_multiple_of(GRID_BYTES);
            if length > 0 {
                write_at(file, &buffer[..length], offset)?;
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

/// Creates `path` with at least `bytes` bytes, each of them written, and opens it for [`drain_into`].
///
/// # Errors
/// The operating system's.
pub(crate) fn written_file(path: &Path, bytes: u64) -> io::Result<File> {
    let file = open_direct(path)?;
    let mut zeros = AlignedMemory::new();
    for number in 0..bytes.div_ceil(WRITE_BYTES as u64) {
        write_at(&file, zeros.bytes(), number * WRITE_BYTES as u64)?;
    }
    file.sync_all()?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    // A file system without direct I/O gets the rest of it, as a log there would.
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

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek as _, Write as _};
    file.seek(io::SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

fn wait(backoff: &Backoff) {
    if backoff.is_completed() {
        std::thread::sleep(SLEEP);
    } else {
        backoff.snooze();
    }
}

/// Memory of [`WRITE_BYTES`] that direct I/O takes.
struct AlignedMemory(Vec<u8>);

impl AlignedMemory {
    fn new() -> AlignedMemory {
        AlignedMemory(vec![0; WRITE_BYTES + GRID_BYTES])
    }

    fn bytes(&mut self) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(GRID_BYTES);
        &mut self.0[start..start + WRITE_BYTES]
    }
}
