//! To which run a segment without a header belongs: by its place among the files, and by its first blocks, compared
//! with those of the run.
//!
//! `discover` calls it for the segments that it has sorted into runs by their headers.

use std::collections::{HashMap, VecDeque};

use crate::error::Result;
use crate::format::{BlockFlags, BlockHeader};

use super::super::files::{Facts, LogFiles, Run, Segment};
use super::super::scan::{Cursor, Scanned};

/// So many blocks of the segment are compared.
const COMPARED_MAX: usize = 64;

/// Adds segments without a header to known runs, by their place among the files and by their blocks: a segment between
/// two segments of a run, or one before a run if [`precedes`] says that it is of this run.
pub(super) fn join(files: &LogFiles, facts: &Facts, runs: VecDeque<Run>) -> Result<VecDeque<Run>> {
    let mut joined: VecDeque<Run> = VecDeque::new();
    for mut run in take_in_between(files, runs)? {
        // Looks at the segments of unknown runs before it, the nearest first.
        let mut before = joined.len();
        while run.id.is_known() && !run.begins_here && before > 0 && !joined[before - 1].id.is_known() {
            let is_next = before == joined.len();
            before -= 1;
            if !precedes(files, facts, joined[before].first(), &run, is_next)? {
                continue;
            }
            let mut between = joined.split_off(before);
            run.insert(between.pop_front().expect("the one that precedes it"));
            for other in between {
                if may_be_of(files, other.first(), &run)? {
                    run.insert(other);
                } else {
                    joined.push_back(other);
                }
            }
        }
        joined.push_back(run);
    }
    Ok(joined)
}

/// Adds to each run the segments that stand between two of its own.
fn take_in_between(files: &LogFiles, runs: VecDeque<Run>) -> Result<Vec<Run>> {
    let mut filled: Vec<Run> = Vec::new();
    for run in runs {
        match filled.last_mut() {
            Some(last)
                if !run.id.is_known()
                    && last.last().index() > run.first().index()
                    && may_be_of(files, run.first(), last)? =>
            {
                last.insert(run);
            }
            _ => filled.push(run),
        }
    }
    Ok(filled)
}

/// Whether `segment`, which stands between two segments of `run`, may be of this run: no block contradicts it.
fn may_be_of(files: &LogFiles, segment: &Segment, run: &Run) -> Result<bool> {
    Ok(compare(files, segment, Others::Any(run.segments()))?.is_some_and(|likeness| likeness != Likeness::Differs))
}

/// Whether `segment`, which has no header and stands before `run`, is of this run. One of these must hold, and no block
/// of the run may have the number of one of its blocks and other contents:
///
/// - The run holds copies of its blocks.
/// - It has no block, and `is_next` to the run.
/// - The run begins again with a lower number than the segment, and no block of the segment says that the blocks from
///   that number on were durable. The writer begins again after a failed write.
/// - It `is_next` to the run, only files without a block lie between them, the run's numbers follow its own, it is not
///   the end of a closed run, and the run's first testimony says that its blocks may have been in flight.
fn precedes(files: &LogFiles, facts: &Facts, segment: &Segment, run: &Run, is_next: bool) -> Result<bool> {
    let lowest = run.lowest_from(0).unwrap_or(0);
    Ok(match compare(files, segment, Others::Any(run.segments()))? {
        Some(Likeness::Copies) => true,
        Some(Likeness::NoBlock) => is_next,
        Some(Likeness::Apart) => {
            let (mut durable_below, mut last, mut ends) = (0, 0, false);
            let all_there = each_block(files, segment, |header| {
                durable_below = durable_below.max(header.durable_below());
                last = last.max(header.sequence.get());
                ends |= header.block_flags().has(BlockFlags::CLEAN_END);
                true
            })?;
            if segment.first_number >= lowest {
                all_there && durable_below <= lowest
            } else {
                let follows = facts.lowest_blank_before(run.first().index()) == segment.index().wrapping_add(1);
                let goes_on = all_there && is_next && follows && !ends && last < lowest;
                goes_on && first_testimony(files, run)?.is_some_and(|durable| durable <= segment.first_number)
            }
        }
        _ => false,
    })
}

