//! An identity for blocks, by which others remember a block: no two blocks of a process have the same mark.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockMark(u64);

impl BlockMark {
    /// The mark of no block.
    pub(super) const NONE: BlockMark = BlockMark(0);

    pub(super) fn new() -> BlockMark {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Relaxed: the number only has to be unique.
        BlockMark(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
