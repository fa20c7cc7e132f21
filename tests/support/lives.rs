//! The lives of a log, whose ends may come at any moment: four producers log numbered records, and what they are told
//! is in memory that the end of their process does not reach. If the log has a flight recorder, they log for that too.
//! Afterwards the log and its snapshots are compared with it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use diolog::{Error, Level, Logger, Outcome, Producer, Reader, RecordRef, Verdict};

use super::os;

pub(crate) const PRODUCERS: usize = 4;

/// Records that a ring of the flight recorder of 32 KiB holds in any case.
const KEPT: u64 = 100;

/// What a life has been told: for each producer the number of records that were accepted, of these the durable ones,
/// and those that the flight recorder took.
pub(crate) struct Told(&'static [AtomicU64; 3 * PRODUCERS]);

/// A number of records of each producer.
pub(crate) type Counts = [u64; PRODUCERS];

impl Told {
    /// What the life with this number has been told so far, in a file in `directory`.
    pub(crate) fn of(directory: &Path, life: u64) -> Told {
        Told(os::shared_words(&directory.join(format!("told-{life}"))))
    }

    pub(crate) fn accepted(&self) -> Counts {
        std::array::from_fn(|producer| self.0[producer].load(SeqCst))
    }

    pub(crate) fn durable(&self) -> Counts {
        std::array::from_fn(|producer| self.0[PRODUCERS + producer].load(SeqCst))
    }

    pub(crate) fn recorded(&self) -> Counts {
        std::array::from_fn(|producer| self.0[2 * PRODUCERS + producer].load(SeqCst))
    }

    fn are_durable(&self, counts: Counts) {
        for (word, count) in self.0[PRODUCERS..].iter().zip(counts) {
            word.store(count, SeqCst);
        }
    }
}

/// The text of a record.
fn text(life: u64, producer: usize, number: u64) -> String {
    let filler = "x".repeat((number * 7 % 50) as usize);
    format!("{life} {producer} {number} {filler}")
}

/// Logs one record: every other one has fields.
fn log(own: &Producer, level: Level, life: u64, producer: usize, number: u64) -> Outcome {
    let text = text(life, producer, number);
    if number.is_multiple_of(2) {
        return own.log(level, text);
    }
    let filler = &text[text.rfind(' ').map_or(0, |space| space + 1)..];
    match level {
        Level::Info => diolog::info!(own, "{life} {producer} {number} {filler}", life, producer, number, filler),
        _ => diolog::debug!(own, "{life} {producer} {number} {filler}", life, producer, number, filler),
    }
}

/// A life: logs, flushes, rotates, and if there is a flight recorder takes snapshots, until `goes_on`, which is called
/// after each flush and is told whether a rotation follows, says that it does not, and closes the log.
pub(crate) fn live(logger: Logger, life: u64, told: &Told, mut goes_on: impl FnMut(bool) -> bool) {
    let has_recorder = logger.stats().recorder.is_some();
    let ends = &AtomicBool::new(false);
    // Also if this thread panics.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    std::thread::scope(|scope| {
        let counts = told.0[..PRODUCERS].iter().zip(&told.0[2 * PRODUCERS..]);
        for (producer, (accepted, recorded)) in counts.enumerate() {
            let logger = &logger;
            scope.spawn(move || {
                let own = logger.producer().expect("a ring");
                let (mut number, mut detail) = (0, 0);
                while !ends.load(SeqCst) {
                    match log(&own, Level::Info, life, producer, number) {
                        Outcome::Written => number += 1,
                        Outcome::Dropped => std::thread::yield_now(),
                        other => panic!("{other:?}"),
                    }
                    accepted.store(number, SeqCst);
                    if has_recorder {
                        match log(&own, Level::Debug, life, producer, detail) {
                            Outcome::Recorded => detail += 1,
                            // A snapshot copied the ring at this moment.
                            Outcome::Filtered => {}
                            other => panic!("{other:?}"),
                        }
                        recorded.store(detail, SeqCst);
                    }
                    if number.is_multiple_of(64) {
                        // Not so many records that reading them takes the time.
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
            });
        }
        let _end = End(ends);
        for turn in 0_u64.. {
            let accepted = told.accepted();
            logger.flush().expect("a disk that works");
            told.are_durable(accepted);
            let rotates = turn.is_multiple_of(4);
            if !goes_on(rotates) {
                break;
            }
            if rotates {
                logger.rotate().expect("an open log");
            }
            if has_recorder && turn.is_multiple_of(3) {
                logger.snapshot("alive").expect("a disk that works");
            }
        }
    });
    logger.close().expect("a disk that works");
    told.are_durable(told.accepted());
}

/// What was found wrong, and how many records were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) records: u64,
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    pub(crate) torn: u64,
}

