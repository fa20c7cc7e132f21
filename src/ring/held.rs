//! A claimed record that the caller fills in place, for as long as it likes, before it commits or drops it.
//!
//! 1. While a [`HeldRoom`] exists, its bytes are free (2 and 5 of `ring`), contiguous, initialised, and used by nobody
//!    else. It borrows the end exclusively, so no other claim is made. The consumer reads nothing after
//!    `write_position`, which does not move during that time.
//!
//! Nothing is published before the commit, and without a commit nothing has to be undone: a `HeldRoom` that is dropped,
//! or forgotten, leaves the ring like any dropped claim. The memory of a loom model has no bytes that can be lent, so
//! the model keeps the payload in a vector.

#![allow(unsafe_code, reason = "claimed bytes of the ring are lent out as a slice")]

use std::fmt;

use super::append_flag::AppendFlag;
use super::layout::Full;
#[cfg(not(loom))]
use super::payload::Claimed;
use super::payload::Payload;
use super::producer::ProducerEnd;

/// Room for the payload of one record. It begins as zeros.
pub(crate) struct HeldRoom<'a> {
    end: &'a mut ProducerEnd,
    position: u64,
    bytes: usize,
    #[cfg(loom)]
    kept: Vec<u8>,
}

/// A payload that is filled and not published. Nobody can write to it any more.
pub(crate) struct Ready<'a> {
    end: &'a ProducerEnd,
    position: u64,
    #[cfg(not(loom))]
    payload: InPlace,
    #[cfg(loom)]
    payload: Vec<u8>,
}

/// A payload that is in the ring already.
#[cfg(not(loom))]
struct InPlace(usize);

#[cfg(not(loom))]
impl Payload for InPlace {
    fn bytes(&self) -> usize {
        self.0
    }

    fn write(&self, claimed: &mut Claimed<'_>) {
        claimed.leave(self.0);
    }
}

impl ProducerEnd {
    /// Finds room in the window for a record with `payload_bytes` of payload, so that the next claim of that size
    /// succeeds. A `severe` record may use the room that is kept for such records. No record is written or counted. (A
    /// skip may be written; and an overwriting ring gives up its oldest records, and counts them.)
    ///
    /// # Errors
    /// [`Full`], as for [`append`](Self::append).
    pub(crate) fn make_room(&self, payload_bytes: usize, severe: bool) -> Result<(), Full> {
        match self.claim(payload_bytes) {
            Err(Full) if severe => self.claim_severe_only(payload_bytes).map(drop),
            claim => claim.map(drop),
        }
    }

    /// Claims room for a record in the window, and sets its payload to zeros. Returns the end as the error if there is
    /// no room.
    pub(crate) fn hold(&mut self, payload_bytes: usize) -> Result<HeldRoom<'_>, &mut ProducerEnd> {
        let Ok(position) = self.claim(payload_bytes).map(|claim| claim.position()) else { return Err(self) };
        #[cfg(not(loom))]
        // SAFETY: the claim's words are free and contiguous (1), and in bounds.
        unsafe {
            self.payload_at(position).write_bytes(0, payload_bytes);
        }
        Ok(HeldRoom {
            end: self,
            position,
            bytes: payload_bytes,
            #[cfg(loom)]
            kept: vec![0; payload_bytes],
        })
    }
}

impl<'a> HeldRoom<'a> {
    /// Gives up the bytes after the first `bytes`.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.bytes = self.bytes.min(bytes);
    }

    /// The payload.
    pub(crate) fn bytes(&self) -> &[u8] {
        #[cfg(not(loom))]
        // SAFETY: (1), for the life of the borrow of this value.
        return unsafe { std::slice::from_raw_parts(self.end.payload_at(self.position), self.bytes) };
        #[cfg(loom)]
        &self.kept[..self.bytes]
    }

    /// The payload, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        #[cfg(not(loom))]
        // SAFETY: (1), for the life of the exclusive borrow of this value.
        return unsafe { std::slice::from_raw_parts_mut(self.end.payload_at(self.position), self.bytes) };
        #[cfg(loom)]
        &mut self.kept[..self.bytes]
    }

    /// Ends the filling.
    pub(crate) fn ready(self) -> Ready<'a> {
        let HeldRoom { end, position, bytes, .. } = self;
        #[cfg(not(loom))]
        let payload = InPlace(bytes);
        #[cfg(loom)]
        let payload = self.kept[..bytes].to_vec();
        Ready { end, position, payload }
    }
}

