//! The ring's two ends under loom, which tries every interleaving of a few steps and every stale value that the memory
//! model allows, and reports any two unordered accesses to the same word. The rings hold two records.
//!
//! `RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/cfg/loom cargo test --release --lib loom`

use loom::thread;

use super::layout::Full;
use super::*;

/// Two records of 8 bytes of payload fill it.
const CAPACITY: usize = 64;

/// The first position. Positions wrap after the first record: the second begins at 0.
const START: u64 = u64::MAX - 31;

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

fn append(producer: &ProducerEnd, sequence: u64) -> Result<(), Full> {
    let payload = (sequence * 5).to_le_bytes();
    producer.control().set_next_sequence(sequence);
    // Fast and slow path in turn.
    if sequence % 2 == 0 {
        producer.append_fast(7, &payload[..], || sequence * 3)
    } else {
        producer.append(7, &payload[..], || sequence * 3)
    }
}

/// Takes all records that are observed. Each must be whole.
fn take(consumer: &mut ConsumerEnd, into: &mut Vec<u64>) {
    consumer.observe();
    consumer.consume(CAPACITY, |head, payload| {
        assert_eq!((head.tag, head.ticks), (7, head.sequence * 3));
        assert_eq!(payload, (head.sequence * 5).to_le_bytes());
        into.push(head.sequence);
        true
    });
}

fn ends(overwrite: bool) -> (ProducerEnd, ConsumerEnd) {
    ring(RingOptions { overwrite, start: START, ..RingOptions::window(CAPACITY) }).expect("a ring")
}

#[test]
fn loom_a_record_that_is_held_is_read_whole_and_one_that_is_given_up_is_not_read() {
    model(3, || {
        let (mut producer, mut consumer) = ends(false);
        let appending = thread::spawn(move || {
            for sequence in 0..2_u64 {
                // Given up: nobody sees it, whatever it holds.
                if let Ok(mut held) = producer.hold(8) {
                    held.bytes_mut().fill(0xEE);
                }
                let Ok(mut held) = producer.hold(8) else { return sequence };
                held.bytes_mut().copy_from_slice(&(sequence * 5).to_le_bytes());
                assert!(held.ready().commit(7, || sequence * 3));
            }
            2
        });
        let mut taken = Vec::new();
        take(&mut consumer, &mut taken);
        consumer.release(consumer.cursor());
        let written = appending.join().expect("appending");
        take(&mut consumer, &mut taken);
        assert_eq!(taken, (0..written).collect::<Vec<_>>());
    });
}

#[test]
fn loom_dropping_the_newest_loses_what_it_counts_and_reads_nothing_unordered() {
    model(4, || {
        let (producer, mut consumer) = ends(false);
        let appending = thread::spawn(move || (0..4).filter(|&sequence| append(&producer, sequence).is_ok()).collect());
        let mut taken = Vec::new();
        for _ in 0..2 {
            take(&mut consumer, &mut taken);
            consumer.release(consumer.cursor());
        }
        let written: Vec<u64> = appending.join().expect("appending");
        take(&mut consumer, &mut taken);
        assert_eq!(taken, written);
    });
}

#[test]
fn loom_what_was_taken_stays_whole_in_the_ring_until_it_is_released() {
    model(4, || {
        let (producer, mut consumer) = ends(false);
        let appending = thread::spawn(move || (0..4).filter(|&sequence| append(&producer, sequence).is_ok()).collect());
        let mut taken = Vec::new();
        for _ in 0..2 {
            let begin = taken.len();
            take(&mut consumer, &mut taken);
            consumer.go_back();
            let mut again = Vec::new();
            take(&mut consumer, &mut again);
            assert!(again.starts_with(&taken[begin..]), "{again:?} after {taken:?}");
            taken.splice(begin.., again);
            consumer.release(consumer.cursor());
        }
        let written: Vec<u64> = appending.join().expect("appending");
        take(&mut consumer, &mut taken);
        assert_eq!(taken, written);
    });
}

#[test]
fn loom_a_record_after_a_dropped_claim_skips_the_end_and_is_read_whole() {
    model(4, || {
        // One word is left before the end, and a record has four.
        let (producer, mut consumer) =
            ring(RingOptions { start: START + 24, ..RingOptions::window(CAPACITY) }).expect("a ring");
        let appending = thread::spawn(move || {
            // Its skip is written, and published only by the commit of the first record.
            drop(producer.claim(8).expect("an empty ring").fill::<true>(9, &[0xEE; 8], || 9));
            (0..3).filter(|&sequence| append(&producer, sequence).is_ok()).collect()
        });
        let mut taken = Vec::new();
        take(&mut consumer, &mut taken);
        consumer.release(consumer.cursor());
        let written: Vec<u64> = appending.join().expect("appending");
        take(&mut consumer, &mut taken);
        assert_eq!(taken, written);
    });
}

