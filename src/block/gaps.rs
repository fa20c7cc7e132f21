//! Gap records: where a producer's sequence numbers are missing in a block, and why.
//!
//! The record is written when the writer meets the gap, because it must come before the shard that follows. The cause
//! is not known at that moment. The writer sets its byte later, after it has read the producer's counts.

use super::body::{Body, ShardLayout, TimeSpan};
use super::record::RecordMeta;
use crate::format::{GAPS_MAX, GapRecord, Kind, LossCause, RECORD_HEADER_BYTES, SHARD_HEADER_BYTES, record_bytes};

/// Gap records may take one part in this many of a block.
const BLOCK_PART: usize = 8;

/// A record that opens a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) producer: u32,
    pub(super) sequence: u64,
    /// Bytes that the record takes in the shard, and bytes to keep for it elsewhere in the block.
    pub(super) bytes: usize,
    pub(super) timestamp_ns: u64,
    pub(super) layout: ShardLayout,
}

/// The gap records of one block.
#[derive(Debug)]
pub(super) struct Gaps {
    /// How many more gap records the block takes.
    left: usize,
    /// The offsets of the causes that are not set yet.
    without_cause: Vec<usize>,
}

impl Gaps {
    /// Bytes of a gap record in a shard of its own.
    pub(super) const BYTES: usize = SHARD_HEADER_BYTES + record_bytes(GapRecord::BYTES);

    /// No gap records yet, for a block of `block_bytes`.
    pub(super) fn new(block_bytes: usize) -> Gaps {
        Gaps { left: GAPS_MAX.min(block_bytes / (BLOCK_PART * Gaps::BYTES)), without_cause: Vec::new() }
    }

    /// Adds a gap record, without a cause, for the numbers from `expected` up to the record `first`, unless the block
    /// has its maximum of gap records. The caller has checked that there is room.
    fn append(&mut self, body: &mut Body, expected: u64, first: First, own_sequence: &mut u64) {
        if self.left == 0 {
            return;
        }
        let (producer, cause, count) = (first.producer, LossCause::Unknown, first.sequence - expected);
        let record = GapRecord { producer, cause, first_sequence: expected, count };
        let meta = RecordMeta::control(Kind::Gap, first.timestamp_ns);
        if body.append_control(own_sequence, meta, &record.to_bytes()) {
            self.left -= 1;
            // The payload has no padding, so it ends where the record ends.
            self.without_cause.push(body.used - GapRecord::BYTES + GapRecord::CAUSE_AT);
        }
    }

    /// Sets the cause of the gaps that were met since the last call.
    pub(super) fn explain(&mut self, body: &mut Body, cause: LossCause) {
        for at in self.without_cause.drain(..) {
            body.buffer[at] = cause as u8;
        }
    }
}

/// Starts a shard for the record `first`, after all records added so far. `continues_at` is the field of
/// [`PlainRecords`](super::PlainRecords). If the producer's numbers before the record are missing, adds a gap record
/// before the shard, as the writer's own record number `own_sequence`. Returns the offset of the shard's first record;
/// `None` if there is not enough room.
#[cold]
#[inline(never)]
pub(super) fn open_shard_at(
    body: &mut Body,
    gaps: &mut Gaps,
    continues_at: u64,
    first: First,
    own_sequence: &mut u64,
) -> Option<usize> {
    let (expected, holds_records) = match &mut body.shard {
        Some(shard) if shard.takes(first.producer, first.layout != ShardLayout::Plain) => {
            shard.next_sequence = continues_at;
            (continues_at, true)
        }
        _ => (continues_at.wrapping_add(1), body.times != TimeSpan::NONE),
    };
    if first.sequence > expected {
        if Gaps::BYTES + SHARD_HEADER_BYTES + first.bytes <= body.free_bytes() {
            gaps.append(body, expected, first, own_sequence);
        } else if holds_records {
            // The next block gets the gap record. A record that needs a whole block gets none.
            return None;
        }
    }
    body.open_shard(first.producer, first.sequence, first.bytes, first.layout).then_some(body.used)
}

const _: () = assert!(record_bytes(GapRecord::BYTES) == RECORD_HEADER_BYTES + GapRecord::BYTES);

#[cfg(test)]
mod tests {
    use super::super::{Block, RecordMeta};
    use super::*;
    use crate::buffer::AlignedBuffer;
    use crate::format::{BLOCK_HEADER_BYTES, BlockHeader, RecordHeader, ShardHeader, WRITER_PRODUCER};

    fn block(bytes: usize) -> Block {
        Block::new(AlignedBuffer::new(bytes, 0).expect("memory"))
    }

