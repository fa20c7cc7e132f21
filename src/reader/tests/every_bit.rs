//! Every truncation and every flipped bit of a small log: no panic, no record that was not written, no changed record,
//! and the expected verdict.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use super::*;
use crate::format::BLOCK_HEADER_BYTES;

/// Two producers, two dropped records, two segments: one with blocks 0 and 1, one with block 2, the ends and the clean
/// end.
fn small_log() -> TestRun {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "one").record(2, 11, "two").lose(1, 2).record(1, 12, "three"));
    run.block(Block::new().in_flight(1).record(2, 20, "four").record(1, 22, "five"));
    run.segment(2).block(Block::new().in_flight(1).record(1, 30, "six").record(2, 31, "seven"));
    run.close();
    run
}

/// A block's position in its segment; `valid_end` is without padding.
struct Extent {
    segment: usize,
    start: usize,
    valid_end: usize,
    end: usize,
}

fn extents(run: &mut TestRun) -> Vec<Extent> {
    let mut extents = Vec::new();
    for (segment, image) in run.segments.iter_mut().enumerate() {
        for n in 0..image.offsets.len() {
            let start = image.offsets[n];
            let block = image.block(n);
            let valid = u32::from_le_bytes([block[4], block[5], block[6], block[7]]) as usize;
            extents.push(Extent {
                segment,
                start,
                valid_end: start + BLOCK_HEADER_BYTES + valid,
                end: start + block.len(),
            });
        }
    }
    extents
}

/// Message, time and block (its index in `extents`) of each record, by producer and sequence.
fn truth() -> HashMap<(u32, u64), (&'static str, u64, usize)> {
    HashMap::from([
        ((1, 0), ("one", 10, 1)),
        ((2, 0), ("two", 11, 1)),
        ((1, 3), ("three", 12, 1)),
        ((2, 1), ("four", 20, 2)),
        ((1, 4), ("five", 22, 2)),
        ((1, 5), ("six", 30, 4)),
        ((2, 2), ("seven", 31, 4)),
    ])
}

/// Checks that reading gives exactly the records of the blocks that are not gone.
fn check(directory: &Path, gone: &dyn Fn(usize) -> bool, what: &dyn std::fmt::Debug) -> Report {
    let truth = truth();
    let mut reader = match Reader::open(directory) {
        Ok(reader) => reader,
        Err(error) => {
            assert!(truth.values().all(|(.., block)| gone(*block)), "{what:?}: {error}");
            return Report::default();
        }
    };
    let mut found = 0;
    let mut last = 0;
    while let Some(record) = reader.next_record().expect("read") {
        let key = (record.producer_id(), record.sequence());
        let (message, ns, block) = truth[&key];
        assert_eq!((record.message(), record.timestamp_ns()), (message.as_bytes(), ns), "{what:?}");
        assert!(!gone(block), "{what:?}: {key:?} was given though its block is damaged");
        // A damaged segment header may hide which run a segment belongs to, and so the order.
        assert!(ns >= last || reader.walk.account.report.runs.len() > 1, "{what:?}");
        last = ns;
        found += 1;
    }
    assert_eq!(found, truth.values().filter(|(.., block)| !gone(*block)).count(), "{what:?}: {:#?}", reader.report());
    let verification = verify(directory).expect("verify");
    assert_eq!(verification.report.runs, reader.report().runs, "{what:?}");
    assert_eq!(verification.report.blocks, reader.report().blocks, "{what:?}");
    assert_eq!(verification.report.verdict(), reader.report().verdict(), "{what:?}");
    verification.report
}

/// Flips every bit of the bytes whose offset is `part` modulo `parts`.
fn flip_every_bit(part: usize, parts: usize) {
    let mut run = small_log();
    let directory = written(&[&run]);
    let extents = extents(&mut run);
    let blocks = extents.len();
    for (at, extent) in extents.iter().enumerate() {
        let image = &run.segments[extent.segment];
        let path = directory.path().join(image.file_name());
        let mut file = File::options().write(true).open(path).expect("open");
        let mut put = |offset: usize, byte: u8| {
            file.seek(SeekFrom::Start(offset as u64)).expect("seek");
            file.write_all(&[byte]).expect("write");
        };
        for offset in (extent.start..extent.end).filter(|offset| offset % parts == part) {
            let original = image.bytes[offset];
            // No checksum covers the padding: one bit of each byte is enough.
            let bits = if offset < extent.valid_end { 0..8 } else { 3..4 };
            for bit in bits {
                put(offset, original ^ 1 << bit);
                let what = (at, offset, bit);
                let in_padding = offset >= extent.valid_end;
                let report = check(directory.path(), &|block| block == at && !in_padding, &what);
                let expected = match at {
                    _ if in_padding => Verdict::Dropped,
                    // A segment's header holds no record.
                    _ if extent.start == 0 => Verdict::Unconfirmed,
                    // Without its clean end the run is unconfirmed.
                    at if at + 1 == blocks => Verdict::Unconfirmed,
                    _ => Verdict::Lost,
                };
                assert_eq!(report.verdict(), expected, "{what:?}: {report:#?}");
            }
            put(offset, original);
        }
    }
    let report = check(directory.path(), &|_| false, &"whole again");
    assert_eq!(report.verdict(), Verdict::Dropped);
}

#[test]
fn every_flipped_bit_is_found_and_costs_no_other_block_at_even_offsets() {
    flip_every_bit(0, 2);
}

#[test]
fn every_flipped_bit_is_found_and_costs_no_other_block_at_odd_offsets() {
    flip_every_bit(1, 2);
}

#[test]
fn every_truncation_of_the_last_segment_is_unconfirmed_and_costs_only_what_is_cut() {
    truncate(1, |_, _| Verdict::Unconfirmed);
}

#[test]
fn every_truncation_of_an_earlier_segment_is_lost() {
    truncate(0, |length, extents| {
        // A segment that is cut after its last block is whole.
        if length >= extents[2].valid_end { Verdict::Dropped } else { Verdict::Lost }
    });
}

fn truncate(segment: usize, expected: fn(usize, &[Extent]) -> Verdict) {
    let mut run = small_log();
    let directory = written(&[&run]);
    let extents = extents(&mut run);
    let path = directory.path().join(run.segments[segment].file_name());
    let file = File::options().write(true).open(path).expect("open");
    let last = extents.iter().filter(|extent| extent.segment == segment).map(|extent| extent.valid_end).max();
    for length in (0..run.segments[segment].bytes.len()).rev() {
        file.set_len(length as u64).expect("truncate");
        let cut = |at: usize| extents[at].segment == segment && extents[at].valid_end > length;
        let report = check(directory.path(), &cut, &length);
        let whole = last.is_some_and(|last| length >= last);
        let verdict = if whole { Verdict::Dropped } else { expected(length, &extents) };
        assert_eq!(report.verdict(), verdict, "{length}: {report:#?}");
    }
}
