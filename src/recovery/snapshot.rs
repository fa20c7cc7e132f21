//! What the flight recorder of a dead run has left in its rings, as a snapshot of its log.

use std::collections::HashMap;
use std::path::PathBuf;

use super::ring_file::{RingFile, Slot};
use crate::block::Callsites;
use crate::clock::{self, TickConverter};
use crate::error::{Error, Result};
use crate::format::{CallsiteInfo, Kind, RecordFlags, SNAPSHOTS_FOLDER, StoredRunId};
use crate::snapshot::{self, Now, Origin, ProducerRecords, RecordHead};
use crate::sys::directory::OpenDirectory;

/// Writes the records in `slots`, unless there are none or a snapshot of this run's has been written. Returns its path.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn write(
    directory: &OpenDirectory,
    run: StoredRunId,
    origin: &Origin,
    file: &RingFile,
    slots: &[Slot],
    callsites: &HashMap<u32, CallsiteInfo>,
    now: Now,
) -> Result<Option<PathBuf>> {
    let converter = file.converter();
    let producers: Vec<_> =
        slots.iter().map(|slot| records(file, slot, &converter, origin, now)).filter(|it| !it.is_empty()).collect();
    // The name says which run it is of, so that a recovery that was cut short does not write it twice.
    let reason = format!("crash-{}", &run.to_string()[..8]);
    if producers.is_empty() || is_written(directory, &reason)? {
        return Ok(None);
    }
    let mut known = Callsites::new(true, origin.block_bytes, |_, _| None);
    callsites.values().for_each(|info| known.add(info));
    snapshot::write(directory, origin, &reason, now, &producers, &mut known).map(Some)
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

/// The records of one ring.
fn records(file: &RingFile, slot: &Slot, converter: &TickConverter, origin: &Origin, now: Now) -> ProducerRecords {
    let by = slot.image.counts().dropped_by;
    let mut records = ProducerRecords {
        id: slot.producer,
        tid: slot.tid,
        name: slot.name.clone(),
        dropped: by.full.saturating_add(by.memory).saturating_add(by.timed_out).saturating_add(by.device_failed),
        heads: Vec::new(),
        payloads: Vec::new(),
    };
    let mut left = slot.image.records(origin.block_bytes as u64);
    let mut last_ns = 0;
    let read = |offset, buffer: &mut [u8]| file.read_ring(slot, offset, buffer);
    while let Some((head, payload)) = left.next(read) {
        let [kind, level, flags, _] = head.tag.to_le_bytes();
        if (kind == Kind::Message as u8 || kind == Kind::Structured as u8) && (1..=5).contains(&level) {
            last_ns = clock::clamp(converter.to_ns(head.ticks), last_ns, now.monotonic_ns);
            let (begin, bytes, flags) = (records.payloads.len(), payload.len(), flags & RecordFlags::TRUNCATED);
            let sequence = head.sequence;
            records.heads.push(RecordHead { sequence, timestamp_ns: last_ns, kind, level, flags, begin, bytes });
            records.payloads.extend_from_slice(payload);
        }
        left.take();
    }
    records
}
