//! What is read from rings as they are, and from damaged ones.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::{Budget, ConsumerEnd, ProducerEnd, RingOptions, ring_with_reserve};
use super::*;

const WINDOW: usize = 4096;
const RESERVE: usize = 256 << 10;

/// The sequence, tag, ticks and payload of a record.
type Record = (u64, u32, u64, Vec<u8>);

/// What a file has of a ring.
struct Left {
    shape: Shape,
    control: [u8; CONTROL_BYTES],
    bytes: Vec<u8>,
}

impl Left {
    fn of(producer: &ProducerEnd, reserve_bytes: usize) -> Left {
        let (control, bytes) = producer.ring().bytes();
        let shape = Shape {
            window_bytes: producer.capacity() as u64,
            reserve_bytes: reserve_bytes as u64,
            overwrites: producer.ring().overwrite,
        };
        assert!(shape.is_possible());
        Left { shape, control, bytes }
    }

    fn image(&self) -> Image {
        Image::new(self.shape, &self.control)
    }

    /// The sequences, tags, ticks and payloads of all records, and what is wrong.
    fn records(&self) -> (Vec<Record>, Option<Fault>) {
        let mut records = self.image().records(u64::MAX);
        let mut all = Vec::new();
        let read = |offset: u64, buffer: &mut [u8]| {
            let left = self.bytes.get(offset as usize..).unwrap_or_default();
            let filled = left.len().min(buffer.len());
            buffer[..filled].copy_from_slice(&left[..filled]);
            Ok(filled)
        };
        while let Some((head, payload)) = records.next(read) {
            all.push((head.sequence, head.tag, head.ticks, payload.to_vec()));
            records.take();
        }
        (all, records.fault())
    }
}

fn ends(options: RingOptions, reserve_bytes: usize) -> (ProducerEnd, ConsumerEnd) {
    let options = RingOptions { enters_reserve: reserve_bytes > 0, ..options };
    ring_with_reserve(options, reserve_bytes, Arc::new(Budget::new(u64::MAX, 0))).expect("a ring")
}

fn payload(sequence: u64) -> Vec<u8> {
    vec![sequence as u8; (sequence * 37 % 301) as usize]
}

/// Appends one record as a producer does, or drops it. Returns whether it was accepted.
fn append(producer: &ProducerEnd) -> bool {
    let sequence = producer.next_sequence();
    let payload = payload(sequence);
    let mut cause = super::super::DropCause::Full;
    let accepted = producer.append(sequence as u32, &payload[..], || 1000 + sequence).is_ok()
        || producer
            .append_past_window(false, sequence as u32, &payload[..], || 1000 + sequence)
            .inspect_err(|why| cause = *why)
            .is_ok();
    if !accepted {
        producer.drop_attempt(cause);
    }
    accepted
}

