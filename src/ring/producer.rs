//! The producing end: claim, fill, commit. This is the hot path of the whole crate. So the fast path is straight-line
//! code, and rare cases are in functions that are not inlined.
//!
//! Safety rests on invariants 1 to 5 of `ring`.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::Arc;

use super::control::Control;
use super::copy::FAST_PATH_BYTES_MAX;
#[cfg(not(loom))]
use super::layout::HEAD_BYTES;
use super::layout::{DropCause, Full, SKIP, head_words, is_after, record_bytes, record_bytes_max};
use super::memory::Words;
use super::payload::Payload;
use super::shared::{ControlAddress, Ring};
use crate::sync::spin_loop;

/// How often a producer retries while the consumer copies, before it gives up. One retry takes 10 to 50 ns, so this is
/// about a microsecond.
const READING_SPINS_MAX: usize = if cfg!(loom) { 1 } else { 32 };

/// How many classes of records a producer can distinguish. Each class can be kept from the fast path. The caller
/// decides what a class means.
pub(crate) const CLASSES: usize = 8;

const _: () = assert!(FAST_PATH_BYTES_MAX < u8::MAX as usize);

/// The producing thread's end. It may move to another thread, but two threads must not use it at once.
///
/// The fields of the fast path come first, so that they share a cache line if the end begins at one.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ProducerEnd {
    /// The words of `ring.memory`.
    words: Words,
    /// The capacity minus one.
    mask: u64,
    /// The end of the records and skips that were written: `write_position`, plus a skip that no commit has published
    /// yet. It is a copy, because the published position is on a cache line that the writer polls. A store to that line
    /// costs nothing, since it waits in the store buffer; a load would wait for the line to come back.
    position: Cell<u64>,
    /// The end of the contiguous space that is known to be free, at most the end of the memory. May be stale, but is
    /// never too large.
    limit: Cell<u64>,
    slow_path: Box<SlowPath>,
    /// For each class of records: payloads of fewer bytes take the fast path. At most [`FAST_PATH_BYTES_MAX`] + 1; 0 if
    /// none of the class does.
    fast_path_bytes_end: [u8; CLASSES],
    /// The ring's control lines. This field comes after all other addresses: the compiler uses it to tell whether an
    /// `Option` holds an end, and the fast path loads it anyway.
    control: ControlAddress,
}

/// The fields that only the slow path needs.
#[derive(Debug)]
struct SlowPath {
    ring: Arc<Ring>,
    /// The consumer's position as last read. May be stale, but is never beyond the real one.
    cached_read_position: Cell<u64>,
}

impl ProducerEnd {
    pub(super) fn new(ring: Arc<Ring>, start: u64) -> ProducerEnd {
        ProducerEnd {
            words: ring.memory.words(),
            mask: ring.memory.bytes() as u64 - 1,
            position: Cell::new(start),
            limit: Cell::new(start),
            control: ring.control_address(),
            fast_path_bytes_end: [FAST_PATH_BYTES_MAX as u8 + 1; CLASSES],
            slow_path: Box::new(SlowPath { ring, cached_read_position: Cell::new(start) }),
        }
    }

    /// Keeps payloads of more than `bytes(class)` from the fast path; with `None`, all of that class.
    pub(crate) fn limit_fast_path(&mut self, bytes: impl Fn(usize) -> Option<usize>) {
        self.fast_path_bytes_end =
            std::array::from_fn(|class| bytes(class).map_or(0, |bytes| bytes.min(FAST_PATH_BYTES_MAX) as u8 + 1));
    }

    /// Whether [`append_fast`](Self::append_fast) takes a payload of `payload_bytes` in a record of `class`, which must
    /// be below [`CLASSES`]. (If the class is a constant, the check of its bound costs nothing.)
    #[inline(always)]
    pub(crate) fn fits_fast_path(&self, class: usize, payload_bytes: usize) -> bool {
        payload_bytes < usize::from(self.fast_path_bytes_end[class % CLASSES])
    }