/// Whether `next`, whose first segment has no header, continues `run`. All of these must hold:
///
/// - Only files without a block lie between the two.
/// - The run did not end before `next`.
/// - No block of the run has the number of one of the first blocks of `next` and other contents.
/// - The run holds copies of first blocks of `next`, or no block of the run says that they were durable already.
///
/// `next` may begin with a lower number than all of the run, because blocks that were refused are written again into a
/// later segment.
pub(super) fn continues(files: &LogFiles, facts: &Facts, run: &Run, next: &Run) -> Result<bool> {
    let (last, first) = (run.last(), next.first());
    if next.id.is_known() || facts.lowest_blank_before(first.index()) != last.index().wrapping_add(1) {
        return Ok(false);
    }
    let begins_before = |segment: &Segment| segment.first_number <= first.first_number;
    let from = run.segments().iter().rposition(begins_before).unwrap_or(0);
    Ok(compare(files, first, Others::Earlier(&run.segments()[from..]))?
        .is_some_and(|likeness| likeness != Likeness::Differs))
}

/// The result of comparing the first blocks of a segment with the blocks of other segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    /// The segments are of different runs: two blocks have the same number and other contents; or an earlier segment
    /// holds a clean end; or, without copies, its blocks say that the first blocks were durable already.
    Differs,
    /// Some blocks are copies of each other, and no two differ.
    Copies,
    /// No two blocks have the same number.
    Apart,
    /// The segment has no block.
    NoBlock,
}

/// The segments that one is compared with.
enum Others<'a> {
    /// They stand before it.
    Earlier(&'a [Segment]),
    /// They stand anywhere.
    Any(&'a [Segment]),
}

/// Compares the first blocks of a segment with the blocks of others. `None` if one of the files has been removed since
/// it was listed.
fn compare(files: &LogFiles, segment: &Segment, others: Others<'_>) -> Result<Option<Likeness>> {
    let (others, are_earlier) = match others {
        Others::Earlier(others) => (others, true),
        Others::Any(others) => (others, false),
    };
    let mut first_blocks = HashMap::new();
    let all_there = each_block(files, segment, |header| {
        first_blocks.insert(header.sequence.get(), *header);
        first_blocks.len() < COMPARED_MAX
    })?;
    let last = first_blocks.keys().max().copied().unwrap_or(0);
    let nothing = if first_blocks.is_empty() { Likeness::NoBlock } else { Likeness::Apart };
    let mut likeness = all_there.then_some(nothing);
    let mut durable_below = 0;
    for other in others {
        if likeness.is_none_or(|likeness| likeness == Likeness::Differs) {
            break;
        }
        let all_there = each_block(files, other, |header| {
            durable_below = durable_below.max(header.durable_below());
            let ends = are_earlier && header.block_flags().has(BlockFlags::CLEAN_END);
            likeness = match first_blocks.get(&header.sequence.get()) {
                Some(block) if is_copy(block, header) => Some(Likeness::Copies),
                None if !ends => likeness,
                _ => Some(Likeness::Differs),
            };
            (are_earlier || header.sequence.get() < last) && likeness != Some(Likeness::Differs)
        })?;
        likeness = likeness.filter(|_| all_there);
    }
    if are_earlier
        && durable_below > segment.first_number
        && likeness.is_some_and(|likeness| likeness != Likeness::Copies)
    {
        likeness = Some(Likeness::Differs);
    }
    Ok(likeness)
}

/// Calls `act` with the header of each block of a segment, until it returns false. Returns false if the segment has
/// been removed since it was listed.
fn each_block(files: &LogFiles, segment: &Segment, mut act: impl FnMut(&BlockHeader) -> bool) -> Result<bool> {
    let Some(file) = files.open_if_there(&segment.path)? else { return Ok(false) };
    let mut cursor = Cursor::new(Some(segment.segment_id), segment.first_offset);
    while let Scanned::Block(found) = cursor.next(&file, u64::MAX)? {
        if !act(&found.header) {
            break;
        }
    }
    Ok(true)
}

/// The number below which all blocks were durable, as the first header or block of a run says it.
fn first_testimony(files: &LogFiles, run: &Run) -> Result<Option<u64>> {
    for segment in run.segments() {
        let mut first = segment.block_0.as_ref().map(BlockHeader::durable_below);
        if first.is_none() {
            each_block(files, segment, |header| {
                first = Some(header.durable_below());
                false
            })?;
        }
        if first.is_some() {
            return Ok(first);
        }
    }
    Ok(None)
}

/// Whether two blocks of the same number have the same contents, by their headers.
fn is_copy(one: &BlockHeader, other: &BlockHeader) -> bool {
    let contents = |block: &BlockHeader| {
        let BlockHeader { valid, payload_crc, first_ns, last_ns, records, shards, .. } = *block;
        (valid, payload_crc, first_ns, last_ns, records, shards)
    };
    contents(one) == contents(other)
}
