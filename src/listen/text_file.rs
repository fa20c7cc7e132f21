//! A listener that writes records as lines of text to files, for tools that read only text.
//!
//! `files` renames full files. Records that cannot be written are counted; the log has them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::files;
use super::line;
use super::listener::Listener;
use super::record::{LiveRecord, Missed};
use crate::error::{Error, Result};
use crate::grouped::counted;
use crate::sync::lock;

/// The size of a full file by default.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How many files are kept by default.
const FILES_MAX: u32 = 5;

/// Lines are collected up to this many bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// How often to check the file's name: another program may have renamed or removed the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Writes records as lines to a text file, and begins a new file when that one is full.
///
/// A line looks as `diolog cat` prints it, with the time in UTC: see [`LiveRecord::write_line`]. Lines are written when
/// no more records wait. They are not made durable: they may be lost in a power cut.
///
/// When the file is full, `orders.log` is renamed to `orders.log.1`, the former `orders.log.1` to `orders.log.2`, and
/// so on; the last one is removed. A new file gets the permission bits of the one before; only the owner may read the
/// first one. If another program renames or removes the file, as logrotate does, a new one is begun within a second of
/// the next record.
///
/// If the disk is full or fails, lines are [lost](TextFileListener::lost). When lines can be written again, a line says
/// how many were lost. This does not affect the log itself, unless it is on the same disk.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("diolog-text-doc-{}", std::process::id()));
/// # std::fs::create_dir(&directory)?;
/// use std::sync::Arc;
///
/// use diolog::{Config, Level, Logger, TextFileListener};
///
/// let text = TextFileListener::open(directory.join("orders.log"))?.file_bytes_max(16 << 20).files_max(3);
/// let logger = Logger::open(Config::new(directory.join("orders")).listener(Level::Info, Arc::new(text)))?;
/// logger.log(Level::Info, "order 42 filled");
/// logger.close()?;
/// let text = std::fs::read_to_string(directory.join("orders.log"))?;
/// assert!(text.ends_with(" order 42 filled\n"));
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(())
/// # }
/// ```
pub struct TextFileListener {
    path: PathBuf,
    file_bytes_max: u64,
    files_max: u32,
    lost: AtomicU64,
    open: Mutex<Open>,
}

/// The present file, and the lines for it.
struct Open {
    file: File,
    bytes: u64,
    /// The next file begins at this size.
    full_at: u64,
    /// Whether the file ends within a line.
    is_amid_line: bool,
    buffer: Vec<u8>,
    /// Records in the buffer.
    buffered: u64,
    /// Records that were lost since a line was last written.
    lost: u64,
    looked_at: Instant,
}

impl TextFileListener {
    /// Opens the file at `path`, and creates it if it does not exist. Lines are appended to it. By default a full file
    /// has 64 MiB, and five files are kept.
    ///
    /// # Errors
    /// The file cannot be opened for reading and writing.
    pub fn open(path: impl Into<PathBuf>) -> Result<TextFileListener> {
        let path = path.into();
        let opened = open(&path).and_then(|file| Open::new(file, FILE_BYTES_MAX));
        let open = opened.map_err(|error| Error::io("write", &path, error))?;
        let (file_bytes_max, files_max) = (FILE_BYTES_MAX, FILES_MAX);
        Ok(TextFileListener { path, file_bytes_max, files_max, lost: AtomicU64::new(0), open: Mutex::new(open) })
    }

    /// Sets the size at which a file is full, at least 4096 bytes. A longer line gets a file of its own.
    #[must_use]
    pub fn file_bytes_max(mut self, bytes: u64) -> TextFileListener {
        self.file_bytes_max = bytes.max(4096);
        lock(&self.open).full_at = self.file_bytes_max;
        self
    }

    /// Sets how many files are kept, including the present one: at least 1. With 1, a full file is removed.
    #[must_use]
    pub fn files_max(mut self, files: u32) -> TextFileListener {
        self.files_max = files.max(1);
        self
    }