    /// Appends a record. If there is room, the record takes the next sequence number and the time that `clock` gives,
    /// and is counted. (`clock` must not append.)
    ///
    /// # Errors
    /// [`Full`]: nothing was written or counted. A record larger than half the capacity never fits.
    #[inline(always)]
    pub(crate) fn append(
        &self,
        tag: u32,
        payload: &(impl Payload + ?Sized),
        clock: impl FnOnce() -> u64,
    ) -> Result<(), Full> {
        self.claim(payload.bytes())?.fill::<false>(tag, payload, clock).commit();
        Ok(())
    }

    /// [`append`](Self::append) on the fast path, for a payload that [fits it](Self::fits_fast_path).
    ///
    /// # Errors
    /// [`Full`], as for [`append`](Self::append).
    #[inline(always)]
    pub(crate) fn append_fast(
        &self,
        tag: u32,
        payload: &(impl Payload + ?Sized),
        clock: impl FnOnce() -> u64,
    ) -> Result<(), Full> {
        self.claim(payload.bytes())?.fill::<true>(tag, payload, clock).commit();
        Ok(())
    }

    /// Appends a record that found no room in the window: to the reserve, or, if it is `severe`, to the room that the
    /// window keeps for such records.
    ///
    /// # Errors
    /// Why there is no room there. Nothing was written or counted.
    #[cold]
    #[inline(never)]
    pub(crate) fn append_past_window(
        &self,
        severe: bool,
        tag: u32,
        payload: &(impl Payload + ?Sized),
        clock: impl FnOnce() -> u64 + Copy,
    ) -> Result<(), DropCause> {
        let in_reserve = match &self.ring().reserve {
            Some(reserve) => reserve.append(self.control(), severe, tag, payload, clock),
            None => Err(DropCause::Full),
        };
        let Err(cause) = in_reserve else { return Ok(()) };
        if !severe {
            return Err(cause);
        }
        self.claim_severe_only(payload.bytes()).map_err(|Full| cause)?.fill::<false>(tag, payload, clock).commit();
        Ok(())
    }

