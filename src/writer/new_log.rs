//! A log that a writer thread is to serve.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::crash::LogRings;
use crate::device::{Device, DeviceReport};
use crate::error::Result;
use crate::listen::Taps;
use crate::segment::{Directory, Segments};
use crate::shared::Shared;
use crate::stats::Publisher;

/// The parts that the writer needs to begin a log. `open` makes them after the thread has started, and has been pinned
/// if `writer_core` is set.
pub(crate) struct Begin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) publisher: Publisher,
    /// The device that the probe has chosen.
    pub(crate) device: DeviceReport,
    pub(crate) directory: Directory,
    pub(crate) segments: Segments,
    /// The log's place in a ring file; `None` if its rings are in memory of the process.
    pub(crate) rings: Option<LogRings>,
    /// The ends of the log's listeners.
    pub(crate) taps: Taps,
    pub(crate) wrap_device: Option<WrapDevice>,
}

impl Begin {
    /// Removes the files that `open` has made for a run that does not begin.
    pub(super) fn undo(self) {
        if let Some(rings) = self.rings {
            rings.end(&self.directory.opened());
        }
        self.segments.undo();
        self.directory.undo();
    }
}

/// Puts another device around the one that was made, on the writer thread.
pub(crate) type WrapDevice = Box<dyn FnOnce(Box<dyn Device>) -> Box<dyn Device> + Send>;

/// A log that the thread serves from now on.
pub(super) struct NewLog {
    pub(super) begin: Box<Begin>,
    /// The opener waits for the answer.
    pub(super) answer: SyncSender<Result<()>>,
}