    /// Records whose lines could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Adds a line, which stands for `records` records. Writes the buffer if it is large enough.
    fn add(&self, records: u64, make: impl FnOnce(&mut Vec<u8>)) {
        let mut open = lock(&self.open);
        let start = open.buffer.len();
        make(&mut open.buffer);
        open.buffer.push(b'\n');
        let line_bytes = (open.buffer.len() - start) as u64;
        let bytes = open.bytes + open.buffer.len() as u64;
        if bytes > open.full_at && bytes > line_bytes {
            let line = open.buffer.split_off(start);
            self.write(&mut open);
            self.begin_file(&mut open);
            open.buffer = line;
        }
        open.buffered += records;
        if open.buffer.len() >= BUFFER_BYTES {
            self.write(&mut open);
        }
    }

    /// Writes the buffer. If that fails, its records are lost.
    fn write(&self, open: &mut Open) {
        if !open.buffer.is_empty() && open.write().is_err() {
            self.lost.fetch_add(open.buffered, Relaxed);
            open.lost += open.buffered;
        }
        open.buffer.clear();
        open.buffered = 0;
    }

    /// Begins a new file. If that fails, the present one is used for as many bytes again.
    fn begin_file(&self, open: &mut Open) {
        let next = files::make_room(&self.path, self.files_max).and_then(|()| self.reopen(open));
        if next.is_err() {
            open.full_at = open.bytes.saturating_add(self.file_bytes_max);
        }
    }

    /// Opens the file at the path. A new one gets the permissions of the present one.
    fn reopen(&self, open: &mut Open) -> io::Result<()> {
        let file = self::open(&self.path)?;
        if file.metadata()?.len() == 0 {
            // If this fails, only the owner may read the new file.
            let _ = open.file.metadata().and_then(|old| file.set_permissions(old.permissions()));
        }
        let lost = open.lost;
        *open = Open::new(file, self.file_bytes_max)?;
        open.lost = lost;
        Ok(())
    }
}

/// Opens the file, or creates it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Open {
    fn new(mut file: File, full_at: u64) -> io::Result<Open> {
        let bytes = file.metadata()?.len();
        let mut last = [b'\n'];
        if bytes > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let (is_amid_line, looked_at) = (last != [b'\n'], Instant::now());
        Ok(Open { file, bytes, full_at, is_amid_line, buffer: Vec::new(), buffered: 0, lost: 0, looked_at })
    }

    /// Writes the buffer. Before it, ends a line that was cut short, and says how many lines were lost.
    fn write(&mut self) -> io::Result<()> {
        let mut before = Vec::new();
        if self.is_amid_line {
            before.push(b'\n');
        }
        if self.lost > 0 {
            line::note(&format!("{} could not be written", counted(self.lost, "record")), false, &mut before);
            before.push(b'\n');
        }
        self.write_all(&before)?;
        self.lost = 0;
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write_all(&buffer);
        self.buffer = buffer;
        written
    }

    /// Like `write_all` of the file, but keeps track of the file's end if a write is cut short.
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.bytes += written as u64;
                    self.is_amid_line = bytes[written - 1] != b'\n';
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Listener for TextFileListener {
    fn record(&self, record: &LiveRecord<'_>) {
        self.add(1, |out| line::line(record, false, out));
    }

    fn missed(&self, missed: &Missed<'_>) {
        self.add(0, |out| line::note(&missed.to_string(), false, out));
    }

    fn flush(&self) {
        let mut open = lock(&self.open);
        if !open.buffer.is_empty() && open.looked_at.elapsed() >= LOOK_EVERY {
            open.looked_at = Instant::now();
            if !files::is_named(&open.file, &self.path) {
                let (buffer, buffered) = (std::mem::take(&mut open.buffer), open.buffered);
                // If it cannot be opened, lines go to the old file, which has no name.
                let _ = self.reopen(&mut open);
                (open.buffer, open.buffered) = (buffer, buffered);
            }
        }
        self.write(&mut open);
    }
}

impl fmt::Debug for TextFileListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TextFileListener { path, file_bytes_max, files_max, .. } = self;
        f.debug_struct("TextFileListener")
            .field("path", path)
            .field("file_bytes_max", file_bytes_max)
            .field("files_max", files_max)
            .finish_non_exhaustive()
    }
}
