//! A producer's end of its ring in the flight recorder.

use std::cell::{Cell, OnceCell};

use super::ring::RecordedProducer;
use super::rings::RecorderRings;
use crate::appendable::Appendable;
use crate::gate::{Gate, Refusal};
use crate::outcome::Outcome;
use crate::ring::{DropCause, Full, ProducerEnd};

/// After no ring could be made, this many records pass before the next try.
const LET_GO: u32 = 1024;

/// A producer's end of its ring in the recorder. The producer's first record for the recorder makes it.
#[derive(Default)]
pub(crate) struct RecorderEnd {
    /// In a box, because most producers have no such ring.
    end: OnceCell<Box<ProducerEnd>>,
    /// How many more records pass before the next try to make a ring.
    let_go: Cell<u32>,
    /// Whether it belongs to the common ring, which many threads use.
    is_common: bool,
}

impl RecorderEnd {
    /// The end for the producer of the common ring.
    pub(crate) fn of_common_ring() -> RecorderEnd {
        RecorderEnd { is_common: true, ..RecorderEnd::default() }
    }

    /// Appends a record that the log does not take and the recorder keeps. The first call makes the ring, for
    /// `producer`. `tag` gives the record's tag after the record was cut.
    ///
    /// # Errors
    /// Why the record is refused.
    pub(crate) fn append<R: Appendable + ?Sized>(
        &self,
        recorder: &RecorderRings,
        gate: &Gate,
        producer: impl FnOnce() -> RecordedProducer,
        record: &mut R,
        tag: impl FnOnce(&R) -> u32,
        ticks: impl FnOnce() -> u64,
    ) -> Result<Outcome, Refusal> {
        if gate.is_shut() {
            return Err(gate.refusal());
        }
        let Some(end) = self.end(recorder, producer) else {
            recorder.count_unrecorded();
            return Ok(Outcome::Filtered);
        };
        let _entered = gate.enter_open(end.control().append_flag())?;
        record.cut_to(recorder.rules.message_bytes_max);
        match end.append(tag(record), record, ticks) {
            Ok(()) => Ok(Outcome::Recorded),
            // A snapshot is copying the ring. The attempt is counted, so that the snapshot shows the gap.
            Err(Full) => {
                end.drop_attempt(DropCause::Full);
                Ok(Outcome::Filtered)
            }
        }
    }

    /// The end, made by the first call; `None` if no ring can be made.
    fn end(&self, recorder: &RecorderRings, producer: impl FnOnce() -> RecordedProducer) -> Option<&ProducerEnd> {
        if self.end.get().is_none() {
            if let Some(left) = self.let_go.get().checked_sub(1) {
                self.let_go.set(left);
                return None;
            }
            match recorder.ring_for(producer, self.is_common) {
                // `set` cannot fail: a signal handler that interrupts this thread cannot make the ring, because it
                // finds the rings locked.
                Some(end) => drop(self.end.set(Box::new(end))),
                None => self.let_go.set(LET_GO),
            }
        }
        self.end.get().map(|end| &**end)
    }

    /// Takes the end, if there is one.
    pub(crate) fn take(&mut self) -> Option<ProducerEnd> {
        self.end.take().map(|end| *end)
    }
}
