//! One block in memory: read, checked, and taken apart into shards of records and the writer's own notes.

use crate::error::Result;
use crate::format::{
    BLOCK_HEADER_BYTES, BlockHeader, Encoding, Kind, ProducerRow, RecordFlags, RecordHeader, SegmentHeader,
    ShardHeader, Status, UnknownKind, WRITER_PRODUCER, WallAnchor,
};

use super::scan::{BlockLocation, Chunk, SegmentFile};

/// Records of one producer that stand together in a block. Its bytes are not taken apart yet.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    /// The id of the producer in its run.
    pub(super) producer: u32,
    pub(super) first_sequence: u64,
    pub(super) records: u32,
    /// Where its records begin in [`Loaded::payload`].
    pub(super) start: usize,
    /// Where they end.
    pub(super) end: usize,
}

/// A record of the writer's own.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// A producer, for the records that follow; its counts are those before this block.
    Row(ProducerRow),
    /// A producer's final counts.
    End(ProducerRow),
    Anchor(WallAnchor),
    Status(Status),
    Segment,
}

/// A block, reused from one to the next.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Header and payload; only the first `filled` bytes are of this block.
    bytes: Vec<u8>,
    filled: usize,
    /// Shards of producers, in the order of the file.
    pub(super) shards: Vec<Shard>,
    /// The writer's own records, in the order of the file.
    pub(super) notes: Vec<Note>,
    /// All shards, the writer's own included.
    pub(super) shards_found: u64,
    /// All records in them, by their headers' word.
    pub(super) records_found: u64,
    /// Records that this version cannot read.
    pub(super) unreadable: u64,
    /// Records of the writer's that may be passed over.
    pub(super) skipped: u64,
    /// Smallest and largest timestamp of the writer's own records.
    pub(super) notes_ns: Option<(u64, u64)>,
}

impl Loaded {
    /// The shards' bytes.
    #[inline]
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[BLOCK_HEADER_BYTES.min(self.filled)..self.filled]
    }

    /// Bytes of memory that it holds, its list of shards aside.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Reads the block with `header` at `offset`, and returns whether it is intact.
    pub(super) fn read(&mut self, file: &SegmentFile, offset: u64, header: &BlockHeader) -> Result<bool> {
        let bytes = self.prepare(header);
        let wanted = bytes.len();
        Ok(file.read_at(offset, bytes)? == wanted && self.check(offset, header, wanted))
    }

    /// As [`read`](Self::read), together with the blocks behind it if it is small.
    pub(super) fn read_through(&mut self, chunk: &mut Chunk, place: &BlockLocation) -> Result<bool> {
        let BlockLocation { file, offset, header, .. } = place;
        let bytes = self.prepare(header);
        let wanted = bytes.len();
        if let Some(held) = chunk.get(file, *offset, wanted)? {
            bytes.copy_from_slice(held);
            if self.check(*offset, header, wanted) {
                return Ok(true);
            }
        }
        // What the chunk holds may be older than what the file does.
        self.read(file, *offset, header)
    }

    /// Room for a block's header and shards.
    fn prepare(&mut self, header: &BlockHeader) -> &mut [u8] {
        self.clear();
        // `decode` has bounded the length by the block's capacity, and that by 16 MiB.
        let wanted = BLOCK_HEADER_BYTES + header.valid.get() as usize;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        &mut self.bytes[..wanted]
    }

    /// Whether the first `filled` bytes are the block with `header` at `offset`, and intact.
    fn check(&mut self, offset: u64, header: &BlockHeader, filled: usize) -> bool {
        self.filled = filled;
        BlockHeader::decode(&self.bytes[..filled], offset).as_ref() == Ok(header)
            && header.payload_is_intact(self.payload())
    }

    /// Takes an intact block apart.
    pub(super) fn take_apart(&mut self, header: &BlockHeader) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[BLOCK_HEADER_BYTES.min(self.filled)..self.filled];
        let payload_bytes = rest.len();
        while let Some((shard, records, behind)) = ShardHeader::split(rest) {
            let end = payload_bytes - behind.len();
            let count = shard.records.get();
            self.shards_found += 1;
            self.records_found += u64::from(count);
            rest = behind;
            if shard.encoding() != Encoding::Plain {
                self.unreadable += u64::from(count);
                continue;
            }
            let producer = shard.producer.get();
            if producer == WRITER_PRODUCER {
                self.take_notes(records, count);
                continue;
            }
            let first_sequence = shard.first_sequence.get();
            self.shards.push(Shard { producer, first_sequence, records: count, start: end - records.len(), end });
        }
        // What is behind the last shard that can be read counts by the block's own word.
        let missing = u64::from(header.records.get()).saturating_sub(self.records_found);
        self.unreadable += missing.max(u64::from(!rest.is_empty()));
        self.bytes = bytes;
    }

    fn take_notes(&mut self, mut bytes: &[u8], count: u32) {
        for taken in 0..count {
            let Ok((header, payload, rest)) = RecordHeader::split(bytes) else {
                self.unreadable += u64::from(count - taken);
                return;
            };
            bytes = rest;
            let ns = header.timestamp_ns.get();
            let (first, last) = self.notes_ns.unwrap_or((ns, ns));
            self.notes_ns = Some((first.min(ns), last.max(ns)));
            let note = match Kind::from_u8(header.kind) {
                Ok(Kind::ProducerStart | Kind::ProducerRow) => ProducerRow::decode(payload).map(Note::Row),
                Ok(Kind::ProducerEnd) => ProducerRow::decode(payload).map(Note::End),
                Ok(Kind::WallAnchor) => WallAnchor::decode(payload).map(Note::Anchor),
                Ok(Kind::Status) => Status::decode(payload).map(Note::Status),
                Ok(Kind::Segment) => SegmentHeader::decode(payload).map(|_| Note::Segment),
                Ok(Kind::Message) => None,
                Err(UnknownKind::Skippable) => {
                    self.skipped += 1;
                    continue;
                }
                Err(UnknownKind::None | UnknownKind::Newer(_)) => None,
            };
            match note {
                Some(note) => self.notes.push(note),
                None => self.unreadable += 1,
            }
        }
    }

    fn clear(&mut self) {
        self.filled = 0;
        self.shards.clear();
        self.notes.clear();
        (self.shards_found, self.records_found) = (0, 0);
        (self.unreadable, self.skipped) = (0, 0);
        self.notes_ns = None;
    }
}