    /// Claims room for a severe record in the part of the window that is kept for such records.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn claim_severe_only(&self, payload_bytes: usize) -> Result<ClaimedRoom<'_>, Full> {
        if self.ring().severe_only_bytes == 0 {
            return Err(Full);
        }
        let position = self.claim_beyond_limit(self.position.get(), record_bytes(payload_bytes), true)?;
        Ok(ClaimedRoom { end: self, position, payload_bytes })
    }

    /// Returns the claim that was made at `position`, if it is still the last one. `payload_bytes` must be at most
    /// those of the claim.
    pub(super) fn claim_at(&self, position: u64, payload_bytes: usize) -> Option<ClaimedRoom<'_>> {
        let left = self.limit.get().wrapping_sub(position);
        (position == self.position.get() && record_bytes(payload_bytes) <= left).then_some(ClaimedRoom {
            end: self,
            position,
            payload_bytes,
        })
    }

    /// The address of the payload of a record at `position`.
    #[cfg(not(loom))]
    pub(super) fn payload_at(&self, position: u64) -> *mut u8 {
        self.words.address((position & self.mask) as usize + HEAD_BYTES)
    }

    /// Whether the ring has a reserve.
    pub(crate) fn has_reserve(&self) -> bool {
        self.ring().reserve.is_some()
    }

    /// Claims room for a record with `payload_bytes` of payload.
    ///
    /// # Errors
    /// [`Full`], as for [`append`](Self::append).
    #[inline(always)]
    pub(super) fn claim(&self, payload_bytes: usize) -> Result<ClaimedRoom<'_>, Full> {
        let record_bytes = record_bytes(payload_bytes);
        let position = self.position.get();
        let position = if record_bytes <= self.limit.get().wrapping_sub(position) {
            position
        } else {
            self.claim_slow(position, record_bytes)?
        };
        Ok(ClaimedRoom { end: self, position, payload_bytes })
    }

    /// Finds room for a record that does not fit before `limit`: at the beginning of the memory, or after reading the
    /// consumer's position. Returns the record's position. `limit` is then at or after the record's end.
    #[cold]
    fn claim_slow(&self, position: u64, record_bytes: u64) -> Result<u64, Full> {
        self.claim_beyond_limit(position, record_bytes, false)
    }

    /// Like [`claim_slow`](Self::claim_slow), but a `severe` record may take the room that is kept. `limit` always
    /// excludes the kept room, for the records after this one.
    fn claim_beyond_limit(&self, position: u64, record_bytes: u64, severe: bool) -> Result<u64, Full> {
        let capacity = self.mask + 1;
        if record_bytes > record_bytes_max(capacity as usize) as u64 {
            return Err(Full);
        }
        let severe_only_after = self.ring().severe_only_bytes_now();
        let kept = if severe { 0 } else { severe_only_after };
        let to_end = capacity - (position & self.mask);
        let skip = if record_bytes > to_end { to_end } else { 0 };
        // At most the capacity: a skip is shorter than its record, and a record takes at most half.
        let needed = skip + record_bytes;
        let free = |read_position| capacity - position.wrapping_sub(read_position);
        // An empty ring takes a record of any level, because a skip and a record may take all of it.
        let room = |read_position, kept| match free(read_position) {
            free if free == capacity => free,
            free => free.saturating_sub(kept),
        };

        let mut read_position = self.slow_path.cached_read_position.get();
        if needed > room(read_position, kept) {
            let cached = read_position;
            read_position = if self.ring().overwrite {
                self.give_up_oldest(position.wrapping_add(needed).wrapping_sub(capacity))?
            } else {
                self.control().released()
            };
            // Invariant 1, and the consumer never goes back. Both fail only in a forked child, within an append that
            // the fork has interrupted: there, control lines that processes share are zeros. (A full overwriting ring
            // gets here for each record.)
            if position.wrapping_sub(read_position) > capacity || is_after(cached, read_position) {
                return Err(Full);
            }
            self.slow_path.cached_read_position.set(read_position);
            if needed > room(read_position, kept) {
                self.control().mark_wants_space();
                return Err(Full);
            }
        }
        if skip > 0 {
            // SAFETY: at least one word is left before the end, and it is free (2). The next commit publishes it.
            unsafe { self.words.write((position & self.mask) as usize, SKIP) };
            self.control().note_skip(position);
        }
        let start = position.wrapping_add(skip);
        // The skip remains even if the claim is dropped: `limit` must not be compared with a position before it.
        self.position.set(start);
        let unkept = (free(read_position) - skip).saturating_sub(severe_only_after);
        let contiguous = (capacity - (start & self.mask)).min(unkept).max(record_bytes);
        self.limit.set(start.wrapping_add(contiguous));
        Ok(start)
    }

    /// Gives up the oldest records of an overwriting ring until `oldest` is at or after `target`, and counts them.
    /// Returns `oldest`.
    ///
    /// # Errors
    /// [`Full`]: the consumer has been copying for longer than the producer may wait.
    fn give_up_oldest(&self, target: u64) -> Result<u64, Full> {
        let mut spins = 0;
        let mut seen = self.control().oldest();
        loop {
            let oldest = seen.position();
            if !is_after(target, oldest) {
                return Ok(oldest);
            }
            // A forked child, as in `claim_beyond_limit`.
            if self.position.get().wrapping_sub(oldest) > self.mask + 1 {
                return Err(Full);
            }
            if seen.is_being_read() {
                if spins == READING_SPINS_MAX {
                    return Err(Full);
                }
                spins += 1;
                spin_loop();
                seen = self.control().oldest();
            } else {
                let (position, records) = self.first_record_from(oldest, target);
                match self.control().give_up(seen, position) {
                    Ok(()) => {
                        self.control().count_overwritten(records);
                        return Ok(position);
                    }
                    Err(now) => seen = now,
                }
            }
        }
    }

    /// The position of the first record at or after `target`, and the number of records from `position` to it.
    fn first_record_from(&self, mut position: u64, target: u64) -> (u64, u64) {
        let mut records = 0;
        while is_after(target, position) {
            let offset = position & self.mask;
            // SAFETY: from `oldest` to `position` there are whole records and skips (2), which this thread has written.
            let first = unsafe { self.words.read(offset as usize) };
            if first == SKIP {
                position = position.wrapping_add(self.mask + 1 - offset);
            } else {
                position = position.wrapping_add(record_bytes(first as u32 as usize));
                records += 1;
            }
        }
        debug_assert!(!is_after(position, self.position.get()), "records end where the producer is");
        (position, records)
    }

    /// The sequence number of the next attempt.
    #[inline(always)]
    pub(crate) fn next_sequence(&self) -> u64 {
        self.control().next_sequence()
    }

    pub(crate) fn drop_attempt(&self, cause: DropCause) {
        // Count the attempt first: if the thread ends in between, by an exit in a signal handler, there is an attempt
        // without an outcome, which counts as unwritten. The other way round there would be an outcome without an
        // attempt.
        self.control().count_attempt(self.next_sequence());
        self.control().count_dropped(cause);
    }

    /// The control lines: counts, append flag, and the wait for space.
    #[inline(always)]
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The ring that both ends share.
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.slow_path.ring
    }

    /// The size of the window in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.mask as usize + 1
    }
}

