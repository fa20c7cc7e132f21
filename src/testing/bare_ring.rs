//! The two ends of a ring without an engine around them, for the ring's bench.

use std::io;

use crate::clock::Clock;
use crate::gate::Gate;
use crate::ring::{ConsumerEnd, ProducerEnd, Rest, RingOptions, ring};

/// A ring of `capacity_bytes`.
///
/// # Errors
/// A capacity that cannot be, or no memory.
pub fn bare_ring(capacity_bytes: usize, overwrite: bool) -> io::Result<(BareProducer, BareConsumer)> {
    let (producer, consumer) = ring(RingOptions { capacity_bytes, overwrite, start: 0 }, &mut Rest::default())?;
    Ok((BareProducer { end: producer, gate: Gate::new(3)?, clock: Clock::detect() }, BareConsumer { end: consumer }))
}

/// The producing end.
#[derive(Debug)]
pub struct BareProducer {
    end: ProducerEnd,
    gate: Gate,
    clock: Clock,
}

impl BareProducer {
    /// Reads the clock, as an append does.
    #[inline(always)]
    pub fn ticks(&self) -> u64 {
        self.clock.ticks()
    }

    /// Claims, copies and commits, with a stamp given; whether there was room.
    #[inline(always)]
    pub fn append(&self, ticks: u64, payload: &[u8]) -> bool {
        if self.end.is_short(payload) {
            self.end.append_short(1, payload, || ticks).is_ok()
        } else {
            self.append_the_long_way(ticks, payload)
        }
    }

    #[inline(never)]
    fn append_the_long_way(&self, ticks: u64, payload: &[u8]) -> bool {
        self.end.append(1, payload, || ticks).is_ok()
    }

    /// The whole path: gate, clock, append.
    #[inline(always)]
    pub fn log(&self, level: u8, payload: &[u8]) -> bool {
        let Some(_entered) = self.gate.threshold().enter_at_once(self.end.in_append(), level) else { return false };
        self.append(self.clock.ticks(), payload)
    }
}

/// The consuming end.
#[derive(Debug)]
pub struct BareConsumer {
    end: ConsumerEnd,
}

impl BareConsumer {
    /// Hands what is there to `sink`, gives the space back, and returns how many records there were. `OVERWRITES` is what
    /// the ring was made with.
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
