//! The blocks of one run by outcome: read, missing or damaged; and the bytes between them that are not blocks.
//!
//! The account calls it for each segment and block, in the order of block numbers. It reads no file and no record.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::format::{BlockFlags, IN_FLIGHT_UNKNOWN, Newer};

use super::super::files::{Run, Segment};
use super::super::scan::{BlockLocation, Debris};
use super::findings::{BadHeader, Fact, Location, Observed, PassedOverBlocks};
use super::testimony::{Fate, Missing, Testimony};

/// A segment whose header is damaged.
#[derive(Debug)]
struct HeaderlessSegment {
    path: Arc<Path>,
    /// The number of the first block in it.
    first_number: u64,
    /// Whether a later segment begins with that block or an earlier one: this one had failed.
    is_replaced: bool,
    /// Whether it is known which block comes before it.
    follows_known: bool,
}

/// Debris after the last block of a segment of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trailing {
    pub(crate) segment: usize,
    pub(crate) debris: Debris,
}

/// The place of the blocks that are missing before a segment, if some are.
#[derive(Clone, Debug)]
pub(crate) enum Before {
    /// The segment is the first one of its run that is there.
    Nothing,
    /// They should stand here.
    At(Location),
    /// They are in files that only a newer diolog can read, of which this is the first.
    InNewerFile(Arc<Path>),
    /// They may be in files that this user may not read, of which this is the first.
    InForbiddenFile(Arc<Path>),
}

/// What became of the segments right before the next one; of several, the last of these cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Skipped {
    /// They were read.
    #[default]
    None,
    /// They were removed while the log was read, before it came to them. Nothing else is known of them.
    Removed,
    /// One could not be opened.
    NotOpened,
}

/// How the reader has come to the end of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RunEnd<'a> {
    /// Everything that is there was read. `torn` is the first and the last of the blocks at the end, if none of them is
    /// good and they have not been passed over; `trailing` is the debris after them.
    Reached { torn: Option<(&'a BlockLocation, &'a BlockLocation)>, trailing: Option<Trailing> },
    /// The next block may still come: nothing after it was read.
    Awaiting,
}

/// The account of one run's blocks.
#[derive(Debug, Default)]
pub(crate) struct RunBlocks {
    testimony: Testimony<Location>,
    /// As [`durable_below`](Self::durable_below), but only by blocks that the run itself has written. Blocks of a
    /// recovery prove only that the blocks which it found were durable, and nothing about headers.
    confirmed_below: u64,
    /// The number of the next block, once known.
    expected: Option<u64>,
    /// A later block can prove that a missing block is lost only if the missing one has a lower number than this.
    /// Missing blocks from this number on may have been written after the reader looked for them.
    pub(crate) proved_below: u64,
    pub(super) passed_over: PassedOverBlocks,
    /// The facts that later blocks cannot change.
    pub(super) observed: Observed,
    /// Debris after the last block of a segment, until the next good block explains it.
    unexplained: Vec<Trailing>,
    headerless: Vec<HeaderlessSegment>,
    skipped: Skipped,
    /// Blocks in segments that were removed before they were read.
    pub(super) removed: u64,
    /// Whether blocks before the next one in order are in no file, so that counts begin with a segment's baseline: that
    /// of the segment with the lowest number.
    baseline_due: bool,
    /// The highest number with which a segment begins, and where that segment says so: blocks below it were submitted.
    announced: Option<(u64, Location)>,
    /// The files of the run's segments that have begun or were passed over: one for each, in their order.
    paths: Vec<Arc<Path>>,
    /// The number of the block that ended the run.
    ended_at: Option<u64>,
}

impl RunBlocks {
    /// The account of `run`, none of whose blocks has been read.
    pub(super) fn of(run: &Run) -> RunBlocks {
        let lowest = if run.begins_here { Some(0) } else { run.lowest_from(0) };
        // Without a header it is unknown whether segments before it were removed, unless it begins with the first
        // block.
        let expected = lowest.filter(|&lowest| lowest == 0 || run.first().header.is_some());
        RunBlocks { expected, baseline_due: true, ..RunBlocks::default() }
    }

