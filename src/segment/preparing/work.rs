//! The work of the thread that prepares segments for one log, in short steps.
//!
//! [`threads`](super::threads) chooses whose step comes next. Only this thread creates, fills, names and syncs a file
//! (see [`fill`](super::fill)). It hands the file over after its own last write has returned; later it only cuts it,
//! after the writer has left it. It also removes the segments that are not kept (see [`Archive`]). It changes the
//! directory only under the log's lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sync::lock;

use super::archive::Archive;
use super::fill::{Filling, Prepared, Wanted, Zeros};
use super::orders::{End, Job, Order, Pace, Signals};
use crate::segment::location::LogLocation;
use crate::segment::lock::{LogLock, SharedLock};

/// How often to look for segments that have become too old.
const AGING_INTERVAL: Duration = Duration::from_secs(60);

/// How urgent a log's next step is, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// The writer or `close` waits for it.
    Waited,
    /// It takes only a moment.
    Short,
    /// `open` waits for the run's first file.
    First,
    /// Zeros in advance, or the rest of an interrupted removal.
    Long,
}

/// Whether the log has more to do.
pub(super) enum Step {
    GoesOn,
    /// The run has ended, or this process has lost the log.
    Ended,
}

/// One log, as the thread serves it.
pub(super) struct Work {
    parts: Parts,
    /// Orders to carry out, each with its logical time.
    orders: VecDeque<(u64, Order)>,
    /// Jobs to do before the orders, each with its logical time.
    jobs: VecDeque<(u64, Job)>,
    /// The file that is being made.
    making: Option<Making>,
    /// Whether the run's first file is not made yet.
    is_first: bool,
    /// The logical time of a removal that was interrupted.
    removal_interrupted: Option<u64>,
    /// When to look for segments that have become too old; `None` without a limit on age.
    aging_due: Option<Instant>,
    end: Option<End>,
}

/// A file that is being made, with the logical time of its order.
struct Making {
    ordered: u64,
    index: u64,
    filling: Filling,
}

/// The parts of [`Work`] that its log gives it.
pub(super) struct Parts {
    /// Whether blocks are written with direct I/O.
    pub(super) direct: bool,
    pub(super) location: Arc<LogLocation>,
    pub(super) lock: SharedLock,
    pub(super) signals: Arc<Signals>,
    pub(super) archive: Archive,
    pub(super) notes: Sender<String>,
    pub(super) results: Sender<Result<Prepared>>,
}

impl Work {
    /// A log without orders.
    pub(super) fn new(parts: Parts) -> Work {
        // Without a limit on age, no segment becomes too old.
        let aging_due = parts.archive.limits.age.map(|_| Instant::now() + AGING_INTERVAL);
        Work {
            parts,
            orders: VecDeque::new(),
            jobs: VecDeque::new(),
            making: None,
            is_first: true,
            removal_interrupted: None,
            aging_due,
            end: None,
        }
    }

    /// Adds an order.
    pub(super) fn add(&mut self, ordered: u64, order: Order) {
        self.orders.push_back((ordered, order));
    }

    /// Adds a job.
    pub(super) fn add_job(&mut self, ordered: u64, job: Job) {
        self.jobs.push_back((ordered, job));
    }

    /// Notes that the run ends after the orders so far.
    pub(super) fn end_with(&mut self, end: End) {
        self.end = Some(end);
    }

    /// Takes the end of the run, if it was ordered.
    pub(super) fn take_end(&mut self) -> Option<End> {
        self.end.take()
    }

    /// When there will be work without an order.
    pub(super) fn aging_due(&self) -> Option<Instant> {
        self.aging_due
    }

    /// Orders the removal of segments that have become too old, if it is time to look for them.
    pub(super) fn age(&mut self, now: Instant, ordered: u64) {
        if self.aging_due.is_some_and(|due| due <= now) {
            self.aging_due = Some(now + AGING_INTERVAL);
            self.orders.push_back((ordered, Order::Retain));
        }
    }

    /// Whether there is work other than the rest of a removal.
    pub(super) fn is_waiting(&self) -> bool {
        self.making.is_some() || !self.jobs.is_empty() || !self.orders.is_empty() || self.end.is_some()
    }

    /// How urgent the next step is, and its logical time; `None` if there is nothing to do.
    pub(super) fn urgency(&self) -> Option<(Urgency, u64)> {
        if let Some((ordered, _)) = self.jobs.front() {
            return Some((Urgency::Short, *ordered));
        }
        let (urgency, ordered) = match (&self.making, self.orders.front()) {
            (Some(making), _) => (Urgency::Long, making.ordered),
            (None, Some((ordered, Order::Make { .. }))) => (Urgency::Long, *ordered),
            (None, Some((ordered, _))) => (Urgency::Short, *ordered),
            (None, None) if self.end.is_some() => (Urgency::Waited, 0),
            (None, None) => return self.removal_interrupted.map(|interrupted| (Urgency::Long, interrupted)),
        };
        let urgency = match urgency {
            _ if self.parts.signals.pace() >= Pace::Hurried => Urgency::Waited,
            Urgency::Long if self.is_first => Urgency::First,
            urgency => urgency,
        };
        Some((urgency, ordered))
    }

