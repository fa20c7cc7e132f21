//! The poll order: which rings the writer looks at in a turn. It looks at rings that had records lately in every turn,
//! and at the others now and then.
//!
//! A look at a ring touches one or two cache lines of the writer and one that the producer writes. A look at a thousand
//! idle rings would take longer than it takes to drain a busy one.

/// How many quiet rings are looked at in a turn that found records elsewhere. Of a thousand, each is looked at once in
/// 32 turns of some microseconds each.
const QUIET_LOOKS: usize = 32;

/// A ring counts as quiet after this many turns in a row without records.
const EMPTY_LOOKS_MAX: u32 = 64;

/// The outcome of looking at one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// There was nothing to take.
    Nothing,
    /// There were records, and they were taken.
    Taken,
    /// There were records, and no free block for all of them.
    NoBlock,
}

/// The slots of all rings, in the order in which the writer looks at them.
#[derive(Default)]
pub(crate) struct PollOrder {
    busy: Vec<Busy>,
    quiet: Vec<usize>,
    /// The busy ring that the next turn begins with, so that none is always last.
    first_busy: usize,
    /// The quiet ring that is looked at next.
    next_quiet: usize,
    /// Whether the last turn ended early.
    cut_short: bool,
}

struct Busy {
    slot: usize,
    /// Looks since the last one that found records.
    empty_looks: u32,
}

impl PollOrder {
    /// Adds a ring.
    pub(crate) fn add(&mut self, slot: usize) {
        self.quiet.push(slot);
    }

    /// Removes a ring.
    pub(crate) fn remove(&mut self, slot: usize) {
        self.busy.retain(|busy| busy.slot != slot);
        self.quiet.retain(|&quiet| quiet != slot);
    }

    /// Makes one turn: calls `look` with the slots. [`Looked::NoBlock`] ends the turn early.
    ///
    /// Returns whether any ring had records to take. A turn with `every`, or one that finds nothing, looks at every
    /// ring, unless it ends early: then the next one begins with quiet rings.
    pub(crate) fn turn(&mut self, every: bool, mut look: impl FnMut(usize) -> Looked) -> bool {
        let mut any = false;
        // If every turn ended early because of the busy rings, the quiet ones would never be looked at.
        let quiet_first = std::mem::take(&mut self.cut_short);
        let whole = (!quiet_first || self.look_at_quiet(QUIET_LOOKS, &mut any, &mut look))
            && self.look_at_busy(&mut any, &mut look)
            && self.look_at_quiet(if any && !every { QUIET_LOOKS } else { usize::MAX }, &mut any, &mut look);
        self.cut_short = !whole;
        let quiet = &mut self.quiet;
        self.busy.retain(|busy| {
            let stays = busy.empty_looks < EMPTY_LOOKS_MAX;
            if !stays {
                quiet.push(busy.slot);
            }
            stays
        });
        any
    }

    /// Looks at each busy ring. Returns whether the turn goes on.
    fn look_at_busy(&mut self, any: &mut bool, look: &mut impl FnMut(usize) -> Looked) -> bool {
        self.first_busy += 1;
        if self.first_busy >= self.busy.len() {
            self.first_busy = 0;
        }
        let (later, first) = self.busy.split_at_mut(self.first_busy);
        for busy in first.iter_mut().chain(later) {
            let looked = look(busy.slot);
            busy.empty_looks = if looked == Looked::Nothing { busy.empty_looks + 1 } else { 0 };
            match looked {
                Looked::Nothing => {}
                Looked::Taken => *any = true,
                Looked::NoBlock => return false,
            }
        }
        true
    }

