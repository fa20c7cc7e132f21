//! Reading times that are a few nanoseconds apart.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::clock::Clock;
use crate::sys::time;

/// Long enough that the error of the readings at both ends, some 50 ns, does not matter.
const CALIBRATION: Duration = Duration::from_millis(50);

/// The clock that a log opened now would stamp records with.
#[derive(Clone, Copy, Debug)]
pub struct AppendClock(Clock);

impl AppendClock {
    /// Chooses it as a log does at open.
    pub fn detect() -> AppendClock {
        AppendClock(Clock::detect())
    }

    /// Reads it, as an append does.
    #[inline(always)]
    pub fn ticks(self) -> u64 {
        self.0.ticks()
    }

    /// Its name, for the report.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// Reads the stopwatch, after all earlier instructions have finished: no timed call is still under way.
#[inline(always)]
pub fn ticks() -> u64 {
    time::counter_in_order()
}

/// How long a tick of [`ticks`] is.
#[derive(Clone, Copy, Debug)]
pub struct TickRate {
    ns_per_tick: f64,
}

impl TickRate {
    /// Measures it against the system's clock.
    pub fn measure() -> TickRate {
        let (start, start_ticks) = (Instant::now(), ticks());
        while start.elapsed() < CALIBRATION {
            spin_loop();
        }
        let passed = ticks().wrapping_sub(start_ticks).max(1);
        TickRate { ns_per_tick: start.elapsed().as_nanos() as f64 / passed as f64 }
    }

    /// `ticks` in nanoseconds.
    pub fn ns(self, ticks: f64) -> f64 {
        ticks * self.ns_per_tick
    }

    /// The number of ticks in `duration`.
    pub fn ticks_in(self, duration: Duration) -> u64 {
        (duration.as_nanos() as f64 / self.ns_per_tick) as u64
    }
}

/// A histogram of up to some seconds in [`ticks`], with three digits.
pub(super) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1 << 34, 3).expect("constant bounds and three digits are within the crate's")
}

/// Waits for `ticks_to_pass` without leaving the CPU.
#[inline]
pub fn busy_wait(ticks_to_pass: u64) {
    let start = ticks();
    while ticks().wrapping_sub(start) < ticks_to_pass {
        spin_loop();
    }
}