impl Found {
    pub(crate) fn add(&mut self, other: Found) {
        self.records += other.records;
        self.lost += other.lost;
        self.twice += other.twice;
        self.torn += other.torn;
    }

    pub(crate) fn is_fault(&self) -> bool {
        (self.lost, self.twice, self.torn) != (0, 0, 0)
    }
}

/// Compares a log with what its lives were told: the records of each that were accepted, and those that must be there.
/// Records with the message `other` are passed over.
pub(crate) fn compare(log: &Path, accepted: &[Counts], kept: &[Counts], other: Option<&[u8]>) -> Found {
    let mut found = Found::default();
    let mut seen = Seen::of(accepted.len());
    let mut reader = match Reader::open(log) {
        Ok(reader) => Some(reader),
        // Before its first segment is there, a log is none.
        Err(Error::NotALog { .. }) => None,
        Err(_) if !log.exists() => None,
        Err(error) => panic!("{error}"),
    };
    while let Some(record) = reader.as_mut().and_then(|reader| reader.next_record().expect("readable")) {
        if other.is_some_and(|other| record.message() == other) {
            continue;
        }
        seen.note(&record, &mut found);
    }
    seen.compare(accepted, kept, u64::MAX, &mut found);
    found
}

/// Compares the snapshots of a log with the records that its lives' flight recorders took: the newest must be there.
pub(crate) fn compare_snapshots(log: &Path, recorded: &[Counts]) -> Found {
    let (mut found, mut seen) = (Found::default(), Seen::of(recorded.len()));
    let entries = std::fs::read_dir(log.join("snapshots")).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry").path());
    for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "dlog")) {
        let verdict = diolog::verify(&path).expect("readable").verdict;
        assert!(verdict <= Verdict::Dropped, "{}: {verdict:?}", path.display());
        let mut last = HashMap::new();
        let mut reader = Reader::open(&path).expect("readable");
        while let Some(record) = reader.next_record().expect("readable") {
            seen.note(&record, &mut found);
            let before = last.insert(record.producer_id(), record.sequence());
            assert!(before.is_none_or(|before| before < record.sequence()), "{}", path.display());
        }
    }
    seen.compare(recorded, recorded, KEPT, &mut found);
    found
}

/// Which records were found: by life, producer and number.
struct Seen(Vec<[Vec<bool>; PRODUCERS]>);

impl Seen {
    fn of(lives: usize) -> Seen {
        Seen(vec![[(); PRODUCERS].map(|()| Vec::new()); lives])
    }

    /// Notes a record, unless it is none that a life has logged.
    fn note(&mut self, record: &RecordRef<'_>, found: &mut Found) {
        let message = String::from_utf8_lossy(record.message()).into_owned();
        let mut numbers = message.split(' ').map(str::parse::<u64>);
        let (Some(Ok(life)), Some(Ok(producer)), Some(Ok(number))) = (numbers.next(), numbers.next(), numbers.next())
        else {
            found.torn += 1;
            return;
        };
        let is_of_a_life = life < self.0.len() as u64 && producer < PRODUCERS as u64;
        if !is_of_a_life || text(life, producer as usize, number) != message {
            found.torn += 1;
            return;
        }
        found.records += 1;
        let seen = &mut self.0[life as usize][producer as usize];
        seen.resize(seen.len().max(number as usize + 1), false);
        found.twice += u64::from(std::mem::replace(&mut seen[number as usize], true));
    }

    /// Compares it with the records that were accepted, and the number of those that were kept, of which the newest
    /// must be there.
    fn compare(&self, accepted: &[Counts], kept: &[Counts], newest: u64, found: &mut Found) {
        for ((seen, accepted), kept) in self.0.iter().zip(accepted).zip(kept) {
            for ((seen, accepted), kept) in seen.iter().zip(accepted).zip(kept) {
                let missing = |number: &u64| !seen.get(*number as usize).is_some_and(|seen| *seen);
                found.lost += (kept.saturating_sub(newest)..*kept).filter(missing).count() as u64;
                // The record that was being logged may be there, and no later one.
                found.torn += (seen.len() as u64).saturating_sub(accepted + 1);
            }
        }
    }
}
