//! One block being filled: shards and records go in, and sealed bytes come out.
//!
//! A block knows the format, and neither how it is written nor where its records come from. The writer fills it, seals
//! it when it is closed, and places it once the device can take it: the long checksum is done while the disk still works
//! on the block before. Placing again (after a failed segment) keeps number and records.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use crate::buffer::{ALIGNMENT_BYTES, AlignedBuffer};
use crate::format::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockHeader, GRID_BYTES, Kind, RECORD_HEADER_BYTES, RecordHeader,
    SHARD_HEADER_BYTES, ShardHeader, WRITER_PRODUCER, padded, record_bytes,
};
use crate::level::Level;

// The format's grid is what direct I/O can write.
const _: () = assert!(GRID_BYTES.is_multiple_of(ALIGNMENT_BYTES));

/// What a record is, apart from its payload.
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

/// Where a block will stand, and what the header must testify of that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) segment_id: u64,
    pub(crate) file_offset: u64,
    /// Earlier blocks not known durable.
    pub(crate) in_flight: u16,
}

/// The shard that records are being added to.
#[derive(Clone, Copy, Debug)]
struct OpenShard {
    /// Where its header stands in the buffer.
    at: usize,
    producer: u32,
    first_sequence: u64,
    /// The sequence that continues it.
    next_sequence: u64,
}

/// A block that takes records until it is sealed.
pub(crate) struct Block {
    buffer: AlignedBuffer,
    /// Bytes used, the header's included; at most the buffer's length.
    used: usize,
    shard: Option<OpenShard>,
    shards: u32,
    records: u32,
    flags: u16,
    /// Smallest and largest time of producers' records; `(u64::MAX, 0)` while there is none.
    times: (u64, u64),
    /// The same for the writer's own records, which count only where there are no others.
    control_times: (u64, u64),
}

impl Block {
    /// An empty block in `buffer`, whose old bytes it will not let through to the disk.
    pub(crate) fn new(buffer: AlignedBuffer) -> Block {
        debug_assert!(buffer.len().is_multiple_of(GRID_BYTES) && buffer.len() >= GRID_BYTES);
        Block {
            buffer,
            used: BLOCK_HEADER_BYTES,
            shard: None,
            shards: 0,
            records: 0,
            flags: 0,
            times: (u64::MAX, 0),
            control_times: (u64::MAX, 0),
        }
    }

    /// Whether nothing was added yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Sets a [`BlockFlags`](crate::format::BlockFlags) bit.
    pub(crate) fn set_flag(&mut self, flag: u16) {
        self.flags |= flag;
    }

    /// Bytes that are left.
    pub(crate) fn free_bytes(&self) -> usize {
        self.buffer.len() - self.used
    }

