//! Every truncation and every flipped bit of a small log that a logger wrote: the reader gives all records of every
//! other block, unchanged and no further ones, and `verify` the expected verdict.
//!
//! The test decodes block and shard headers itself, by the format's description, to know the records of each block.

mod support;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use diolog::{Level, Logger, Reader, Verdict, verify};

/// The bytes of a block's header.
const BLOCK_HEADER_BYTES: usize = 64;

/// A record: run, producer and sequence; message and time.
type Key = (String, u32, u64);
type Content = (Vec<u8>, u64);

/// One block of the file.
#[derive(Debug)]
struct Extent {
    start: usize,
    /// The end of its checksummed bytes.
    valid_end: usize,
    end: usize,
    /// Producer and sequence of its records.
    records: HashSet<(u32, u64)>,
}

/// A log of one run with two producers, of which one ends early, and at least five blocks.
fn write_log(directory: &Path) -> PathBuf {
    let path = directory.join("log");
    let logger = Logger::open(support::config(&path).block_bytes(4096).ring_bytes(4096)).expect("open");
    let (first, second) = (logger.producer().expect("a producer"), logger.producer().expect("a producer"));
    for round in 0..3 {
        first.log(Level::Info, format!("first {round}"));
        second.log(Level::Warn, format!("second {round} {}", "x".repeat(40 * round)));
        first.log(Level::Error, "");
        logger.flush().expect("flush");
    }
    drop(second);
    first.log(Level::Info, "last");
    logger.flush().expect("flush");
    logger.close().expect("close");
    path
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The blocks of a segment.
fn extents(bytes: &[u8]) -> Vec<Extent> {
    let mut extents = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        assert_eq!(&bytes[start + 8..start + 12], b"DLB1");
        let (capacity, valid) = (u32_at(bytes, start) as usize, u32_at(bytes, start + 4) as usize);
        let valid_end = start + BLOCK_HEADER_BYTES + valid;
        let mut records = HashSet::new();
        let mut shard = start + BLOCK_HEADER_BYTES;
        while shard < valid_end {
            let producer = u32_at(bytes, shard + 4);
            let first = u64::from_le_bytes(bytes[shard + 8..shard + 16].try_into().expect("eight bytes"));
            if producer != 0 {
                records.extend((0..u64::from(u32_at(bytes, shard + 16))).map(|n| (producer, first + n)));
            }
            shard += 32 + u32_at(bytes, shard) as usize;
        }
        extents.push(Extent { start, valid_end, end: start + capacity, records });
        start += capacity;
    }
    extents
}

fn read(path: &Path) -> HashMap<Key, Content> {
    let mut records = HashMap::new();
    let mut last = 0;
    for record in Reader::open(path).expect("a log") {
        let record = record.expect("readable");
        assert!(record.timestamp_ns() >= last, "in the order of time");
        last = record.timestamp_ns();
        let key = (record.run().to_string(), record.producer_id(), record.sequence());
        let content = (record.message().to_vec(), record.timestamp_ns());
        assert!(records.insert(key, content).is_none(), "no record comes twice");
    }
    records
}

/// A log, and its records.
struct Subject {
    path: PathBuf,
    file: PathBuf,
    bytes: Vec<u8>,
    extents: Vec<Extent>,
    truth: HashMap<Key, Content>,
}

impl Subject {
    fn new(directory: &Path) -> Subject {
        let path = write_log(directory);
        assert_eq!(verify(&path).expect("a log").verdict, Verdict::Clean);
        let file = path.join("00000001.dlog");
        let bytes = std::fs::read(&file).expect("the segment");
        let extents = extents(&bytes);
        assert!(extents.len() >= 6, "header, records, ends, clean end: {extents:?}");
        let truth = read(&path);
        assert_eq!(truth.len(), 10);
        assert_eq!(extents.iter().map(|extent| extent.records.len()).sum::<usize>(), truth.len());
        Subject { path, file, bytes, extents, truth }
    }

