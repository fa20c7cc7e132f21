//! The records of one shard, one after the other: messages, and records of callsites, whatever their encoding.
//!
//! The values of a record are checked here against the types of its callsite, so that later readers of
//! them find them valid.

use super::super::callsites::CallsiteAt;
use super::block::{Loaded, PassedOver, Shard};
use crate::format::{
    Encoding, Kind, Layout, MESSAGE_CODE, Newer, PackedHead, RecordFlags, RecordHeader, Unreadable, check_values,
    message_mark,
};

/// Bytes of a callsite's id before plain values.
const ID_BYTES: usize = 4;

// By default, a record is a message.
const _: () = assert!(MESSAGE_CODE == 0);

/// A record in a shard: a message, or the values of a callsite's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardRecord {
    pub(crate) timestamp_ns: u64,
    pub(crate) sequence: u64,
    /// The offset of its bytes in the payload: the message, or the values.
    pub(crate) start: usize,
    pub(crate) length: usize,
    /// The callsite's id; [`MESSAGE_CODE`] for a message.
    pub(crate) callsite: u32,
    /// Where the block has the callsite.
    pub(crate) callsite_at: CallsiteAt,
    pub(crate) level: u8,
    pub(crate) flags: u8,
    /// How the values are laid out.
    pub(crate) layout: Layout,
}

impl ShardRecord {
    pub(crate) fn is_truncated(&self) -> bool {
        self.flags & RecordFlags::TRUNCATED != 0
    }
}

/// What comes next in a packed shard.
enum Packed {
    /// A record that is valid: it was brought to the caller.
    Valid,
    /// A record that was counted, and is not shown.
    PassedOver,
    /// No record.
    None,
}

/// Reads the records of one shard, one after the other; by default, of one without records.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardRecords {
    sequence: u64,
    left: u32,
    position: usize,
    end: usize,
    layout: Layout,
    /// The time of the record before, in a packed shard.
    timestamp_ns: u64,
    /// The callsite of the record before, and where the block has it: often it is that of the next one too.
    callsite: (u32, CallsiteAt),
    /// Records that were passed over.
    pub(crate) passed_over: PassedOver,
}

impl ShardRecords {
    pub(crate) fn of(shard: &Shard) -> ShardRecords {
        let mut records = ShardRecords {
            sequence: shard.first_sequence,
            left: shard.records,
            position: shard.start,
            end: shard.end,
            layout: Layout::Plain,
            timestamp_ns: shard.base_ns,
            ..ShardRecords::default()
        };
        match shard.encoding {
            Encoding::Plain => {}
            Encoding::Packed => records.layout = Layout::Packed,
            Encoding::Newer(newer) => {
                records.passed_over.add_newer(newer, shard.records);
                (records.left, records.position) = (0, shard.end);
            }
        }
        records
    }

    /// Brings the next record to `next`, and returns whether there is one; `next` stays if there is none. `block` is
    /// the shard's.
    #[inline]
    pub(crate) fn next(&mut self, block: &Loaded, next: &mut ShardRecord) -> bool {
        if self.layout == Layout::Packed {
            loop {
                match self.next_packed(block, next) {
                    Packed::Valid => return true,
                    Packed::PassedOver => {}
                    Packed::None => return self.count_rest(),
                }
            }
        }
        let payload = block.payload();
        while self.left > 0 {
            let Ok((header, bytes, rest)) = RecordHeader::split(&payload[self.position..self.end]) else { break };
            let start = self.position + size_of::<RecordHeader>();
            self.position = self.end - rest.len();
            let sequence = self.take_sequence();
            let record = ShardRecord {
                timestamp_ns: header.timestamp_ns.get(),
                sequence,
                start,
                length: bytes.len(),
                callsite: MESSAGE_CODE,
                callsite_at: CallsiteAt::NOWHERE,
                level: header.level,
                flags: header.flags,
                layout: Layout::Plain,
            };
            if header.kind == Kind::Message as u8 {
                *next = record;
                return true;
            }
            if header.kind == Kind::Structured as u8 {
                if self.structured(block, record, next) {
                    return true;
                }
            } else {
                self.passed_over.add(&PassedOver::of_unknown_kind(header.kind));
            }
        }
        self.count_rest()
    }

    /// Takes the next record of a packed shard.
    // One record a call: in a loop, the compiler loads fields for every record that few records need.
    #[inline(never)]
    fn next_packed(&mut self, block: &Loaded, next: &mut ShardRecord) -> Packed {
        if self.left == 0 {
            return Packed::None;
        }
        match PackedHead::read_short(&block.payload()[self.position..self.end]) {
            Some(head) => self.take_packed(head, block, next),
            None => self.next_long_packed(block, next),
        }
    }

