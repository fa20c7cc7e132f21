//! The consuming end: observe the producer's position, take records, release their space.
//!
//! To take and to release are two steps, because an ordinary ring keeps its records until they are durable. An
//! overwriting ring frees the space after the records were taken. If they are only copied, it keeps them until the copy
//! is durable.
//!
//! A window and a reserve are two queues of one producer, each in the order of the sequence. The consumer merges them.
//! While the reserve is empty, it takes from the window only.
//!
//! Safety rests on invariants 1 to 4, 8 and 9 of `ring`.

#![allow(unsafe_code)]

use std::sync::Arc;

use super::control::Control;
use super::layout::{HEAD_BYTES, Head, Position, SKIP, is_after, record_bytes};
use super::memory::{READ_AHEAD_BYTES, Words};
use super::reserve::CHUNK_BYTES;
use super::shared::{ControlAddress, Ring};
use super::watch::Watch;

/// How many bytes are copied from an overwriting ring at a time. It takes some 100 to 500 ns, and a producer that needs
/// space waits for it.
const READING_BYTES_MAX: u64 = 4096;

/// The writer's end.
#[derive(Debug)]
pub(crate) struct ConsumerEnd {
    window: Queue,
    /// The window's `write_position`, read once more after records were found in the reserve. The window's records up
    /// to here are taken as long as a later record of the reserve has been seen (9).
    seen_again: u64,
    /// `None` if the ring has no reserve.
    reserve: Option<Queue>,
    /// Bytes of all records taken so far, without skips.
    taken_bytes: u64,
    overwrite: bool,
    /// The control lines of `ring`.
    control: ControlAddress,
    ring: Arc<Ring>,
}

/// The consumer's view of one of the ring's queues.
#[derive(Debug)]
struct Queue {
    /// The words of the queue's memory.
    words: Words,
    /// The capacity minus one.
    mask: u64,
    /// The end of the records taken. It is between the released position and `observed`.
    cursor: u64,
    /// `write_position` as last observed. May be stale, but is never beyond the real one.
    observed: u64,
}

impl ConsumerEnd {
    pub(super) fn new(ring: Arc<Ring>, overwrite: bool, start: u64) -> ConsumerEnd {
        let window = Queue::new(ring.memory.words(), ring.memory.bytes() as u64, start);
        let reserve = ring.reserve.as_ref();
        let reserve = reserve
            .map(|reserve| Queue::new(reserve.words(), reserve.capacity(), ring.control().own_reserve_released()));
        let control = ring.control_address();
        ConsumerEnd { window, seen_again: start, reserve, taken_bytes: 0, overwrite, control, ring }
    }

    /// Reads the producer's positions. [`consume_from`](Self::consume_from) and
    /// [`consume_merged`](Self::consume_merged) take records up to them.
    pub(crate) fn observe(&mut self) -> Position {
        // The order of these three matters (9).
        self.observe_window();
        if self.reserve.is_some() {
            self.observe_reserve();
            if self.merges() {
                self.observe_window_again();
            }
        }
        self.observed()
    }

    #[inline]
    fn observed(&self) -> Position {
        Position { window: self.window.observed, reserve: self.reserve.as_ref().map_or(0, |queue| queue.observed) }
    }

    /// Where the producer was when the ring was last observed, if all records up to there are taken.
    #[inline]
    pub(crate) fn empty_at(&self) -> Option<Position> {
        (self.unread_bytes() == 0).then(|| self.observed())
    }

