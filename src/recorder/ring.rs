//! One producer's ring in the recorder, as a snapshot sees it: which records are in a snapshot already, and which are
//! new.
//!
//! A snapshot copies the records, and they stay in the ring until the snapshot is durable. If the process dies before
//! that, recovery finds them in the ring, if it is shared. If the snapshot fails, the next one copies them again.

use std::io;

use crate::clock::{self, TickConverter};
use crate::ring::{ConsumerEnd, HEAD_BYTES, Head, ProducerEnd};
use crate::snapshot::{ProducerRecords, RecordHead};

/// The producer of the records in a ring.
#[derive(Clone, Debug)]
pub(crate) struct RecordedProducer {
    pub(crate) id: u32,
    pub(crate) tid: u32,
    pub(crate) name: String,
}

/// A producer's ring.
pub(super) struct RecorderRing {
    producer: RecordedProducer,
    consumer: ConsumerEnd,
    /// The producer's end, after the producer has ended.
    returned: Option<ProducerEnd>,
    /// Records that are in snapshots.
    written: u64,
    /// Those of them that the producer had overwritten while the snapshot was being written.
    written_and_overwritten: u64,
    /// The ring's count of dropped attempts at the last copy that counts. The next snapshot counts only later ones.
    dropped: u64,
    /// The time of the last record in a snapshot. Later records get no earlier time.
    last_ns: u64,
    /// The copy that is being written to a snapshot.
    copied: Option<Copied>,
}

/// Records that were copied from a ring, and are not known to be in a snapshot yet.
#[derive(Clone, Copy)]
struct Copied {
    records: u64,
    /// The count of overwritten records before the copy; the others are as of the end of the copy.
    overwritten_before: u64,
    dropped: u64,
    last_ns: u64,
}

/// Memory for all records that a ring may hold.
pub(super) struct CopyRoom {
    heads: Vec<RecordHead>,
    payloads: Vec<u8>,
}

impl RecorderRing {
    pub(super) fn new(producer: RecordedProducer, consumer: ConsumerEnd) -> RecorderRing {
        RecorderRing {
            producer,
            consumer,
            returned: None,
            written: 0,
            written_and_overwritten: 0,
            dropped: 0,
            last_ns: 0,
            copied: None,
        }
    }

    /// Notes that the producer has ended.
    pub(super) fn note_ended(&mut self, end: ProducerEnd) {
        self.returned = Some(end);
    }

    /// Notes that the ring's records are not needed any more, if its memory outlives the process.
    pub(super) fn vacate(&self) {
        if let Some(producer) = &self.returned {
            producer.ring().vacate();
        }
    }

    /// Both ends of the ring, emptied and with all counts 0, for another producer; `None` if its producer has not
    /// ended.
    pub(super) fn into_empty(self) -> Option<(ProducerEnd, ConsumerEnd)> {
        let RecorderRing { mut consumer, returned, .. } = self;
        let producer = returned?;
        consumer.observe();
        consumer.consume_from::<true>(usize::MAX, |_, _| true);
        producer.ring().vacate();
        producer.control().reset();
        Some((producer, consumer))
    }

    /// Observes the ring, and allocates memory for its records.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(super) fn make_room(&mut self) -> io::Result<CopyRoom> {
        self.consumer.observe_all();
        let bytes = self.consumer.unread_bytes().min(self.consumer.capacity());
        let mut room = CopyRoom { heads: Vec::new(), payloads: Vec::new() };
        let out_of_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        room.heads.try_reserve_exact(bytes / HEAD_BYTES).map_err(out_of_memory)?;
        room.payloads.try_reserve_exact(bytes).map_err(out_of_memory)?;
        Ok(room)
    }

    /// Copies the observed records, as far as `room` has space. No record gets a later time than `now_ns`. The records
    /// stay in the ring until [`free_written`](Self::free_written).
    pub(super) fn copy(&mut self, room: CopyRoom, converter: &TickConverter, now_ns: u64) -> ProducerRecords {
        let CopyRoom { mut heads, mut payloads } = room;
        let overwritten_before = self.consumer.control().counts().overwritten;
        let mut last_ns = self.last_ns;
        // The producer's appends fail during the copy, so it must be short: nothing here allocates.
        self.consumer.copy(|head: &Head, payload| {
            let is_full = heads.len() == heads.capacity() || payload.len() > payloads.capacity() - payloads.len();
            if is_full {
                return false;
            }
            last_ns = clock::clamp(converter.to_ns(head.ticks), last_ns, now_ns);
            let [kind, level, flags, _] = head.tag.to_le_bytes();
            let (sequence, timestamp_ns, begin) = (head.sequence, last_ns, payloads.len());
            heads.push(RecordHead { sequence, timestamp_ns, kind, level, flags, begin, bytes: payload.len() });
            payloads.extend_from_slice(payload);
            true
        });
        let dropped = self.consumer.control().counts().dropped;
        let dropped_since = dropped - self.dropped;
        match heads.len() as u64 {
            // Dropped attempts without a record: no snapshot shows them.
            0 => self.dropped = dropped,
            records => self.copied = Some(Copied { records, overwritten_before, dropped, last_ns }),
        }
        let RecordedProducer { id, tid, name } = self.producer.clone();
        ProducerRecords { id, tid, name, dropped: dropped_since, heads, payloads }
    }

    /// Frees the records that were copied as `written`, which are now in a snapshot.
    pub(super) fn free_written(&mut self, written: &ProducerRecords) {
        let Some(Copied { records, dropped, last_ns, .. }) = self.copied.take() else { return };
        let first_left = self.consumer.release_copied().unwrap_or(u64::MAX);
        let given_up = written.heads.partition_point(|head| head.sequence < first_left);
        self.written += records;
        self.written_and_overwritten += given_up as u64;
        (self.dropped, self.last_ns) = (dropped, last_ns);
    }

    /// Notes that the copied records are not in a snapshot. The next snapshot copies them again.
    pub(super) fn keep(&mut self) {
        self.copied = None;
    }

    /// Observes the ring of a producer that has ended. Returns whether it is empty.
    pub(super) fn observe_done(&mut self) -> bool {
        self.consumer.observe_all();
        self.consumer.unread_bytes() == 0
    }

    /// How many records the ring has taken, and how many of them were overwritten before a snapshot had them. While a
    /// copy is being written, records that are overwritten meanwhile do not count, because the copy may have them.
    pub(super) fn counts(&self) -> (u64, u64) {
        let counts = self.consumer.control().counts();
        let overwritten = self.copied.map_or(counts.overwritten, |copied| copied.overwritten_before);
        (counts.attempted.saturating_sub(counts.dropped), overwritten.saturating_sub(self.written_and_overwritten))
    }

    /// How many records are in the copy that is being written.
    pub(super) fn copied(&self) -> u64 {
        self.copied.map_or(0, |copied| copied.records)
    }

    /// How many records the ring holds, given its [`counts`](Self::counts).
    pub(super) fn held(&self, recorded: u64, overwritten: u64) -> u64 {
        recorded.saturating_sub(overwritten + self.written)
    }
}
