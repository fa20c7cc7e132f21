//! `docs/format.md` says the same as the code: offsets and sizes of every field, kinds, flags and limits.

use std::mem::{offset_of, size_of};

use super::block::{BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockFlags, BlockHeader, IN_FLIGHT_UNKNOWN};
use super::callsite::{CUT, RawCallsite};
use super::checksum::checksum;
use super::control::{ProducerRow, RawDroppedBy, RawProducerRow, StatusCode, WallAnchor};
use super::figures::{LogFigures, ProducerFigures, RawProducerFigures, State};
use super::limits::{
    BLOCK_BYTES_MAX, FIELDS_MAX, GRID_BYTES, MERGE_BYTES_MAX, NAME_BYTES_MAX, PRODUCERS_MAX, definition_bytes_max,
};
use super::loss::{GapRecord, LossCause, RawGap, RefusalCounts};
use super::packed::{MESSAGE_TRUNCATED, PACKED_RECORD_BYTES_MIN, pack_record, packed_room};
use super::record::{Kind, RECORD_HEADER_BYTES, RecordFlags, RecordHeader, UnknownKind, padded};
use super::segment::{RawProcess, RawSegmentHeader, SegmentHeader};
use super::shard::{SHARD_HEADER_BYTES, ShardHeader};
use super::value::{FieldType, Type};
use super::varint::put_varint;

const PAGE: &str = include_str!("../../docs/format.md");

/// The text between a heading and the next one of any depth.
fn section(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading} on the page"));
    rest.split("\n#").next().expect("the text before the next heading")
}

/// The rows of all tables in a section, as their cells.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let table = section(heading).lines().filter(|line| line.starts_with('|'));
    table.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()).collect()
}

/// Offset, size and name of each field in a section's byte map, reserved ones without a name.
fn byte_map(heading: &str) -> Vec<(usize, usize, &'static str)> {
    let field = |row: Vec<&'static str>| Some((row[0].parse().ok()?, row[1].parse().ok()?, row[2]));
    rows(heading).into_iter().filter_map(field).collect()
}

/// The same for the fields after the payload's text, whose offsets the page counts from `e`, the end of the text.
fn byte_map_after_text(heading: &str) -> Vec<(usize, usize, &'static str)> {
    let field = |row: Vec<&'static str>| {
        let offset = if row[0] == "e" { 0 } else { row[0].strip_prefix("e` + ")?.parse().ok()? };
        Some((offset, row[1].parse().ok()?, row[2]))
    };
    rows(heading).into_iter().filter_map(field).collect()
}

macro_rules! fields {
    ($layout:ty { $($field:ident: $bytes:expr => $name:expr),+ $(,)? }) => {
        vec![$((offset_of!($layout, $field), $bytes, $name)),+]
    };
}

