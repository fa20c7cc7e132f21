//! A snapshot of a ring against the producer that overwrites it, in every order, with the death of the process after
//! each step: `RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/cfg/loom cargo test --release --lib loom`.
//!
//! The steps are those of `Recorder::write_in`: copy, write the file and name it durably, free the records. What is
//! left in the ring is what a recovery finds there.

use loom::thread;

use super::ring::{RecordedProducer, RecorderRing};
use crate::clock::TickConverter;
use crate::ring::{DropCause, ProducerEnd, RingOptions, ring};
use crate::snapshot::ProducerRecords;

/// Two records of 8 bytes of payload fill it.
const CAPACITY: usize = 64;

/// The first position. Positions wrap after the first record: the second begins at 0.
const START: u64 = u64::MAX - 31;

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// A producer's end of a ring, and the ring as a snapshot sees it.
fn ends() -> (ProducerEnd, RecorderRing) {
    let options = RingOptions { overwrite: true, start: START, ..RingOptions::window(CAPACITY) };
    let (producer, consumer) = ring(options).expect("a ring");
    (producer, RecorderRing::new(RecordedProducer { id: 1, tid: 1, name: String::new() }, consumer))
}

/// Records so many attempts, as `attempt::append_to_recorder` does. Returns the numbers of those that were accepted.
fn record(producer: &ProducerEnd, attempts: u64) -> Vec<u64> {
    let mut accepted = Vec::new();
    for _ in 0..attempts {
        let sequence = producer.next_sequence();
        let payload = (sequence * 5).to_le_bytes();
        match producer.append(7, &payload[..], || sequence) {
            Ok(()) => accepted.push(sequence),
            Err(_) => producer.drop_attempt(DropCause::Full),
        }
    }
    accepted
}

/// Copies what the ring holds. Each record must be whole.
fn copy(ring: &mut RecorderRing) -> ProducerRecords {
    let room = ring.make_room().expect("memory");
    let copied = ring.copy(room, &TickConverter::of_this_boot(false, Some((0, 0))), u64::MAX);
    for head in &copied.heads {
        let payload = &copied.payloads[head.begin..][..head.bytes];
        assert_eq!((head.kind, payload), (7, &(head.sequence * 5).to_le_bytes()[..]));
    }
    copied
}

fn numbers(records: &ProducerRecords) -> Vec<u64> {
    records.heads.iter().map(|head| head.sequence).collect()
}

fn is_kept_or_counted(is_written: bool) {
    model(move || {
        let (producer, mut ring) = ends();
        let recording = thread::spawn(move || record(&producer, 4));
        let mut in_snapshots = Vec::new();
        let copied = copy(&mut ring);
        if is_written {
            ring.free_written(&copied);
            in_snapshots.extend(numbers(&copied));
        } else {
            ring.keep();
        }
        let accepted = recording.join().expect("recording");
        let rest = copy(&mut ring);
        ring.free_written(&rest);
        in_snapshots.extend(numbers(&rest));
        assert!(in_snapshots.is_sorted_by(|a, b| a < b), "{in_snapshots:?}");
        assert!(in_snapshots.iter().all(|number| accepted.contains(number)), "{in_snapshots:?} of {accepted:?}");
        let (recorded, overwritten) = ring.counts();
        assert_eq!(recorded, accepted.len() as u64);
        assert_eq!(in_snapshots.len() as u64 + overwritten, recorded, "{in_snapshots:?} of {accepted:?}");
        assert!(ring.observe_done() && ring.held(recorded, overwritten) == 0);
    });
}

#[test]
fn loom_each_record_is_in_one_snapshot_or_counted() {
    is_kept_or_counted(true);
}

#[test]
fn loom_each_record_is_in_the_next_snapshot_or_counted_if_one_cannot_be_written() {
    is_kept_or_counted(false);
}

/// The last step of a snapshot before the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Copied,
    Named,
    Freed,
}

fn dies_after(step: Step) {
    model(move || {
        let (producer, mut ring) = ends();
        let mut accepted = record(&producer, 1);
        let recording = thread::spawn(move || {
            let accepted = record(&producer, 3);
            // It dies within an append that has given up the oldest record for its claim.
            _ = producer.make_room(8, false);
            accepted
        });
        let copied = copy(&mut ring);
        let in_snapshot = if step == Step::Copied { Vec::new() } else { numbers(&copied) };
        if step == Step::Freed {
            ring.free_written(&copied);
        } else {
            ring.keep();
        }
        accepted.extend(recording.join().expect("recording"));
        let left = numbers(&copy(&mut ring));
        assert!(accepted.ends_with(&left), "{left:?} of {accepted:?}");
        // A recovery leaves out what the last snapshot has.
        let recovered = left.iter().filter(|number| in_snapshot.last().is_none_or(|last| *number > last));
        let kept: Vec<_> = in_snapshot.iter().chain(recovered).copied().collect();
        assert!(kept.is_sorted_by(|a, b| a < b), "{kept:?}");
        assert!(kept.iter().all(|number| accepted.contains(number)), "{kept:?} of {accepted:?}");
        // Whatever is in neither was given up for a newer record, and counted.
        let freed = if step == Step::Freed { in_snapshot.len() as u64 } else { 0 };
        let (recorded, overwritten) = ring.counts();
        assert_eq!(recorded, accepted.len() as u64);
        assert_eq!(left.len() as u64 + freed + overwritten, recorded, "{left:?} and {in_snapshot:?} of {accepted:?}");
    });
}

#[test]
fn loom_what_was_copied_stays_in_the_ring_if_the_process_dies_before_the_snapshot_has_its_name() {
    dies_after(Step::Copied);
}

#[test]
fn loom_what_a_snapshot_has_is_recovered_no_second_time_if_the_process_dies_before_it_is_freed() {
    dies_after(Step::Named);
}

#[test]
fn loom_what_came_after_the_copy_stays_in_the_ring_when_the_rest_is_freed() {
    dies_after(Step::Freed);
}
