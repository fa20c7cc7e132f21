//! Writes the records that a dead run's flight recorder left in its rings to a snapshot of its log.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use super::ring_file::{DeadRingFile, FoundSlot, SlotPlace};
use super::source::Recovered;
use crate::block::CallsiteTable;
use crate::clock::{self, TickConverter};
use crate::error::{Error, Result};
use crate::format::{CallsiteInfo, SNAPSHOTS_FOLDER};
use crate::reader::written_by_last_snapshot;
use crate::ring::image::Fault;
use crate::snapshot::{self, Now, ProducerRecords, RecordHead, SnapshotOrigin};
use crate::sys::directory::OpenDirectory;

/// The flight recorder of a dead run, and what its records have in common.
pub(super) struct DeadRecorder<'a> {
    pub(super) file: &'a DeadRingFile,
    /// The callsites that its records may be of.
    pub(super) callsites: &'a HashMap<u32, CallsiteInfo>,
    pub(super) origin: SnapshotOrigin,
    /// The moment of the recovery.
    pub(super) now: Now,
}

/// What its rings hold.
pub(super) struct LeftInRecorder {
    /// Those who have left records.
    pub(super) producers: Vec<ProducerRecords>,
    /// What could not be read, if something.
    pub(super) damage: Option<String>,
}

impl DeadRecorder<'_> {
    /// Reads the records in the rings at `places`.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn read(&self, places: &[SlotPlace]) -> io::Result<LeftInRecorder> {
        let converter = self.file.converter();
        let mut left = LeftInRecorder { producers: Vec::new(), damage: None };
        for place in places {
            let (records, damage) = self.records(self.file.slot(*place)?, &converter);
            left.damage = left.damage.or(damage);
            left.producers.extend(Some(records).filter(|records| !records.is_empty()));
        }
        Ok(left)
    }

    /// Writes these records, but those that the run itself has written to a snapshot, unless there are none or this has
    /// been done. Returns the file's path.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn write(
        &self,
        directory: &OpenDirectory,
        mut producers: Vec<ProducerRecords>,
    ) -> Result<Option<PathBuf>> {
        let DeadRecorder { callsites, origin, now, .. } = self;
        // The name says which run it is of, so that a recovery that was cut short does not write it twice.
        let reason = format!("crash-{}", &origin.run.to_string()[..8]);
        if producers.is_empty() || is_written(directory, &reason)? {
            return Ok(None);
        }
        // It may have died between a snapshot's name and the release of its records.
        let written = written_by_last_snapshot(directory.path(), origin.run)?;
        for ProducerRecords { id, heads, .. } in &mut producers {
            let first = written.get(id).copied().unwrap_or(0);
            heads.retain(|head| head.sequence >= first);
        }
        producers.retain(|producer| !producer.is_empty());
        if producers.is_empty() {
            return Ok(None);
        }
        let mut known = CallsiteTable::new(true, origin.block_bytes, |_, _| None);
        callsites.values().for_each(|info| known.add(info));
        snapshot::write(directory, origin, &reason, *now, &producers, &mut known).map(Some)
    }

    /// The records of one ring, and what could not be read.
    fn records(&self, mut slot: FoundSlot, converter: &TickConverter) -> (ProducerRecords, Option<String>) {
        let mut records = ProducerRecords {
            id: slot.producer,
            tid: slot.tid,
            name: std::mem::take(&mut slot.name),
            dropped: slot.image.counts().dropped_by.total(),
            heads: Vec::new(),
            payloads: Vec::new(),
        };
        let mut left = slot.image.records(self.origin.block_bytes as u64);
        let (mut last_ns, mut unreadable) = (0, false);
        let read = |offset, buffer: &mut [u8]| self.file.read_ring(&slot, offset, buffer);
        while let Some((head, payload)) = left.next(read) {
            if let Some(record) = Recovered::of(&head, payload, self.callsites) {
                last_ns = clock::clamp(converter.to_ns(head.ticks), last_ns, self.now.monotonic_ns);
                let Recovered { kind, level, flags, sequence, payload } = record;
                let (kind, begin, bytes) = (kind as u8, records.payloads.len(), payload.len());
                records.heads.push(RecordHead { sequence, timestamp_ns: last_ns, kind, level, flags, begin, bytes });
                records.payloads.extend_from_slice(payload);
            } else {
                unreadable = true;
            }
            left.take();
        }
        // There may be very many rings with few records.
        records.heads.shrink_to_fit();
        records.payloads.shrink_to_fit();
        let fault = left.fault().or_else(|| unreadable.then_some(Fault::Record));
        let of_ring = |fault| format!("the flight recorder's ring of producer {} is damaged: {fault}", slot.producer);
        (records, fault.map(of_ring))
    }
}

/// Whether the log has a snapshot for this reason.
fn is_written(directory: &OpenDirectory, reason: &str) -> Result<bool> {
    let failed = |source| Error::io("list", &directory.path_of(SNAPSHOTS_FOLDER), source);
    if directory.entry(SNAPSHOTS_FOLDER).is_err() {
        return Ok(false);
    }
    let folder = directory.open_or_make_directory(SNAPSHOTS_FOLDER).map_err(failed)?;
    let end = format!("-{reason}.dlog");
    Ok(folder.names().map_err(failed)?.iter().any(|name| name.to_string_lossy().ends_with(&end)))
}
