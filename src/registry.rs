//! Passes rings from new producers to the writer, and back when a thread ends.
//!
//! Registering takes a lock; appending never does. A ring outlives its producer until its last record is durable. Then
//! the next producer that asks for one of its size uses it again. Producer ids are never reused.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::format::{DroppedBy, PRODUCERS_MAX};
use crate::ring::{Budget, BudgetLimit, ConsumerEnd, DropCounts, ProducerEnd, Ring, RingMaker, RingOptions, Slots};
use crate::stats::{
    Drained, EngineRingMemoryStats, ExactLooks, ProducerCounts, ProducerStats, Producers, RingMemoryStats,
};
use crate::sync::{lock, try_lock};

/// A new producer's ring, on its way to the writer.
pub(crate) struct Arrival {
    pub(crate) id: u32,
    pub(crate) tid: u32,
    pub(crate) name: String,
    pub(crate) consumer: ConsumerEnd,
    /// Where the writer counts what it takes.
    pub(crate) drained: Arc<Drained>,
}

/// The producers of one log, and their rings on the way to the writer and back.
pub(crate) struct Registry {
    inner: Mutex<Inner>,
    /// Set after a change under the lock; the writer swaps it. _registry changed_.
    changed: AtomicBool,
    /// Never used while `inner` is locked: a ring takes long to make.
    maker: RingMaker,
    /// The memory of all rings.
    budget: Arc<Budget>,
    /// The log's directory, for errors.
    path: PathBuf,
    /// How rings are made, except for their size.
    options: RingOptions,
    producers_max: usize,
}

/// The most bytes of empty windows that are kept for the next producers: two of 1 MiB, or 32 of 64 KiB. On systems
/// other than Linux all are kept, because an allocator would keep the freed memory anyway, and in pieces.
const SPARE_BYTES_MAX: usize = if cfg!(all(target_os = "linux", not(diolog_portable))) { 2 << 20 } else { usize::MAX };

/// How often a look at the registry is tried while another thread has it locked, for a moment.
const TRIES: u32 = 100;

/// The rules for all rings of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingRules {
    /// Whether a full ring gives up its oldest records.
    pub(crate) overwrite: bool,
    /// Bytes of each ring's reserve; 0 for none.
    pub(crate) reserve_bytes: usize,
    /// The last eighths of each ring's room, and of the memory, that are kept for severe records.
    pub(crate) severe_only_eighths: u32,
    /// The largest window that is asked for without its own limit.
    pub(crate) largest_bytes: usize,
    /// Bytes of memory of all rings.
    pub(crate) bytes_max: usize,
}

#[derive(Default)]
struct Inner {
    closed: bool,
    last_id: u32,
    arrivals: Vec<Arrival>,
    /// The ends of producers that have ended, by producer id. (Not a `HashMap`: std panics if the system refuses random
    /// numbers.)
    returned: BTreeMap<u32, ProducerEnd>,
    /// Empty rings for the next producers.
    spare: Vec<(ProducerEnd, ConsumerEnd)>,
    /// By id.
    live: BTreeMap<u32, Live>,
    /// Whether the log has its common ring.
    has_common: bool,
    /// How many producers have ended.
    ended_producers: u64,
    /// The sums over those.
    ended: ProducerCounts,
    looks: ExactLooks,
}

struct Live {
    tid: u32,
    name: String,
    ring: Arc<Ring>,
    ring_bytes: u64,
    drained: Arc<Drained>,
    /// The attempts at the last exact look.
    attempted: u64,
}

impl Live {
    /// The producer's figures. If they need not be exact, its attempts are those of the last exact look, or those that
    /// its losses and the writer prove.
    fn row(&mut self, id: u32, exact: bool) -> ProducerStats {
        // The writer's account first: what it has taken was attempted. But it may have taken a record that its producer
        // has committed and not yet counted, so that its account, and the losses, count as attempts in any case.
        let drained = self.drained.read();
        let control = self.ring.control();
        let counts = if exact { control.counts() } else { control.counts_without_attempts() };
        self.attempted = self.attempted.max(counts.attempted);
        ProducerStats {
            id,
            tid: self.tid,
            name: self.name.clone(),
            ring_bytes: self.ring_bytes,
            high_water_bytes: drained.high_water_bytes,
            attempted: self.attempted.max(drained.written + counts.dropped + counts.overwritten),
            written: drained.written,
            truncated: drained.truncated,
            payload_bytes: drained.payload_bytes,
            dropped: counts.dropped,
            dropped_by: counts.dropped_by.into(),
            overwritten: counts.overwritten,
            waits: counts.waits,
            waited_ns: counts.waited_ns,
        }
    }
}

