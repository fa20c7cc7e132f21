//! The orders of a log to the thread that prepares its segments, and the signals between the two. No I/O.
//!
//! [`preparer`](super::preparer) sends the orders, [`work`](super::work) carries them out.
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | retain asked | the writer's swap of `retain_asked` | the thread's swap of it | `newest` |

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use crate::error::Result;
use crate::sys::directory::OpenDirectory;

use super::archive::RemovalProgress;
use super::fill::{LeftFile, NamedFile, Prepared, Wanted};

/// How many segments are removed at most while a log ends. The next open removes the rest.
const REMOVED_AT_END_MAX: usize = 32;

/// How many bytes of zeros are read at most from the ends of segments while a log ends.
const READ_AT_END_MAX: u64 = 256 << 20;

/// The same limits while other logs wait, for a fraction of a second.
const REMOVED_IN_TURN_MAX: usize = 8;
const READ_IN_TURN_MAX: u64 = 16 << 20;

/// An order. A log's orders are carried out one after the other.
pub(super) enum Order {
    Make {
        index: u64,
        wanted: Wanted,
    },
    Cut(LeftFile),
    /// Remove a file that was prepared and not used.
    Remove(NamedFile),
    Retain,
}

/// Other work to do in the log's directory, before all orders. It gets an error if the directory is gone. It may return
/// a note for the log.
pub(super) type Job = Box<dyn FnOnce(Result<&OpenDirectory>) -> Option<String> + Send>;

/// The end of a run. It comes after all orders.
pub(super) struct End {
    /// The present segment, if it is to be cut.
    pub(super) present: Option<LeftFile>,
    /// The next segment, if it was ready.
    pub(super) unused: Option<NamedFile>,
    /// May hold a file that was made and not taken.
    pub(super) made: Receiver<Result<Prepared>>,
    /// Called last, when the log can be opened again.
    pub(super) then: Box<dyn FnOnce() + Send>,
}

/// How long the thread may take for its work. Each case allows less than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// The writer waits for nothing.
    Unhurried,
    /// The writer needs the file that is being made, even with zeros missing.
    Hurried,
    /// The run ends: no more orders come.
    Ending,
    /// The run has ended and did not wait. Nothing may be changed any more: another logger may have the lock.
    Abandoned,
}

/// Signals from the writer to the thread while it works. All except _retain asked_ are Relaxed: they are hints, and are
/// read repeatedly.
pub(super) struct Signals {
    /// A [`Pace`].
    pace: AtomicU8,
    /// An order for a file waits, so removals are interrupted.
    pub(super) make_waits: AtomicBool,
    /// An [`Order::Retain`] has been sent and has not begun. A second one is not needed.
    retain_asked: AtomicBool,
    /// The last segment with durable data. It only grows; an outdated value keeps more.
    newest: AtomicU64,
}

impl Signals {
    /// The signals of a log whose newest segment is `newest`.
    pub(super) fn new(newest: u64) -> Signals {
        Signals {
            pace: AtomicU8::new(Pace::Unhurried as u8),
            make_waits: AtomicBool::new(false),
            retain_asked: AtomicBool::new(false),
            newest: AtomicU64::new(newest),
        }
    }

    pub(super) fn set_pace(&self, pace: Pace) {
        self.pace.store(pace as u8, Ordering::Relaxed);
    }

    pub(super) fn pace(&self) -> Pace {
        const PACES: [Pace; 4] = [Pace::Unhurried, Pace::Hurried, Pace::Ending, Pace::Abandoned];
        PACES[usize::from(self.pace.load(Ordering::Relaxed))]
    }

    /// The last segment with durable data.
    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Notes the last segment with durable data, and that retention is asked for. Returns `true` if it was not asked
    /// for already.
    pub(super) fn ask_to_retain(&self, newest: u64) -> bool {
        self.newest.store(newest, Ordering::Relaxed);
        // Release: _retain asked_.
        !self.retain_asked.swap(true, Ordering::AcqRel)
    }

    /// Notes that retention begins.
    pub(super) fn begin_to_retain(&self) {
        // Acquire: _retain asked_.
        self.retain_asked.swap(false, Ordering::AcqRel);
    }

    /// Whether to stop filling a file with zeros, or removing segments to make room for one.
    pub(super) fn stops_making(&self) -> bool {
        self.pace() >= Pace::Hurried
    }

    /// Whether to stop removing segments that are not kept. `others_wait` if the thread has work for another log.
    pub(super) fn stops_removing(&self, progress: RemovalProgress, others_wait: bool) -> bool {
        let is_beyond = |removed, bytes| progress.removed >= removed || progress.read_bytes > bytes;
        match self.pace() {
            Pace::Unhurried | Pace::Hurried => {
                self.make_waits.load(Ordering::Relaxed)
                    || (others_wait && is_beyond(REMOVED_IN_TURN_MAX, READ_IN_TURN_MAX))
            }
            Pace::Ending => is_beyond(REMOVED_AT_END_MAX, READ_AT_END_MAX),
            Pace::Abandoned => true,
        }
    }

    /// Whether to stop searching for unused files. The search takes long, and the next open can do it.
    pub(super) fn stops_sweeping(&self, others_wait: bool) -> bool {
        others_wait || self.pace() >= Pace::Ending || self.stops_removing(RemovalProgress::default(), false)
    }
}
