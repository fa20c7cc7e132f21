//! What a producer appends: a message, or a structured record.

use crate::callsite::Callsite;
use crate::format::Kind;
use crate::ring::{Claimed, Payload};

/// Where a record goes, if the log has a recorder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Destination<'a> {
    /// A record without a target: its level alone decides.
    ByLevel,
    /// The log, whose level for the target admits it.
    #[cfg_attr(not(any(feature = "log", feature = "tracing")), expect(dead_code, reason = "only the bridges use it"))]
    Log,
    /// The recorder alone.
    #[cfg_attr(not(any(feature = "log", feature = "tracing")), expect(dead_code, reason = "only the bridges use it"))]
    Recorder,
    /// What the log's levels say of the callsite decides.
    OfCallsite(&'a Callsite),
}

/// A record before it is in a ring. Producers append it, `common_ring` and a logger into memory take it in their place.
pub(crate) trait Appendable: Payload {
    fn kind(&self) -> Kind;

    /// Whether it has a target, which has admitted it: its level need not pass the threshold for all records.
    #[inline(always)]
    fn has_target(&self) -> bool {
        !matches!(self.destination(), Destination::ByLevel)
    }

    /// Where it goes.
    fn destination(&self) -> Destination<'_>;

    /// Whether a part is not whole.
    fn is_cut(&self) -> bool;

    /// Shortens it to `bytes_max`, if it is longer.
    fn cut_to(&mut self, bytes_max: usize);
}

/// Bytes as the caller gave them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) cut: bool,
}

impl<'a> Message<'a> {
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8]) -> Message<'a> {
        Message { bytes, cut: false }
    }
}

impl Payload for Message<'_> {
    #[inline(always)]
    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    #[inline(always)]
    fn write(&self, claimed: &mut Claimed<'_>) {
        claimed.put_bytes(self.bytes);
    }
}

impl Appendable for Message<'_> {
    #[inline(always)]
    fn kind(&self) -> Kind {
        Kind::Message
    }

    #[inline(always)]
    fn destination(&self) -> Destination<'_> {
        Destination::ByLevel
    }

    #[inline(always)]
    fn is_cut(&self) -> bool {
        self.cut
    }

    fn cut_to(&mut self, bytes_max: usize) {
        if self.bytes.len() > bytes_max {
            self.bytes = &self.bytes[..bytes_max];
            self.cut = true;
        }
    }
}
