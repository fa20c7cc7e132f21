//! The producing end: claim, copy, commit. The hot path of the whole engine, so its fast path is straight-line code and
//! everything rare is out of line.
//!
//! Safety rests on invariants 1 to 4 of `ring`.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::Arc;

use super::memory::Words;
use super::{Counters, Full, HEAD_BYTES, Head, READING, SKIP, Shared, is_after, padded};
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::spin_loop;

/// How often a producer that finds the consumer copying looks again before it gives up: at 10 to 50 ns a pause, about a
/// microsecond.
const READING_SPINS_MAX: usize = if cfg!(loom) { 1 } else { 32 };

/// The producing thread's end. It may move to another thread, but not be used by two at once.
#[derive(Debug)]
pub(crate) struct ProducerEnd {
    /// The words of `shared.memory`.
    words: Words,
    /// Capacity less one.
    mask: u64,
    /// The position up to which records can be written contiguously, from what was known of the consumer's progress when
    /// it was computed: between `write_position` and the end of the memory. May be stale, never too large.
    limit: Cell<u64>,
    /// The consumer's position when last read: stale, never ahead of the real one.
    cached_read_position: Cell<u64>,
    overwrite: bool,
    counters: Arc<Counters>,
    shared: Arc<Shared>,
}

impl ProducerEnd {
    pub(super) fn new(counters: Arc<Counters>, shared: Arc<Shared>, overwrite: bool, start: u64) -> ProducerEnd {
        ProducerEnd {
            words: shared.memory.words(),
            mask: shared.memory.bytes() as u64 - 1,
            limit: Cell::new(start),
            cached_read_position: Cell::new(start),
            overwrite,
            counters,
            shared,
        }
    }

    /// Appends a record: its head, with the length of `payload`, and `payload`.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was written. A record above [`record_bytes_max`](Self::record_bytes_max) never fits.
    #[inline]
    pub(crate) fn append(&self, head: Head, payload: &[u8]) -> Result<(), Full> {
        debug_assert_eq!(head.length as usize, payload.len());
        let record_bytes = (HEAD_BYTES + padded(payload.len())) as u64;
        // Nobody else writes this position, so the plain value is the latest.
        let mut position = self.counters.write_position.load(Relaxed);
        if record_bytes > self.limit.get().wrapping_sub(position) {
            position = self.claim_slowly(position, record_bytes)?;
        }
        let offset = (position & self.mask) as usize;
        // The length fits 32 bits as the record fits the ring.
        let first = payload.len() as u64 | u64::from(head.tag) << 32;
        // SAFETY: the words from `position` to `position + record_bytes` are free (2) and contiguous, as `limit` says.
        unsafe {
            self.words.write(offset, first);
            self.words.write(offset + 8, head.sequence);
            self.words.write(offset + 16, head.ticks);
            self.words.copy_in(offset + HEAD_BYTES, payload);
        }
        // Release: _commit_.
        self.counters.write_position.store(position.wrapping_add(record_bytes), Release);
        Ok(())
    }

    /// Finds room for a record that does not fit before `limit`: past the memory's end, or by asking how far the
    /// consumer is. Returns where the record goes, having set `limit` behind it.
    #[cold]
    #[inline(never)]
    fn claim_slowly(&self, position: u64, record_bytes: u64) -> Result<u64, Full> {
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
                self.shared.read_position.load(Acquire)
            };
            self.cached_read_position.set(read_position);
            if needed > free(read_position) {
                if !self.counters.starved.load(Relaxed) {
                    self.counters.starved.store(true, Relaxed);
                }
                return Err(Full);
            }
        }
        if skip > 0 {
            // SAFETY: at least one word is left before the end, and free (2). The record's commit publishes it.
            unsafe { self.words.write((position & self.mask) as usize, SKIP) };
        }
        let start = position.wrapping_add(skip);
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
        let mut seen = self.shared.oldest.load(Acquire);
        loop {
            let oldest = seen & !READING;
            if !is_after(target, oldest) {
                return Ok(oldest);
            }
            if seen & READING == 0 {
                let (position, records) = self.first_record_from(oldest, target);
                // Release as well, so that whoever sees the new value sees the records before it counted. Acquire: _window_.
                match self.shared.oldest.compare_exchange(oldest, position, AcqRel, Acquire) {
                    Ok(_) => {
                        let overwritten = self.counters.overwritten.load(Relaxed);
                        self.counters.overwritten.store(overwritten + records, Relaxed);
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
                seen = self.shared.oldest.load(Acquire);
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

    /// Counts and signs, shared with whoever wants to read them.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The longest record, its head included.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.shared.memory.bytes() / 2
    }
}

impl Drop for ProducerEnd {
    fn drop(&mut self) {
        // Release: whoever sees this (acquire) and then observes sees every record.
        self.counters.ended.store(true, Release);
    }
}
