//! Where numbers are missing in a producer's sequence, and why, as far as the files say.
//!
//! The causes come from three places: gap records, which stand in the block after the gap; rows, which tell how many
//! records were in missing blocks; and, after a producer's last record, its final counts. `producers` calls this for
//! each shard and each end, in the order of block numbers.

use std::ops::Range;
use std::sync::Arc;

use crate::format::{DroppedBy, GapRecord, LossCause, ProducerRow};

use super::super::record::ProducerIdentity;

/// Consecutive numbers of a producer that are not in the files, for one cause.
#[derive(Clone, Debug)]
pub(crate) struct SequenceGap {
    pub(crate) producer: Arc<ProducerIdentity>,
    pub(crate) first_sequence: u64,
    pub(crate) count: u64,
    pub(crate) cause: LossCause,
    /// The index, in its block, of the shard before which they are missing; `None` if none of the producer's records
    /// follows.
    pub(crate) before_shard: Option<usize>,
}

/// How many numbers are missing for each cause.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    pub(super) dropped_by: DroppedBy,
    pub(super) overwritten: u64,
    /// Numbers that are missing for another cause, or for an unknown one.
    pub(super) others: u64,
}

/// How far one producer's numbers are placed. Each number has its place in a shard or in a gap.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// The number after the last one that is placed; `None` until the producer's first number is known.
    next: Option<u64>,
    /// Numbers below this that are not placed yet were in segments that were removed before they were read.
    removed_below: u64,
    /// Records in missing blocks, by the counts in rows, that are not placed yet.
    damaged: u64,
    /// The gaps so far. Most producers have none.
    found: Option<Box<Losses>>,
}

impl Placed {
    /// Notes that the producer's numbers begin with `first`, unless it is known where they begin.
    pub(super) fn begin(&mut self, first: u64) {
        self.next.get_or_insert(first);
    }

    /// Notes that the numbers below `next` cannot be read: their segments are gone. If some came before them, the gap
    /// is found with the next shard.
    pub(super) fn note_removed(&mut self, next: u64) {
        self.removed_below = next;
        self.begin(next);
    }

    /// Notes that `records` more were in missing blocks.
    pub(super) fn note_damaged(&mut self, records: u64) {
        self.damaged = self.damaged.saturating_add(records);
    }

    /// Places the numbers of a shard.
    pub(super) fn place(&mut self, end: u64) {
        self.next = self.next.max(Some(end));
    }

    /// Finds the gap before `end`, where a shard or nothing follows, by `records`, the gap records of the same block,
    /// and `last`, if nothing follows: the final counts, and the losses before the files. Passes on each part of it
    /// that has a cause of its own, in order.
    pub(super) fn find(
        &mut self,
        producer: u32,
        end: u64,
        records: &[GapRecord],
        last: Option<(&ProducerRow, Losses)>,
        mut found: impl FnMut(Range<u64>, LossCause),
    ) {
        let Some(at) = self.next.filter(|&next| next < end) else { return };
        self.next = Some(end);
        let parts = self.parts(producer, at..end, records);
        let mut sums = self.found.as_deref().copied().unwrap_or_default();
        let mut unexplained = 0;
        for (numbers, cause) in &parts {
            let count = numbers.end - numbers.start;
            match cause {
                Some(cause) => sums.add(*cause, count),
                None => unexplained += count,
            }
        }
        let mut causes = self.causes_of(unexplained, &sums, last);
        let mut caused = Vec::new();
        for (mut numbers, cause) in parts {
            if let Some(cause) = cause {
                push_joined(&mut caused, numbers, cause);
                continue;
            }
            while !numbers.is_empty() {
                let (cause, left) = causes.first_mut().expect("the causes are as many as the numbers");
                let taken = (*left).min(numbers.end - numbers.start);
                push_joined(&mut caused, numbers.start..numbers.start + taken, *cause);
                sums.add(*cause, taken);
                (numbers.start, *left) = (numbers.start + taken, *left - taken);
                if *left == 0 {
                    causes.remove(0);
                }
            }
        }
        self.found = Some(Box::new(sums));
        caused.into_iter().for_each(|(numbers, cause)| found(numbers, cause));
    }

