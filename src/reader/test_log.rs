//! Logs that tests make: bytes of segments, encoded as the writer would, and as it never would. No thread, no device.

use std::collections::BTreeMap;
use std::path::Path;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{I64, U16, U32, U64};

use crate::format::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockFlags, BlockHeader, CallsiteParts, DroppedBy, Encoding, FieldType,
    GRID_BYTES, GapRecord, Kind, LogId, LossCause, ProducerRow, RecordHeader, SegmentHeader, ShardHeader, Status,
    StatusCode, StoredRunId, WRITER_PRODUCER, WallAnchor, pack_message, pack_record, packed_room, padded,
};

/// The contents of a block, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    ops: Vec<Op>,
    pub(super) in_flight: u16,
    pub(super) flags: u16,
    /// The capacity, if the contents take less.
    pub(super) capacity: usize,
    /// The encoding that the headers of the writer's shards claim, and those of producers' shards.
    encodings: (u8, u8),
}

#[derive(Clone, Debug)]
enum Op {
    Record {
        producer: u32,
        ns: u64,
        kind: u8,
        flags: u8,
        payload: Vec<u8>,
    },
    Lose {
        producer: u32,
        count: u64,
    },
    End {
        producer: u32,
    },
    /// A record in a packed shard: the values of a callsite's record, or a message if `id` is 0.
    Packed {
        producer: u32,
        ns: u64,
        id: u32,
        types: Vec<FieldType>,
        payload: Vec<u8>,
    },
    Note {
        kind: u8,
        payload: Vec<u8>,
    },
    Shard(Vec<u8>),
}

impl Block {
    pub(super) fn new() -> Block {
        Block::default()
    }

    /// The next record of a producer.
    pub(super) fn record(self, producer: u32, ns: u64, message: impl AsRef<[u8]>) -> Block {
        self.kind(producer, ns, Kind::Message as u8, message)
    }

    /// The next record of a producer, of this kind.
    pub(super) fn kind(mut self, producer: u32, ns: u64, kind: u8, payload: impl AsRef<[u8]>) -> Block {
        self.ops.push(Op::Record { producer, ns, kind, flags: 0, payload: payload.as_ref().to_vec() });
        self
    }

    /// The next record of a producer, whose message was cut.
    pub(super) fn truncated(mut self, producer: u32, ns: u64, message: &str) -> Block {
        self.ops.push(Op::Record { producer, ns, kind: 1, flags: 1, payload: message.into() });
        self
    }

    /// The next record of a producer, in a packed shard: the plain values of a record of callsite `id`, or a message if
    /// that is 0.
    pub(super) fn packed(mut self, producer: u32, ns: u64, id: u32, types: &[FieldType], plain: &[u8]) -> Block {
        self.ops.push(Op::Packed { producer, ns, id, types: types.into(), payload: plain.into() });
        self
    }

    /// The next record of a producer, in a plain shard: the plain values of a record of callsite `id`.
    pub(super) fn plain(self, producer: u32, ns: u64, id: u32, plain: &[u8]) -> Block {
        self.kind(producer, ns, Kind::Structured as u8, [&id.to_le_bytes()[..], plain].concat())
    }

    /// The definition of a callsite, at level info.
    pub(super) fn define(self, id: u32, template: &str, fields: &[(&str, FieldType)]) -> Block {
        let (target, file) = ("shop::orders", "src/orders.rs");
        let mut payload = Vec::new();
        CallsiteParts { id, level: 3, line: 7, target, file, template, fields }.encode(4096, &mut payload);
        self.note(Kind::Callsite as u8, &payload)
    }

    /// Attempts of a producer that were dropped.
    pub(super) fn lose(mut self, producer: u32, count: u64) -> Block {
        self.ops.push(Op::Lose { producer, count });
        self
    }

    /// A gap record.
    pub(super) fn gap(self, producer: u32, first_sequence: u64, count: u64, cause: LossCause) -> Block {
        self.note(Kind::Gap as u8, &GapRecord { producer, cause, first_sequence, count }.to_bytes())
    }

