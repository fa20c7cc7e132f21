//! Records with fields, from macros to files and back: every value to the bit, packed or not, whatever the blocks are
//! like, and from each block alone.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use diolog::{Config, Logger, Outcome, Overflow, Producer, Reader, Value, Verdict, info, warn};
use proptest::prelude::*;

/// What one record says.
#[derive(Clone, Debug)]
enum Record {
    Numbers { integer: u64, signed: i64, number: f64 },
    Texts { text: String, bytes: Vec<u8>, absent: Option<u128> },
    Small { flag: bool, letter: char, small: f32, wide: i128 },
    Message(Vec<u8>),
}

fn record() -> impl Strategy<Value = Record> {
    let integer = (any::<u64>(), 0..64_u32).prop_map(|(integer, shift)| integer >> shift);
    let number = prop_oneof![
        (any::<i32>(), 0..7_i32).prop_map(|(integer, places)| f64::from(integer) / 10_f64.powi(places)),
        any::<u64>().prop_map(f64::from_bits),
    ];
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    prop_oneof![
        4 => (integer, any::<i64>(), number)
            .prop_map(|(integer, signed, number)| Record::Numbers { integer, signed, number }),
        2 => (".{0,40}", bytes(), any::<Option<u128>>())
            .prop_map(|(text, bytes, absent)| Record::Texts { text, bytes, absent }),
        2 => (any::<bool>(), any::<char>(), any::<u32>().prop_map(f32::from_bits), any::<i128>())
            .prop_map(|(flag, letter, small, wide)| Record::Small { flag, letter, small, wide }),
        2 => bytes().prop_map(Record::Message),
    ]
}

fn append(producer: &Producer, record: &Record) -> Outcome {
    match record {
        Record::Numbers { integer, signed, number } => info!(producer, "{integer} {signed}", integer, signed, number),
        Record::Texts { text, bytes, absent } => warn!(producer, text, bytes, absent, formatted = %text),
        Record::Small { flag, letter, small, wide } => info!(producer, "{wide}", flag, letter, small, wide),
        Record::Message(bytes) => producer.log(diolog::Level::Error, bytes),
    }
}

/// Compares values to the bit: `==` is not true of NaN.
fn same(value: Option<Value<'_>>, expected: Value<'_>) -> bool {
    match (value, expected) {
        (Some(Value::F64(value)), Value::F64(expected)) => value.to_bits() == expected.to_bits(),
        (Some(Value::F32(value)), Value::F32(expected)) => value.to_bits() == expected.to_bits(),
        (value, expected) => value == Some(expected),
    }
}

fn is_same(read: &diolog::RecordRef<'_>, record: &Record) -> bool {
    let field = |name: &str, expected| same(read.field(name), expected);
    match record {
        Record::Numbers { integer, signed, number } => {
            field("integer", Value::Unsigned(*integer))
                && field("signed", Value::Signed(*signed))
                && field("number", Value::F64(*number))
        }
        Record::Texts { text, bytes, absent } => {
            field("text", Value::Str(text))
                && field("bytes", Value::Bytes(bytes))
                && field("absent", absent.map_or(Value::None, Value::Unsigned128))
                && field("formatted", Value::Text(text))
        }
        Record::Small { flag, letter, small, wide } => {
            field("flag", Value::Bool(*flag))
                && field("letter", Value::Char(*letter))
                && field("small", Value::F32(*small))
                && field("wide", Value::Signed128(*wide))
        }
        Record::Message(bytes) => read.callsite_id().is_none() && read.message() == bytes,
    }
}

/// A log with small blocks that loses nothing.
fn config(path: &Path) -> Config {
    support::config(path).overflow(Overflow::Block).block_bytes(4096).message_bytes_max(1000)
}

/// Writes each producer's records, all from a thread of its own.
fn write(config: Config, producers: &[Vec<Record>]) {
    let logger = Logger::open(config).expect("a log");
    std::thread::scope(|scope| {
        for records in producers {
            let producer = logger.producer().expect("a ring");
            scope.spawn(move || {
                for record in records {
                    assert_eq!(append(&producer, record), Outcome::Written);
                }
            });
        }
    });
    logger.close().expect("closed");
}

