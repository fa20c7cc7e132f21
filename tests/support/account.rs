//! The oracle: compares the outcome of every append with the records in the files and the account of `verify`.

use std::collections::HashMap;
use std::path::Path;

use diolog::{Level, Outcome, Producer, Reader, Report, RunReport, Verdict};

/// The outcomes of one producer's appends; the index is the sequence number.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    pub(crate) id: u32,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Attempts {
    pub(crate) fn new(producer: &Producer) -> Attempts {
        Attempts { id: producer.id(), outcomes: Vec::new() }
    }

    /// Logs the producer's next message and stores the outcome. A refusal takes no sequence number.
    pub(crate) fn log(&mut self, producer: &Producer) -> Outcome {
        let sequence = producer.next_sequence();
        assert_eq!(sequence, self.outcomes.len() as u64, "every attempt noted takes one number");
        let outcome = producer.log(Level::Info, message(self.id, sequence));
        match outcome {
            Outcome::Written | Outcome::Dropped => {
                self.outcomes.push(outcome);
                assert_eq!(producer.next_sequence(), sequence + 1);
            }
            Outcome::Closed => assert_eq!(producer.next_sequence(), sequence, "a refusal takes no number"),
            other => panic!("unexpected {other:?}"),
        }
        outcome
    }

    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.iter().filter(|&&one| one == outcome).count() as u64
    }
}

/// The message that producer `id` logs with `sequence`: it contains both numbers, and its length varies.
pub(crate) fn message(id: u32, sequence: u64) -> Vec<u8> {
    let mut message = format!("{id}:{sequence}:").into_bytes();
    let filler = (u64::from(id) * 31 + sequence * 17) % 61;
    message.resize(message.len() + filler as usize, b'a' + (sequence % 26) as u8);
    message
}

/// The verdict on an intact log, given how many records were dropped.
pub(crate) fn intact(dropped: u64) -> Verdict {
    if dropped > 0 { Verdict::Dropped } else { Verdict::Clean }
}

/// Whether records with the outcome `Written` may be missing, because newer ones have overwritten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwrites {
    No,
    Yes,
}

/// Reads the log, and checks that its only run holds exactly the records with the outcome `Written`: contents, order,
/// times, and the account of `verify`.
pub(crate) fn check(path: &Path, all: &[Attempts], overwrites: Overwrites) {
    let (mut records, report) = read(path);
    let verification = diolog::verify(path).expect("a log");
    let dropped = all.iter().map(|attempts| attempts.count(Outcome::Dropped)).sum();
    assert_eq!(verification.verdict, intact(dropped), "{:#?}", verification.report);
    let [run] = &verification.report.runs[..] else { panic!("{:#?}", verification.report.runs) };
    assert_eq!(report.runs.len(), 1);
    assert!(run.clean_end);
    for attempts in all {
        let mut sequences = records.remove(&attempts.id).unwrap_or_default();
        let in_files = sequences.len() as u64;
        let (written, dropped) = (attempts.count(Outcome::Written), attempts.count(Outcome::Dropped));
        let accepted = |&sequence: &u64| attempts.outcomes[sequence as usize] == Outcome::Written;
        assert!(sequences.iter().all(accepted), "producer {}: a record that was refused is in the files", attempts.id);
        if overwrites == Overwrites::No {
            assert_eq!(in_files, written, "producer {}: {written} were written", attempts.id);
        } else {
            assert!(in_files <= written);
        }
        sequences.dedup();
        assert_eq!(sequences.len() as u64, in_files, "producer {}: a record twice", attempts.id);

        let row = producer_row(run, attempts.id);
        assert_eq!(row.attempted, attempts.outcomes.len() as u64, "{row:?}");
        assert_eq!((row.records, row.dropped, row.overwritten), (in_files, dropped, written - in_files), "{row:?}");
        assert_eq!((row.unwritten, row.damaged, row.missing), (0, 0, dropped + written - in_files), "{row:?}");
        assert!(row.ended && row.holds, "{row:?}");
    }
    assert!(records.is_empty(), "records of producers {:?}, who logged nothing", records.keys());
}

/// The row of producer `id`, which must exist.
pub(crate) fn producer_row(run: &RunReport, id: u32) -> diolog::ProducerReport {
    let row = run.producers.iter().find(|row| row.id == id);
    row.unwrap_or_else(|| panic!("no row for producer {id}")).clone()
}

/// The sequence numbers in the files, by producer, in the reader's order. Checks that they increase, that times do not
/// decrease, and that messages are as they were logged.
pub(crate) fn read(path: &Path) -> (HashMap<u32, Vec<u64>>, Report) {
    let mut reader = Reader::open(path).expect("a log");
    let mut records: HashMap<u32, Vec<u64>> = HashMap::new();
    let (mut last_run, mut last_ns) = (None, 0);
    while let Some(record) = reader.next_record().expect("readable") {
        let (id, sequence) = (record.producer_id(), record.sequence());
        assert_eq!(record.message(), message(id, sequence), "producer {id}, record {sequence}");
        let sequences = records.entry(id).or_default();
        assert!(sequences.last().is_none_or(|&before| before < sequence), "producer {id}: {sequence} out of order");
        sequences.push(sequence);
        let (run, time_ns) = (record.run(), record.timestamp_ns());
        assert!(last_run != Some(run) || last_ns <= time_ns, "times go back: {time_ns} after {last_ns}");
        (last_run, last_ns) = (Some(run), time_ns);
    }
    assert_eq!(reader.report().late, 0);
    (records, reader.report().clone())
}