    /// A watch over this ring, which has noted nothing yet.
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(self.control, Arc::clone(&self.ring))
    }

    pub(super) fn observe_window(&mut self) {
        let committed = self.control().committed();
        // Invariant 1. In an overwriting ring the cursor may be far behind until the next reading begins.
        assert!(
            !is_after(self.window.observed, committed) && (self.overwrite || self.window.holds(committed)),
            "the producer is at {committed}, and the window is at {:?}",
            self.window
        );
        self.window.observed = committed;
    }

    pub(super) fn observe_reserve(&mut self) {
        let committed = self.control().committed_reserve();
        let Some(reserve) = &mut self.reserve else { return };
        assert!(
            !is_after(reserve.observed, committed) && reserve.holds(committed),
            "the producer is at {committed}, and the reserve is at {reserve:?}"
        );
        reserve.observed = committed;
    }

    pub(super) fn observe_window_again(&mut self) {
        self.seen_again = self.control().committed();
    }

    /// Whether the reserve has records that were observed and not taken. Then [`consume_merged`](Self::consume_merged)
    /// must take the next ones.
    #[inline]
    pub(crate) fn merges(&self) -> bool {
        self.reserve.as_ref().is_some_and(|reserve| reserve.cursor != reserve.observed)
    }

    /// Passes records of the window to `sink`, oldest first. Stops when `sink` returns `false` (that record is not
    /// taken), when all observed records are taken, or when at least `piece_bytes` have been taken. Returns how many
    /// records were taken. Must not be called while the ring [merges](Self::merges).
    ///
    /// `OVERWRITES` must equal [`overwrites`](Self::overwrites). The caller branches, so that each loop is compiled
    /// together with `sink`, whose variables stay in registers. In an overwriting ring `sink` should be quick: the
    /// producer waits for it, and drops records if it takes long.
    #[inline(always)]
    pub(crate) fn consume_from<const OVERWRITES: bool>(
        &mut self,
        piece_bytes: usize,
        mut sink: impl FnMut(&Head, &[u8]) -> bool,
    ) -> usize {
        assert_eq!(self.overwrite, OVERWRITES, "the caller must know the ring's policy");
        assert!(!self.merges(), "records of the reserve come first");
        if OVERWRITES {
            self.consume_in_readings(piece_bytes as u64, &mut sink)
        } else {
            let taken = self.window.take::<false>(self.window.observed, piece_bytes as u64, u64::MAX, &mut sink);
            self.taken_bytes += taken.bytes;
            taken.records
        }
    }

    /// [`consume_merged`](Self::consume_merged) if the ring `MERGES`, otherwise [`consume_from`](Self::consume_from).
    /// Both parameters must equal the state of the ring.
    #[inline(always)]
    pub(crate) fn consume_as<const OVERWRITES: bool, const MERGES: bool>(
        &mut self,
        piece_bytes: usize,
        sink: impl FnMut(&Head, &[u8]) -> bool,
    ) -> usize {
        if MERGES { self.consume_merged(piece_bytes, sink) } else { self.consume_from::<OVERWRITES>(piece_bytes, sink) }
    }

    /// Like [`consume_from`](Self::consume_from), for a ring that [merges](Self::merges): takes records of window and
    /// reserve in the order of their sequence. When the reserve has none left, those of the window follow.
    pub(crate) fn consume_merged(&mut self, piece_bytes: usize, mut sink: impl FnMut(&Head, &[u8]) -> bool) -> usize {
        let Some(reserve) = &mut self.reserve else { return 0 };
        let mut all = TakenRecords { more: true, ..TakenRecords::default() };
        let mut left = piece_bytes as u64;
        while left > 0 && all.more {
            let Some(next) = reserve.skip_to_next_sequence(reserve.observed) else {
                // The window's records between `observed` and `seen_again` stay: the reserve may have earlier ones by
                // now (9).
                if is_after(self.window.observed, self.window.cursor) {
                    all.add(self.window.take::<false>(self.window.observed, left, u64::MAX, &mut sink), &mut left);
                }
                break;
            };
            all.add(self.window.take::<true>(self.seen_again, left, next, &mut sink), &mut left);
            if left > 0 && all.more {
                let before = self.window.skip_to_next_sequence(self.seen_again).unwrap_or(u64::MAX);
                all.add(reserve.take::<true>(reserve.observed, left, before, &mut sink), &mut left);
            }
        }
        if is_after(self.window.cursor, self.window.observed) {
            self.window.observed = self.window.cursor;
        }
        self.taken_bytes += all.bytes;
        all.records
    }

    /// [`consume_from`](Self::consume_from) or [`consume_merged`](Self::consume_merged), for callers that need not be
    /// fast.
    #[cfg(test)]
    pub(crate) fn consume(&mut self, piece_bytes: usize, sink: impl FnMut(&Head, &[u8]) -> bool) -> usize {
        if self.overwrite {
            self.consume_from::<true>(piece_bytes, sink)
        } else if self.merges() {
            self.consume_merged(piece_bytes, sink)
        } else {
            self.consume_from::<false>(piece_bytes, sink)
        }
    }

    /// [`consume_from`](Self::consume_from) for an overwriting ring, as a series of readings. The producer gives up no
    /// record while a reading is open.
    fn consume_in_readings(&mut self, piece_bytes: u64, sink: &mut impl FnMut(&Head, &[u8]) -> bool) -> usize {
        let mut left = piece_bytes;
        let mut records = 0;
        while left > 0 {
            let reading = Reading::begin(self, false);
            let queue = &mut reading.consumer.window;
            if !is_after(queue.observed, queue.cursor) {
                break;
            }
            let taken = queue.take::<false>(queue.observed, left.min(READING_BYTES_MAX), u64::MAX, sink);
            reading.consumer.taken_bytes += taken.bytes;
            records += taken.records;
            left = left.saturating_sub(taken.bytes);
            if !taken.more {
                break;
            }
        }
        records
    }

    /// Like [`observe`](Self::observe), for an overwriting ring before [`copy`](Self::copy). Records that were copied
    /// and not [released](Self::release_copied) will be copied again.
    pub(crate) fn observe_all(&mut self) {
        drop(Reading::begin(self, false));
        self.observe();
    }

    /// Passes the observed records of an overwriting ring to `sink`, oldest first, until it returns `false`. The
    /// records stay in the ring, and the producer may give them up later like any others. It waits during the copy, as
    /// for [`consume_from`](Self::consume_from).
    pub(crate) fn copy(&mut self, mut sink: impl FnMut(&Head, &[u8]) -> bool) {
        assert!(self.overwrite, "records of an ordinary ring are taken");
        loop {
            let reading = Reading::begin(self, true);
            let queue = &mut reading.consumer.window;
            if !is_after(queue.observed, queue.cursor)
                || !queue.take::<false>(queue.observed, READING_BYTES_MAX, u64::MAX, &mut sink).more
            {
                break;
            }
        }
    }

    /// Frees the records of the last [copy](Self::copy). Returns the sequence of the first of them that the producer
    /// has not given up; `None` if it has given up all.
    pub(crate) fn release_copied(&mut self) -> Option<u64> {
        let end = self.window.cursor;
        let reading = Reading::begin(self, false);
        let queue = &mut reading.consumer.window;
        if !is_after(end, queue.cursor) {
            return None;
        }
        let first = queue.skip_to_next_sequence(end);
        queue.cursor = end;
        first
    }

    /// The end of the records taken.
    pub(crate) fn cursor(&self) -> Position {
        Position { window: self.window.cursor, reserve: self.reserve.as_ref().map_or(0, |reserve| reserve.cursor) }
    }

    /// Goes back to the first record that is not released. A recovery reads it too, if the process dies before that.
    #[cfg(loom)]
    pub(super) fn go_back(&mut self) {
        self.window.cursor = self.control().own_released();
    }

    /// Bytes of all records taken so far, without skips.
    pub(crate) fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// Gives the space before `position`, a former [`cursor`](Self::cursor), back to the producer. Does nothing in an
    /// overwriting ring, which releases records when they are taken.
    pub(crate) fn release(&mut self, position: Position) {
        if self.overwrite {
            return;
        }
        let released = self.control().own_released();
        assert!(
            !is_after(position.window, self.window.cursor) && !is_after(released, position.window),
            "released to {position:?}, from {released}, with the window at {:?}",
            self.window
        );
        self.control().release(position.window);
        if let Some(reserve) = &self.reserve
            // The reserve may have begun again at offset 0 since.
            && is_after(position.reserve, self.control().own_reserve_released())
        {
            assert!(!is_after(position.reserve, reserve.cursor), "released to {position:?}, before it was taken");
            self.control().release_reserve(position.reserve);
            self.begin_reserve_anew();
        }
    }

    /// Whether the reserve has records that were observed and not released.
    pub(crate) fn uses_reserve(&self) -> bool {
        let released = || self.control().own_reserve_released();
        self.reserve.as_ref().is_some_and(|reserve| reserve.observed != released())
    }

    /// Whether the reserve has memory.
    pub(crate) fn has_entered_reserve(&self) -> bool {
        self.reserve.is_some() && self.control().entered_bytes() > 0
    }

    /// Takes an empty reserve for the consumer, and calls `use_it` with its queue. Returns `None` if the producer has
    /// it, or it is not empty.
    fn with_empty_reserve<R>(&mut self, use_it: impl FnOnce(&mut Queue, &Ring) -> R) -> Option<R> {
        let control = self.control;
        let queue = self.reserve.as_mut()?;
        if queue.cursor != control.own_reserve_released() || !control.begin_return() {
            return None;
        }
        // Taking it has made all commits of the producer visible (8).
        let is_empty = control.own_reserve_position() == queue.cursor;
        let used = is_empty.then(|| use_it(queue, &self.ring));
        control.close_reserve();
        used
    }

    /// Moves the positions of the reserve back to the beginning of its memory, if it is empty and the producer does not
    /// have it. The next burst then uses the chunks that were entered already.
    fn begin_reserve_anew(&mut self) {
        self.with_empty_reserve(Queue::begin_anew);
    }

    /// Gives back one chunk of an empty reserve. Returns `true` if it did and there are more.
    pub(crate) fn give_back_chunk(&mut self) -> bool {
        self.give_back(CHUNK_BYTES)
    }

    /// Gives back all chunks of the reserve. The caller holds both ends of the empty ring.
    pub(crate) fn give_back_all(&mut self) {
        self.give_back(u64::MAX);
    }

    fn give_back(&mut self, bytes_max: u64) -> bool {
        let give_back = |queue: &mut Queue, ring: &Ring| {
            queue.begin_anew(ring);
            let entered = ring.control().entered_bytes();
            let bytes = entered.min(bytes_max);
            let reserve = ring.reserve.as_ref().filter(|_| bytes > 0);
            reserve.is_some_and(|reserve| reserve.give_back(ring.control(), entered, bytes)) && bytes < entered
        };
        self.with_empty_reserve(give_back).unwrap_or(false)
    }

    /// Bytes that were observed and not taken, without skips. In an overwriting ring the producer may have given up
    /// some of them since.
    #[inline]
    pub(crate) fn unread_bytes(&self) -> usize {
        let Queue { cursor, observed, .. } = self.window;
        match &self.reserve {
            Some(reserve) if reserve.cursor != reserve.observed => {
                let last_skip = || self.control().last_reserve_skip();
                let in_reserve = reserve.record_bytes_between(reserve.cursor, reserve.observed, last_skip);
                (self.window_bytes_between(cursor, self.seen_again) + in_reserve) as usize
            }
            _ if is_after(observed, cursor) => self.window_bytes_between(cursor, observed) as usize,
            _ => 0,
        }
    }

    /// Bytes of an ordinary ring's window that were observed and not released, without skips.
    pub(crate) fn used_bytes(&self) -> usize {
        self.window_bytes_between(self.control().own_released(), self.window.observed) as usize
    }

    /// Bytes that were observed and not released, in window and reserve, including skips. In an overwriting ring: bytes
    /// that were observed and not taken.
    pub(crate) fn held_bytes(&self) -> u64 {
        let Queue { cursor, observed, mask, .. } = self.window;
        if self.overwrite {
            return if is_after(observed, cursor) { observed.wrapping_sub(cursor).min(mask + 1) } else { 0 };
        }
        let in_reserve = self
            .reserve
            .as_ref()
            .map_or(0, |reserve| reserve.observed.wrapping_sub(self.control().own_reserve_released()));
        observed.wrapping_sub(self.control().own_released()) + in_reserve
    }

    #[inline]
    fn window_bytes_between(&self, from: u64, to: u64) -> u64 {
        self.window.record_bytes_between(from, to, || self.control().last_skip())
    }

    /// Whether the ring gives up its oldest records rather than refuse the newest.
    pub(crate) fn overwrites(&self) -> bool {
        self.overwrite
    }

    /// The size of the window in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.window.mask as usize + 1
    }

    /// The producer's counts, its append flag, and its wait for space.
    #[inline(always)]
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }
}

