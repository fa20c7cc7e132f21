//! One producer's ring in the recorder, as a snapshot sees it: what was taken of it, and what is new.

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
    /// Records taken.
    taken: u64,
    /// Attempts that were dropped, when records were taken last.
    dropped: u64,
    /// The time of the last record taken: times never go back.
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
        RecorderRing { producer, consumer, returned: None, taken: 0, dropped: 0, last_ns: 0 }
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
        self.consumer.observe();
        let bytes = self.consumer.unread_bytes().min(self.consumer.capacity());
        let mut room = Room { heads: Vec::new(), payloads: Vec::new() };
        let out_of_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        room.heads.try_reserve_exact(bytes / HEAD_BYTES).map_err(out_of_memory)?;
        room.payloads.try_reserve_exact(bytes).map_err(out_of_memory)?;
        Ok(room)
    }

    /// Takes the records that were observed, as far as `room` has place. No record gets a later time than `now_ns`.
    pub(super) fn take(&mut self, room: Room, converter: &TickConverter, now_ns: u64) -> ProducerRecords {
        let Room { mut heads, mut payloads } = room;
        let last_ns = &mut self.last_ns;
        // The producer waits while this copies, so nothing here allocates.
        self.consumer.consume_from::<true>(usize::MAX, |head: &Head, payload| {
            let is_full = heads.len() == heads.capacity() || payload.len() > payloads.capacity() - payloads.len();
            if is_full {
                return false;
            }
            *last_ns = clock::clamp(converter.to_ns(head.ticks), *last_ns, now_ns);
            let [kind, level, flags, _] = head.tag.to_le_bytes();
            let (sequence, timestamp_ns, begin) = (head.sequence, *last_ns, payloads.len());
            heads.push(RecordHead { sequence, timestamp_ns, kind, level, flags, begin, bytes: payload.len() });
            payloads.extend_from_slice(payload);
            true
        });
        self.taken += heads.len() as u64;
        let dropped = self.consumer.control().counts().dropped;
        let dropped_since = dropped - std::mem::replace(&mut self.dropped, dropped);
        let Identity { id, tid, name } = self.producer.clone();
        ProducerRecords { id, tid, name, dropped: dropped_since, heads, payloads }
    }

    /// How many records it has got, and how many of them newer ones have replaced.
    pub(super) fn counts(&self) -> (u64, u64) {
        let counts = self.consumer.control().counts();
        (counts.attempted.saturating_sub(counts.dropped), counts.overwritten)
    }

    /// How many of so many records it holds.
    pub(super) fn held(&self, recorded: u64, overwritten: u64) -> u64 {
        recorded.saturating_sub(overwritten + self.taken)
    }
}