impl Registry {
    /// An empty registry of the log in `path`, for at most `producers_max` rings at once. The rings are in `slots`, or
    /// in private memory if there are none. Their memory also counts in `shared`.
    pub(crate) fn new(
        path: PathBuf,
        rings: RingRules,
        producers_max: usize,
        slots: Option<Arc<dyn Slots>>,
        shared: Option<Arc<Budget>>,
    ) -> Registry {
        let RingRules { overwrite, reserve_bytes, severe_only_eighths, largest_bytes, bytes_max } = rings;
        let budget = Budget::within_group(bytes_max as u64, largest_bytes as u64, severe_only_eighths).part_of(shared);
        let budget = Arc::new(budget);
        let maker = RingMaker::new(slots, reserve_bytes, Arc::clone(&budget));
        let enters_reserve = reserve_bytes > 0;
        let options = RingOptions { overwrite, enters_reserve, severe_only_eighths, ..RingOptions::window(0) };
        Registry {
            inner: Mutex::default(),
            changed: AtomicBool::new(false),
            maker,
            budget,
            path,
            options,
            producers_max,
        }
    }

    /// Makes or reuses a ring of `capacity_bytes`, and hands its other end to the writer.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::TooManyProducers`]; [`Error::RingMemory`] beyond the limit for all rings;
    /// [`Error::Io`] if memory is refused.
    pub(crate) fn register(&self, capacity_bytes: usize, name: String, tid: u32) -> Result<(u32, ProducerEnd)> {
        let (producer, consumer) = match self.take_spare_or_budget(capacity_bytes)? {
            Some(ends) => ends,
            None => self.make_ring(capacity_bytes)?,
        };
        let mut inner = lock(&self.inner);
        let id = match inner.next_id(self.producers_max) {
            Ok(id) => id,
            Err(error) => {
                // Dropped after the lock was released.
                let ends = self.keep(&mut inner, producer, consumer);
                drop(inner);
                drop(ends);
                return Err(error);
            }
        };
        self.admit(&mut inner, Arrival { id, tid, name, consumer, drained: Arc::default() }, &producer);
        Ok((id, producer))
    }

    /// Makes the common ring, and hands its other end to the writer. It may exceed the limits on memory and on
    /// producers. Called once.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::TooManyProducers`] after as many as a run may have; [`Error::Io`] if memory is
    /// refused.
    pub(crate) fn register_common(&self, capacity_bytes: usize, name: &str) -> Result<(u32, ProducerEnd)> {
        lock(&self.inner).check_can_register(usize::MAX)?;
        self.budget.take_beyond(capacity_bytes as u64);
        let (producer, consumer) = self.make_ring(capacity_bytes)?;
        let mut inner = lock(&self.inner);
        let id = inner.next_id(usize::MAX).inspect_err(|_| self.budget.give_back(capacity_bytes as u64))?;
        inner.has_common = true;
        let arrival = Arrival { id, tid: 0, name: name.to_owned(), consumer, drained: Arc::default() };
        self.admit(&mut inner, arrival, &producer);
        Ok((id, producer))
    }

    /// Lists a new producer, and leaves its ring for the writer.
    fn admit(&self, inner: &mut Inner, arrival: Arrival, producer: &ProducerEnd) {
        inner.last_id = arrival.id;
        let (tid, name, ring) = (arrival.tid, arrival.name.clone(), Arc::clone(producer.ring()));
        let (ring_bytes, drained) = (producer.capacity() as u64, Arc::clone(&arrival.drained));
        ring.assign(arrival.id, tid, &name);
        inner.live.insert(arrival.id, Live { tid, name, ring, ring_bytes, drained, attempted: 0 });
        inner.arrivals.push(arrival);
        // Release: _registry changed_.
        self.changed.store(true, Ordering::Release);
    }

    /// The rings of all producers, with their ids and names.
    #[cfg(all(test, not(any(diolog_portable, loom))))]
    pub(crate) fn rings(&self) -> Vec<(u32, String, Arc<Ring>)> {
        let inner = lock(&self.inner);
        let mut rings: Vec<_> =
            inner.live.iter().map(|(&id, live)| (id, live.name.clone(), Arc::clone(&live.ring))).collect();
        rings.sort_by_key(|(id, ..)| *id);
        rings
    }

    /// Whether all rings together would stay within `bytes_max`, or the log's limit if that is less, with one more of
    /// `capacity_bytes`.
    pub(crate) fn has_room_for(&self, capacity_bytes: usize, bytes_max: usize) -> bool {
        self.budget.has_room_within(capacity_bytes as u64, bytes_max as u64)
    }

