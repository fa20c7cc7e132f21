//! The thread that makes, cuts and removes segment files, so that the writer does not wait for that.
//!
//! The thread alone creates, fills, names and syncs a file (see [`fill`](super::fill)). It hands the file over after
//! its last write has returned, and afterwards only cuts it, once the writer has left it. Between the writer's orders
//! it removes the segments that are not kept (see [`Archive`]). It changes the directory only under the log's lock.
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | retain asked | the writer's swap of `retain_asked` | the thread's swap of it | `newest` |

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::own_thread::{self, Role};
use crate::sync::lock;

use super::archive::{Archive, Progress};
use super::fill::{Left, Maker, Prepared, Wanted};
use super::location::Location;
use super::lock::{LogLock, SharedLock};

/// How often segments are checked that become too old by time alone.
const AGING_INTERVAL: Duration = Duration::from_secs(60);

/// The most segments removed while `close` waits: the next open removes the rest.
const REMOVED_AT_END_MAX: usize = 32;

/// The most bytes of zeros that are read from ends of segments while `close` waits.
const READ_AT_END_MAX: u64 = 256 << 20;

enum Order {
    Make { index: u64, wanted: Wanted },
    Cut(Left),
    Retain,
}

/// How much time the thread may take, by the writer's need. Each case allows less than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    /// The writer does not wait for anything.
    Unhurried,
    /// The writer needs the file that is being made, with or without zeros.
    Hurried,
    /// The run ends, and waits for this thread: no more orders come.
    Ending,
    /// The run has ended without waiting. Nothing may be changed any more: another logger may have the lock.
    Abandoned,
}

/// Signals from the writer to the thread while that is at work. All are Relaxed but _retain asked_: hints, read again
/// and again.
struct Signals {
    /// A [`Pace`].
    pace: AtomicU8,
    /// An order for a file has not been begun yet, so that removing can wait.
    make_waits: AtomicBool,
    /// An [`Order::Retain`] has been sent and not begun: one is enough.
    retain_asked: AtomicBool,
    /// The last segment that holds something durable. It only grows, and an earlier value keeps more.
    newest: AtomicU64,
}

impl Signals {
    fn set_pace(&self, pace: Pace) {
        self.pace.store(pace as u8, Ordering::Relaxed);
    }

    fn pace(&self) -> Pace {
        const PACES: [Pace; 4] = [Pace::Unhurried, Pace::Hurried, Pace::Ending, Pace::Abandoned];
        PACES[usize::from(self.pace.load(Ordering::Relaxed))]
    }

    /// Whether to stop filling a file with zeros, or making room for one.
    fn stops_making(&self) -> bool {
        self.pace() >= Pace::Hurried
    }

    /// Whether to stop removing segments that are not kept.
    fn stops_removing(&self, progress: Progress) -> bool {
        match self.pace() {
            Pace::Unhurried | Pace::Hurried => self.make_waits.load(Ordering::Relaxed),
            Pace::Ending => progress.removed >= REMOVED_AT_END_MAX || progress.read_bytes > READ_AT_END_MAX,
            Pace::Abandoned => true,
        }
    }

    /// Whether to stop searching for files that were never used, which takes long and can be done at the next open.
    fn stops_sweeping(&self) -> bool {
        self.pace() >= Pace::Ending || self.stops_removing(Progress::default())
    }
}

