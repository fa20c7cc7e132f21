//! One block in memory: read, checked, and taken apart into producers' shards and the writer's own notes.

use crate::error::Result;
use crate::format::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockHeader, Encoding, GAPS_MAX, GapRecord, Kind, LogFigures, Newer,
    ProducerFigures, ProducerRow, RecordHeader, RefusalCounts, SegmentHeader, ShardHeader, Status, UnknownKind,
    WRITER_PRODUCER, WallAnchor,
};

#[cfg(feature = "unstable")]
use crate::format::{BLOCK_MAGIC, GRID_BYTES};
#[cfg(feature = "unstable")]
use zerocopy::{FromBytes, IntoBytes};

use super::super::callsites::{Callsites, KnownCallsites};
use super::cursor::BlockLocation;
use super::segment_file::{Chunk, SegmentFile};

/// Consecutive records of one producer in a block.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    /// The id of the producer in its run.
    pub(crate) producer: u32,
    pub(crate) first_sequence: u64,
    pub(crate) records: u32,
    pub(crate) encoding: Encoding,
    /// The time from which a packed shard counts.
    pub(crate) base_ns: u64,
    /// The levels of the messages in a packed shard, as a mask.
    pub(crate) message_levels: u8,
    /// The offset of its records in [`Loaded::payload`].
    pub(crate) start: usize,
    /// The offset after them.
    pub(crate) end: usize,
}

impl Shard {
    fn readable_records(&self) -> u64 {
        if let Encoding::Newer(_) = self.encoding { 0 } else { self.records.into() }
    }
}

/// Records that were passed over or cannot be read whole, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PassedOver {
    /// Of unknown kinds that a reader may skip, or more gap records than a block may hold.
    pub(crate) skipped: u64,
    /// Written by a newer diolog.
    pub(crate) newer: u64,
    /// The mark of a newer diolog on the first of them.
    pub(crate) shown_by: Option<Newer>,
    /// Invalid, though the block's checksum fits.
    pub(crate) invalid: u64,
    /// Of callsites that their block does not define: those are given, without their fields.
    pub(crate) undefined: u64,
}

impl PassedOver {
    pub(crate) fn is_empty(&self) -> bool {
        *self == PassedOver::default()
    }

    pub(crate) fn add(&mut self, other: &PassedOver) {
        self.skipped += other.skipped;
        self.newer += other.newer;
        self.shown_by = self.shown_by.or(other.shown_by);
        self.invalid += other.invalid;
        self.undefined += other.undefined;
    }

    /// One record of a producer that is not a message. By value, so that the loop over messages keeps its state in
    /// registers.
    #[cold]
    #[inline(never)]
    pub(super) fn of_unknown_kind(kind: u8) -> PassedOver {
        let mut passed_over = PassedOver::default();
        match Kind::from_u8(kind) {
            Err(UnknownKind::Skippable) => passed_over.skipped = 1,
            Err(UnknownKind::Newer(newer)) => passed_over.add_newer(newer, 1),
            // A kind of the writer's own, in a producer's shard.
            Ok(_) | Err(UnknownKind::None) => passed_over.invalid = 1,
        }
        passed_over
    }

    pub(super) fn add_newer(&mut self, newer: Newer, records: u32) {
        self.newer += u64::from(records);
        self.shown_by.get_or_insert(newer);
    }
}

/// A block in memory that is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Header and payload; only the first `filled` bytes are of this block.
    bytes: Vec<u8>,
    filled: usize,
    /// Shards of producers.
    pub(crate) shards: Vec<Shard>,
    /// The producers' rows: names, and counts before this block. This and the other lists are in the order of the file.
    pub(crate) rows: Vec<ProducerRow>,
    /// The final counts of producers.
    pub(crate) ends: Vec<ProducerRow>,
    pub(crate) anchors: Vec<WallAnchor>,
    pub(crate) statuses: Vec<Status>,
    /// Why numbers of producers are missing in this block.
    pub(crate) gaps: Vec<GapRecord>,
    /// The callsites of the producers' records.
    pub(crate) callsites: Callsites,
    /// How many appends were refused in the run so far.
    pub(crate) refusals: Option<RefusalCounts>,
    /// The log's figures, and the time when they were read.
    pub(crate) figures: Option<(u64, LogFigures)>,
    /// Those of some producers.
    pub(crate) producer_figures: Vec<ProducerFigures>,
    /// The number after the writer's last own record.
    pub(crate) own_end: u64,
    /// All shards, the writer's own included.
    pub(crate) shards_found: u64,
    /// The records in them, as their headers say.
    pub(crate) records_found: u64,
    /// The writer's own records that were passed over, and records that no shard accounts for.
    pub(crate) passed_over: PassedOver,
    /// Whether there may be rows and final counts among the records that only a newer diolog can read.
    pub(crate) rows_incomplete: bool,
}

