//! Records of callsites, from plain and from packed shards: their fields, their callsites, and what is wrong with them.

use proptest::prelude::*;

use super::*;
use crate::Level;
use crate::format::test_values::{any_plain, put_plain, put_value};
use crate::format::{BLOCK_HEADER_BYTES, Decoded, FieldType, GRID_BYTES, Kind, Type, Value};
use crate::reader::test_log::reseal;

const UNSIGNED: FieldType = FieldType::new(Type::Unsigned);
const STR: FieldType = FieldType::new(Type::Str);
/// The fields of callsite 7.
const FIELDS: [(&str, FieldType); 2] = [("id", UNSIGNED), ("symbol", STR.optional())];
const TYPES: [FieldType; 2] = [UNSIGNED, STR.optional()];

/// The plain values of a record of callsite 7.
fn values(id: u64, symbol: Option<&str>) -> Vec<u8> {
    let mut plain = Vec::new();
    put_value(UNSIGNED, Value::Unsigned(id), &mut plain);
    put_value(STR.optional(), symbol.map_or(Value::None, Value::Str), &mut plain);
    plain
}

/// A block of four records, packed or plain, that its definition follows.
fn block(is_packed: bool) -> Block {
    let record = |block: Block, producer, ns, plain: Vec<u8>| {
        if is_packed { block.packed(producer, ns, 7, &TYPES, &plain) } else { block.plain(producer, ns, 7, &plain) }
    };
    let block = record(Block::new(), 1, 100, values(1, Some("ACME")));
    let block = record(block, 2, 90, values(2, None));
    let block = if is_packed { block.packed(2, 110, 0, &[], b"text") } else { block.record(2, 110, "text") };
    record(block, 2, 120, values(u64::MAX, Some("é"))).define(7, "order {id}", &FIELDS)
}

#[test]
fn fields_and_callsites_come_from_plain_and_from_packed_shards() {
    for is_packed in [false, true] {
        let mut run = TestRun::with_segment(1);
        run.block(block(is_packed));
        let directory = written(&[run.close()]);
        let mut reader = Reader::open(directory.path()).expect("open");
        let mut found = Vec::new();
        while let Some(record) = reader.next_record().expect("read") {
            let owned = record.to_record();
            assert_eq!((owned.message(), owned.callsite_id()), (record.message(), record.callsite_id()));
            assert!(owned.fields().eq(record.fields()) && owned.callsite() == record.callsite());
            assert_eq!((owned.field("id"), &owned.clone()), (record.field("id"), &owned));
            assert_eq!((record.level(), record.is_truncated()), (Some(Level::Info), false));
            let mut written = b"> ".to_vec();
            record.write_message(&mut written);
            assert_eq!(written[2..], *record.message());
            let fields: Vec<_> = record.fields().map(|field| format!("{} {:?}", field.name, field.value)).collect();
            found.push((record.timestamp_ns(), record.producer_id(), record.sequence(), fields));
            let Some(callsite) = record.callsite() else {
                assert_eq!((record.message(), record.callsite_id()), (&b"text"[..], None));
                continue;
            };
            assert_eq!((record.callsite_id(), callsite.level(), callsite.line()), (Some(7), Some(Level::Info), 7));
            assert_eq!((callsite.target(), callsite.file()), ("shop::orders", "src/orders.rs"));
            assert_eq!((callsite.template(), callsite.is_cut()), ("order {id}", false));
            assert!(callsite.field_names().eq(["id", "symbol"]));
            assert_eq!(record.field("symbol"), record.fields().nth(1).map(|field| field.value));
            assert_eq!(record.field("price"), None);
        }
        let fields = |id: u64, symbol: &str| vec![format!("id Unsigned({id})"), format!("symbol {symbol}")];
        let expected = [
            (90, 2, 0, fields(2, "None")),
            (100, 1, 0, fields(1, "Str(\"ACME\")")),
            (110, 2, 1, vec![]),
            (120, 2, 2, fields(u64::MAX, "Str(\"é\")")),
        ];
        assert_eq!(found, expected, "packed: {is_packed}");
        let (_, report) = read(directory.path());
        assert_eq!((report.verdict(), report.records, report.truncated), (Verdict::Clean, 4, 0), "{report:#?}");
    }
}

