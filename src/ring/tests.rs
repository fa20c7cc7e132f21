//! The ring against a simple model, and under two threads.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use proptest::prelude::*;

use super::control::Counts;
use super::layout::{Head, record_bytes, record_bytes_max};
use super::*;

/// A payload that differs from that of every near sequence.
fn payload_of(sequence: u64, length: usize) -> Vec<u8> {
    (0..length).map(|index| (sequence as u8).wrapping_mul(31).wrapping_add(index as u8) | 1).collect()
}

fn head_of(sequence: u64, length: usize) -> Head {
    Head { length: length as u32, tag: !(sequence as u32), sequence, ticks: sequence.wrapping_mul(1_000_003) }
}

fn check(sequence: u64, head: &Head, payload: &[u8]) {
    assert_eq!(*head, head_of(sequence, payload.len()));
    assert_eq!(payload, payload_of(sequence, payload.len()));
}

/// Appends as a producer does: on the fast path if the payload fits it. Returns the number that the record took; one
/// that does not fit takes none.
fn append(producer: &ProducerEnd, length: usize) -> Result<u64, Full> {
    let sequence = producer.next_sequence();
    let (head, payload) = (head_of(sequence, length), payload_of(sequence, length));
    let appended = if producer.fits_fast_path(0, payload.len()) {
        producer.append_fast(head.tag, &payload[..], || head.ticks)
    } else {
        producer.append(head.tag, &payload[..], || head.ticks)
    };
    assert_eq!(producer.next_sequence(), sequence + u64::from(appended.is_ok()));
    appended.map(|()| sequence)
}

fn private(capacity_bytes: usize, overwrite: bool, start: u64) -> (ProducerEnd, ConsumerEnd) {
    ring(RingOptions { overwrite, start, ..RingOptions::window(capacity_bytes) }).expect("a small ring")
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        length: usize,
    },
    /// Claim as for a record, fill if `fills`, and drop that.
    Abandon {
        length: usize,
        fills: bool,
    },
    Observe,
    /// Take up to `records`, in a piece of `piece_bytes`.
    Consume {
        piece_bytes: usize,
        records: usize,
    },
    /// Release the oldest `share` (of 8) of the records taken.
    Release {
        share: u64,
    },
}

/// Steps that fit a ring of `capacity` bytes: lengths from 0 to above the largest, short ones more often.
fn steps(capacity: usize) -> impl Strategy<Value = Vec<Step>> {
    let longest = record_bytes_max(capacity) - HEAD_BYTES;
    let length = prop_oneof![8 => 0..200_usize, 2 => 0..longest + 1, 1 => longest - 8..longest + 9];
    let step = prop_oneof![
        10 => length.clone().prop_map(|length| Step::Append { length }),
        3 => (length, any::<bool>()).prop_map(|(length, fills)| Step::Abandon { length, fills }),
        2 => Just(Step::Observe),
        3 => (0..capacity, 0..40_usize).prop_map(|(piece_bytes, records)| Step::Consume { piece_bytes, records }),
        2 => (1..9_u64).prop_map(|share| Step::Release { share }),
    ];
    prop::collection::vec(step, 0..400)
}

fn sized_steps() -> impl Strategy<Value = (usize, u64, Vec<Step>)> {
    let start = prop_oneof![Just(0), 0..u64::MAX, (0..1_u64 << 18).prop_map(|below| u64::MAX - below)];
    (12..17_u32, start).prop_flat_map(|(log, start)| (Just(1 << log), Just(start & !7), steps(1 << log)))
}

/// The ring as documented, with a queue instead of memory.
struct Model {
    capacity: u64,
    overwrite: bool,
    /// The entries from `read_position` to `position`: the end of each record, and its sequence. A skip is an entry of
    /// its own, without a sequence.
    entries: VecDeque<(u64, Option<u64>)>,
    /// How many entries, from the front, are taken and not yet released, how many are observed, and how many published.
    taken: usize,
    observed: usize,
    published: usize,
    /// `write_position`, or after it by a skip that is not published.
    position: u64,
    write_position: u64,
    read_position: u64,
    overwritten: u64,
}