    /// The parts of missing `numbers`, in order, each with its cause if a gap record explains it or retention has
    /// removed it.
    fn parts(&self, producer: u32, numbers: Range<u64>, records: &[GapRecord]) -> Vec<(Range<u64>, Option<LossCause>)> {
        let Range { start, end } = numbers;
        let mut parts = Vec::new();
        let mut at = self.removed_below.clamp(start, end);
        if start < at {
            parts.push((start..at, Some(LossCause::Removed)));
        }
        for record in records.iter().filter(|record| record.producer == producer) {
            let begins = record.first_sequence.clamp(at, end);
            let ends = record.first_sequence.saturating_add(record.count).clamp(begins, end);
            if begins < ends {
                parts.extend((at < begins).then_some((at..begins, None)));
                parts.push((begins..ends, Some(record.cause)));
                at = ends;
            }
        }
        parts.extend((at < end).then_some((at..end, None)));
        parts
    }

    /// The causes of `count` numbers that no gap record explains, each with its part of them. Their order in the gap
    /// is not known.
    fn causes_of(&mut self, count: u64, found: &Losses, last: Option<(&ProducerRow, Losses)>) -> Vec<(LossCause, u64)> {
        let damaged = self.damaged.min(count);
        self.damaged -= damaged;
        let mut left = count - damaged;
        let mut causes = vec![(LossCause::Damaged, damaged)];
        if let Some((row, before)) = last {
            let unwritten = row.unwritten.min(left);
            left -= unwritten;
            causes.push((LossCause::Unwritten, unwritten));
            // An older diolog did not tell the causes of drops.
            let dropped_by = row.dropped_by.unwrap_or_default();
            let tells = row.dropped == 0 || row.dropped_by.is_some();
            let totals = dropped_by.causes().chain([(LossCause::Overwritten, row.overwritten)]);
            let totals: Vec<_> = totals.filter(|(_, count)| *count > 0).collect();
            // Earlier gaps without a known cause may have used up a part of any count. That matters only if several
            // counts are left, because a cause never explains more than its count.
            if tells && (totals.len() == 1 || found.others == 0) {
                for (cause, total) in totals {
                    let here = total.saturating_sub(before.count(cause).saturating_add(found.count(cause))).min(left);
                    causes.push((cause, here));
                    left -= here;
                }
            }
        }
        causes.push((LossCause::Unknown, left));
        causes.retain(|(_, count)| *count > 0);
        causes
    }
}

/// Adds `numbers` to the last part, if they continue it and have its cause, or else as a part of their own.
fn push_joined(parts: &mut Vec<(Range<u64>, LossCause)>, numbers: Range<u64>, cause: LossCause) {
    match parts.last_mut() {
        Some((before, of)) if *of == cause && before.end == numbers.start => before.end = numbers.end,
        _ => parts.push((numbers, cause)),
    }
}

impl Losses {
    fn count(&self, cause: LossCause) -> u64 {
        if cause == LossCause::Overwritten { self.overwritten } else { self.dropped_by.count(cause) }
    }

