//! The callsites that a block defines, found by their ids, and those of earlier blocks, which are not decoded again.
//!
//! Every block defines the callsites of its records, so that it can be read alone. Most definitions have been seen
//! before, byte for byte. The id is part of those bytes, so it does not matter which run they are from.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::format::CallsiteInfo;
use crate::render::Plan;

/// Memory that decoded definitions take until all are forgotten: those of some ten thousand callsites.
const KNOWN_BYTES_MAX: usize = 16 << 20;

/// A callsite, and how its records are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Callsite {
    pub(super) info: CallsiteInfo,
    pub(super) plan: Plan,
    /// How they are shown as members of a JSON object, if all values are numbers of 64 bits.
    pub(super) json: Option<Plan>,
}

impl Callsite {
    fn of(info: CallsiteInfo) -> Callsite {
        let plan = Plan::of(info.template(), &info.fields);
        let json = Plan::of_json(info.template(), &info.fields);
        Callsite { info, plan, json }
    }

    /// Bytes of memory that it takes.
    fn memory_bytes(&self) -> usize {
        self.info.memory_bytes() + self.plan.memory_bytes() + self.json.as_ref().map_or(0, Plan::memory_bytes)
    }
}

/// The definitions that have been decoded.
#[derive(Debug, Default)]
pub(super) struct KnownCallsites {
    by_definition: HashMap<Box<[u8]>, Arc<Callsite>>,
    bytes: usize,
}

impl KnownCallsites {
    /// The callsite of a definition, and the memory that it takes, which is 0 if it is shared with others; `None` if
    /// the bytes are no definition.
    pub(super) fn decode(&mut self, definition: &[u8]) -> Option<(Arc<Callsite>, usize)> {
        if let Some(known) = self.by_definition.get(definition) {
            return Some((Arc::clone(known), 0));
        }
        let callsite = Arc::new(Callsite::of(CallsiteInfo::decode(definition)?));
        let bytes = callsite.memory_bytes();
        self.bytes += bytes + definition.len();
        if self.bytes > KNOWN_BYTES_MAX {
            // A program has far fewer callsites: these bytes are made up, or many runs were read.
            self.by_definition.clear();
            self.bytes = bytes + definition.len();
        }
        self.by_definition.insert(definition.into(), Arc::clone(&callsite));
        Some((callsite, bytes))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &CallsiteInfo> {
        self.by_definition.values().map(|callsite| &callsite.info)
    }
}

/// Where a block has a callsite: its place among them plus one, or 0 if the block does not define it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CallsiteAt(u32);

impl CallsiteAt {
    pub(super) const NOWHERE: CallsiteAt = CallsiteAt(0);
}

/// The callsites that one block defines.
#[derive(Debug)]
pub(super) struct Callsites {
    callsites: Vec<Arc<Callsite>>,
    /// The [`CallsiteAt`] of each by the hash of the id; 0 is free. At most half of it is used.
    slots: Vec<u32>,
    /// Memory that they take for this block alone.
    bytes: usize,
    /// A random odd number, which spreads the ids over the slots.
    multiplier: u64,
}

impl Default for Callsites {
    fn default() -> Callsites {
        let multiplier = RandomState::new().hash_one(0) | 1;
        Callsites { callsites: Vec::new(), slots: Vec::new(), bytes: 0, multiplier }
    }
}

impl Callsites {
    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.callsites.clear();
        self.slots.fill(0);
        self.bytes = 0;
    }

    /// Adds a callsite, which takes so many `bytes` of memory. Returns `false` if another one has its id.
    pub(super) fn add(&mut self, callsite: Arc<Callsite>, bytes: usize) -> bool {
        if let Some(known) = self.get(callsite.info.id) {
            return *known == callsite;
        }
        self.bytes += bytes;
        self.callsites.push(callsite);
        if 2 * self.callsites.len() > self.slots.len() {
            self.slots.clear();
            self.slots.resize((4 * self.callsites.len()).next_power_of_two(), 0);
            (0..self.callsites.len()).for_each(|at| self.enter(at));
        } else {
            self.enter(self.callsites.len() - 1);
        }
        true
    }

    fn enter(&mut self, at: usize) {
        let mut slot = self.first_slot(self.callsites[at].info.id);
        while self.slots[slot] != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = at as u32 + 1;
    }

