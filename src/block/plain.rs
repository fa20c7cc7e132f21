//! Plain shards: [`PlainRecords`] is the writer's hot loop, which adds a producer's records to a block one after the
//! other.

use zerocopy::FromBytes;

use super::body::{Body, ShardLayout};
use super::callsites::CallsiteTable;
use super::definitions::BlockDefinitions;
use super::gaps::{First, Gaps, open_shard_at};
use super::record::{RecordMeta, push};
use crate::format::{RecordHeader, record_bytes};

/// Adds records of one producer to a block.
///
/// Only [`PlainRecords::end`] copies the fields that change with each record back to the block, so that the loop around
/// [`PlainRecords::append`] keeps them in registers.
#[must_use = "the block does not count the added records until `end`"]
pub(crate) struct PlainRecords<'a> {
    body: &'a mut Body,
    producer: u32,
    /// The offset of the first added record, or where it will go.
    first_at: usize,
    /// Like the body's `used`, but current.
    used: usize,
    /// A record with this sequence continues the producer's open shard; any other opens a shard. If none is open, it is
    /// the sequence of the producer's last record, which no later record has.
    continues_at: u64,
    gaps: &'a mut Gaps,
    definitions: &'a mut BlockDefinitions,
    /// The number of the writer's next own record.
    own_sequence: &'a mut u64,
}

impl<'a> PlainRecords<'a> {
    /// Begins to add records of `producer`, whose last record has the sequence before `sequence`.
    #[inline]
    pub(super) fn new(
        body: &'a mut Body,
        gaps: &'a mut Gaps,
        definitions: &'a mut BlockDefinitions,
        producer: u32,
        sequence: u64,
        own_sequence: &'a mut u64,
    ) -> PlainRecords<'a> {
        let continues_at = match body.shard {
            Some(shard) if shard.takes(producer, false) => shard.next_sequence,
            // No record to come has this sequence, so the first one opens a shard.
            _ => sequence.wrapping_sub(1),
        };
        PlainRecords {
            producer,
            first_at: body.used,
            used: body.used,
            continues_at,
            gaps,
            definitions,
            own_sequence,
            body,
        }
    }

    /// Adds a record. Returns `false`, and adds nothing, if it does not fit.
    #[inline(always)]
    pub(crate) fn append(&mut self, sequence: u64, meta: RecordMeta, payload: &[u8]) -> bool {
        if sequence != self.continues_at {
            let used = self.used;
            let (producer, timestamp_ns, bytes) = (self.producer, meta.timestamp_ns, record_bytes(payload.len()));
            let first = First { producer, sequence, bytes, timestamp_ns, layout: ShardLayout::Plain };
            self.body.used = used;
            let Some(at) = open_shard_at(self.body, self.gaps, self.continues_at, first, self.own_sequence) else {
                return false;
            };
            if used == self.first_at {
                self.first_at = at;
            }
            self.used = at;
        }
        let Some(used) = push(self.body.writable(), self.used, meta, payload) else { return false };
        self.used = used;
        self.continues_at = sequence.wrapping_add(1);
        true
    }

    /// Prepares to [`append`](Self::append) a record of a callsite: keeps bytes for the callsite's definition, unless
    /// the block has done so. `payload` is the callsite's id and the plain values. An unknown callsite has no
    /// definition. Returns `false` if there is not enough room.
    pub(crate) fn define(&mut self, callsites: &mut CallsiteTable, payload: &[u8]) -> bool {
        let Some(id) = payload.first_chunk::<4>().map(|id| u32::from_le_bytes(*id)) else { return true };
        self.body.used = self.used;
        self.definitions.define(id, self.body, callsites)
    }

    /// Counts the added records: `records` of them, at least one. Their times never go back, and the last is `last_ns`.
    /// Returns the sequence after the last.
    #[inline]
    pub(crate) fn end(self, records: u32, last_ns: u64) -> u64 {
        let body = self.body;
        let first = RecordHeader::ref_from_prefix(&body.buffer[self.first_at..self.used]);
        let first_ns = first.expect("at least one record was added").0.timestamp_ns.get();
        debug_assert!(first_ns <= last_ns, "the times of one producer go back");
        body.used = self.used;
        body.records += records;
        body.times.include(first_ns, last_ns);
        body.shard.as_mut().expect("the first record opened a shard").next_sequence = self.continues_at;
        self.continues_at
    }
}