    /// The number that the next block should have.
    pub(crate) fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// All blocks of the run below this number were durable.
    pub(crate) fn durable_below(&self) -> u64 {
        self.testimony.durable_below()
    }

    /// How many segments have begun or were passed over.
    pub(crate) fn segments_begun(&self) -> usize {
        self.paths.len()
    }

    /// The position `offset` in the `segment`th segment, which has begun.
    pub(crate) fn location(&self, segment: usize, offset: u64) -> Location {
        Location::at(&self.paths[segment], offset)
    }

    /// The start of the segment that began last.
    ///
    /// # Panics
    /// If none has begun.
    pub(super) fn last_segment(&self) -> Location {
        assert!(!self.paths.is_empty(), "records and ends belong to a segment that has begun");
        self.location(self.paths.len() - 1, 0)
    }

    /// Passes over the next segment, which was removed before it could be read.
    pub(super) fn segment_removed(&mut self, path: &Arc<Path>) {
        self.paths.push(Arc::clone(path));
        self.skip(Skipped::Removed, Fact::SegmentRemoved, path);
    }

    /// Passes over the next segment, which could not be opened.
    pub(super) fn segment_not_opened(&mut self, path: &Arc<Path>) {
        self.paths.push(Arc::clone(path));
        self.skip(Skipped::NotOpened, Fact::SegmentNotOpened, path);
    }

    /// Passes over segments after the one at `previous` that were removed before they were listed.
    pub(super) fn segments_removed_after(&mut self, previous: &Arc<Path>) {
        self.skip(Skipped::Removed, Fact::SegmentsRemovedAfter, previous);
    }

    fn skip(&mut self, skipped: Skipped, fact: Fact, path: &Arc<Path>) {
        self.skipped = self.skipped.max(skipped);
        self.baseline_due = true;
        self.observed.add(fact, Location::start_of(path));
    }

    /// Whether segments right before the next one were removed before they were read, and nothing else is known of
    /// them.
    pub(super) fn follows_removed(&self) -> bool {
        self.skipped == Skipped::Removed
    }

    /// Begins a segment. No block below number `lowest` is in it or in a later one, so those that were not read are
    /// missing; between `lowest` and the segment's first block, a later segment may have them. Returns whether the rows
    /// in the segment's block 0 are a baseline: what they count before it was not read, and is not missing.
    pub(super) fn start_segment(&mut self, segment: &Segment, lowest: u64, before: &Before) -> bool {
        self.paths.push(Arc::clone(&segment.path));
        let replaced = self.headerless.iter_mut().filter(|it| it.first_number >= segment.first_number);
        replaced.for_each(|headerless| headerless.is_replaced = true);
        if segment.header.is_none() {
            let (path, first_number) = (Arc::clone(&segment.path), segment.first_number);
            let follows_known = self.expected.is_some() || first_number == 0;
            self.headerless.push(HeaderlessSegment { path, first_number, is_replaced: false, follows_known });
        }
        let skipped = std::mem::take(&mut self.skipped);
        let missing = self.expected.unwrap_or(lowest)..lowest;
        if !missing.is_empty() {
            match before {
                _ if skipped > Skipped::None => {
                    self.expected = Some(missing.end);
                    self.removed += if skipped == Skipped::Removed { missing.end - missing.start } else { 0 };
                    self.passed_over.missing += 1;
                }
                Before::InNewerFile(path) => {
                    self.expected = Some(missing.end);
                    self.passed_over.newer += 1;
                    self.observed.add(Fact::InNewerFile(missing), Location::start_of(path));
                }
                Before::InForbiddenFile(path) => {
                    self.expected = Some(missing.end);
                    self.passed_over.missing += 1;
                    self.observed.add(Fact::InForbiddenFile(missing), Location::start_of(path));
                }
                Before::At(location) => self.miss(missing, location),
                Before::Nothing => self.miss(missing, &Location::start_of(&segment.path)),
            }
        }
        self.expected.get_or_insert(lowest);
        // Block 0 has the number of the first block after it.
        if self.announced.as_ref().is_none_or(|(number, _)| *number < segment.first_number) {
            self.announced = Some((segment.first_number, Location::start_of(&segment.path)));
        }
        segment.first_number == lowest && std::mem::take(&mut self.baseline_due)
    }

