//! The numbers that bound everything else in the format.

/// The grid: blocks start and end on multiples of this many bytes.
pub(crate) const GRID_BYTES: usize = 4096;

/// The largest block, in bytes: the bound on a reader's allocation for one.
pub(crate) const BLOCK_BYTES_MAX: usize = 16 << 20;

/// A reader sorts records by time if they are at most so many bytes of blocks apart, and holds as much in memory. A
/// writer places records much closer than this.
pub(crate) const MERGE_BYTES_MAX: usize = 64 << 20;

/// The most producers that may be alive at once: a segment header has a row for each, and is one block.
pub(crate) const PRODUCERS_MAX: usize = 40_000;

/// The producer id of the writer itself: definitions, anchors and status, never attempts.
pub(crate) const WRITER_PRODUCER: u32 = 0;

/// The longest producer or service name, in bytes: longer ones are refused, not cut.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// The most bytes that the definition of a callsite takes in a block of `block_bytes`, with its record's header: an
/// eighth of the block. So the longest message still fits into a block with one definition.
pub(crate) const fn definition_bytes_max(block_bytes: usize) -> usize {
    block_bytes / 8
}

/// The most fields of a callsite: their types fit into an eighth of the smallest block.
pub(crate) const FIELDS_MAX: usize = 128;

/// The longest name of a field, in bytes: longer ones are cut.
pub(crate) const FIELD_NAME_BYTES_MAX: usize = 255;

const _: () = assert!(BLOCK_BYTES_MAX.is_multiple_of(GRID_BYTES));
const _: () = assert!(BLOCK_BYTES_MAX <= u32::MAX as usize);
