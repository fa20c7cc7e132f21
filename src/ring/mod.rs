//! The ring between one producing thread and the writer: a single-producer single-consumer queue of bytes.
//!
//! It carries heads and payloads. It knows nothing of levels, files and threads, and has no policy for a full ring: the
//! producer above it waits or drops, the writer above it polls. [`RingMaker`] makes rings; `producer` and `consumer`
//! are the two ends, `control` holds the atomics that they share and `memory` the bytes.
//!
//! # Layout
//!
//! Positions are `u64` that only grow (they wrap at 2^64, and so does all arithmetic on them), multiples of 8; the
//! offset in memory is the position modulo the capacity, a power of two. A record is its head, three words, and its
//! payload, padded to 8 bytes with the bytes that were there before:
//!
//! | word | holds |
//! |---|---|
//! | 0 | payload length in the low 32 bits, the producer's tag in the high 32 |
//! | 1 | sequence |
//! | 2 | ticks |
//! | 3… | payload |
//!
//! A record is contiguous. If one does not fit before the end of the memory, a skip is written there (one word, all
//! bits set) and the record begins at offset 0. A record takes at most half of the capacity, so that it fits an empty
//! ring, skip included, at any position.
//!
//! # Steps of an append
//!
//! *Claim* finds room, *fill* writes head and payload there, *commit* publishes them and takes the sequence number. A
//! claim that is dropped before its commit leaves no trace: no number is taken and the consumer sees nothing. Two
//! things stay, both harmless: a skip that was already written, which the next commit publishes, and in an overwriting
//! ring the records that were given up for the claim, which are counted.
//!
//! # Invariants
//!
//! 1. `read_position ≤ cursor ≤ observed ≤ write_position ≤ read_position + capacity`. In an overwriting ring `oldest`
//!    takes the place of `read_position`, and `cursor` may be before it until the next window begins.
//! 2. Only the producer writes the bytes from `write_position` to `read_position + capacity`. From `read_position` to
//!    `write_position` there are whole records and skips, which nobody writes. The producer alone moves
//!    `write_position`, the consumer alone `read_position`.
//! 3. In an overwriting ring either end may move `oldest`; while the bit READING is set in it, only the consumer.
//! 4. The first word of a record holds the length that its payload was written with.
//! 5. A producer has at most one claim at a time. The append flag keeps a signal handler from making a second one.
//!
//! # Orderings
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | commit | `Control::commit`, from the producer | `Control::committed`, from `ConsumerEnd::observe` | the record's bytes, head included |
//! | space | `Control::release`, from the consumer | `Control::released`, from the producer's claim | that the bytes were read |
//! | window | `Control::end_window`, from the consumer | `Control::oldest` and `give_up`, from the producer's claim | that the bytes were read |
//! | space wanted | `Control::announce_wait` and `wake_producer`, an exchange each | the later of the two | the space released before `wake_producer`, or that the producer waits |
//! | append done | `AppendFlag::lower`, from the gate | `AppendFlag::is_lowered`, from `Gate::is_outside` | the append's commit and counts |

mod layout;

mod control;
// A model's memory copies word by word.
#[cfg_attr(loom, allow(dead_code))]
mod copy;
mod memory;
mod shared;

mod consumer;
mod producer;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use consumer::ConsumerEnd;
pub(crate) use control::{AppendFlag, Counts, DroppedBy};
pub(crate) use layout::{CAPACITY_MAX, CAPACITY_MIN, DropCause, Full, HEAD_BYTES};
pub(crate) use producer::{CLASSES, ProducerEnd};
pub(crate) use shared::{Ring, RingOptions};

use std::io;
use std::sync::Arc;

use memory::MemoryPool;

/// Makes rings that may share huge pages. A log has one of its own: a lock of the whole process could be held by a
/// thread that a forked child does not have.
#[derive(Debug, Default)]
pub(crate) struct RingMaker {
    pool: MemoryPool,
}

impl RingMaker {
    /// A ring of private memory, all of it present.
    ///
    /// # Errors
    /// A capacity that is not a power of two or is out of range, or no memory.
    pub(crate) fn make(&self, options: RingOptions) -> io::Result<(ProducerEnd, ConsumerEnd)> {
        let ring = Ring::new(options, &self.pool)?;
        let consumer = ConsumerEnd::new(Arc::clone(&ring), options.overwrite, options.start);
        Ok((ProducerEnd::new(ring, options.start), consumer))
    }
}

/// A ring that shares its memory with no other.
///
/// # Errors
/// As [`RingMaker::make`].
#[cfg(any(test, feature = "unstable"))]
pub(crate) fn ring(options: RingOptions) -> io::Result<(ProducerEnd, ConsumerEnd)> {
    RingMaker::default().make(options)
}
