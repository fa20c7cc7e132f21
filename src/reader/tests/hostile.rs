//! Hostile bytes: reading them ends, without a panic and within the memory bound.

use proptest::prelude::*;

use super::*;
use crate::LossCause;
use crate::format::{BLOCK_HEADER_BYTES, FieldType, GAPS_MAX, GRID_BYTES, Type};
use crate::reader::test_log::{Image, reseal};

/// Reads and verifies a log of one segment with these bytes.
fn survive(bytes: &[u8]) {
    survive_all(&[bytes]);
}

/// Reads and verifies a log of segments with these bytes.
fn survive_all(segments: &[&[u8]]) {
    let directory = directory();
    for (at, bytes) in segments.iter().enumerate() {
        std::fs::write(directory.path().join(format!("{:08}.dlog", at + 1)), bytes).expect("write");
    }
    if let Ok(mut reader) = Reader::open(directory.path()) {
        for _ in 0..3 {
            while let Some(record) = reader.next_record().expect("read") {
                let owned = std::hint::black_box(record.to_record());
                assert_eq!((record.fields().count(), record.message()), (owned.fields().count(), owned.message()));
            }
        }
        let _ = reader.report().verdict();
    }
    let _ = verify(directory.path());
    let _ = info(directory.path());
}

/// A change to a log. Checksums are put right afterwards, so that the checks after them are reached.
#[derive(Clone, Debug)]
struct Change {
    block: prop::sample::Index,
    at: prop::sample::Index,
    in_header: bool,
    value: u8,
}

impl Change {
    fn apply(&self, image: &mut Image) {
        let n = self.block.index(image.offsets.len());
        let offset = image.offsets[n];
        let block = image.block(n);
        let valid = u32::from_le_bytes([block[4], block[5], block[6], block[7]]) as usize;
        let limit = (BLOCK_HEADER_BYTES + valid).min(block.len());
        let at = self.at.index(if self.in_header { BLOCK_HEADER_BYTES } else { limit });
        block[at] = self.value;
        reseal(block, offset, |_| ());
    }
}

fn change() -> impl Strategy<Value = Change> {
    (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>(), any::<u8>())
        .prop_map(|(block, at, in_header, value)| Change { block, at, in_header, value })
}

fn log() -> TestRun {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "one").record(2, 11, "two").lose(1, 2).record(1, 12, "three"));
    run.block(Block::new().in_flight(1).record(2, 20, "four").record(1, 22, "five").capacity(8192));
    run.block(Block::new().in_flight(1).record(1, 30, "six").record(2, 31, "seven"));
    run.block(structured(Block::new().in_flight(1)));
    run.close();
    run
}

/// With records of a callsite in a packed and in a plain shard, and its definition.
fn structured(block: Block) -> Block {
    let fields = [("text", Type::Str), ("number", Type::F64), ("wide", Type::Signed128), ("more", Type::Fields)]
        .map(|(name, of)| (name, FieldType::new(of).optional()));
    let types = fields.map(|(_, field)| field);
    let plain =
        [&b"\x01\x06\0\0\0abc\x01"[..], &12.34_f64.to_le_bytes(), b"\0\x01\x10\0\0\0\x01x\x01\x01\x01y\x83", b"\0"]
            .concat();
    let block = block.packed(1, 40, 7, &types, &plain).packed(1, 41, 0, &[], b"text").packed(1, 42, 7, &types, &plain);
    block.plain(2, 43, 7, &plain).define(7, "{text:>9} {number:.1}", &fields)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..20_000)) {
        survive(&bytes);
    }

    #[test]
    fn arbitrary_bytes_after_a_valid_header_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..20_000),
    ) {
        let mut run = TestRun::with_segment(1);
        run.last().bytes.extend_from_slice(&bytes);
        survive(&run.last().bytes);
    }

    #[test]
    fn arbitrary_payloads_with_valid_checksums_are_survived(
        payload in prop::collection::vec(any::<u8>(), 0..3_000),
    ) {
        let mut run = TestRun::with_segment(1);
        run.block(Block::new().record(1, 5, "a").shard(payload)).close();
        survive(&run.last().bytes);
    }

    #[test]
    fn changes_with_valid_checksums_are_survived(changes in prop::collection::vec(change(), 1..6)) {
        let mut run = log();
        let image = run.last();
        changes.iter().for_each(|change| change.apply(image));
        survive(&image.bytes);
    }

    #[test]
    fn changes_to_several_segments_with_valid_checksums_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..8),
    ) {
        let mut run = TestRun::with_segment(1);
        run.block(Block::new().record(1, 10, "one").record(2, 11, "two"));
        run.block(Block::new().in_flight(1).record(2, 20, "three")).block(Block::new().in_flight(2).record(1, 21, "four"));
        // The first segment fails: its last block is written again.
        run.again(3, 2).block(Block::new().in_flight(1).record(1, 30, "five"));
        run.segment(3).block(Block::new().record(2, 40, "six")).close();
        for (segment, change) in &changes {
            let at = segment.index(run.segments.len());
            change.apply(&mut run.segments[at]);
        }
        survive_all(&run.segments.iter().map(|image| &image.bytes[..]).collect::<Vec<_>>());
    }
}

