//! The consuming end: observe the producer's position, take records, release their space.
//!
//! Taking and releasing are two steps, because an ordinary ring keeps its records until they are durable. In an
//! overwriting ring the space is free once the records are copied.
//!
//! Safety rests on invariants 1 to 4 of `ring`.

#![allow(unsafe_code)]

use std::sync::Arc;

use super::control::Control;
use super::layout::{HEAD_BYTES, Head, SKIP, is_after, record_bytes};
use super::memory::{READ_AHEAD_BYTES, Words};
use super::shared::Ring;

/// Bytes copied from an overwriting ring in one window: some 100 to 500 ns, for which a producer that needs space
/// waits.
const WINDOW_BYTES: u64 = 4096;

/// The writer's end.
#[derive(Debug)]
pub(crate) struct ConsumerEnd {
    /// The words of `ring.memory`.
    words: Words,
    /// Capacity less one.
    mask: u64,
    /// The end of the records taken: between the released position and `observed`.
    cursor: u64,
    /// `write_position` when last observed. May be stale, but is never after the real one.
    observed: u64,
    overwrite: bool,
    ring: Arc<Ring>,
}

impl ConsumerEnd {
    pub(super) fn new(ring: Arc<Ring>, overwrite: bool, start: u64) -> ConsumerEnd {
        let mask = ring.memory.bytes() as u64 - 1;
        ConsumerEnd { words: ring.memory.words(), mask, cursor: start, observed: start, overwrite, ring }
    }

    /// Reads the producer's position, up to which [`consume_from`](Self::consume_from) takes records.
    pub(crate) fn observe(&mut self) -> u64 {
        let committed = self.control().committed();
        // Invariant 1. In an overwriting ring the cursor may be far behind until the next window begins.
        assert!(
            !is_after(self.observed, committed)
                && (self.overwrite || committed.wrapping_sub(self.cursor) <= self.mask + 1),
            "the producer is at {committed}, was at {}, and the cursor at {}",
            self.observed,
            self.cursor
        );
        self.observed = committed;
        committed
    }

    /// Hands records to `sink`, oldest first, until it returns `false` (that record is not taken), all that was
    /// observed is taken, or `piece_bytes` or a little more have been taken. Returns how many records were taken.
    ///
    /// `OVERWRITES` must equal [`overwrites`](Self::overwrites): the caller branches, so that each loop is compiled
    /// together with `sink`, whose variables stay in registers. In an overwriting ring `sink` should be quick: the
    /// producer waits for it, and drops if it takes long.
    #[inline(always)]
    pub(crate) fn consume_from<const OVERWRITES: bool>(
        &mut self,
        piece_bytes: usize,
        mut sink: impl FnMut(&Head, &[u8]) -> bool,
    ) -> usize {
        assert_eq!(self.overwrite, OVERWRITES, "the caller must know the ring's policy");
        if OVERWRITES {
            self.consume_in_windows(piece_bytes as u64, &mut sink)
        } else {
            self.take(piece_bytes as u64, &mut sink).0
        }
    }

    /// [`consume_from`](Self::consume_from), for callers to whom speed does not matter.
    #[cfg(test)]
    pub(crate) fn consume(&mut self, piece_bytes: usize, sink: impl FnMut(&Head, &[u8]) -> bool) -> usize {
        if self.overwrite {
            self.consume_from::<true>(piece_bytes, sink)
        } else {
            self.consume_from::<false>(piece_bytes, sink)
        }
    }

    /// [`consume_from`](Self::consume_from) an overwriting ring, window by window. The producer gives up no record
    /// while one is open.
    fn consume_in_windows(&mut self, piece_bytes: u64, sink: &mut impl FnMut(&Head, &[u8]) -> bool) -> usize {
        let mut left = piece_bytes;
        let mut records = 0;
        while left > 0 {
            // From here to the window's drop only this thread moves `oldest` (3).
            let oldest = self.control().begin_window();
            // The producer may have given up records after the cursor, even after `observed`.
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

    /// Hands records to `sink`. Returns how many were taken, and whether `sink` would take more.
    #[inline(always)]
    fn take(&mut self, piece_bytes: u64, sink: &mut impl FnMut(&Head, &[u8]) -> bool) -> (usize, bool) {
        let begin = self.cursor;
        let mut cursor = begin;
        let mut records = 0;
        let mut more = true;
        while cursor != self.observed && cursor.wrapping_sub(begin) < piece_bytes {
            debug_assert!(!is_after(cursor, self.observed), "a record ends after `observed`");
            let offset = (cursor & self.mask) as usize;
            // SAFETY: from the cursor to `observed` there are whole records and skips which nobody writes (2, 3).
            let first = unsafe { self.words.read(offset) };
            if first == SKIP {
                cursor = cursor.wrapping_add(self.mask + 1 - offset as u64);
                continue;
            }
            // SAFETY: as above; a head has three words.
            let (sequence, ticks) = unsafe { (self.words.read(offset + 8), self.words.read(offset + 16)) };
            // Not after `observed`: the producer has prefetched those lines to write to them.
            if self.observed.wrapping_sub(cursor) >= READ_AHEAD_BYTES as u64 {
                self.words.prefetch(offset);
            }
            let head = Head::from_words([first, sequence, ticks]);
            let length = head.length as usize;
            debug_assert!(offset as u64 + record_bytes(length) <= self.mask + 1, "a record is contiguous");
            // SAFETY: as above; the payload has as many bytes (4).
            if !unsafe { self.words.lend(offset + HEAD_BYTES, length, |payload| sink(&head, payload)) } {
                more = false;
                break;
            }
            cursor = cursor.wrapping_add(record_bytes(length));
            records += 1;
        }
        self.cursor = cursor;
        (records, more)
    }

    /// The end of the records taken.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Gives the space before `position`, a former [`cursor`](Self::cursor), back to the producer. Does nothing in an
    /// overwriting ring, which releases a record as it is taken.
    pub(crate) fn release(&mut self, position: u64) {
        if !self.overwrite {
            assert!(
                !is_after(position, self.cursor) && !is_after(self.control().own_released(), position),
                "released to {position}, from {}, with the cursor at {}",
                self.control().own_released(),
                self.cursor
            );
            self.control().release(position);
        }
    }

    /// Bytes observed and not taken. In an overwriting ring the producer may have given up some of them since.
    pub(crate) fn unread_bytes(&self) -> usize {
        if is_after(self.observed, self.cursor) { self.observed.wrapping_sub(self.cursor) as usize } else { 0 }
    }

    /// Bytes observed and not released, of an ordinary ring.
    pub(crate) fn used_bytes(&self) -> usize {
        self.observed.wrapping_sub(self.control().own_released()) as usize
    }

    /// Whether the ring gives up its oldest records rather than refuse the newest.
    pub(crate) fn overwrites(&self) -> bool {
        self.overwrite
    }

    /// Bytes in all.
    pub(crate) fn capacity(&self) -> usize {
        self.mask as usize + 1
    }

    /// The producer's counts, its append flag, and its wait for space.
    #[inline(always)]
    pub(crate) fn control(&self) -> &Control {
        &self.ring.control
    }
}

/// A part of an overwriting ring from which the producer gives up nothing. Its drop ends that, also if the sink panics
/// (whose records are still in the ring then).
struct Window<'a> {
    consumer: &'a mut ConsumerEnd,
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        self.consumer.control().end_window(self.consumer.cursor);
    }
}
