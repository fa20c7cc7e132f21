//! The ring between one producing thread and the writer. It is a single-producer single-consumer queue of bytes, the
//! *window*, and a second such queue, the *reserve*, which is used when the window is full.
//!
//! It carries heads and payloads. It knows nothing of levels, files and threads, and has no policy for a full ring: the
//! producer above it waits or drops, and the writer above it polls. [`RingMaker`] makes rings. `producer` and
//! `consumer` are the two ends, `control` holds the atomics that they share, `memory` and `slabs` hold the bytes, and
//! `budget` limits them. The memory of a ring, including its control lines, is either private or in a `slot`, which
//! outlives the process.
//!
//! # Layout
//!
//! Positions are `u64`, multiples of 8, and only grow. (They wrap at 2^64, and so does all arithmetic on them.) The
//! offset in memory is the position modulo the capacity, a power of two. A record is a head of three words and a
//! payload. The payload is padded to 8 bytes; the padding keeps the bytes that were there before:
//!
//! | word | holds |
//! |---|---|
//! | 0 | payload length in the low 32 bits, the producer's tag in the high 32 |
//! | 1 | sequence |
//! | 2 | ticks |
//! | 3… | payload |
//!
//! Window and reserve have the same layout, each in memory of its own. A record is contiguous. If it does not fit
//! before the end of the memory, the producer writes a skip there (one word, all bits set), and the record begins at
//! offset 0. A record takes at most half of the capacity, so it fits an empty ring at any position, even with a skip.
//! The producer notes where its last skip begins, so that the consumer does not count the unused bytes as held. Between
//! the released and the observed position there is at most one skip.
//!
//! # Window and reserve
//!
//! The window is small, and always present in memory. The reserve is address space. Its first `entered_bytes` count as
//! memory; they grow in chunks as records reach them, and shrink when the writer gives chunks back. Every append tries
//! the window first. If the window has no room, the append goes to the reserve, on the slow path. So the producer
//! returns to the window as soon as that has room, and the fast path does not know the reserve. Each queue has its own
//! positions, so it can always be filled completely, wherever the other one stands. Sequences grow in both queues, and
//! the consumer orders the records by them (9).
//!
//! # Steps of an append
//!
//! *Claim* finds room, *fill* writes head and payload there, *commit* publishes them and takes the sequence number. If
//! a claim is dropped before its commit, no number is taken and the consumer sees nothing. Two harmless effects may
//! remain: a skip that was already written, which the next commit publishes; and, in an overwriting ring, the loss of
//! the records that were given up for the claim, which are counted. [`HeldRoom`] is a claim that the caller fills in
//! place.
//!
//! # Invariants
//!
//! 1. `read_position ≤ cursor ≤ observed ≤ write_position ≤ read_position + capacity`. In an overwriting ring `oldest`
//!    takes the place of `read_position`, and `cursor` may be before it until the next reading begins, or after it by
//!    records that were copied and are kept.
//! 2. Only the producer writes the bytes from `write_position` to `read_position + capacity`. From `read_position` to
//!    `write_position` there are whole records and skips, which nobody writes. The producer alone moves
//!    `write_position`, the consumer alone `read_position`.
//! 3. In an overwriting ring either end may move `oldest`; while the bit READING is set in it, only the consumer.
//! 4. The first word of a record holds the length of the payload that was written.
//! 5. A producer has at most one claim at a time. The append flag keeps a signal handler from making a second one.
//! 6. 1, 2 and 4 hold for the reserve with its own positions. The exception: while the consumer has the empty reserve
//!    (returning), it moves both positions forward to the next beginning of the memory.
//! 7. The bytes of the reserve from `entered_bytes` on are never written.
//! 8. `entered_bytes`, and both positions of an empty reserve, belong to the end that has the reserve, as
//!    `reserve_state` says (open: the producer; returning: the consumer). The producer commits to the reserve only
//!    while it is open. So a consumer that has the reserve and finds it empty may discard any of its bytes: they hold
//!    no record, and none is written to them.
//! 9. Records are taken in the order of their sequence. The consumer reads the window's position *w*, then the
//!    reserve's *r*, then, if there are records before *r*, the window's once more, *w'*. A record of the reserve that
//!    precedes one before *w* was committed before it, so it is before *r*. A record of the window that precedes one
//!    before *r* is, for the same reason, before *w'*. So the smaller of the next sequences before *w'* and before *r*
//!    is the next record, as long as there is one before *r*. After that the window is taken up to *w* only: what lies
//!    between *w* and *w'* may follow records of the reserve that were committed after *r* was read.
//!
//! # Orderings
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | commit | `Control::commit` and `commit_reserve`, from the producer | `Control::committed` and `committed_reserve`, from `ConsumerEnd::observe` | the record's bytes, head included, and all that was committed before |
//! | space | `Control::release` and `release_reserve`, from the consumer | `Control::released` and `reserve_released`, from the producer's claim | that the bytes were read |
//! | reserve | `Control::close_reserve`, from either end | `Control::open_reserve`, from the producer; `begin_return`, from the consumer | the entered bytes, moved positions, discarded pages; to the consumer, the producer's commits |
//! | reading | `Control::end_reading`, from the consumer | `Control::oldest` and `give_up`, from the producer's claim | that the bytes were read |
//! | space wanted | `Control::announce_wait` and `wake_producer`, an exchange each | the later of the two | the space released before `wake_producer`, or that the producer waits |
//! | append done | `AppendFlag::lower`, from the gate | `AppendFlag::is_lowered`, from `Gate::is_outside` | the append's commit and counts |

