//! Records of callsites and messages, moved from rings into blocks, and read back from each block alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use proptest::prelude::*;

use super::source::{DrainTarget, Source};
use crate::block::{Block, BlockPlace, CallsiteTable, Definition, place};
use crate::buffer::AlignedBuffer;
use crate::clock::{Clock, TickConverter};
use crate::format::{
    BLOCK_HEADER_BYTES, BlockHeader, CallsiteInfo, CallsiteParts, Encoding, FieldType, GapRecord, Kind, Layout,
    LossCause, MESSAGE_CODE, PackedHead, RecordFlags, RecordHeader, ShardHeader, Type, Values, WRITER_PRODUCER,
    message_mark,
};
use crate::listen::Taps;
use crate::registry::Arrival;
use crate::ring::{DropCause, ProducerEnd, RingOptions, ring};

/// The types of the callsites, from id 1 on. No callsite has the id after the last one.
const TYPES: [&[FieldType]; 6] = [
    &[FieldType::new(Type::Unsigned), FieldType::new(Type::Unsigned), FieldType::new(Type::F64)],
    &[FieldType::new(Type::Str), FieldType::new(Type::Debug).optional(), FieldType::new(Type::Fields)],
    &[FieldType::new(Type::Signed128), FieldType::new(Type::Unsigned128).optional(), FieldType::new(Type::Signed)],
    &[
        FieldType::new(Type::Bool),
        FieldType::new(Type::Char),
        FieldType::new(Type::F32),
        FieldType::new(Type::Bytes),
        FieldType::new(Type::F64).optional(),
    ],
    &[FieldType::new(Type::Unsigned); 60],
    &[],
];

fn define(id: u32, bytes_max: usize) -> Option<Definition> {
    let types = *TYPES.get(id.checked_sub(1)? as usize)?;
    let fields: Vec<_> = types.iter().map(|&of| ("a field", of)).collect();
    // The last ones are cut in a small block.
    let (target, file, template) = ("a::target", "src/file.rs", "text ".repeat(id as usize * 30));
    let parts =
        CallsiteParts { id, level: 1 + id as u8 % 5, line: id, target, file, template: &template, fields: &fields };
    let mut payload = Vec::new();
    parts.encode(bytes_max, &mut payload);
    assert!(payload.len() <= bytes_max);
    Some(Definition { payload: payload.into(), types: types.into() })
}

/// Numbers of every size from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn sized(&mut self) -> u64 {
        self.next() >> (self.next() % 64)
    }
}

/// The payload of a record in the ring: the id, and plain values of the callsite's types, or of any if nobody knows it.
fn payload(id: u32, seed: u64) -> Vec<u8> {
    let mut random = Random(seed | 1);
    let mut bytes = id.to_le_bytes().to_vec();
    for field in TYPES.get(id.wrapping_sub(1) as usize).copied().unwrap_or(TYPES[0]) {
        if field.optional {
            let present = random.next() % 2;
            bytes.push(present as u8);
            if present == 0 {
                continue;
            }
        }
        match field.of {
            Type::Bool => bytes.push(random.next() as u8 % 2),
            Type::Char => bytes.extend((random.sized() as u32 % 0xD800).to_le_bytes()),
            Type::Unsigned => bytes.extend(random.sized().to_le_bytes()),
            Type::Signed => bytes.extend((random.sized() as i64).wrapping_neg().to_le_bytes()),
            Type::Unsigned128 | Type::Signed128 => {
                bytes.extend(random.sized().to_le_bytes());
                bytes.extend(random.sized().to_le_bytes());
            }
            Type::F32 => bytes.extend((random.next() as u32).to_le_bytes()),
            Type::F64 => {
                let decimal = (random.sized() as i64) as f64 / [1.0, 100.0, 1e4, 1e6][random.next() as usize % 4];
                let number = [decimal, f64::from_bits(random.next())][random.next() as usize % 2];
                bytes.extend(number.to_bits().to_le_bytes());
            }
            Type::Str | Type::Bytes | Type::Display | Type::Debug | Type::Fields => {
                let length = (random.sized() % 300) as usize;
                bytes.extend((length as u32 * 2 + random.next() as u32 % 2).to_le_bytes());
                bytes.extend((0..length).map(|index| b'a' + (index % 26) as u8));
            }
        }
    }
    bytes
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Message {
        producer: usize,
        level: u8,
        bytes: usize,
        truncated: bool,
    },
    Record {
        producer: usize,
        id: u32,
        seed: u64,
        times: u64,
    },
    /// Values that are not those of the callsite.
    Malformed {
        producer: usize,
    },
    Lose {
        producer: usize,
    },
    Move {
        producer: usize,
    },
    Close,
}

