//! A producer's end of its ring in the flight recorder.

use std::cell::{Cell, OnceCell};

use super::ring::RecordedProducer;
use super::rings::RecorderRings;
use crate::ring::ProducerEnd;

/// After no ring could be made, this many records pass before the next try.
const RETRY_AFTER_RECORDS: u32 = 1024;

/// A producer's end of its ring in the recorder. The producer's first record for the recorder makes it.
pub(crate) struct RecorderEnd {
    producer: u32,
    /// The producer's name, if it is that of the common ring, which many threads use.
    common: Option<&'static str>,
    /// In a box, because most producers have no such ring.
    end: OnceCell<Box<ProducerEnd>>,
    /// How many more records pass before the next try to make a ring.
    records_until_retry: Cell<u32>,
}

impl RecorderEnd {
    /// The end for producer `producer`.
    pub(crate) fn of(producer: u32) -> RecorderEnd {
        RecorderEnd { producer, common: None, end: OnceCell::new(), records_until_retry: Cell::new(0) }
    }

    /// The end for the producer of the common ring, which has this name.
    pub(crate) fn of_common_ring(producer: u32, name: &'static str) -> RecorderEnd {
        RecorderEnd { common: Some(name), ..RecorderEnd::of(producer) }
    }

    /// The end in the ring. The first call makes the ring; `identity` gives the thread id and the name of a producer
    /// with a ring of its own. `None` if no ring can be made.
    pub(crate) fn get_or_make(
        &self,
        recorder: &RecorderRings,
        identity: impl FnOnce(u32) -> (u32, String),
    ) -> Option<&ProducerEnd> {
        if self.end.get().is_none() {
            if let Some(left) = self.records_until_retry.get().checked_sub(1) {
                self.records_until_retry.set(left);
                return None;
            }
            let producer = || {
                let (tid, name) = self.common.map_or_else(|| identity(self.producer), |name| (0, name.to_owned()));
                RecordedProducer { id: self.producer, tid, name }
            };
            match recorder.ring_for(producer, self.common.is_some()) {
                // `set` cannot fail: a signal handler that interrupts this thread cannot make the ring, because it
                // finds the rings locked.
                Some(end) => drop(self.end.set(Box::new(end))),
                None => self.records_until_retry.set(RETRY_AFTER_RECORDS),
            }
        }
        self.end.get().map(|end| &**end)
    }

    /// Takes the end, if there is one.
    pub(crate) fn take(&mut self) -> Option<ProducerEnd> {
        self.end.take().map(|end| *end)
    }
}