    pub(super) fn end(mut self, producer: u32) -> Block {
        self.ops.push(Op::End { producer });
        self
    }

    pub(super) fn anchor(mut self, monotonic_ns: u64, unix_ns: i64) -> Block {
        let anchor = WallAnchor { monotonic_ns: U64::new(monotonic_ns), unix_ns: I64::new(unix_ns) };
        self.flags |= BlockFlags::WALL_ANCHOR;
        self.ops.push(Op::Note { kind: Kind::WallAnchor as u8, payload: anchor.as_bytes().to_vec() });
        self
    }

    pub(super) fn status(self, code: StatusCode, text: &str) -> Block {
        let mut payload = Vec::new();
        Status::encode(code, text, &mut payload);
        self.note(Kind::Status as u8, &payload)
    }

    pub(super) fn note(mut self, kind: u8, payload: &[u8]) -> Block {
        self.ops.push(Op::Note { kind, payload: payload.to_vec() });
        self
    }

    /// These bytes in the place of a shard.
    pub(super) fn shard(mut self, bytes: Vec<u8>) -> Block {
        self.ops.push(Op::Shard(bytes));
        self
    }

    pub(super) fn in_flight(mut self, in_flight: u16) -> Block {
        self.in_flight = in_flight;
        self
    }

    pub(super) fn flags(mut self, flags: u16) -> Block {
        self.flags |= flags;
        self
    }

    /// Makes the headers of shards claim these encodings.
    pub(super) fn encodings(mut self, writer: u8, producers: u8) -> Block {
        self.encodings = (writer, producers);
        self
    }

    pub(super) fn capacity(mut self, capacity: usize) -> Block {
        self.capacity = capacity;
        self
    }
}

/// One segment's bytes.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) index: u64,
    pub(super) id: u64,
    pub(super) bytes: Vec<u8>,
    /// The offset of each block, block 0 first.
    pub(super) offsets: Vec<usize>,
}

impl Image {
    pub(super) fn file_name(&self) -> String {
        format!("{:08}.dlog", self.index)
    }

    /// The bytes of the `n`th block, block 0 included.
    pub(super) fn block(&mut self, n: usize) -> &mut [u8] {
        let end = self.offsets.get(n + 1).copied().unwrap_or(self.bytes.len());
        &mut self.bytes[self.offsets[n]..end]
    }

    pub(super) fn write(&self, directory: &Path) {
        std::fs::write(directory.join(self.file_name()), &self.bytes).expect("write a segment");
    }
}

/// A run as a writer would make it: it keeps block numbers, rows and counts.
#[derive(Clone, Debug)]
pub(super) struct TestRun {
    name: u8,
    /// The log it belongs to: the id is this, sixteen times.
    pub(super) log: u8,
    pub(super) segments: Vec<Image>,
    pub(super) next_block: u64,
    producers: BTreeMap<u32, ProducerRow>,
    /// The rows before each block.
    rows_before: Vec<BTreeMap<u32, ProducerRow>>,
    writer_records: u64,
    /// Whether the segments that begin from now on say that retention is set.
    pub(super) retains: bool,
    /// Incompatible features of the segments that begin from now on.
    pub(super) features: u32,
}

impl TestRun {
    /// A run whose id is `name` sixteen times.
    pub(super) fn new(name: u8) -> TestRun {
        TestRun {
            name,
            log: 9,
            segments: Vec::new(),
            next_block: 0,
            producers: BTreeMap::new(),
            rows_before: Vec::new(),
            writer_records: 0,
            retains: false,
            features: 0,
        }
    }

    /// A run with one segment, the log's first.
    pub(super) fn with_segment(name: u8) -> TestRun {
        let mut run = TestRun::new(name);
        run.segment(1);
        run
    }

    /// Begins a segment.
    pub(super) fn segment(&mut self, index: u64) -> &mut TestRun {
        let header = self.header(index);
        self.segment_with(header)
    }

