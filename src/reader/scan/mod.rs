//! One segment file: open for reading, the block headers on its grid, and its blocks, one at a time.
//!
//! It judges nothing: the account decides which blocks are missing.

mod segment_file;
mod cursor;
mod block;
mod records;

pub(crate) use block::{Loaded, PassedOver, Shard};
pub(crate) use cursor::{BlockLocation, Cursor, Debris, Found, Scanned};
pub(crate) use records::{ShardRecord, ShardRecords, newer_in};
pub(crate) use segment_file::{Chunk, SegmentFile};
