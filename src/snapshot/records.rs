//! The records that a snapshot is made of, by producer.

use std::cmp::Reverse;

use crate::format::{DroppedBy, LossCause, PRODUCERS_MAX, ProducerRow};

/// A record without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHead {
    pub(crate) sequence: u64,
    /// The monotonic time; those of one producer do not go back.
    pub(crate) timestamp_ns: u64,
    pub(crate) kind: u8,
    pub(crate) level: u8,
    pub(crate) flags: u8,
    /// Where its payload is, in those of its producer.
    pub(crate) begin: usize,
    pub(crate) bytes: usize,
}

impl RecordHead {
    /// The memory that the record takes.
    fn memory_bytes(&self) -> usize {
        size_of::<RecordHead>() + self.bytes
    }
}

/// The records of one producer that a snapshot holds.
#[derive(Clone, Debug)]
pub(crate) struct ProducerRecords {
    /// Not 0.
    pub(crate) id: u32,
    pub(crate) tid: u32,
    pub(crate) name: String,
    /// How many attempts among the records may have been dropped: other numbers that are missing were overwritten.
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

    /// The records of `earlier` and of `later`, by producer, where those of `later` follow.
    pub(crate) fn joined(earlier: Vec<ProducerRecords>, later: Vec<ProducerRecords>) -> Vec<ProducerRecords> {
        let mut all = earlier;
        for mut producer in later {
            match all.iter_mut().find(|before| before.id == producer.id) {
                Some(before) => {
                    let offset = before.payloads.len();
                    before.payloads.append(&mut producer.payloads);
                    before
                        .heads
                        .extend(producer.heads.iter().map(|head| RecordHead { begin: head.begin + offset, ..*head }));
                    before.dropped += producer.dropped;
                }
                None => all.push(producer),
            }
        }
        all
    }

    /// The newest of these records, at most `bytes_each` bytes of each producer, and `bytes` of all. If there are too many
    /// producers, those are left out whose last record is the oldest.
    pub(crate) fn newest(all: Vec<ProducerRecords>, bytes_each: usize, bytes: usize) -> Vec<ProducerRecords> {
        let kept = all.into_iter().map(|producer| producer.cut_to(bytes_each));
        let mut kept: Vec<_> = kept.filter(|producer| !producer.is_empty()).collect();
        kept.sort_by_key(|producer| Reverse(producer.heads.last().map(|head| head.timestamp_ns)));
        kept.truncate(PRODUCERS_MAX);
        let mut left = bytes;
        kept.retain(|producer| {
            let fits = left.checked_sub(producer.heads.iter().map(RecordHead::memory_bytes).sum());
            left = fits.unwrap_or(0);
            fits.is_some()
        });
        kept
    }

    /// Its newest records, of at most `bytes`.
    fn cut_to(mut self, bytes: usize) -> ProducerRecords {
        let mut left = bytes;
        let fits = |head: &&RecordHead| {
            let fits = left.checked_sub(head.memory_bytes());
            left = fits.unwrap_or(0);
            fits.is_some()
        };
        let kept = self.heads.iter().rev().take_while(fits).count();
        let first = self.heads.len() - kept;
        let begin = self.heads.get(first).map_or(self.payloads.len(), |head| head.begin);
        self.heads.drain(..first);
        self.payloads.drain(..begin);
        self.heads.iter_mut().for_each(|head| head.begin -= begin);
        self.heads.shrink_to_fit();
        self.payloads.shrink_to_fit();
        self
    }

    /// The payload of a record.
    pub(super) fn payload(&self, head: &RecordHead) -> &[u8] {
        self.payloads.get(head.begin..).and_then(|rest| rest.get(..head.bytes)).unwrap_or_default()
    }

    /// The number of the first record.
    pub(super) fn first(&self) -> u64 {
        self.heads.first().map_or(0, |head| head.sequence)
    }

    /// The producer's row after `records` of its records, the next of which would have number `next_sequence`. What came
    /// before the first one is not this snapshot's affair, and counts as kept elsewhere.
    pub(super) fn row(&self, records: u64, next_sequence: u64) -> ProducerRow {
        let missing = (next_sequence - self.first()).saturating_sub(records);
        let dropped = missing.min(self.dropped);
        ProducerRow {
            id: self.id,
            tid: self.tid,
            next_sequence,
            records: self.first() + records,
            dropped,
            dropped_by: Some(DroppedBy { ring_full: dropped, ..DroppedBy::default() }),
            overwritten: missing - dropped,
            unwritten: 0,
            name: self.name.clone(),
        }
    }

    /// Why numbers between its records are missing.
    pub(super) fn cause_of_gaps(&self) -> LossCause {
        if self.dropped == 0 { LossCause::Overwritten } else { LossCause::Unknown }
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

    fn texts(producer: &ProducerRecords) -> Vec<String> {
        producer.heads.iter().map(|head| String::from_utf8_lossy(producer.payload(head)).into_owned()).collect()
    }

    #[test]
    fn what_could_not_be_written_comes_before_what_follows() {
        let joined = ProducerRecords::joined(vec![producer(1, 3..5)], vec![producer(2, 0..1), producer(1, 7..9)]);
        assert_eq!(joined.iter().map(|producer| producer.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(texts(&joined[0]), ["record 3", "record 4", "record 7", "record 8"]);
        assert_eq!((joined[0].dropped, texts(&joined[1])), (2, vec!["record 0".to_owned()]));
    }

    #[test]
    fn only_the_newest_are_kept() {
        let each = size_of::<RecordHead>() + "record 0".len();
        let cut = |bytes| texts(&producer(1, 0..5).cut_to(bytes));
        assert_eq!(cut(5 * each).len(), 5);
        assert_eq!(cut(3 * each - 1), ["record 3", "record 4"]);
        assert_eq!(cut(2 * each), ["record 3", "record 4"]);
        assert_eq!(cut(each), ["record 4"]);
        assert_eq!(cut(each - 1), Vec::<String>::new());
        // Of several producers those go whose last record is the oldest, as a whole.
        let of_all = |bytes| {
            let all = vec![producer(1, 0..5), producer(2, 7..9), producer(3, 2..3), producer(4, 0..0)];
            ProducerRecords::newest(all, 3 * each, bytes).iter().map(|left| left.id).collect::<Vec<_>>()
        };
        assert_eq!(of_all(6 * each), [2, 1, 3]);
        assert_eq!(of_all(6 * each - 1), [2, 1]);
        assert_eq!(of_all(2 * each), [2]);
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