#[test]
fn a_record_with_a_value_that_was_cut_is_truncated() {
    let mut plain = values(1, None);
    plain.pop();
    put_plain(TYPES[1], Decoded::Value { value: Value::Str("AC"), cut: true }, &mut plain);
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().packed(1, 1, 7, &TYPES, &plain).plain(1, 2, 7, &plain).define(7, "", &FIELDS));
    let directory = written(&[run.close()]);
    let (_, report) = read(directory.path());
    assert_eq!((report.truncated, report.verdict()), (2, Verdict::Clean), "{report:#?}");
    for record in Reader::open(directory.path()).expect("open") {
        let record = record.expect("read");
        assert!(record.is_truncated());
        let cut: Vec<_> = record.fields().map(|field| (field.name, field.cut)).collect();
        assert_eq!(cut, [("id", false), ("symbol", true)]);
    }
}

#[test]
fn a_callsite_that_is_not_defined_is_shown_and_reported() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().packed(1, 1, 17, &TYPES, &values(1, None)).record(1, 2, "a").plain(1, 3, 18, b""));
    run.block(block(true));
    let directory = written(&[run.close()]);
    let (messages, report) = read(directory.path());
    assert_eq!(messages[..3], ["callsite 17 is not defined", "a", "callsite 18 is not defined"]);
    assert_eq!((messages.len(), report.records, report.unreadable), (7, 7, 0));
    assert_eq!((report.verdict(), report.findings.len()), (Verdict::Lost, 1), "{report:#?}");
    assert_eq!(report.findings[0].what, "2 records have a callsite that the block does not define");
    let record = Reader::open(directory.path()).expect("open").next().expect("one").expect("read");
    assert_eq!((record.callsite_id(), record.callsite(), record.level()), (Some(17), None, None));
    assert_eq!(record.fields().count(), 0);
}

#[test]
fn a_definition_is_its_blocks_and_its_runs_own() {
    let mut first = TestRun::with_segment(1);
    first.block(Block::new().packed(1, 1, 7, &TYPES, &values(1, None)).define(7, "first", &FIELDS));
    first.block(Block::new().packed(1, 2, 7, &[], b"").define(7, "second", &[]));
    let mut second = TestRun::new(2);
    second.segment(2).block(Block::new().plain(1, 1, 7, b"\x01").define(
        7,
        "third",
        &[("a", FieldType::new(Type::Bool))],
    ));
    let directory = written(&[first.close(), second.close()]);
    let records = Reader::open(directory.path()).expect("open").collect::<Result<Vec<_>>>().expect("read");
    let templates: Vec<_> = records.iter().map(|record| record.callsite().expect("defined").template()).collect();
    assert_eq!(templates, ["first", "second", "third"]);
    let counts: Vec<_> = records.iter().map(|record| record.fields().count()).collect();
    assert_eq!(counts, [2, 0, 1]);
    assert_eq!(read(directory.path()).1.verdict(), Verdict::Clean);
}

#[test]
fn two_different_definitions_of_one_id_are_invalid_and_the_first_counts() {
    for (again, unreadable) in [("order {id}", 0), ("another", 1)] {
        let mut run = TestRun::with_segment(1);
        run.block(block(true).define(7, again, &FIELDS));
        let (messages, report) = read(written(&[run.close()]).path());
        assert_eq!((messages.len(), report.unreadable), (4, unreadable));
        assert_eq!(report.verdict() == Verdict::Clean, unreadable == 0, "{report:#?}");
    }
}

#[test]
fn values_of_a_newer_type_make_their_records_newer() {
    let mut payload = Vec::new();
    let fields = [("id", UNSIGNED), ("shape", FieldType::new(Type::Bool))];
    let parts =
        crate::format::CallsiteParts { id: 8, level: 3, line: 1, target: "", file: "", template: "", fields: &fields };
    parts.encode(512, &mut payload);
    let at = payload.len() - "\x01\x05shape".len();
    payload[at] = 0x20;
    let mut run = TestRun::with_segment(1);
    run.block(
        Block::new()
            .record(1, 1, "a")
            .packed(1, 2, 8, &[UNSIGNED], &7_u64.to_le_bytes())
            .plain(1, 3, 8, b"anything")
            .note(Kind::Callsite as u8, &payload),
    );
    let directory = written(&[run.close()]);
    let (messages, report) = read(directory.path());
    assert_eq!((messages, report.newer_records), (vec!["a".into()], 2));
    assert_eq!((report.verdict(), report.runs[0].producers[0].records), (Verdict::Newer, 3), "{report:#?}");
    assert!(report.findings[0].what.ends_with("(field type 32)"), "{:?}", report.findings);
    assert!(!info(directory.path()).expect("info").findings.is_empty());
}

