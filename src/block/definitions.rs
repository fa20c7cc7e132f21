//! The definitions in one block: the producers whose row it holds.
//!
//! Every block decodes alone, so the writer asks before it adds a producer's records whether the block holds that
//! producer's row. The answer belongs to the block and ends with it: a new block has defined nothing.

/// The definitions in a block.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// One bit for each of the writer's slots, which are small numbers: they count from 0 and are reused.
    producers: Vec<u64>,
}

impl Definitions {
    /// Whether the block holds the row of the producer in `slot`.
    #[inline]
    pub(crate) fn has_producer(&self, slot: usize) -> bool {
        self.producers.get(slot / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Notes that the block holds the row of the producer in `slot`.
    pub(crate) fn note_producer(&mut self, slot: usize) {
        if self.producers.len() <= slot / 64 {
            self.producers.resize(slot / 64 + 1, 0);
        }
        self.producers[slot / 64] |= 1 << (slot % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_defined_the_producers_noted_and_no_others() {
        let mut definitions = Definitions::default();
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
