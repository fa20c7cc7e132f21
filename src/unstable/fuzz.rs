//! The targets of fuzzing. Each gives untrusted bytes to one part of the library, which must not panic.
//!
//! A fuzzer cannot guess checksums, so they are corrected first, as an attacker would do.

use std::path::Path;

use crate::format::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockHeader, CallsiteInfo, FieldType, GRID_BYTES, GapRecord, Kind, Layout,
    LogFigures, PackedHead, ProducerFigures, ProducerRow, RecordHeader, RefusalCounts, SegmentHeader, ShardHeader,
    Status, WRITER_PRODUCER, WallAnchor, check_values, record_bytes, segment_file_name,
};
use crate::reader::{self, Reader};
use crate::render::{self, Plan};

use zerocopy::{FromBytes, IntoBytes};

/// Takes the bytes, and an empty directory, which it leaves empty.
pub type Target = fn(&[u8], &Path);

/// All targets, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("block", |bytes, _| block(bytes)),
    ("shard", |bytes, _| shard(bytes)),
    ("record", |bytes, _| record(bytes)),
    ("callsite", |bytes, _| callsite(bytes)),
    ("render", |bytes, _| rendered(bytes)),
    ("segment", segment),
    ("ring", |bytes, _| super::fuzz_rings::ring(bytes)),
    ("ring_file", super::fuzz_rings::ring_file),
    ("recovery", super::fuzz_recovery::recovery),
];

/// A block: its header, and everything in it.
fn block(bytes: &[u8]) {
    reader::fuzz::read_block(bytes);
}

/// A shard after its callsite's definition. The first byte says how the shard is encoded, the second one how long the
/// definition is.
fn shard(bytes: &[u8]) {
    let Some(([encoding, length], rest)) = bytes.split_first_chunk() else { return };
    let Some((definition, records)) = rest.split_at_checked(usize::from(*length)) else { return };
    let mut block = vec![0; BLOCK_HEADER_BYTES];
    let mut own = vec![0; record_bytes(definition.len())];
    let head = RecordHeader {
        length: (definition.len() as u32).into(),
        kind: Kind::Callsite as u8,
        level: 0,
        flags: 0,
        reserved: 0,
        timestamp_ns: 1.into(),
    };
    own[..size_of::<RecordHeader>()].copy_from_slice(head.as_bytes());
    own[size_of::<RecordHeader>()..][..definition.len()].copy_from_slice(definition);
    put_shard(&mut block, ShardHeader::plain(WRITER_PRODUCER, 0), 1, &own);
    let mut header = if encoding & 1 == 0 { ShardHeader::plain(1, 0) } else { ShardHeader::packed(1, 0, 1) };
    header.levels = *encoding;
    put_shard(&mut block, header, u32::from(encoding >> 1), records);
    reader::fuzz::read_block(&block);
    // The same, cut off at any place.
    reader::fuzz::read_block(bytes);
    let mut rest = bytes;
    while let Some((_, records, after)) = ShardHeader::split(rest) {
        let short = PackedHead::read(records).filter(|head| records.len() >= 8 && head.head_bytes <= 8);
        assert!(PackedHead::read_short(records) == short, "two heads");
        rest = after;
    }
}

/// Appends a shard with a valid header.
fn put_shard(block: &mut Vec<u8>, mut header: ShardHeader, records: u32, bytes: &[u8]) {
    header.valid.set(bytes.len() as u32);
    header.records.set(records);
    let start = block.len();
    block.resize(start + size_of::<ShardHeader>(), 0);
    header.encode(&mut block[start..]);
    block.extend_from_slice(bytes);
}

/// Records, and every kind of payload.
fn record(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok((header, payload, after)) = RecordHeader::split(rest) {
        let _ = Kind::from_u8(header.kind);
        payloads(payload);
        rest = after;
    }
    payloads(bytes);
}

fn payloads(bytes: &[u8]) {
    let _ = (WallAnchor::decode(bytes), Status::decode(bytes), GapRecord::decode(bytes), RefusalCounts::decode(bytes));
    let _ = (LogFigures::decode(bytes), ProducerFigures::decode(bytes), SegmentHeader::decode(bytes));
    let _ = ProducerRow::decode(bytes);
    callsite(bytes);
}

/// A definition, and after it values of its fields.
fn callsite(bytes: &[u8]) {
    let Some(info) = CallsiteInfo::decode(bytes) else { return };
    let plan = Plan::of(info.template(), &info.fields);
    for layout in [Layout::Plain, Layout::Packed] {
        for values in [&[][..], bytes] {
            let _ = check_values(&info, values, layout);
            show(&plan, values, layout);
        }
    }
}

/// A template and values. The first bytes are the length of the template and the number of fields, then come their
/// types.
fn rendered(bytes: &[u8]) {
    let Some(([length, fields], rest)) = bytes.split_first_chunk() else { return };
    let Some((template, rest)) = rest.split_at_checked(usize::from(*length)) else { return };
    let Some((types, values)) = rest.split_at_checked(usize::from(*fields)) else { return };
    let name = |at: usize| ["a", "b", "name", "", "a{b"][at % 5];
    let types = types.iter().enumerate().filter_map(|(at, code)| Some((name(at), FieldType::from_code(*code).ok()?)));
    let fields: Vec<(&str, FieldType)> = types.collect();
    let template = String::from_utf8_lossy(template);
    for layout in [Layout::Plain, Layout::Packed] {
        show(&Plan::of(&template, &fields), values, layout);
        if let Some(plan) = Plan::of_json(&template, &fields) {
            let mut members = Vec::new();
            render::members(&plan, values, layout, &mut members);
            assert!(std::str::from_utf8(&members).is_ok(), "members are in UTF-8");
        }
    }
}

fn show(plan: &Plan, values: &[u8], layout: Layout) {
    let mut text = Vec::new();
    render::record(plan, values, layout, &mut text);
    assert!(std::str::from_utf8(&text).is_ok(), "a text is in UTF-8");
}

/// A whole segment file, in a directory of its own.
fn segment(bytes: &[u8], directory: &Path) {
    let mut bytes = bytes.to_vec();
    reseal(&mut bytes);
    let path = directory.join(segment_file_name(1));
    // If the disk has no room for it, there is nothing to test.
    if std::fs::write(&path, &bytes).is_ok() {
        if let Ok(mut reader) = Reader::open(directory) {
            while let Ok(Some(record)) = reader.next_record() {
                let owned = record.to_record();
                assert_eq!((record.fields().count(), record.message()), (owned.fields().count(), owned.message()));
            }
            let _ = reader.report().verdict();
        }
        let _ = (reader::verify(directory), reader::info(directory));
    }
    let _ = std::fs::remove_file(path);
}

/// Makes the checksums of all blocks valid that have a header on the grid.
fn reseal(bytes: &mut [u8]) {
    for offset in (0..bytes.len()).step_by(GRID_BYTES) {
        let block = &mut bytes[offset..];
        let Some((head, rest)) = block.split_at_mut_checked(BLOCK_HEADER_BYTES) else { return };
        let Ok(mut header) = BlockHeader::read_from_bytes(head) else { return };
        let valid = header.valid.get() as usize;
        if header.magic[..3] == BLOCK_MAGIC[..3]
            && let Some(payload) = rest.get(..valid)
        {
            header.seal(payload, offset as u64);
            head.copy_from_slice(header.as_bytes());
        }
    }
}
