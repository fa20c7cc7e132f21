//! Why records of one producer are missing: the producer's counts compared with the gaps in its sequence.
//!
//! The producer counts its losses by cause, and a gap shows how many records were lost before a record. A gap gets a
//! cause only if no other cause can have contributed. A reader shows the other gaps as "cause unknown"; the producer's
//! row still has the totals by cause.

use crate::format::{DroppedBy, LossCause};

const CAUSES: [LossCause; 5] =
    [LossCause::RingFull, LossCause::RingMemory, LossCause::TimedOut, LossCause::DeviceFailed, LossCause::Overwritten];

/// The place of [`LossCause::Overwritten`] among [`CAUSES`]; those before it are drops.
const OVERWRITTEN: usize = 4;

/// The losses of one producer that gaps have accounted for.
#[derive(Debug, Default)]
pub(super) struct GapCauses {
    /// By cause.
    explained: [u64; CAUSES.len()],
    /// In gaps whose cause could not be told.
    unexplained: u64,
}

impl GapCauses {
    /// Accounts for gaps of `missing` records in all, and returns their cause.
    ///
    /// The counts are read after the record that follows the gaps was seen. So they include the losses before that
    /// record, and maybe later ones. `overwritten` is `None` if the ring never overwrites. It may lag behind, because a
    /// producer counts after it has given records up.
    pub(super) fn explain(&mut self, missing: u64, dropped_by: DroppedBy, overwritten: Option<u64>) -> LossCause {
        let DroppedBy { ring_full, ring_memory, timed_out, device_failed } = dropped_by;
        let lost = [ring_full, ring_memory, timed_out, device_failed, overwritten.unwrap_or(0)];
        let left: [u64; CAUSES.len()] = std::array::from_fn(|cause| lost[cause].saturating_sub(self.explained[cause]));
        match only_cause(missing, &left, overwritten.is_some()).filter(|_| self.unexplained == 0) {
            Some(cause) => {
                self.explained[cause] += missing;
                CAUSES[cause]
            }
            None => {
                self.unexplained += missing;
                // Once all losses counted are in gaps, what comes next has a cause of its own.
                if left.iter().sum::<u64>() == self.unexplained {
                    (self.explained, self.unexplained) = (lost, 0);
                }
                LossCause::Unknown
            }
        }
    }
}

/// The one cause of the losses that are `left`, if it explains `missing` ones.
fn only_cause(missing: u64, left: &[u64; CAUSES.len()], overwrites: bool) -> Option<usize> {
    let mut dropped = (0..OVERWRITTEN).filter(|&cause| left[cause] > 0);
    match (dropped.next(), dropped.next()) {
        (None, _) if overwrites => Some(OVERWRITTEN),
        (Some(cause), None) if !overwrites && left[cause] >= missing => Some(cause),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(ring_full: u64, timed_out: u64) -> DroppedBy {
        DroppedBy { ring_full, timed_out, ..DroppedBy::default() }
    }

    #[test]
    fn a_gap_has_the_only_cause_that_was_counted_since_the_last_one() {
        let mut causes = GapCauses::default();
        assert_eq!(causes.explain(3, dropped(3, 0), None), LossCause::RingFull);
        // Two of the five are lost after the gap.
        assert_eq!(causes.explain(3, dropped(3, 5), None), LossCause::TimedOut);
        assert_eq!(causes.explain(2, dropped(3, 5), None), LossCause::TimedOut);
        assert_eq!(causes.explain(1, dropped(4, 5), None), LossCause::RingFull);
    }

    #[test]
    fn a_gap_that_two_causes_may_share_has_none_until_all_losses_are_in_gaps() {
        let mut causes = GapCauses::default();
        assert_eq!(causes.explain(3, dropped(3, 1), None), LossCause::Unknown, "one may come after the gap");
        assert_eq!(causes.explain(1, dropped(3, 1), None), LossCause::Unknown);
        assert_eq!(causes.explain(2, dropped(5, 1), None), LossCause::RingFull);
    }

    #[test]
    fn a_gap_in_an_overwriting_ring_is_overwritten_unless_records_were_dropped() {
        let mut causes = GapCauses::default();
        assert_eq!(causes.explain(100, dropped(0, 0), Some(90)), LossCause::Overwritten, "the count lags");
        assert_eq!(causes.explain(10, dropped(1, 0), Some(109)), LossCause::Unknown);
        assert_eq!(causes.explain(5, dropped(1, 0), Some(114)), LossCause::Overwritten);
    }

    #[test]
    fn losses_that_nobody_counted_have_no_cause() {
        assert_eq!(GapCauses::default().explain(1, dropped(0, 0), None), LossCause::Unknown);
    }
}