    /// The callsite with this id.
    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&Arc<Callsite>> {
        self.at(self.find(id))
    }

    /// The place of the callsite with this id.
    pub(super) fn find(&self, id: u32) -> CallsiteAt {
        if self.slots.is_empty() {
            return CallsiteAt::NOWHERE;
        }
        let mut slot = self.first_slot(id);
        loop {
            let at = CallsiteAt(self.slots[slot]);
            if self.at(at).is_none_or(|callsite| callsite.info.id == id) {
                return at;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// The callsite at a place that [`find`](Self::find) gave.
    #[inline(always)]
    pub(super) fn at(&self, at: CallsiteAt) -> Option<&Arc<Callsite>> {
        self.callsites.get((at.0 as usize).wrapping_sub(1))
    }

    /// Where the search for an id begins; there are slots.
    #[inline]
    fn first_slot(&self, id: u32) -> usize {
        // The high bits of a product with a random number: no choice of ids makes many of them meet.
        let product = u64::from(id).wrapping_mul(self.multiplier);
        let bits = self.slots.len().trailing_zeros();
        product.checked_shr(u64::BITS - bits).unwrap_or(0) as usize
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &CallsiteInfo> {
        self.callsites.iter().map(|callsite| &callsite.info)
    }

    /// Memory that they take for this block alone.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes + self.callsites.capacity() * size_of::<Arc<Callsite>>() + self.slots.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::CallsiteParts;

    fn definition(id: u32, template: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let parts = CallsiteParts { id, level: 3, line: 1, target: "", file: "", template, fields: &[] };
        parts.encode(512, &mut bytes);
        bytes
    }

    #[test]
    fn every_id_is_found_and_no_other() {
        let (mut known, mut callsites) = (KnownCallsites::default(), Callsites::default());
        assert!(callsites.get(1).is_none());
        let ids = [1, 2, 3, 64, 128, 192, 256, u32::MAX, 1 << 31];
        for round in 0..2 {
            for id in ids {
                let (callsite, bytes) = known.decode(&definition(id, "a")).expect("a definition");
                assert_eq!(bytes > 0, round == 0, "shared from the second time on");
                assert!(callsites.add(callsite, bytes));
            }
            for id in 0..1000 {
                assert_eq!(callsites.get(id).map(|callsite| callsite.info.id), ids.contains(&id).then_some(id));
            }
            callsites.clear();
            assert!(ids.iter().all(|&id| callsites.get(id).is_none()));
        }
    }

    #[test]
    fn a_second_definition_of_an_id_must_be_the_same() {
        let (mut known, mut callsites) = (KnownCallsites::default(), Callsites::default());
        for (template, is_added) in [("a", true), ("a", true), ("b", false)] {
            let (callsite, bytes) = known.decode(&definition(7, template)).expect("a definition");
            assert_eq!(callsites.add(callsite, bytes), is_added, "{template}");
        }
        assert_eq!(callsites.get(7).expect("defined").info.template(), "a");
    }

    #[test]
    fn ids_that_were_chosen_to_meet_are_spread() {
        let mut callsites = Callsites::default();
        let ids = || (1..4_096).map(|n| n << 20);
        for id in ids() {
            assert!(callsites.add(Arc::new(Callsite::of(CallsiteInfo::decode(&definition(id, "")).expect("one"))), 0));
        }
        // Each slot that is searched beyond the first is a step. With the low bits as a hash there would be millions.
        let holds = |slot: usize, id: u32| {
            let entry = callsites.slots[slot & (callsites.slots.len() - 1)] as usize;
            entry == 0 || callsites.callsites[entry - 1].info.id == id
        };
        let steps = |id| (callsites.first_slot(id)..).position(|slot| holds(slot, id)).unwrap_or(usize::MAX);
        assert!(ids().map(steps).sum::<usize>() < 200_000);
    }

    #[test]
    fn definitions_without_number_are_held_in_bounded_memory() {
        let mut known = KnownCallsites::default();
        for id in 1..200_000 {
            known.decode(&definition(id, "a template of some length")).expect("a definition");
            assert!(known.bytes <= KNOWN_BYTES_MAX);
        }
    }
}
