//! The records that a snapshot is made of, by producer.

use crate::block::{CallsiteTable, RecordMeta};
use crate::format::{DroppedBy, LossCause, ProducerRow};

/// The records of one producer, one after the other in the order of their sequences and times. They need not be in
/// memory.
pub(crate) trait SnapshotSource {
    /// Not 0.
    fn id(&self) -> u32;

    /// The number of its first record.
    fn first(&self) -> u64;

    /// The producer's row after `records` of its records; the next one would have number `next_sequence`.
    fn row(&self, records: u64, next_sequence: u64) -> ProducerRow;

    /// Why numbers between its records are missing.
    fn cause_of_gaps(&self) -> LossCause;

    /// The number, the head and the payload of the next record. It is the same until it is [taken](Self::take).
    fn next(&mut self) -> Option<(u64, RecordMeta, &[u8])>;

    /// Takes the record that [`next`](Self::next) returned.
    fn take(&mut self);

    /// Adds the callsite of the next record to `callsites`, if these cannot look it up.
    fn define(&mut self, _callsites: &mut CallsiteTable) {}

    /// Frees buffers, because other producers come first.
    fn rest(&mut self) {}
}

/// A record without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHead {
    pub(crate) sequence: u64,
    /// The monotonic time; those of one producer do not go back.
    pub(crate) timestamp_ns: u64,
    pub(crate) kind: u8,
    pub(crate) level: u8,
    pub(crate) flags: u8,
    /// The offset of its payload among those of its producer.
    pub(crate) begin: usize,
    pub(crate) bytes: usize,
}

/// The records of one producer that a snapshot holds.
#[derive(Clone, Debug)]
pub(crate) struct ProducerRecords {
    /// Not 0.
    pub(crate) id: u32,
    pub(crate) tid: u32,
    pub(crate) name: String,
    /// How many of the missing numbers may be dropped attempts. The other missing numbers were overwritten.
    pub(crate) dropped: u64,
    /// In the order of their sequences, which grow.
    pub(crate) heads: Vec<RecordHead>,
    pub(crate) payloads: Vec<u8>,
}

impl ProducerRecords {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The payload of a record.
    fn payload(&self, head: &RecordHead) -> &[u8] {
        self.payloads.get(head.begin..).and_then(|rest| rest.get(..head.bytes)).unwrap_or_default()
    }

    /// The number of the first record.
    pub(super) fn first(&self) -> u64 {
        self.heads.first().map_or(0, |head| head.sequence)
    }

    /// As [`SnapshotSource::row`].
    pub(super) fn row(&self, records: u64, next_sequence: u64) -> ProducerRow {
        let row = ProducerRow { id: self.id, tid: self.tid, name: self.name.clone(), ..ProducerRow::default() };
        row_after(row, self.first(), self.dropped, records, next_sequence)
    }
}

/// The `row` of a producer after `records` of its records, of which number `first` is the first one; the next one would
/// have number `next_sequence`, and `dropped` numbers may be dropped attempts. Attempts before the first record count
/// as kept elsewhere: they do not concern this snapshot.
pub(crate) fn row_after(row: ProducerRow, first: u64, dropped: u64, records: u64, next_sequence: u64) -> ProducerRow {
    let missing = (next_sequence - first).saturating_sub(records);
    let dropped = missing.min(dropped);
    ProducerRow {
        next_sequence,
        records: first + records,
        dropped,
        dropped_by: Some(DroppedBy { ring_full: dropped, ..DroppedBy::default() }),
        overwritten: missing - dropped,
        unwritten: 0,
        ..row
    }
}

/// Why numbers are missing, of which `dropped` may be dropped attempts.
pub(crate) fn cause_of_gaps(dropped: u64) -> LossCause {
    if dropped == 0 { LossCause::Overwritten } else { LossCause::Unknown }
}

/// The records of one producer that are in memory.
pub(crate) struct Copied<'a> {
    records: &'a ProducerRecords,
    /// The place of the next one.
    next: usize,
}

impl<'a> Copied<'a> {
    pub(crate) fn new(records: &'a ProducerRecords) -> Copied<'a> {
        Copied { records, next: 0 }
    }
}

impl SnapshotSource for Copied<'_> {
    fn id(&self) -> u32 {
        self.records.id
    }

    fn first(&self) -> u64 {
        self.records.first()
    }

    fn row(&self, records: u64, next_sequence: u64) -> ProducerRow {
        self.records.row(records, next_sequence)
    }

    fn cause_of_gaps(&self) -> LossCause {
        cause_of_gaps(self.records.dropped)
    }

    fn next(&mut self) -> Option<(u64, RecordMeta, &[u8])> {
        let head = self.records.heads.get(self.next)?;
        let RecordHead { kind, level, flags, timestamp_ns, .. } = *head;
        Some((head.sequence, RecordMeta { kind, level, flags, timestamp_ns }, self.records.payload(head)))
    }

    fn take(&mut self) {
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(id: u32, records: std::ops::Range<u64>) -> ProducerRecords {
        let mut producer =
            ProducerRecords { id, tid: 1, name: String::new(), dropped: 1, heads: Vec::new(), payloads: Vec::new() };
        for sequence in records {
            let payload = format!("record {sequence}");
            let (begin, bytes) = (producer.payloads.len(), payload.len());
            producer.heads.push(RecordHead {
                sequence,
                timestamp_ns: sequence,
                kind: 1,
                level: 5,
                flags: 0,
                begin,
                bytes,
            });
            producer.payloads.extend_from_slice(payload.as_bytes());
        }
        producer
    }

    #[test]
    fn a_row_accounts_for_each_number_from_the_first_record_on() {
        let mut producer = producer(1, 100..110);
        producer.heads.drain(3..6);
        let row = producer.row(7, 110);
        assert_eq!((row.records, row.dropped, row.overwritten, row.next_sequence), (107, 1, 2, 110));
        let row = producer.row(0, 100);
        assert_eq!((row.records, row.dropped, row.overwritten, row.next_sequence), (100, 0, 0, 100));
    }
}
