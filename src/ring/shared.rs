//! One ring as both of its ends share it: the control lines, the window's memory and the reserve.

use std::io;
use std::sync::Arc;

use super::control::Control;
use super::layout::{CAPACITY_MAX, CAPACITY_MIN};
use super::memory::{Memory, MemoryPool};
use super::reserve::Reserve;

/// How a ring is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingOptions {
    /// A power of two, from 4096 to 2^30.
    pub(crate) capacity_bytes: usize,
    /// Whether a full ring gives up its oldest records rather than refuse the newest.
    pub(crate) overwrite: bool,
    /// Whether records that find no room in the window go into the reserve, if there is one.
    pub(crate) enters_reserve: bool,
    /// The last eighths of the ring's room, 0 to 4, that are kept for grave records.
    pub(crate) kept_eighths: u32,
    /// The first position, a multiple of 8. 0, except if a test starts near the wrap.
    pub(crate) start: u64,
}

impl RingOptions {
    /// A window alone, from position 0, that drops the newest and keeps no room.
    pub(crate) const fn window(capacity_bytes: usize) -> RingOptions {
        RingOptions { capacity_bytes, overwrite: false, enters_reserve: false, kept_eighths: 0, start: 0 }
    }
}

/// The part of a ring that both ends hold, and readers of the counts.
#[derive(Debug)]
pub(crate) struct Ring {
    /// The positions, counts and flags.
    pub(crate) control: Control,
    pub(super) memory: Memory,
    /// Whether the producer gives up the oldest records of a full ring.
    pub(super) overwrite: bool,
    /// The room of the window that is kept for grave records, as long as no reserve keeps some instead.
    pub(super) kept_bytes: u64,
    pub(super) reserve: Option<Reserve>,
}

impl Ring {
    /// An empty ring: a window of private memory from `pool`, and a `reserve`.
    ///
    /// # Errors
    /// A capacity that is not a power of two or is out of range, or no memory.
    pub(super) fn new(options: RingOptions, pool: &MemoryPool, reserve: Option<Reserve>) -> io::Result<Arc<Ring>> {
        let capacity_bytes = options.capacity_bytes;
        if !capacity_bytes.is_power_of_two() || !(CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity_bytes) {
            let message = format!(
                "a ring of {capacity_bytes} bytes: its size must be a power of two from {CAPACITY_MIN} to {CAPACITY_MAX}"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        assert!(options.start.is_multiple_of(8), "positions are multiples of 8");
        let overwrite = options.overwrite;
        let kept_bytes = capacity_bytes as u64 / 8 * u64::from(options.kept_eighths);
        // The reserve's positions begin with its memory, so that its first record enters the first chunk.
        let reserve_start = reserve.as_ref().map_or(0, |reserve| options.start & !(reserve.capacity() - 1));
        let control = Control::new(options.start, reserve_start);
        Ok(Arc::new(Ring { control, memory: pool.private(capacity_bytes)?, overwrite, kept_bytes, reserve }))
    }

    /// The room of the window that ordinary records must leave free now: none if they may go on in the reserve.
    pub(super) fn kept_bytes_now(&self) -> u64 {
        if self.reserve.as_ref().is_some_and(Reserve::may_grow) { 0 } else { self.kept_bytes }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(reserve) = &self.reserve {
            reserve.end(self.control.entered_bytes());
        }
    }
}