    /// Begins a segment with block `number`, which was made before: the writer begins one so after an error.
    pub(super) fn segment_from(&mut self, index: u64, number: u64) -> &mut TestRun {
        let rows = self.rows_before.get(number as usize).unwrap_or(&self.producers).clone();
        let header = self.header(index);
        self.begin(header, number, &rows)
    }

    fn header(&self, index: u64) -> SegmentHeader {
        SegmentHeader {
            log: LogId([self.log; 16]),
            run: StoredRunId([self.name; 16]),
            previous_segment_id: self.segments.last().map_or(0, |image| image.id),
            message_bytes_max: 2000,
            incompatible_features: self.features,
            compatible_features: if self.retains { SegmentHeader::RETENTION } else { 0 },
            ..SegmentHeader::example(index)
        }
    }

    pub(super) fn segment_with(&mut self, header: SegmentHeader) -> &mut TestRun {
        let rows = self.producers.clone();
        self.begin(header, self.next_block, &rows)
    }

    fn begin(&mut self, header: SegmentHeader, number: u64, rows: &BTreeMap<u32, ProducerRow>) -> &mut TestRun {
        let id = u64::from(self.name) << 32 | header.index;
        self.segments.push(Image { index: header.index, id, bytes: Vec::new(), offsets: Vec::new() });
        let mut payload = Vec::new();
        header.encode(&mut payload);
        let mut block = Block::new().note(Kind::Segment as u8, &payload).anchor(1_000, 1_000_001_000);
        for row in rows.values() {
            let mut payload = Vec::new();
            row.encode(&mut payload);
            block = block.note(Kind::ProducerRow as u8, &payload);
        }
        let bytes = self.encode(&block.flags(BlockFlags::SEGMENT_HEADER), number);
        self.put(&bytes, |_| ());
        self
    }

    /// Appends a block.
    pub(super) fn block(&mut self, block: Block) -> &mut TestRun {
        let bytes = self.make(&block);
        self.put(&bytes, |_| ());
        self
    }

    /// The bytes of the next block, which is in no segment yet.
    pub(super) fn make(&mut self, block: &Block) -> Vec<u8> {
        self.rows_before.resize(self.next_block as usize, BTreeMap::new());
        self.rows_before.push(self.producers.clone());
        let bytes = self.encode(block, self.next_block);
        self.next_block += 1;
        bytes
    }

    /// Appends a block that was made before to the last segment, after a change to its header.
    pub(super) fn put(&mut self, block: &[u8], change: impl FnOnce(&mut BlockHeader)) {
        let image = self.last();
        let offset = image.bytes.len();
        image.offsets.push(offset);
        let mut block = block.to_vec();
        reseal(&mut block, offset, |header| {
            header.segment_id = U64::new(image.id);
            change(header);
        });
        image.bytes.extend_from_slice(&block);
    }

    /// Ends all producers, and the run.
    pub(super) fn close(&mut self) -> &mut TestRun {
        let mut ends = Block::new();
        for &producer in self.producers.keys() {
            ends = ends.end(producer);
        }
        self.block(ends);
        self.block(Block::new().flags(BlockFlags::CLEAN_END))
    }

    /// Copies the blocks from the `first_block_of_segment`th of the last segment on into a fresh segment, as after an
    /// error of the device: with the same numbers and bytes.
    pub(super) fn again(&mut self, first_block_of_segment: usize, index: u64) -> &mut TestRun {
        let old = self.segments.last().expect("a segment").clone();
        let next_block = self.next_block;
        let moved = (old.offsets.len() - first_block_of_segment) as u64;
        self.next_block -= moved;
        self.segment(index);
        for n in first_block_of_segment..old.offsets.len() {
            self.put(old.clone().block(n), |_| ());
        }
        self.next_block = next_block;
        self
    }

    /// Changes the writer's counts of a producer.
    pub(super) fn change_row(&mut self, producer: u32, change: impl FnOnce(&mut ProducerRow)) -> &mut TestRun {
        change(self.producers.get_mut(&producer).expect("a producer"));
        self
    }

    pub(super) fn last(&mut self) -> &mut Image {
        self.segments.last_mut().expect("a segment")
    }

