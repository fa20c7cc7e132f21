//! What one block has defined so far: the producers whose row is in it.
//!
//! Every block decodes alone, so the writer asks before it adds a producer's records whether the block holds that
//! producer's row. The answer belongs to the block and ends with it: a new block has defined nothing.

/// What a block has defined.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    producers: IndexSet,
}

impl Definitions {
    /// Whether the block holds the row of the producer in `slot`.
    #[inline]
    pub(crate) fn has_producer(&self, slot: usize) -> bool {
        self.producers.contains(slot)
    }

    /// Notes that the block holds the row of the producer in `slot`.
    pub(crate) fn note_producer(&mut self, slot: usize) {
        self.producers.insert(slot);
    }
}

/// A set of small numbers, one bit each: the writer's slots are numbered from 0 and reused.
#[derive(Debug, Default)]
struct IndexSet {
    words: Vec<u64>,
}

impl IndexSet {
    #[inline]
    fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn insert(&mut self, index: usize) {
        if self.words.len() <= index / 64 {
            self.words.resize(index / 64 + 1, 0);
        }
        self.words[index / 64] |= 1 << (index % 64);
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
