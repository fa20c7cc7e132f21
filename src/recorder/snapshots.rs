//! A recorder: its rings, and the snapshots that are taken of them.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use super::rings::{RecorderRings, RecorderRules};
use crate::block::{Callsites, Lookup};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::ring::Budget;
use crate::segment::Beside;
use crate::snapshot::{self, Now, Origin};
use crate::stats::RecorderStats;
use crate::sys::directory::OpenDirectory;

/// Where a recorder's snapshots go.
pub(crate) struct SnapshotPlace {
    pub(crate) beside: Beside,
    pub(crate) origin: Origin,
    pub(crate) clock: Clock,
    /// Finds the definitions of callsites.
    pub(crate) lookup: Lookup,
    /// How many snapshots are kept.
    pub(crate) max: u64,
}

/// A log's flight recorder.
pub(crate) struct Recorder {
    pub(crate) rings: RecorderRings,
    /// Set once the log is open.
    place: OnceLock<SnapshotPlace>,
    written: AtomicU64,
    failed: AtomicU64,
}

impl Recorder {
    /// A recorder without rings, whose memory is part of `budget`.
    pub(crate) fn new(rules: RecorderRules, clock: Clock, budget: Arc<Budget>) -> Recorder {
        let (place, written, failed) = Default::default();
        Recorder { rings: RecorderRings::new(rules, clock, budget), place, written, failed }
    }

    /// Says where snapshots go. Called once.
    pub(crate) fn set_place(&self, place: SnapshotPlace) {
        let first = self.place.set(place).is_ok();
        debug_assert!(first, "a log is opened once");
    }

    /// The figures now.
    pub(crate) fn stats(&self) -> RecorderStats {
        let mut stats = self.rings.stats();
        (stats.snapshots, stats.snapshots_failed) = (self.written.load(Relaxed), self.failed.load(Relaxed));
        stats
    }

    /// Writes what the rings hold, and returns the path of the file.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Io`] if it cannot be written.
    pub(crate) fn snapshot(&self, reason: &str) -> Result<PathBuf> {
        let place = self.place.get().ok_or(Error::Closed)?;
        place.beside.with(|directory| self.write_in(directory, place, reason))
    }

    fn write_in(&self, directory: &OpenDirectory, place: &SnapshotPlace, reason: &str) -> Result<PathBuf> {
        let written = self.take_and_write(directory, place, reason);
        if written.is_ok() { &self.written } else { &self.failed }.fetch_add(1, Relaxed);
        written
    }

    fn take_and_write(&self, directory: &OpenDirectory, place: &SnapshotPlace, reason: &str) -> Result<PathBuf> {
        let SnapshotPlace { origin, clock, lookup, max, .. } = place;
        let producers =
            self.rings.take().map_err(|source| Error::io("copy the records of", directory.path(), source))?;
        let now = Now { monotonic_ns: clock.monotonic_ns(), unix_ns: clock.unix_ns() };
        let mut callsites = Callsites::new(false, origin.block_bytes, *lookup);
        let path = snapshot::write(directory, origin, reason, now, &producers, &mut callsites)?;
        snapshot::retire(directory, *max);
        Ok(path)
    }
}
