//! Records in the plain encoding: a header of 16 bytes and the payload, padded to 8.
//!
//! [`Records`] is the writer's hot loop: it adds a producer's records to a block one after the other.

use zerocopy::FromBytes;
use zerocopy::little_endian::{U32, U64};

use super::body::Body;
use crate::format::{Kind, RECORD_HEADER_BYTES, RecordHeader, WRITER_PRODUCER, padded, record_bytes};
use crate::level::Level;

/// A record without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordMeta {
    pub(crate) kind: u8,
    pub(crate) level: u8,
    pub(crate) flags: u8,
    pub(crate) timestamp_ns: u64,
}

impl RecordMeta {
    /// The writer's own record of this kind.
    pub(crate) fn control(kind: Kind, timestamp_ns: u64) -> RecordMeta {
        RecordMeta { kind: kind as u8, level: Level::Info as u8, flags: 0, timestamp_ns }
    }
}

/// Adds records of one producer to a block.
///
/// The fields that change with each record are copied back to the block only by [`Records::end`], so that the loop
/// around [`Records::append`] keeps them in registers.
#[must_use = "the block does not count the added records until `end`"]
pub(crate) struct Records<'a> {
    body: &'a mut Body,
    producer: u32,
    /// The offset of the first record, or the one that it will get.
    first_at: usize,
    /// The body's `used`, ahead of it.
    used: usize,
    /// The sequence that continues the open shard.
    next_sequence: u64,
}

impl<'a> Records<'a> {
    /// Begins to add records of `producer`, with sequences from `sequence` on.
    #[inline]
    pub(super) fn new(body: &'a mut Body, producer: u32, sequence: u64) -> Records<'a> {
        let next_sequence = match body.shard {
            Some(shard) if shard.producer == producer => shard.next_sequence,
            // None of the records has this sequence, so the first one opens a shard.
            _ => sequence.wrapping_sub(1),
        };
        Records { producer, first_at: body.used, used: body.used, next_sequence, body }
    }

    /// Adds a record. Returns `false`, and adds nothing, if it does not fit.
    #[inline(always)]
    pub(crate) fn append(&mut self, sequence: u64, meta: RecordMeta, payload: &[u8]) -> bool {
        if sequence != self.next_sequence {
            let (used, next_sequence) = (self.used, self.next_sequence);
            let Some(at) = self.body.open_shard_at(used, next_sequence, self.producer, sequence, payload.len()) else {
                return false;
            };
            if used == self.first_at {
                self.first_at = at;
            }
            self.used = at;
        }
        let Some(used) = push(&mut self.body.buffer, self.used, meta, payload) else { return false };
        self.used = used;
        self.next_sequence = sequence.wrapping_add(1);
        true
    }

    /// Counts the added records: `records` of them, at least one. Their times do not go back, and end with `last_ns`.
    /// Returns the sequence that follows the last.
    #[inline]
    pub(crate) fn end(self, records: u32, last_ns: u64) -> u64 {
        let body = self.body;
        let first = RecordHeader::ref_from_prefix(&body.buffer[self.first_at..self.used]);
        let first_ns = first.expect("at least one record was added").0.timestamp_ns.get();
        debug_assert!(first_ns <= last_ns, "the times of one producer go back");
        body.used = self.used;
        body.records += records;
        body.times.include(first_ns, last_ns);
        body.shard.as_mut().expect("the first record opened a shard").next_sequence = self.next_sequence;
        self.next_sequence
    }
}

/// Adds the writer's own record number `sequence`. Returns `false`, and adds nothing, if it does not fit.
pub(super) fn append_control(body: &mut Body, sequence: u64, meta: RecordMeta, payload: &[u8]) -> bool {
    let continues =
        body.shard.is_some_and(|shard| shard.producer == WRITER_PRODUCER && shard.next_sequence == sequence);
    if !continues && !body.open_shard(WRITER_PRODUCER, sequence, record_bytes(payload.len())) {
        return false;
    }
    let Some(used) = push(&mut body.buffer, body.used, meta, payload) else { return false };
    body.used = used;
    body.records += 1;
    body.shard.as_mut().expect("it continues a shard, or has opened one").next_sequence += 1;
    true
}

/// Writes a record into `buffer` at `at`. Returns its end; `None`, and writes nothing, if it does not fit.
#[inline(always)]
fn push(buffer: &mut [u8], at: usize, meta: RecordMeta, payload: &[u8]) -> Option<usize> {
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
    // Zeroing the whole last word before the copy is cheaper than zeroing the padding by its length after it.
    if let Some(last_word) = body.last_chunk_mut::<8>() {
        *last_word = [0; 8];
    }
    copy(payload, &mut body[..length]);
    Some(end)
}

/// Copies `from` to `to`, of the same length. The lengths of most messages are copied without a call, as two chunks
/// that may overlap.
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

/// Copies the first and the last `BYTES` bytes.
#[inline(always)]
fn copy_ends<const BYTES: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<BYTES>(), to.first_chunk_mut::<BYTES>()) {
        *to = *from;
    }
    if let (Some(from), Some(to)) = (from.last_chunk::<BYTES>(), to.last_chunk_mut::<BYTES>()) {
        *to = *from;
    }
}
