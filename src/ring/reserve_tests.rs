//! A window with a reserve against a simple model, with the producer's steps between any two of the consumer's; and
//! under two threads.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use proptest::prelude::*;

use super::layout::{record_bytes, record_bytes_max};
use super::reserve::CHUNK_BYTES;
use super::*;

const WINDOW_BYTES: usize = 4096;
const RESERVE_BYTES: usize = 2 * CHUNK_BYTES as usize;

fn payload_of(sequence: u64, length: usize) -> Vec<u8> {
    (0..length).map(|index| (sequence as u8).wrapping_mul(37).wrapping_add(index as u8) | 1).collect()
}

/// Appends to the window, or else beyond it.
fn append(producer: &ProducerEnd, severe: bool, length: usize) -> Result<u64, DropCause> {
    let sequence = producer.next_sequence();
    let payload = payload_of(sequence, length);
    let appended = match producer.append(7, &payload[..], || sequence) {
        Ok(()) => Ok(()),
        Err(Full) => producer.append_past_window(severe, 7, &payload[..], || sequence),
    };
    assert_eq!(producer.next_sequence(), sequence + u64::from(appended.is_ok()));
    appended.map(|()| sequence)
}

fn options(start: u64) -> RingOptions {
    RingOptions { enters_reserve: true, start, ..RingOptions::window(WINDOW_BYTES) }
}

fn make(options: RingOptions, limit: u64) -> (ProducerEnd, ConsumerEnd, Arc<Budget>) {
    let budget = Arc::new(Budget::new(limit, options.severe_only_eighths));
    let (producer, consumer) = ring_with_reserve(options, RESERVE_BYTES, Arc::clone(&budget)).expect("a small ring");
    (producer, consumer, budget)
}

#[derive(Clone, Debug)]
enum Step {
    Append { length: usize },
    ObserveWindow,
    ObserveReserve,
    Consume { piece_bytes: usize, records: usize },
    Release { share: usize },
    GiveBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![8 => 0..200_usize, 1 => 0..record_bytes_max(WINDOW_BYTES) - HEAD_BYTES + 1];
    // Bursts that reach far into the reserve, and all of it.
    let burst = (length.clone(), 1..400_usize).prop_map(|(length, count)| vec![Step::Append { length }; count]);
    let one = prop_oneof![
        12 => length.prop_map(|length| Step::Append { length }),
        3 => Just(Step::ObserveWindow),
        3 => Just(Step::ObserveReserve),
        4 => (0..RESERVE_BYTES / 4, 0..400_usize)
            .prop_map(|(piece_bytes, records)| Step::Consume { piece_bytes, records }),
        3 => (1..9_usize).prop_map(|share| Step::Release { share }),
        1 => Just(Step::GiveBack),
    ];
    let some = prop_oneof![20 => one.prop_map(|step| vec![step]), 1 => burst];
    prop::collection::vec(some, 0..400).prop_map(|steps| steps.concat())
}

fn starts() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..u64::MAX, (0..1_u64 << 18).prop_map(|below| u64::MAX - below)].prop_map(|start| start & !7)
}

/// What the consumer may rely on between its observations.
#[derive(Clone, Copy, PartialEq)]
enum Observing {
    Nothing,
    /// The window was observed, the reserve not since.
    Window,
}

