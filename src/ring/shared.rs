//! The part of a ring that both ends share: the control lines, the window's memory and the reserve.
//!
//! 1. The control lines are made with the ring, and stay where they are until it is dropped.

#![allow(unsafe_code, reason = "both ends use the same control lines and bytes")]

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use super::control::Control;
use super::layout::{CAPACITY_MAX, CAPACITY_MIN};
use super::memory::{Memory, MemoryPool};
use super::reserve::Reserve;
use super::slot::Slot;

/// How a ring is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingOptions {
    /// A power of two, from 4096 to 2^30.
    pub(crate) capacity_bytes: usize,
    /// Whether a full ring gives up its oldest records instead of refusing the newest.
    pub(crate) overwrite: bool,
    /// Whether records that find no room in the window go to the reserve, if there is one.
    pub(crate) enters_reserve: bool,
    /// How many eighths of the ring, 0 to 4, are kept for severe records.
    pub(crate) severe_only_eighths: u32,
    /// The first position, a multiple of 8. It is 0 except in tests that start near the wrap.
    pub(crate) start: u64,
}

impl RingOptions {
    /// A ring without a reserve, from position 0, that drops the newest records and keeps no room.
    pub(crate) const fn window(capacity_bytes: usize) -> RingOptions {
        RingOptions { capacity_bytes, overwrite: false, enters_reserve: false, severe_only_eighths: 0, start: 0 }
    }
}

/// The part of a ring that both ends share, also with code that reads the counts.
#[derive(Debug)]
pub(crate) struct Ring {
    control: ControlAddress,
    pub(super) memory: Memory,
    /// Whether the producer gives up the oldest records of a full ring.
    pub(super) overwrite: bool,
    /// The bytes of the window that are kept for severe records, unless the reserve keeps some instead.
    pub(super) severe_only_bytes: u64,
    pub(super) reserve: Option<Reserve>,
    /// The slot that holds all of it; `None` if the memory is private and the control lines are on the heap.
    slot: Option<Arc<dyn Slot>>,
}

/// The address of a ring's control lines. Its holder also has the ring, or borrows from a value that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ControlAddress(NonNull<Control>);

// SAFETY: it is the address of atomics, which every thread may use.
unsafe impl Send for ControlAddress {}
// SAFETY: likewise.
unsafe impl Sync for ControlAddress {}

impl Deref for ControlAddress {
    type Target = Control;

    #[inline(always)]
    fn deref(&self) -> &Control {
        // SAFETY: (1), and the ring exists.
        unsafe { self.0.as_ref() }
    }
}

impl Ring {
    /// Makes an empty ring in private memory: a window from `pool`, and a `reserve`.
    ///
    /// # Errors
    /// The capacity is not a power of two or out of range, or there is no memory.
    pub(super) fn private(options: RingOptions, pool: &MemoryPool, reserve: Option<Reserve>) -> io::Result<Arc<Ring>> {
        check(options)?;
        let memory = pool.private(options.capacity_bytes)?;
        let control = NonNull::from(Box::leak(Box::new(first_control(options, reserve.as_ref()))));
        Ok(Ring::of(options, ControlAddress(control), memory, reserve, None))
    }

    /// Makes an empty ring in a `slot` of the right sizes.
    #[cfg(not(loom))]
    pub(super) fn in_slot(options: RingOptions, slot: Arc<dyn Slot>, reserve: Option<Reserve>) -> Arc<Ring> {
        let control = slot.control();
        // SAFETY: the slot has aligned room for the lines, which nobody else uses (1 of `Slot`).
        unsafe { control.write(first_control(options, reserve.as_ref())) };
        let memory = Memory::window_of(&slot, options.capacity_bytes);
        Ring::of(options, ControlAddress(control), memory, reserve, Some(slot))
    }

    fn of(
        options: RingOptions,
        control: ControlAddress,
        memory: Memory,
        reserve: Option<Reserve>,
        slot: Option<Arc<dyn Slot>>,
    ) -> Arc<Ring> {
        let severe_only_bytes = options.capacity_bytes as u64 / 8 * u64::from(options.severe_only_eighths);
        Arc::new(Ring { control, memory, overwrite: options.overwrite, severe_only_bytes, reserve, slot })
    }

