//! The ring against a simple model, and under two threads.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use proptest::prelude::*;

use super::*;

/// A payload that tells its sequence and has a length of its own.
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

/// Appends as a producer does: the quick way if it is short. The number that the record took; one that does not fit takes
/// none.
fn append(producer: &ProducerEnd, length: usize) -> Result<u64, Full> {
    let sequence = producer.next_sequence();
    let (head, payload) = (head_of(sequence, length), payload_of(sequence, length));
    let appended = if producer.is_short(&payload) {
        producer.append_short(head.tag, &payload, || head.ticks)
    } else {
        producer.append(head.tag, &payload, || head.ticks)
    };
    assert_eq!(producer.next_sequence(), sequence + u64::from(appended.is_ok()));
    appended.map(|()| sequence)
}

fn private(capacity_bytes: usize, overwrite: bool, start: u64) -> (ProducerEnd, ConsumerEnd) {
    ring(RingOptions { capacity_bytes, overwrite, start }, &mut Rest::default()).expect("a small ring")
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        length: usize,
    },
    Observe,
    /// Take up to `records`, in a piece of `piece_bytes`.
    Consume {
        piece_bytes: usize,
        records: usize,
    },
    /// Release the oldest `share` (of 8) of what is taken.
    Release {
        share: u64,
    },
}

