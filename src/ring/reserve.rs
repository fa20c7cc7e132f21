//! The reserve of a ring: a second queue of bytes, for the records that find no room in the window.
//!
//! It begins as address space only. Memory is entered chunk by chunk from the beginning, as far as records reach. The
//! writer gives it back after the reserve has been empty for a while. An empty reserve starts again at its beginning,
//! so that short bursts use the same few chunks.
//!
//! One word, `reserve_state`, says which end has the reserve: none (closed), the producer (open: it appends), or the
//! consumer (returning: it gives chunks back, or moves the positions to the beginning). Only the end that has the
//! reserve uses the number of entered bytes and, if the reserve is empty, its positions.
//!
//! Safety rests on invariants 2, 5, 7 and 8 of `ring`.

#![allow(unsafe_code, reason = "both ends use the same bytes")]

use std::sync::Arc;

use super::budget::Budget;
use super::control::Control;
use super::layout::{DropCause, SKIP, head_words, record_bytes, record_bytes_max};
use super::memory::{ReserveMemory, Words};
use super::payload::Payload;

/// The step in which a reserve enters memory and gives it back: 16 pages, so that an append rarely enters one, and the
/// writer gives one back within a few microseconds.
pub(crate) const CHUNK_BYTES: u64 = if cfg!(loom) { 64 } else { 64 << 10 };

/// The part of a reserve that both ends share.
#[derive(Debug)]
pub(super) struct Reserve {
    memory: ReserveMemory,
    budget: Arc<Budget>,
    /// The room that is kept for severe records.
    severe_only_bytes: u64,
}

impl Reserve {
    /// A reserve without entered memory.
    pub(super) fn new(memory: ReserveMemory, budget: Arc<Budget>, severe_only_eighths: u32) -> Reserve {
        let severe_only_bytes = memory.bytes() as u64 / 8 * u64::from(severe_only_eighths);
        Reserve { memory, budget, severe_only_bytes }
    }

    /// Bytes of address space, a power of two.
    pub(super) fn capacity(&self) -> u64 {
        self.memory.bytes() as u64
    }

    /// The words of its memory.
    pub(super) fn words(&self) -> Words {
        self.memory.words()
    }

    /// Appends a record with the next sequence number and the time that `clock` gives, and counts it. Called by the
    /// producer, while it has no claim.
    ///
    /// # Errors
    /// Why there is no room for it. Nothing was written or counted.
    pub(super) fn append(
        &self,
        control: &Control,
        severe: bool,
        tag: u32,
        payload: &(impl Payload + ?Sized),
        clock: impl FnOnce() -> u64,
    ) -> Result<(), DropCause> {
        let _opened = Opened::enter(control).ok_or(DropCause::Full)?;
        let payload_bytes = payload.bytes();
        let record_bytes = record_bytes(payload_bytes);
        let ReserveRoom { position, skip } = self.room_for(control, severe, record_bytes)?;
        let (words, mask) = (self.words(), self.capacity() - 1);
        if skip > 0 {
            // SAFETY: at least one word is left before the end; it is free (2) and entered.
            unsafe { words.write((position & mask) as usize, SKIP) };
            control.note_reserve_skip(position);
        }
        let start = position.wrapping_add(skip);
        let sequence = control.next_sequence();
        let head = head_words(payload_bytes, tag, sequence, clock());
        // SAFETY: these words are free (2, 5), contiguous, and entered.
        unsafe { words.write_record::<false>((start & mask) as usize, head, payload, payload_bytes) };
        control.commit_reserve(start.wrapping_add(record_bytes));
        control.count_attempt(sequence);
        Ok(())
    }

    /// Finds room for a record, and enters the chunks that it reaches. The producer has the reserve.
    fn room_for(&self, control: &Control, severe: bool, record_bytes: u64) -> Result<ReserveRoom, DropCause> {
        let capacity = self.capacity();
        if record_bytes > record_bytes_max(capacity as usize) as u64 {
            return Err(DropCause::Full);
        }
        let position = control.own_reserve_position();
        let offset = position & (capacity - 1);
        let skip = if record_bytes > capacity - offset { capacity - offset } else { 0 };
        let held = position.wrapping_sub(control.reserve_released());
        // Only in a forked child, within an append that the fork has interrupted: there, shared control lines are
        // zeros.
        if held > capacity {
            return Err(DropCause::Full);
        }
        // An empty reserve takes a record of any level, because a skip and a record may take all of it.
        let kept = if severe || held == 0 { 0 } else { self.severe_only_bytes };
        if skip + record_bytes + kept > capacity - held {
            return Err(DropCause::Full);
        }
        let reached = if skip > 0 { (offset + 8).max(record_bytes) } else { offset + record_bytes };
        let entered = control.entered_bytes();
        if reached > entered {
            let reached = reached.next_multiple_of(CHUNK_BYTES);
            let bytes = reached - entered;
            if !self.budget.take_chunks(bytes, severe) {
                return Err(DropCause::Memory);
            }
            if !self.memory.enter(entered as usize, bytes as usize) {
                self.budget.give_back(bytes);
                return Err(DropCause::Memory);
            }
            control.set_entered_bytes(reached);
        }
        Ok(ReserveRoom { position, skip })
    }

    /// Whether the budget allows another chunk for ordinary records.
    pub(super) fn may_grow(&self) -> bool {
        self.budget.has_room_for_chunks(CHUNK_BYTES)
    }

    /// Gives the last `bytes` of the `entered` bytes back to the system and to the budget. The consumer has the
    /// reserve, and it is empty. Returns `false`, and does nothing, if the system refuses.
    pub(super) fn give_back(&self, control: &Control, entered: u64, bytes: u64) -> bool {
        // SAFETY: within the memory. The reserve is empty, so nobody uses these bytes (8).
        let given_back = unsafe { self.memory.discard((entered - bytes) as usize, bytes as usize) };
        if given_back {
            control.set_entered_bytes(entered - bytes);
            self.budget.give_back(bytes);
        }
        given_back
    }

    /// Gives `entered` bytes back to the budget, when the whole memory is freed.
    pub(super) fn end(&self, entered: u64) {
        self.budget.give_back(entered);
    }
}

/// Room for a record, or for a skip and a record, at `position`.
struct ReserveRoom {
    position: u64,
    skip: u64,
}

/// While it exists, the producer has the reserve. Its drop gives the reserve up, even if the clock panics.
struct Opened<'a>(&'a Control);

impl<'a> Opened<'a> {
    /// Takes the reserve; `None` if the consumer has it for longer than the producer may wait.
    fn enter(control: &'a Control) -> Option<Opened<'a>> {
        // Not `then_some`: that would make the value in any case, and its drop would end the consumer's hold.
        control.open_reserve().then(|| Opened(control))
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.close_reserve();
    }
}