const PRODUCERS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let producer = 0..PRODUCERS;
    let bytes = prop_oneof![0..200_usize, 0..2500_usize];
    prop_oneof![
        4 => (producer.clone(), 1..6_u8, bytes, any::<bool>())
            .prop_map(|(producer, level, bytes, truncated)| Step::Message { producer, level, bytes, truncated }),
        8 => (producer.clone(), 1..=7_u32, any::<u64>(), 1..20_u64)
            .prop_map(|(producer, id, seed, times)| Step::Record { producer, id, seed, times }),
        1 => producer.clone().prop_map(|producer| Step::Malformed { producer }),
        2 => producer.clone().prop_map(|producer| Step::Lose { producer }),
        4 => producer.prop_map(|producer| Step::Move { producer }),
        1 => Just(Step::Close),
    ]
}

/// A record as it was appended, and as it must come back.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    timestamp_ns: u64,
    kind: u8,
    level: u8,
    flags: u8,
    payload: Vec<u8>,
}

/// The writer's part of a log, without a device.
struct Writer {
    sources: Vec<(ProducerEnd, Source)>,
    converter: TickConverter,
    callsites: CallsiteTable,
    block_bytes: usize,
    block: Option<Block>,
    own_sequence: u64,
    blocks: Vec<Vec<u8>>,
    /// By producer and sequence.
    expected: BTreeMap<(u32, u64), Record>,
    now_ns: u64,
}

impl Writer {
    fn new(packs: bool, block_bytes: usize) -> Writer {
        let source = |id| {
            let (producer, consumer) = ring(RingOptions::window(64 << 10)).expect("a ring");
            let arrival = Arrival { id, tid: 1, name: String::new(), consumer, drained: Default::default() };
            (producer, Source::new(arrival, block_bytes, 1))
        };
        Writer {
            sources: (1..=PRODUCERS as u32).map(source).collect(),
            converter: TickConverter::new(Clock::monotonic()),
            callsites: CallsiteTable::new(packs, block_bytes, define),
            block_bytes,
            block: None,
            own_sequence: 0,
            blocks: Vec::new(),
            expected: BTreeMap::new(),
            now_ns: 1_000_000,
        }
    }

    fn append(&mut self, producer: usize, kind: Kind, level: u8, flags: u8, payload: Vec<u8>) {
        let tag = u32::from_le_bytes([kind as u8, level, flags, 0]);
        loop {
            self.now_ns += payload.len() as u64;
            let (end, now_ns) = (&self.sources[producer].0, self.now_ns);
            let key = (producer as u32 + 1, end.next_sequence());
            if end.append(tag, &payload[..], || now_ns).is_ok() {
                let timestamp_ns = self.converter.to_ns(now_ns);
                self.expected.insert(key, Record { timestamp_ns, kind: kind as u8, level, flags, payload });
                return;
            }
            self.move_due(producer);
            assert_eq!(self.sources[producer].1.consumer.used_bytes(), 0, "a ring that was emptied has room");
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Message { producer, level, bytes, truncated } => {
                let message = (0..bytes).map(|index| index as u8).collect();
                self.append(producer, Kind::Message, level, u8::from(truncated), message);
            }
            Step::Record { producer, id, seed, times } => {
                for number in 0..times {
                    let payload = payload(id, seed.wrapping_add(number * 0x9E37_79B9));
                    let flags = u8::from(seed % 4 == 0);
                    self.append(producer, Kind::Structured, 1 + id as u8 % 5, flags, payload);
                }
            }
            Step::Malformed { producer } => {
                let bytes = [payload(1, 5), vec![0]].concat();
                self.append(producer, Kind::Structured, 2, 0, bytes);
            }
            Step::Lose { producer } => self.sources[producer].0.drop_attempt(DropCause::Full),
            Step::Move { producer } => self.move_due(producer),
            Step::Close => self.close(),
        }
    }

