//! A log's handle to the thread that makes, cuts and removes its segment files, so that the writer does not wait for
//! these.
//!
//! Used by [`Segments`](crate::segment::Segments) and [`next`](crate::segment::next). Nothing here touches a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use crate::error::{Error, Result};

use super::archive::Archive;
use super::fill::{LeftFile, NamedFile, Prepared, Wanted};
use super::orders::{End, Job, Order, Pace, Signals};
use super::threads::{PreparingThreads, Thread};
use super::work::{Parts, Work, thread_is_gone};
use crate::segment::directory::Directory;

/// A log's handle to the thread that prepares its segments.
pub(in crate::segment) struct Preparer {
    /// The directory's absolute path at open, for messages.
    pub(in crate::segment) path: PathBuf,
    thread: Arc<Thread>,
    /// The log's number at the thread.
    number: u64,
    /// `None` after the run has ended.
    made: Option<Receiver<Result<Prepared>>>,
    notes: Receiver<String>,
    signals: Arc<Signals>,
}

impl Preparer {
    /// Makes one of `threads` serve the log in `directory`, whose newest segment is `newest` (0 if there is none).
    ///
    /// # Errors
    /// [`Error::Io`] if no thread can be started.
    pub(in crate::segment) fn start(
        directory: &Directory,
        newest: u64,
        direct: bool,
        archive: Archive,
        threads: &PreparingThreads,
    ) -> Result<Preparer> {
        let opened = directory.opened();
        let path = opened.path().to_owned();
        let thread = threads
            .get(opened.id_of(".").ok().map(|id| id.device))
            .map_err(|source| Error::io("start the thread that prepares segments for", &path, source))?;
        let (results, made) = channel();
        let (notes_sender, notes) = channel();
        let signals = Arc::new(Signals::new(newest));
        let number = thread.begin(Work::new(Parts {
            direct,
            location: Arc::clone(&directory.location),
            lock: Arc::clone(&directory.lock),
            signals: Arc::clone(&signals),
            archive,
            notes: notes_sender,
            results,
        }));
        Ok(Preparer { path, thread, number, made: Some(made), notes, signals })
    }

    /// Asks for the file of segment `index` with `bytes`. However little space there is, it gets at least `bytes_min`.
    pub(in crate::segment) fn ask(&self, index: u64, bytes: u64, bytes_min: u64) {
        self.signals.set_pace(Pace::Unhurried);
        self.signals.make_waits.store(true, Ordering::Relaxed);
        self.order(Order::Make { index, wanted: Wanted { bytes, bytes_min } });
    }

    /// Asks for the file as soon as possible: the thread finishes its current write of zeros and stops there.
    pub(in crate::segment) fn hurry(&self) {
        self.signals.set_pace(Pace::Hurried);
    }

    /// The file that was asked for, or why it could not be made; `None` until either is known.
    pub(in crate::segment) fn poll(&self) -> Option<Result<Prepared>> {
        match self.made.as_ref()?.try_recv() {
            Ok(made) => Some(made),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(thread_is_gone(&self.path))),
        }
    }

    /// Waits for the file that was asked for. After `patience`, takes it without more zeros.
    ///
    /// # Errors
    /// Those of making the file.
    pub(in crate::segment) fn wait(&self, patience: Duration) -> Result<Prepared> {
        let gone = || thread_is_gone(&self.path);
        let made = self.made.as_ref().ok_or_else(gone)?;
        if let Ok(made) = made.recv_timeout(patience) {
            return made;
        }
        self.hurry();
        made.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Orders the cut of a file that the writer has left.
    pub(in crate::segment) fn cut(&self, left: LeftFile) {
        self.order(Order::Cut(left));
    }

    /// Orders the removal of a file that was prepared and not used.
    pub(in crate::segment) fn remove(&self, unused: NamedFile) {
        self.order(Order::Remove(unused));
    }

    /// Orders the removal of all segments that the limits do not keep. Segment `newest` and later ones stay.
    pub(in crate::segment) fn retain(&self, newest: u64) {
        if self.signals.ask_to_retain(newest) {
            self.order(Order::Retain);
        }
    }

    /// Like [`Preparer::retain`], with the `newest` of the last call.
    pub(in crate::segment) fn retain_again(&self) {
        self.retain(self.signals.newest());
    }

    /// Takes the notes about removals since the last call.
    pub(in crate::segment) fn take_notes(&self) -> impl Iterator<Item = String> {
        self.notes.try_iter()
    }

    /// Gives the thread other work to do in the log's directory, before all orders.
    pub(in crate::segment) fn give_job(&self, job: Job) {
        self.thread.give_job(self.number, job);
    }

    /// Ends the run after all orders are done: cuts the `present` segment, removes the `unused` one and a file that was
    /// made and not taken, and calls `then`. All this happens on the thread; this call does not wait for it.
    pub(in crate::segment) fn end(
        mut self,
        present: Option<LeftFile>,
        unused: Option<NamedFile>,
        then: impl FnOnce() + Send + 'static,
    ) {
        if let Some(made) = self.made.take() {
            self.signals.set_pace(Pace::Ending);
            self.thread.end(self.number, End { present, unused, made, then: Box::new(then) });
        }
    }

    /// Ends a run that holds nothing, and waits for that.
    pub(in crate::segment) fn undo(self) {
        let (sender, done) = channel();
        self.end(None, None, move || {
            let _ = sender.send(());
        });
        let _ = done.recv();
    }

    fn order(&self, order: Order) {
        self.thread.order(self.number, order);
    }
}

impl Drop for Preparer {
    /// Abandons the log, if its run has not ended. Does not wait, because the thread may hang in a write.
    fn drop(&mut self) {
        if self.made.is_some() {
            self.signals.set_pace(Pace::Abandoned);
            self.thread.abandon(self.number);
        }
    }
}