    /// Takes a spare ring of `capacity_bytes`. If there is none, takes that many bytes of the budget for a new one.
    fn take_spare_or_budget(&self, capacity_bytes: usize) -> Result<Option<(ProducerEnd, ConsumerEnd)>> {
        // Dropped after the lock was released.
        let mut too_many = Vec::new();
        let mut inner = lock(&self.inner);
        inner.check_can_register(self.producers_max)?;
        if let Some(at) = inner.spare.iter().position(|(_, consumer)| consumer.capacity() == capacity_bytes) {
            return Ok(Some(inner.spare.swap_remove(at)));
        }
        // Spare rings of other sizes make room.
        while !self.budget.take(capacity_bytes as u64) {
            let Some(spare) = inner.spare.pop() else {
                return Err(self.beyond_budget(capacity_bytes));
            };
            self.budget.give_back(spare.1.capacity() as u64);
            too_many.push(spare);
        }
        Ok(None)
    }

    /// The error that the budget has no room for a ring.
    fn beyond_budget(&self, ring_bytes: usize) -> Error {
        let (limit, limit_bytes) = self.budget.refusing(ring_bytes as u64);
        let remedy = match limit {
            BudgetLimit::Log => "use smaller rings, fewer producers, or raise rings_bytes_max",
            BudgetLimit::Engine => {
                "the limit is that of the engine's logs together: use smaller rings, fewer producers, or raise the \
                 engine's rings_bytes_max"
            }
            BudgetLimit::ControlGroup => {
                "the limit is a quarter of the control group's memory: use smaller rings, fewer producers, or raise that"
            }
        };
        Error::RingMemory { ring_bytes, limit_bytes: limit_bytes as usize, remedy }
    }

    /// Keeps an empty ring for the next producer. If enough are kept already, returns it.
    fn keep(
        &self,
        inner: &mut Inner,
        producer: ProducerEnd,
        consumer: ConsumerEnd,
    ) -> Option<(ProducerEnd, ConsumerEnd)> {
        let spare_bytes: usize = inner.spare.iter().map(|(_, consumer)| consumer.capacity()).sum();
        let bytes = consumer.capacity();
        // One is kept, however large, unless other logs may need its memory.
        let may_keep = inner.spare.is_empty() || spare_bytes.saturating_add(bytes) <= SPARE_BYTES_MAX;
        if may_keep && !inner.closed && !self.budget.is_crowded() {
            inner.spare.push((producer, consumer));
            return None;
        }
        self.budget.give_back(bytes as u64);
        Some((producer, consumer))
    }

    /// Makes a ring for which memory was taken of the budget. This is slow, because it touches every page; only others
    /// that make a ring wait for it.
    fn make_ring(&self, capacity_bytes: usize) -> Result<(ProducerEnd, ConsumerEnd)> {
        let options = RingOptions { capacity_bytes, ..self.options };
        self.maker.make(options).map_err(|source| {
            self.budget.give_back(capacity_bytes as u64);
            match self.maker.slots() {
                Some(slots) => Error::io("allocate a ring in", slots.path(), source),
                None => Error::io("allocate a ring for", &self.path, source),
            }
        })
    }

    /// Takes the end of a producer that ends. The records in its ring are still to be drained.
    pub(crate) fn hand_back(&self, id: u32, producer: ProducerEnd) {
        let earlier = lock(&self.inner).returned.insert(id, producer);
        debug_assert!(earlier.is_none(), "producer {id} has ended twice");
        // Release: _registry changed_.
        self.changed.store(true, Ordering::Release);
    }

    /// Whether producers came or went since the last call. If not, one relaxed load.
    pub(crate) fn take_changed(&self) -> bool {
        // Acquire: _registry changed_.
        self.changed.load(Ordering::Relaxed) && self.changed.swap(false, Ordering::AcqRel)
    }

    /// Takes what has changed since the last call: the rings of new producers, and the ends of those that have ended,
    /// by producer id.
    pub(crate) fn take(&self) -> (Vec<Arrival>, BTreeMap<u32, ProducerEnd>) {
        let mut inner = lock(&self.inner);
        (std::mem::take(&mut inner.arrivals), std::mem::take(&mut inner.returned))
    }

    /// Takes the empty ring of an ended producer, for the next one. The memory of its reserve is given back.
    pub(crate) fn recycle(&self, id: u32, producer: ProducerEnd, mut consumer: ConsumerEnd) {
        consumer.give_back_all();
        let mut inner = lock(&self.inner);
        let mut live = inner.live.remove(&id).expect("a producer is live until its ring is recycled");
        inner.ended_producers += 1;
        inner.ended.add(&live.row(id, true).counts());
        drop(live);
        producer.ring().vacate();
        // The lock orders this before the next producer.
        producer.control().reset();
        let ends = self.keep(&mut inner, producer, consumer);
        drop(inner);
        drop(ends);
    }