/// A message in a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) timestamp_ns: u64,
    pub(super) sequence: u64,
    /// Where its bytes begin in the payload.
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) level: u8,
    pub(super) flags: u8,
}

impl Message {
    pub(super) fn is_truncated(&self) -> bool {
        self.flags & RecordFlags::TRUNCATED != 0
    }
}

/// The messages of one shard, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    sequence: u64,
    left: u32,
    position: usize,
    end: usize,
    /// Records passed over because they may be.
    pub(super) skipped: u64,
    /// Records that cannot be read.
    pub(super) unreadable: u64,
}

impl Messages {
    pub(super) fn of(shard: &Shard) -> Messages {
        let (position, end) = (shard.start, shard.end);
        Messages { sequence: shard.first_sequence, left: shard.records, position, end, skipped: 0, unreadable: 0 }
    }

    /// The next message in `payload`, the one that the shard is part of.
    #[inline]
    pub(super) fn next(&mut self, payload: &[u8]) -> Option<Message> {
        while self.left > 0 {
            let bytes = payload.get(self.position..self.end)?;
            let Ok((header, message, rest)) = RecordHeader::split(bytes) else {
                self.unreadable += u64::from(self.left);
                self.left = 0;
                break;
            };
            let start = self.position + size_of::<RecordHeader>();
            self.position = self.end - rest.len();
            let sequence = self.sequence;
            // The shard's header was refused if its last sequence number did not exist.
            self.sequence += 1;
            self.left -= 1;
            if header.kind == Kind::Message as u8 {
                return Some(Message {
                    timestamp_ns: header.timestamp_ns.get(),
                    sequence,
                    start,
                    length: message.len(),
                    level: header.level,
                    flags: header.flags,
                });
            } else if Kind::from_u8(header.kind) == Err(UnknownKind::Skippable) {
                self.skipped += 1;
            } else {
                self.unreadable += 1;
            }
        }
        if self.position < self.end {
            // Bytes behind the last record: the shard's count is not the truth about it.
            self.unreadable += 1;
            self.position = self.end;
        }
        None
    }
}
