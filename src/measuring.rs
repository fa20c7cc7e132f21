//! What measuring needs from inside: the clock that an append reads, by itself, a stopwatch fit for nanoseconds, and a
//! log whose first segment is wholly prepared.
//!
//! For the benches and `diolog bench`. No part of the interface, and free to change.

use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::logger::{Hooks, Logger};
use crate::sys::time;

/// Opens a log, and waits until its first segment is filled with zeros to its end, however long that takes: what is
/// measured then is the disk in the state that a log brings it into, and not a mixture.
///
/// # Errors
/// As [`Logger::open`].
pub fn open_prepared(config: Config) -> Result<Logger> {
    Logger::open_with(config, Hooks { first_fill_patience: Some(Duration::MAX), ..Hooks::default() })
}

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