    /// Checks that exactly the records of the blocks that are not `gone` are read. With `run_is_known`, the segment's
    /// header is intact.
    fn check(&self, gone: impl Fn(usize) -> bool, run_is_known: bool, expected: Verdict, what: &str) {
        let lost: HashSet<_> = self
            .extents
            .iter()
            .enumerate()
            .filter(|(at, _)| gone(*at))
            .flat_map(|(_, extent)| &extent.records)
            .collect();
        let mut records = read(&self.path);
        for ((run, producer, sequence), content) in &self.truth {
            if lost.contains(&(*producer, *sequence)) {
                continue;
            }
            let found =
                records.iter().find(|((_, a, b), _)| (a, b) == (producer, sequence)).map(|(key, _)| key.clone());
            let key = found.unwrap_or_else(|| panic!("{what}: record {sequence} of producer {producer} is not there"));
            assert!(!run_is_known || key.0 == *run, "{what}");
            assert_eq!(records.remove(&key).as_ref(), Some(content), "{what}");
        }
        assert!(records.is_empty(), "{what}: invented {records:?}");
        let verification = verify(&self.path).expect("a log");
        assert_eq!(verification.verdict, expected, "{what}: {:#?}", verification.report);
    }
}

fn flip_every_bit(part: usize, parts: usize) {
    let directory = support::directory();
    let subject = Subject::new(directory.path());
    let mut file = File::options().write(true).open(&subject.file).expect("open");
    let mut put = |offset: usize, byte: u8| {
        file.seek(SeekFrom::Start(offset as u64)).expect("seek");
        file.write_all(&[byte]).expect("write");
    };
    let last = subject.extents.len() - 1;
    for (at, extent) in subject.extents.iter().enumerate() {
        for offset in (extent.start..extent.end).filter(|offset| offset % parts == part) {
            let in_padding = offset >= extent.valid_end;
            // No checksum covers the padding: one bit of each byte is enough.
            for bit in if in_padding { 3..4 } else { 0..8 } {
                put(offset, subject.bytes[offset] ^ 1 << bit);
                let expected = match at {
                    _ if in_padding => Verdict::Clean,
                    // The segment's header holds no record, and without its clean end the run is unconfirmed.
                    at if at == 0 || at == last => Verdict::Unconfirmed,
                    _ => Verdict::Lost,
                };
                let what = format!("bit {bit} of byte {offset}, in block {at}");
                subject.check(|block| block == at && !in_padding, at > 0, expected, &what);
            }
            put(offset, subject.bytes[offset]);
        }
    }
    subject.check(|_| false, true, Verdict::Clean, "whole again");
}

#[test]
fn every_flipped_bit_costs_its_own_block_and_no_other_at_even_offsets() {
    flip_every_bit(0, 2);
}

#[test]
fn every_flipped_bit_costs_its_own_block_and_no_other_at_odd_offsets() {
    flip_every_bit(1, 2);
}

#[test]
fn every_truncation_costs_the_blocks_that_are_cut_and_is_unconfirmed() {
    let directory = support::directory();
    let subject = Subject::new(directory.path());
    let file = File::options().write(true).open(&subject.file).expect("open");
    let clean_end = subject.extents.last().expect("blocks").valid_end;
    let header_end = subject.extents[0].valid_end;
    for length in (0..subject.bytes.len()).rev() {
        file.set_len(length as u64).expect("truncate");
        if length < header_end {
            // No block is left. A file of zeros counts as prepared, and one that has lost only zeros of its first
            // block's header as a segment; any other is refused.
            let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
            let bytes = &subject.bytes;
            let is_log = is_zero(&bytes[..length]) || is_zero(&bytes[length..length.max(BLOCK_HEADER_BYTES)]);
            let records = Reader::open(&subject.path).map(Iterator::count).ok();
            assert_eq!(records, is_log.then_some(0), "cut to {length}");
            continue;
        }
        let expected = if length >= clean_end { Verdict::Clean } else { Verdict::Unconfirmed };
        subject.check(|at| subject.extents[at].valid_end > length, true, expected, &format!("cut to {length}"));
    }
}
