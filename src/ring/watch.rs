//! A cheap look at a ring that was empty: it reads one cache line of the ring, and none of the consumer.

use std::sync::Arc;

use super::layout::Position;
use super::shared::{ControlAddress, Ring};

/// Tells whether a ring is as empty as its consumer has last seen it.
#[derive(Debug)]
pub(crate) struct Watch {
    control: ControlAddress,
    /// The producer's positions when the consumer saw the ring empty; `None` if it was not.
    empty_at: Option<Position>,
    /// Keeps the control lines alive.
    _ring: Arc<Ring>,
}

impl Watch {
    pub(super) fn new(control: ControlAddress, ring: Arc<Ring>) -> Watch {
        Watch { control, empty_at: None, _ring: ring }
    }

    /// Notes that the consumer has just seen the ring empty, with the producer at this position, or not empty.
    #[inline]
    pub(crate) fn note(&mut self, empty_at: Option<Position>) {
        self.empty_at = empty_at;
    }

    /// Whether the ring was empty at the last [`note`](Self::note), and nothing has been committed since.
    #[inline]
    pub(crate) fn is_still_empty(&self) -> bool {
        self.empty_at.is_some_and(|position| self.control.is_at(position))
    }
}