fn agrees_with_the_model(start: u64, steps: Vec<Step>) {
    let (producer, mut consumer, budget) = make(options(start), u64::MAX);
    // The sequences that were accepted and not taken, and how many were accepted when the window was observed.
    let (mut accepted, mut expected) = (VecDeque::new(), 0);
    let mut observing = Observing::Nothing;
    let mut taken_at = VecDeque::from([consumer.cursor()]);
    for step in steps {
        match step {
            Step::Append { length } => match append(&producer, false, length) {
                Ok(sequence) => accepted.push_back(sequence),
                Err(cause) => {
                    assert_eq!(cause, DropCause::Full);
                    producer.drop_attempt(cause);
                    assert!(consumer.has_entered_reserve());
                }
            },
            Step::ObserveWindow => {
                consumer.observe_window();
                (observing, expected) = (Observing::Window, accepted.len());
            }
            Step::ObserveReserve if observing == Observing::Window => {
                consumer.observe_reserve();
                consumer.observe_window_again();
                observing = Observing::Nothing;
            }
            Step::Consume { piece_bytes, records } if observing == Observing::Nothing => {
                let (mut taken, mut refused) = (0, false);
                let count = consumer.consume(piece_bytes, |head, payload| {
                    assert!(!refused, "offered after a refusal");
                    assert_eq!(Some(&head.sequence), accepted.front(), "the oldest comes first");
                    assert_eq!(payload, payload_of(head.sequence, payload.len()));
                    refused = taken == records;
                    if !refused {
                        taken += 1;
                        accepted.pop_front();
                    }
                    !refused
                });
                assert_eq!(count, taken);
                expected -= taken.min(expected);
                if !refused && consumer.unread_bytes() == 0 {
                    assert_eq!(expected, 0, "all that was accepted before the observation is taken");
                }
                taken_at.push_back(consumer.cursor());
            }
            Step::Release { share } => {
                // Positions of an earlier time may be released after the reserve has begun anew.
                for _ in 0..(taken_at.len() * share).div_ceil(8) {
                    consumer.release(taken_at.pop_front().expect("counted"));
                }
            }
            Step::GiveBack => while consumer.give_back_chunk() {},
            Step::ObserveReserve | Step::Consume { .. } => {}
        }
    }
    consumer.observe();
    while consumer.consume(usize::MAX, |head, _| Some(head.sequence) == accepted.pop_front()) > 0 {
        consumer.observe();
    }
    assert!(accepted.is_empty());
    consumer.release(consumer.cursor());
    while consumer.give_back_chunk() {}
    assert_eq!((budget.used(), consumer.has_entered_reserve()), (0, false));
    assert_eq!(append(&producer, false, record_bytes_max(WINDOW_BYTES) - HEAD_BYTES).map(drop), Ok(()));
}

proptest! {
    #[test]
    fn records_come_out_of_window_and_reserve_in_their_order((start, steps) in (starts(), steps())) {
        agrees_with_the_model(start, steps);
    }
}

#[test]
fn skips_of_window_and_reserve_do_not_count_as_bytes_held() {
    let (producer, mut consumer, _) = make(options(0), u64::MAX);
    // Two fit the window, with a skip of 1248 bytes after them; 92 fit the reserve, with one of 64.
    const LENGTH: usize = 1400;
    let record_bytes = record_bytes(LENGTH) as usize;
    let (mut held, mut skipped) = (0, false);
    for round in 0..20 {
        let appended = (0..).take_while(|_| append(&producer, false, LENGTH).is_ok()).count();
        held += appended * record_bytes;
        consumer.observe();
        assert_eq!(consumer.unread_bytes(), held, "round {round}");
        let before = consumer.taken_bytes();
        // Both queues go on around their ends: neither becomes empty.
        let piece = 40 * record_bytes;
        assert_eq!(consumer.consume(piece, |_, _| true), 40, "round {round}");
        held -= piece;
        assert_eq!((consumer.unread_bytes(), consumer.taken_bytes() - before), (held, piece as u64), "round {round}");
        consumer.release(consumer.cursor());
        assert!(consumer.used_bytes().is_multiple_of(record_bytes), "round {round}");
        skipped |= consumer.cursor().reserve > 2 * RESERVE_BYTES as u64;
    }
    assert!(skipped, "the reserve was gone around");
}

/// Appends records of 40 bytes, 64 in the ring, until one is dropped. Returns how many were accepted, and why not more.
fn fill(producer: &ProducerEnd, severe: bool) -> (usize, DropCause) {
    (0..).find_map(|count| Some((count, append(producer, severe, 40).err()?))).expect("a ring is full at last")
}

fn take_all(consumer: &mut ConsumerEnd) -> usize {
    consumer.observe();
    let mut taken = 0;
    while consumer.unread_bytes() > 0 {
        taken += consumer.consume(usize::MAX, |_, _| true);
        consumer.observe();
    }
    consumer.release(consumer.cursor());
    taken
}

#[test]
fn a_full_reserve_is_taken_again_and_again_in_the_same_chunks() {
    let (producer, mut consumer, budget) = make(options(u64::MAX - 8191), u64::MAX);
    let all = (WINDOW_BYTES + RESERVE_BYTES) / 64;
    for round in 0..3 {
        assert_eq!(fill(&producer, false), (all, DropCause::Full), "round {round}");
        assert_eq!(budget.used(), RESERVE_BYTES as u64);
        assert_eq!(take_all(&mut consumer), all);
    }
    // A short stay begins at the beginning.
    while consumer.give_back_chunk() {}
    assert_eq!(budget.used(), 0);
    for _ in 0..100 {
        for _ in 0..2 * WINDOW_BYTES / 64 {
            append(&producer, false, 40).expect("room");
        }
        take_all(&mut consumer);
        assert_eq!(budget.used(), CHUNK_BYTES);
    }
}