#[test]
fn values_that_are_not_the_callsites_are_invalid_and_cost_their_record_alone() {
    let short = &values(1, Some("ACME"))[..12];
    let long = [values(1, None), vec![0]].concat();
    let huge = [&1_u64.to_le_bytes()[..], &[1], &u32::MAX.to_le_bytes()].concat();
    for wrong in [&b""[..], short, &long, &huge] {
        let mut run = TestRun::with_segment(1);
        run.block(
            Block::new()
                .plain(1, 1, 7, &values(1, None))
                .plain(1, 2, 7, wrong)
                .plain(1, 3, 7, &values(3, None))
                .define(7, "", &FIELDS),
        );
        let (messages, report) = read(written(&[run.close()]).path());
        assert_eq!((messages.len(), report.unreadable, report.verdict()), (2, 1, Verdict::Lost), "{wrong:?}");
    }
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().kind(1, 1, Kind::Structured as u8, [1, 0]).plain(1, 2, 0, b"").record(1, 3, "a"));
    let (messages, report) = read(written(&[run.close()]).path());
    assert_eq!((messages.len(), report.unreadable), (1, 2), "no id, and id 0");
}

/// The bytes of a packed shard of producer 1 with these records.
fn shard(records: u32, bytes: &[u8]) -> Vec<u8> {
    let mut header = crate::format::ShardHeader::packed(1, 0, 5);
    (header.valid, header.records) = ((bytes.len() as u32).into(), records.into());
    let mut shard = vec![0; size_of::<crate::format::ShardHeader>()];
    header.encode(&mut shard);
    shard.extend_from_slice(bytes);
    shard
}

#[test]
fn packed_records_that_contradict_themselves_are_invalid() {
    let message = b"\x00\x02\x04\x03a";
    for (records, bytes, given, unreadable) in [
        (1, &message[..], 1, 0),
        (2, &[&message[..], message].concat(), 2, 0),
        // A length beyond the shard, a code beyond 32 bits, a time beyond 64 bits, a message without its first byte.
        (1, b"\x00\x02\x06\x03a", 0, 2),
        (1, b"\xFF\0\0\0\0\x01\0\0\0\0\0", 0, 2),
        (1, b"\x00\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02\x03", 0, 2),
        (1, b"\x00\x02\x00", 0, 1),
        // Fewer records than the header says, and more bytes.
        (2, &[&message[..], b"\xFF\xFF\xFF"].concat(), 1, 2),
        (1, &[&message[..], message].concat(), 1, 1),
    ] {
        let mut run = TestRun::with_segment(1);
        run.block(Block::new().shard(shard(records, bytes)));
        let image = run.last();
        let at = image.offsets[1];
        reseal(image.block(1), at, |header| {
            header.records.set(records);
            (header.first_ns.set(0), header.last_ns.set(u64::MAX)).1
        });
        let (messages, report) = read(written(&[&run]).path());
        assert_eq!((messages.len(), report.unreadable), (given, unreadable), "{bytes:?}: {:#?}", report.findings);
    }
    // More records than fit into so many bytes: no shard, and its block says that records are missing.
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().shard(shard(2, message)));
    let (messages, report) = read(written(&[&run]).path());
    assert_eq!((messages.len(), report.unreadable), (0, 1));
}

#[test]
fn a_packed_shard_of_the_writers_is_invalid() {
    let mut run = TestRun::with_segment(1);
    let mut bytes = shard(1, b"\x00\x02\x04\x03a");
    bytes[4] = 0;
    run.block(Block::new().shard(bytes));
    let (messages, report) = read(written(&[&run]).path());
    assert_eq!((messages.len(), report.unreadable), (0, 1));
}

#[test]
fn a_block_alone_decodes_whole() {
    let mut run = TestRun::with_segment(1);
    for n in 0..5_u64 {
        let block =
            Block::new().packed(1, 10 * n, 7, &TYPES, &values(n, Some("A"))).plain(2, 10 * n + 1, 7, &values(n, None));
        run.block(block.define(7, "order {id}", &FIELDS));
    }
    run.close();
    for kept in 0..5_u64 {
        let mut alone = run.clone();
        let image = alone.last();
        for n in (0..7).filter(|&n| n != kept) {
            image.block(n as usize + 1).fill(0);
        }
        let records = Reader::open(written(&[&alone]).path()).expect("open").collect::<Result<Vec<_>>>().expect("read");
        let found: Vec<_> = records
            .iter()
            .map(|record| {
                let callsite = record.callsite().expect("defined");
                (record.producer_name(), callsite.template(), record.field("id"), record.field("symbol"))
            })
            .collect();
        let id = Some(Value::Unsigned(kept));
        let expected =
            [("worker-1", "order {id}", id, Some(Value::Str("A"))), ("worker-2", "order {id}", id, Some(Value::None))];
        assert_eq!(found, expected, "block {kept}");
    }
}