    /// The thread id and the name of a live producer.
    pub(crate) fn identity(&self, id: u32) -> Option<(u32, String)> {
        lock(&self.inner).live.get(&id).map(|live| (live.tid, live.name.clone()))
    }

    /// The memory of all rings.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Whether thread `tid` may be inside an append of a producer that it has made itself. It may be if the registry
    /// stays locked, perhaps by that same thread.
    pub(crate) fn may_be_inside_append(&self, tid: u32) -> bool {
        let try_to_look = |_| {
            try_lock(&self.inner).or_else(|| {
                thread::yield_now();
                None
            })
        };
        let is_inside = |live: &Live| live.tid == tid && live.ring.control().append_flag().is_raised();
        (0..TRIES).find_map(try_to_look).is_none_or(|inner| inner.live.values().any(is_inside))
    }

    /// Refuses new producers from now on, and frees the rings that were kept for them.
    pub(crate) fn close(&self) {
        let spare = {
            let mut inner = lock(&self.inner);
            inner.closed = true;
            std::mem::take(&mut inner.spare)
        };
        spare.iter().for_each(|(_, consumer)| self.budget.give_back(consumer.capacity() as u64));
    }

    /// The counts of all producers, those that have ended included.
    pub(crate) fn counts(&self) -> Producers {
        self.counts_by(|_| true)
    }

    /// As [`counts`](Self::counts), but if that is asked for often, attempts of the last milliseconds may be missing:
    /// see [`ExactLooks`].
    pub(crate) fn recent_counts(&self) -> Producers {
        self.counts_by(|looks| looks.take(Instant::now()))
    }

    fn counts_by(&self, may_look: impl FnOnce(&mut ExactLooks) -> bool) -> Producers {
        let mut inner = lock(&self.inner);
        let exact = may_look(&mut inner.looks);
        let live: Vec<_> = inner.live.iter_mut().map(|(&id, live)| live.row(id, exact)).collect();
        let Inner { ended_producers, ended, .. } = *inner;
        drop(inner);
        let mut totals = ended;
        live.iter().for_each(|row| totals.add(&row.counts()));
        Producers { live, ended_producers, ended, totals, ring_memory: self.ring_memory() }
    }

    /// The memory of the rings, and its limits.
    fn ring_memory(&self) -> RingMemoryStats {
        let slots = self.maker.slots();
        RingMemoryStats {
            place: slots.map_or_else(|| "private memory".to_owned(), |slots| slots.place()),
            definitions_lost: slots.map_or(0, |slots| slots.definitions_lost()),
            used_bytes: self.budget.used(),
            limit_bytes: self.budget.limit(),
            group_bytes: self.budget.group_bytes(),
            without_reserve: self.maker.reserve_refusal(),
            engine: self.budget.shared().map(|engine| EngineRingMemoryStats {
                used_bytes: engine.used(),
                limit_bytes: engine.limit(),
                group_bytes: engine.group_bytes(),
            }),
        }
    }
}

impl From<DropCounts> for DroppedBy {
    fn from(DropCounts { full, memory, timed_out, device_failed }: DropCounts) -> DroppedBy {
        DroppedBy { ring_full: full, ring_memory: memory, timed_out, device_failed }
    }
}

impl Inner {
    /// Checks that a producer can be registered now, before a ring is made for it.
    ///
    /// # Errors
    /// The errors of [`next_id`](Self::next_id).
    fn check_can_register(&self, producers_max: usize) -> Result<()> {
        self.next_id(producers_max).map(drop)
    }

    /// The next producer's id.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::TooManyProducers`].
    fn next_id(&self, producers_max: usize) -> Result<u32> {
        if self.closed {
            return Err(Error::Closed);
        }
        let too_many = |count, what, remedy| Error::TooManyProducers { count, what, remedy };
        // The common ring does not count.
        let alive = self.live.len() - usize::from(self.has_common);
        if alive >= producers_max {
            let what = match producers_max {
                PRODUCERS_MAX => "are alive, the maximum of a log",
                _ => "are alive, the maximum under this limit on file size (ulimit -f)",
            };
            let remedy = "log from fewer threads, or drop producers: one is alive until its last record is durable";
            return Err(too_many(alive as u64, what, remedy));
        }
        let remedy = "close the logger and open it again";
        self.last_id
            .checked_add(1)
            .ok_or_else(|| too_many(self.last_id.into(), "were made, the maximum of a run", remedy))
    }
}
