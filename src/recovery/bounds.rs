//! How much a recovery reads at most of what a file claims to have, and how long it waits at most.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::format::{BLOCK_BYTES_MAX, PRODUCERS_MAX, ProducerRow, record_bytes};

/// The most producers that a run has at one moment: as many as can be alive, and some that were being replaced. This
/// bounds the memory that a file takes which claims to have more.
pub(super) const PRODUCERS_AT_ONCE: usize = PRODUCERS_MAX + 1000;

// A segment's header has room for their rows.
const _: () = assert!(PRODUCERS_AT_ONCE * record_bytes(ProducerRow::BYTES_MAX) <= BLOCK_BYTES_MAX - (1 << 20));

/// How often to look whether a wait is over.
const WAIT_STEP: Duration = Duration::from_millis(5);

/// How long the recovery of a log still waits for others: for writes of dead processes that are on their way to the
/// disk, and for ring files that somebody has locked. All of its runs share it, so that an open is not delayed longer
/// the more runs there are.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
}

impl Patience {
    /// What a recovery has at first.
    pub(super) fn of_recovery() -> Patience {
        Patience { left: Duration::from_secs(5) }
    }

    /// Not to wait at all.
    pub(super) fn none() -> Patience {
        Patience { left: Duration::ZERO }
    }

    /// Waits for a moment. Returns false, without a wait, if that was all.
    pub(super) fn wait(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let begun = Instant::now();
        sleep(WAIT_STEP.min(self.left));
        self.left = self.left.saturating_sub(begun.elapsed());
        true
    }

    /// How long it still waits.
    #[cfg(all(test, not(any(diolog_portable, loom))))]
    pub(super) fn left(&self) -> Duration {
        self.left
    }
}
