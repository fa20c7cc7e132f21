//! One segment file: open for reading, its block headers found on the grid, and where a block is.
//!
//! Payloads are read by `block`, and what is missing is judged by the account: here nothing is.

mod cursor;
mod location;
mod segment_file;

pub(crate) use cursor::{Cursor, Debris, Found, Scanned};
pub(crate) use location::BlockLocation;
pub(crate) use segment_file::{Chunk, SegmentFile};