    /// Ends a segment, with the debris after its last block.
    pub(crate) fn end_segment(&mut self, trailing: Trailing) {
        self.note_stale(trailing.segment, &trailing.debris);
        if trailing.debris.stretches > 0 {
            self.unexplained.push(trailing);
        }
    }

    /// Notes blocks of other segments.
    fn note_stale(&mut self, segment: usize, debris: &Debris) {
        if debris.stale > 0 {
            self.observed.add(Fact::OtherSegment(debris.stale), self.location(segment, debris.offset));
        }
    }

    /// Counts `copies` of a block besides the one that is read, the first of them in the `segment`th segment, after
    /// `debris`.
    pub(crate) fn count_duplicates(&mut self, copies: u64, segment: usize, debris: &Debris) {
        self.observed.counts.duplicates += copies + debris.stretches;
        self.note_stale(segment, debris);
    }

    /// Passes over a block of which no copy is good.
    pub(super) fn pass_over_bad(&mut self, block: &BlockLocation, debris: &Debris) {
        let location = self.location(block.segment, block.offset);
        let first = self.expected.unwrap_or(block.number());
        self.note_stale(block.segment, debris);
        // No block can follow one with the largest number.
        self.miss(first..block.number().saturating_add(1), &location);
    }

    /// Takes in a good block.
    pub(super) fn take_good(&mut self, block: &BlockLocation, debris: &Debris) {
        self.observed.counts.good += 1;
        self.take_present(block, debris, block.header.in_flight.get());
        // A recovery composed it for a block that was never written, from what the rings still held: maybe not all.
        self.passed_over.missing += u64::from(block.header.block_flags().has(BlockFlags::RECOVERED));
        if block.header.block_flags().has(BlockFlags::CLEAN_END) {
            self.ended_at = Some(block.number());
        }
    }

    /// Takes in a block that is there, and that only a newer diolog can read.
    pub(super) fn pass_over_newer(&mut self, block: &BlockLocation, newer: Newer, debris: &Debris) {
        self.passed_over.newer += 1;
        // Another version may keep something else at the place of `in_flight`.
        self.take_present(block, debris, IN_FLIGHT_UNKNOWN);
        self.observed.add(Fact::NewerBlock(newer), self.location(block.segment, block.offset));
    }

    /// Takes in a block that is there by its header, and whose records nobody wants.
    pub(super) fn pass_over_unwanted(&mut self, block: &BlockLocation, debris: &Debris) {
        self.passed_over.unwanted += 1;
        self.take_present(block, debris, block.header.in_flight.get());
    }

    fn take_present(&mut self, block: &BlockLocation, debris: &Debris, in_flight: u16) {
        let number = block.number();
        let missing = self.expected.unwrap_or(number)..number;
        assert!(
            missing.start <= missing.end,
            "block {number} comes after block {}, which is not before it",
            missing.start
        );
        self.explain(block, debris, missing);
        self.expected = Some(number.saturating_add(1));
        if in_flight != IN_FLIGHT_UNKNOWN && !block.header.block_flags().has(BlockFlags::RECOVERED) {
            self.confirmed_below = self.confirmed_below.max(number.saturating_sub(u64::from(in_flight)));
        }
        self.testimony.hear(number, in_flight, |fate, missing| self.observed.add_missing(fate, missing));
    }

    /// Explains the debris before `block` and the block numbers `missing` that are missing before it.
    fn explain(&mut self, block: &BlockLocation, debris: &Debris, missing: Range<u64>) {
        self.note_stale(block.segment, debris);
        // Debris at the end of the last segment is judged when the run has been read.
        let begun = self.paths.len();
        let before: Vec<_> = self.unexplained.extract_if(.., |trailing| trailing.segment + 1 < begun).collect();
        if !missing.is_empty() {
            let location = self.location(block.segment, debris.from);
            return self.miss(missing, &location);
        }
        let follows_bad_header = self.headerless.last().is_some_and(|segment| segment.first_number == block.number());
        let here = Trailing { segment: block.segment, debris: *debris };
        for Trailing { segment, debris } in before.into_iter().chain((!follows_bad_header).then_some(here)) {
            if debris.stretches == 0 {
                continue;
            }
            // No number is missing, so these are copies that a failed segment left, or bytes that are not of the log.
            if segment + 1 < self.paths.len() {
                self.observed.counts.duplicates += debris.stretches;
            } else {
                self.observed.add(Fact::StrayBytes(debris.stretches), self.location(segment, debris.offset));
            }
        }
    }

