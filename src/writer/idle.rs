//! What the writer does when there is nothing to do: spin a little, yield, then sleep longer and longer.

use std::time::Duration;

use crossbeam_utils::Backoff;

/// The first sleep. Shorter ones cost more in timers than they save in latency.
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// The longest sleep: what a record may wait before it is seen. A wake-up costs 5 to 15 µs (the dearer figure in a
/// virtual machine), a thousand of them a second about 1 % of a core.
const SLEEP_MAX: Duration = Duration::from_millis(1);

/// The longest sleep once there was nothing for about a second: a quarter of that cost.
const DEEP_SLEEP: Duration = Duration::from_millis(4);

/// Sleeps of [`SLEEP_MAX`] before the first of [`DEEP_SLEEP`].
const SLEEPS_BEFORE_DEEP: u32 = 1000;

/// How long the writer has been idle.
pub(crate) struct Idle {
    backoff: Backoff,
    sleep: Duration,
    /// Sleeps since work was found.
    sleeps: u32,
}

impl Idle {
    pub(crate) fn new() -> Idle {
        Idle { backoff: Backoff::new(), sleep: SLEEP_MIN, sleeps: 0 }
    }

    /// Work was found.
    pub(crate) fn reset(&mut self) {
        self.backoff.reset();
        self.sleep = SLEEP_MIN;
        self.sleeps = 0;
    }

    /// Nothing was found: spins or yields, or says how long to sleep.
    pub(crate) fn snooze(&mut self) -> Option<Duration> {
        if !self.backoff.is_completed() {
            self.backoff.snooze();
            return None;
        }
        let sleep = self.sleep;
        self.sleeps = self.sleeps.saturating_add(1);
        self.sleep = if self.sleeps < SLEEPS_BEFORE_DEEP { (sleep * 2).min(SLEEP_MAX) } else { DEEP_SLEEP };
        Some(sleep)
    }
}