    /// Begins to add records of `producer`, none of which comes before `sequence`.
    #[inline]
    pub(crate) fn records_of(&mut self, producer: u32, sequence: u64) -> Records<'_> {
        let next_sequence = match self.shard {
            Some(shard) if shard.producer == producer => shard.next_sequence,
            // A number that none of the records can have, so that the first one opens a shard.
            _ => sequence.wrapping_sub(1),
        };
        Records { producer, first_at: self.used, used: self.used, next_sequence, block: self }
    }

    /// Adds a record of the writer's own, the `sequence`-th; `false`, and nothing added, where it does not fit.
    pub(crate) fn append_control(&mut self, sequence: u64, meta: RecordMeta, payload: &[u8]) -> bool {
        let continues =
            self.shard.is_some_and(|shard| shard.producer == WRITER_PRODUCER && shard.next_sequence == sequence);
        if !continues && !self.open_shard(WRITER_PRODUCER, sequence, record_bytes(payload.len())) {
            return false;
        }
        let Some(used) = push(&mut self.buffer, self.used, meta, payload) else { return false };
        self.used = used;
        self.records += 1;
        if let Some(shard) = &mut self.shard {
            shard.next_sequence += 1;
        }
        let (first, last) = self.control_times;
        self.control_times = (first.min(meta.timestamp_ns), last.max(meta.timestamp_ns));
        true
    }

    /// Finishes the block as the `sequence`-th of its run: shards, checksum of the payload, zeros up to the grid. What is
    /// missing is its [`place`]. Returns the buffer, and how many of its bytes to write.
    pub(crate) fn seal(mut self, sequence: u64) -> (AlignedBuffer, usize) {
        self.close_shard();
        let capacity = self.used.next_multiple_of(GRID_BYTES);
        self.buffer[self.used..capacity].fill(0);
        let (first_ns, last_ns) = if self.times.0 == u64::MAX { self.control_times } else { self.times };
        let mut header = BlockHeader {
            capacity: U32::new(capacity as u32),
            valid: U32::new((self.used - BLOCK_HEADER_BYTES) as u32),
            magic: BLOCK_MAGIC,
            header_crc: U32::ZERO,
            payload_crc: U32::ZERO,
            flags: U16::new(self.flags),
            in_flight: U16::ZERO,
            segment_id: U64::ZERO,
            sequence: U64::new(sequence),
            first_ns: U64::new(first_ns),
            last_ns: U64::new(last_ns),
            records: U32::new(self.records),
            shards: U32::new(self.shards),
        };
        header.seal(&self.buffer[BLOCK_HEADER_BYTES..self.used], 0);
        self.buffer[..BLOCK_HEADER_BYTES].copy_from_slice(header.as_bytes());
        (self.buffer, capacity)
    }

    /// Starts a shard if it and a first record of `first_record_bytes` fit.
    fn open_shard(&mut self, producer: u32, first_sequence: u64, first_record_bytes: usize) -> bool {
        if SHARD_HEADER_BYTES + first_record_bytes > self.free_bytes() {
            return false;
        }
        self.close_shard();
        self.shard = Some(OpenShard { at: self.used, producer, first_sequence, next_sequence: first_sequence });
        self.used += SHARD_HEADER_BYTES;
        true
    }

    /// Starts a shard of `producer` behind the records that [`Records`] has added up to `used`, and before
    /// `next_sequence`. Where its first record goes; `None` where shard and record do not fit.
    #[cold]
    #[inline(never)]
    fn open_shard_at(
        &mut self,
        used: usize,
        next_sequence: u64,
        producer: u32,
        first_sequence: u64,
        payload_bytes: usize,
    ) -> Option<usize> {
        self.used = used;
        if let Some(shard) = &mut self.shard
            && shard.producer == producer
        {
            shard.next_sequence = next_sequence;
        }
        self.open_shard(producer, first_sequence, record_bytes(payload_bytes)).then_some(self.used)
    }

    /// Writes the open shard's header, now that its length is known.
    fn close_shard(&mut self) {
        let Some(shard) = self.shard.take() else { return };
        let mut header = ShardHeader::plain(shard.producer, shard.first_sequence);
        header.valid = U32::new((self.used - shard.at - SHARD_HEADER_BYTES) as u32);
        header.records = U32::new((shard.next_sequence - shard.first_sequence) as u32);
        header.encode(&mut self.buffer[shard.at..]);
        self.shards += 1;
    }
}

/// Adds records of one producer to a block.
///
/// What changes with each record is kept apart from the block until [`Records::end`], so that the loop around
/// [`Records::append`] has it in registers.
#[must_use = "the block does not count what is added until it is ended"]
pub(crate) struct Records<'a> {
    block: &'a mut Block,
    producer: u32,
    /// Where the first record stands, or will.
    first_at: usize,
    /// The block's `used`, ahead of it.
    used: usize,
    /// The sequence that continues the open shard.
    next_sequence: u64,
}