mod layout;

mod append_flag;
mod control;
mod budget;
// The memory of a loom model is copied word by word.
#[cfg_attr(loom, allow(dead_code))]
mod copy;
mod payload;
mod memory;
#[cfg(not(loom))]
mod slabs;
mod reserve;
// The memory of a loom model is on the heap.
#[cfg_attr(loom, allow(dead_code))]
mod slot;
mod shared;

mod watch;
mod consumer;
mod producer;
mod held;

pub(crate) mod image;

#[cfg(all(test, loom))]
mod models;
// These tests count pages that are given back, which happens only on Linux.
#[cfg(all(test, not(loom), not(diolog_portable)))]
mod reserve_tests;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(all(test, target_os = "linux", not(any(loom, diolog_portable))))]
mod in_slots;

pub(crate) use append_flag::AppendFlag;
pub(crate) use budget::{Budget, BudgetLimit};
pub(crate) use consumer::ConsumerEnd;
pub(crate) use control::{Control, DropCounts};
pub(crate) use held::HeldRoom;
pub(crate) use layout::{CAPACITY_MAX, CAPACITY_MIN, DropCause, Full, HEAD_BYTES, Head, Position};
pub(crate) use payload::{Claimed, Payload, to_vec};
pub(crate) use producer::{CLASSES, ProducerEnd};
pub(crate) use reserve::CHUNK_BYTES;
pub(crate) use shared::{Ring, RingOptions};
pub(crate) use slot::{Slot, Slots};
pub(crate) use watch::Watch;

use std::io;
use std::sync::Arc;

use memory::{MemoryPool, Slabs};
use reserve::Reserve;

use crate::sys;

/// The reserves of one log may take one part in this many of the limit on the process's address space.
const PART_OF_ADDRESS_SPACE: u64 = 8;

/// Makes the rings of one log. Windows may share huge pages; reserves share mappings. Each log has its own maker: in a
/// forked child, a lock of the whole process could be held by a thread that does not exist there.
#[derive(Debug)]
pub(crate) struct RingMaker {
    memory: MemorySource,
    reserve_bytes: usize,
    budget: Arc<Budget>,
}

/// Where the memory of rings comes from.
#[derive(Debug)]
enum MemorySource {
    Private(Private),
    #[cfg(not(loom))]
    Slots(Arc<dyn Slots>),
}

/// Private memory of this process.
#[derive(Debug)]
struct Private {
    pool: MemoryPool,
    /// `None` if rings have no reserve.
    slabs: Option<Arc<Slabs>>,
    /// Why rings have no reserve, if they should have one.
    refusal: Option<&'static str>,
}

impl Private {
    fn new(reserve_bytes: usize) -> Private {
        let counted = reserve_bytes > 0 && sys::limits::counts_address_space();
        let bytes_max = reserves_bytes_max();
        let slabs = (reserve_bytes > 0 && !counted).then(|| Arc::new(Slabs::new(reserve_bytes, bytes_max)));
        let refusal = counted.then_some("the system counts address space as memory (vm.overcommit_memory is 2)");
        Private { pool: MemoryPool::default(), slabs, refusal }
    }

