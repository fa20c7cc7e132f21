//! One block: the writer adds records, seals the block, and places it in a segment.
//!
//! A block knows the format. It knows neither the device that writes it nor the rings that its records come from.
//! Sealing numbers the block and computes the payload's checksum. That takes long, so the writer does it while the disk
//! still works on the block before. Placing sets segment and offset and signs the header, once the device has room. If
//! the segment fails, the block can be placed again; its number and records stay.

mod body;
mod mark;
mod callsites;
mod definitions;
mod gaps;
mod plain;
mod packed;
mod record;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use crate::buffer::{ALIGNMENT_BYTES, AlignedBuffer};
use crate::format::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockFlags, BlockHeader, GRID_BYTES, Kind, LossCause, ProducerRow,
    RECORD_HEADER_BYTES, SHARD_HEADER_BYTES, WallAnchor, padded,
};
use body::{Body, TimeSpan};
pub(crate) use callsites::{CallsiteTable, Definition, Lookup};
use definitions::BlockDefinitions;
use gaps::Gaps;
use packed::Surroundings;
pub(crate) use packed::{Added, Last, PackedRecords};
pub(crate) use plain::PlainRecords;
pub(crate) use record::RecordMeta;

// Every block on the format's grid is aligned for direct I/O.
const _: () = assert!(GRID_BYTES.is_multiple_of(ALIGNMENT_BYTES));

/// Where a block is written, as its header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockPlace {
    pub(crate) segment_id: u64,
    pub(crate) file_offset: u64,
    /// Earlier blocks that are not known to be durable.
    pub(crate) in_flight: u16,
}

/// Bytes of a sealed block without its padding: its header and its shards.
///
/// # Panics
/// If `bytes` do not begin with a sealed block.
pub(crate) fn used_bytes(bytes: &[u8]) -> usize {
    let header = BlockHeader::ref_from_prefix(bytes).ok().map(|(header, _)| header);
    let header = header.filter(|header| header.magic == BLOCK_MAGIC).expect("only sealed blocks have a length");
    BLOCK_HEADER_BYTES + header.valid.get() as usize
}

/// A block that takes records until it is sealed.
pub(crate) struct Block {
    body: Body,
    gaps: Gaps,
    /// The producers whose rows the block holds, and the callsites that it will define.
    definitions: BlockDefinitions,
    /// The set [`BlockFlags`].
    flags: u16,
    /// The times of the writer's own records. The header has them only if the block holds no others.
    control_times: TimeSpan,
}

impl Block {
    /// An empty block in `buffer`. Old bytes in the buffer never reach the disk.
    ///
    /// # Panics
    /// If the buffer's length is zero or not a multiple of [`GRID_BYTES`].
    pub(crate) fn new(buffer: AlignedBuffer) -> Block {
        Block {
            gaps: Gaps::new(buffer.len()),
            body: Body::new(buffer),
            definitions: BlockDefinitions::default(),
            flags: 0,
            control_times: TimeSpan::NONE,
        }
    }

    /// How many records were added.
    pub(crate) fn records(&self) -> u32 {
        self.body.records
    }

    /// Sets a [`BlockFlags`] bit.
    pub(crate) fn set_flag(&mut self, flag: u16) {
        self.flags |= flag;
    }