impl Records<'_> {
    /// Adds a record; `false`, and nothing added, where it does not fit.
    #[inline(always)]
    pub(crate) fn append(&mut self, sequence: u64, meta: RecordMeta, payload: &[u8]) -> bool {
        if sequence != self.next_sequence {
            let (used, next_sequence) = (self.used, self.next_sequence);
            let Some(at) = self.block.open_shard_at(used, next_sequence, self.producer, sequence, payload.len()) else {
                return false;
            };
            if used == self.first_at {
                self.first_at = at;
            }
            self.used = at;
        }
        let Some(used) = push(&mut self.block.buffer, self.used, meta, payload) else { return false };
        self.used = used;
        self.next_sequence = sequence.wrapping_add(1);
        true
    }

    /// Counts what was added: `records` records, at least one, whose times do not go back and end with `last_ns`. Gives
    /// the sequence that follows the last.
    #[inline]
    pub(crate) fn end(self, records: u32, last_ns: u64) -> u64 {
        let block = self.block;
        let first = RecordHeader::ref_from_prefix(&block.buffer[self.first_at..self.used]);
        let first_ns = first.map_or(last_ns, |(first, _)| first.timestamp_ns.get());
        debug_assert!(first_ns <= last_ns, "times of one producer go back");
        block.used = self.used;
        block.records += records;
        block.times = (block.times.0.min(first_ns), block.times.1.max(last_ns));
        if let Some(shard) = &mut block.shard {
            shard.next_sequence = self.next_sequence;
        }
        self.next_sequence
    }
}

/// Signs a sealed block for the place where it will stand, in place of any earlier one. A matter of nanoseconds.
///
/// `bytes` must begin with a sealed block; anything else is left as it is.
pub(crate) fn place(bytes: &mut [u8], place: Place) {
    let Ok((header, _)) = BlockHeader::mut_from_prefix(bytes) else { return };
    header.segment_id = U64::new(place.segment_id);
    header.in_flight = U16::new(place.in_flight);
    header.sign(place.file_offset);
}

/// Writes a record into `buffer` from `at` on. Where it ends; `None`, and nothing written, where it does not fit.
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
    // The padding is zeroed first, as the last word: cheaper than by its odd length.
    if let Some(last_word) = body.last_chunk_mut::<8>() {
        *last_word = [0; 8];
    }
    copy(payload, &mut body[..length]);
    Some(end)
}

/// Copies `from` to `to`, of the same length: what most messages are, without a call, as two chunks that may overlap.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: usize) -> Block {
        Block::new(AlignedBuffer::new(bytes, 0).expect("memory"))
    }

    fn meta(timestamp_ns: u64) -> RecordMeta {
        RecordMeta { kind: Kind::Message as u8, level: 3, flags: 0, timestamp_ns }
    }

    fn append(block: &mut Block, producer: u32, sequence: u64, meta: RecordMeta, payload: &[u8]) -> bool {
        let mut records = block.records_of(producer, sequence);
        let added = records.append(sequence, meta, payload);
        if added {
            records.end(1, meta.timestamp_ns);
        }
        added
    }

    const PLACE: Place = Place { segment_id: 9, file_offset: 4096, in_flight: 1 };

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
        assert_eq!((header.shards.get(), header.records.get()), (3, 4));
        assert_eq!((header.first_ns.get(), header.last_ns.get()), (50, 103));
        let payload = &bytes[BLOCK_HEADER_BYTES..][..header.valid.get() as usize];
        assert!(header.payload_is_intact(payload));
        let (first, _, rest) = ShardHeader::split(payload).expect("a shard");
        assert_eq!((first.producer.get(), first.first_sequence.get(), first.records.get()), (7, 0, 2));
        let (second, _, _) = ShardHeader::split(rest).expect("a shard");
        assert_eq!((second.first_sequence.get(), second.records.get()), (3, 1));
    }

    #[test]
    fn what_does_not_fit_is_refused_whole_and_the_rest_still_seals() {
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
        place(&mut bytes, Place { segment_id: 10, file_offset: 8192, ..PLACE });
        let header = BlockHeader::decode(&bytes, 8192).expect("a header");
        assert!(header.payload_is_intact(&bytes[BLOCK_HEADER_BYTES..][..header.valid.get() as usize]));
        assert_eq!((header.sequence.get(), header.segment_id.get(), header.shards.get()), (2, 10, 1));
    }
}