    fn make(&self, options: RingOptions, has_reserve: bool, budget: &Arc<Budget>) -> io::Result<Arc<Ring>> {
        let slabs = self.slabs.as_ref().filter(|_| has_reserve);
        let reserve = slabs
            .and_then(Slabs::take)
            .map(|memory| Reserve::new(memory, Arc::clone(budget), options.severe_only_eighths));
        Ring::private(options, &self.pool, reserve)
    }

    fn reserve_refusal(&self) -> Option<String> {
        let refused = self.slabs.as_ref().and_then(|slabs| slabs.refusal());
        refused.or_else(|| self.refusal.map(str::to_owned))
    }
}

/// How much address space the reserves of one log may take, in bytes.
pub(crate) fn reserves_bytes_max() -> u64 {
    sys::limits::address_space_bytes().map_or(u64::MAX, |bytes| bytes / PART_OF_ADDRESS_SPACE)
}

impl RingMaker {
    /// A maker of rings in `slots`, or in private memory if there are none. Each reserve has `reserve_bytes`, a power
    /// of two or 0; entered chunks count in `budget`.
    pub(crate) fn new(slots: Option<Arc<dyn Slots>>, reserve_bytes: usize, budget: Arc<Budget>) -> RingMaker {
        let memory = match slots {
            #[cfg(not(loom))]
            Some(slots) => MemorySource::Slots(slots),
            _ => MemorySource::Private(Private::new(reserve_bytes)),
        };
        RingMaker { memory, reserve_bytes, budget }
    }

    /// Makes a ring. If there is no address space for its reserve, it has none.
    ///
    /// # Errors
    /// The capacity is not a power of two or out of range, or there is no memory.
    pub(crate) fn make(&self, options: RingOptions) -> io::Result<(ProducerEnd, ConsumerEnd)> {
        let has_reserve = self.reserve_bytes > 0 && options.enters_reserve && !options.overwrite;
        let ring = match &self.memory {
            MemorySource::Private(private) => private.make(options, has_reserve, &self.budget)?,
            #[cfg(not(loom))]
            MemorySource::Slots(slots) => self.make_in(slots, options, has_reserve)?,
        };
        let consumer = ConsumerEnd::new(Arc::clone(&ring), options.overwrite, options.start);
        Ok((ProducerEnd::new(ring, options.start), consumer))
    }

    #[cfg(not(loom))]
    fn make_in(&self, slots: &Arc<dyn Slots>, options: RingOptions, has_reserve: bool) -> io::Result<Arc<Ring>> {
        shared::check(options)?;
        let reserve_bytes = if has_reserve { self.reserve_bytes } else { 0 };
        let slot = slots.take(options.capacity_bytes, reserve_bytes, options.overwrite)?;
        let reserve = memory::ReserveMemory::of_slot(&slot, reserve_bytes)
            .map(|memory| Reserve::new(memory, Arc::clone(&self.budget), options.severe_only_eighths));
        Ok(Ring::in_slot(options, slot, reserve))
    }

    /// Why the last ring has no reserve, if it should have one.
    pub(crate) fn reserve_refusal(&self) -> Option<String> {
        match &self.memory {
            MemorySource::Private(private) => private.reserve_refusal(),
            #[cfg(not(loom))]
            MemorySource::Slots(slots) => slots.reserve_refusal(),
        }
    }

    /// The slots in which the rings are; `None` for private memory.
    pub(crate) fn slots(&self) -> Option<&Arc<dyn Slots>> {
        match &self.memory {
            MemorySource::Private(_) => None,
            #[cfg(not(loom))]
            MemorySource::Slots(slots) => Some(slots),
        }
    }
}

/// Makes a ring that shares memory with no other. Its reserve has `reserve_bytes`, or it has none if that is 0.
///
/// # Errors
/// As [`RingMaker::make`].
#[cfg(any(test, feature = "unstable"))]
pub(crate) fn ring_with_reserve(
    options: RingOptions,
    reserve_bytes: usize,
    budget: Arc<Budget>,
) -> io::Result<(ProducerEnd, ConsumerEnd)> {
    RingMaker::new(None, reserve_bytes, budget).make(options)
}

/// Makes a ring without a reserve.
///
/// # Errors
/// As [`RingMaker::make`].
#[cfg(any(test, feature = "unstable"))]
pub(crate) fn ring(options: RingOptions) -> io::Result<(ProducerEnd, ConsumerEnd)> {
    ring_with_reserve(options, 0, Arc::new(Budget::new(u64::MAX, 0)))
}
