//! Which rings get a look in a turn of the writer: those that had records lately in every one, the others now and then.
//!
//! A look at a ring costs the writer a cache line or two of its own, and another that the producer writes. A thousand idle
//! rings would take longer to look at than a busy one takes to drain.

/// Quiet rings that are looked at in a turn which found records elsewhere: of a thousand, each comes up within 32 turns,
/// of some microseconds each.
const QUIET_LOOKS: usize = 32;

/// Turns in a row in which a ring has had no records, before it counts as quiet.
const EMPTY_LOOKS_MAX: u32 = 64;

/// The slots of all rings, in the order in which they are looked at.
#[derive(Default)]
pub(crate) struct Rota {
    busy: Vec<Busy>,
    quiet: Vec<usize>,
    /// Where the next turn begins among the busy ones, so that none is always last.
    first_busy: usize,
    /// Where the looks at quiet ones go on.
    next_quiet: usize,
    /// Whether the last turn ended before it had looked where it should.
    cut_short: bool,
}

struct Busy {
    slot: usize,
    /// Looks since the last one that found records.
    empty_looks: u32,
}

impl Rota {
    /// Takes in a ring.
    pub(crate) fn add(&mut self, slot: usize) {
        self.quiet.push(slot);
    }

    /// Forgets a ring.
    pub(crate) fn remove(&mut self, slot: usize) {
        self.busy.retain(|busy| busy.slot != slot);
        self.quiet.retain(|&quiet| quiet != slot);
    }

    /// One turn: calls `look` with slots. It returns whether the ring had records to take, or `None` if it has more than
    /// there is room for, which cuts the turn short.
    ///
    /// Returns whether any had. A turn that is told to, or that has found nothing, has looked at `every` ring, unless it was
    /// cut short: then the next one goes on with the quiet ones.
    pub(crate) fn turn(&mut self, every: bool, mut look: impl FnMut(usize) -> Option<bool>) -> bool {
        let mut any = false;
        // Where turn after turn is cut short by those with much to give, the others would never come up.
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

    /// Looks at each busy ring. Whether the turn goes on.
    fn look_at_busy(&mut self, any: &mut bool, look: &mut impl FnMut(usize) -> Option<bool>) -> bool {
        self.first_busy += 1;
        if self.first_busy >= self.busy.len() {
            self.first_busy = 0;
        }
        let (behind, ahead) = self.busy.split_at_mut(self.first_busy);
        for busy in ahead.iter_mut().chain(behind) {
            let found = look(busy.slot);
            busy.empty_looks = if found == Some(false) { busy.empty_looks + 1 } else { 0 };
            let Some(found) = found else { return false };
            *any |= found;
        }
        true
    }

    /// Looks at the next quiet rings, at most at `looks` of them. Whether the turn goes on.
    fn look_at_quiet(&mut self, looks: usize, any: &mut bool, look: &mut impl FnMut(usize) -> Option<bool>) -> bool {
        for _ in 0..looks.min(self.quiet.len()) {
            if self.next_quiet >= self.quiet.len() {
                self.next_quiet = 0;
            }
            let slot = self.quiet[self.next_quiet];
            let found = look(slot);
            if found == Some(false) {
                self.next_quiet += 1;
                continue;
            }
            // One for which there is no more room is as busy as one can be, and does not come first again.
            self.quiet.swap_remove(self.next_quiet);
            self.busy.push(Busy { slot, empty_looks: 0 });
            if found.is_none() {
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

    fn rota(slots: usize) -> Rota {
        let mut rota = Rota::default();
        (0..slots).for_each(|slot| rota.add(slot));
        rota
    }

    #[test]
    fn a_turn_that_finds_nothing_has_looked_at_every_ring() {
        let mut rota = rota(1000);
        let mut looked_at = BTreeSet::new();
        assert!(!rota.turn(false, |slot| Some(!looked_at.insert(slot))));
        assert_eq!(looked_at.len(), 1000);
    }

    #[test]
    fn a_turn_that_is_told_to_has_looked_at_every_ring() {
        let mut rota = rota(1000);
        rota.turn(false, |slot| Some(slot == 7));
        let mut looked_at = BTreeSet::new();
        assert!(rota.turn(true, |slot| {
            looked_at.insert(slot);
            Some(slot == 7)
        }));
        assert_eq!(looked_at.len(), 1000);
    }

    #[test]
    fn quiet_rings_come_up_though_every_turn_is_cut_short() {
        let mut rota = rota(100);
        let mut looked_at = BTreeSet::new();
        for _ in 0..20 {
            // What one of ten rings gives fills all the room that there is.
            rota.turn(false, |slot| {
                looked_at.insert(slot);
                (slot >= 10).then_some(false)
            });
        }
        assert_eq!(looked_at.len(), 100);
    }

    #[test]
    fn beside_a_busy_ring_each_quiet_one_is_looked_at_again_and_again() {
        let mut rota = rota(1000);
        rota.turn(false, |slot| Some(slot == 7));
        let mut looks = vec![0; 1000];
        for _ in 0..10 * 1000 / QUIET_LOOKS {
            rota.turn(false, |slot| {
                looks[slot] += 1;
                Some(slot == 7)
            });
        }
        assert_eq!(looks.remove(7), 10 * 1000 / QUIET_LOOKS);
        assert!(looks.iter().all(|&looks| (9..=11).contains(&looks)), "{looks:?}");
    }

    #[test]
    fn a_ring_that_gets_records_is_looked_at_in_every_turn_until_it_has_none_for_long() {
        let mut rota = rota(100);
        rota.turn(false, |slot| Some(slot == 3 || slot == 4));
        for turn in 0..200 {
            let mut looks = 0;
            rota.turn(false, |slot| {
                looks += u32::from(slot == 3);
                Some(slot == 4 || (slot == 3 && turn < 50))
            });
            if turn < 50 + EMPTY_LOOKS_MAX {
                assert_eq!(looks, 1, "{turn}");
            }
        }
        assert_eq!((rota.busy.len(), rota.quiet.len()), (1, 99));
    }

    #[test]
    fn busy_rings_take_turns_at_being_first() {
        let mut rota = rota(3);
        rota.turn(false, |_| Some(true));
        let firsts: BTreeSet<_> = (0..3)
            .map(|_| {
                let mut first = None;
                rota.turn(false, |slot| {
                    // Nothing more can be taken after the first.
                    first.replace(slot).is_none().then_some(true)
                });
                first
            })
            .collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn a_removed_ring_is_looked_at_no_more() {
        let mut rota = rota(3);
        rota.turn(false, |slot| Some(slot == 0));
        rota.remove(0);
        rota.remove(1);
        for _ in 0..10 {
            rota.turn(false, |slot| {
                assert_eq!(slot, 2);
                Some(false)
            });
        }
    }
}