    pub(super) fn write(&self, directory: &Path) {
        self.segments.iter().for_each(|image| image.write(directory));
    }

    /// The bytes of a block, sealed for no place.
    fn encode(&mut self, block: &Block, number: u64) -> Vec<u8> {
        let mut shards = Shards { encodings: block.encodings, ..Shards::default() };
        let before = self.producers.clone();
        let mut named = std::collections::BTreeSet::new();
        for op in &block.ops {
            match op {
                Op::Record { producer, ns, .. } | Op::Packed { producer, ns, .. } => {
                    let row = self.producers.entry(*producer).or_insert_with(|| fresh_row(*producer));
                    if named.insert(*producer) {
                        let mut payload = Vec::new();
                        before.get(producer).unwrap_or(&fresh_row(*producer)).encode(&mut payload);
                        shards.add(WRITER_PRODUCER, self.writer_records, *ns, Kind::ProducerRow as u8, 0, &payload);
                        self.writer_records += 1;
                    }
                    match op {
                        Op::Packed { id, types, payload, .. } => {
                            shards.pack(*producer, row.next_sequence, *ns, *id, types, payload);
                        }
                        Op::Record { kind, flags, payload, .. } => {
                            shards.add(*producer, row.next_sequence, *ns, *kind, *flags, payload);
                        }
                        _ => {}
                    }
                    row.next_sequence += 1;
                    row.records += 1;
                }
                Op::Lose { producer, count } => {
                    let row = self.producers.entry(*producer).or_insert_with(|| fresh_row(*producer));
                    row.next_sequence += count;
                    row.dropped += count;
                }
                Op::End { producer } => {
                    let row = &self.producers[producer];
                    let mut payload = Vec::new();
                    row.encode(&mut payload);
                    shards.add(WRITER_PRODUCER, self.writer_records, shards.last_ns, 5, 0, &payload);
                    self.writer_records += 1;
                }
                Op::Note { kind, payload } => {
                    shards.add(WRITER_PRODUCER, self.writer_records, shards.last_ns, *kind, 0, payload);
                    self.writer_records += 1;
                }
                Op::Shard(bytes) => shards.raw(bytes),
            }
        }
        for op in &block.ops {
            if let Op::End { producer } = op {
                self.producers.remove(producer);
            }
        }
        shards.seal(block, number)
    }
}

fn fresh_row(id: u32) -> ProducerRow {
    ProducerRow {
        id,
        tid: 100 + id,
        next_sequence: 0,
        records: 0,
        dropped: 0,
        dropped_by: Some(DroppedBy::default()),
        overwritten: 0,
        unwritten: 0,
        name: format!("worker-{id}"),
    }
}

/// Changes a block's header and seals it for `offset`.
pub(super) fn reseal(block: &mut [u8], offset: usize, change: impl FnOnce(&mut BlockHeader)) {
    use zerocopy::FromBytes;
    let mut header = BlockHeader::read_from_prefix(block).expect("a header").0;
    change(&mut header);
    let valid = (header.valid.get() as usize).min(block.len() - BLOCK_HEADER_BYTES);
    header.seal(&block[BLOCK_HEADER_BYTES..BLOCK_HEADER_BYTES + valid], offset as u64);
    block[..BLOCK_HEADER_BYTES].copy_from_slice(header.as_bytes());
}

#[derive(Default)]
struct Shards {
    payload: Vec<u8>,
    /// The open shard: where it starts, and its header.
    open: Option<(usize, ShardHeader)>,
    next_sequence: u64,
    shards: u32,
    records: u32,
    bounds: Option<(u64, u64)>,
    last_ns: u64,
    /// The time of the last record in the open packed shard.
    packed_ns: u64,
    /// Of the writer's shards, and of producers'.
    encodings: (u8, u8),
}