#[test]
fn the_largest_lengths_and_numbers_are_survived() {
    type Put = fn(&mut crate::format::BlockHeader);
    let puts: [Put; 8] = [
        |header| header.sequence.set(u64::MAX),
        |header| header.in_flight.set(u16::MAX - 1),
        |header| (header.first_ns.set(u64::MAX), header.last_ns.set(0)).1,
        |header| header.records.set(u32::MAX),
        |header| header.shards.set(u32::MAX),
        |header| header.capacity.set(16 << 20),
        |header| header.segment_id.set(0),
        |header| header.flags.set(0xFF),
    ];
    for put in puts {
        for n in 0..7 {
            let mut run = log();
            let offset = run.last().offsets[n];
            reseal(run.last().block(n), offset, put);
            survive(&run.last().bytes);
        }
    }
}

#[test]
fn block_numbers_that_claim_any_number_of_losses_are_survived() {
    let directory = directory();
    for name in 1..4 {
        let mut run = TestRun::new(name);
        run.segment(name.into()).block(Block::new().record(1, 5, "a")).block(Block::new().record(1, 6, "b"));
        reseal(run.last().block(2), 2 * GRID_BYTES, |header| header.sequence.set(u64::MAX));
        run.write(directory.path());
    }
    let (messages, report) = read(directory.path());
    assert_eq!((messages.len(), report.verdict(), report.blocks.lost), (6, Verdict::Lost, u64::MAX));
}

#[test]
fn the_log_to_change_is_valid() {
    let (messages, report) = read(written(&[&log()]).path());
    assert_eq!((messages.len(), report.verdict()), (11, Verdict::Dropped), "{report:#?}");
}

#[test]
fn a_definition_of_the_most_fields_takes_bounded_memory() {
    // As many fields as a length of 16 bits can say, without names: 24 bytes of memory for 2 in the file.
    let mut payload = vec![7, 0, 0, 0, 3, 0, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    payload.extend([Type::Bool as u8, 0].repeat(0xFFFF));
    let mut run = TestRun::with_segment(1);
    let mut block = Block::new().plain(1, 5, 7, &[1; 0xFFFF]);
    for id in 7..30_u8 {
        payload[0] = id;
        block = block.note(crate::format::Kind::Callsite as u8, &payload);
    }
    run.block(block);
    let directory = written(&[run.close()]);
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(reader.next_record().expect("read").expect("one").fields().count(), 0xFFFF);
    assert_eq!(read(directory.path()).1.verdict(), Verdict::Clean);
}

#[test]
fn a_reader_can_be_sent_to_another_thread() {
    fn moves<T: Send + 'static>() {}
    moves::<Reader>();
    moves::<Record>();
    moves::<Verification>();
    moves::<RecordRef<'static>>();
}

#[test]
fn a_shard_with_fewer_records_than_its_header_says_gives_none() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 5, "a")).close();
    let block = run.last().block(1);
    // The count of the second shard; the first one has the row.
    let second = BLOCK_HEADER_BYTES + 32 + 16 + (56_usize + "worker-1".len() + 24).next_multiple_of(8);
    assert_eq!(block[second + 4], 1, "the producer");
    block[second + 16] = 2;
    reseal(block, GRID_BYTES, |_| ());
    let directory = written(&[&run]);
    let (messages, report) = read(directory.path());
    assert_eq!((messages, report.verdict()), (Vec::<String>::new(), Verdict::Lost), "two do not fit, so none is taken");
    assert!(report.unreadable > 0);
}

#[test]
fn a_block_with_thousands_of_gap_records_is_read_and_the_first_ones_count() {
    const GAPS: u64 = 20_000;
    let mut run = TestRun::with_segment(1);
    let first = Block::new().capacity(8 << 20).record(1, 5, "first");
    let gaps = (0..GAPS).fold(first, |block, n| block.gap(1, 1 + 2 * n, 1, LossCause::RingFull));
    run.block((0..GAPS).fold(gaps, |block, _| block.lose(1, 1).record(1, 5, "x"))).block(Block::new().end(1)).close();
    let directory = written(&[&run]);
    let mut reader = Reader::open(directory.path()).expect("open");
    let cause = |entry| if let Entry::Gap(gap) = entry { Some(gap.cause()) } else { None };
    let causes: Vec<_> = reader.entries().filter_map(|entry| cause(entry.expect("read"))).collect();
    let explained = causes.iter().take_while(|cause| **cause == LossCause::RingFull).count();
    assert_eq!((explained, causes.len() as u64), (GAPS_MAX, GAPS));
    assert!(causes[explained..].iter().all(|cause| *cause == LossCause::Unknown));
    assert_eq!((reader.report().skipped, reader.report().verdict()), (GAPS - GAPS_MAX as u64, Verdict::Dropped));
}

#[test]
fn thousands_of_segments_that_claim_the_same_numbers_are_survived() {
    let directory = directory();
    for index in 1..2_000 {
        let mut run = TestRun::new(1);
        run.segment(index).block(Block::new().record(1, 5, "a")).write(directory.path());
    }
    let (messages, report) = read(directory.path());
    assert_eq!((messages.len(), report.blocks.duplicates), (1, 1_998));
}

#[test]
fn thousands_of_segments_without_a_block_are_stepped_over() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 5, "first"));
    (2..4_000).for_each(|index| _ = run.segment(index));
    run.block(Block::new().record(1, 6, "last")).close().write(directory.path());
    let (messages, report) = read(directory.path());
    assert_eq!((messages, report.verdict()), (vec!["first".to_string(), "last".to_string()], Verdict::Clean));
    assert_eq!(report.runs[0].segments, 3_999);
    let last = ReadOptions::new().at_least_last(1).open(directory.path()).expect("open");
    assert_eq!(last.last().expect("one").expect("read").message(), b"last");
}