impl Queue {
    fn new(words: Words, capacity: u64, start: u64) -> Queue {
        Queue { words, mask: capacity - 1, cursor: start, observed: start }
    }

    /// Whether a producer at `position` is ahead of the cursor by at most the capacity.
    fn holds(&self, position: u64) -> bool {
        position.wrapping_sub(self.cursor) <= self.mask + 1
    }

    /// The bytes of the records between two positions, without the skip that may be between them. `from` must be at or
    /// after the released position, and `to` observed. There is at most one skip between them, at `last_skip`: the
    /// producer writes a new skip only after the end of the one before was released. (In an overwriting ring `from` may
    /// be before the oldest record; then earlier skips are counted as records.)
    #[inline]
    fn record_bytes_between(&self, from: u64, to: u64, last_skip: impl FnOnce() -> u64) -> u64 {
        let bytes = to.wrapping_sub(from);
        // The usual case reads nothing that the producer writes.
        if (from ^ to) & !self.mask == 0 {
            return bytes;
        }
        let skip = last_skip();
        if skip.wrapping_sub(from) < bytes { bytes - (self.mask + 1 - (skip & self.mask)) } else { bytes }
    }

    /// The sequence of the next record before `end`. Moves the cursor past a skip.
    fn skip_to_next_sequence(&mut self, end: u64) -> Option<u64> {
        while self.cursor != end {
            let offset = (self.cursor & self.mask) as usize;
            // SAFETY: from the cursor to `end` there are whole records and skips, which nobody writes (2).
            if unsafe { self.words.read(offset) } != SKIP {
                // SAFETY: as above; a head has three words.
                return Some(unsafe { self.words.read(offset + 8) });
            }
            self.cursor = self.cursor.wrapping_add(self.mask + 1 - offset as u64);
        }
        None
    }