    /// Notes that `numbers` are missing. Their fate is decided later, unless too many are undecided.
    fn miss(&mut self, numbers: Range<u64>, location: &Location) {
        self.expected = Some(numbers.end);
        self.passed_over.missing += 1;
        let late = self.proved_below.clamp(numbers.start, numbers.end);
        for (numbers, may_have_come) in [(numbers.start..late, false), (late..numbers.end, true)] {
            if !numbers.is_empty() {
                let missing = Missing { numbers, location: location.clone(), may_have_come };
                let decided = self.testimony.miss(missing);
                decided.into_iter().for_each(|(fate, missing)| self.observed.add_missing(fate, missing));
            }
        }
    }

    /// All facts if the run ends here, and whether it was closed. `is_written`: a logger is writing it, unless it was
    /// closed.
    pub(super) fn conclude(&self, end: RunEnd<'_>, is_written: bool) -> (Observed, bool) {
        let (torn, trailing) = match end {
            RunEnd::Reached { torn, trailing } => (torn, trailing),
            RunEnd::Awaiting => (None, None),
        };
        let clean_end = self.ended_at.is_some() && self.ended_at == self.testimony.last_good() && torn.is_none();
        let mut observed = Observed { counts: self.observed.counts, facts: Vec::new() };
        // This debris is not counted yet, because the run may go on there.
        if let Some(Trailing { segment, debris }) = trailing.filter(|trailing| trailing.debris.stale > 0) {
            observed.add(Fact::OtherSegment(debris.stale), self.location(segment, debris.offset));
        }
        // A logger at work still has what comes after its last block, and writes it.
        let goes_on = is_written && !clean_end;
        let add_missing = |observed: &mut Observed, fate, missing: Missing<Location>| match fate {
            Fate::Torn if goes_on => observed.add(Fact::Pending(missing.numbers), missing.location),
            _ => observed.add_missing(fate, missing),
        };
        self.testimony.rest().for_each(|(fate, missing)| add_missing(&mut observed, fate, missing));
        for &Trailing { segment, debris } in self.unexplained.iter().chain(&trailing) {
            let fact = match debris.stretches {
                0 => continue,
                stretches if clean_end => Fact::StrayBytes(stretches),
                _ if is_written => Fact::UnfinishedEnd,
                blocks => Fact::TornEnd(blocks),
            };
            observed.add(fact, self.location(segment, debris.offset));
        }
        for HeaderlessSegment { path, first_number, is_replaced, follows_known } in &self.headerless {
            let header = if *is_replaced {
                BadHeader::Replaced
            } else if self.confirmed_below > *first_number {
                // The header was written before the first block, so it was durable if that was.
                BadHeader::Damaged { first: (!follows_known).then_some(*first_number) }
            } else if self.durable_below() > *first_number {
                BadHeader::Recovered
            } else {
                BadHeader::Torn
            };
            observed.add(Fact::BadHeader(header), Location::start_of(path));
        }
        if let Some((first, last)) = torn {
            let expected = self.expected.unwrap_or(first.number());
            let blocks = last.number().saturating_sub(expected).saturating_add(1);
            let fact = if is_written { Fact::UnfinishedEnd } else { Fact::TornEnd(blocks) };
            observed.add(fact, self.location(first.segment, first.offset));
        }
        let next = torn.map(|(_, last)| last.number().saturating_add(1)).or(self.expected);
        if let (Some(next), Some((announced, at))) = (next, &self.announced)
            && next < *announced
            && !matches!(end, RunEnd::Awaiting)
        {
            let missing = Missing { numbers: next..*announced, location: at.clone(), may_have_come: false };
            add_missing(&mut observed, Fate::Torn, missing);
        }
        (observed, clean_end)
    }
}