    /// Looks at the next quiet rings, at most at `looks` of them. Returns whether the turn goes on.
    fn look_at_quiet(&mut self, looks: usize, any: &mut bool, look: &mut impl FnMut(usize) -> Looked) -> bool {
        for _ in 0..looks.min(self.quiet.len()) {
            if self.next_quiet >= self.quiet.len() {
                self.next_quiet = 0;
            }
            let slot = self.quiet[self.next_quiet];
            let looked = look(slot);
            if looked == Looked::Nothing {
                self.next_quiet += 1;
                continue;
            }
            // If the blocks ran out in this ring, it is busy, and should not be first the next time.
            self.quiet.swap_remove(self.next_quiet);
            self.busy.push(Busy { slot, empty_looks: 0 });
            if looked == Looked::NoBlock {
                return false;
            }
            *any = true;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn poll_order(slots: usize) -> PollOrder {
        let mut order = PollOrder::default();
        (0..slots).for_each(|slot| order.add(slot));
        order
    }

    /// The outcome of a look at a ring that has records, or has none.
    fn taken(any: bool) -> Looked {
        if any { Looked::Taken } else { Looked::Nothing }
    }

    #[test]
    fn a_turn_that_finds_nothing_looks_at_every_ring() {
        let mut order = poll_order(1000);
        let mut looked_at = BTreeSet::new();
        assert!(!order.turn(false, |slot| taken(!looked_at.insert(slot))));
        assert_eq!(looked_at.len(), 1000);
    }

    #[test]
    fn a_turn_over_every_ring_looks_at_every_ring() {
        let mut order = poll_order(1000);
        order.turn(false, |slot| taken(slot == 7));
        let mut looked_at = BTreeSet::new();
        assert!(order.turn(true, |slot| {
            looked_at.insert(slot);
            taken(slot == 7)
        }));
        assert_eq!(looked_at.len(), 1000);
    }

    #[test]
    fn quiet_rings_come_up_even_if_every_turn_ends_early() {
        let mut order = poll_order(100);
        let mut looked_at = BTreeSet::new();
        for _ in 0..20 {
            // The records of any one of ten rings fill all blocks.
            order.turn(false, |slot| {
                looked_at.insert(slot);
                if slot < 10 { Looked::NoBlock } else { Looked::Nothing }
            });
        }
        assert_eq!(looked_at.len(), 100);
    }

    #[test]
    fn each_quiet_ring_is_looked_at_again_and_again_beside_a_busy_one() {
        let mut order = poll_order(1000);
        order.turn(false, |slot| taken(slot == 7));
        let mut looks = vec![0; 1000];
        for _ in 0..10 * 1000 / QUIET_LOOKS {
            order.turn(false, |slot| {
                looks[slot] += 1;
                taken(slot == 7)
            });
        }
        assert_eq!(looks.remove(7), 10 * 1000 / QUIET_LOOKS);
        assert!(looks.iter().all(|&looks| (9..=11).contains(&looks)), "{looks:?}");
    }

    #[test]
    fn a_ring_is_looked_at_in_every_turn_until_it_has_been_empty_for_many() {
        let mut order = poll_order(100);
        order.turn(false, |slot| taken(slot == 3 || slot == 4));
        for turn in 0..200 {
            let mut looks = 0;
            order.turn(false, |slot| {
                looks += u32::from(slot == 3);
                taken(slot == 4 || (slot == 3 && turn < 50))
            });
            if turn < 50 + EMPTY_LOOKS_MAX {
                assert_eq!(looks, 1, "{turn}");
            }
        }
        assert_eq!((order.busy.len(), order.quiet.len()), (1, 99));
    }

    #[test]
    fn busy_rings_take_turns_at_being_first() {
        let mut order = poll_order(3);
        order.turn(false, |_| Looked::Taken);
        let firsts: BTreeSet<_> = (0..3)
            .map(|_| {
                let mut first = None;
                order.turn(false, |slot| {
                    // The first ring's records fill all blocks.
                    if first.replace(slot).is_none() { Looked::Taken } else { Looked::NoBlock }
                });
                first
            })
            .collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn a_removed_ring_is_not_looked_at() {
        let mut order = poll_order(3);
        order.turn(false, |slot| taken(slot == 0));
        order.remove(0);
        order.remove(1);
        for _ in 0..10 {
            order.turn(false, |slot| {
                assert_eq!(slot, 2);
                Looked::Nothing
            });
        }
    }
}
