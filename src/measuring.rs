//! What measuring needs from inside: the clock that an append reads, by itself, and a stopwatch fit for nanoseconds.
//!
//! For the benches and `diolog bench`. No part of the interface, and free to change.

use crate::clock::Clock;
use crate::sys::time;

/// The clock of every producer in this process.
#[derive(Clone, Copy, Debug)]
pub struct AppendClock(Clock);

impl AppendClock {
    /// The clock that a log opened now would choose.
    pub fn detect() -> AppendClock {
        AppendClock(Clock::detect())
    }

    /// Reads it, as an append does.
    #[inline(always)]
    pub fn ticks(self) -> u64 {
        self.0.ticks()
    }

    /// What it counts.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// The counter behind a stopwatch, which waits for what stands before it: no timed call is still under way when the watch
/// is stopped.
#[inline(always)]
pub fn stopwatch_ticks() -> u64 {
    time::counter_in_order()
}
