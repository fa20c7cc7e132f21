//! The bytes of a block while it is filled: where the next record goes, and its shard.
//!
//! A shard is a run of one producer's records with consecutive sequences. Its header is written when the shard ends,
//! because it holds the shard's length. This file adds the writer's own records; `plain` and `packed` add those of
//! producers, and `mod` opens and seals the block.

use zerocopy::little_endian::U32;

use super::record::{RecordMeta, push};
use crate::buffer::AlignedBuffer;
use crate::format::{BLOCK_HEADER_BYTES, GRID_BYTES, SHARD_HEADER_BYTES, ShardHeader, WRITER_PRODUCER, record_bytes};

/// The first and the last of a set of timestamps, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeSpan {
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
}

impl TimeSpan {
    /// The span of no timestamps.
    pub(super) const NONE: TimeSpan = TimeSpan { first_ns: u64::MAX, last_ns: 0 };

    #[inline]
    pub(super) fn include(&mut self, first_ns: u64, last_ns: u64) {
        self.first_ns = self.first_ns.min(first_ns);
        self.last_ns = self.last_ns.max(last_ns);
    }
}

/// How the records of a shard are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShardLayout {
    /// As headers and payloads.
    Plain,
    /// As time differences and variable-length numbers.
    Packed {
        /// The time of the first record.
        base_ns: u64,
        /// One bit for each level that a message in the shard has.
        message_levels: u8,
    },
}

/// The shard to which records are being added.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenShard {
    /// The offset of its header in the buffer.
    at: usize,
    pub(super) producer: u32,
    first_sequence: u64,
    /// The sequence of the next record of the shard.
    pub(super) next_sequence: u64,
    pub(super) layout: ShardLayout,
}

impl ShardLayout {
    /// The levels of the messages so far, if the shard is packed.
    pub(super) fn message_levels(self) -> u8 {
        match self {
            ShardLayout::Plain => 0,
            ShardLayout::Packed { message_levels, .. } => message_levels,
        }
    }

    /// Sets the levels of the messages so far, if the shard is packed.
    pub(super) fn set_message_levels(&mut self, levels: u8) {
        if let ShardLayout::Packed { message_levels, .. } = self {
            *message_levels = levels;
        }
    }
}

impl OpenShard {
    /// Whether a record of `producer` can join the shard: it must be the same producer and the same form, packed or
    /// plain.
    pub(super) fn takes(&self, producer: u32, packed: bool) -> bool {
        self.producer == producer && packed == (self.layout != ShardLayout::Plain)
    }
}

/// The shards and records of a block, without the block header.
pub(super) struct Body {
    pub(super) buffer: AlignedBuffer,
    /// Bytes used, including the block header; at most `limit`.
    pub(super) used: usize,
    /// Records must end here: at the buffer's end, less the bytes that are kept for the definitions at the block's end.
    pub(super) limit: usize,
    pub(super) shard: Option<OpenShard>,
    /// Shards that have ended.
    pub(super) shards: u32,
    pub(super) records: u32,
    /// The times of producers' records.
    pub(super) times: TimeSpan,
}

impl Body {
    pub(super) fn new(buffer: AlignedBuffer) -> Body {
        assert!(buffer.len().is_multiple_of(GRID_BYTES) && !buffer.is_empty(), "a block of {} bytes", buffer.len());
        let limit = buffer.len();
        Body { buffer, used: BLOCK_HEADER_BYTES, limit, shard: None, shards: 0, records: 0, times: TimeSpan::NONE }
    }

    pub(super) fn free_bytes(&self) -> usize {
        self.limit - self.used
    }

    /// All bytes that records may use, including those already used.
    #[inline(always)]
    pub(super) fn writable(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.limit]
    }

    /// Starts a shard if it and a first record of `first_record_bytes` fit.
    pub(super) fn open_shard(
        &mut self,
        producer: u32,
        first_sequence: u64,
        first_record_bytes: usize,
        layout: ShardLayout,
    ) -> bool {
        if SHARD_HEADER_BYTES + first_record_bytes > self.free_bytes() {
            return false;
        }
        self.close_shard();
        self.shard = Some(OpenShard { at: self.used, producer, first_sequence, next_sequence: first_sequence, layout });
        self.used += SHARD_HEADER_BYTES;
        true
    }

    /// Adds a record of the writer's own. Its number is `own_sequence`, which is advanced. Returns `false`, and adds
    /// nothing, if it does not fit.
    pub(super) fn append_control(&mut self, own_sequence: &mut u64, meta: RecordMeta, payload: &[u8]) -> bool {
        let sequence = *own_sequence;
        let continues =
            self.shard.is_some_and(|shard| shard.producer == WRITER_PRODUCER && shard.next_sequence == sequence);
        if !continues && !self.open_shard(WRITER_PRODUCER, sequence, record_bytes(payload.len()), ShardLayout::Plain) {
            return false;
        }
        let at = self.used;
        let Some(used) = push(self.writable(), at, meta, payload) else { return false };
        self.used = used;
        self.records += 1;
        self.shard.as_mut().expect("it continues a shard, or has opened one").next_sequence += 1;
        *own_sequence += 1;
        true
    }

    /// Writes the open shard's header, now that its length is known.
    pub(super) fn close_shard(&mut self) {
        let Some(shard) = self.shard.take() else { return };
        let mut header = match shard.layout {
            ShardLayout::Plain => ShardHeader::plain(shard.producer, shard.first_sequence),
            ShardLayout::Packed { base_ns, message_levels } => {
                let header = ShardHeader::packed(shard.producer, shard.first_sequence, base_ns);
                ShardHeader { levels: message_levels, ..header }
            }
        };
        header.valid = U32::new((self.used - shard.at - SHARD_HEADER_BYTES) as u32);
        header.records = U32::new((shard.next_sequence - shard.first_sequence) as u32);
        header.encode(&mut self.buffer[shard.at..]);
        self.shards += 1;
    }
}
