//! What the writer does when there is nothing to do: spin a little, yield, then sleep longer and longer.

use std::time::Duration;

use crossbeam_utils::Backoff;

/// The first sleep. Shorter ones cost more in timers than they save in latency.
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// The longest sleep: what a record may wait before it is seen, and 1000 wake-ups a second, well under 1 % of a core.
const SLEEP_MAX: Duration = Duration::from_millis(1);

/// How long the writer has been idle.
pub(crate) struct Idle {
    backoff: Backoff,
    sleep: Duration,
}

impl Idle {
    pub(crate) fn new() -> Idle {
        Idle { backoff: Backoff::new(), sleep: SLEEP_MIN }
    }

    /// Work was found.
    pub(crate) fn reset(&mut self) {
        self.backoff.reset();
        self.sleep = SLEEP_MIN;
    }

    /// Nothing was found: spins or yields, or says how long to sleep.
    pub(crate) fn snooze(&mut self) -> Option<Duration> {
        if !self.backoff.is_completed() {
            self.backoff.snooze();
            return None;
        }
        let sleep = self.sleep;
        self.sleep = (sleep * 2).min(SLEEP_MAX);
        Some(sleep)
    }
}