#[test]
fn byte_maps_are_those_of_the_code() {
    let block = fields!(BlockHeader {
        capacity: 4 => "capacity", valid: 4 => "valid", magic: 4 => "magic", header_crc: 4 => "header_crc",
        payload_crc: 4 => "payload_crc", flags: 2 => "flags", in_flight: 2 => "in_flight",
        segment_id: 8 => "segment_id", sequence: 8 => "sequence", first_ns: 8 => "first_ns", last_ns: 8 => "last_ns",
        records: 4 => "records", shards: 4 => "shards",
    });
    let shard = fields!(ShardHeader {
        valid: 4 => "valid", producer: 4 => "producer", first_sequence: 8 => "first_sequence",
        records: 4 => "records", encoding: 1 => "encoding", levels: 1 => "levels", reserved: 2 => "",
        base_ns: 8 => "base_ns",
    });
    let record = fields!(RecordHeader {
        length: 4 => "length", kind: 1 => "kind", level: 1 => "level", flags: 1 => "flags", reserved: 1 => "",
        timestamp_ns: 8 => "timestamp_ns",
    });
    let row = fields!(RawProducerRow {
        id: 4 => "id", tid: 4 => "tid", next_sequence: 8 => "next_sequence", records: 8 => "records",
        dropped: 8 => "dropped", overwritten: 8 => "overwritten", unwritten: 8 => "unwritten",
        name_bytes: 2 => "name_bytes", reserved: 6 => "",
    });
    let callsite = fields!(RawCallsite {
        id: 4 => "id", level: 1 => "level", flags: 1 => "flags", fields: 2 => "fields", line: 4 => "line",
    });
    let segment = fields!(RawSegmentHeader {
        log: 16 => "log", run: 16 => "run", rings_of: 16 => "rings_of", boot: 16 => "boot", index: 8 => "index",
        previous_segment_id: 8 => "previous_segment_id", block_bytes: 4 => "block_bytes",
        message_bytes_max: 4 => "message_bytes_max", incompatible_features: 4 => "incompatible_features",
        compatible_features: 4 => "compatible_features", service_bytes: 2 => "service_bytes",
        unused_before: 4 => "unused_before", left_before: 2 => "left_before",
    });
    let gap = fields!(RawGap {
        producer: 4 => "producer", cause: 1 => "cause", reserved: 3 => "", first_sequence: 8 => "first_sequence",
        count: 8 => "count",
    });
    let refusals =
        fields!(RefusalCounts { closed: 8 => "closed", reentrant: 8 => "reentrant", no_ring: 8 => "no_ring" });
    let figures = fields!(LogFigures {
        unix_ns: 8 => "unix_ns", interval_ns: 8 => "interval_ns", state: 1 => "state", reserved: 3 => "",
        producers: 4 => "producers", producers_ended: 8 => "producers_ended", attempted: 8 => "attempted",
        written: 8 => "written", truncated: 8 => "truncated", payload_bytes: 8 => "payload_bytes",
        dropped_ring_full: 8 => "dropped_ring_full", dropped_ring_memory: 8 => "dropped_ring_memory",
        dropped_timed_out: 8 => "dropped_timed_out", dropped_device_failed: 8 => "dropped_device_failed",
        overwritten: 8 => "overwritten", refused: 8 => "refused", hidden: 8 => "hidden", waits: 8 => "waits",
        waited_ns: 8 => "waited_ns", durable_records: 8 => "durable_records", durable_blocks: 8 => "durable_blocks",
        durable_bytes: 8 => "durable_bytes", padding_bytes: 8 => "padding_bytes", device_bytes: 8 => "device_bytes",
        flushes: 8 => "flushes", flush_errors: 8 => "flush_errors", write_errors: 8 => "write_errors",
        preparation_errors: 8 => "preparation_errors", segments: 8 => "segments", segments_late: 8 => "segments_late",
        rings_bytes: 8 => "rings_bytes", rings_bytes_max: 8 => "rings_bytes_max", writes: 8 => "writes",
        write_p50_ns: 8 => "write_p50_ns", write_p99_ns: 8 => "write_p99_ns", write_max_ns: 8 => "write_max_ns",
        interval_flushes: 8 => "interval_flushes", flush_p50_ns: 8 => "flush_p50_ns", flush_p99_ns: 8 => "flush_p99_ns",
        flush_max_ns: 8 => "flush_max_ns",
    });
    let producer_figures = fields!(RawProducerFigures {
        id: 4 => "id", name_bytes: 2 => "name_bytes", reserved: 2 => "", ring_bytes: 8 => "ring_bytes",
        held_bytes: 8 => "held_bytes", high_water_bytes: 8 => "high_water_bytes", attempted: 8 => "attempted",
        written: 8 => "written", dropped: 8 => "dropped", overwritten: 8 => "overwritten", waited_ns: 8 => "waited_ns",
    });
    let anchor = fields!(WallAnchor { monotonic_ns: 8 => "monotonic_ns", unix_ns: 8 => "unix_ns" });
    for (heading, fields, bytes) in [
        ("## Block", block, size_of::<BlockHeader>()),
        ("## Shard", shard, size_of::<ShardHeader>()),
        ("## Record", record, size_of::<RecordHeader>()),
        ("### Producer row (kinds 4, 5 and 6)", row, ProducerRow::BYTES_BEFORE_NAME),
        ("### Callsite (kind 3)", callsite, size_of::<RawCallsite>()),
        ("### Segment header (kind 7)", segment, SegmentHeader::BYTES_MIN),
        ("### Wall clock anchor (kind 8)", anchor, size_of::<WallAnchor>()),
        ("### Gap (kind 0x82)", gap, GapRecord::BYTES),
        ("### Refusals (kind 0x83)", refusals, size_of::<RefusalCounts>()),
        ("### Figures (kind 0x84)", figures, size_of::<LogFigures>()),
        ("### Producer figures (kind 0x85)", producer_figures, ProducerFigures::BYTES_BEFORE_NAME),
    ] {
        assert_eq!(byte_map(heading), fields, "{heading}");
        assert_eq!(fields.iter().map(|(_, bytes, _)| bytes).sum::<usize>(), bytes, "{heading}: no byte is left out");
    }
}