#[test]
fn the_producer_returns_to_the_window_as_soon_as_that_has_room() {
    let (producer, mut consumer, _) = make(options(0), u64::MAX);
    let append = || append(&producer, false, 40).expect("room");
    (0..WINDOW_BYTES / 64 + 10).for_each(|_| assert!(append() < u64::MAX));
    consumer.observe();
    assert_eq!(consumer.consume(64 * 10, |_, _| true), 10);
    let before = consumer.cursor();
    assert_eq!(before.reserve, 0);
    consumer.release(before);
    let observed = consumer.observe();
    (0..10).for_each(|_| assert!(append() < u64::MAX));
    assert_eq!(consumer.observe(), Position { window: observed.window + 640, reserve: observed.reserve });
    append();
    assert_eq!(consumer.observe().reserve, observed.reserve + 64);
    assert_eq!(take_all(&mut consumer), WINDOW_BYTES / 64 + 11);
}

#[test]
fn a_chunk_beyond_the_budget_is_refused_with_its_own_cause_and_the_window_goes_on() {
    let (producer, mut consumer, budget) = make(options(0), CHUNK_BYTES);
    let in_chunk = CHUNK_BYTES as usize / 64;
    assert_eq!(fill(&producer, true), (WINDOW_BYTES / 64 + in_chunk, DropCause::Memory));
    assert_eq!(budget.used(), CHUNK_BYTES);
    assert_eq!(take_all(&mut consumer), WINDOW_BYTES / 64 + in_chunk);
    assert!(!consumer.give_back_chunk());
    assert_eq!(budget.used(), 0);
    assert!(budget.take(1));
    assert_eq!(fill(&producer, true), (WINDOW_BYTES / 64, DropCause::Memory));
}

#[test]
fn the_memory_of_a_ring_that_is_dropped_goes_back_to_the_budget() {
    let (producer, consumer, budget) = make(options(0), u64::MAX);
    fill(&producer, false);
    drop((producer, consumer));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_clock_that_panics_leaves_the_reserve_closed_and_no_trace() {
    let (producer, mut consumer, _) = make(options(0), u64::MAX);
    while producer.append(7, b"window", || 0).is_ok() {}
    let before = producer.control().counts();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        producer.append_past_window(false, 7, b"lost", || panic!("on purpose")).expect("room");
    }));
    assert!(panicked.is_err());
    assert_eq!((producer.control().counts(), consumer.observe().reserve), (before, 0));
    producer.append_past_window(false, 7, b"kept", || 0).expect("room");
}

#[test]
fn severe_records_find_room_when_others_do_not() {
    for (enters_reserve, all) in [(true, WINDOW_BYTES + RESERVE_BYTES), (false, WINDOW_BYTES)] {
        let options = RingOptions { enters_reserve, severe_only_eighths: 1, ..options(0) };
        let (producer, mut consumer, _) = make(options, u64::MAX);
        let kept = if enters_reserve { RESERVE_BYTES } else { WINDOW_BYTES } / 8;
        for round in 0..3 {
            assert_eq!(fill(&producer, false), ((all - kept) / 64, DropCause::Full), "round {round}");
            assert_eq!(fill(&producer, true), (kept / 64, DropCause::Full), "round {round}");
            assert_eq!(take_all(&mut consumer), all / 64);
        }
    }
}

#[test]
fn a_severe_record_does_not_open_the_kept_room_for_the_others() {
    let (producer, _consumer, _) =
        make(RingOptions { enters_reserve: false, severe_only_eighths: 1, ..options(0) }, u64::MAX);
    fill(&producer, false);
    append(&producer, true, 40).expect("kept for it");
    assert_eq!(append(&producer, false, 40), Err(DropCause::Full));
}

