//! The consuming end: observe how far the producer is, take records, give their space back.
//!
//! Taking and giving back are two steps, as an ordinary ring is the crash copy of its records until they are durable. In
//! an overwriting ring the space is free once the records are copied.
//!
//! Safety rests on invariants 1 to 4 of `ring`.

#![allow(unsafe_code)]

use std::sync::Arc;

use super::memory::{READ_AHEAD_BYTES, Words};
use super::{HEAD_BYTES, Head, READING, Ring, SKIP, is_after, padded};
use crate::sync::Ordering::{Acquire, Relaxed, Release};

/// Bytes copied from an overwriting ring before the producer may move on: some 100 to 500 ns, which it waits for.
const WINDOW_BYTES: u64 = 4096;

/// The writer's end.
#[derive(Debug)]
pub(crate) struct ConsumerEnd {
    /// The words of `ring.memory`.
    words: Words,
    /// Capacity less one.
    mask: u64,
    /// Up to where records were taken: between the released position and `observed`.
    cursor: u64,
    /// `write_position` when last observed: stale, never ahead of the real one.
    observed: u64,
    overwrite: bool,
    ring: Arc<Ring>,
}

impl ConsumerEnd {
    pub(super) fn new(ring: Arc<Ring>, overwrite: bool, start: u64) -> ConsumerEnd {
        let mask = ring.memory.bytes() as u64 - 1;
        ConsumerEnd { words: ring.memory.words(), mask, cursor: start, observed: start, overwrite, ring }
    }

    /// Reads how far the producer is: [`consume_from`](Self::consume_from) goes up to there.
    pub(crate) fn observe(&mut self) -> u64 {
        // Acquire: _commit_.
        self.observed = self.ring.write_position.load(Acquire);
        self.observed
    }

    /// Hands records to `sink`, oldest first, until it returns `false` (that record is not taken), what was observed is
    /// at an end, or `piece_bytes` or a little more have been taken. Returns how many records were taken.
    ///
    /// `OVERWRITES` must be what [`overwrites`](Self::overwrites) says: the caller branches, so that each loop is compiled
    /// together with `sink`, whose variables stay in registers. In an overwriting ring `sink` should be quick: the
    /// producer waits for it, and drops if it takes long.
    #[inline(always)]
    pub(crate) fn consume_from<const OVERWRITES: bool>(
        &mut self,
        piece_bytes: usize,
        mut sink: impl FnMut(&Head, &[u8]) -> bool,
    ) -> usize {
        assert_eq!(self.overwrite, OVERWRITES, "the ring's policy is the caller's to know");
        if OVERWRITES {
            self.consume_in_windows(piece_bytes as u64, &mut sink)
        } else {
            self.take(piece_bytes as u64, &mut sink).0
        }
    }

    /// [`consume_from`](Self::consume_from) where speed does not matter.
    #[cfg(test)]
    pub(crate) fn consume(&mut self, piece_bytes: usize, sink: impl FnMut(&Head, &[u8]) -> bool) -> usize {
        if self.overwrite {
            self.consume_from::<true>(piece_bytes, sink)
        } else {
            self.consume_from::<false>(piece_bytes, sink)
        }
    }

    /// [`consume_from`](Self::consume_from) an overwriting ring: window by window, each closed to the producer while it is copied.
    fn consume_in_windows(&mut self, piece_bytes: u64, sink: &mut impl FnMut(&Head, &[u8]) -> bool) -> usize {
        let mut left = piece_bytes;
        let mut records = 0;
        while left > 0 {
            // From here on only this thread moves `oldest` (3). No ordering is needed: the records up to `observed` came
            // with it, and the producer gives none of them up before it has acquired the end of the window.
            let oldest = self.ring.oldest.fetch_add(READING, Relaxed);
            // The producer may have given up records beyond the cursor, even beyond what was observed.
            self.cursor = oldest;
            let window = Window { consumer: self };
            if !is_after(window.consumer.observed, oldest) {
                break;
            }
            let (taken, more) = window.consumer.take(left.min(WINDOW_BYTES), sink);
            records += taken;
            left = left.saturating_sub(window.consumer.cursor.wrapping_sub(oldest));
            if !more {
                break;
            }
        }
        records
    }

    /// Hands records to `sink`; the count of those taken, and whether it would take more.
    #[inline(always)]
    fn take(&mut self, piece_bytes: u64, sink: &mut impl FnMut(&Head, &[u8]) -> bool) -> (usize, bool) {
        let begin = self.cursor;
        let mut cursor = begin;
        let mut records = 0;
        let mut more = true;
        while cursor != self.observed && cursor.wrapping_sub(begin) < piece_bytes {
            let offset = (cursor & self.mask) as usize;
            // SAFETY: between the cursor and `observed` stand whole records which nobody writes (2, 3).
            let first = unsafe { self.words.read(offset) };
            if first == SKIP {
                cursor = cursor.wrapping_add(self.mask + 1 - offset as u64);
                continue;
            }
            // SAFETY: as above; a head has three words.
            let (sequence, ticks) = unsafe { (self.words.read(offset + 8), self.words.read(offset + 16)) };
            // Not beyond what was observed: those lines the producer has fetched, to write to them.
            if self.observed.wrapping_sub(cursor) >= READ_AHEAD_BYTES as u64 {
                self.words.fetch_ahead(offset);
            }
            let head = Head { length: first as u32, tag: (first >> 32) as u32, sequence, ticks };
            let length = head.length as usize;
            // SAFETY: as above; the payload has as many bytes (4).
            if !unsafe { self.words.lend(offset + HEAD_BYTES, length, |payload| sink(&head, payload)) } {
                more = false;
                break;
            }
            cursor = cursor.wrapping_add((HEAD_BYTES + padded(length)) as u64);
            records += 1;
        }
        self.cursor = cursor;
        (records, more)
    }

    /// Up to where records were taken.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Gives the space before `position`, a former [`cursor`](Self::cursor), back to the producer. Nothing in an
    /// overwriting ring, where taking a record gave it back.
    pub(crate) fn release(&mut self, position: u64) {
        if !self.overwrite {
            debug_assert!(!is_after(position, self.cursor), "released before it was taken");
            // Release: _space_.
            self.ring.space.read_position.store(position, Release);
        }
    }

    /// Bytes observed and not taken. In an overwriting ring the producer may have given up some of them since.
    pub(crate) fn unread_bytes(&self) -> usize {
        if is_after(self.observed, self.cursor) { self.observed.wrapping_sub(self.cursor) as usize } else { 0 }
    }

    /// Bytes observed and not given back, of an ordinary ring.
    pub(crate) fn used_bytes(&self) -> usize {
        // Relaxed: this end alone stores it.
        self.observed.wrapping_sub(self.ring.space.read_position.load(Relaxed)) as usize
    }

    /// Whether the ring gives up its oldest records rather than refuse the newest.
    pub(crate) fn overwrites(&self) -> bool {
        self.overwrite
    }

    /// Bytes in all.
    pub(crate) fn capacity(&self) -> usize {
        self.mask as usize + 1
    }

    /// What both ends hold, for whoever wants to read its counts.
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }
}

/// A window of an overwriting ring that is closed to the producer. Opened again when dropped, a panicking sink included
/// (whose records are then still in the ring).
struct Window<'a> {
    consumer: &'a mut ConsumerEnd,
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        // Release: _window_. The store clears READING.
        self.consumer.ring.oldest.store(self.consumer.cursor, Release);
    }
}
