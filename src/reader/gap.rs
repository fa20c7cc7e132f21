//! Gaps: where records of a producer are missing, as the reader gives them between the records.

use std::fmt;
use std::sync::Arc;

use crate::format::{DroppedBy, LossCause};
use crate::grouped::counted;

use super::account::SequenceGap;
use super::record::{Origin, ProducerIdentity, Record, RecordRef, RunContext, RunId};

/// An entry of a log: a record, or a gap where records are missing. [`Reader::entries`](crate::Reader::entries) gives
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A record.
    Record(Record),
    /// Records that are missing here.
    Gap(Gap),
}

/// As [`Entry`], with a record that borrows its message from the reader.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EntryRef<'a> {
    /// A record.
    Record(RecordRef<'a>),
    /// Records that are missing here.
    Gap(Gap),
}

impl EntryRef<'_> {
    /// An owned copy of the entry.
    pub fn to_entry(&self) -> Entry {
        match self {
            EntryRef::Record(record) => Entry::Record(record.to_record()),
            EntryRef::Gap(gap) => Entry::Gap(gap.clone()),
        }
    }
}

/// Consecutive records of one producer that are not in the files, and why.
///
/// It comes right before the producer's next record, or after its last one. If records were lost at one place for
/// several causes, and the files say only how many for each, there is a gap for each cause. Their order then means
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    run: RunId,
    origin: Arc<Origin>,
    producer: Arc<ProducerIdentity>,
    first_sequence: u64,
    count: u64,
    cause: LossCause,
    timestamp_ns: u64,
    unix_ns: Option<i64>,
}

impl Gap {
    /// The gap that is given out at `timestamp_ns`.
    pub(super) fn of(gap: SequenceGap, timestamp_ns: u64, run: &RunContext) -> Gap {
        let SequenceGap { producer, first_sequence, count, cause, .. } = gap;
        let origin = Arc::clone(&run.origin);
        let unix_ns = run.unix_ns_at(timestamp_ns);
        Gap { run: run.id, origin, producer, first_sequence, count, cause, timestamp_ns, unix_ns }
    }

    /// The run that would hold the records.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The name of the service that would have written the records, as configured; empty if it has none.
    pub fn service(&self) -> &str {
        &self.origin.service
    }

    /// The id of the process that would have written them; `None` if the files do not say it.
    pub fn pid(&self) -> Option<u32> {
        self.origin.pid()
    }

    /// The name of the machine that they would have been written on; `None` if the files do not say it.
    pub fn host(&self) -> Option<&str> {
        self.origin.host()
    }

    /// The producer's id, unique within the run.
    pub fn producer_id(&self) -> u32 {
        self.producer.id
    }

    /// The producer's name, often that of its thread; it may be empty.
    pub fn producer_name(&self) -> &str {
        &self.producer.name
    }

    /// The kernel's id of the thread that made the producer.
    pub fn tid(&self) -> u32 {
        self.producer.tid
    }

    /// The sequence number of the first record that is missing.
    pub fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// How many records are missing, at least 1.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Why they are missing; [`LossCause::Unknown`] if the files do not say.
    pub fn cause(&self) -> LossCause {
        self.cause
    }

    /// The time by which they were lost, in `CLOCK_MONOTONIC` nanoseconds of the machine that wrote the log: that of
    /// the producer's next record, or, after its last one, that of the block with its final counts.
    pub fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns
    }

    /// The same in nanoseconds since the Unix epoch; see [`RecordRef::unix_ns`].
    pub fn unix_ns(&self) -> Option<i64> {
        self.unix_ns
    }

    /// Whether the overflow policy dropped the records.
    pub fn is_dropped(&self) -> bool {
        DroppedBy::CAUSES.contains(&self.cause)
    }
}

/// A sentence, such as "3,374 records of worker-1 dropped here: ring full".
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of ", counted(self.count, "record"))?;
        match self.producer_name() {
            "" => write!(f, "#{}", self.producer.id)?,
            name => f.write_str(name)?,
        }
        write!(f, " {} here: {}", if self.is_dropped() { "dropped" } else { "missing" }, self.cause)
    }
}