impl Shards {
    /// Opens a shard for a record of `producer`, unless it continues the open one.
    fn open(&mut self, producer: u32, sequence: u64, is_packed: bool, ns: u64) {
        let fits = |header: &ShardHeader| {
            header.producer.get() == producer
                && self.next_sequence == sequence
                && (header.encoding() == Encoding::Packed) == is_packed
        };
        if !self.open.as_ref().is_some_and(|(_, header)| fits(header)) {
            self.close();
            let encoding = if producer == WRITER_PRODUCER { self.encodings.0 } else { self.encodings.1 };
            let header = match is_packed {
                true => ShardHeader::packed(producer, sequence, ns),
                false => ShardHeader { encoding, ..ShardHeader::plain(producer, sequence) },
            };
            self.open = Some((self.payload.len(), header));
            self.packed_ns = ns;
            self.payload.resize(self.payload.len() + size_of::<ShardHeader>(), 0);
        }
        self.next_sequence = sequence + 1;
    }

    fn pack(&mut self, producer: u32, sequence: u64, ns: u64, id: u32, types: &[FieldType], payload: &[u8]) {
        self.open(producer, sequence, true, ns);
        let at = self.payload.len();
        self.payload.resize(at + packed_room(payload.len()), 0);
        let delta_ns = ns.wrapping_sub(std::mem::replace(&mut self.packed_ns, ns));
        if id == 0
            && let Some((_, header)) = &mut self.open
        {
            header.levels |= 1 << 3;
        }
        let end = match id {
            0 => pack_message(&mut self.payload, at, delta_ns, 3, false, payload),
            id => pack_record(&mut self.payload, at, id, delta_ns, types, payload),
        };
        self.payload.truncate(end.expect("values of these types"));
        self.count(producer, ns);
    }

    fn add(&mut self, producer: u32, sequence: u64, ns: u64, kind: u8, flags: u8, payload: &[u8]) {
        self.open(producer, sequence, false, ns);
        let header = RecordHeader {
            length: U32::new(payload.len() as u32),
            kind,
            level: if producer == WRITER_PRODUCER { 0 } else { 3 },
            flags,
            reserved: 0,
            timestamp_ns: U64::new(ns),
        };
        self.payload.extend_from_slice(header.as_bytes());
        self.payload.extend_from_slice(payload);
        self.payload.resize(self.payload.len() + padded(payload.len()) - payload.len(), 0);
        self.count(producer, ns);
    }

    /// Counts a record.
    fn count(&mut self, producer: u32, ns: u64) {
        if let Some((_, shard)) = &mut self.open {
            shard.records += U32::new(1);
        }
        self.records += 1;
        if producer != WRITER_PRODUCER {
            let (first, last) = self.bounds.unwrap_or((ns, ns));
            self.bounds = Some((first.min(ns), last.max(ns)));
            self.last_ns = ns;
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.close();
        self.payload.extend_from_slice(bytes);
        self.shards += 1;
    }

    fn close(&mut self) {
        if let Some((start, mut header)) = self.open.take() {
            header.valid = U32::new((self.payload.len() - start - size_of::<ShardHeader>()) as u32);
            header.encode(&mut self.payload[start..]);
            self.shards += 1;
        }
    }

    fn seal(mut self, block: &Block, number: u64) -> Vec<u8> {
        self.close();
        let capacity = (BLOCK_HEADER_BYTES + self.payload.len()).next_multiple_of(GRID_BYTES).max(block.capacity);
        let (first_ns, last_ns) = self.bounds.unwrap_or((self.last_ns, self.last_ns));
        let mut header = BlockHeader {
            capacity: U32::new(capacity as u32),
            valid: U32::new(self.payload.len() as u32),
            magic: BLOCK_MAGIC,
            header_crc: U32::ZERO,
            payload_crc: U32::ZERO,
            flags: U16::new(block.flags),
            in_flight: U16::new(block.in_flight),
            segment_id: U64::ZERO,
            sequence: U64::new(number),
            first_ns: U64::new(first_ns),
            last_ns: U64::new(last_ns),
            records: U32::new(self.records),
            shards: U32::new(self.shards),
        };
        header.seal(&self.payload, 0);
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(&self.payload);
        bytes.resize(capacity, 0);
        bytes
    }
}

pub(super) use crate::sys::test_directory::directory;