#[test]
fn the_longest_record_of_any_level_fits_an_empty_ring_wherever_it_begins() {
    let longest = |capacity| record_bytes_max(capacity) - HEAD_BYTES;
    for severe_only_eighths in 0..=4 {
        for start in (0..WINDOW_BYTES as u64).step_by(8) {
            for severe in [false, true] {
                let options = RingOptions { enters_reserve: false, severe_only_eighths, ..options(start) };
                let (producer, mut consumer, _) = make(options, u64::MAX);
                append(&producer, severe, longest(WINDOW_BYTES)).expect("an empty ring");
                assert_eq!(take_all(&mut consumer), 1);
                append(&producer, !severe, longest(WINDOW_BYTES)).expect("an empty ring");
            }
        }
    }
}

#[test]
fn the_longest_record_of_any_level_fits_an_empty_reserve_wherever_it_begins() {
    let (producer, mut consumer, _) = make(RingOptions { severe_only_eighths: 1, ..options(0) }, u64::MAX);
    let longest = vec![b'x'; record_bytes_max(RESERVE_BYTES) - HEAD_BYTES];
    let beyond =
        |severe, payload: &[u8]| producer.append_past_window(severe, 7, payload, || 0).expect("an empty reserve");
    for offset in (0..RESERVE_BYTES).step_by(8 * 61) {
        // The reserve does not begin anew in between, because it is not released as a whole.
        let before = vec![b'x'; offset.saturating_sub(HEAD_BYTES).min(longest.len())];
        beyond(true, &before);
        consumer.observe();
        consumer.consume(usize::MAX, |_, _| true);
        let cursor = consumer.cursor();
        consumer.control().release_reserve(cursor.reserve);
        beyond(offset % 16 == 0, &longest);
        assert_eq!(take_all(&mut consumer), 1, "from {offset}");
    }
}

/// One thread appends, and goes beyond the window when that is full; the other takes, late, and gives memory back as
/// often as it can.
fn two_threads(waits: bool, limit: u64, start: u64) {
    const ATTEMPTS: u64 = if cfg!(debug_assertions) { 300_000 } else { 3_000_000 };
    let (producer, mut consumer, budget) = make(options(start), limit);
    let ring = Arc::clone(producer.ring());
    let (ended, failed) = (AtomicBool::new(false), AtomicBool::new(false));
    /// Ends the other thread's wait if this one panics.
    struct Fails<'a>(&'a AtomicBool);
    impl Drop for Fails<'_> {
        fn drop(&mut self) {
            self.0.store(true, Release);
        }
    }
    let taken = std::thread::scope(|scope| {
        let (ended, failed) = (&ended, &failed);
        let _fails = Fails(failed);
        scope.spawn(move || {
            for sequence in 0..ATTEMPTS {
                let length = (sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as usize * 3;
                while let Err(cause) = append(&producer, false, length) {
                    if !waits || failed.load(Acquire) {
                        producer.drop_attempt(cause);
                        break;
                    }
                    std::thread::yield_now();
                }
            }
            // Release: who sees this observes all records after it.
            ended.store(true, Release);
        });
        let (mut taken, mut expected, mut unreleased) = (0_u64, 0, VecDeque::new());
        let mut round = 0_u32;
        loop {
            round = round.wrapping_add(1);
            let ended = ended.load(Acquire);
            consumer.observe();
            let count = consumer.consume(1 << (round % 16), |head, payload| {
                assert!(head.sequence >= expected, "{} after {expected}", head.sequence);
                assert_eq!(payload, payload_of(head.sequence, payload.len()));
                expected = head.sequence + 1;
                taken += 1;
                true
            });
            unreleased.push_back(consumer.cursor());
            while unreleased.len() > if count == 0 { 0 } else { 2 } {
                consumer.release(unreleased.pop_front().expect("just pushed"));
            }
            consumer.give_back_chunk();
            if count == 0 && consumer.unread_bytes() == 0 {
                if ended {
                    break;
                }
                std::thread::yield_now();
            }
        }
        while consumer.give_back_chunk() {}
        taken
    });
    let counts = ring.control().counts();
    assert_eq!((counts.attempted, taken + counts.dropped, budget.used()), (ATTEMPTS, ATTEMPTS, 0));
    assert!(!waits || counts.dropped == 0);
}

#[test]
fn two_threads_lose_nothing_over_window_and_reserve_when_the_producer_waits() {
    two_threads(true, u64::MAX, 0);
}

#[test]
fn two_threads_lose_what_is_counted_over_window_and_reserve() {
    two_threads(false, u64::MAX, u64::MAX - 65535);
}

#[test]
fn two_threads_lose_what_is_counted_under_a_small_budget() {
    two_threads(false, CHUNK_BYTES, u64::MAX - 65535);
}