impl Loaded {
    /// The shards' bytes.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[BLOCK_HEADER_BYTES.min(self.filled)..self.filled]
    }

    /// Bytes of memory that it holds, without its list of shards.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.callsites.memory_bytes()
    }

    /// How many records of producers this version can read, unless some are of unknown kinds.
    pub(crate) fn readable_records(&self) -> u64 {
        self.shards.iter().map(Shard::readable_records).sum()
    }

    /// Reads the block with `header` at `offset`, and returns whether it is intact.
    pub(crate) fn read(&mut self, file: &SegmentFile, offset: u64, header: &BlockHeader) -> Result<bool> {
        let bytes = self.prepare(header);
        let wanted = bytes.len();
        Ok(file.read_at(offset, bytes)? == wanted && self.check(offset, header, wanted))
    }

    /// As [`read`](Self::read), together with the blocks after it if it is small.
    pub(crate) fn read_through(&mut self, chunk: &mut Chunk, location: &BlockLocation) -> Result<bool> {
        let BlockLocation { file, offset, header, .. } = location;
        let bytes = self.prepare(header);
        let wanted = bytes.len();
        if let Some(held) = chunk.get(file, *offset, wanted)? {
            bytes.copy_from_slice(held);
            if self.check(*offset, header, wanted) {
                return Ok(true);
            }
        }
        // The chunk may be older than the file.
        self.read(file, *offset, header)
    }

    /// As [`read`](Self::read), from memory and at offset 0, after its magic, lengths and checksums are put right.
    /// `None` if these bytes are no block for another reason.
    #[cfg(feature = "unstable")]
    pub(crate) fn read_resealed(&mut self, bytes: &[u8]) -> Option<BlockHeader> {
        let (head, payload) = bytes.split_at_checked(BLOCK_HEADER_BYTES)?;
        let mut header = BlockHeader::read_from_bytes(head).ok()?;
        header.magic = BLOCK_MAGIC;
        header.capacity.set(u32::try_from(bytes.len().next_multiple_of(GRID_BYTES)).ok()?);
        header.valid.set(u32::try_from(payload.len()).ok()?);
        header.seal(payload, 0);
        let header = BlockHeader::decode(header.as_bytes(), 0).ok()?;
        let room = self.prepare(&header);
        room[..BLOCK_HEADER_BYTES].copy_from_slice(header.as_bytes());
        room[BLOCK_HEADER_BYTES..].copy_from_slice(payload);
        let is_intact = self.check(0, &header, bytes.len());
        assert!(is_intact, "its checksums have just been made");
        Some(header)
    }

    /// Makes room for a block's header and shards.
    fn prepare(&mut self, header: &BlockHeader) -> &mut [u8] {
        self.clear();
        let wanted = BLOCK_HEADER_BYTES + header.valid.get() as usize;
        assert!(wanted <= BLOCK_BYTES_MAX, "`BlockHeader::decode` bounds the length of a block that can be read");
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

    /// Takes an intact block apart. `known` are the callsites of blocks before it.
    pub(crate) fn take_apart(&mut self, header: &BlockHeader, known: &mut KnownCallsites) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[BLOCK_HEADER_BYTES.min(self.filled)..self.filled];
        let payload_bytes = rest.len();
        while let Some((shard, records, after)) = ShardHeader::split(rest) {
            let end = payload_bytes - after.len();
            let (count, encoding) = (shard.records.get(), shard.encoding());
            self.shards_found += 1;
            self.records_found += u64::from(count);
            rest = after;
            match (shard.producer.get(), encoding) {
                (WRITER_PRODUCER, Encoding::Plain) => {
                    self.own_end = shard.first_sequence.get().saturating_add(count.into());
                    self.take_writer_records(records, count, known);
                }
                // Its records are plain: there is no callsite for them.
                (WRITER_PRODUCER, Encoding::Packed) => self.passed_over.invalid += u64::from(count),
                (WRITER_PRODUCER, Encoding::Newer(newer)) => {
                    self.passed_over.add_newer(newer, count);
                    self.rows_incomplete = true;
                }
                (producer, _) => self.shards.push(Shard {
                    producer,
                    first_sequence: shard.first_sequence.get(),
                    records: count,
                    encoding,
                    base_ns: shard.base_ns.get(),
                    message_levels: shard.levels,
                    start: end - records.len(),
                    end,
                }),
            }
        }
        // The block's header counts the records after the last shard that can be read.
        let missing = u64::from(header.records.get()).saturating_sub(self.records_found);
        self.passed_over.invalid += missing.max(u64::from(!rest.is_empty()));
        self.bytes = bytes;
    }

    fn take_writer_records(&mut self, mut bytes: &[u8], count: u32, known: &mut KnownCallsites) {
        for taken in 0..count {
            let Ok((header, payload, rest)) = RecordHeader::split(bytes) else {
                self.passed_over.invalid += u64::from(count - taken);
                return;
            };
            bytes = rest;
            let taken = match Kind::from_u8(header.kind) {
                Ok(Kind::ProducerStart | Kind::ProducerRow) => {
                    ProducerRow::decode(payload).map(|row| self.rows.push(row))
                }
                Ok(Kind::ProducerEnd) => ProducerRow::decode(payload).map(|row| self.ends.push(row)),
                Ok(Kind::WallAnchor) => WallAnchor::decode(payload).map(|anchor| self.anchors.push(anchor)),
                Ok(Kind::Status) => Status::decode(payload).map(|status| self.statuses.push(status)),
                Ok(Kind::Gap) if self.gaps.len() == GAPS_MAX => {
                    self.passed_over.skipped += 1;
                    continue;
                }
                Ok(Kind::Gap) => GapRecord::decode(payload).map(|gap| self.gaps.push(gap)),
                Ok(Kind::Refusals) => RefusalCounts::decode(payload).map(|counts| self.refusals = Some(counts)),
                Ok(Kind::Figures) => {
                    let read_at = header.timestamp_ns.get();
                    LogFigures::decode(payload).map(|figures| self.figures = Some((read_at, figures)))
                }
                Ok(Kind::ProducerFigures) => {
                    ProducerFigures::decode(payload).map(|figures| self.producer_figures.push(figures))
                }
                // `Block0` has read it.
                Ok(Kind::Segment) => SegmentHeader::decode(payload).map(drop),
                Ok(Kind::Callsite) => {
                    let defined = known.decode(payload).map(|(callsite, bytes)| self.callsites.add(callsite, bytes));
                    defined.filter(|&is_alone| is_alone).map(drop)
                }
                Ok(Kind::Message | Kind::Structured) | Err(UnknownKind::None) => None,
                Err(UnknownKind::Skippable) => {
                    self.passed_over.skipped += 1;
                    continue;
                }
                Err(UnknownKind::Newer(newer)) => {
                    self.passed_over.add_newer(newer, 1);
                    self.rows_incomplete = true;
                    continue;
                }
            };
            if taken.is_none() {
                self.passed_over.invalid += 1;
            }
        }
    }

    fn clear(&mut self) {
        self.filled = 0;
        self.shards.clear();
        self.rows.clear();
        self.ends.clear();
        self.anchors.clear();
        self.statuses.clear();
        self.gaps.clear();
        self.callsites.clear();
        (self.refusals, self.figures) = (None, None);
        self.producer_figures.clear();
        (self.shards_found, self.records_found, self.own_end) = (0, 0, 0);
        (self.passed_over, self.rows_incomplete) = (PassedOver::default(), false);
    }
}