#[test]
fn byte_maps_after_a_text_are_those_of_the_code() {
    let dropped_by = fields!(RawDroppedBy {
        dropped_ring_memory: 8 => "dropped_ring_memory", dropped_timed_out: 8 => "dropped_timed_out",
        dropped_device_failed: 8 => "dropped_device_failed",
    });
    let process = fields!(RawProcess { pid: 4 => "pid", host_bytes: 2 => "host_bytes" });
    assert_eq!(byte_map_after_text("### Producer row (kinds 4, 5 and 6)"), dropped_by);
    assert_eq!(byte_map_after_text("### Segment header (kind 7)"), process);
}

#[test]
fn causes_are_those_of_the_code() {
    for number in 0..=u8::MAX {
        let is_on_the_page =
            rows("### Gap (kind 0x82)").iter().any(|row| row.len() == 2 && row[0] == number.to_string());
        assert_eq!(is_on_the_page, number == 0 || LossCause::from_u8(number) != LossCause::Unknown, "{number}");
    }
}

#[test]
fn kinds_and_flags_are_those_of_the_code() {
    for kind in 1..=u8::MAX {
        let number = if kind < 0x80 { format!("| {kind} |") } else { format!("| {kind:#x} |") };
        assert_eq!(
            section("## Record").contains(&format!("\n{number}")),
            Kind::from_u8(kind).is_ok(),
            "kind {kind:#x}"
        );
    }
    assert_eq!(Kind::from_u8(0x7F).map_err(|unknown| unknown == UnknownKind::Skippable), Err(false));
    let flags = [
        BlockFlags::SEGMENT_HEADER,
        BlockFlags::CLEAN_END,
        BlockFlags::RECOVERED,
        BlockFlags::WALL_ANCHOR,
        BlockFlags::FIGURES,
    ];
    for bit in 0..16 {
        let flag = 1 << bit;
        let line = format!("\n| {flag:#06x} |");
        assert_eq!(section("## Block").contains(&line), flags.contains(&flag), "flag {flag:#06x}");
        assert_eq!(BlockFlags(flag).newer().is_some(), flag >= 0x0100);
    }
    assert!(section("## Record").contains(&format!("{:#04x}: the message, or one of", RecordFlags::TRUNCATED)));
    let features = format!("{:#x}: the writer may remove", SegmentHeader::RETENTION);
    assert!(section("### Segment header (kind 7)").contains(&features));
    for (state, meaning) in [(State::Ok, "writes"), (State::Full, "the disk"), (State::Failed, "writes fail")] {
        assert!(section("### Figures (kind 0x84)").contains(&format!("{}: {meaning}", state as u8)), "{state:?}");
    }
    for (code, meaning) in [
        (StatusCode::Device, "how"),
        (StatusCode::Error, "an error"),
        (StatusCode::Resumed, "writ"),
        (StatusCode::Recovered, "rec"),
    ] {
        assert!(section("### Status (kind 0x81)").contains(&format!("{}: {meaning}", code as u16)), "{code:?}");
    }
}