#[test]
fn a_follower_reads_packed_shards_as_they_come() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(block(true)).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(rows(&mut reader).len(), 4);
    for n in 1..4 {
        run.block(Block::new().packed(1, 1000 * n, 7, &TYPES, &values(n, None)).define(7, "order {id}", &FIELDS));
        run.write(directory.path());
        let records = more(&mut reader);
        assert_eq!(records.len(), 1, "{records:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_come_back_from_a_log_to_the_bit(
        records in prop::collection::vec((prop::collection::vec(any_plain(), 0..6), any::<bool>(), 0..1000_u64), 1..8),
    ) {
        // Content of fields with names of their own is not random bytes.
        let records: Vec<_> = records
            .into_iter()
            .map(|(fields, is_packed, after)| {
                let fields: Vec<_> = fields.into_iter().filter(|(field, _)| field.of != Type::Fields).collect();
                (fields, is_packed, after)
            })
            .collect();
        let mut block = Block::new();
        let mut ns = 0;
        for (id, (fields, is_packed, after)) in (1..).zip(&records) {
            let (types, plain): (Vec<_>, Vec<_>) = fields.iter().cloned().unzip();
            let plain = plain.concat();
            ns += after;
            block = if *is_packed { block.packed(1, ns, id, &types, &plain) } else { block.plain(1, ns, id, &plain) };
        }
        for (id, (fields, _, _)) in (1..).zip(&records) {
            let fields: Vec<_> = fields.iter().map(|(field, _)| ("f", *field)).collect();
            block = block.define(id, "", &fields);
        }
        let mut run = TestRun::with_segment(1);
        run.block(block);
        let directory = written(&[run.close()]);
        let mut reader = Reader::open(directory.path()).expect("open");
        for (id, (fields, _, _)) in (1..).zip(&records) {
            let record = reader.next_record().expect("read").expect("a record");
            prop_assert_eq!(record.callsite_id(), Some(id));
            let found = record.fields().zip(fields).map(|(field, (of, _))| {
                let mut plain = Vec::new();
                put_plain(*of, Decoded::Value { value: field.value, cut: field.cut }, &mut plain);
                plain
            });
            prop_assert_eq!(found.collect::<Vec<_>>(), fields.iter().map(|field| field.1.clone()).collect::<Vec<_>>());
        }
        prop_assert!(reader.next_record().expect("read").is_none());
        prop_assert_eq!(reader.report().verdict(), Verdict::Clean);
    }

    #[test]
    fn a_packed_shard_cut_at_any_record_decodes(numbers in prop::collection::vec((any::<u64>(), 0..1_000_000_u64), 1..20)) {
        let mut block = Block::new();
        let mut ns = 0;
        for (number, after) in &numbers {
            ns += after;
            block = block.packed(1, ns, 7, &[UNSIGNED], &number.to_le_bytes());
        }
        let mut run = TestRun::with_segment(1);
        run.block(block.define(7, "", &[("n", UNSIGNED)])).block(Block::new());
        // The shard of producer 1 stands after that of its row.
        let payload = run.last().block(1)[BLOCK_HEADER_BYTES..].to_vec();
        let row_bytes = u32::from_le_bytes(payload[..4].try_into().expect("four")) as usize;
        let at = 32 + row_bytes;
        let valid = u32::from_le_bytes(payload[at..at + 4].try_into().expect("four")) as usize;
        let records = &payload[at + 32..at + 32 + valid];
        let mut end = 0;
        for kept in 1..=numbers.len() {
            let head = crate::format::PackedHead::read(&records[end..]).expect("a record");
            end += head.head_bytes + head.length;
            let mut cut = payload.clone();
            cut.drain(at + 32 + end..at + 32 + valid);
            cut[at..at + 4].copy_from_slice(&(end as u32).to_le_bytes());
            cut[at + 16..at + 20].copy_from_slice(&(kept as u32).to_le_bytes());
            let mut shorter = run.clone();
            let missing = valid - end;
            let block = shorter.last().block(1);
            block[BLOCK_HEADER_BYTES..][..cut.len()].copy_from_slice(&cut);
            reseal(block, GRID_BYTES, |header| {
                header.valid.set(header.valid.get() - missing as u32);
                header.records.set(kept as u32 + 2);
            });
            let directory = written(&[&shorter]);
            let mut reader = Reader::open(directory.path()).expect("open");
            let found = reader.by_ref().map(|record| record.expect("read").field("n").map(|value| format!("{value:?}")));
            let expected = numbers[..kept].iter().map(|(number, _)| Some(format!("Unsigned({number})")));
            prop_assert!(found.eq(expected));
            prop_assert_eq!(reader.report().unreadable, 0);
        }
        prop_assert_eq!(end, valid);
    }
}
