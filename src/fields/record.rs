//! A structured record as the payload of a ring: the callsite's id, and the values.

use super::kept::Kept;
use crate::appendable::{Appendable, Destination};
use crate::format::Kind;
use crate::ring::{Claimed, Payload};

/// Bytes of a callsite's id.
const ID_BYTES: usize = 4;

/// A record that is ready to be appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Structured<'a, K> {
    pub(crate) callsite: u32,
    pub(crate) values: K,
    /// The text that the values' formatters have written.
    pub(crate) scratch: &'a [u8],
    /// Who takes the record. Only the slow path asks.
    pub(crate) destination: Destination<'a>,
}

impl<K: Kept> Payload for Structured<'_, K> {
    #[inline(always)]
    fn bytes(&self) -> usize {
        ID_BYTES + self.values.bytes()
    }

    #[inline(always)]
    fn write(&self, claimed: &mut Claimed<'_>) {
        claimed.put(self.callsite.to_le_bytes());
        self.values.write(self.scratch, claimed);
    }
}

impl<K: Kept> Appendable for Structured<'_, K> {
    #[inline(always)]
    fn kind(&self) -> Kind {
        Kind::Structured
    }

    #[inline(always)]
    fn destination(&self) -> Destination<'_> {
        self.destination
    }

    #[inline(always)]
    fn is_cut(&self) -> bool {
        self.values.is_cut()
    }

    fn cut_to(&mut self, bytes_max: usize) {
        let bytes = self.bytes();
        if bytes > bytes_max {
            let flexible = self.values.flexible_bytes();
            // Numbers are never cut, so the record may exceed the limit by some hundred bytes. A ring and a block have
            // room for them.
            let mut room = bytes_max.saturating_sub(bytes - flexible);
            self.values.cut(self.scratch, &mut room);
        }
    }
}