#[test]
fn loom_a_waiting_producer_loses_nothing() {
    model(3, || {
        const RECORDS: u64 = 4;
        let (producer, mut consumer) = ends(false);
        let appending = thread::spawn(move || {
            for sequence in 0..RECORDS {
                while append(&producer, sequence).is_err() {
                    thread::yield_now();
                }
            }
        });
        let mut taken = Vec::new();
        while taken.len() < RECORDS as usize {
            take(&mut consumer, &mut taken);
            consumer.release(consumer.cursor());
            thread::yield_now();
        }
        appending.join().expect("appending");
        assert_eq!(taken, [0, 1, 2, 3]);
    });
}

#[test]
fn loom_overwriting_the_oldest_loses_what_it_counts_and_reads_nothing_unordered() {
    model(4, || {
        let (producer, mut consumer) = ends(true);
        let ring = Arc::clone(producer.ring());
        let appending = thread::spawn(move || (0..4).filter(|&sequence| append(&producer, sequence).is_ok()).count());
        let mut taken = Vec::new();
        for _ in 0..2 {
            take(&mut consumer, &mut taken);
        }
        let written = appending.join().expect("appending");
        take(&mut consumer, &mut taken);
        assert!(taken.is_sorted_by(|a, b| a < b), "{taken:?}");
        assert_eq!(taken.len() as u64 + ring.control().counts().overwritten, written as u64);
    });
}

/// Bytes of the reserve in the models: two records of 8 bytes of payload fill half of it.
const RESERVE: usize = 128;

fn ends_with_reserve(limit: u64) -> (ProducerEnd, ConsumerEnd, Arc<Budget>) {
    let budget = Arc::new(Budget::new(limit, 0));
    let options = RingOptions { enters_reserve: true, start: START, ..RingOptions::window(CAPACITY) };
    let (producer, consumer) = ring_with_reserve(options, RESERVE, Arc::clone(&budget)).expect("a ring");
    (producer, consumer, budget)
}

/// Appends to the window, or else to the reserve. A dropped attempt takes its number, as a producer's does.
fn append_anywhere(producer: &ProducerEnd, sequence: u64) -> bool {
    let payload = (sequence * 5).to_le_bytes();
    append(producer, sequence).is_ok() || producer.append_past_window(false, 7, &payload[..], || sequence * 3).is_ok()
}

/// Takes all records of a producer that appends no more.
fn take_rest(consumer: &mut ConsumerEnd, into: &mut Vec<u64>) {
    take(consumer, into);
    while consumer.unread_bytes() > 0 {
        take(consumer, into);
    }
}

fn release(consumer: &mut ConsumerEnd) {
    consumer.release(consumer.cursor());
}

#[test]
fn loom_records_of_window_and_reserve_come_out_in_their_order() {
    model(3, || {
        let (producer, mut consumer, _) = ends_with_reserve(u64::MAX);
        // The window is full.
        assert!(append_anywhere(&producer, 0) && append_anywhere(&producer, 1));
        let appending = thread::spawn(move || {
            (2..5).filter(|&sequence| append_anywhere(&producer, sequence)).collect::<Vec<u64>>()
        });
        let mut taken = Vec::new();
        for _ in 0..2 {
            take(&mut consumer, &mut taken);
            release(&mut consumer);
        }
        let written = appending.join().expect("appending");
        take_rest(&mut consumer, &mut taken);
        assert_eq!(taken, [&[0, 1], &*written].concat());
        assert_eq!(written, [2, 3, 4]);
    });
}

#[test]
fn loom_a_chunk_that_is_given_back_takes_no_record_with_it() {
    model(3, || {
        let (producer, mut consumer, budget) = ends_with_reserve(u64::MAX);
        // A stay in the reserve is over.
        assert!((0..3).all(|sequence| append_anywhere(&producer, sequence)));
        let mut taken = Vec::new();
        take(&mut consumer, &mut taken);
        release(&mut consumer);
        // The next one begins, while chunks of the first are given back.
        assert!((3..5).all(|sequence| append_anywhere(&producer, sequence)));
        let appending = thread::spawn(move || {
            (5..7).filter(|&sequence| append_anywhere(&producer, sequence)).collect::<Vec<u64>>()
        });
        while consumer.give_back_chunk() {}
        take(&mut consumer, &mut taken);
        consumer.give_back_chunk();
        let written = appending.join().expect("appending");
        take_rest(&mut consumer, &mut taken);
        assert_eq!(taken, [&[0, 1, 2, 3, 4], &*written].concat());
        release(&mut consumer);
        while consumer.give_back_chunk() {}
        assert_eq!(budget.used(), 0);
    });
}
