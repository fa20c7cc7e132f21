//! The ring's two ends under loom, which tries every interleaving of a few steps and every stale value that the memory
//! model allows, and reports any two unordered accesses to the same word. The rings hold two records.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib loom`

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
        producer.append_fast(7, &payload, || sequence * 3)
    } else {
        producer.append(7, &payload, || sequence * 3)
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
    ring(RingOptions { capacity_bytes: CAPACITY, overwrite, start: START }).expect("a ring")
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
fn loom_a_record_after_a_dropped_claim_skips_the_end_and_is_read_whole() {
    model(4, || {
        // One word is left before the end, and a record has four.
        let (producer, mut consumer) =
            ring(RingOptions { capacity_bytes: CAPACITY, overwrite: false, start: START + 24 }).expect("a ring");
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
        assert_eq!(taken.len() as u64 + ring.control.counts().overwritten, written as u64);
    });
}
