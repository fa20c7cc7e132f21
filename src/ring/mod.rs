//! The ring between one producing thread and the writer: a single-producer single-consumer queue of bytes.
//!
//! It carries heads and payloads. It knows nothing of levels, files, threads, nor of what to do when it is full: the
//! producer above waits or drops, the writer above polls. `producer` and `consumer` are the two ends, `memory` is what
//! lies between them.
//!
//! # Layout
//!
//! Positions are ever-growing `u64` (they wrap at 2^64, all arithmetic on them does), multiples of 8; the offset in
//! memory is the position modulo the capacity, a power of two. A record is its head, three words, and its payload,
//! padded to 8 bytes with whatever stood there:
//!
//! | word | holds |
//! |---|---|
//! | 0 | payload length in the low 32 bits, the producer's tag in the high 32 |
//! | 1 | sequence |
//! | 2 | ticks |
//! | 3… | payload |
//!
//! A record is contiguous. Where one does not fit before the end of the memory, [`SKIP`] is written there instead and the
//! record begins at offset 0. A record takes at most half the capacity, so that it fits in the end, skip included,
//! wherever the writer stands.
//!
//! # Invariants
//!
//! 1. `read_position ≤ cursor ≤ observed ≤ write_position ≤ read_position + capacity`, `oldest` standing for
//!    `read_position` in an overwriting ring.
//! 2. The bytes from `write_position` to `read_position + capacity` are the producer's to write, those from
//!    `read_position` to `write_position` are whole records which nobody writes. The producer alone moves the border
//!    `write_position`, the consumer alone `read_position`.
//! 3. In an overwriting ring either end may move `oldest`; while the bit [`READING`] is set in it, only the consumer.
//! 4. The first word of a record holds the length its payload was written with.
//!
//! # Orderings
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | commit | `ProducerEnd::append_as` stores `write_position` | `ConsumerEnd::observe` | the record's bytes |
//! | space | `ConsumerEnd::release` stores `read_position` | `ProducerEnd::claim` | that the bytes were read |
//! | window | the consumer's store that clears `READING` | the producer's exchange of `oldest` | that the bytes were read |

mod consumer;
// A model's memory copies word by word.
#[cfg_attr(loom, allow(dead_code))]
mod copy;
mod memory;
#[cfg(all(test, loom))]
mod models;
mod producer;

#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use consumer::ConsumerEnd;
pub(crate) use copy::SHORT_MAX;
pub(crate) use producer::ProducerEnd;

use std::io;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicBool, AtomicU32, AtomicU64};
use memory::Memory;
pub(crate) use memory::Rest;

/// Bytes of a record's head in the ring.
pub(crate) const HEAD_BYTES: usize = 24;

/// The first word where the memory's end is skipped. No head: a length never has all bits set, see [`CAPACITY_MAX`].
const SKIP: u64 = u64::MAX;

/// The bit of `oldest` that says the consumer is copying. Positions are multiples of 8, so that it is free.
const READING: u64 = 1;

/// Ring sizes: below the smallest a page is wasted, above the largest a length would not fit 32 bits. (A model needs a
/// ring of a few records.)
pub(crate) const CAPACITY_MIN: usize = if cfg!(loom) { 64 } else { 4096 };
pub(crate) const CAPACITY_MAX: usize = 1 << 30;

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of payload, padding not counted.
    pub(crate) length: u32,
    /// The producer's: kind, level and flags. The ring passes it on.
    pub(crate) tag: u32,
    /// The record's number among its producer's.
    pub(crate) sequence: u64,
    /// When, by the producer's clock.
    pub(crate) ticks: u64,
}

/// How a ring is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingOptions {
    /// A power of two, from 4096 to 2^30.
    pub(crate) capacity_bytes: usize,
    /// Whether a full ring gives up its oldest records rather than refuse the newest.
    pub(crate) overwrite: bool,
    /// The first position, a multiple of 8. 0, except where a test starts near the wrap.
    pub(crate) start: u64,
}

/// There is no room for the record now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// What both ends hold, and whoever reads its counts.
///
/// On pairs of cache lines, by who else touches them: a line that another CPU has looked at must be fetched back before a
/// store to it can leave, and a burst of appends stalls once more stores wait than the CPU can hold.
#[derive(Debug)]
pub(crate) struct Ring {
    /// See the table of orderings: _commit_. Stored by the producer at each append, polled by the writer.
    write_position: CachePadded<AtomicU64>,
    /// What the producer alone writes, and others read seldom.
    pub(crate) account: CachePadded<Account>,
    /// What both write, when space is given back or wanted.
    pub(crate) space: CachePadded<Space>,
    /// In an overwriting ring: the first record that has not been given up, and [`READING`].
    oldest: CachePadded<AtomicU64>,
    memory: Memory,
}

/// The producer's own account of its attempts: each count only grows.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The sequence number that the next attempt takes.
    pub(crate) next_sequence: AtomicU64,
    /// Attempts that took a number and were not committed.
    pub(crate) dropped: AtomicU64,
    /// Records committed, then given up for newer ones before the consumer took them.
    pub(crate) overwritten: AtomicU64,
    /// 1 while the producing thread is inside an append: see `gate`.
    pub(crate) in_append: AtomicU32,
}

/// Space in the ring: how much there is, and who wants some.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// In an ordinary ring: records before this have been released, their bytes are the producer's again.
    read_position: AtomicU64,
    /// A claim failed for space. The writer then takes all that there is, clears this, and seals early.
    pub(crate) starved: AtomicBool,
    /// 1 while the producing thread sleeps until space is released. Both sides exchange it, the producer before it looks for
    /// space a last time, the writer after it has released some: the later one sees what the earlier one did.
    pub(crate) awaits_space: AtomicU32,
}

/// A ring of private memory, all of it present. What it does not need of that is left in `rest`, for the next one.
///
/// # Errors
///
/// A capacity that is no power of two or out of range, or no memory.
pub(crate) fn ring(options: RingOptions, rest: &mut Rest) -> io::Result<(ProducerEnd, ConsumerEnd)> {
    let RingOptions { capacity_bytes, overwrite, start } = options;
    if !capacity_bytes.is_power_of_two() || !(CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity_bytes) {
        let message = format!(
            "a ring of {capacity_bytes} bytes: its size must be a power of two from {CAPACITY_MIN} to {CAPACITY_MAX}"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let start = start & !7;
    let ring = Arc::new(Ring {
        write_position: CachePadded::new(AtomicU64::new(start)),
        account: CachePadded::default(),
        space: CachePadded::new(Space { read_position: AtomicU64::new(start), ..Space::default() }),
        oldest: CachePadded::new(AtomicU64::new(start)),
        memory: Memory::private(capacity_bytes, rest)?,
    });
    let consumer = ConsumerEnd::new(Arc::clone(&ring), overwrite, start);
    Ok((ProducerEnd::new(ring, overwrite, start), consumer))
}

/// `length` bytes of payload with their padding.
const fn padded(length: usize) -> usize {
    (length + 7) & !7
}

/// Whether position `a` lies after `b`: they are never half of 2^64 apart.
const fn is_after(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) > 0
}
