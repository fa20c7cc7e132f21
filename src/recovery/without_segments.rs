//! The account of a run of which the log has no segment: retention has removed them before the run could be recovered,
//! or none has landed.
//!
//! Then the rings alone say what there was. A ring keeps a record until it is durable: so what is no longer in it, and
//! was not lost, was in segments that are gone.

use std::io;

use super::account::{KnownProducer, RunAccount};
use super::ring_file::{DeadRingFile, FoundSlot, SlotPlace};
use crate::format::ProducerRow;
use crate::ring::HEAD_BYTES;
use crate::ring::image::{Image, LeftCounts};

/// The account of the run with the rings at these places, whose payloads are at most so long.
///
/// # Errors
/// The operating system's.
pub(super) fn account(file: &DeadRingFile, places: &[SlotPlace], payload_bytes_max: u64) -> io::Result<RunAccount> {
    let mut account = RunAccount { has_baseline: true, ..RunAccount::default() };
    for place in places {
        let slot = file.slot(*place)?;
        let has_begun = slot.image.counts().attempted > 0;
        let row = row_before(file, slot, payload_bytes_max);
        if place.overwrites {
            // Such a ring does not keep what was taken from it: whether that became durable, nobody knows. If nothing
            // was taken, the run begins with the first attempt.
            match &row {
                None => account.has_baseline &= !has_begun,
                Some(row) if row.records == 0 => continue,
                Some(_) => account.has_baseline = false,
            }
        }
        account.producers.extend(row.map(|row| (row.id, KnownProducer::from_row(row))));
    }
    Ok(account)
}

/// The counts of a producer before the first record in its ring. `None` if there was no attempt before, or if it is
/// not known what there was.
fn row_before(file: &DeadRingFile, slot: FoundSlot, payload_bytes_max: u64) -> Option<ProducerRow> {
    let counts = slot.image.counts();
    let mut left = slot.image.records(payload_bytes_max);
    let read = |offset, buffer: &mut [u8]| file.read_ring(&slot, offset, buffer);
    let (mut records, mut numbers) = (0, None);
    while let Some((head, _)) = left.next(read) {
        let (first, _) = numbers.unwrap_or((head.sequence, 0));
        numbers = Some((first, head.sequence + 1));
        records += 1;
        left.take();
    }
    let (first, end) = match numbers {
        Some(numbers) => numbers,
        None if left.fault().is_some() || !has_released(&slot.image) => return None,
        None => (counts.attempted, counts.attempted),
    };
    let lost = counts.dropped_by.total().saturating_add(counts.overwritten);
    let lost_since = counts.attempted.max(end) - first - records;
    // What was overwritten came before all that is left.
    let overwritten = counts.overwritten.min(first);
    let dropped = lost.saturating_sub(lost_since).min(first).saturating_sub(overwritten);
    let row = ProducerRow {
        id: slot.producer,
        tid: slot.tid,
        next_sequence: first,
        records: first - dropped - overwritten,
        dropped,
        dropped_by: None,
        overwritten,
        unwritten: 0,
        name: slot.name,
    };
    (first > 0).then_some(row)
}

/// Whether the ring can have had a record for each attempt that is not a counted loss, but for the last one, and no
/// longer has them.
fn has_released(image: &Image) -> bool {
    let LeftCounts { attempted, dropped_by, .. } = image.counts();
    let records = attempted.saturating_sub(dropped_by.total()).saturating_sub(1);
    image.released_bytes().is_some_and(|bytes| bytes / HEAD_BYTES as u64 >= records)
}