/// Claimed room for one record. Dropping it undoes the claim: the consumer sees nothing, and no sequence number is
/// taken.
#[derive(Debug)]
#[must_use = "a claim that is dropped is undone"]
pub(super) struct ClaimedRoom<'a> {
    end: &'a ProducerEnd,
    position: u64,
    payload_bytes: usize,
}

impl<'a> ClaimedRoom<'a> {
    /// Where the record will begin.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Writes the record, with the next sequence number and the time that `clock` gives. `SHORT` takes at most
    /// [`FAST_PATH_BYTES_MAX`] bytes of payload.
    #[inline(always)]
    pub(super) fn fill<const SHORT: bool>(
        self,
        tag: u32,
        payload: &(impl Payload + ?Sized),
        clock: impl FnOnce() -> u64,
    ) -> Filled<'a> {
        let ClaimedRoom { end, position, payload_bytes } = self;
        let claimed = record_bytes(payload_bytes);
        debug_assert!(!SHORT || payload_bytes <= FAST_PATH_BYTES_MAX);
        debug_assert!(claimed <= end.limit.get().wrapping_sub(position), "the claim is after `limit`");
        // Loaded after the claim, so that no register must be saved across its slow path.
        let sequence = end.next_sequence();
        let head = head_words(payload_bytes, tag, sequence, clock());
        // SAFETY: the words of the claim are free (2, 5) and contiguous, as `limit` says.
        unsafe { end.words.write_record::<SHORT>((position & end.mask) as usize, head, payload, payload_bytes) };
        Filled { end, sequence, end_position: position.wrapping_add(claimed) }
    }
}

/// A record that is written and not published. Dropping it undoes the claim.
#[derive(Debug)]
#[must_use = "a record that is not committed is undone"]
pub(super) struct Filled<'a> {
    end: &'a ProducerEnd,
    sequence: u64,
    end_position: u64,
}

impl Filled<'_> {
    /// Publishes the record, and counts it.
    #[inline(always)]
    pub(super) fn commit(self) {
        let Filled { end, sequence, end_position } = self;
        debug_assert!(is_after(end_position, end.position.get()), "another claim was committed in between");
        debug_assert!(!is_after(end_position, end.limit.get()), "the record ends after `limit`");
        end.position.set(end_position);
        end.control().commit(end_position);
        end.control().count_attempt(sequence);
    }
}