    pub(crate) fn has_flag(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Bytes that are left for records.
    pub(crate) fn free_bytes(&self) -> usize {
        self.body.free_bytes()
    }

    /// Begins to add records of `producer`, whose last record has the sequence before `sequence`. If numbers are
    /// missing, gap records are added too. They take the writer's own numbers from `own_sequence` on, which is
    /// advanced.
    #[inline]
    pub(crate) fn records_of<'a>(
        &'a mut self,
        producer: u32,
        sequence: u64,
        own_sequence: &'a mut u64,
    ) -> PlainRecords<'a> {
        PlainRecords::new(&mut self.body, &mut self.gaps, &mut self.definitions, producer, sequence, own_sequence)
    }

    /// Like [`records_of`](Self::records_of), but packs the records. `last` is the producer's last record.
    #[inline]
    pub(crate) fn packed_records_of<'a>(
        &'a mut self,
        last: Last,
        callsites: &'a mut CallsiteTable,
        own_sequence: &'a mut u64,
    ) -> PackedRecords<'a> {
        let Block { body, gaps, definitions, .. } = self;
        PackedRecords::new(body, last, Surroundings { gaps, definitions, callsites, own_sequence })
    }

    /// Whether the open shard is a packed one of `producer`.
    #[inline]
    pub(crate) fn is_packing(&self, producer: u32) -> bool {
        self.body.shard.is_some_and(|shard| shard.takes(producer, true))
    }

    /// Adds the definitions of the callsites whose records the block has. They are the writer's own records from number
    /// `own_sequence` on, which is advanced. Nothing may be added after them.
    pub(crate) fn append_definitions(&mut self, callsites: &CallsiteTable, own_sequence: &mut u64, now_ns: u64) {
        for id in self.definitions.take_callsites(&mut self.body) {
            let definition = callsites.definition(id);
            let added = definition.is_some_and(|definition| {
                self.append_control(own_sequence, Kind::Callsite, now_ns, &definition.payload)
            });
            debug_assert!(added, "the bytes were kept");
        }
    }

    /// Sets the cause of the gaps in the records that were added since the last call.
    pub(crate) fn explain_gaps(&mut self, cause: LossCause) {
        self.gaps.explain(&mut self.body, cause);
    }

    /// Adds a record of the writer's own. Its number is `own_sequence`, which is advanced. Returns `false`, and adds
    /// nothing, if it does not fit.
    pub(crate) fn append_control(&mut self, own_sequence: &mut u64, kind: Kind, now_ns: u64, payload: &[u8]) -> bool {
        let added = self.body.append_control(own_sequence, RecordMeta::control(kind, now_ns), payload);
        if added {
            self.control_times.include(now_ns, now_ns);
        }
        added
    }

    /// Adds the row of the producer in `slot`, unless the block has it: a record of the writer's own. Returns `false`,
    /// and adds nothing, if it does not fit together with a record after it.
    pub(crate) fn define_producer(
        &mut self,
        slot: usize,
        row: &ProducerRow,
        own_sequence: &mut u64,
        now_ns: u64,
    ) -> bool {
        if self.has_producer(slot) {
            return true;
        }
        let kind = if row.next_sequence == 0 { Kind::ProducerStart } else { Kind::ProducerRow };
        let payload = row.encoded();
        let bytes = 2 * (SHARD_HEADER_BYTES + RECORD_HEADER_BYTES) + padded(payload.len());
        let added = bytes <= self.free_bytes() && self.append_control(own_sequence, kind, now_ns, &payload);
        if added {
            self.definitions.note_producer(slot);
        }
        added
    }

    /// Whether the block holds the row of the producer in `slot`.
    #[inline]
    pub(crate) fn has_producer(&self, slot: usize) -> bool {
        self.definitions.has_producer(slot)
    }

    /// Adds a wall-clock anchor, a record of the writer's own, if it fits.
    pub(crate) fn append_wall_anchor(&mut self, own_sequence: &mut u64, now_ns: u64, anchor: WallAnchor) {
        if self.append_control(own_sequence, Kind::WallAnchor, now_ns, anchor.as_bytes()) {
            self.set_flag(BlockFlags::WALL_ANCHOR);
        }
    }

    /// Finishes the block as the run's block `number`: ends the last shard, zeroes the bytes up to the grid, and
    /// computes the payload's checksum. Returns the buffer, and how many of its bytes to write. [`place`] then
    /// completes the header.
    pub(crate) fn seal(mut self, number: u64) -> (AlignedBuffer, usize) {
        self.body.close_shard();
        let Body { mut buffer, used, shards, records, times, .. } = self.body;
        let capacity = used.next_multiple_of(GRID_BYTES);
        assert!(BLOCK_HEADER_BYTES <= used && capacity <= buffer.len(), "{used} bytes in {}", buffer.len());
        buffer[used..capacity].fill(0);
        let times = if times == TimeSpan::NONE { self.control_times } else { times };
        let mut header = BlockHeader {
            capacity: U32::new(capacity as u32),
            valid: U32::new((used - BLOCK_HEADER_BYTES) as u32),
            magic: BLOCK_MAGIC,
            header_crc: U32::ZERO,
            payload_crc: U32::ZERO,
            flags: U16::new(self.flags),
            in_flight: U16::ZERO,
            segment_id: U64::ZERO,
            sequence: U64::new(number),
            first_ns: U64::new(times.first_ns),
            last_ns: U64::new(times.last_ns),
            records: U32::new(records),
            shards: U32::new(shards),
        };
        header.seal(&buffer[BLOCK_HEADER_BYTES..used], 0);
        buffer[..BLOCK_HEADER_BYTES].copy_from_slice(header.as_bytes());
        (buffer, capacity)
    }
}

