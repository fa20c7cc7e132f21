//! The lives of a log, whose ends may come at any moment: four producers log numbered records, and what they are told is
//! in memory that the end of their process does not reach. Afterwards the log is compared with it.

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use diolog::{Error, Level, Logger, Outcome, Producer, Reader};

use super::os;

pub(crate) const PRODUCERS: usize = 4;

/// What a life has been told: for each producer the number of records that were accepted, and of these the durable ones.
pub(crate) struct Told(&'static [AtomicU64; 2 * PRODUCERS]);

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
fn log(own: &Producer, life: u64, producer: usize, number: u64) -> Outcome {
    let text = text(life, producer, number);
    if number.is_multiple_of(2) {
        return own.log(Level::Info, text);
    }
    let filler = &text[text.rfind(' ').map_or(0, |space| space + 1)..];
    diolog::info!(own, "{life} {producer} {number} {filler}", life, producer, number, filler)
}

/// A life: logs, flushes and rotates until `goes_on`, which is called after each flush, says that it does not, and closes
/// the log.
pub(crate) fn live(logger: Logger, life: u64, told: &Told, mut goes_on: impl FnMut() -> bool) {
    let ends = &AtomicBool::new(false);
    // Also if this thread panics.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    std::thread::scope(|scope| {
        for (producer, accepted) in told.0[..PRODUCERS].iter().enumerate() {
            let logger = &logger;
            scope.spawn(move || {
                let own = logger.producer().expect("a ring");
                let mut number = 0;
                while !ends.load(SeqCst) {
                    match log(&own, life, producer, number) {
                        Outcome::Written => number += 1,
                        Outcome::Dropped => std::thread::yield_now(),
                        other => panic!("{other:?}"),
                    }
                    accepted.store(number, SeqCst);
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
            if !goes_on() {
                break;
            }
            if turn.is_multiple_of(4) {
                logger.rotate().expect("an open log");
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
    pub(crate) fn is_fault(&self) -> bool {
        (self.lost, self.twice, self.torn) != (0, 0, 0)
    }
}

/// Compares a log with what its lives were told: the records of each that were accepted, and those that must be there.
/// Records with the message `other` are passed over.
pub(crate) fn compare(log: &Path, accepted: &[Counts], kept: &[Counts], other: Option<&[u8]>) -> Found {
    let mut found = Found::default();
    let mut seen = vec![[(); PRODUCERS].map(|()| Vec::<bool>::new()); accepted.len()];
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
        let message = String::from_utf8_lossy(record.message()).into_owned();
        let mut numbers = message.split(' ').map(str::parse::<u64>);
        let (Some(Ok(life)), Some(Ok(producer)), Some(Ok(number))) = (numbers.next(), numbers.next(), numbers.next())
        else {
            found.torn += 1;
            continue;
        };
        let is_of_a_life = life < accepted.len() as u64 && producer < PRODUCERS as u64;
        if !is_of_a_life || text(life, producer as usize, number) != message {
            found.torn += 1;
            continue;
        }
        found.records += 1;
        let seen = &mut seen[life as usize][producer as usize];
        seen.resize(seen.len().max(number as usize + 1), false);
        found.twice += u64::from(std::mem::replace(&mut seen[number as usize], true));
    }
    for ((seen, accepted), kept) in seen.iter().zip(accepted).zip(kept) {
        for ((seen, accepted), kept) in seen.iter().zip(accepted).zip(kept) {
            let missing = |number: &u64| !seen.get(*number as usize).is_some_and(|seen| *seen);
            found.lost += (0..*kept).filter(missing).count() as u64;
            // The record that was being logged may be there, and no later one.
            found.torn += (seen.len() as u64).saturating_sub(accepted + 1);
        }
    }
    found
}
