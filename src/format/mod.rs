//! The bytes on disk, version 1: the writer encodes them and the reader decodes them. They share nothing else.
//!
//! A file is a sequence of blocks on a 4 KiB grid. A block is a 64-byte [`BlockHeader`] and shards; a shard is a
//! 32-byte [`ShardHeader`] and records of one producer; a record is a 16-byte [`RecordHeader`] and its payload,
//! padded to 8 bytes. Everything is little-endian. Zero bytes are never a valid block, shard or record.
//! `docs/format.md` describes every byte; a change here is a change there.
//!
//! The functions here know neither files nor threads. For bytes that are not what they claim to be, a decoder returns
//! `None` or a named fault. It never panics, and never allocates by a length that it has not checked.

mod limits;
mod zeros;
mod newer;
mod checksum;
mod block;
mod shard;
mod record;
mod varint;
mod value;
mod packed;
mod callsite;
mod fields;
mod control;
mod loss;
mod figures;
mod identity;
mod segment;
mod block_0;
mod file_name;
mod date;
mod snapshot_name;

#[cfg(test)]
mod page;
#[cfg(test)]
pub(crate) mod test_values;

pub(crate) use block::{BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockFlags, BlockHeader, HeaderFault, IN_FLIGHT_UNKNOWN};
pub(crate) use block_0::Block0;
pub use callsite::CallsiteInfo;
pub(crate) use callsite::{CallsiteParts, cut_at};
pub(crate) use checksum::{checksum, checksum_append};
pub(crate) use control::{ProducerRow, Status, StatusCode, WallAnchor};
pub(crate) use date::date_of;
pub use fields::{Field, Fields};
pub(crate) use fields::{Unreadable, check_values, take_named};
pub(crate) use figures::LogFigures;
pub use figures::{ProducerFigures, State};
pub(crate) use file_name::{
    EVENT_FILE, EVENT_TEMPORARY_FILE, LOCK_FILE, OFFLINE_FILE, RINGS_TEMPORARY_FILE, SPARE_FILE, rings_file_name,
    run_of_rings_file, segment_file_name, segment_number,
};
pub(crate) use identity::{LogId, StoredRunId};
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) use limits::FIELD_NAME_BYTES_MAX;
pub(crate) use limits::{
    BLOCK_BYTES_MAX, GRID_BYTES, MERGE_BYTES_MAX, NAME_BYTES_MAX, PRODUCERS_MAX, WRITER_PRODUCER, definition_bytes_max,
};
pub use loss::{DroppedBy, LossCause};
pub(crate) use loss::{GAPS_MAX, GapRecord, RefusalCounts, counts_by_cause};
pub(crate) use newer::Newer;
pub(crate) use packed::{
    MESSAGE_CODE, PackedCode, PackedHead, WORDS_MAX, Word, copy_ends, message_mark, pack_message, pack_record,
    pack_words, packed_room,
};
pub(crate) use record::{Kind, RECORD_HEADER_BYTES, RecordFlags, RecordHeader, UnknownKind, padded, record_bytes};
pub(crate) use segment::{Process, SegmentHeader};
pub(crate) use shard::{Encoding, SHARD_HEADER_BYTES, ShardHeader};
pub(crate) use snapshot_name::{SNAPSHOTS_FOLDER, crash_reason, parse_snapshot_name, snapshot_file_name};
pub use value::Value;
pub(crate) use value::{Decoded, FieldType, Fraction, Layout, PLACE, Type, Values};
pub(crate) use varint::unzigzag;
pub(crate) use zeros::is_zero;
