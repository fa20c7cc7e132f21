//! Where a block is: the header found there, and the open file to read the rest from.

use std::sync::Arc;

use crate::format::{BlockHeader, Newer};

use super::segment_file::SegmentFile;

/// Where a block is.
#[derive(Clone, Debug)]
pub(crate) struct BlockLocation {
    /// Which segment of the run.
    pub(crate) segment: usize,
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) offset: u64,
    pub(crate) header: BlockHeader,
    /// Why only a newer diolog can read it, if so. Of its header only the length and the number count then.
    pub(crate) newer: Option<Newer>,
}

impl BlockLocation {
    /// The block's number in its run.
    pub(crate) fn number(&self) -> u64 {
        self.header.sequence.get()
    }
}
