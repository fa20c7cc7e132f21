//! One ring as both of its ends share it: the control lines and the memory.

use std::io;
use std::sync::Arc;

use super::control::Control;
use super::layout::{CAPACITY_MAX, CAPACITY_MIN};
use super::memory::{Memory, MemoryPool};

/// How a ring is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingOptions {
    /// A power of two, from 4096 to 2^30.
    pub(crate) capacity_bytes: usize,
    /// Whether a full ring gives up its oldest records rather than refuse the newest.
    pub(crate) overwrite: bool,
    /// The first position, a multiple of 8. 0, except if a test starts near the wrap.
    pub(crate) start: u64,
}

/// The part of a ring that both ends hold, and readers of the counts.
#[derive(Debug)]
pub(crate) struct Ring {
    /// The positions, counts and flags.
    pub(crate) control: Control,
    pub(super) memory: Memory,
    /// Whether the producer gives up the oldest records of a full ring.
    pub(super) overwrite: bool,
}

impl Ring {
    /// An empty ring of private memory from `pool`.
    ///
    /// # Errors
    /// A capacity that is not a power of two or is out of range, or no memory.
    pub(super) fn new(options: RingOptions, pool: &MemoryPool) -> io::Result<Arc<Ring>> {
        let capacity_bytes = options.capacity_bytes;
        if !capacity_bytes.is_power_of_two() || !(CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity_bytes) {
            let message = format!(
                "a ring of {capacity_bytes} bytes: its size must be a power of two from {CAPACITY_MIN} to {CAPACITY_MAX}"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        assert!(options.start.is_multiple_of(8), "positions are multiples of 8");
        let overwrite = options.overwrite;
        Ok(Arc::new(Ring { control: Control::new(options.start), memory: pool.private(capacity_bytes)?, overwrite }))
    }
}
