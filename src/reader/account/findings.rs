//! The facts that the account finds out: what each counts as, how serious it is, and the sentence about it.
//!
//! The verdict follows from the severity that is given here and from whether each run was closed. Neither blocks nor
//! producers decide how serious a fact is.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::format::Newer;
use crate::grouped::counted;

use super::super::report::{BlockCounts, Severity};
use super::testimony::{Fate, Missing};

/// Where a fact was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) path: Arc<Path>,
    pub(crate) place: Place,
}

/// A place in a file, or instead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this offset.
    At(u64),
    /// In the file or in one before it: more is not known.
    UpToHere,
    /// The file is missing: this many files, from this one on.
    Missing(u64),
}

impl Location {
    pub(crate) fn at(path: &Arc<Path>, offset: u64) -> Location {
        Location { path: Arc::clone(path), place: Place::At(offset) }
    }

    pub(crate) fn start_of(path: &Arc<Path>) -> Location {
        Location::at(path, 0)
    }
}

/// Facts, and the counts of the blocks that they are about.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) counts: BlockCounts,
    /// Those that have not been reported, and where they were found.
    pub(super) facts: Vec<(Fact, Location)>,
}

impl Observed {
    pub(super) fn add(&mut self, fact: Fact, at: Location) {
        fact.count(&mut self.counts);
        self.facts.push((fact, at));
    }

    pub(super) fn add_missing(&mut self, fate: Fate, missing: Missing<Location>) {
        self.add(Fact::Missing { fate, numbers: missing.numbers }, missing.location);
    }
}

/// How often blocks of a run were passed over: reasons for counts that do not agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PassedOverBlocks {
    /// Stretches of missing blocks.
    pub(super) missing: u64,
    /// Blocks and files that are there, and that only a newer diolog can read.
    pub(super) newer: u64,
    /// Blocks that were left unread, because nobody wants their records.
    pub(super) unwanted: u64,
}

/// Something that is not as it should be, or worth a note.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// These block numbers are missing.
    Missing {
        fate: Fate,
        numbers: Range<u64>,
    },
    /// These block numbers are missing in a run that a logger is writing.
    Pending(Range<u64>),
    /// Number of blocks, or of stretches of bytes, at the end of a run that ended without close.
    TornEnd(u64),
    /// The same at the end of a run that a logger is writing: a block that has been written in part.
    UnfinishedEnd,
    /// Number of stretches of bytes that are not a block, if no block is missing.
    StrayBytes(u64),
    /// Number of blocks of other segments.
    OtherSegment(u64),
    /// A segment's header is damaged.
    BadHeader(BadHeader),
    /// This version cannot read the block.
    NewerBlock(Newer),
    /// These blocks are in a file that this version cannot read.
    InNewerFile(Range<u64>),
    /// These blocks may be in a file that this user may not read.
    InForbiddenFile(Range<u64>),
    /// This version cannot read these records of an intact block.
    NewerRecords(Newer),
    /// Number of records of an intact block that break the rules of this version.
    InvalidRecords(u64),
    /// Number of records of an intact block whose callsites it does not define.
    UndefinedCallsites(u64),
    /// Retention removed the segment before it was read.
    SegmentRemoved,
    /// The segment is there, and could not be opened.
    SegmentNotOpened,
    /// Retention removed the segment, and others after it.
    SegmentsRemovedAfter,
    /// The files contradict themselves: the sentence about it.
    Contradiction(String),
    /// The producer with this id has no final counts.
    NoFinalCounts {
        id: u32,
        reason: NoCounts,
    },
    ProducersUntracked,
    /// Number of records that were left in rings at the deadline of close.
    Unwritten(u64),
}

/// Why a segment's header may be damaged, and what that costs.
#[derive(Clone, Copy, Debug)]
pub(super) enum BadHeader {
    /// The segment had failed: the next one has its blocks.
    Replaced,
    /// A recovery has completed the run without it.
    Recovered,
    /// It may have been in flight at the end.
    Torn,
    /// It was durable. `first`: the number of the segment's first block, if blocks before it may be missing.
    Damaged { first: Option<u64> },
}

/// Why the final counts of a producer of a closed run may not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoCounts {
    Unexplained,
    /// They may be in a block that is missing.
    BlocksMissing,
    /// They may be in a part that only a newer diolog can read.
    Newer,
}

