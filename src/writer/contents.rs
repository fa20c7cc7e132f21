//! The contents of one block, as the writer accounts for them. The writer settles them when the block is durable.

use crate::ring::Position;

/// How much of a producer's attempts some blocks account for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounted {
    /// The sequence that follows the last record.
    pub(crate) next_sequence: u64,
    pub(crate) records: u64,
}

/// The part of one ring that a block holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// The writer's slot of the source.
    pub(crate) slot: usize,
    /// The ring's position to release when the block is durable; set when the block is closed.
    pub(crate) position: Position,
    /// The account of the blocks before this one.
    pub(crate) before: Accounted,
}

/// The contents of a block.
#[derive(Debug, Default)]
pub(crate) struct BlockContents {
    /// Producers' records; counted when the block is closed.
    pub(crate) records: u64,
    pub(crate) shares: Vec<Share>,
    /// Slots of the sources whose end record the block holds.
    pub(crate) ended: Vec<usize>,
}