proptest! {
    #[test]
    fn exactly_what_was_appended_and_not_released_is_there(
        start in prop_oneof![Just(0), Just(u64::MAX - 8191), (0..u64::MAX / 8).prop_map(|at| at * 8)],
        reserve_bytes in prop_oneof![Just(0), Just(RESERVE)],
        overwrite in any::<bool>(),
        steps in prop::collection::vec((0..60_u32, 0..4000_usize, any::<bool>()), 1..12),
    ) {
        let reserve_bytes = if overwrite { 0 } else { reserve_bytes };
        let (producer, mut consumer) = ends(RingOptions { overwrite, start, ..RingOptions::window(WINDOW) }, reserve_bytes);
        let mut accepted = Vec::new();
        let mut released = 0;
        for (appends, taken_bytes, releases) in steps {
            for _ in 0..appends {
                let sequence = producer.next_sequence();
                if append(&producer) {
                    accepted.push(sequence);
                }
            }
            consumer.observe();
            let mut last = None;
            consumer.consume(taken_bytes, |head, _| {
                last = Some(head.sequence);
                true
            });
            if let Some(last) = last
                && (releases || overwrite)
            {
                let cursor = consumer.cursor();
                consumer.release(cursor);
                released = last + 1;
            }
            let left = Left::of(&producer, reserve_bytes);
            let (records, fault) = left.records();
            prop_assert_eq!(fault, None);
            let counts = left.image().counts();
            let mut expected: Vec<_> = accepted.iter().copied().filter(|sequence| *sequence >= released).collect();
            if overwrite {
                prop_assert!(expected.len() >= records.len());
                expected.drain(..expected.len() - records.len());
            }
            prop_assert_eq!(records.iter().map(|record| record.0).collect::<Vec<_>>(), expected);
            for (sequence, tag, ticks, bytes) in records {
                prop_assert_eq!((u64::from(tag), ticks, bytes), (sequence, 1000 + sequence, payload(sequence)));
            }
            let real = producer.control().counts();
            prop_assert_eq!(counts, LeftCounts {
                attempted: real.attempted,
                dropped_by: real.dropped_by,
                overwritten: real.overwritten,
                is_impossible: false,
            });
        }
    }

    #[test]
    fn any_bytes_end_without_a_panic(
        control in prop::collection::vec(any::<u8>(), CONTROL_BYTES),
        bytes in prop::collection::vec(any::<u8>(), 0..3 * WINDOW),
        window in 12..15_u32,
        reserve in prop_oneof![Just(0_u64), Just(4096)],
        overwrites in any::<bool>(),
        near in any::<bool>(),
    ) {
        let mut control: [u8; CONTROL_BYTES] = control.try_into().expect("as many");
        if near {
            // Positions that are possible, so that the bytes are looked at.
            let read: u64 = u64::from_ne_bytes(*control.first_chunk().expect("eight")) & !7;
            for (at, after) in [
                (offsets::READ_POSITION, 0),
                (offsets::OLDEST, 0),
                (offsets::WRITE_POSITION, 4096),
                (offsets::RESERVE_READ_POSITION, 0),
                (offsets::RESERVE_POSITION, 4096),
            ] {
                control[at..at + 8].copy_from_slice(&read.wrapping_add(after).to_ne_bytes());
            }
        }
        let shape = Shape { window_bytes: 1 << window, reserve_bytes: reserve, overwrites };
        let (records, _) = Left { shape, control, bytes }.records();
        prop_assert!(records.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_changed_byte_costs_only_what_comes_after_it(at in 0..WINDOW, bit in 0..8_u8, appends in 1..100_u32) {
        let (producer, _consumer) = ends(RingOptions::window(WINDOW), 0);
        (0..appends).for_each(|_| _ = append(&producer));
        let mut left = Left::of(&producer, 0);
        let (intact, _) = left.records();
        left.bytes[at] ^= 1 << bit;
        let (records, _) = left.records();
        let before = intact.iter().scan(0, |end, record| {
            *end += record_bytes(record.3.len()) as usize;
            Some(*end)
        });
        let before = before.take_while(|end| *end <= at).count();
        prop_assert!(records.len() >= before && records[..before] == intact[..before]);
    }
}

#[test]
fn every_fault_has_its_name() {
    let (producer, _consumer) = ends(RingOptions::window(WINDOW), 0);
    (0..10).for_each(|_| _ = append(&producer));
    let left = || Left::of(&producer, 0);
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Left), Fault);
    let faults: [Case<'_>; 8] = [
        ("an odd position", &|left| left.control[offsets::WRITE_POSITION] ^= 1, Fault::Positions),
        ("a far position", &|left| left.control[offsets::READ_POSITION + 7] ^= 1, Fault::Positions),
        ("a long record", &|left| left.bytes[2] = 1, Fault::Length),
        ("a skip", &|left| left.bytes[..8].fill(0xFF), Fault::Skip),
        ("a sequence that is too large", &|left| left.bytes[8..16].fill(0xFF), Fault::Sequence),
        ("a sequence beyond the attempts", &|left| left.bytes[8] = 11, Fault::Sequence),
        ("a sequence that goes back", &|left| left.bytes[8] = 5, Fault::Sequence),
        ("a file that ends", &|left| left.bytes.truncate(1000), Fault::Unreadable),
    ];
    for (what, damage, fault) in faults {
        let mut damaged = left();
        damage(&mut damaged);
        assert_eq!(damaged.records().1, Some(fault), "{what}");
    }
}

#[test]
fn a_reserve_that_died_while_it_was_moved_is_empty() {
    let (producer, _consumer) = ends(RingOptions::window(WINDOW), RESERVE);
    let mut left = Left::of(&producer, RESERVE);
    left.control[offsets::RESERVE_READ_POSITION..][..8].copy_from_slice(&(RESERVE as u64).to_ne_bytes());
    assert_eq!(left.records(), (vec![], Some(Fault::Positions)));
    left.control[offsets::RESERVE_STATE] = RETURNING as u8;
    assert_eq!(left.records(), (vec![], None));
    assert!(left.image().is_empty());
}