    /// Does the next step. `others_wait` returns whether another log has work; `ordered` is the logical time now.
    pub(super) fn step(&mut self, zeros: &mut Zeros, ordered: u64, others_wait: &dyn Fn() -> bool) -> Step {
        let shared_lock = Arc::clone(&self.parts.lock);
        // No other logger can write the log while this is held.
        let mut log_lock = lock(&shared_lock);
        let Some(log_lock) = log_lock.as_mut().filter(|_| self.parts.signals.pace() < Pace::Abandoned) else {
            return Step::Ended;
        };
        if let Some((_, job)) = self.jobs.pop_front() {
            let note = match log_lock.renew(&self.parts.location) {
                Ok(()) => job(Ok(&self.parts.location.directory())),
                Err(error) => job(Err(error)),
            };
            let _ = note.map(|note| self.parts.notes.send(note));
        } else if let Some(making) = self.making.take() {
            self.go_on_making(making, zeros);
        } else if let Some((ordered, order)) = self.orders.pop_front() {
            self.follow(ordered, order, log_lock, others_wait);
        } else if self.end.is_some() {
            // Making a file may have interrupted the removal, and nobody waits for that file now.
            if self.removal_interrupted.take().is_some() {
                self.retain(log_lock, others_wait);
            }
            self.leave_files();
            return Step::Ended;
        } else if self.removal_interrupted.take().is_some() && !self.retain(log_lock, others_wait) {
            self.removal_interrupted = Some(ordered);
        }
        for note in self.parts.archive.notes.drain(..) {
            let _ = self.parts.notes.send(note);
        }
        Step::GoesOn
    }

    fn follow(&mut self, ordered: u64, order: Order, log_lock: &mut LogLock, others_wait: &dyn Fn() -> bool) {
        match order {
            Order::Make { index, wanted } => {
                self.parts.signals.make_waits.store(false, Ordering::Relaxed);
                match log_lock.renew(&self.parts.location).and_then(|()| self.begin_making(wanted)) {
                    Ok(filling) => self.making = Some(Making { ordered, index, filling }),
                    Err(error) => self.answer(Err(error)),
                }
            }
            Order::Cut(left) => left.cut(),
            Order::Remove(file) => file.remove(),
            Order::Retain => {
                if !self.retain(log_lock, others_wait) {
                    self.removal_interrupted = Some(ordered);
                }
            }
        }
    }

    /// Begins a file. First removes segments to make room for it within the limits.
    fn begin_making(&mut self, wanted: Wanted) -> Result<Filling> {
        let Parts { direct, location, signals, archive, .. } = &mut self.parts;
        // `open` waits for the run's first file, so segments beyond the limits are removed after it.
        if !self.is_first {
            archive.retire(signals.newest(), wanted.bytes, |_| signals.stops_making());
        }
        Filling::begin(location.directory(), wanted, *direct)
    }

    /// Writes the next zeros, or hands the file over.
    fn go_on_making(&mut self, mut making: Making, zeros: &mut Zeros) {
        if !self.parts.signals.stops_making() && making.filling.write_zeros(zeros) {
            self.making = Some(making);
            return;
        }
        let Making { index, filling, .. } = making;
        let made = filling.finish(index).inspect(|_| self.parts.archive.add(index));
        self.answer(made);
    }

    fn answer(&mut self, made: Result<Prepared>) {
        // `open` waits only for the first answer.
        self.is_first = false;
        if let Err(unsent) = self.parts.results.send(made)
            && let Ok(unused) = unsent.0
        {
            unused.file.remove();
        }
    }

    /// Removes the segments that are not kept, and the files that an earlier run prepared and never used. Returns
    /// `false` if it was stopped.
    fn retain(&mut self, log_lock: &mut LogLock, others_wait: &dyn Fn() -> bool) -> bool {
        let Parts { signals, archive, location, .. } = &mut self.parts;
        signals.begin_to_retain();
        let newest = signals.newest();
        // If the directory is gone, or another logger has it, there is nothing to remove.
        log_lock.renew(location).is_err()
            || (archive.retire(newest, 0, |progress| signals.stops_removing(progress, others_wait()))
                && archive.sweep(newest, || signals.stops_sweeping(others_wait())))
    }

    /// Cuts and removes the files that the run leaves at its end.
    fn leave_files(&mut self) {
        let Some(End { present, unused, made, .. }) = &mut self.end else { return };
        present.take().iter().for_each(|present| present.cut());
        unused.take().iter().for_each(|unused| unused.remove());
        made.try_iter().flatten().for_each(|unused| unused.file.remove());
    }
}

/// The error for a log that the thread does not serve any more, after a panic.
pub(super) fn thread_is_gone(path: &std::path::Path) -> Error {
    let source = std::io::Error::other(
        "the thread that prepares segments has ended or given the log up: please report this as a bug in diolog",
    );
    Error::io("prepare a segment in", path, source)
}