/// Steps that fit a ring of `capacity` bytes: lengths from 0 to above the largest, short ones more often.
fn steps(capacity: usize) -> impl Strategy<Value = Vec<Step>> {
    let longest = capacity / 2 - HEAD_BYTES;
    let length = prop_oneof![8 => 0..200_usize, 2 => 0..longest + 1, 1 => longest - 8..longest + 9];
    let step = prop_oneof![
        10 => length.prop_map(|length| Step::Append { length }),
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

/// What the documentation says, with a queue in the place of memory.
struct Model {
    capacity: u64,
    overwrite: bool,
    /// What lies between `read_position` and `write_position`: where each record ends, and its sequence. A skip is an
    /// entry of its own, without a sequence.
    entries: VecDeque<(u64, Option<u64>)>,
    /// How many entries, from the front, are taken and not yet released, and how many are observed.
    taken: usize,
    observed: usize,
    write_position: u64,
    read_position: u64,
    overwritten: u64,
}

impl Model {
    fn append(&mut self, sequence: u64, length: usize) -> bool {
        let bytes = (HEAD_BYTES + length.div_ceil(8) * 8) as u64;
        let to_end = self.capacity - self.write_position % self.capacity;
        let start = self.write_position.wrapping_add(if bytes > to_end { to_end } else { 0 });
        let end = start.wrapping_add(bytes);
        while end.wrapping_sub(self.read_position) > self.capacity {
            if !self.overwrite {
                return false;
            }
            self.overwritten += u64::from(self.entries[0].1.is_some());
            self.pop();
        }
        if start != self.write_position {
            self.entries.push_back((start, None));
        }
        self.entries.push_back((end, Some(sequence)));
        self.write_position = end;
        true
    }

    fn pop(&mut self) {
        self.read_position = self.entries.pop_front().expect("not empty").0;
        self.taken = self.taken.saturating_sub(1);
        self.observed = self.observed.saturating_sub(1);
    }

    /// Takes what the consumer took, in a piece of `piece_bytes`, and checks that it was right to stop.
    fn take(&mut self, got: &[u64], piece_bytes: u64, refused: bool) {
        let begin = if self.taken == 0 { self.read_position } else { self.entries[self.taken - 1].0 };
        let mut cursor = begin;
        for &sequence in got {
            assert!(cursor.wrapping_sub(begin) < piece_bytes, "went on after the piece");
            self.taken += usize::from(self.entries[self.taken].1.is_none());
            assert!(self.taken < self.observed, "took what was not observed");
            assert_eq!(self.entries[self.taken].1, Some(sequence));
            cursor = self.entries[self.taken].0;
            self.taken += 1;
        }
        let full = cursor.wrapping_sub(begin) >= piece_bytes;
        if !full && self.taken < self.observed && self.entries[self.taken].1.is_none() {
            // A skip is passed on the way to the next record, whatever becomes of that.
            cursor = self.entries[self.taken].0;
            self.taken += 1;
        }
        let full = full || cursor.wrapping_sub(begin) >= piece_bytes;
        assert!(full || refused || self.taken == self.observed, "stopped without a reason");
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
        write_position: start,
        read_position: start,
        overwritten: 0,
    };
    for step in steps {
        match step {
            Step::Append { length } if HEAD_BYTES + length > producer.record_bytes_max() => {
                // Too long is refused where it does not happen to fit; nothing above the ring tries.
            }
            Step::Append { length } => {
                let sequence = producer.next_sequence();
                let appended = append(&producer, length).is_ok();
                assert_eq!(appended, model.append(sequence, length), "{length} bytes");
                if !appended {
                    producer.take_sequence(sequence);
                }
            }
            Step::Observe => {
                assert_eq!(consumer.observe(), model.write_position);
                model.observed = model.entries.len();
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
                consumer.release(model.read_position);
            }
        }
        assert_eq!(producer.ring().account.overwritten.load(Relaxed), model.overwritten);
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
        for length in 0..=producer.record_bytes_max() - HEAD_BYTES {
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
fn a_full_ring_refuses_sets_starved_and_accepts_again_after_release() {
    let (producer, mut consumer) = private(4096, false, u64::MAX - 4095);
    while append(&producer, 40).is_ok() {}
    assert_eq!(producer.next_sequence(), 64);
    assert!(producer.ring().space.starved.load(Relaxed));
    consumer.observe();
    assert_eq!(consumer.unread_bytes(), 4096);
    assert_eq!(consumer.consume(usize::MAX, |_, _| true), 64);
    assert_eq!(consumer.unread_bytes(), 0);
    assert_eq!(append(&producer, 40), Err(Full), "taken, but not released");
    consumer.release(consumer.cursor());
    assert_eq!(append(&producer, 40), Ok(64));
}

#[test]
fn the_longest_record_fits_an_empty_ring_wherever_it_stands() {
    for start in (0..4096).step_by(8) {
        let (producer, _consumer) = private(4096, false, start);
        let length = producer.record_bytes_max() - HEAD_BYTES;
        assert_eq!(append(&producer, length), Ok(0), "at {start}");
    }
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
    assert_eq!(producer.ring().account.overwritten.load(Relaxed), 0);
    assert_eq!(append(), Ok(64), "the two records taken left room");
    assert_eq!(append(), Ok(65), "the two records taken left room");
    assert_eq!(append(), Ok(66), "the oldest is given up");
    assert_eq!(producer.ring().account.overwritten.load(Relaxed), 1);
    assert_eq!(consumer.consume(usize::MAX, |_, _| true), 61, "of what was observed, one is gone");
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
fn impossible_sizes_are_errors_that_name_the_size() {
    for capacity_bytes in [0, 1, 2048, 4097, 6144, 1 << 31, usize::MAX] {
        let error = ring(RingOptions { capacity_bytes, overwrite: false, start: 0 }, &mut Rest::default())
            .expect_err("impossible");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&capacity_bytes.to_string()));
    }
}

/// One thread appends as fast as it can, the other takes; what arrives must be a run of whole records in order, with
/// holes exactly as large as the losses counted.
fn two_threads(overwrite: bool, block: bool, start: u64) {
    const ATTEMPTS: u64 = if cfg!(debug_assertions) { 300_000 } else { 3_000_000 };
    let (producer, mut consumer) = private(4096, overwrite, start);
    let ring = std::sync::Arc::clone(producer.ring());
    let ended = AtomicBool::new(false);
    let (taken, expected) = std::thread::scope(|scope| {
        let ended = &ended;
        scope.spawn(move || {
            for sequence in 0..ATTEMPTS {
                let length = (sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as usize * 3;
                while append(&producer, length).is_err() {
                    if !block {
                        producer.take_sequence(sequence);
                        let dropped = producer.ring().account.dropped.load(Relaxed);
                        producer.ring().account.dropped.store(dropped + 1, Relaxed);
                        break;
                    }
                    std::thread::yield_now();
                }
            }
            // Release: what is observed after seeing this is all there is.
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
            // Space goes back a few pieces late, as it does when a disk is in between.
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
    assert_eq!(ring.account.next_sequence.load(Relaxed), ATTEMPTS);
    let lost = ring.account.dropped.load(Relaxed) + ring.account.overwritten.load(Relaxed);
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
