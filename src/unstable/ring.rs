//! The two ends of a ring without a log around them, for the ring's bench.

use std::io;

use crate::clock::Clock;
use crate::gate::Gate;
use crate::ring::{self, ConsumerEnd, ProducerEnd, RingOptions};

/// Makes a ring of `capacity_bytes`.
///
/// # Errors
/// An invalid capacity, or no memory.
pub fn ring(capacity_bytes: usize, overwrite: bool) -> io::Result<(RingProducer, RingConsumer)> {
    let (producer, consumer) = ring::ring(RingOptions { overwrite, ..RingOptions::window(capacity_bytes) })?;
    Ok((RingProducer { end: producer, gate: Gate::new(3)?, clock: Clock::detect() }, RingConsumer { end: consumer }))
}

/// The producing end.
#[derive(Debug)]
pub struct RingProducer {
    end: ProducerEnd,
    gate: Gate,
    clock: Clock,
}

impl RingProducer {
    /// Reads the clock, as an append does.
    #[inline(always)]
    pub fn ticks(&self) -> u64 {
        self.clock.ticks()
    }

    /// Claims, copies and commits a record with the given stamp; false if the ring is full.
    #[inline(always)]
    pub fn append(&self, ticks: u64, payload: &[u8]) -> bool {
        if self.end.fits_fast_path(0, payload.len()) {
            self.end.append_fast(1, payload, || ticks).is_ok()
        } else {
            self.append_slow(ticks, payload)
        }
    }

    #[inline(never)]
    fn append_slow(&self, ticks: u64, payload: &[u8]) -> bool {
        self.end.append(1, payload, || ticks).is_ok()
    }

    /// The whole path of an append: gate, clock, ring.
    #[inline(always)]
    pub fn log(&self, level: u8, payload: &[u8]) -> bool {
        let Some(_entered) = self.gate.words().enter_fast(self.end.control().append_flag(), level) else {
            return false;
        };
        self.append(self.clock.ticks(), payload)
    }
}

/// The consuming end.
#[derive(Debug)]
pub struct RingConsumer {
    end: ConsumerEnd,
}

impl RingConsumer {
    /// Passes every record in the ring to `sink`, frees the space, and returns the number of records. `OVERWRITES` must
    /// be the ring's `overwrite`.
    #[inline]
    pub fn drain<const OVERWRITES: bool>(&mut self, mut sink: impl FnMut(&[u8])) -> usize {
        self.end.observe();
        let records = self.end.consume_from::<OVERWRITES>(usize::MAX, |_, payload| {
            sink(payload);
            true
        });
        self.end.release(self.end.cursor());
        records
    }
}