/// The writer's side of the thread.
pub(super) struct Preparer {
    /// The directory's absolute path at open, for messages.
    pub(super) path: PathBuf,
    /// `None` only while being dropped.
    orders: Option<Sender<Order>>,
    made: Receiver<Result<Prepared>>,
    notes: Receiver<String>,
    signals: Arc<Signals>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    /// Starts the thread for the log at `location`, whose newest segment is `newest` (0 if there is none).
    ///
    /// # Errors
    /// The operating system's, if no thread can be started.
    pub(super) fn start(
        location: Arc<Location>,
        lock: SharedLock,
        newest: u64,
        direct: bool,
        archive: Archive,
    ) -> io::Result<Preparer> {
        let (orders, received) = channel();
        let (results, made) = channel();
        let (notes_sender, notes) = channel();
        let signals = Arc::new(Signals {
            pace: AtomicU8::new(Pace::Unhurried as u8),
            make_waits: AtomicBool::new(false),
            retain_asked: AtomicBool::new(false),
            newest: AtomicU64::new(newest),
        });
        let thread = PreparerThread {
            maker: Maker { direct },
            location: Arc::clone(&location),
            lock,
            signals: Arc::clone(&signals),
            archive,
            is_first: true,
            removal_interrupted: false,
            orders: received,
            results,
            notes: notes_sender,
        };
        let thread = std::thread::Builder::new().name("diolog-segments".into()).spawn(move || {
            own_thread::mark(Role::Helper);
            thread.run();
        })?;
        let path = location.directory().path().to_owned();
        Ok(Preparer { path, orders: Some(orders), made, notes, signals, thread: Some(thread) })
    }

    /// Asks for the file of segment `index` with `bytes`, and no fewer than `bytes_min` however little space there is.
    pub(super) fn ask(&self, index: u64, bytes: u64, bytes_min: u64) {
        self.signals.set_pace(Pace::Unhurried);
        self.signals.make_waits.store(true, Ordering::Relaxed);
        self.order(Order::Make { index, wanted: Wanted { bytes, bytes_min } });
    }

    /// Asks for the file as it is: the thread stops after the zeros it is writing.
    pub(super) fn hurry(&self) {
        self.signals.set_pace(Pace::Hurried);
    }

    /// The file asked for, or why there is none; `None` until that is known.
    pub(super) fn poll(&self) -> Option<Result<Prepared>> {
        match self.made.try_recv() {
            Ok(made) => Some(made),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(self.thread_is_gone())),
        }
    }

    /// Waits for the file asked for. After `patience` it is taken as it is.
    ///
    /// # Errors
    /// Those of making it.
    pub(super) fn wait(&self, patience: Duration) -> Result<Prepared> {
        if let Ok(made) = self.made.recv_timeout(patience) {
            return made;
        }
        self.hurry();
        self.made.recv().unwrap_or_else(|_| Err(self.thread_is_gone()))
    }

    /// The thread ends early only after a panic, or if the log has lost its lock.
    fn thread_is_gone(&self) -> Error {
        let source =
            io::Error::other("the thread that prepares segments has ended: please report this as a bug in diolog");
        Error::io("prepare a segment in", &self.path, source)
    }

    /// Orders the cut of a file that the writer has left.
    pub(super) fn cut(&self, left: Left) {
        self.order(Order::Cut(left));
    }

    /// Orders the removal of all segments that the limits do not keep. Segment `newest` and those after it stay.
    pub(super) fn retain(&self, newest: u64) {
        self.signals.newest.store(newest, Ordering::Relaxed);
        // Release: _retain asked_.
        if !self.signals.retain_asked.swap(true, Ordering::AcqRel) {
            self.order(Order::Retain);
        }
    }

    /// As [`Preparer::retain`], with the `newest` of the last call.
    pub(super) fn retain_again(&self) {
        self.retain(self.signals.newest.load(Ordering::Relaxed));
    }

    /// Takes the notes on removing since the last call.
    pub(super) fn take_notes(&self) -> impl Iterator<Item = String> {
        self.notes.try_iter()
    }

    /// Abandons the thread without waiting for it: the kernel may hold it in a write.
    pub(super) fn abandon(mut self) {
        self.signals.set_pace(Pace::Abandoned);
        self.thread = None;
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // If the thread is gone, `poll` returns an error.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Preparer {
    /// Waits until all orders are done, and removes a file that was made and not taken.
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.signals.set_pace(Pace::Ending);
        self.orders = None;
        // A panic there is not this thread's: the run ends all the same.
        let _ = thread.join();
        while let Ok(made) = self.made.try_recv() {
            if let Ok(unused) = made {
                unused.file.remove();
            }
        }
    }
}

