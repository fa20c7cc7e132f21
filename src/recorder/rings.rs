//! All rings of a flight recorder, and the memory that they take.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use super::ring::{RecordedProducer, RecorderRing};
use crate::clock::{Clock, TickConverter};
use crate::level::Level;
use crate::ring::{Budget, ConsumerEnd, ProducerEnd, RingMaker, RingOptions};
use crate::snapshot::{self, ProducerRecords};
use crate::stats::RecorderStats;
use crate::sync::{Inside, lock};

/// The rings of ended producers may take one part in this many of the log's ring memory.
const PART_FOR_ENDED: u64 = 4;

thread_local! {
    /// Whether this thread holds the lock on some recorder's rings, or waits for it. A signal handler on this thread
    /// must not take it then.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Which records a recorder keeps, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecorderRules {
    /// The least severe level that the recorder keeps.
    pub(crate) level: Level,
    /// Bytes of each producer's ring.
    pub(crate) ring_bytes: usize,
    /// The longest message. Longer ones are cut.
    pub(crate) message_bytes_max: usize,
}

/// The rings of a log's recorder.
pub(crate) struct RecorderRings {
    pub(super) rules: RecorderRules,
    clock: Clock,
    maker: RingMaker,
    /// The log's ring memory.
    budget: Arc<Budget>,
    rings: Mutex<Rings>,
    /// Records for which there was no ring.
    unrecorded: AtomicU64,
}

/// What a new ring is made from.
enum Found {
    /// An old ring, emptied.
    Ring(ProducerEnd, ConsumerEnd),
    /// Memory, taken from the budget.
    Memory,
}

/// The rings, and their common state.
struct Rings {
    /// By producer id.
    all: BTreeMap<u32, RecorderRing>,
    /// The ids of ended producers, in the order in which they ended.
    ended: VecDeque<u32>,
    converter: TickConverter,
    /// Counts of rings that are gone.
    recorded_before: u64,
    overwritten_before: u64,
    /// Records of rings that are gone, while a copy of them is being written.
    copied_and_given_up: u64,
}

impl RecorderRings {
    /// No rings yet. `maker` makes them, without reserves. `budget` counts their memory.
    pub(crate) fn new(rules: RecorderRules, clock: Clock, maker: RingMaker, budget: Arc<Budget>) -> RecorderRings {
        let rings = Rings {
            all: BTreeMap::new(),
            ended: VecDeque::new(),
            converter: TickConverter::new(clock),
            recorded_before: 0,
            overwritten_before: 0,
            copied_and_given_up: 0,
        };
        RecorderRings { rules, clock, maker, budget, rings: Mutex::new(rings), unrecorded: AtomicU64::new(0) }
    }

    /// Whether the recorder keeps records of `level` that the log does not take.
    pub(crate) fn keeps(&self, level: Level) -> bool {
        level <= self.rules.level
    }

