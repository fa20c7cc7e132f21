//! Packed shards: [`PackedRecords`] is the writer's hot loop for records of callsites, as
//! [`PlainRecords`](super::PlainRecords) is the one for messages alone.
//!
//! A packed shard begins with a record of a callsite. Messages that follow it are packed too, so that a producer of
//! both kinds does not begin a new shard at each change.

use super::body::{Body, ShardLayout, TimeSpan};
use super::callsites::{CallsiteTable, Definition};
use super::definitions::BlockDefinitions;
use super::gaps::{First, Gaps, open_shard_at};
use super::record::RecordMeta;
use crate::format::{FieldType, Layout, RecordFlags, Values, pack_message, pack_record, pack_words, packed_room};

/// The result of adding a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Yes,
    /// Nothing was added: there is not enough room.
    Full,
    /// Nothing was added: the record must be plain. Either it is a message and would begin a shard, or its callsite is
    /// unknown, or its values do not match its callsite, or it needs a block alone.
    NotPacked,
}

/// Adds records of one producer to a block, packed.
///
/// As in [`PlainRecords`](super::PlainRecords), only [`PackedRecords::end`] copies back the fields that change with
/// each record.
#[must_use = "the block does not count the added records until `end`"]
pub(crate) struct PackedRecords<'a> {
    body: &'a mut Body,
    producer: u32,
    /// Like the body's `used`, but current.
    used: usize,
    /// As [`PlainRecords`](super::PlainRecords)'s, of packed shards.
    continues_at: u64,
    /// The time of the shard's last record.
    last_ns: u64,
    /// The levels of the shard's messages.
    message_levels: u8,
    surroundings: Surroundings<'a>,
}

/// The rest of the block that adding records changes: what explains them, and what they need to be read.
pub(super) struct Surroundings<'a> {
    pub(super) gaps: &'a mut Gaps,
    pub(super) definitions: &'a mut BlockDefinitions,
    pub(super) callsites: &'a mut CallsiteTable,
    /// The number of the writer's next own record.
    pub(super) own_sequence: &'a mut u64,
}

impl<'a> PackedRecords<'a> {
    /// Begins to add records after the producer's `last` one.
    #[inline]
    pub(super) fn new(body: &'a mut Body, last: Last, surroundings: Surroundings<'a>) -> PackedRecords<'a> {
        let Last { producer, sequence, last_ns } = last;
        let (continues_at, message_levels) = match body.shard {
            Some(shard) if shard.takes(producer, true) => (shard.next_sequence, shard.layout.message_levels()),
            // No record to come has this sequence, so the first one opens a shard.
            _ => (sequence.wrapping_sub(1), 0),
        };
        PackedRecords { used: body.used, body, producer, continues_at, last_ns, message_levels, surroundings }
    }

    /// The time of the producer's last record.
    #[inline(always)]
    pub(crate) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Adds a record of a callsite. `payload` is the callsite's id and the plain values.
    #[inline(always)]
    pub(crate) fn append(&mut self, sequence: u64, timestamp_ns: u64, payload: &[u8]) -> Added {
        let Some((id, values)) = payload.split_first_chunk::<4>() else { return Added::NotPacked };
        let id = u32::from_le_bytes(*id);
        let mark = self.surroundings.definitions.mark;
        let defined = self.surroundings.callsites.entry_in(id, mark);
        let entry = if let Some(entry) = defined
            && sequence == self.continues_at
        {
            entry
        } else {
            let PackedRecords { used, continues_at, message_levels, .. } = *self;
            let record = New { producer: self.producer, sequence, timestamp_ns, id, values };
            let open = Open { used, continues_at, message_levels };
            // A copy of the references: a pointer to `self` would keep its fields out of registers.
            let Surroundings { gaps, definitions, callsites, own_sequence } = &mut self.surroundings;
            match admit(self.body, Surroundings { gaps, definitions, callsites, own_sequence }, open, record) {
                Ok(at) if at == used => {}
                Ok(at) => (self.used, self.last_ns, self.message_levels) = (at, timestamp_ns, 0),
                Err(refusal) => return refusal,
            }
            let Some(entry) = self.surroundings.callsites.entry_in(id, mark) else { return Added::NotPacked };
            entry
        };
        let delta_ns = timestamp_ns - self.last_ns;
        let room = self.body.writable();
        let used = if let Some((words, plain)) = entry.words(values)
            && let Some(room) = room.get_mut(self.used..).and_then(<[u8]>::first_chunk_mut)
        {
            self.used + pack_words(room, entry.code, delta_ns, words, plain)
        } else {
            match pack_any(room, self.used, self.surroundings.callsites.definition(id), delta_ns, (id, values)) {
                Ok(used) => used,
                Err(refusal) => return refusal,
            }
        };
        self.used = used;
        self.last_ns = timestamp_ns;
        self.continues_at = sequence.wrapping_add(1);
        Added::Yes
    }

    /// Adds a message.
    #[inline(always)]
    pub(crate) fn append_message(&mut self, sequence: u64, meta: RecordMeta, message: &[u8]) -> Added {
        if sequence != self.continues_at {
            return Added::NotPacked;
        }
        let is_truncated = meta.flags & RecordFlags::TRUNCATED != 0;
        let delta_ns = meta.timestamp_ns - self.last_ns;
        let Some(used) = pack_message(self.body.writable(), self.used, delta_ns, meta.level, is_truncated, message)
        else {
            return Added::Full;
        };
        self.used = used;
        self.last_ns = meta.timestamp_ns;
        self.message_levels |= 1 << (meta.level & 0b111);
        self.continues_at = sequence.wrapping_add(1);
        Added::Yes
    }

    /// Counts the added records: `records` of them, at least one. Returns the sequence after the last.
    #[inline]
    pub(crate) fn end(self, records: u32) -> u64 {
        let body = self.body;
        body.used = self.used;
        body.records += records;
        // The shard's first time was included when the shard was opened.
        body.times.include(self.last_ns, self.last_ns);
        let shard = body.shard.as_mut().expect("the first record opened a shard, or continued one");
        shard.next_sequence = self.continues_at;
        shard.layout.set_message_levels(self.message_levels);
        self.continues_at
    }
}

