//! One producer's ring in the recorder, as a snapshot sees it: what was written of it, and what is new.
//!
//! A snapshot copies the records, and they stay in the ring until it is durable: if the process dies meanwhile, a
//! recovery finds them in a ring that is shared, and if the snapshot fails, the next one does.

use std::io;

use crate::clock::{self, TickConverter};
use crate::ring::{ConsumerEnd, HEAD_BYTES, Head, ProducerEnd};
use crate::snapshot::{ProducerRecords, RecordHead};

/// Who logs the records of a ring.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: u32,
    pub(crate) tid: u32,
    pub(crate) name: String,
}

/// A producer's ring.
pub(super) struct RecorderRing {
    producer: Identity,
    consumer: ConsumerEnd,
    /// The other end, once the producer has ended.
    returned: Option<ProducerEnd>,
    /// Records in snapshots.
    written: u64,
    /// Those of them that the producer has given up while they were being written.
    written_and_overwritten: u64,
    /// Attempts that were dropped before those that no snapshot counts.
    dropped: u64,
    /// The time of the last record in a snapshot: times never go back.
    last_ns: u64,
    /// The copy that is being written, if one is.
    copied: Option<Copied>,
}

/// Records of a ring that were copied, and are not known to be in a snapshot yet.
#[derive(Clone, Copy)]
struct Copied {
    records: u64,
    /// The ring's counts before it was copied, or after that.
    overwritten_before: u64,
    dropped: u64,
    last_ns: u64,
}

/// Memory for the records that a ring holds at most.
pub(super) struct Room {
    heads: Vec<RecordHead>,
    payloads: Vec<u8>,
}

impl RecorderRing {
    /// A new ring.
    pub(super) fn new(producer: Identity, consumer: ConsumerEnd) -> RecorderRing {
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

    /// Notes that what the ring holds does not matter any more.
    pub(super) fn vacate(&self) {
        if let Some(producer) = &self.returned {
            producer.ring().vacate();
        }
    }

    /// Both ends of the ring, empty and with all counts 0, for another producer; `None` if its producer has not ended.
    pub(super) fn into_empty(self) -> Option<(ProducerEnd, ConsumerEnd)> {
        let RecorderRing { mut consumer, returned, .. } = self;
        let producer = returned?;
        consumer.observe();
        consumer.consume_from::<true>(usize::MAX, |_, _| true);
        producer.ring().vacate();
        producer.control().reset();
        Some((producer, consumer))
    }

    /// Observes the ring, and gets the memory for what it holds.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(super) fn make_room(&mut self) -> io::Result<Room> {
        self.consumer.observe_all();
        let bytes = self.consumer.unread_bytes().min(self.consumer.capacity());
        let mut room = Room { heads: Vec::new(), payloads: Vec::new() };
        let out_of_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        room.heads.try_reserve_exact(bytes / HEAD_BYTES).map_err(out_of_memory)?;
        room.payloads.try_reserve_exact(bytes).map_err(out_of_memory)?;
        Ok(room)
    }

    /// Copies the records that were observed, as far as `room` has place. No record gets a later time than `now_ns`.
    /// They stay in the ring until [`settle`](Self::settle).
    pub(super) fn copy(&mut self, room: Room, converter: &TickConverter, now_ns: u64) -> ProducerRecords {
        let Room { mut heads, mut payloads } = room;
        let overwritten_before = self.consumer.control().counts().overwritten;
        let mut last_ns = self.last_ns;
        // The producer waits while this copies, so nothing here allocates.
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
            // They are no part of any snapshot.
            0 => self.dropped = dropped,
            records => self.copied = Some(Copied { records, overwritten_before, dropped, last_ns }),
        }
        let Identity { id, tid, name } = self.producer.clone();
        ProducerRecords { id, tid, name, dropped: dropped_since, heads, payloads }
    }

    /// Frees the records that were copied as `written`, which are in a snapshot now.
    pub(super) fn settle(&mut self, written: &ProducerRecords) {
        let Some(Copied { records, dropped, last_ns, .. }) = self.copied.take() else { return };
        let first_left = self.consumer.release_copied().unwrap_or(u64::MAX);
        let given_up = written.heads.partition_point(|head| head.sequence < first_left);
        self.written += records;
        self.written_and_overwritten += given_up as u64;
        (self.dropped, self.last_ns) = (dropped, last_ns);
    }

    /// Notes that what was copied is not in a snapshot: the next one copies it again.
    pub(super) fn keep(&mut self) {
        self.copied = None;
    }

    /// Whether the ring of a producer that has ended is empty.
    pub(super) fn is_done(&mut self) -> bool {
        self.consumer.observe_all();
        self.consumer.unread_bytes() == 0
    }

    /// How many records it has got, and how many of them newer ones have replaced before they were in a snapshot. As
    /// long as a copy is being written, what is replaced meanwhile may be in it, and does not count.
    pub(super) fn counts(&self) -> (u64, u64) {
        let counts = self.consumer.control().counts();
        let overwritten = self.copied.map_or(counts.overwritten, |copied| copied.overwritten_before);
        (counts.attempted.saturating_sub(counts.dropped), overwritten.saturating_sub(self.written_and_overwritten))
    }

    /// How many records are in the copy that is being written.
    pub(super) fn copied(&self) -> u64 {
        self.copied.map_or(0, |copied| copied.records)
    }

    /// How many of so many records it holds.
    pub(super) fn held(&self, recorded: u64, overwritten: u64) -> u64 {
        recorded.saturating_sub(overwritten + self.written)
    }
}