impl Fact {
    /// Adds the blocks that it is about to `counts`.
    fn count(&self, counts: &mut BlockCounts) {
        let (count, blocks) = match self {
            Fact::Missing { fate, numbers } => {
                let count = match fate {
                    Fate::Lost => &mut counts.lost,
                    Fate::Late | Fate::Hole => &mut counts.holes,
                    Fate::Torn => &mut counts.torn,
                };
                (count, numbers.end - numbers.start)
            }
            Fact::TornEnd(blocks) => (&mut counts.torn, *blocks),
            Fact::StrayBytes(stretches) => (&mut counts.stray, *stretches),
            Fact::OtherSegment(blocks) => (&mut counts.stale, *blocks),
            Fact::BadHeader(BadHeader::Torn) => (&mut counts.torn, 1),
            Fact::BadHeader(BadHeader::Damaged { .. }) => (&mut counts.damaged_headers, 1),
            Fact::NewerBlock(_) => (&mut counts.newer, 1),
            Fact::InNewerFile(numbers) => (&mut counts.newer, numbers.end - numbers.start),
            _ => return,
        };
        // A hostile file can claim any number of missing blocks.
        *count = count.saturating_add(blocks);
    }

    /// The mark of a newer diolog, if the fact is one: one finding for each mark is enough.
    pub(super) fn newer(&self) -> Option<Newer> {
        match *self {
            Fact::NewerBlock(newer) | Fact::NewerRecords(newer) => Some(newer),
            _ => None,
        }
    }

    /// How serious it is, and the sentence about it.
    pub(super) fn describe(&self) -> (Severity, String) {
        use Severity::{Lost, Note, Unconfirmed};
        let (severity, what) = match self {
            Fact::Missing { fate, numbers } => return describe_missing(*fate, numbers),
            Fact::Pending(numbers) => {
                return (Note, format!("{} not written yet: the log is in use", blocks_are(numbers)));
            }
            Fact::TornEnd(_) => (Unconfirmed, "a torn block at the end of a run that ended without close"),
            Fact::UnfinishedEnd => (Note, "a block that is being written: the log is in use"),
            Fact::StrayBytes(_) => (Note, "bytes that are not a block; no block is missing here"),
            Fact::OtherSegment(_) => {
                (Unconfirmed, "a block of another segment: it was written here by mistake, and may have replaced one")
            }
            Fact::BadHeader(header) => return header.describe(),
            Fact::NewerBlock(newer) => {
                return (Severity::Newer, format!("a block written by a newer diolog ({newer})"));
            }
            Fact::InNewerFile(numbers) => {
                return (Severity::Newer, format!("{} in a file written by a newer diolog", blocks_are(numbers)));
            }
            Fact::InForbiddenFile(numbers) => {
                let are = blocks_are(numbers);
                return (Unconfirmed, format!("{are} not in the files that this user may read: run this as another"));
            }
            Fact::NewerRecords(newer) => {
                return (Severity::Newer, format!("records written by a newer diolog ({newer})"));
            }
            Fact::InvalidRecords(records) => {
                let are = if *records == 1 { "is" } else { "are" };
                return (Lost, format!("{} {are} invalid, though the checksum fits", counted(*records, "record")));
            }
            Fact::UndefinedCallsites(records) => {
                let have = if *records == 1 { "has" } else { "have" };
                let what = format!("{} {have} a callsite that the block does not define", counted(*records, "record"));
                return (Lost, what);
            }
            Fact::SegmentRemoved => {
                (Unconfirmed, "was removed before it could be read, as retention does: its records are gone")
            }
            Fact::SegmentNotOpened => (Unconfirmed, "could not be opened: its records were not read"),
            Fact::SegmentsRemovedAfter => {
                (Unconfirmed, "was removed, with segments after it that had not been read, as retention does")
            }
            Fact::Contradiction(what) => (Lost, &**what),
            Fact::NoFinalCounts { id, reason } => {
                let severity = match reason {
                    NoCounts::Unexplained => Lost,
                    NoCounts::BlocksMissing => Unconfirmed,
                    NoCounts::Newer => Severity::Newer,
                };
                return (severity, format!("producer {id} has no final counts, though the run was closed"));
            }
            Fact::ProducersUntracked => {
                (Unconfirmed, "the log has more producers than this reader can keep counts for")
            }
            Fact::Unwritten(records) => {
                let were = if *records == 1 { "was" } else { "were" };
                let what =
                    format!("{} {were} accepted and not written: the run ended before", counted(*records, "record"));
                return (Lost, what);
            }
        };
        (severity, what.to_owned())
    }
}