impl Model {
    /// Finds room for a record, and writes the skip. Returns the end of the record; `None` if there is no room.
    fn claim(&mut self, length: usize) -> Option<u64> {
        let bytes = (HEAD_BYTES + length.div_ceil(8) * 8) as u64;
        let to_end = self.capacity - self.position % self.capacity;
        let start = self.position.wrapping_add(if bytes > to_end { to_end } else { 0 });
        let end = start.wrapping_add(bytes);
        while end.wrapping_sub(self.read_position) > self.capacity {
            if !self.overwrite {
                return None;
            }
            self.overwritten += u64::from(self.entries[0].1.is_some());
            self.pop();
        }
        if start != self.position {
            self.entries.push_back((start, None));
            self.position = start;
        }
        Some(end)
    }

    fn append(&mut self, sequence: u64, length: usize) -> bool {
        let Some(end) = self.claim(length) else { return false };
        self.entries.push_back((end, Some(sequence)));
        (self.position, self.write_position, self.published) = (end, end, self.entries.len());
        true
    }

    fn pop(&mut self) {
        self.read_position = self.entries.pop_front().expect("not empty").0;
        self.taken = self.taken.saturating_sub(1);
        self.observed = self.observed.saturating_sub(1);
        self.published = self.published.checked_sub(1).expect("a skip that is not published is not given up");
    }

    /// Bytes of the records among these entries, without skips.
    fn record_bytes(&self, entries: Range<usize>) -> u64 {
        let begin = |at: usize| if at == 0 { self.read_position } else { self.entries[at - 1].0 };
        let records = entries.filter(|&at| self.entries[at].1.is_some());
        records.map(|at| self.entries[at].0.wrapping_sub(begin(at))).sum()
    }

    /// Takes the records that the consumer took, in a piece of `piece_bytes`, and checks that it had a reason to stop.
    fn take(&mut self, got: &[u64], piece_bytes: u64, refused: bool) {
        let mut bytes = 0;
        for &sequence in got {
            assert!(bytes < piece_bytes, "went on after the piece");
            self.taken += usize::from(self.entries[self.taken].1.is_none());
            assert!(self.taken < self.observed, "took what was not observed");
            assert_eq!(self.entries[self.taken].1, Some(sequence));
            bytes += self.record_bytes(self.taken..self.taken + 1);
            self.taken += 1;
        }
        let full = bytes >= piece_bytes;
        if !full && self.taken < self.observed && self.entries[self.taken].1.is_none() {
            // A skip is passed before the next record is offered, also if that one is refused.
            self.taken += 1;
        }
        assert!(full || refused || self.taken == self.observed, "stopped for no reason");
        if self.overwrite {
            while self.taken > 0 {
                self.pop();
            }
        }
    }
}