/// Completes and signs the header of a sealed block for `place`. A block can be placed again elsewhere. It takes
/// nanoseconds.
///
/// # Panics
/// If `bytes` do not begin with a sealed block.
pub(crate) fn place(bytes: &mut [u8], place: BlockPlace) {
    let header = BlockHeader::mut_from_prefix(bytes).ok().map(|(header, _)| header);
    let header = header.filter(|header| header.magic == BLOCK_MAGIC).expect("only sealed blocks are placed");
    header.segment_id = U64::new(place.segment_id);
    header.in_flight = U16::new(place.in_flight);
    header.sign(place.file_offset);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Kind, ShardHeader};

    fn block(bytes: usize) -> Block {
        Block::new(AlignedBuffer::new(bytes, 0).expect("memory"))
    }

    fn meta(timestamp_ns: u64) -> RecordMeta {
        RecordMeta { kind: Kind::Message as u8, level: 3, flags: 0, timestamp_ns }
    }

    fn append(block: &mut Block, producer: u32, sequence: u64, meta: RecordMeta, payload: &[u8]) -> bool {
        let mut own_sequence = 0;
        let mut records = block.records_of(producer, sequence, &mut own_sequence);
        let added = records.append(sequence, meta, payload);
        if added {
            records.end(1, meta.timestamp_ns);
        }
        added
    }

    const PLACE: BlockPlace = BlockPlace { segment_id: 9, file_offset: 4096, in_flight: 1 };

    /// The block, number 2 at [`PLACE`], as it would be written.
    fn written(block: Block) -> Vec<u8> {
        let (mut buffer, length) = block.seal(2);
        place(&mut buffer, PLACE);
        buffer[..length].to_vec()
    }

    #[test]
    fn records_of_one_producer_share_a_shard_until_its_sequence_jumps() {
        let mut block = block(4096);
        for sequence in [0, 1, 3] {
            assert!(append(&mut block, 7, sequence, meta(100 + sequence), b"abc"));
        }
        assert!(append(&mut block, 8, 0, meta(50), b"d"));
        let bytes = written(block);
        assert_eq!(bytes.len(), 4096);
        let header = BlockHeader::decode(&bytes, 4096).expect("a header");
        // The writer's own shard explains the jump.
        assert_eq!((header.shards.get(), header.records.get()), (4, 5));
        assert_eq!((header.first_ns.get(), header.last_ns.get()), (50, 103));
        let payload = &bytes[BLOCK_HEADER_BYTES..][..header.valid.get() as usize];
        assert!(header.payload_is_intact(payload));
        let (first, _, rest) = ShardHeader::split(payload).expect("a shard");
        assert_eq!((first.producer.get(), first.first_sequence.get(), first.records.get()), (7, 0, 2));
        let (_, _, rest) = ShardHeader::split(rest).expect("the gap");
        let (second, _, _) = ShardHeader::split(rest).expect("a shard");
        assert_eq!((second.first_sequence.get(), second.records.get()), (3, 1));
    }

    #[test]
    fn a_record_that_does_not_fit_is_refused_whole_and_the_block_still_seals() {
        let mut block = block(4096);
        let mut taken = 0;
        while append(&mut block, 1, taken, meta(taken), &[0xAA; 100]) {
            taken += 1;
        }
        assert_eq!(taken, ((4096 - 64 - 32) / (16 + 104)) as u64);
        assert!(!append(&mut block, 2, 0, meta(0), &[0; 2000]), "a new shard that does not fit");
        let header = BlockHeader::decode(&written(block), 4096).expect("a header");
        assert_eq!((u64::from(header.records.get()), header.shards.get()), (taken, 1));
    }

    #[test]
    fn old_bytes_of_the_buffer_never_reach_padding() {
        let mut buffer = AlignedBuffer::new(8192, 0).expect("memory");
        buffer.fill(0xEE);
        let mut block = Block::new(buffer);
        assert!(append(&mut block, 1, 0, meta(1), b"odd"));
        let used = 64 + 32 + 16 + 3;
        let bytes = written(block);
        assert_eq!(bytes.len(), 4096);
        assert!(bytes[used..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn placing_again_keeps_number_and_records() {
        let mut block = block(4096);
        assert!(append(&mut block, 1, 0, meta(1), b"x"));
        let mut bytes = written(block);
        place(&mut bytes, BlockPlace { segment_id: 10, file_offset: 8192, ..PLACE });
        let header = BlockHeader::decode(&bytes, 8192).expect("a header");
        assert!(header.payload_is_intact(&bytes[BLOCK_HEADER_BYTES..][..header.valid.get() as usize]));
        assert_eq!((header.sequence.get(), header.segment_id.get(), header.shards.get()), (2, 10, 1));
    }
}
