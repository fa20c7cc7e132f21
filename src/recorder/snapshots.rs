//! A log's flight recorder: its rings, and their snapshots.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::rings::RecorderRings;
use super::triggers::{Reason, TriggerRules, Triggers};
use crate::block::{CallsiteTable, Lookup};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::segment::Beside;
use crate::snapshot::{self, Copied, Now, ProducerRecords, SnapshotOrigin};
use crate::stats::RecorderStats;
use crate::sys::directory::OpenDirectory;

/// Where a recorder's snapshots are written.
pub(crate) struct SnapshotPlace {
    pub(crate) beside: Beside,
    pub(crate) origin: SnapshotOrigin,
    pub(crate) clock: Clock,
    /// Finds the definitions of callsites.
    pub(crate) lookup: Lookup,
    /// How many snapshots are kept.
    pub(crate) max: u64,
}

/// A log's flight recorder.
pub(crate) struct Recorder {
    pub(crate) rings: RecorderRings,
    pub(crate) triggers: Triggers,
    /// Set once the log is open.
    place: OnceLock<SnapshotPlace>,
    written: AtomicU64,
    failed: AtomicU64,
}

impl Recorder {
    pub(crate) fn new(rings: RecorderRings, triggers: TriggerRules) -> Recorder {
        Recorder {
            rings,
            triggers: Triggers::new(triggers),
            place: OnceLock::new(),
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Sets where snapshots are written. Called once.
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

    /// Takes the snapshot that was due, if there are records. `directory` is the log's directory, whose lock the caller
    /// holds, or an error if it is gone. Returns a note for the log if the snapshot fails.
    pub(crate) fn take_for(&self, reason: Reason, directory: Result<&OpenDirectory>) -> Option<String> {
        let place = self.place.get()?;
        let text = reason.as_str();
        let written = match directory {
            Ok(directory) => self.write_in(directory, place, text, true).map(drop),
            Err(error) => {
                self.failed.fetch_add(1, Relaxed);
                Err(error)
            }
        };
        self.triggers.note_done(reason);
        written.err().map(|error| format!("no snapshot ({text}) was written: {error}"))
    }

    /// Writes what the rings hold, and returns the path of the file.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Io`] if the file cannot be written. The next snapshot then has the records.
    pub(crate) fn snapshot(&self, reason: &str) -> Result<PathBuf> {
        let place = self.place.get().ok_or(Error::Closed)?;
        place.beside.with(|directory| {
            let path = self.write_in(directory, place, reason, false)?;
            Ok(path.unwrap_or_default())
        })
    }

    /// Writes a snapshot. With `needs_records`, only if there are records.
    fn write_in(
        &self,
        directory: &OpenDirectory,
        place: &SnapshotPlace,
        reason: &str,
        needs_records: bool,
    ) -> Result<Option<PathBuf>> {
        // The caller holds the log's lock, so two snapshots are never taken at the same time.
        let copied = self.rings.copy().map_err(|source| Error::io("copy the records of", directory.path(), source));
        let written = copied.and_then(|producers| {
            let is_wanted = !producers.is_empty() || !needs_records;
            let written = is_wanted.then(|| write(directory, place, reason, &producers)).transpose();
            self.rings.end_copy(&producers, written.is_ok());
            written
        });
        match &written {
            Ok(Some(path)) => {
                self.written.fetch_add(1, Relaxed);
                snapshot::retire(directory, place.max, path, place.clock.unix_ns());
            }
            Ok(None) => {}
            Err(_) => drop(self.failed.fetch_add(1, Relaxed)),
        }
        written
    }
}

/// Writes the records of `producers` as a snapshot.
fn write(
    directory: &OpenDirectory,
    place: &SnapshotPlace,
    reason: &str,
    producers: &[ProducerRecords],
) -> Result<PathBuf> {
    let SnapshotPlace { origin, clock, lookup, .. } = place;
    let now = Now { monotonic_ns: clock.monotonic_ns(), unix_ns: clock.unix_ns() };
    let mut callsites = CallsiteTable::new(false, origin.block_bytes, *lookup);
    snapshot::write(
        directory,
        origin,
        reason,
        now,
        &producers,
        producers.iter().map(Copied::new).collect(),
        &mut callsites,
    )
}
