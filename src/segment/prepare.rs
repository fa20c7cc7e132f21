//! Segment files made ahead of their use, on a thread of their own.
//!
//! A durable write into a block that was written before costs half of one into fresh space, so each file is reserved
//! and filled with zeros before the writer gets it. The thread alone creates, fills, names and syncs a file; it hands it
//! over after its last write has returned and never touches it again, except to cut it once the writer has left it.
//!
//! What takes time and can wait is done here too: removing the segments that are not wanted any more, see [`Archive`].
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | retain asked | the writer's swap of `retain_asked` | the thread's swap of it | `newest` |

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::buffer::AlignedBuffer;
use crate::error::{Error, Result, is_want_of_room};
use crate::format::{GRID_BYTES, SPARE_FILE, segment_file_name};
use crate::sync::lock;
use crate::sys;

use super::archive::Archive;
use super::lock::{LogLock, SharedLock};

/// How much is filled between two looks at whether the writer is in a hurry: a tenth of a millisecond of a fast disk,
/// some of a slow one. A larger buffer fills no faster, and is seen in the memory of the process.
const CHUNK_BYTES: usize = 256 << 10;

/// The part of the free space that one segment may take.
const FREE_SPACE_SHARE: u64 = 8;

/// How often segments are looked at that only time makes unwanted.
const AGING_INTERVAL: Duration = Duration::from_secs(60);

/// Segments removed at the most while `close` waits: the next open goes on with the rest.
const REMOVED_AT_END_MAX: usize = 32;

/// A file ready for blocks.
pub(crate) struct Prepared {
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    pub(crate) index: u64,
    /// Its size: what the file system had to give of what was asked for.
    pub(crate) bytes: u64,
    /// Why it is less than it should be, if it is.
    pub(crate) shortfall: Option<String>,
}

impl Prepared {
    /// Takes away a file that was not used. One that somebody has deleted may have made room for another's.
    pub(crate) fn discard(self) {
        if !sys::file::is_deleted(&self.file) {
            let _ = fs::remove_file(self.path);
        }
    }
}

/// A file that the writer has left, all its writes durable.
pub(crate) struct Left {
    pub(crate) file: Arc<File>,
    pub(crate) used_bytes: u64,
}

impl Left {
    /// Cuts the file to what is used. One that cannot be cut keeps its zeros, which readers pass over: that costs space,
    /// not records.
    pub(crate) fn cut(&self) {
        let _ = self.file.set_len(self.used_bytes);
    }
}

enum Order {
    Make { index: u64, bytes: u64, bytes_min: u64 },
    Cut(Left),
    Retain,
}

/// What the writer tells the thread while that is at work. All but _retain asked_ are Relaxed: hints, looked at again
/// and again.
struct Signals {
    /// The writer needs the file that is being filled.
    hurry: AtomicBool,
    /// An order for a file has not been begun yet: removing can wait.
    make_waits: AtomicBool,
    /// No more orders come.
    ending: AtomicBool,
    /// Whoever ended the run does not wait: nothing may be removed any more, since the lock may be another's.
    abandoned: AtomicBool,
    /// A [`Order::Retain`] is on its way: one is enough.
    retain_asked: AtomicBool,
    /// The last segment that holds something durable. It only grows; an earlier value keeps more.
    newest: AtomicU64,
}

/// The writer's side of the thread.
pub(crate) struct Preparer {
    /// `None` only while being dropped.
    orders: Option<Sender<Order>>,
    made: Receiver<Result<Prepared>>,
    notes: Receiver<String>,
    signals: Arc<Signals>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    /// Starts the thread for the log in `directory`, whose newest segment with something durable is `newest`.
    ///
    /// # Errors
    /// The operating system's, if it has no thread to give.
    pub(super) fn start(
        directory: PathBuf,
        lock: SharedLock,
        newest: u64,
        direct: bool,
        archive: Archive,
    ) -> io::Result<Preparer> {
        let (orders, received) = channel();
        let (results, made) = channel();
        let (said, notes) = channel();
        let signals = Arc::new(Signals {
            hurry: AtomicBool::new(false),
            make_waits: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            retain_asked: AtomicBool::new(false),
            newest: AtomicU64::new(newest),
        });
        let workshop = Workshop { directory, lock, direct, signals: Arc::clone(&signals), archive, notes: said };
        let thread = std::thread::Builder::new()
            .name("diolog-segments".into())
            .spawn(move || workshop.run(&received, &results))?;
        Ok(Preparer { orders: Some(orders), made, notes, signals, thread: Some(thread) })
    }

    /// Asks for the file of segment `index` with `bytes`, and no fewer than `bytes_min` however little space there is.
    pub(crate) fn ask(&self, index: u64, bytes: u64, bytes_min: u64) {
        self.signals.hurry.store(false, Ordering::Relaxed);
        self.signals.make_waits.store(true, Ordering::Relaxed);
        self.order(Order::Make { index, bytes, bytes_min });
    }

