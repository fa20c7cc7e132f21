//! One producer's ring: its records that no block has, one after the other, and its counts at the end.
//!
//! What is in a ring may be anything: a record is taken only if it makes sense. `compose` puts the records into blocks.

use super::account::{HoleRecords, RunAccount};
use super::definitions::FoundDefinitions;
use super::ring_file::{DeadRingFile, FoundSlot};
use crate::format::{DroppedBy, Kind, Layout, LossCause, ProducerRow, RecordFlags, check_values};
use crate::level::Level;
use crate::ring::Head;
use crate::ring::image::{Fault, LeftRecords};

/// One producer's ring.
pub(super) struct LeftRing {
    /// Its place among the rings.
    pub(super) at: usize,
    /// Without the name, which is in `row`.
    pub(super) slot: FoundSlot,
    pub(super) records: LeftRecords,
    /// The producer's row, with the counts after the records composed so far.
    pub(super) row: ProducerRow,
    pub(super) last_ns: u64,
    /// Its records in holes, the next ones last.
    pub(super) parts: Vec<HoleRecords>,
    /// Whether the blocks have the final counts.
    pub(super) is_ended: bool,
    /// Whether the blocks name it.
    pub(super) is_known: bool,
    /// What is wrong with its records or counts, but for what `records` has met.
    fault: Option<Fault>,
}

/// Where a source's records go.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Records before this number are in blocks.
    pub(super) begin: u64,
    /// Records from this number on are not wanted now.
    pub(super) end: u64,
    /// No record is later.
    pub(super) before_ns: u64,
}

impl LeftRing {
    /// The ring in `slot`, which is the one at `at`, of a producer that the blocks have `known`.
    pub(super) fn new(at: usize, mut slot: FoundSlot, account: &RunAccount, payload_bytes_max: u64) -> LeftRing {
        let known = account.producers.get(&slot.producer).cloned();
        let is_ended = account.ended.contains(&slot.producer);
        let is_known = known.is_some() || is_ended;
        let name = std::mem::take(&mut slot.name);
        let (row, last_ns, mut parts) = match known {
            Some(known) => {
                let last_ns = known.last_ns();
                (known.row, last_ns, known.parts)
            }
            None => (new_row(slot.producer, slot.tid, name), 0, Vec::new()),
        };
        parts.reverse();
        let records = slot.image.records(payload_bytes_max);
        LeftRing { at, slot, records, row, last_ns, parts, is_ended, is_known, fault: None }
    }

    /// Passes over the next record, which makes no sense.
    pub(super) fn pass_over(&mut self) {
        self.records.take();
        self.note_invalid();
    }

    /// Notes that a record was left out which makes no sense.
    pub(super) fn note_invalid(&mut self) {
        self.fault.get_or_insert(Fault::Record);
    }