    /// Passes records before the position `end` to `sink`, until it refuses one or at least `piece_bytes` of records
    /// have been taken. If `BOUNDED`, also stops at a record whose sequence is `before` or later.
    #[inline(always)]
    fn take<const BOUNDED: bool>(
        &mut self,
        end: u64,
        piece_bytes: u64,
        before: u64,
        sink: &mut impl FnMut(&Head, &[u8]) -> bool,
    ) -> TakenRecords {
        let mut cursor = self.cursor;
        // Advances by each skip too, so that skips are not counted.
        let mut begin = cursor;
        let mut taken = TakenRecords { more: true, ..TakenRecords::default() };
        while cursor != end && cursor.wrapping_sub(begin) < piece_bytes {
            debug_assert!(!is_after(cursor, end), "a record ends after the end");
            let offset = (cursor & self.mask) as usize;
            // SAFETY: from the cursor to `end` there are whole records and skips, which nobody writes (2, 3).
            let first = unsafe { self.words.read(offset) };
            if first == SKIP {
                let skip = self.mask + 1 - offset as u64;
                begin = begin.wrapping_add(skip);
                cursor = cursor.wrapping_add(skip);
                continue;
            }
            // SAFETY: as above; a head has three words.
            let (sequence, ticks) = unsafe { (self.words.read(offset + 8), self.words.read(offset + 16)) };
            if BOUNDED && sequence >= before {
                break;
            }
            // Not beyond `end`: the producer has prefetched those lines for its writes.
            if end.wrapping_sub(cursor) >= READ_AHEAD_BYTES as u64 {
                self.words.prefetch(offset);
            }
            let head = Head::from_words([first, sequence, ticks]);
            let length = head.length as usize;
            debug_assert!(offset as u64 + record_bytes(length) <= self.mask + 1, "a record is contiguous");
            // SAFETY: as above; the payload has as many bytes (4).
            if !unsafe { self.words.lend(offset + HEAD_BYTES, length, |payload| sink(&head, payload)) } {
                taken.more = false;
                break;
            }
            cursor = cursor.wrapping_add(record_bytes(length));
            taken.records += 1;
        }
        self.cursor = cursor;
        taken.bytes = cursor.wrapping_sub(begin);
        taken
    }