    fn move_due(&mut self, producer: usize) {
        while self.sources[producer].1.look(self.now_ns, 1, true).due_bytes > 0 {
            loop {
                let buffer = || AlignedBuffer::new(self.block_bytes, 0).expect("memory");
                let block = self.block.get_or_insert_with(|| Block::new(buffer()));
                let records_before = block.records();
                let target = DrainTarget {
                    block,
                    callsites: &mut self.callsites,
                    own_sequence: &mut self.own_sequence,
                    taps: &mut Taps::default(),
                    converter: &self.converter,
                    now_ns: u64::MAX,
                };
                if !self.sources[producer].1.drain(target, 1) {
                    break;
                }
                assert!(block.records() > records_before || records_before > 0, "an empty block takes a record");
                self.close();
            }
        }
        // Here a record is as good as durable once it is in a block.
        let consumer = &mut self.sources[producer].1.consumer;
        let taken = consumer.cursor();
        consumer.release(taken);
    }

    fn close(&mut self) {
        let Some(mut block) = self.block.take().filter(|block| block.records() > 0) else { return };
        block.append_definitions(&self.callsites, &mut self.own_sequence, self.now_ns);
        let (mut buffer, length) = block.seal(self.blocks.len() as u64);
        place(&mut buffer, BlockPlace { segment_id: 1, file_offset: 4096, in_flight: 0 });
        self.blocks.push(buffer[..length].to_vec());
    }
}

/// What one block holds.
#[derive(Default)]
struct Read {
    records: BTreeMap<(u32, u64), Record>,
    gaps: BTreeSet<(u32, u64)>,
    packed_shards: usize,
}

fn equal<T: PartialEq + Debug>(what: &str, left: T, right: T) -> Result<(), TestCaseError> {
    prop_assert_eq!(left, right, "{}", what);
    Ok(())
}

/// The values of a record as they read, bit for bit.
fn values(types: &[FieldType], bytes: &[u8], layout: Layout) -> Option<String> {
    let mut read = Values::new(bytes, layout);
    let values = types.iter().map(|&of| read.next(of)).collect::<Option<Vec<_>>>()?;
    // `Debug` tells neither the payload of a NaN nor any other number apart from its neighbours: the bits are added.
    let bits = values.iter().map(|value| match value {
        crate::format::Decoded::Value { value: crate::format::Value::F64(number), .. } => number.to_bits(),
        crate::format::Decoded::Value { value: crate::format::Value::F32(number), .. } => number.to_bits().into(),
        _ => 0,
    });
    let bits: Vec<_> = bits.collect();
    read.rest().is_empty().then(|| format!("{values:?} {bits:?}"))
}

