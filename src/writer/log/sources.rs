//! The rings of a log, each in a slot: the writer's dense number for it, reused once the ring's producer has ended.

use std::collections::BTreeMap;

use crate::ring::{Position, ProducerEnd, Watch};
use crate::writer::schedule::{CHUNKS_GIVEN_BACK, RESERVE_CALM_NS};
use crate::writer::source::Source;

/// The rings of a log by slot.
#[derive(Default)]
pub(super) struct Sources {
    /// Empty where a source has ended.
    slots: Vec<Option<Source>>,
    /// The watches over their rings. Apart from the sources, which are large: of an idle ring the writer reads nothing
    /// else.
    watches: Vec<Option<Watch>>,
    empty_slots: Vec<usize>,
    /// Slots of the sources whose producers are gone, and whose end record is not written.
    pub(super) ending: Vec<usize>,
    /// The sources whose reserves have memory.
    entered: Vec<Entered>,
    /// Slots of the sources that got space back, whose producers may be sleeping for it.
    released: Vec<usize>,
}

/// A source whose reserve has memory.
struct Entered {
    slot: usize,
    /// Since when the reserve is empty.
    calm_since_ns: Option<u64>,
}

impl Sources {
    /// Adds a source. Returns its slot.
    pub(super) fn add(&mut self, source: Source) -> usize {
        let slot = self.empty_slots.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.watches.push(None);
            self.slots.len() - 1
        });
        self.watches[slot] = Some(source.consumer.watch());
        self.slots[slot] = Some(source);
        slot
    }

    /// Removes the source in `slot`, which has ended.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn remove(&mut self, slot: usize) -> Source {
        let source = self.slots[slot].take().expect("a slot in use");
        self.watches[slot] = None;
        if source.has_entered_reserve {
            self.entered.retain(|entered| entered.slot != slot);
        }
        self.empty_slots.push(slot);
        source
    }

    /// The source in `slot`.
    ///
    /// # Panics
    /// If there is none: a slot is used only while its source is.
    #[inline]
    pub(super) fn at(&mut self, slot: usize) -> &mut Source {
        self.slots[slot].as_mut().expect("a slot in use")
    }

    /// Whether the ring in `slot` was empty at the last [`note_look`](Self::note_look), and still is.
    #[inline]
    pub(super) fn is_still_empty(&self, slot: usize) -> bool {
        self.watches[slot].as_ref().is_some_and(Watch::is_still_empty)
    }

    /// Notes whether the ring in `slot`, which was just looked at, is empty.
    #[inline]
    pub(super) fn note_look(&mut self, slot: usize) {
        let empty_at = self.at(slot).consumer.empty_at();
        if let Some(watch) = &mut self.watches[slot] {
            watch.note(empty_at);
        }
    }

    /// The source in `slot`, which may have ended.
    pub(super) fn get(&self, slot: usize) -> Option<&Source> {
        self.slots[slot].as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Source)> {
        self.slots.iter().enumerate().filter_map(|(slot, source)| Some((slot, source.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Source)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, source)| Some((slot, source.as_mut()?)))
    }

    /// The capacity of the smallest ring, in bytes.
    pub(super) fn smallest_capacity(&self) -> Option<usize> {
        self.iter().map(|(_, source)| source.consumer.capacity()).min()
    }

    /// When the oldest record that has been left in a ring was first seen, or earlier.
    pub(super) fn oldest_left_ns(&self) -> Option<u64> {
        self.iter().filter_map(|(_, source)| source.patience.left_since_ns).min()
    }

    /// Notes which producers are gone: by id, their ends of the rings.
    pub(super) fn note_returned(&mut self, mut returned: BTreeMap<u32, ProducerEnd>) {
        for (slot, source) in self.slots.iter_mut().enumerate() {
            if returned.is_empty() {
                break;
            }
            if let Some(source) = source
                && let Some(producer) = returned.remove(&source.id)
            {
                source.returned = Some(producer);
                self.ending.push(slot);
            }
        }
    }

    /// Gives the space before `position` back to the producer in `slot`.
    pub(super) fn release(&mut self, slot: usize, position: Position) {
        let source = self.at(slot);
        source.consumer.release(position);
        if !source.has_entered_reserve && source.consumer.has_entered_reserve() {
            source.has_entered_reserve = true;
            self.entered.push(Entered { slot, calm_since_ns: None });
        }
        self.released.push(slot);
    }

    /// Gives back memory of the reserves that have been empty for long. Returns whether any was given back.
    pub(super) fn give_back_reserves(&mut self, now_ns: u64) -> bool {
        let (slots, mut any) = (&mut self.slots, false);
        self.entered.retain_mut(|entered| {
            let source = slots[entered.slot].as_mut().expect("removed together with its source");
            if source.consumer.uses_reserve() {
                entered.calm_since_ns = None;
                return true;
            }
            let calm_since_ns = *entered.calm_since_ns.get_or_insert(now_ns);
            if now_ns.saturating_sub(calm_since_ns) < RESERVE_CALM_NS {
                return true;
            }
            let more = (0..CHUNKS_GIVEN_BACK).all(|_| source.consumer.give_back_chunk());
            any |= more;
            source.has_entered_reserve = source.consumer.has_entered_reserve();
            if !more {
                // If some is left, the producer is there again, or the system refuses to take it.
                entered.calm_since_ns = None;
            }
            source.has_entered_reserve
        });
        any
    }

    /// Wakes the producers that sleep until there is space, after some was released. More is `to_come` while blocks are
    /// on their way to the disk.
    pub(super) fn wake_producers(&mut self, to_come: bool) {
        for slot in self.released.drain(..) {
            // The block that released the space may have been its source's last.
            if let Some(source) = &self.slots[slot] {
                source.wake_producer(to_come);
            }
        }
    }
}
