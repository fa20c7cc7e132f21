//! Composes a segment's block 0: identities, a wall-clock anchor, the device, and the baseline of the producers.
//!
//! It turns plain data into a block, and uses neither files nor a clock. The writer calls it at the start of each
//! segment, and so does code that writes a segment [`offline`](super::offline). `format` encodes and decodes the parts.

use std::io;

use zerocopy::IntoBytes;

use crate::block::Block;
use crate::buffer::AlignedBuffer;
use crate::format::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockFlags, GRID_BYTES, Kind, ProducerRow, SHARD_HEADER_BYTES, SegmentHeader,
    Status, StatusCode, WallAnchor, record_bytes,
};

/// The contents of a segment's block 0.
pub(crate) struct Header<'a> {
    pub(crate) segment: &'a SegmentHeader,
    pub(crate) anchor: WallAnchor,
    /// How the segment is written, if the header is to say it.
    pub(crate) device: Option<&'a str>,
    /// The producers that may have records in the segment, with their accounts up to its beginning.
    pub(crate) producers: &'a dyn Rows,
    /// The monotonic time of all records in the header.
    pub(crate) now_ns: u64,
    /// The sequence of its first record among the writer's own records.
    pub(crate) control_sequence: u64,
}

/// Rows of producers, which need not be in memory all at once.
pub(crate) trait Rows {
    /// Calls `take` with one row after the other, in the same order each time.
    fn each(&self, take: &mut dyn FnMut(&ProducerRow));
}

impl Rows for &[ProducerRow] {
    fn each(&self, take: &mut dyn FnMut(&ProducerRow)) {
        self.iter().for_each(take);
    }
}

impl Header<'_> {
    /// How many records the header has.
    pub(crate) fn records(&self) -> u64 {
        let mut rows = 0;
        self.producers.each(&mut |_| rows += 1);
        2 + u64::from(self.device.is_some()) + rows
    }

    /// Makes the block, in a new buffer with this index. It must be sealed with the number of the block after it.
    ///
    /// # Errors
    /// `OutOfMemory`.
    ///
    /// # Panics
    /// If the block would be larger than a reader accepts. That needs more producers than the registry admits.
    pub(crate) fn compose(&self, buffer_index: u16) -> io::Result<Block> {
        let mut records = vec![(Kind::Segment, encoded(|out| self.segment.encode(out)))];
        records.push((Kind::WallAnchor, self.anchor.as_bytes().to_vec()));
        records.extend(
            self.device.map(|device| (Kind::Status, encoded(|out| Status::encode(StatusCode::Device, device, out)))),
        );

        let mut bytes: usize = records.iter().map(|(_, payload)| record_bytes(payload.len())).sum();
        self.producers.each(&mut |row| bytes += record_bytes(row.encoded_bytes()));
        let block_bytes = (BLOCK_HEADER_BYTES + SHARD_HEADER_BYTES + bytes).next_multiple_of(GRID_BYTES);
        assert!(block_bytes <= BLOCK_BYTES_MAX, "too many producers for one segment header");
        let mut block = Block::new(AlignedBuffer::new(block_bytes, buffer_index)?);
        block.set_flag(BlockFlags::SEGMENT_HEADER | BlockFlags::WALL_ANCHOR);
        let mut own_sequence = self.control_sequence;
        let mut append = |kind, payload: &[u8]| {
            let fits = block.append_control(&mut own_sequence, kind, self.now_ns, payload);
            assert!(fits, "a segment's header does not fit the block that was measured for it");
        };
        records.iter().for_each(|(kind, payload)| append(*kind, payload));
        self.producers.each(&mut |row| append(Kind::ProducerRow, &row.encoded()));
        Ok(block)
    }
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = Vec::new();
    encode(&mut payload);
    payload
}

#[cfg(test)]
pub(super) mod tests {
    use zerocopy::little_endian::{I64, U64};

    use super::*;
    use crate::format::{Block0, BlockHeader, DroppedBy};

    /// A block 0 for `segment` with these producers.
    pub(crate) fn header<'a>(segment: &'a SegmentHeader, producers: &'a &'a [ProducerRow]) -> Header<'a> {
        let anchor = WallAnchor { monotonic_ns: U64::new(5), unix_ns: I64::new(7) };
        Header { segment, anchor, device: Some("pwrite"), producers, now_ns: 9, control_sequence: 40 }
    }

    pub(crate) fn row(id: u32) -> ProducerRow {
        let name = format!("producer {id}");
        let dropped_by = Some(DroppedBy::default());
        ProducerRow { id, tid: 1, dropped_by, name, ..ProducerRow::default() }
    }

    #[test]
    fn a_composed_block_0_reads_back_with_all_its_records() {
        for producers in [0, 1, 500] {
            let rows: Vec<_> = (1..=producers).map(row).collect();
            let segment = SegmentHeader::example(3);
            let rows = rows.as_slice();
            let header = header(&segment, &rows);
            let (mut buffer, length) = header.compose(7).expect("memory").seal(11);
            assert_eq!(buffer.index(), 7);
            assert!(length.is_multiple_of(GRID_BYTES) && length == buffer.len());
            crate::block::place(&mut buffer, crate::block::BlockPlace { segment_id: 1, file_offset: 0, in_flight: 0 });
            let decoded = BlockHeader::decode(&buffer, 0).expect("a block");
            assert_eq!(decoded.records.get(), 3 + producers);
            assert_eq!((decoded.sequence.get(), decoded.first_ns.get()), (11, 9));
            let read = Block0::read(|offset, out| {
                let bytes = &buffer[offset as usize..length];
                let count = out.len().min(bytes.len());
                out[..count].copy_from_slice(&bytes[..count]);
                Ok::<_, io::Error>(count)
            });
            let Ok(Block0::Segment { header: read, .. }) = read else { panic!("{read:?}") };
            assert_eq!(*read, segment);
        }
    }
}