    /// Asks for the file as it is: the thread stops after the chunk in hand.
    pub(crate) fn hurry(&self) {
        self.signals.hurry.store(true, Ordering::Relaxed);
    }

    /// The file asked for, or why there is none, once that is known.
    pub(crate) fn poll(&self) -> Option<Result<Prepared>> {
        self.made.try_recv().ok()
    }

    /// Waits for the file asked for; after `patience` it is taken as it is.
    ///
    /// # Errors
    /// Those of making it.
    pub(crate) fn wait(&self, patience: Duration) -> Result<Prepared> {
        let gone = || Error::io("prepare a segment in", "the log".as_ref(), io::ErrorKind::Other.into());
        if let Ok(made) = self.made.recv_timeout(patience) {
            return made;
        }
        self.hurry();
        self.made.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Cuts a file that the writer has left.
    pub(crate) fn cut(&self, left: Left) {
        self.order(Order::Cut(left));
    }

    /// Has all that is not wanted removed; segment `newest` and those behind it stay.
    pub(crate) fn retain(&self, newest: u64) {
        self.signals.newest.store(newest, Ordering::Relaxed);
        // Release "retain asked".
        if !self.signals.retain_asked.swap(true, Ordering::AcqRel) {
            self.order(Order::Retain);
        }
    }

    /// As [`Preparer::retain`], with the newest segment as it was told last.
    pub(crate) fn retain_again(&self) {
        self.retain(self.signals.newest.load(Ordering::Relaxed));
    }

    /// What there is to say of removing since the last call.
    pub(crate) fn take_notes(&self) -> impl Iterator<Item = String> {
        self.notes.try_iter()
    }

    /// Lets the thread go without waiting for it: the kernel may hold it in a write.
    pub(crate) fn abandon(mut self) {
        self.signals.abandoned.store(true, Ordering::Relaxed);
        self.thread = None;
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only when this sender is gone.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Preparer {
    /// Waits until all orders are done, and takes away a file that nobody asked for any more.
    fn drop(&mut self) {
        self.hurry();
        self.signals.ending.store(true, Ordering::Relaxed);
        self.orders = None;
        let Some(thread) = self.thread.take() else { return };
        let _ = thread.join();
        while let Ok(made) = self.made.try_recv() {
            if let Ok(unused) = made {
                unused.discard();
            }
        }
    }
}

/// What the thread knows.
struct Workshop {
    directory: PathBuf,
    lock: SharedLock,
    direct: bool,
    signals: Arc<Signals>,
    archive: Archive,
    notes: Sender<String>,
}

impl Workshop {
    /// Follows orders until no more can come.
    fn run(mut self, orders: &Receiver<Order>, results: &Sender<Result<Prepared>>) {
        let (mut begun, mut tidy) = (false, true);
        while let Some(order) = self.next_order(orders, tidy) {
            let log_lock = Arc::clone(&self.lock);
            // While this is held, nobody else writes the log; without it, somebody may.
            let mut log_lock = lock(&log_lock);
            let Some(held) = log_lock.as_mut().filter(|_| !self.signals.abandoned.load(Ordering::Relaxed)) else {
                return;
            };
            match order {
                Order::Make { index, bytes, bytes_min } => {
                    self.signals.make_waits.store(false, Ordering::Relaxed);
                    let made = held.renew(&self.directory).and_then(|()| {
                        // `open` waits for the run's first file: what is too much then is removed right after it.
                        if std::mem::replace(&mut begun, true) {
                            self.make_room(bytes);
                        }
                        self.make(index, bytes, bytes_min)
                    });
                    if made.is_ok() {
                        self.archive.add(index);
                    }
                    if results.send(made).is_err() {
                        return;
                    }
                }
                Order::Cut(left) => left.cut(),
                Order::Retain => tidy = self.tidy(held),
            }
            for note in self.archive.take_notes() {
                let _ = self.notes.send(note);
            }
        }
        let log_lock = Arc::clone(&self.lock);
        if let Some(held) = lock(&log_lock).as_mut().filter(|_| !tidy) {
            // What was interrupted for a file that nobody waits for any more.
            self.tidy(held);
        }
    }

    /// The next thing to do. Where removing was interrupted (not `tidy`), that goes on when nothing else is to be done;
    /// where segments age, it is done now and then.
    fn next_order(&self, orders: &Receiver<Order>, tidy: bool) -> Option<Order> {
        if !tidy {
            return match orders.try_recv() {
                Ok(order) => Some(order),
                Err(TryRecvError::Empty) => Some(Order::Retain),
                Err(TryRecvError::Disconnected) => None,
            };
        }
        if !self.archive.ages() {
            return orders.recv().ok();
        }
        match orders.recv_timeout(AGING_INTERVAL) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => Some(Order::Retain),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Removes what is not wanted any more. `false` where something else comes first.
    fn tidy(&mut self, held: &mut LogLock) -> bool {
        let Workshop { signals, archive, .. } = self;
        // Acquire "retain asked".
        signals.retain_asked.swap(false, Ordering::AcqRel);
        if held.renew(&self.directory).is_err() {
            // The directory is gone, or another logger's: there is nothing of ours to remove.
            return true;
        }
        let newest = signals.newest.load(Ordering::Relaxed);
        let waits = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let interrupted = || (waits(&signals.make_waits) && !waits(&signals.ending)) || waits(&signals.abandoned);
        archive.retire(newest, 0, |removed| interrupted() || (waits(&signals.ending) && removed >= REMOVED_AT_END_MAX))
            && archive.sweep(|| interrupted() || waits(&signals.ending))
    }

    /// Makes room for a file of `bytes` within the limits, before it is there.
    fn make_room(&mut self, bytes: u64) {
        let Workshop { signals, archive, .. } = self;
        let newest = signals.newest.load(Ordering::Relaxed);
        archive.retire(newest, bytes, |_| {
            [&signals.ending, &signals.abandoned, &signals.hurry].iter().any(|flag| flag.load(Ordering::Relaxed))
        });
    }

    /// Makes a file that is reserved and zero-written as far as space and time allow, under its final name, durably.
    fn make(&self, index: u64, bytes: u64, bytes_min: u64) -> Result<Prepared> {
        let spare = self.directory.join(SPARE_FILE);
        let path = self.directory.join(segment_file_name(index));
        let made = self.fill(&spare, bytes, bytes_min).and_then(|(file, bytes, shortfall)| {
            // A rename would replace a file of that name: only one that is not there may be made.
            if path.exists() {
                let source = io::ErrorKind::AlreadyExists.into();
                return Err(Error::io("prepare", &path, source));
            }
            fs::rename(&spare, &path).map_err(|source| Error::io("name", &path, source))?;
            if let Err(source) = sys::file::sync_directory(&self.directory) {
                // A name that a power cut may take away is none.
                let _ = fs::remove_file(&path);
                return Err(Error::io("sync the directory", &self.directory, source));
            }
            Ok(Prepared { file: Arc::new(file), path, index, bytes, shortfall })
        });
        if made.is_err() {
            let _ = fs::remove_file(&spare);
        }
        made
    }

    /// Creates, reserves and zero-writes the file; gives it back open for blocks, with its size.
    fn fill(&self, spare: &Path, bytes: u64, bytes_min: u64) -> Result<(File, u64, Option<String>)> {
        let _ = fs::remove_file(spare);
        let file =
            sys::file::create_to_fill(spare, self.direct).map_err(|source| Error::io("create", spare, source))?;
        let mut size = self.affordable(bytes, bytes_min);
        let mut shortfall = None;
        while let Err(error) = sys::file::preallocate(&file, size) {
            // The file system keeps what it got: give that back before asking for less.
            let _ = file.set_len(0);
            shortfall = Some(format!("cannot reserve {size} bytes for a segment: {error}"));
            if !is_want_of_room(&error) || size / 2 < bytes_min {
                // Without space in advance the file grows as it is written.
                size = bytes_min;
                break;
            }
            size = (size / 2).next_multiple_of(GRID_BYTES as u64);
        }
        if let Err(error) = self.write_zeros(&file, size) {
            shortfall = Some(format!("cannot write zeros to a segment in advance: {error}"));
        }
        if let Err(error) = file.sync_all() {
            // The zeros are lost, or not all of them: blocks are written durably all the same.
            shortfall = Some(format!("cannot sync a segment made ready: {error}"));
        }
        drop(file);
        let file = sys::file::open_prepared(spare, self.direct).map_err(|source| Error::io("open", spare, source))?;
        Ok((file, size, shortfall))
    }

    /// As much as asked for, as far as free space and the process's file size limit allow.
    fn affordable(&self, bytes: u64, bytes_min: u64) -> u64 {
        let share = sys::file::free_bytes(&self.directory).map_or(bytes, |free| free / FREE_SPACE_SHARE);
        let limit = sys::file::file_size_limit().unwrap_or(u64::MAX);
        let grid = GRID_BYTES as u64;
        bytes.min(share).max(bytes_min).min(limit) / grid * grid
    }

    /// Writes zeros until the end, or until the writer is in a hurry.
    fn write_zeros(&self, file: &File, size: u64) -> io::Result<()> {
        let zeros = AlignedBuffer::new(CHUNK_BYTES, 0)?;
        let mut at = 0;
        while at < size && !self.signals.hurry.load(Ordering::Relaxed) {
            let length = (size - at).min(CHUNK_BYTES as u64) as usize;
            match sys::file::write_at(file, &zeros[..length], at) {
                // A short write is followed by one that says why, or by none that helps.
                Ok(written) if written >= GRID_BYTES => at += (written / GRID_BYTES * GRID_BYTES) as u64,
                Ok(_) => return Err(io::ErrorKind::StorageFull.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
