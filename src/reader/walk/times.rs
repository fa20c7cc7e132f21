//! Which blocks may hold records of the wall times that are asked for, by their headers and the wall-clock anchors of
//! their run.
//!
//! Blocks have timestamps of the monotonic clock. An anchor says what the wall clock showed at one such time, so each
//! anchor near a block gives the block's wall times. If two anchors give different ones, somebody has set the wall
//! clock. Then the block may hold wanted records if its times fit by one of the anchors. A reader that reads only
//! headers takes the anchors that blocks begin with too, so that it gives each record the wall time that it has for all
//! readers. No checksum guards such an anchor. If it differs from those that are known, the reader reads its block.

use std::ops::RangeInclusive;

use crate::format::WallAnchor;

use super::super::record::Anchors;

/// How far the wall times by two anchors may differ if nobody has set the clock, in nanoseconds. The kernel slews the
/// clock by at most half a millisecond a second, and there is another anchor long before that sums up to a second.
const SLACK_NS: i64 = 1_000_000_000;

/// The wall times that are asked for, in nanoseconds since the Unix epoch: from `since` on, and before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Times {
    pub(in super::super) since: i64,
    pub(in super::super) until: i64,
}

impl Times {
    /// Whether a record with one of these monotonic times may be wanted, by the `anchors` that are known and the `next`
    /// one after them.
    pub(super) fn may_hold(&self, times: &RangeInclusive<u64>, anchors: &Anchors, next: Option<WallAnchor>) -> bool {
        let may_hold = |anchor: &WallAnchor| {
            anchor.unix_ns_at(*times.end()).saturating_add(SLACK_NS) >= self.since
                && anchor.unix_ns_at(*times.start()).saturating_sub(SLACK_NS) < self.until
        };
        let near = anchors.near(times);
        near.is_empty() || near.iter().chain(&next).any(may_hold)
    }
}

/// Whether `anchor` agrees with the known `anchors` about the wall clock.
pub(super) fn agrees(anchor: &WallAnchor, anchors: &Anchors) -> bool {
    let known = anchors.unix_ns_at(anchor.monotonic_ns.get());
    known.is_some_and(|known| known.abs_diff(anchor.unix_ns.get()) <= SLACK_NS as u64)
}

#[cfg(test)]
mod tests {
    use zerocopy::little_endian::{I64, U64};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn anchor(monotonic_s: u64, unix_s: i64) -> WallAnchor {
        WallAnchor { monotonic_ns: U64::new(monotonic_s * SECOND), unix_ns: I64::new(unix_s * SECOND as i64) }
    }

    fn anchors(anchors: &[WallAnchor]) -> Anchors {
        let mut known = Anchors::default();
        known.add(anchors);
        known
    }

    fn may_hold(since_s: i64, until_s: i64, known: &[WallAnchor], next: Option<WallAnchor>, block: (u64, u64)) -> bool {
        let times = Times { since: since_s * SECOND as i64, until: until_s * SECOND as i64 };
        times.may_hold(&(block.0 * SECOND..=block.1 * SECOND), &anchors(known), next)
    }

    #[test]
    fn a_block_is_placed_by_the_anchor_before_it() {
        let known = [anchor(100, 10_000)];
        for (block, expected) in
            [((100, 101), false), ((120, 130), false), ((148, 150), false), ((149, 151), true), ((150, 900), true)]
        {
            assert_eq!(may_hold(10_052, i64::MAX / SECOND as i64, &known, None, block), expected, "{block:?} since");
        }
        for (block, expected) in [((100, 101), true), ((140, 160), true), ((154, 160), false)] {
            assert_eq!(may_hold(0, 10_052, &known, None, block), expected, "{block:?} until");
        }
        assert!(may_hold(10_000, 10_001, &[], None, (5, 6)), "without an anchor it may be anywhere");
    }

    #[test]
    fn where_the_clock_was_set_either_reading_counts() {
        let known = [anchor(100, 10_000), anchor(200, 20_000)];
        // Between the two, a record may be of 10,050 or of 19,950.
        for (since, until, expected) in [(10_040, 10_060, true), (19_940, 19_960, true), (15_000, 16_000, false)] {
            assert_eq!(may_hold(since, until, &known, None, (149, 151)), expected, "{since}");
            assert_eq!(
                may_hold(since, until, &known[..1], Some(known[1]), (149, 151)),
                expected,
                "{since} by the next"
            );
        }
        assert!(may_hold(20_100, 20_110, &known, None, (90, 305)), "one within the block counts too");
        assert!(!may_hold(10_200, 10_210, &known, None, (299, 301)), "one before the last is over");
    }

    #[test]
    fn an_anchor_agrees_unless_the_clock_was_set() {
        let known = anchors(&[anchor(100, 10_000)]);
        assert!(agrees(&anchor(500, 10_400), &known) && agrees(&anchor(500, 10_401), &known));
        assert!(!agrees(&anchor(500, 10_402), &known) && !agrees(&anchor(500, 10_398), &known));
        assert!(!agrees(&anchor(500, 10_400), &Anchors::default()), "nothing is known");
    }
}