    /// The longest message that a ring takes. Longer ones are cut.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.rules.message_bytes_max
    }

    /// Counts a record for which there is no ring.
    pub(crate) fn count_unrecorded(&self) {
        self.unrecorded.fetch_add(1, Relaxed);
    }

    /// Makes a producer's ring, or uses an old one again. The ring for the producer of the common ring may exceed the
    /// budget. `None` if there is no memory, or if a signal handler calls this on a thread that has locked the rings.
    pub(super) fn ring_for(&self, producer: impl FnOnce() -> RecordedProducer, is_common: bool) -> Option<ProducerEnd> {
        let _inside = Inside::enter(&INSIDE)?;
        let producer = producer();
        let found = self.take_ended_or_memory().or_else(|| {
            is_common.then(|| self.budget.take_beyond(self.rules.ring_bytes as u64))?;
            Some(Found::Memory)
        });
        let (end, consumer) = match found? {
            Found::Ring(end, consumer) => (end, consumer),
            Found::Memory => {
                let capacity_bytes = self.rules.ring_bytes;
                let options = RingOptions { overwrite: true, ..RingOptions::window(capacity_bytes) };
                let made = self.maker.make(options);
                made.inspect_err(|_| self.budget.give_back(capacity_bytes as u64)).ok()?
            }
        };
        let mut rings = lock(&self.rings);
        end.ring().assign(producer.id, producer.tid, &producer.name);
        rings.all.insert(producer.id, RecorderRing::new(producer, consumer));
        Some(end)
    }

    /// Empties the ring of the producer that ended first, if the rings of ended producers take too much, if there are
    /// as many rings as a snapshot can have, or if the budget has no memory. Otherwise takes memory for a new ring.
    /// `None` if neither is possible.
    fn take_ended_or_memory(&self) -> Option<Found> {
        let bytes = self.rules.ring_bytes as u64;
        let mut rings = lock(&self.rings);
        let ended_bytes = (rings.ended.len() as u64).saturating_mul(bytes);
        let has_room_for_ended = ended_bytes.saturating_add(bytes) <= self.budget.limit() / PART_FOR_ENDED;
        // A snapshot's header has a row for each ring.
        if has_room_for_ended && rings.all.len() < snapshot::PRODUCERS_MAX && self.budget.take(bytes) {
            return Some(Found::Memory);
        }
        match rings.remove_first_ended() {
            Some(ring) => ring.into_empty().map(|(producer, consumer)| Found::Ring(producer, consumer)),
            None => self.budget.take(bytes).then_some(Found::Memory),
        }
    }

    /// Takes the end of a producer that ends. The records stay in the ring.
    pub(crate) fn hand_back(&self, id: u32, end: ProducerEnd) {
        let _inside = Inside::enter(&INSIDE);
        let mut rings = lock(&self.rings);
        if rings.all.get_mut(&id).map(|ring| ring.note_ended(end)).is_some() {
            rings.ended.push_back(id);
        }
    }

    /// Frees the ring of the producer that ended first, with its records, because another ring needs the memory.
    /// Returns whether there was one.
    pub(crate) fn give_up_ended(&self) -> bool {
        let Some(_inside) = Inside::enter(&INSIDE) else { return false };
        let first = lock(&self.rings).remove_first_ended();
        // The ring is dropped after the lock was released.
        first.inspect(|ring| self.free(ring)).is_some()
    }

    /// Gives back the memory of a ring that is about to be dropped.
    fn free(&self, ring: &RecorderRing) {
        ring.vacate();
        self.budget.give_back(self.rules.ring_bytes as u64);
    }

    /// Copies the records of all rings that are not in a snapshot yet. They stay in the rings until
    /// [`end_copy`](Self::end_copy), which the caller calls before the next copy.
    ///
    /// # Errors
    /// `OutOfMemory` for the copy.
    pub(super) fn copy(&self) -> io::Result<Vec<ProducerRecords>> {
        let _inside = Inside::enter(&INSIDE);
        let mut rings = lock(&self.rings);
        let rings = &mut *rings;
        let rooms: io::Result<Vec<_>> = rings.all.values_mut().map(RecorderRing::make_room).collect();
        let rooms = rooms?;
        rings.converter.refresh_if_due();
        // Read after the rings were observed, so that no record's time is in the future.
        let now_ns = self.clock.monotonic_ns();
        let copied = rings.all.values_mut().zip(rooms).map(|(ring, room)| ring.copy(room, &rings.converter, now_ns));
        Ok(copied.filter(|producer| !producer.is_empty()).collect())
    }

    /// Ends a copy. If the records are in a snapshot now, frees them, and the rings of ended producers that are empty
    /// then. Otherwise the records stay for the next snapshot.
    pub(super) fn end_copy(&self, copied: &[ProducerRecords], are_written: bool) {
        let _inside = Inside::enter(&INSIDE);
        let mut rings = lock(&self.rings);
        let rings = &mut *rings;
        let given_up = std::mem::take(&mut rings.copied_and_given_up);
        if !are_written {
            rings.overwritten_before += given_up;
            return rings.all.values_mut().for_each(RecorderRing::keep);
        }
        for producer in copied {
            if let Some(ring) = rings.all.get_mut(&producer.id) {
                ring.free_written(producer);
            }
        }
        let done = |id: &u32| rings.all.get_mut(id).is_some_and(RecorderRing::observe_done);
        let (done, left) = std::mem::take(&mut rings.ended).into_iter().partition::<VecDeque<_>, _>(done);
        rings.ended = done;
        while let Some(ring) = rings.remove_first_ended() {
            self.free(&ring);
        }
        rings.ended = left;
    }

    /// The figures now.
    pub(crate) fn stats(&self) -> RecorderStats {
        let mut stats = RecorderStats::default();
        let _inside = Inside::enter(&INSIDE);
        let rings = lock(&self.rings);
        (stats.rings, stats.held) = (rings.all.len() as u64, rings.copied_and_given_up);
        (stats.recorded, stats.overwritten) = (rings.recorded_before, rings.overwritten_before);
        for ring in rings.all.values() {
            let (recorded, overwritten) = ring.counts();
            stats.held += ring.held(recorded, overwritten);
            stats.recorded += recorded;
            stats.overwritten += overwritten;
        }
        drop(rings);
        stats.unrecorded = self.unrecorded.load(Relaxed);
        stats
    }
}

impl Rings {
    fn remove_first_ended(&mut self) -> Option<RecorderRing> {
        let ring = self.all.remove(&self.ended.pop_front()?)?;
        let (recorded, overwritten) = ring.counts();
        self.recorded_before += recorded;
        self.overwritten_before += (overwritten + ring.held(recorded, overwritten)).saturating_sub(ring.copied());
        self.copied_and_given_up += ring.copied();
        Some(ring)
    }
}