    fn add(&mut self, cause: LossCause, count: u64) {
        let by = &mut self.dropped_by;
        let sum = match cause {
            LossCause::RingFull => &mut by.ring_full,
            LossCause::RingMemory => &mut by.ring_memory,
            LossCause::TimedOut => &mut by.timed_out,
            LossCause::DeviceFailed => &mut by.device_failed,
            LossCause::Overwritten => &mut self.overwritten,
            // These numbers do not make the counts of drops uncertain.
            LossCause::Damaged | LossCause::Removed => return,
            _ => &mut self.others,
        };
        *sum = sum.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(first_sequence: u64, count: u64, cause: LossCause) -> GapRecord {
        GapRecord { producer: 1, cause, first_sequence, count }
    }

    fn row(dropped_by: DroppedBy, overwritten: u64, unwritten: u64) -> ProducerRow {
        let dropped = dropped_by.causes().map(|(_, count)| count).sum();
        ProducerRow {
            id: 1,
            tid: 1,
            next_sequence: 0,
            records: 0,
            dropped,
            dropped_by: Some(dropped_by),
            overwritten,
            unwritten,
            name: String::new(),
        }
    }

    fn gaps(
        placed: &mut Placed,
        end: u64,
        records: &[GapRecord],
        last: Option<&ProducerRow>,
    ) -> Vec<(u64, u64, LossCause)> {
        let mut gaps = Vec::new();
        let last = last.map(|row| (row, Losses::default()));
        placed.find(1, end, records, last, |numbers, cause| {
            gaps.push((numbers.start, numbers.end - numbers.start, cause));
        });
        gaps
    }

    fn begun() -> Placed {
        let mut placed = Placed::default();
        placed.begin(10);
        placed
    }

    #[test]
    fn a_gap_is_explained_by_gap_records_of_its_producer_and_the_rest_is_unknown() {
        use LossCause::{DeviceFailed, RingFull, Unknown};
        assert_eq!(gaps(&mut begun(), 10, &[], None), []);
        assert_eq!(gaps(&mut begun(), 13, &[], None), [(10, 3, Unknown)]);
        assert_eq!(gaps(&mut begun(), 13, &[record(10, 3, RingFull)], None), [(10, 3, RingFull)]);
        let other = GapRecord { producer: 2, ..record(10, 3, RingFull) };
        assert_eq!(gaps(&mut begun(), 13, &[other], None), [(10, 3, Unknown)]);
        let records = [record(0, 11, RingFull), record(12, 2, DeviceFailed), record(14, 100, DeviceFailed)];
        let expected = [(10, 1, RingFull), (11, 1, Unknown), (12, 8, DeviceFailed)];
        assert_eq!(gaps(&mut begun(), 20, &records, None), expected);
        let mut placed = begun();
        placed.place(15);
        assert_eq!(gaps(&mut placed, 17, &records, None), [(15, 2, DeviceFailed)]);
        assert_eq!(gaps(&mut placed, 17, &records, None), [], "each number once");
    }

    #[test]
    fn records_of_missing_blocks_are_damaged_and_those_of_removed_segments_removed() {
        use LossCause::{Damaged, Removed, RingFull, Unknown};
        let mut placed = begun();
        placed.note_damaged(3);
        let records = [record(12, 1, RingFull)];
        let expected = [(10, 2, Damaged), (12, 1, RingFull), (13, 1, Damaged), (14, 2, Unknown)];
        assert_eq!(gaps(&mut placed, 16, &records, None), expected);
        placed.note_removed(20);
        assert_eq!(gaps(&mut placed, 22, &[], None), [(16, 4, Removed), (20, 2, Unknown)]);
        let mut first = Placed::default();
        first.note_removed(20);
        assert_eq!(gaps(&mut first, 21, &[], None), [(20, 1, Unknown)], "nothing was read before it");
    }

    #[test]
    fn the_final_counts_explain_the_last_gap() {
        use LossCause::{DeviceFailed, Overwritten, RingFull, TimedOut, Unknown, Unwritten};
        let by = |ring_full, timed_out| DroppedBy { ring_full, timed_out, ..DroppedBy::default() };
        assert_eq!(gaps(&mut begun(), 15, &[], Some(&row(by(9, 0), 0, 0))), [(10, 5, RingFull)]);
        assert_eq!(gaps(&mut begun(), 15, &[], Some(&row(by(0, 0), 7, 0))), [(10, 5, Overwritten)]);
        assert_eq!(
            gaps(&mut begun(), 22, &[], Some(&row(by(9, 0), 0, 0))),
            [(10, 9, RingFull), (19, 3, Unknown)],
            "no more than the count"
        );
        let mut placed = begun();
        gaps(&mut placed, 14, &[record(10, 4, RingFull)], None);
        assert_eq!(gaps(&mut placed, 20, &[], Some(&row(by(9, 0), 0, 0))), [(14, 5, RingFull), (19, 1, Unknown)]);
        let unwritten = row(by(9, 0), 0, 2);
        assert_eq!(gaps(&mut begun(), 15, &[], Some(&unwritten)), [(10, 2, Unwritten), (12, 3, RingFull)]);
        let mut placed = begun();
        gaps(&mut placed, 14, &[record(10, 4, RingFull)], None);
        let expected = [(14, 1, RingFull), (15, 2, TimedOut), (17, 1, Unknown)];
        assert_eq!(gaps(&mut placed, 18, &[], Some(&row(by(5, 2), 0, 0))), expected);
        let mut placed = begun();
        gaps(&mut placed, 14, &[], None);
        assert_eq!(gaps(&mut placed, 18, &[], Some(&row(by(5, 2), 0, 0))), [(14, 4, Unknown)], "as is the gap before");
        let of_revision_1 = ProducerRow { dropped_by: None, ..row(by(5, 0), 0, 0) };
        assert_eq!(gaps(&mut begun(), 15, &[], Some(&of_revision_1)), [(10, 5, Unknown)]);
        let mut placed = begun();
        let records = [record(10, 4, DeviceFailed)];
        assert_eq!(gaps(&mut placed, 14, &records, Some(&row(by(5, 2), 0, 0))), [(10, 4, DeviceFailed)]);
    }
}
