//! The bytes on disk, version 1: what the writer encodes and the reader decodes, and nothing else is shared by them.
//!
//! A file is a sequence of blocks on a 4 KiB grid. A block is a 64-byte [`BlockHeader`] and shards; a shard is a
//! 32-byte [`ShardHeader`] and records of one producer; a record is a 16-byte [`RecordHeader`] and its payload,
//! padded to 8 bytes. Everything is little-endian. Zero bytes are never a valid block, shard or record.
//!
//! The functions here know neither files nor threads. A decoder returns `None` or a named fault for bytes that are
//! not what they claim; it never panics, and it never allocates by a length that it has not checked.

mod block;
mod checksum;
mod control;
mod record;
mod segment;
mod shard;
mod file_name;

pub(crate) use block::{BLOCK_MAGIC, BlockFlags, BlockHeader, HeaderFault, IN_FLIGHT_UNKNOWN};
pub(crate) use control::{ProducerRow, Status, StatusCode, WallAnchor};
pub(crate) use file_name::{LOCK_FILE, SPARE_FILE, segment_file_name, segment_number};
pub(crate) use record::{Kind, RecordFlags, RecordHeader, record_bytes};
pub(crate) use segment::{LogId, RunId, SegmentHeader};
pub(crate) use shard::ShardHeader;

/// The grid: blocks start and end on multiples of this many bytes.
pub(crate) const GRID_BYTES: usize = 4096;

/// The largest block, in bytes: the bound on what a reader allocates for one.
pub(crate) const BLOCK_BYTES_MAX: usize = 16 << 20;

/// How far apart in a log records may stand that a reader still puts in the order of their time, in bytes of blocks: what it
/// holds in memory. A writer keeps well below it.
pub(crate) const MERGE_BYTES_MAX: usize = 64 << 20;

/// The most producers that may be alive at once: a segment's header has a row for each, and is one block.
pub(crate) const PRODUCERS_MAX: usize = 40_000;

/// Bytes of a [`BlockHeader`].
pub(crate) const BLOCK_HEADER_BYTES: usize = size_of::<BlockHeader>();

/// Bytes of a [`ShardHeader`].
pub(crate) const SHARD_HEADER_BYTES: usize = size_of::<ShardHeader>();

/// Bytes of a [`RecordHeader`].
pub(crate) const RECORD_HEADER_BYTES: usize = size_of::<RecordHeader>();

/// The producer id of the writer itself: definitions, anchors and status, never attempts.
pub(crate) const WRITER_PRODUCER: u32 = 0;

/// The longest producer or service name, in bytes: longer ones are refused, not cut.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Bytes that `payload_bytes` take once padded to the record's 8-byte grain.
pub(crate) const fn padded(payload_bytes: usize) -> usize {
    // Not `next_multiple_of`, which tells two cases apart.
    (payload_bytes + 7) & !7
}

const _: () = assert!(BLOCK_HEADER_BYTES == 64);
const _: () = assert!(SHARD_HEADER_BYTES == 32);
const _: () = assert!(RECORD_HEADER_BYTES == 16);
const _: () = assert!(BLOCK_BYTES_MAX.is_multiple_of(GRID_BYTES));
const _: () = assert!(BLOCK_BYTES_MAX <= u32::MAX as usize);
// With room to spare for what else stands there.
const _: () = assert!(PRODUCERS_MAX * record_bytes(ProducerRow::BYTES_MAX) <= BLOCK_BYTES_MAX - (1 << 20));
