//! The producing end: claim, copy, commit. The hot path of the whole engine, so its fast path is straight-line code and
//! everything rare is out of line.
//!
//! Safety rests on invariants 1 to 4 of `ring`.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::Arc;

use super::memory::Words;
use super::{Full, HEAD_BYTES, Head, READING, Ring, SHORT_MAX, SKIP, is_after, padded};
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU32, spin_loop};

/// How often a producer that finds the consumer copying looks again before it gives up: at 10 to 50 ns a pause, about a
/// microsecond.
const READING_SPINS_MAX: usize = if cfg!(loom) { 1 } else { 32 };

/// The producing thread's end. It may move to another thread, but not be used by two at once.
///
/// What a quick append needs stands first, so that it is on one cache line where this lies at the beginning of one.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ProducerEnd {
    /// The words of `ring.memory`.
    words: Words,
    /// Capacity less one.
    mask: u64,
    /// The producer's own copy of `write_position`. The published one lies on a line that the writer polls: storing there is
    /// free, as the store waits in the store buffer, but loading would wait for the line to come back.
    position: Cell<u64>,
    /// The position up to which records can be written contiguously, from what was known of the consumer's progress when
    /// it was computed: between `write_position` and the end of the memory. May be stale, never too large.
    limit: Cell<u64>,
    ring: Arc<Ring>,
    /// Payloads of fewer bytes are appended the quick way: at most [`SHORT_MAX`] and 1, 0 for none.
    short_end: u32,
    overwrite: bool,
    /// The consumer's position when last read: stale, never ahead of the real one.
    cached_read_position: Cell<u64>,
}

impl ProducerEnd {
    pub(super) fn new(ring: Arc<Ring>, overwrite: bool, start: u64) -> ProducerEnd {
        ProducerEnd {
            words: ring.memory.words(),
            mask: ring.memory.bytes() as u64 - 1,
            position: Cell::new(start),
            limit: Cell::new(start),
            ring,
            short_end: SHORT_MAX as u32 + 1,
            overwrite,
            cached_read_position: Cell::new(start),
        }
    }

    /// Has no payload of more than `bytes` appended the quick way; `None`: none at all.
    pub(crate) fn limit_quick_appends(&mut self, bytes: Option<usize>) {
        self.short_end = bytes.map_or(0, |bytes| bytes.min(SHORT_MAX) as u32 + 1);
    }

    /// Appends a record: once there is room, it takes the next sequence number and the time that `clock` gives, and is
    /// counted. (`clock` does not append.)
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was written, nor counted. A record above [`record_bytes_max`](Self::record_bytes_max) never fits.
    pub(crate) fn append(&self, tag: u32, payload: &[u8], clock: impl FnOnce() -> u64) -> Result<(), Full> {
        self.append_as::<false>(tag, payload, clock)
    }

    /// Whether [`append_short`](Self::append_short) takes `payload`.
    #[inline(always)]
    pub(crate) fn is_short(&self, payload: &[u8]) -> bool {
        payload.len() < self.short_end as usize
    }

    /// The quick [`append`](Self::append) of a [short](Self::is_short) payload.
    ///
    /// # Errors
    ///
    /// [`Full`], as there.
    #[inline(always)]
    pub(crate) fn append_short(&self, tag: u32, payload: &[u8], clock: impl FnOnce() -> u64) -> Result<(), Full> {
        debug_assert!(payload.len() <= SHORT_MAX);
        self.append_as::<true>(tag, payload, clock)
    }

    #[inline(always)]
    fn append_as<const SHORT: bool>(&self, tag: u32, payload: &[u8], clock: impl FnOnce() -> u64) -> Result<(), Full> {
        let record_bytes = record_bytes(payload);
        let position = self.place(record_bytes)?;
        // Not before the claim, which would have to save it.
        let sequence = self.next_sequence();
        let head = Head { length: payload.len() as u32, tag, sequence, ticks: clock() };
        let (at, head) = ((position & self.mask) as usize, head_words(head, payload));
        // SAFETY: the words from `position` to `position + record_bytes` are free (2) and contiguous, as `limit` says.
        unsafe {
            if SHORT {
                self.words.write_short_record(at, head, payload);
            } else {
                self.words.write_record(at, head, payload);
            }
        }
        let behind = position.wrapping_add(record_bytes);
        self.position.set(behind);
        // Release: _commit_.
        self.ring.write_position.store(behind, Release);
        self.take_sequence(sequence);
        Ok(())
    }

    /// Where a record of `record_bytes` goes: up to its end, `limit` allows it.
    #[inline(always)]
    fn place(&self, record_bytes: u64) -> Result<u64, Full> {
        let position = self.position.get();
        if record_bytes <= self.limit.get().wrapping_sub(position) {
            Ok(position)
        } else {
            self.claim(position, record_bytes)
        }
    }

