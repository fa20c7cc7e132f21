//! Reading times that are a few nanoseconds apart.

use std::time::{Duration, Instant};

pub(crate) use diolog::measuring::stopwatch_ticks as ticks;

/// Long enough that the readings at both ends, some 50 ns wrong, do not matter.
const CALIBRATION: Duration = Duration::from_millis(50);

/// What a tick of [`ticks`] is in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickRate {
    ns_per_tick: f64,
}

impl TickRate {
    /// Measures it against the system's clock.
    pub(crate) fn measure() -> TickRate {
        let (start, start_ticks) = (Instant::now(), ticks());
        while start.elapsed() < CALIBRATION {
            std::hint::spin_loop();
        }
        let passed = ticks().wrapping_sub(start_ticks).max(1);
        TickRate { ns_per_tick: start.elapsed().as_nanos() as f64 / passed as f64 }
    }

    /// `ticks` in nanoseconds.
    pub(crate) fn ns(self, ticks: f64) -> f64 {
        ticks * self.ns_per_tick
    }

    /// How many ticks pass in `duration`.
    pub(crate) fn ticks_in(self, duration: Duration) -> u64 {
        (duration.as_nanos() as f64 / self.ns_per_tick) as u64
    }
}

/// Waits without leaving the CPU.
pub(crate) fn busy_wait(ticks_to_pass: u64) {
    let start = ticks();
    while ticks().wrapping_sub(start) < ticks_to_pass {
        std::hint::spin_loop();
    }
}