/// Reads a block and compares it with what was appended.
fn check(bytes: &[u8], expected: &BTreeMap<(u32, u64), Record>, read: &mut Read) -> Result<(), TestCaseError> {
    let header = BlockHeader::decode(bytes, 4096).expect("a header");
    let payload = &bytes[BLOCK_HEADER_BYTES..][..header.valid.get() as usize];
    prop_assert!(header.payload_is_intact(payload));
    // First the definitions, which stand at the end.
    let (mut definitions, mut defining_shards, mut rest) = (BTreeMap::new(), 0, payload);
    let (mut records, mut shards) = (0, 0);
    while !rest.is_empty() {
        let (shard, mut bytes, after) = ShardHeader::split(rest).expect("a shard");
        rest = after;
        shards += 1;
        records += shard.records.get();
        if shard.producer.get() != WRITER_PRODUCER {
            prop_assert!(definitions.is_empty(), "definitions are the last of the block");
            continue;
        }
        prop_assert_eq!(shard.encoding(), Encoding::Plain);
        let mut any = false;
        for _ in 0..shard.records.get() {
            let (record, payload, after) = RecordHeader::split(bytes).expect("a record");
            bytes = after;
            match Kind::from_u8(record.kind) {
                Ok(Kind::Callsite) => {
                    any = true;
                    let callsite = CallsiteInfo::decode(payload).expect("a definition");
                    prop_assert!(definitions.insert(callsite.id, callsite).is_none(), "a callsite is defined once");
                }
                Ok(Kind::Gap) => {
                    let gap = GapRecord::decode(payload).expect("a gap");
                    prop_assert_eq!(gap.cause, LossCause::RingFull);
                    for sequence in gap.first_sequence..gap.first_sequence + gap.count {
                        prop_assert!(read.gaps.insert((gap.producer, sequence)), "a gap is explained once");
                    }
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        defining_shards += usize::from(any);
    }
    prop_assert!(defining_shards <= 1);
    equal("records and shards", (records, shards), (header.records.get(), header.shards.get()))?;
    // Then the records.
    let (mut used, mut times, mut rest) = (BTreeSet::new(), Vec::new(), payload);
    while let Some((shard, mut bytes, after)) = ShardHeader::split(rest) {
        rest = after;
        let producer = shard.producer.get();
        if producer == WRITER_PRODUCER {
            continue;
        }
        let (mut last_ns, mut levels) = (shard.base_ns.get(), 0);
        for number in 0..shard.records.get() {
            let key = (producer, shard.first_sequence.get() + u64::from(number));
            let was = &expected[&key];
            let is = if shard.encoding() == Encoding::Plain {
                let (record, payload, after) = RecordHeader::split(bytes).expect("a record");
                bytes = after;
                if record.kind == Kind::Structured as u8 {
                    used.extend(payload.first_chunk::<4>().map(|id| u32::from_le_bytes(*id)));
                }
                let timestamp_ns = record.timestamp_ns.get();
                Record {
                    timestamp_ns,
                    kind: record.kind,
                    level: record.level,
                    flags: record.flags,
                    payload: payload.to_vec(),
                }
            } else {
                let head = PackedHead::read(bytes).expect("a record");
                let content = &bytes[head.head_bytes..][..head.length];
                bytes = &bytes[head.head_bytes + head.length..];
                if number == 0 {
                    prop_assert_eq!(head.delta_ns, 0);
                    prop_assert!(head.code != MESSAGE_CODE, "a record of a callsite begins a packed shard");
                }
                let timestamp_ns = last_ns + head.delta_ns;
                last_ns = timestamp_ns;
                if head.code == MESSAGE_CODE {
                    let (&mark, message) = content.split_first().expect("a mark");
                    let (level, truncated) = message_mark(mark);
                    levels |= 1 << level;
                    let flags = if truncated { RecordFlags::TRUNCATED } else { 0 };
                    Record { timestamp_ns, kind: Kind::Message as u8, level, flags, payload: message.to_vec() }
                } else {
                    used.insert(head.code);
                    let callsite = definitions.get(&head.code);
                    prop_assert!(callsite.is_some(), "callsite {} is not defined", head.code);
                    let types: Vec<_> =
                        callsite.into_iter().flat_map(|callsite| &callsite.fields).map(|(_, of)| *of).collect();
                    equal("types", &types[..], TYPES[head.code as usize - 1])?;
                    let (id, plain) = was.payload.split_first_chunk::<4>().expect("an id");
                    equal("id", u32::from_le_bytes(*id), head.code)?;
                    let packed = values(&types, content, Layout::Packed);
                    prop_assert!(packed.is_some());
                    equal("values", packed, values(&types, plain, Layout::Plain))?;
                    Record { timestamp_ns, ..was.clone() }
                }
            };
            equal("a record", &is, was)?;
            times.push(is.timestamp_ns);
            prop_assert!(read.records.insert(key, is).is_none(), "a record is there once");
        }
        prop_assert!(bytes.is_empty());
        equal("levels", levels, shard.levels)?;
        read.packed_shards += usize::from(shard.encoding() == Encoding::Packed);
    }
    used.retain(|&id| id as usize <= TYPES.len());
    let defined: BTreeSet<_> = definitions.keys().copied().collect();
    prop_assert!(defined.is_superset(&used), "{:?} of {:?}", defined, used);
    equal("times", times.iter().min().copied(), Some(header.first_ns.get()))?;
    equal("times", times.iter().max().copied(), Some(header.last_ns.get()))
}

proptest! {
    #[test]
    fn every_block_alone_gives_back_the_records_in_it_and_all_blocks_give_back_all(
        steps in prop::collection::vec(step(), 0..120),
        packs in prop::bool::weighted(0.8),
        block_bytes in prop_oneof![Just(4096), Just(8192), Just(64 << 10)],
    ) {
        let mut writer = Writer::new(packs, block_bytes);
        steps.into_iter().for_each(|step| writer.take(step));
        (0..PRODUCERS).for_each(|producer| writer.move_due(producer));
        writer.close();
        let mut read = Read::default();
        for block in &writer.blocks {
            check(block, &writer.expected, &mut read)?;
        }
        equal("the number of records", read.records.len(), writer.expected.len())?;
        prop_assert!(read.gaps.iter().all(|key| !writer.expected.contains_key(key)), "a gap has no records");
        prop_assert!(packs || read.packed_shards == 0);
    }
}