    /// Moves an empty reserve's positions to the beginning of its memory. The caller has the reserve.
    fn begin_anew(&mut self, ring: &Ring) {
        let position = self.cursor.wrapping_add(self.mask) & !self.mask;
        if position != self.cursor {
            ring.control().move_reserve(position);
            (self.cursor, self.observed) = (position, position);
        }
    }
}

/// The result of taking records from a queue.
#[derive(Clone, Copy, Debug, Default)]
struct TakenRecords {
    records: usize,
    /// Bytes of the records, without skips.
    bytes: u64,
    /// Whether the sink takes more.
    more: bool,
}

impl TakenRecords {
    /// Adds the result of a later take, and subtracts its bytes from `left`.
    fn add(&mut self, then: TakenRecords, left: &mut u64) {
        self.records += then.records;
        self.bytes += then.bytes;
        self.more &= then.more;
        *left = left.saturating_sub(then.bytes);
    }
}

/// While it exists, the producer of an overwriting ring gives up no record. Its drop ends that, even if the sink
/// panics. (The records are then still in the ring.)
struct Reading<'a> {
    consumer: &'a mut ConsumerEnd,
    /// The position of the oldest record, if the records that are read stay in the ring.
    kept_from: Option<u64>,
}

impl Reading<'_> {
    /// Begins a reading at the oldest record. If it `keeps` the records, it begins at the cursor, or at the oldest
    /// record if the producer has given up records after the cursor.
    fn begin(consumer: &mut ConsumerEnd, keeps: bool) -> Reading<'_> {
        // Until the drop, only this thread moves `oldest` (3).
        let oldest = consumer.control().begin_reading();
        // The producer may have given up records after the cursor, and even after `observed`.
        if !keeps || is_after(oldest, consumer.window.cursor) {
            consumer.window.cursor = oldest;
        }
        Reading { consumer, kept_from: keeps.then_some(oldest) }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.consumer.control().end_reading(self.kept_from.unwrap_or(self.consumer.window.cursor));
    }
}
