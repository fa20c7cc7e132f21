//! The definitions in one block: the producers whose row the block holds, and the callsites that it will define.
//!
//! Every block can be decoded alone. So before the writer adds a producer's records, it asks whether the block holds
//! that producer's row; and before it adds a record of a callsite, whether the block defines that callsite. The answers
//! belong to the block: a new block has defined nothing.
//!
//! A row comes before its producer's records. The definitions of callsites come together at the end of the block, so
//! that they do not interrupt a shard. Until then the block keeps their bytes free.

use super::body::Body;
use super::callsites::CallsiteTable;
use super::mark::BlockMark;
use crate::format::{SHARD_HEADER_BYTES, record_bytes};

/// The definitions in a block.
#[derive(Debug)]
pub(super) struct BlockDefinitions {
    /// One bit for each of the writer's slots. Slots are small numbers, because they are reused.
    producers: Vec<u64>,
    /// The mark by which [`CallsiteTable`] remembers this block.
    pub(super) mark: BlockMark,
    /// The callsites to define at the block's end, in the order of their first records.
    callsites: Vec<u32>,
}

impl Default for BlockDefinitions {
    fn default() -> BlockDefinitions {
        BlockDefinitions { producers: Vec::new(), mark: BlockMark::new(), callsites: Vec::new() }
    }
}

impl BlockDefinitions {
    /// Whether the block holds the row of the producer in `slot`.
    #[inline]
    pub(super) fn has_producer(&self, slot: usize) -> bool {
        self.producers.get(slot / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Notes that the block holds the row of the producer in `slot`.
    pub(super) fn note_producer(&mut self, slot: usize) {
        if self.producers.len() <= slot / 64 {
            self.producers.resize(slot / 64 + 1, 0);
        }
        self.producers[slot / 64] |= 1 << (slot % 64);
    }

    /// Bytes that the definition of a callsite with this `payload` takes at the end of the block, including the header
    /// of the shard if it is the first definition.
    pub(super) fn bytes_for(&self, payload: &[u8]) -> usize {
        record_bytes(payload.len()) + if self.callsites.is_empty() { SHARD_HEADER_BYTES } else { 0 }
    }

    /// Keeps `bytes` of `body` for the definition of callsite `id`. The caller has checked that they are free.
    pub(super) fn keep_for(&mut self, id: u32, bytes: usize, body: &mut Body, callsites: &mut CallsiteTable) {
        debug_assert!(bytes <= body.free_bytes());
        body.limit -= bytes;
        self.callsites.push(id);
        callsites.note_defined(id, self.mark);
    }

    /// Keeps the bytes of `body` for the definition of callsite `id`, unless they are kept already or the callsite is
    /// unknown. Returns `false` if there is not enough room.
    pub(super) fn define(&mut self, id: u32, body: &mut Body, callsites: &mut CallsiteTable) -> bool {
        if callsites.entry_in(id, self.mark).is_some() {
            return true;
        }
        let Some(definition) = callsites.find(id) else { return true };
        let bytes = self.bytes_for(&definition.payload);
        let fits = bytes <= body.free_bytes();
        if fits {
            self.keep_for(id, bytes, body, callsites);
        }
        fits
    }

    /// Takes the list of callsites to define, and gives `body` the bytes that were kept for them.
    pub(super) fn take_callsites(&mut self, body: &mut Body) -> Vec<u32> {
        body.limit = body.buffer.len();
        std::mem::take(&mut self.callsites)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_defined_the_producers_noted_and_no_others() {
        let mut definitions = BlockDefinitions::default();
        let noted = [0, 1, 63, 64, 1000];
        for slot in noted {
            assert!(!definitions.has_producer(slot));
            definitions.note_producer(slot);
        }
        for slot in 0..2000 {
            assert_eq!(definitions.has_producer(slot), noted.contains(&slot), "slot {slot}");
        }
    }
}
