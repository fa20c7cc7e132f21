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

/// Looks after a few records, with 1, 2, 4 and 8 pauses before them: about a microsecond. A flush may follow them.
const LOOKS_AFTER_FEW: u32 = 4;

/// How long the writer has been idle.
pub(crate) struct Idle {
    backoff: Backoff,
    /// Looks left before the first sleep, if there was little work.
    looks_left: Option<u32>,
    sleep: Duration,
    /// Sleeps since work was found.
    sleeps: u32,
}

impl Idle {
    pub(crate) fn new() -> Idle {
        Idle { backoff: Backoff::new(), looks_left: None, sleep: SLEEP_MIN, sleeps: 0 }
    }

    /// Work was found, and more of it will come any moment.
    pub(crate) fn reset(&mut self) {
        self.backoff.reset();
        self.looks_left = None;
        self.sleep = SLEEP_MIN;
        self.sleeps = 0;
    }

    /// A few records were found. Looking for the next ones at once would take them one by one, and each look takes a
    /// cache line away from the thread that appends them.
    pub(crate) fn reset_after_few(&mut self) {
        self.reset();
        self.looks_left = Some(LOOKS_AFTER_FEW);
    }

    /// Nothing was found: spins or yields, or says how long to sleep.
    pub(crate) fn snooze(&mut self) -> Option<Duration> {
        match &mut self.looks_left {
            Some(0) => {}
            Some(left) => {
                *left -= 1;
                self.backoff.spin();
                return None;
            }
            None if self.backoff.is_completed() => {}
            None => {
                self.backoff.snooze();
                return None;
            }
        }
        let sleep = self.sleep;
        self.sleeps = self.sleeps.saturating_add(1);
        self.sleep = if self.sleeps < SLEEPS_BEFORE_DEEP { (sleep * 2).min(SLEEP_MAX) } else { DEEP_SLEEP };
        Some(sleep)
    }
}