/// The thread's side.
struct PreparerThread {
    maker: Maker,
    location: Arc<Location>,
    lock: SharedLock,
    signals: Arc<Signals>,
    archive: Archive,
    /// Whether no file has been made in this run.
    is_first: bool,
    /// Whether something else came before the end of a removal, which goes on when there is nothing else to do.
    removal_interrupted: bool,
    orders: Receiver<Order>,
    results: Sender<Result<Prepared>>,
    notes: Sender<String>,
}

impl PreparerThread {
    /// Follows orders until no more can come, or until the log is not ours any more.
    fn run(mut self) {
        let shared_lock = Arc::clone(&self.lock);
        while let Some(order) = self.next_order() {
            // While this is held, no other logger writes the log; without it, one may.
            let mut log_lock = lock(&shared_lock);
            let Some(log_lock) = log_lock.as_mut().filter(|_| self.signals.pace() < Pace::Abandoned) else { return };
            match order {
                Order::Make { index, wanted } => {
                    self.signals.make_waits.store(false, Ordering::Relaxed);
                    let made = log_lock.renew(&self.location).and_then(|()| self.make(index, wanted));
                    if self.results.send(made).is_err() {
                        return;
                    }
                }
                Order::Cut(left) => left.cut(),
                Order::Retain => self.retain(log_lock),
            }
            for note in self.archive.notes.drain(..) {
                let _ = self.notes.send(note);
            }
        }
        // A file that nobody waits for any more may have interrupted the removal.
        if self.removal_interrupted
            && let Some(log_lock) = lock(&shared_lock).as_mut()
        {
            self.retain(log_lock);
        }
    }

    /// The next thing to do: an order, else the rest of an interrupted removal, else, now and then, segments that have
    /// become too old. `None` when no more orders can come.
    fn next_order(&self) -> Option<Order> {
        if self.removal_interrupted {
            return match self.orders.try_recv() {
                Ok(order) => Some(order),
                Err(TryRecvError::Empty) => Some(Order::Retain),
                Err(TryRecvError::Disconnected) => None,
            };
        }
        // Without a limit on age, no segment becomes too old by time alone.
        if self.archive.limits.age.is_none() {
            return self.orders.recv().ok();
        }
        match self.orders.recv_timeout(AGING_INTERVAL) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => Some(Order::Retain),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Makes the file of segment `index`, and first room for it within the limits.
    fn make(&mut self, index: u64, wanted: Wanted) -> Result<Prepared> {
        let PreparerThread { maker, location, signals, archive, is_first, .. } = self;
        // `open` waits for the run's first file, so segments beyond the limits are removed right after it.
        if !std::mem::replace(is_first, false) {
            let newest = signals.newest.load(Ordering::Relaxed);
            archive.retire(newest, wanted.bytes, |_| signals.stops_making());
        }
        let made = maker.make(location.directory(), index, wanted, || signals.stops_making())?;
        archive.add(index);
        Ok(made)
    }

    /// Removes the segments that are not kept, and files that an earlier run prepared and never used.
    fn retain(&mut self, log_lock: &mut LogLock) {
        let PreparerThread { signals, archive, .. } = self;
        // Acquire: _retain asked_.
        signals.retain_asked.swap(false, Ordering::AcqRel);
        let newest = signals.newest.load(Ordering::Relaxed);
        // If the directory is gone, or another logger's, nothing in it is ours to remove.
        let is_done = log_lock.renew(&self.location).is_err()
            || (archive.retire(newest, 0, |progress| signals.stops_removing(progress))
                && archive.sweep(newest, || signals.stops_sweeping()));
        self.removal_interrupted = !is_done;
    }
}