    /// Finds room for a record that does not fit before `limit`: past the memory's end, or by asking how far the
    /// consumer is. Returns where the record goes, having set `limit` behind it.
    #[cold]
    fn claim(&self, position: u64, record_bytes: u64) -> Result<u64, Full> {
        let capacity = self.mask + 1;
        if record_bytes > capacity / 2 {
            return Err(Full);
        }
        let to_end = capacity - (position & self.mask);
        let skip = if record_bytes > to_end { to_end } else { 0 };
        // At most the capacity: what is skipped is less than the record, and that at most half.
        let needed = skip + record_bytes;
        let free = |read_position| capacity - position.wrapping_sub(read_position);

        let mut read_position = self.cached_read_position.get();
        if needed > free(read_position) {
            read_position = if self.overwrite {
                self.give_up_oldest(position.wrapping_add(needed).wrapping_sub(capacity))?
            } else {
                // Acquire: _space_.
                self.ring.space.read_position.load(Acquire)
            };
            self.cached_read_position.set(read_position);
            if needed > free(read_position) {
                if !self.ring.space.starved.load(Relaxed) {
                    self.ring.space.starved.store(true, Relaxed);
                }
                return Err(Full);
            }
        }
        if skip > 0 {
            // SAFETY: at least one word is left before the end, and free (2). The record's commit publishes it.
            unsafe { self.words.write((position & self.mask) as usize, SKIP) };
        }
        let start = position.wrapping_add(skip);
        // What is skipped is skipped for good: `limit` is not to be compared with a position before it.
        self.position.set(start);
        let contiguous = (capacity - (start & self.mask)).min(free(read_position) - skip);
        self.limit.set(start.wrapping_add(contiguous));
        Ok(start)
    }

    /// Gives up the oldest records of an overwriting ring until `oldest` is at `target` or after it, and counts them.
    ///
    /// # Errors
    ///
    /// [`Full`]: the consumer is copying, and was for all the time that the producer may wait.
    fn give_up_oldest(&self, target: u64) -> Result<u64, Full> {
        let mut spins = 0;
        // Acquire: _window_.
        let mut seen = self.ring.oldest.load(Acquire);
        loop {
            let oldest = seen & !READING;
            if !is_after(target, oldest) {
                return Ok(oldest);
            }
            if seen & READING == 0 {
                let (position, records) = self.first_record_from(oldest, target);
                // Acquire: _window_. Nothing is released: the consumer learns of records by commits alone.
                match self.ring.oldest.compare_exchange(oldest, position, Acquire, Acquire) {
                    Ok(_) => {
                        let overwritten = self.ring.account.overwritten.load(Relaxed);
                        self.ring.account.overwritten.store(overwritten + records, Relaxed);
                        return Ok(position);
                    }
                    Err(now) => seen = now,
                }
            } else {
                if spins == READING_SPINS_MAX {
                    return Err(Full);
                }
                spins += 1;
                spin_loop();
                seen = self.ring.oldest.load(Acquire);
            }
        }
    }

    /// The first record's position at or after `target`, and how many records lie between `position` and it.
    fn first_record_from(&self, mut position: u64, target: u64) -> (u64, u64) {
        let mut records = 0;
        while is_after(target, position) {
            let offset = position & self.mask;
            // SAFETY: between `oldest` and `write_position` stand whole records (2), written by this very thread.
            let first = unsafe { self.words.read(offset as usize) };
            if first == SKIP {
                position = position.wrapping_add(self.mask + 1 - offset);
            } else {
                position = position.wrapping_add((HEAD_BYTES + padded(first as u32 as usize)) as u64);
                records += 1;
            }
        }
        (position, records)
    }

    /// The sequence number of the next attempt.
    #[inline(always)]
    pub(crate) fn next_sequence(&self) -> u64 {
        self.ring.account.next_sequence.load(Relaxed)
    }

    /// Counts an attempt, the one that took `sequence`.
    #[inline(always)]
    pub(crate) fn take_sequence(&self, sequence: u64) {
        self.ring.account.next_sequence.store(sequence + 1, Relaxed);
    }

    /// The sign to others that an append is under way.
    #[inline(always)]
    pub(crate) fn in_append(&self) -> &AtomicU32 {
        &self.ring.account.in_append
    }

    /// What both ends hold, for whoever wants to read its counts.
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The longest record, its head included.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.ring.memory.bytes() / 2
    }
}

/// Bytes of the record in the ring.
#[inline(always)]
fn record_bytes(payload: &[u8]) -> u64 {
    (HEAD_BYTES + padded(payload.len())) as u64
}

/// The head as the ring holds it. The length fits 32 bits as the record fits the ring.
#[inline(always)]
fn head_words(head: Head, payload: &[u8]) -> [u64; 3] {
    [payload.len() as u64 | u64::from(head.tag) << 32, head.sequence, head.ticks]
}