    /// Adds records of producer 7 with these sequences, whose last one was before `next`. Returns how many were added.
    fn append(block: &mut Block, next: u64, sequences: &[u64], payload: &[u8], own_sequence: &mut u64) -> usize {
        let mut records = block.records_of(7, next, own_sequence);
        let meta = |timestamp_ns| RecordMeta { kind: 1, level: 3, flags: 0, timestamp_ns };
        let added = sequences.iter().take_while(|&&sequence| records.append(sequence, meta(100 + sequence), payload));
        let added = added.count();
        if added > 0 {
            records.end(added as u32, 100 + sequences[added - 1]);
        }
        added
    }

    /// What the block holds: a gap and its time, or a shard's first sequence and its number of records.
    #[derive(Debug, PartialEq, Eq)]
    enum Part {
        Gap(GapRecord, u64),
        Shard(u64, u32),
    }

    fn parts(block: Block) -> Vec<Part> {
        let (mut buffer, length) = block.seal(0);
        super::super::place(&mut buffer, super::super::BlockPlace { segment_id: 1, file_offset: 4096, in_flight: 0 });
        let header = BlockHeader::decode(&buffer[..length], 4096).expect("a header");
        let mut payload = &buffer[BLOCK_HEADER_BYTES..][..header.valid.get() as usize];
        let mut parts = Vec::new();
        let mut records = 0;
        while !payload.is_empty() {
            let (shard, bytes, rest) = ShardHeader::split(payload).expect("a shard");
            payload = rest;
            records += shard.records.get();
            if shard.producer.get() == WRITER_PRODUCER {
                let (record, bytes, rest) = RecordHeader::split(bytes).expect("a record");
                assert!(record.kind == Kind::Gap as u8 && rest.is_empty());
                parts.push(Part::Gap(GapRecord::decode(bytes).expect("a gap"), record.timestamp_ns.get()));
            } else {
                parts.push(Part::Shard(shard.first_sequence.get(), shard.records.get()));
            }
        }
        assert_eq!((records, parts.len() as u32), (header.records.get(), header.shards.get()));
        parts
    }

    fn gap(first_sequence: u64, count: u64, cause: LossCause) -> GapRecord {
        GapRecord { producer: 7, cause, first_sequence, count }
    }

    #[test]
    fn a_gap_stands_before_the_record_after_it_with_its_time_and_the_cause_named_later() {
        let mut block = block(4096);
        let mut own_sequence = 10;
        assert_eq!(append(&mut block, 3, &[5, 6, 9], b"abc", &mut own_sequence), 3);
        block.explain_gaps(LossCause::TimedOut);
        assert_eq!(append(&mut block, 10, &[11], b"abc", &mut own_sequence), 1);
        assert_eq!(own_sequence, 13);
        assert_eq!(
            parts(block),
            [
                Part::Gap(gap(3, 2, LossCause::TimedOut), 105),
                Part::Shard(5, 2),
                Part::Gap(gap(7, 2, LossCause::TimedOut), 109),
                Part::Shard(9, 1),
                Part::Gap(gap(10, 1, LossCause::Unknown), 111),
                Part::Shard(11, 1),
            ]
        );
    }

    #[test]
    fn a_block_has_at_most_64_gaps_and_a_small_one_fewer() {
        for (bytes, most) in [(256 << 10, 64), (4096, 7)] {
            let mut block = block(bytes);
            let sequences: Vec<_> = (1..=100).map(|n| 2 * n).collect();
            let added = append(&mut block, 0, &sequences, b"", &mut 0);
            let parts = parts(block);
            assert_eq!(parts.iter().filter(|part| matches!(part, Part::Gap(..))).count(), most);
            assert_eq!(parts.len(), added + most, "the other records are there too");
        }
    }

    #[test]
    fn a_gap_that_does_not_fit_goes_to_the_next_block_together_with_the_record() {
        let mut first = block(4096);
        assert_eq!(append(&mut first, 0, &[0], &[1; 3000], &mut 0), 1);
        let left = first.free_bytes();
        let payload = vec![2; left - 48];
        assert_eq!(append(&mut first, 1, &[2], &payload, &mut 0), 0, "the record alone would fit");
        assert_eq!(parts(first), [Part::Shard(0, 1)]);
        let mut second = block(4096);
        assert_eq!(append(&mut second, 1, &[2], &payload, &mut 0), 1);
        assert_eq!(parts(second), [Part::Gap(gap(1, 1, LossCause::Unknown), 102), Part::Shard(2, 1)]);
    }

    #[test]
    fn a_record_that_takes_a_whole_block_is_kept_and_its_gap_is_not_explained() {
        let mut block = block(4096);
        let mut own_sequence = 0;
        assert_eq!(append(&mut block, 0, &[1], &[0; 4096 - 64 - 48], &mut own_sequence), 1);
        assert_eq!((parts(block), own_sequence), (vec![Part::Shard(1, 1)], 0));
    }
}
