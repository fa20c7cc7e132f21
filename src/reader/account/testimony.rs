//! The missing block numbers of a run, and their fate, by the testimony of good blocks.
//!
//! A good block `s` with `in_flight` `f` testifies that all blocks below `s - f` were durable when it was submitted. So
//! a missing block below that number is lost. A missing block above it was never acknowledged: it is a hole or, after
//! the last good block, torn. In a log in use, a block may be written after the reader looked for it and before the
//! reader reads the block that testifies for it. That testimony then proves nothing. Numbers arrive in increasing
//! order.

use std::collections::VecDeque;
use std::ops::Range;

use crate::format::IN_FLIGHT_UNKNOWN;

/// The most missing stretches whose fate is open: one for each block that can be in flight.
const OPEN_MAX: usize = IN_FLIGHT_UNKNOWN as usize;

/// A stretch of missing block numbers, and the position where they should have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing<P> {
    pub(super) numbers: Range<u64>,
    pub(super) location: P,
    /// Whether the blocks may have been written since the reader looked for them.
    pub(super) may_have_come: bool,
}

impl<P> Missing<P> {
    /// Its fate once a later block says that it was durable.
    fn fate_if_durable(&self) -> Fate {
        if self.may_have_come { Fate::Late } else { Fate::Lost }
    }
}

/// The fate of a missing stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    /// It was in flight when the reader looked for it. It is durable by now, and perhaps there.
    Late,
    Hole,
    Torn,
}

/// The account of one run's block numbers.
#[derive(Clone, Debug)]
pub(super) struct Testimony<P> {
    /// All blocks below this number were durable.
    durable_below: u64,
    last_good: Option<u64>,
    open: VecDeque<Missing<P>>,
}

impl<P> Default for Testimony<P> {
    fn default() -> Testimony<P> {
        Testimony { durable_below: 0, last_good: None, open: VecDeque::new() }
    }
}

impl<P: Clone> Testimony<P> {
    /// All blocks below this number were durable.
    pub(super) fn durable_below(&self) -> u64 {
        self.durable_below
    }

    pub(super) fn last_good(&self) -> Option<u64> {
        self.last_good
    }

    /// Notes that some numbers are missing. If too many stretches are open, returns the oldest, in parts of one fate.
    pub(super) fn miss(&mut self, missing: Missing<P>) -> Vec<(Fate, Missing<P>)> {
        self.open.push_back(missing);
        let oldest = if self.open.len() > OPEN_MAX { self.open.pop_front() } else { None };
        oldest.map(|missing| self.parts(&missing, Fate::Hole)).into_iter().flatten().collect()
    }

    /// The part of a stretch that was durable, and the rest, which has the fate `undecided`.
    fn parts(&self, missing: &Missing<P>, undecided: Fate) -> impl Iterator<Item = (Fate, Missing<P>)> + use<P> {
        let Range { start, end } = missing.numbers;
        let durable_end = self.durable_below.clamp(start, end);
        let part = |fate, numbers| (fate, Missing { numbers, ..missing.clone() });
        let parts = [part(missing.fate_if_durable(), start..durable_end), part(undecided, durable_end..end)];
        parts.into_iter().filter(|(_, missing)| !missing.numbers.is_empty())
    }

    /// Takes the testimony of a good block, and passes on the fate of each stretch that it decides as a whole.
    pub(super) fn hear(&mut self, number: u64, in_flight: u16, mut decided: impl FnMut(Fate, Missing<P>)) {
        assert!(self.last_good.is_none_or(|last| number >= last), "blocks are heard in the order of their numbers");
        self.last_good = Some(number);
        if in_flight == IN_FLIGHT_UNKNOWN {
            return;
        }
        self.durable_below = self.durable_below.max(number.saturating_sub(u64::from(in_flight)));
        let is_durable = |missing: &&Missing<P>| missing.numbers.end <= self.durable_below;
        let durable = self.open.iter().take_while(is_durable).count();
        for missing in self.open.drain(..durable) {
            decided(missing.fate_if_durable(), missing);
        }
    }

    /// The fates of the open stretches if the run ends here, in parts of one fate.
    pub(super) fn rest(&self) -> impl Iterator<Item = (Fate, Missing<P>)> {
        self.open.iter().flat_map(|missing| {
            let is_last = self.last_good.is_none_or(|last| missing.numbers.start > last);
            self.parts(missing, if is_last { Fate::Torn } else { Fate::Hole })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers proved lost, each by itself.
    fn hear(testimony: &mut Testimony<()>, number: u64, in_flight: u16) -> Vec<u64> {
        let mut lost = Vec::new();
        testimony.hear(number, in_flight, |fate, missing| {
            assert_eq!(fate, Fate::Lost);
            lost.extend(missing.numbers);
        });
        lost
    }

    fn rest(testimony: &Testimony<()>) -> Vec<(Fate, Range<u64>)> {
        testimony.rest().map(|(fate, missing)| (fate, missing.numbers)).collect()
    }

    fn missing(numbers: Range<u64>) -> Missing<()> {
        Missing { numbers, location: (), may_have_come: false }
    }

    #[test]
    fn a_missing_block_within_in_flight_is_a_hole_until_a_later_block_testifies() {
        let mut testimony = Testimony::default();
        assert!(hear(&mut testimony, 0, 0).is_empty());
        assert_eq!(testimony.miss(missing(1..3)), []);
        assert!(hear(&mut testimony, 3, 2).is_empty());
        assert_eq!(rest(&testimony), [(Fate::Hole, 1..3)]);
        assert!(hear(&mut testimony, 4, 2).is_empty());
        assert_eq!(
            rest(&testimony),
            [(Fate::Lost, 1..2), (Fate::Hole, 2..3)],
            "block 4 knows that block 1 was durable"
        );
        assert_eq!(hear(&mut testimony, 5, 0), [1, 2], "the stretch is one finding");
        assert_eq!(rest(&testimony), []);
    }

    #[test]
    fn a_block_missing_after_the_last_good_one_is_torn() {
        let mut testimony = Testimony::default();
        hear(&mut testimony, 0, 0);
        testimony.miss(missing(1..2));
        assert_eq!(rest(&testimony), [(Fate::Torn, 1..2)]);
    }

    #[test]
    fn a_missing_block_that_may_have_been_written_since_is_not_lost() {
        let mut testimony = Testimony::default();
        testimony.miss(Missing { may_have_come: true, ..missing(1..3) });
        let mut fates = Vec::new();
        testimony.hear(4, 2, |fate, missing| fates.push((fate, missing.numbers)));
        assert_eq!(rest(&testimony), [(Fate::Late, 1..2), (Fate::Hole, 2..3)]);
        testimony.hear(5, 2, |fate, missing| fates.push((fate, missing.numbers)));
        assert_eq!(fates, [(Fate::Late, 1..3)]);
    }

    #[test]
    fn an_unknown_in_flight_is_no_testimony() {
        let mut testimony = Testimony::default();
        testimony.miss(missing(0..100));
        assert!(hear(&mut testimony, 100, IN_FLIGHT_UNKNOWN).is_empty());
        assert_eq!(testimony.durable_below(), 0);
    }

    #[test]
    fn if_too_many_stretches_are_open_the_oldest_is_a_hole() {
        let mut testimony = Testimony::default();
        for number in 0..OPEN_MAX as u64 {
            assert_eq!(testimony.miss(missing(2 * number..2 * number + 1)), []);
        }
        let gave_way = testimony.miss(missing(1 << 30..(1 << 30) + 1));
        assert_eq!(gave_way, [(Fate::Hole, missing(0..1))]);
    }
}