impl BadHeader {
    /// How serious it is, and the sentence about it.
    fn describe(self) -> (Severity, String) {
        use Severity::{Note, Unconfirmed};
        let (severity, what) = match self {
            BadHeader::Replaced => (Note, "was never confirmed: the next segment has its blocks again"),
            BadHeader::Recovered => (Note, "was never confirmed: a recovery has completed the run without it"),
            BadHeader::Torn => (Unconfirmed, "is torn"),
            BadHeader::Damaged { first: None } => (Unconfirmed, "is damaged: no record is missing because of that"),
            BadHeader::Damaged { first: Some(number) } => {
                let what = "the segment's header is damaged: nothing shows whether blocks came before block";
                return (Unconfirmed, format!("{what} {number}"));
            }
        };
        (severity, format!("the segment's header {what}"))
    }
}

/// How serious it is that block `numbers` are missing, and the sentence about it.
fn describe_missing(fate: Fate, numbers: &Range<u64>) -> (Severity, String) {
    use Severity::{Lost, Unconfirmed};
    let are = blocks_are(numbers);
    let they_were = if numbers.end - numbers.start == 1 { "it was" } else { "they were" };
    match fate {
        Fate::Lost => (Lost, format!("{are} lost: a later block testifies that {they_were} durable")),
        Fate::Late => (Unconfirmed, format!("{are} missing: not there when the reader looked, and durable later")),
        Fate::Hole => {
            let why = format!("{they_were} in flight, and nothing says that {they_were} durable");
            (Unconfirmed, format!("{are} missing: {why}"))
        }
        Fate::Torn => (Unconfirmed, format!("{are} torn, at the end of a run that ended without close")),
    }
}

fn blocks_are(numbers: &Range<u64>) -> String {
    let Range { start, end } = numbers;
    if end - start == 1 { format!("block {start} is") } else { format!("blocks {start} to {} are", end - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_as_lost_newer_or_torn_is_as_serious_as_that() {
        let numbers = || 3..5;
        let facts = [
            Fact::Missing { fate: Fate::Lost, numbers: numbers() },
            Fact::Missing { fate: Fate::Late, numbers: numbers() },
            Fact::Missing { fate: Fate::Hole, numbers: numbers() },
            Fact::Missing { fate: Fate::Torn, numbers: numbers() },
            Fact::TornEnd(2),
            Fact::StrayBytes(2),
            Fact::OtherSegment(2),
            Fact::BadHeader(BadHeader::Torn),
            Fact::BadHeader(BadHeader::Damaged { first: None }),
            Fact::BadHeader(BadHeader::Damaged { first: Some(3) }),
            Fact::NewerBlock(Newer::BlockFlags(0x100)),
            Fact::InNewerFile(numbers()),
        ];
        for fact in facts {
            let mut counts = BlockCounts::default();
            fact.count(&mut counts);
            let BlockCounts { good, torn, holes, lost, stale, duplicates, damaged_headers, newer, stray } = counts;
            assert_eq!(good + duplicates, 0, "{fact:?}");
            let counted = [
                (Severity::Note, stray),
                (Severity::Unconfirmed, torn + holes + stale + damaged_headers),
                (Severity::Newer, newer),
                (Severity::Lost, lost),
            ];
            for (severity, blocks) in counted {
                assert_eq!(blocks > 0, severity == fact.describe().0, "{fact:?}");
            }
        }
    }

    #[test]
    fn final_counts_that_are_missing_are_as_serious_as_the_reason() {
        let severity = |reason| Fact::NoFinalCounts { id: 1, reason }.describe().0;
        assert_eq!(severity(NoCounts::Unexplained), Severity::Lost);
        assert_eq!(severity(NoCounts::BlocksMissing), Severity::Unconfirmed);
        assert_eq!(severity(NoCounts::Newer), Severity::Newer);
    }

    #[test]
    fn one_record_is_singular_and_several_are_plural() {
        let invalid = |records| Fact::InvalidRecords(records).describe().1;
        assert_eq!(invalid(1), "1 record is invalid, though the checksum fits");
        assert_eq!(invalid(2), "2 records are invalid, though the checksum fits");
    }

    #[test]
    fn one_block_and_several_are_named_by_their_numbers() {
        let missing = |fate, numbers| Fact::Missing { fate, numbers }.describe().1;
        assert_eq!(missing(Fate::Lost, 3..4), "block 3 is lost: a later block testifies that it was durable");
        assert_eq!(missing(Fate::Lost, 3..6), "blocks 3 to 5 are lost: a later block testifies that they were durable");
        let hole = "blocks 3 to 5 are missing: they were in flight, and nothing says that they were durable";
        assert_eq!(missing(Fate::Hole, 3..6), hole);
    }
}