fn agrees_with_the_model(capacity: usize, overwrite: bool, start: u64, steps: Vec<Step>) {
    let (producer, mut consumer) = private(capacity, overwrite, start);
    let mut model = Model {
        capacity: capacity as u64,
        overwrite,
        entries: VecDeque::new(),
        taken: 0,
        observed: 0,
        published: 0,
        position: start,
        write_position: start,
        read_position: start,
        overwritten: 0,
    };
    for step in steps {
        match step {
            Step::Append { length } | Step::Abandon { length, .. }
                if HEAD_BYTES + length > record_bytes_max(capacity) =>
            {
                // A record that is too long is refused only if it does not happen to fit; nothing above the ring tries.
            }
            Step::Append { length } => {
                let sequence = producer.next_sequence();
                let appended = append(&producer, length).is_ok();
                assert_eq!(appended, model.append(sequence, length), "{length} bytes");
                if !appended {
                    producer.drop_attempt(DropCause::Full);
                }
            }
            Step::Abandon { length, fills } => {
                let before = producer.next_sequence();
                let claim = producer.claim(length);
                assert_eq!(claim.is_ok(), model.claim(length).is_some(), "{length} bytes");
                if let Ok(claim) = claim
                    && fills
                {
                    drop(claim.fill::<false>(0xBAD, &vec![0xBD; length][..], || 0xBAD));
                }
                assert_eq!(producer.next_sequence(), before);
            }
            Step::Observe => {
                assert_eq!(consumer.observe().window, model.write_position);
                model.observed = model.published;
            }
            Step::Consume { piece_bytes, records } => {
                let (mut got, mut refused) = (Vec::new(), false);
                let count = consumer.consume(piece_bytes, |head, payload| {
                    assert!(!refused, "offered after a refusal");
                    check(head.sequence, head, payload);
                    refused = got.len() == records;
                    if !refused {
                        got.push(head.sequence);
                    }
                    !refused
                });
                assert_eq!(count, got.len());
                model.take(&got, piece_bytes as u64, refused);
            }
            Step::Release { share } => {
                for _ in 0..(model.taken as u64 * share).div_ceil(8) {
                    model.pop();
                }
                consumer.release(Position { window: model.read_position, reserve: 0 });
            }
        }
        assert_eq!(producer.control().counts().overwritten, model.overwritten);
        if !overwrite {
            assert_eq!(consumer.unread_bytes() as u64, model.record_bytes(model.taken..model.observed));
            assert_eq!(consumer.used_bytes() as u64, model.record_bytes(0..model.observed));
        }
    }
}

proptest! {
    #[test]
    fn a_ring_that_drops_the_newest_agrees_with_the_model((capacity, start, steps) in sized_steps()) {
        agrees_with_the_model(capacity, false, start, steps);
    }

    #[test]
    fn a_ring_that_overwrites_the_oldest_agrees_with_the_model((capacity, start, steps) in sized_steps()) {
        agrees_with_the_model(capacity, true, start, steps);
    }
}

#[test]
fn every_length_comes_out_as_it_went_in() {
    let (producer, mut consumer) = private(4096, false, 0);
    for _ in 0..3 {
        for length in 0..=record_bytes_max(4096) - HEAD_BYTES {
            let sequence = append(&producer, length).expect("an empty ring");
            consumer.observe();
            let mut calls = 0;
            consumer.consume(usize::MAX, |head, payload| {
                calls += 1;
                check(sequence, head, payload);
                assert_eq!(payload.len(), length);
                true
            });
            assert_eq!(calls, 1);
            consumer.release(consumer.cursor());
        }
    }
}

#[test]
fn a_full_ring_refuses_says_that_it_wants_space_and_accepts_again_after_release() {
    let (producer, mut consumer) = private(4096, false, u64::MAX - 4095);
    while append(&producer, 40).is_ok() {}
    assert_eq!(producer.next_sequence(), 64);
    assert!(producer.control().wants_space());
    consumer.observe();
    assert_eq!(consumer.unread_bytes(), 4096);
    assert_eq!(consumer.consume(usize::MAX, |_, _| true), 64);
    assert_eq!(consumer.unread_bytes(), 0);
    assert_eq!(append(&producer, 40), Err(Full), "taken, but not released");
    consumer.release(consumer.cursor());
    assert_eq!(append(&producer, 40), Ok(64));
}

#[test]
fn the_longest_record_fits_an_empty_ring_wherever_it_begins() {
    for start in (0..4096).step_by(8) {
        let (producer, _consumer) = private(4096, false, start);
        let length = record_bytes_max(4096) - HEAD_BYTES;
        assert_eq!(append(&producer, length), Ok(0), "at {start}");
    }
}