    /// As [`next_packed`](Self::next_packed), if the head is long or there is none. It is a function of its own, so
    /// that a short head stays in registers.
    #[cold]
    #[inline(never)]
    fn next_long_packed(&mut self, block: &Loaded, next: &mut ShardRecord) -> Packed {
        match PackedHead::read(&block.payload()[self.position..self.end]) {
            Some(head) => self.take_packed(head, block, next),
            None => Packed::None,
        }
    }

    #[inline(always)]
    fn take_packed(&mut self, head: PackedHead, block: &Loaded, next: &mut ShardRecord) -> Packed {
        let payload = block.payload();
        let Some(timestamp_ns) = self.timestamp_ns.checked_add(head.delta_ns) else { return Packed::None };
        let start = self.position + head.head_bytes;
        self.position = start + head.length;
        self.timestamp_ns = timestamp_ns;
        let sequence = self.take_sequence();
        let mut record = ShardRecord {
            timestamp_ns,
            sequence,
            start,
            length: head.length,
            callsite: head.code,
            layout: Layout::Packed,
            ..ShardRecord::default()
        };
        if head.code != MESSAGE_CODE {
            return if self.check(block, record, next) { Packed::Valid } else { Packed::PassedOver };
        }
        let Some(&mark) = payload[start..self.position].first() else {
            self.passed_over.invalid += 1;
            return Packed::PassedOver;
        };
        let (level, truncated) = message_mark(mark);
        (record.start, record.length, record.level) = (start + 1, head.length - 1, level);
        record.flags = if truncated { RecordFlags::TRUNCATED } else { 0 };
        *next = record;
        Packed::Valid
    }

    /// Brings a plain record of kind structured to `next`, and returns whether it is valid.
    #[inline(never)]
    fn structured(&mut self, block: &Loaded, mut record: ShardRecord, next: &mut ShardRecord) -> bool {
        let payload = &block.payload()[record.start..record.start + record.length];
        let id = payload.first_chunk::<ID_BYTES>().map(|id| u32::from_le_bytes(*id));
        let Some(id) = id.filter(|&id| id != MESSAGE_CODE) else {
            self.passed_over.invalid += 1;
            return false;
        };
        (record.start, record.length, record.callsite) = (record.start + ID_BYTES, record.length - ID_BYTES, id);
        self.check(block, record, next)
    }

    /// Compares the record's values with its callsite, and brings it to `next`. Returns whether it is valid.
    #[inline(always)]
    fn check(&mut self, block: &Loaded, mut record: ShardRecord, next: &mut ShardRecord) -> bool {
        let id = record.callsite;
        if self.callsite.0 != id {
            self.callsite = (id, block.callsites.find(id));
        }
        record.callsite_at = self.callsite.1;
        let Some(callsite) = block.callsites.at(record.callsite_at) else {
            self.passed_over.undefined += 1;
            *next = record;
            return true;
        };
        let values = &block.payload()[record.start..record.start + record.length];
        match check_values(&callsite.info, values, record.layout) {
            Ok(truncated) => {
                record.level = callsite.info.level;
                record.flags |= if truncated { RecordFlags::TRUNCATED } else { 0 };
                *next = record;
                return true;
            }
            Err(Unreadable::Newer(newer)) => self.passed_over.add_newer(newer, 1),
            Err(Unreadable::Invalid) => self.passed_over.invalid += 1,
        }
        false
    }

    #[inline]
    fn take_sequence(&mut self) -> u64 {
        let sequence = self.sequence;
        // `ShardHeader::split` refuses a shard whose last sequence number does not exist.
        self.sequence += 1;
        self.left -= 1;
        sequence
    }

    /// Counts what is left of the shard, which no record accounts for.
    fn count_rest(&mut self) -> bool {
        // With bytes after the last record, the shard's count is wrong.
        self.passed_over.invalid += u64::from(self.left) + u64::from(self.position < self.end);
        (self.left, self.position) = (0, self.end);
        false
    }
}

/// The first mark of a newer diolog on the records of a block, if there is one. Looks at every record.
pub(crate) fn newer_in(block: &Loaded) -> Option<Newer> {
    let of_shard = |shard: &Shard| {
        let (mut records, mut record) = (ShardRecords::of(shard), ShardRecord::default());
        while records.next(block, &mut record) {}
        records.passed_over.shown_by
    };
    block.passed_over.shown_by.or_else(|| block.shards.iter().find_map(of_shard))
}
