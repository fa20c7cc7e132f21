//! A producer's side of its ring in the recorder.

use std::cell::{Cell, OnceCell};

use super::ring::Identity;
use super::rings::RecorderRings;
use crate::appendable::Appendable;
use crate::gate::{Gate, Refusal};
use crate::outcome::Outcome;
use crate::ring::{DropCause, Full, ProducerEnd};

/// After a ring was refused, so many records are let go before the next try.
const LET_GO: u32 = 1024;

/// A producer's end of its ring in the recorder, which its first record makes.
#[derive(Default)]
pub(crate) struct RecorderEnd {
    /// Boxed, as most producers have none.
    end: OnceCell<Box<ProducerEnd>>,
    /// How many records are let go before the next try to make a ring.
    let_go: Cell<u32>,
    /// Whether many threads have it in common.
    is_common: bool,
}

impl RecorderEnd {
    /// The end of the producer of the common ring.
    pub(crate) fn of_common_ring() -> RecorderEnd {
        RecorderEnd { is_common: true, ..RecorderEnd::default() }
    }

    /// Appends a record that the log does not take and the recorder keeps. The first one makes the ring of `producer`.
    /// `tag` gives the record's tag once it is cut.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn append<R: Appendable + ?Sized>(
        &self,
        recorder: &RecorderRings,
        gate: &Gate,
        producer: impl FnOnce() -> Identity,
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
            // A snapshot copies the ring at this moment. The attempt is counted, so that the snapshot shows the gap.
            Err(Full) => {
                end.drop_attempt(DropCause::Full);
                Ok(Outcome::Filtered)
            }
        }
    }

    /// The end, made by the first call; `None` if there is no ring to be had.
    fn end(&self, recorder: &RecorderRings, producer: impl FnOnce() -> Identity) -> Option<&ProducerEnd> {
        if self.end.get().is_none() {
            if let Some(left) = self.let_go.get().checked_sub(1) {
                self.let_go.set(left);
                return None;
            }
            match recorder.ring_for(producer, self.is_common) {
                // A signal handler does not get here meanwhile: it finds the rings locked.
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