#[test]
fn types_are_those_of_the_code() {
    let on_the_page: Vec<_> = rows("## Values").into_iter().filter(|row| row.len() == 4).skip(2).collect();
    for code in 1..0x80_u8 {
        let row = on_the_page.iter().find(|row| row[0] == code.to_string());
        assert_eq!(row.is_some(), FieldType::from_code(code).is_ok(), "type {code}");
        let Ok(FieldType { of, .. }) = FieldType::from_code(code) else { continue };
        let bytes = of.plain_bytes().map_or("a text".into(), |bytes| format!("{bytes} byte"));
        assert!(row.expect("a row")[2].starts_with(&bytes), "type {code}: {row:?}");
        assert_eq!(FieldType::from_code(code + 128), Ok(FieldType::new(of).optional()), "plus 128 is optional");
    }
    assert!(section("## Packed records").contains(&format!("plus {MESSAGE_TRUNCATED} if it was cut")));
    assert!(section("## Packed records").contains(&format!("at most `valid / {PACKED_RECORD_BYTES_MIN}` records")));
    assert!(section("### Callsite (kind 3)").contains(&format!("{CUT:#04x}: a text below")));
    assert!(section("### Callsite (kind 3)").contains(&format!("After these {} bytes", size_of::<RawCallsite>())));
}

#[test]
fn the_examples_of_varints_and_decimals_are_those_of_the_code() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let mut examples = 0;
    for row in rows("### Varints").into_iter().skip(2) {
        let number = match row[0] {
            "2⁵⁶ − 1" => (1 << 56) - 1,
            "2⁵⁶" => 1 << 56,
            number => number.parse().expect("a number"),
        };
        let mut buffer = [0; 16];
        let end = put_varint(&mut buffer, 0, number);
        assert_eq!(row[1], hex(&buffer[..end]), "{number}");
        examples += 1;
    }
    for row in rows("## Values").into_iter().filter(|row| row.len() == 2) {
        let Ok(value) = row[0].replace('−', "-").parse::<f64>() else { continue };
        let mut buffer = [0; 64];
        let types = [FieldType::new(Type::F64)];
        let end = pack_record(&mut buffer[..packed_room(8)], 0, 1, 0, &types, &value.to_le_bytes()).expect("room");
        assert_eq!(row[1], hex(&buffer[3..end]), "{value}");
        examples += 1;
    }
    assert_eq!(examples, 13);
}

#[test]
fn limits_and_checksums_are_those_of_the_code() {
    let limits = section("## Limits");
    let before_message = BLOCK_HEADER_BYTES
        + SHARD_HEADER_BYTES
        + RECORD_HEADER_BYTES
        + padded(ProducerRow::BYTES_MAX)
        + SHARD_HEADER_BYTES
        + RECORD_HEADER_BYTES
        + SHARD_HEADER_BYTES;
    assert!(limits.contains(&format!("`capacity * 7 / 8 - {before_message}`")), "{before_message}");
    assert_eq!(definition_bytes_max(GRID_BYTES), GRID_BYTES / 8);
    for limit in [
        format!("| {GRID_BYTES} bytes |"),
        format!("({BLOCK_BYTES_MAX} bytes)"),
        format!("| {NAME_BYTES_MAX} bytes |"),
        format!("| {PRODUCERS_MAX} |"),
        format!("as a writer writes them | {FIELDS_MAX} |"),
        format!("({MERGE_BYTES_MAX} bytes)"),
    ] {
        assert!(limits.contains(&limit), "{limit}");
    }
    assert!(PAGE.contains(&format!("{:#010X}", checksum(b"123456789")).replace("0X", "0x")));
    assert!(section("## Block").contains(&format!("{IN_FLIGHT_UNKNOWN}: unknown")));
    assert!(section("## Block").contains(std::str::from_utf8(&BLOCK_MAGIC).expect("ASCII")));
}

#[test]
fn the_example_header_is_one() {
    let lines = section("## Block").split("```text\n").nth(1).expect("an example").lines().take(4);
    let hex = lines.flat_map(|line| line.split("    ").next().expect("its bytes").split_whitespace());
    let bytes: Vec<u8> = hex.map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect();
    let header = BlockHeader::decode(&bytes, 4096).expect("a header");
    assert!(header.payload_is_intact(b"hello") && header.sequence.get() == 9 && header.shards.get() == 1);
}