    /// The positions, counts and flags.
    #[inline(always)]
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The address of the control lines, for the ends, which hold the ring.
    pub(super) fn control_address(&self) -> ControlAddress {
        self.control
    }

    /// Notes the producer whose records the empty ring will hold, if its memory outlives the process.
    pub(crate) fn assign(&self, producer: u32, tid: u32, name: &str) {
        if let Some(slot) = &self.slot {
            slot.assign(producer, tid, name);
        }
    }

    /// Notes that all records of the ring are durable and its producer has ended, if its memory outlives the process.
    pub(crate) fn vacate(&self) {
        if let Some(slot) = &self.slot {
            slot.vacate();
        }
    }

    /// How many bytes of the window ordinary records must leave free now: none if they may use the reserve.
    pub(super) fn severe_only_bytes_now(&self) -> u64 {
        if self.reserve.as_ref().is_some_and(Reserve::may_grow) { 0 } else { self.severe_only_bytes }
    }
}

/// Checks the sizes of a ring.
///
/// # Errors
/// The capacity is not a power of two or out of range.
pub(super) fn check(options: RingOptions) -> io::Result<()> {
    let capacity_bytes = options.capacity_bytes;
    if !capacity_bytes.is_power_of_two() || !(CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity_bytes) {
        let message = format!(
            "a ring of {capacity_bytes} bytes: its size must be a power of two from {CAPACITY_MIN} to {CAPACITY_MAX}"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    assert!(options.start.is_multiple_of(8), "positions are multiples of 8");
    Ok(())
}

/// The control lines of an empty ring.
fn first_control(options: RingOptions, reserve: Option<&Reserve>) -> Control {
    // The reserve's positions begin with its memory, so that its first record enters the first chunk.
    let reserve_start = reserve.map_or(0, |reserve| options.start & !(reserve.capacity() - 1));
    Control::new(options.start, reserve_start)
}

#[cfg(all(test, not(loom)))]
impl Ring {
    /// Copies of the control lines, and of the bytes of the window and the reserve, as a file would hold them. Neither
    /// end is used meanwhile.
    #[allow(clippy::host_endian_bytes, reason = "as they are in memory")]
    pub(crate) fn bytes(&self) -> ([u8; super::image::CONTROL_BYTES], Vec<u8>) {
        use super::control::offsets;
        let mut control = [0; offsets::CONTROL_BYTES];
        for (at, word) in control.chunks_mut(8).enumerate().filter(|(at, _)| offsets::WORDS.contains(&(8 * at))) {
            // SAFETY: an atomic of eight bytes is there.
            let field = unsafe { &*std::ptr::from_ref(self.control()).cast::<crate::sync::AtomicU64>().add(at) };
            word.copy_from_slice(&field.load(crate::sync::Ordering::Relaxed).to_ne_bytes());
        }
        let state = self.control().reserve_state().to_ne_bytes();
        control[offsets::RESERVE_STATE..][..state.len()].copy_from_slice(&state);
        // SAFETY: within the memory, which nobody writes to now.
        let mut bytes = unsafe { self.memory.words().lend(0, self.memory.bytes(), <[u8]>::to_vec) };
        if let Some(reserve) = &self.reserve {
            // SAFETY: as above.
            bytes.extend(unsafe { reserve.words().lend(0, reserve.capacity() as usize, <[u8]>::to_vec) });
        }
        (control, bytes)
    }

    /// Bytes of the window.
    #[cfg(not(diolog_portable))]
    pub(crate) fn window_bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Whether the producer gives up the oldest records of a full ring.
    #[cfg(not(diolog_portable))]
    pub(crate) fn overwrites(&self) -> bool {
        self.overwrite
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(reserve) = &self.reserve {
            reserve.end(self.control.entered_bytes());
        }
        if self.slot.is_none() {
            // SAFETY: (1): it was leaked when the ring was made, and nobody has the ring any more.
            drop(unsafe { Box::from_raw(self.control.0.as_ptr()) });
        }
    }
}