/// Claims room for `length` bytes and drops that, empty or filled: nothing may be left of it.
fn abandon(producer: &ProducerEnd, length: usize) {
    drop(producer.claim(length).expect("room"));
    drop(producer.claim(length).expect("room").fill::<false>(0xBAD, &vec![0xBD; length][..], || 0xBAD));
}

#[test]
fn a_claim_that_is_dropped_leaves_no_trace() {
    let (producer, mut consumer) = private(4096, false, 0);
    append(&producer, 40).expect("room");
    let before = producer.control().counts();
    for length in [0, 8, 100, 200, record_bytes_max(4096) - HEAD_BYTES] {
        abandon(&producer, length);
    }
    assert_eq!((producer.control().counts(), consumer.observe().window), (before, 64));
    assert_eq!(append(&producer, 40), Ok(1));
    assert_eq!(consumer.observe().window, 128, "the next record takes the place of the claim");
    assert_eq!(
        consumer.consume(usize::MAX, |head, payload| {
            check(head.sequence, head, payload);
            true
        }),
        2
    );
}

#[test]
fn a_claim_that_skipped_to_the_beginning_and_is_dropped_leaves_no_trace() {
    // 40 bytes are left before the end: room for the short record, but not for the claims.
    for overwrite in [false, true] {
        let (producer, mut consumer) = private(4096, overwrite, u64::MAX - 39);
        assert_eq!(producer.control().counts(), Counts::default());
        abandon(&producer, 100);
        abandon(&producer, 16);
        assert_eq!(producer.control().counts(), Counts::default());
        consumer.observe();
        assert_eq!((consumer.unread_bytes(), consumer.consume(usize::MAX, |_, _| panic!("no record"))), (0, 0));
        for sequence in 0..3 {
            assert_eq!(append(&producer, 16), Ok(sequence));
        }
        consumer.observe();
        assert_eq!(consumer.unread_bytes() as u64, 3 * record_bytes(16), "a skip holds nothing");
        let taken = consumer.consume(usize::MAX, |head, payload| {
            check(head.sequence, head, payload);
            true
        });
        assert_eq!((taken, consumer.unread_bytes()), (3, 0));
        consumer.release(consumer.cursor());
        // The skip costs space once only.
        while append(&producer, 16).is_ok() && producer.next_sequence() < 1000 {}
        assert_eq!(producer.control().counts().dropped, 0);
    }
}

#[test]
fn drops_are_counted_in_all_and_by_cause() {
    let (producer, _consumer) = private(4096, false, 0);
    let drops = |cause, count| (0..count).for_each(|_| producer.drop_attempt(cause));
    drops(DropCause::Full, 1);
    drops(DropCause::Memory, 2);
    drops(DropCause::TimedOut, 3);
    drops(DropCause::DeviceFailed, 4);
    let dropped_by = DropCounts { full: 1, memory: 2, timed_out: 3, device_failed: 4 };
    let counts = Counts { attempted: 10, dropped: 10, dropped_by, ..Counts::default() };
    assert_eq!(producer.control().counts(), counts);
    producer.control().reset();
    assert_eq!(producer.control().counts(), Counts::default());
}

#[test]
fn a_clock_that_panics_leaves_no_trace() {
    let (producer, mut consumer) = private(4096, false, 0);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        producer.append(7, b"lost", || panic!("on purpose")).expect("room");
    }));
    assert!(panicked.is_err());
    assert_eq!((producer.control().counts(), consumer.observe().window), (Counts::default(), 0));
    assert_eq!(append(&producer, 40), Ok(0));
}

