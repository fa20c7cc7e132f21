//! One record's bytes in the plain encoding: a header of 16 bytes, and the payload padded to a multiple of 8.

use zerocopy::little_endian::{U32, U64};

use crate::format::{Kind, RECORD_HEADER_BYTES, RecordHeader, copy_ends, padded};
use crate::level::Level;

/// A record's header fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordMeta {
    pub(crate) kind: u8,
    pub(crate) level: u8,
    pub(crate) flags: u8,
    pub(crate) timestamp_ns: u64,
}

impl RecordMeta {
    /// The writer's own record of this kind.
    pub(super) fn control(kind: Kind, timestamp_ns: u64) -> RecordMeta {
        RecordMeta { kind: kind as u8, level: Level::Info as u8, flags: 0, timestamp_ns }
    }
}

/// Writes a record into `buffer` at offset `at`. Returns its end; `None`, without a write, if it does not fit.
#[inline(always)]
pub(super) fn push(buffer: &mut [u8], at: usize, meta: RecordMeta, payload: &[u8]) -> Option<usize> {
    let length = payload.len();
    let end = at + RECORD_HEADER_BYTES + padded(length);
    let (head, body) = buffer.get_mut(at..end)?.split_at_mut(RECORD_HEADER_BYTES);
    let header = RecordHeader {
        length: U32::new(length as u32),
        kind: meta.kind,
        level: meta.level,
        flags: meta.flags,
        reserved: 0,
        timestamp_ns: U64::new(meta.timestamp_ns),
    };
    head.copy_from_slice(&header.to_words());
    // To zero the whole last word before the copy is cheaper than to zero just the padding after it.
    if let Some(last_word) = body.last_chunk_mut::<8>() {
        *last_word = [0; 8];
    }
    copy(payload, &mut body[..length]);
    Some(end)
}

/// Copies `from` to `to`, which has the same length. For the lengths of most messages this makes no call: it copies two
/// chunks that may overlap.
#[inline(always)]
fn copy(from: &[u8], to: &mut [u8]) {
    match from.len() {
        65..=128 => copy_ends::<64>(from, to),
        33..=64 => copy_ends::<32>(from, to),
        16..=32 => copy_ends::<16>(from, to),
        8..=15 => copy_ends::<8>(from, to),
        _ => to.copy_from_slice(from),
    }
}