/// Packs a record of any callsite into `room` at offset `at`. Returns the offset after it.
#[inline(never)]
fn pack_any(
    room: &mut [u8],
    at: usize,
    callsite: Option<&Definition>,
    delta_ns: u64,
    (id, values): (u32, &[u8]),
) -> Result<usize, Added> {
    let Some(callsite) = callsite else { return Err(Added::NotPacked) };
    if packed_room(values.len()) > room.len() - at {
        return Err(Added::Full);
    }
    pack_record(room, at, id, delta_ns, &callsite.types, values).ok_or(Added::NotPacked)
}

/// The producer of the records to add, and its last record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) producer: u32,
    /// The sequence after the last record.
    pub(crate) sequence: u64,
    pub(crate) last_ns: u64,
}

/// The state of [`PackedRecords`] before a record is added.
struct Open {
    used: usize,
    continues_at: u64,
    message_levels: u8,
}

/// A record that opens a shard, or is the first of its callsite in the block.
struct New<'a> {
    producer: u32,
    sequence: u64,
    timestamp_ns: u64,
    id: u32,
    values: &'a [u8],
}

/// Opens a shard if the record needs one, and keeps bytes for its callsite's definition if the block has none. Returns
/// the offset of the record, for which there is enough room.
#[cold]
#[inline(never)]
fn admit(body: &mut Body, surroundings: Surroundings<'_>, open: Open, record: New<'_>) -> Result<usize, Added> {
    let Surroundings { gaps, definitions, callsites, own_sequence } = surroundings;
    let New { producer, sequence, timestamp_ns, id, values } = record;
    let is_defined = callsites.entry_in(id, definitions.mark).is_some();
    let Some(definition) = callsites.find(id) else { return Err(Added::NotPacked) };
    // Checked before a shard is opened, because a shard must not stay empty.
    if !is_of(values, &definition.types) {
        return Err(Added::NotPacked);
    }
    let definition_bytes = if is_defined { 0 } else { definitions.bytes_for(&definition.payload) };
    let bytes = packed_room(values.len()) + definition_bytes;
    body.used = open.used;
    let is_first = body.times == TimeSpan::NONE;
    let at = if sequence != open.continues_at {
        if let Some(shard) = body.shard.as_mut().filter(|shard| shard.takes(producer, true)) {
            shard.layout.set_message_levels(open.message_levels);
        }
        let layout = ShardLayout::Packed { base_ns: timestamp_ns, message_levels: 0 };
        let first = First { producer, sequence, bytes, timestamp_ns, layout };
        open_shard_at(body, gaps, open.continues_at, first, own_sequence)
    } else {
        (bytes <= body.free_bytes()).then_some(open.used)
    };
    // If the record does not fit an empty block, it must be plain: the worst case of the plain form is smaller.
    let Some(at) = at else { return Err(if is_first { Added::NotPacked } else { Added::Full }) };
    body.times.include(timestamp_ns, timestamp_ns);
    if !is_defined {
        definitions.keep_for(id, definition_bytes, body, callsites);
    }
    Ok(at)
}

/// Whether the plain `values` are of these types.
fn is_of(values: &[u8], types: &[FieldType]) -> bool {
    let mut read = Values::new(values, Layout::Plain);
    types.iter().all(|&of| read.next(of).is_some()) && read.rest().is_empty()
}