    /// What is wrong with the ring, as far as its records have been taken.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.records.fault().or(self.fault)
    }

    /// Compares the counts with the records of the ring and of the blocks, all of which are taken.
    pub(super) fn compare(&mut self, file: &DeadRingFile) {
        if self.fault().is_none() && !self.adds_up(file) {
            self.fault = Some(Fault::Counts);
        }
    }

    /// Whether each attempt is a record or a counted loss. In a ring that overwrites, the writer may have taken records
    /// that it has not made durable.
    fn adds_up(&self, file: &DeadRingFile) -> bool {
        let (dropped_by, overwritten) = self.counted();
        let accounted = self.row.records.saturating_add(dropped_by.total()).saturating_add(overwritten);
        let counted = self.slot.image.counts().attempted;
        let attempted = counted.max(self.row.next_sequence);
        match attempted.checked_sub(accounted) {
            None => false,
            // All but the last record had been counted.
            _ if counted.saturating_add(1) < attempted => false,
            Some(0) => true,
            Some(_) if self.slot.overwrites => true,
            // The process died inside its last attempt, unless the record of that is there.
            Some(1) if attempted > self.row.next_sequence => {
                let read = |offset, buffer: &mut [u8]| file.read_ring(&self.slot, offset, buffer);
                !self.records.is_followed_by(attempted - 1, read)
            }
            Some(_) => false,
        }
    }

    /// The losses that the ring has counted.
    fn counted(&self) -> (DroppedBy, u64) {
        let counts = self.slot.image.counts();
        (counts.dropped_by.into(), counts.overwritten)
    }

    /// The final counts. They always add up: attempts without a record and without a cause are unwritten.
    pub(super) fn final_row(&self) -> ProducerRow {
        let (dropped_by, overwritten) = self.counted();
        let dropped = dropped_by.total();
        let accounted = self.row.records.saturating_add(dropped).saturating_add(overwritten);
        let attempted = match self.slot.image.counts().attempted.max(self.row.next_sequence).max(accounted) {
            // The process died inside an attempt and nobody was told its outcome, so it does not count.
            attempted if attempted.checked_sub(1) == Some(accounted) && !self.slot.overwrites => accounted,
            attempted => attempted,
        };
        ProducerRow {
            next_sequence: attempted,
            dropped,
            dropped_by: Some(dropped_by),
            overwritten,
            unwritten: attempted - accounted,
            ..self.row.clone()
        }
    }

    /// The one cause that the producer has lost records for, if there is one.
    pub(super) fn cause(&self) -> LossCause {
        let (dropped_by, overwritten) = self.counted();
        let overwritten = (overwritten > 0).then_some(LossCause::Overwritten);
        let mut causes = dropped_by.causes().map(|(cause, _)| cause).chain(overwritten);
        match (causes.next(), causes.next()) {
            (Some(cause), None) => cause,
            _ => LossCause::Unknown,
        }
    }
}

fn new_row(id: u32, tid: u32, name: String) -> ProducerRow {
    let dropped_by = Some(DroppedBy::default());
    ProducerRow { id, tid, dropped_by, name, ..ProducerRow::default() }
}

/// The next record of a ring from number `begin` on, if it is before `end`.
pub(super) fn next_of<'a>(
    slot: &FoundSlot,
    records: &'a mut LeftRecords,
    file: &DeadRingFile,
    bounds: Bounds,
) -> Option<(Head, &'a [u8])> {
    let read = |offset, buffer: &mut [u8]| file.read_ring(slot, offset, buffer);
    while records.next(read)?.0.sequence < bounds.begin {
        records.take();
    }
    records.next(read).filter(|(head, _)| head.sequence < bounds.end)
}

/// A record of a ring that makes sense, whether it goes to the log or to a snapshot.
pub(super) struct Recovered<'a> {
    pub(super) kind: Kind,
    pub(super) level: u8,
    pub(super) flags: u8,
    pub(super) sequence: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Recovered<'a> {
    /// The record with this `head` and `payload`, if it makes sense: if it is of a kind that producers append, and a
    /// reader will find it valid.
    pub(super) fn of(head: &Head, payload: &'a [u8], definitions: &FoundDefinitions<'_>) -> Option<Recovered<'a>> {
        let [kind, level, flags, _] = head.tag.to_le_bytes();
        let kind = Kind::from_u8(kind).ok()?;
        let makes_sense = match kind {
            Kind::Message => Level::from_u8(level).is_some(),
            Kind::Structured => {
                let (id, values) = payload.split_first_chunk::<4>()?;
                let id = u32::from_le_bytes(*id);
                // Without its callsite, the values cannot be checked.
                id > 0 && definitions.get(id).is_none_or(|info| check_values(&info, values, Layout::Plain).is_ok())
            }
            _ => false,
        };
        let flags = flags & RecordFlags::TRUNCATED;
        makes_sense.then_some(Recovered { kind, level, flags, sequence: head.sequence, payload })
    }
}