proptest! {
    // Each case is a log on the disk.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_value_comes_back_to_the_bit(
        producers in prop::collection::vec(prop::collection::vec(record(), 0..200), 1..4),
        packing: bool,
    ) {
        let directory = support::directory();
        let path = directory.path().join("log");
        write(config(&path).packing(packing), &producers);
        let mut reader = Reader::open(&path).expect("a log");
        let mut next = BTreeMap::<u32, usize>::new();
        while let Some(read) = reader.next_record().expect("readable") {
            let at = next.entry(read.producer_id()).or_default();
            let expected = &producers[read.producer_id() as usize - 1][*at];
            prop_assert!(is_same(&read, expected), "{:?} for {:?}", read.to_record(), expected);
            prop_assert_eq!(read.sequence(), *at as u64);
            *at += 1;
        }
        let counts: Vec<_> = (1..=producers.len()).map(|id| next.get(&(id as u32)).copied().unwrap_or(0)).collect();
        prop_assert_eq!(counts, producers.iter().map(Vec::len).collect::<Vec<_>>());
        prop_assert_eq!(reader.report().verdict(), Verdict::Clean);
    }
}

/// A record of numbers in a row.
fn numbers(integer: u64) -> Record {
    Record::Numbers { integer, signed: -(integer as i64), number: integer as f64 / 100.0 }
}

#[test]
fn packed_records_take_a_fraction_of_the_bytes() {
    let directory = support::directory();
    let records: Vec<_> = (0..20_000).map(numbers).collect();
    let used = |packing| {
        let path = directory.path().join(format!("packing {packing}"));
        let config = support::config(&path).overflow(Overflow::Block).packing(packing);
        write(config, std::slice::from_ref(&records));
        // A closed log's files are cut to their length.
        let files = fs::read_dir(&path).expect("a directory").map(|file| file.expect("a file").metadata());
        files.map(|metadata| metadata.expect("metadata").len()).sum::<u64>()
    };
    let (packed, plain) = (used(true), used(false));
    // At most 3 bytes before the values, which take 3, 3 and 4: 13 in all. Plain, 16 and 28, padded.
    assert!(packed < 20_000 * 15 && plain > 20_000 * 48, "{packed} bytes, and {plain} if plain");
}

/// The places of the file's blocks after block 0, and their lengths.
fn blocks(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let mut at = 0;
    while bytes.get(at + 8..at + 12) == Some(b"DLB1") {
        let capacity = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        places.push((at, capacity));
        at += capacity;
    }
    places.split_off(1)
}

#[test]
fn a_block_alone_decodes_whole() {
    if cfg!(any(diolog_portable, not(target_os = "linux"))) {
        let reason = "nothing tells that no logger has the log open, so a reader waits for the missing blocks";
        return support::not_shown("a block alone", reason);
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    let records: Vec<_> = (0..1000).map(numbers).collect();
    write(config(&path), std::slice::from_ref(&records));
    let file = path.join("00000001.dlog");
    let whole = fs::read(&file).expect("a segment");
    let mut seen = 0;
    for (at, capacity) in blocks(&whole) {
        let mut alone = whole.clone();
        for (other, capacity) in blocks(&whole).into_iter().filter(|&(other, _)| other != at) {
            alone[other..other + capacity].fill(0);
        }
        fs::write(&file, &alone).expect("written");
        let mut reader = Reader::open(&path).expect("a log");
        let mut any = false;
        while let Some(read) = reader.next_record().expect("readable") {
            assert!(is_same(&read, &records[read.sequence() as usize]), "{:?}", read.to_record());
            assert_eq!(read.sequence(), seen, "the blocks are read in their order");
            (seen, any) = (seen + 1, true);
        }
        assert!(any || seen == 1000, "only the last blocks hold no record; {capacity} bytes at {at}");
    }
    assert_eq!(seen, 1000);
}
