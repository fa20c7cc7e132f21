//! The schedule: which rings the writer looks at, how long their records may wait, and when and how long it sleeps.
//!
//! Each log has a [`Schedule`], each of its rings a [`Patience`], and the thread one [`Idle`] for all of its logs. They
//! decide; they neither read a ring nor fill a block. Their tuned constants are in this folder, each with its reason;
//! `flush::CALLER_YIELDS` is not, because the flushing caller uses it too. How often the writer adds records of its own
//! is said in `log/`, beside each kind, and how it waits for a device that refuses in `pipeline/health.rs`.

mod allowance;
mod idle;
mod interval;
mod patience;
mod poll_order;

pub(crate) use allowance::Turn;
pub(crate) use idle::Idle;
pub(crate) use interval::{Every, FlushInterval};
pub(crate) use patience::{DRAIN_BYTES, Look, Patience, Unread};
pub(crate) use poll_order::Looked;

use std::time::Duration;

use allowance::SleepAllowance;
use poll_order::PollOrder;

/// How often the writer checks that its segment still has a name, in nanoseconds. It writes to a deleted file for at
/// most this long.
const SEGMENT_CHECK_NS: u64 = 1_000_000_000;

/// How long a reserve must have been empty before its memory is given back, in nanoseconds: bursts that come more often
/// than this find their pages present.
pub(crate) const RESERVE_CALM_NS: u64 = 250_000_000;

/// How many chunks of one reserve are given back in a turn. It takes the writer some hundred microseconds.
pub(crate) const CHUNKS_GIVEN_BACK: usize = 16;

/// The schedule of one log.
pub(crate) struct Schedule {
    /// Which rings are looked at.
    pub(crate) poll_order: PollOrder,
    /// How long the rings can be left alone.
    pub(crate) allowance: SleepAllowance,
    /// How long records may wait in memory, and since when some do.
    pub(crate) interval: FlushInterval,
    /// When the segment's file is checked.
    pub(crate) segment_check: Every,
}

impl Schedule {
    /// For a log whose records may wait in memory for `flush_interval`.
    pub(crate) fn new(flush_interval: Duration) -> Schedule {
        Schedule {
            poll_order: PollOrder::default(),
            allowance: SleepAllowance::default(),
            interval: FlushInterval::new(flush_interval),
            segment_check: Every::new(SEGMENT_CHECK_NS),
        }
    }
}