impl<'a> Ready<'a> {
    /// The producer's end, for its counts.
    pub(crate) fn end(&self) -> &'a ProducerEnd {
        self.end
    }

    /// The producer's append flag. The commit is an append.
    pub(crate) fn flag(&self) -> &'a AppendFlag {
        self.end.control().append_flag()
    }

    /// Publishes the record with the next sequence number and the time that `clock` gives, and counts it. Returns
    /// `false`, and does nothing, if another record has used the room.
    pub(crate) fn commit(self, tag: u32, clock: impl FnOnce() -> u64) -> bool {
        let Ready { end, position, payload } = self;
        #[cfg(loom)]
        let payload = &payload[..];
        let claim = end.claim_at(position, payload.bytes());
        #[cfg(not(loom))]
        let payload = &payload;
        claim.map(|claim| claim.fill::<false>(tag, payload, clock).commit()).is_some()
    }
}

impl fmt::Debug for HeldRoom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldRoom").field("position", &self.position).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::ring::{ConsumerEnd, RingOptions, ring};

    /// Takes all records: sequence and payload.
    fn take(consumer: &mut ConsumerEnd) -> Vec<(u64, Vec<u8>)> {
        let mut records = Vec::new();
        consumer.observe();
        consumer.consume(usize::MAX, |head, payload| {
            records.push((head.sequence, payload.to_vec()));
            true
        });
        consumer.release(consumer.cursor());
        records
    }

    fn ends() -> (ProducerEnd, ConsumerEnd) {
        ring(RingOptions::window(4096)).expect("a ring")
    }

    fn hold(producer: &mut ProducerEnd, bytes: usize) -> HeldRoom<'_> {
        producer.hold(bytes).expect("room")
    }

    #[test]
    fn what_is_filled_in_place_is_read_with_the_number_of_its_commit() {
        let (mut producer, mut consumer) = ends();
        producer.append(1, &b"before"[..], || 1).expect("room");
        let mut held = hold(&mut producer, 10);
        held.bytes_mut()[..4].copy_from_slice(b"fill");
        assert_eq!(held.bytes(), b"fill\0\0\0\0\0\0");
        assert!(held.ready().commit(7, || 2));
        producer.append(1, &b"after"[..], || 3).expect("room");
        let expected = [(0, b"before".to_vec()), (1, b"fill\0\0\0\0\0\0".to_vec()), (2, b"after".to_vec())];
        assert_eq!(take(&mut consumer), expected);
    }

    #[test]
    fn it_is_zero_at_first_whatever_the_ring_held_before() {
        let (mut producer, mut consumer) = ends();
        for length in (1..=300).cycle().take(2_000) {
            producer.append(1, &vec![0xEE; 300][..], || 1).expect("room");
            take(&mut consumer);
            let mut held = hold(&mut producer, length);
            assert!(held.bytes().iter().all(|byte| *byte == 0), "{length} bytes");
            held.bytes_mut().fill(0xDD);
            assert!(held.ready().commit(7, || 2));
            assert_eq!(take(&mut consumer)[0].1, vec![0xDD; length]);
        }
    }

    #[test]
    fn one_that_is_given_up_leaves_no_trace() {
        let (mut producer, mut consumer) = ends();
        // Also at the end of the memory, where a skip is written.
        for round in 0..200_u64 {
            hold(&mut producer, 100).bytes_mut().fill(0xCC);
            hold(&mut producer, 500).bytes_mut().fill(0xBB);
            assert!(take(&mut consumer).is_empty());
            producer.append(1, &b"record"[..], || 1).expect("room");
            assert_eq!(take(&mut consumer), [(round, b"record".to_vec())]);
        }
    }

    #[test]
    fn one_that_is_shortened_takes_the_room_of_what_is_left() {
        let (mut producer, mut consumer) = ends();
        for _ in 0..90 {
            let mut held = hold(&mut producer, 1_000);
            held.bytes_mut()[..5].copy_from_slice(b"short");
            held.truncate(2_000);
            assert_eq!(held.bytes().len(), 1_000);
            held.truncate(5);
            assert_eq!(held.bytes(), b"short");
            assert!(held.ready().commit(7, || 2));
        }
        assert_eq!(take(&mut consumer).len(), 90);
    }

    #[test]
    fn a_full_ring_gives_the_end_back_and_counts_nothing() {
        let (mut producer, mut consumer) = ends();
        let mut written = 0;
        while let Ok(held) = producer.hold(1_000) {
            assert!(held.ready().commit(7, || 2));
            written += 1;
        }
        assert!(producer.make_room(1_000, false).is_err());
        assert!(producer.hold(4_000).is_err(), "more than fits");
        assert_eq!((written, producer.next_sequence()), (4, 4));
        assert_eq!(take(&mut consumer).len(), 4);
        assert!(producer.make_room(1_000, false).is_ok());
        assert!(producer.hold(1_000).is_ok());
    }
}