#[test]
fn an_overwriting_producer_drops_the_newest_while_the_consumer_copies() {
    let (producer, mut consumer) = private(4096, true, 0);
    let append = || append(&producer, 40);
    (0..64).for_each(|sequence| assert_eq!(append(), Ok(sequence)));
    consumer.observe();
    let mut seen = Vec::new();
    consumer.consume(usize::MAX, |head, _| {
        assert_eq!(append(), Err(Full));
        seen.push(head.sequence);
        seen.len() < 3
    });
    assert_eq!(seen, [0, 1, 2]);
    assert_eq!(producer.control().counts().overwritten, 0);
    assert_eq!(append(), Ok(64), "the records taken left room");
    assert_eq!(append(), Ok(65), "the records taken left room");
    assert_eq!(append(), Ok(66), "the oldest is given up");
    assert_eq!(producer.control().counts().overwritten, 1);
    assert_eq!(consumer.consume(usize::MAX, |_, _| true), 61, "one record that was observed is given up");
}

#[test]
fn a_sink_that_panics_leaves_the_overwriting_ring_usable() {
    let (producer, mut consumer) = private(4096, true, 0);
    append(&producer, 8).expect("room");
    consumer.observe();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        consumer.consume(usize::MAX, |_, _| panic!("on purpose"));
    }));
    assert!(panicked.is_err());
    for _ in 1..200 {
        append(&producer, 8).expect("nobody copies");
    }
}

#[test]
fn sizes_out_of_range_are_errors_that_name_the_size() {
    for capacity_bytes in [0, 1, 2048, 4097, 6144, 1 << 31, usize::MAX] {
        let error = ring(RingOptions::window(capacity_bytes)).expect_err("out of range");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&capacity_bytes.to_string()));
    }
}

/// One thread appends as fast as it can, the other takes. Records must arrive whole and in order, and the holes between
/// them must be as large as the losses counted.
fn two_threads(overwrite: bool, block: bool, start: u64) {
    const ATTEMPTS: u64 = if cfg!(debug_assertions) { 300_000 } else { 3_000_000 };
    let (producer, mut consumer) = private(4096, overwrite, start);
    let ring = Arc::clone(producer.ring());
    let ended = AtomicBool::new(false);
    let (taken, expected) = std::thread::scope(|scope| {
        let ended = &ended;
        scope.spawn(move || {
            for sequence in 0..ATTEMPTS {
                let length = (sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as usize * 3;
                while append(&producer, length).is_err() {
                    if !block {
                        producer.drop_attempt(DropCause::Full);
                        break;
                    }
                    std::thread::yield_now();
                }
            }
            // Release: who sees this observes all records after it.
            ended.store(true, Release);
        });
        let (mut taken, mut expected, mut unreleased) = (0_u64, 0, VecDeque::new());
        loop {
            let ended = ended.load(Acquire);
            consumer.observe();
            let count = consumer.consume(1500, |head, payload| {
                assert!(head.sequence >= expected, "{} after {expected}", head.sequence);
                check(head.sequence, head, payload);
                expected = head.sequence + 1;
                taken += 1;
                true
            });
            // Space is released a few pieces late, as it is if a disk is in between.
            unreleased.push_back(consumer.cursor());
            while unreleased.len() > if count == 0 { 0 } else { 2 } {
                consumer.release(unreleased.pop_front().expect("just pushed"));
            }
            if count == 0 {
                if ended {
                    break;
                }
                std::thread::yield_now();
            }
        }
        (taken, expected)
    });
    let counts = ring.control().counts();
    assert_eq!(counts.attempted, ATTEMPTS);
    let lost = counts.dropped + counts.overwritten;
    assert_eq!(taken + lost, ATTEMPTS);
    assert!(expected <= ATTEMPTS);
    if block {
        assert_eq!(lost, 0);
    }
}

#[test]
fn two_threads_lose_what_is_counted_when_the_newest_are_dropped() {
    two_threads(false, false, 0);
}

#[test]
fn two_threads_lose_nothing_when_the_producer_waits() {
    two_threads(false, true, u64::MAX - 65535);
}

#[test]
fn two_threads_lose_what_is_counted_when_the_oldest_are_overwritten() {
    two_threads(true, false, u64::MAX - 65535);
}
