//! The fields of records come back from the files with every bit, whatever the values and however many there are. There
//! is no table of values that could fill memory.
#![cfg(target_os = "linux")]

mod support;

use diolog::{Config, Level, Logger, Outcome, Overflow, Producer, Reader, RecordRef, Value, Verdict, verify};
use support::os;

/// Records, each with values of its own.
const RECORDS: u64 = 4_000_000;

/// Bytes that may be resident at the end beyond those after a tenth of the records.
const MARGIN_BYTES: u64 = 2 << 20;

/// The values of record `number`, which no other record has.
struct Values {
    number: u64,
    /// Another number for each `number`, which looks random.
    bits: u64,
}

impl Values {
    /// How many kinds of records there are.
    const KINDS: u64 = 6;

    fn of(number: u64) -> Values {
        // The finaliser of SplitMix64, which is one to one.
        let mut bits = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        Values { number, bits: bits ^ bits >> 31 }
    }

    fn kind(&self) -> u64 {
        self.number % Values::KINDS
    }

    /// Any f64, of which some are NaN with a payload of their own.
    fn any_f64(&self) -> f64 {
        f64::from_bits(if self.bits & 3 == 0 { self.bits | 0x7FF8 << 48 } else { self.bits })
    }

    /// A number with two decimals, or -0.
    fn price(&self) -> f64 {
        if self.bits & 63 == 0 { -0.0 } else { (self.bits % 100_000_000) as f64 / 100.0 }
    }

    fn any_i128(&self) -> i128 {
        (i128::from(self.bits) << 64 | i128::from(self.number)) >> (self.bits % 100)
    }

    fn any_char(&self) -> char {
        char::from_u32(self.bits as u32 % 0x11_0000).unwrap_or('\u{FFFD}')
    }

    fn bytes(&self) -> ([u8; 16], usize) {
        ((u128::from(self.number) << 64 | u128::from(self.bits)).to_le_bytes(), (self.bits % 17) as usize)
    }

    /// A text of up to sixteen characters.
    fn text<'a>(&self, room: &'a mut [u8; 64]) -> &'a str {
        let mut end = 0;
        for nibble in 0..self.bits % 17 {
            let letter = char::from_u32(0xE0 + (self.bits >> (4 * nibble) & 15) as u32).expect("a letter");
            end += letter.encode_utf8(&mut room[end..]).len();
        }
        std::str::from_utf8(&room[..end]).expect("letters")
    }

    fn log(&self, producer: &Producer) -> Outcome {
        let &Values { number, bits } = self;
        match self.kind() {
            0 => diolog::info!(producer, "order {number} at {price:.2}", number, price = self.price(), bits),
            1 => diolog::warn!(producer, "{number}: {any}", number, any = self.any_f64()),
            2 => diolog::debug!(producer, "", number, wide = self.any_i128(), low = bits as u128),
            3 => {
                let (bytes, length) = self.bytes();
                diolog::info!(producer, "bytes", number, bytes = &bytes[..length])
            }
            4 => diolog::info!(producer, "{text}", number, text = self.text(&mut [0; 64])),
            _ => diolog::trace!(
                producer,
                "many",
                number,
                small = f32::from_bits(bits as u32),
                letter = self.any_char(),
                maybe = (bits & 1 == 0).then_some(bits as i64),
                is_odd = bits & 1 != 0,
                shown = %number,
            ),
        }
    }

    /// Checks that the record has these values and no others.
    #[track_caller]
    fn assert_in(&self, record: &RecordRef<'_>) {
        let &Values { number, bits } = self;
        let mut fields = record.fields().map(|field| (field.name, field.value, field.cut));
        let mut next = |name: &str| match fields.next() {
            Some((found, value, false)) if found == name => value,
            other => panic!("{other:?} in the place of {name:?} of record {number}"),
        };
        assert_eq!(next("number"), Value::Unsigned(number));
        let same_f64 = |value, expected: f64| {
            assert!(
                matches!(value, Value::F64(found) if found.to_bits() == expected.to_bits()),
                "{value:?} {expected}"
            );
        };
        match self.kind() {
            0 => {
                same_f64(next("price"), self.price());
                assert_eq!(next("bits"), Value::Unsigned(bits));
            }
            1 => same_f64(next("any"), self.any_f64()),
            2 => {
                assert_eq!(next("wide"), Value::Signed128(self.any_i128()));
                assert_eq!(next("low"), Value::Unsigned128(bits.into()));
            }
            3 => {
                let (bytes, length) = self.bytes();
                assert_eq!(next("bytes"), Value::Bytes(&bytes[..length]));
            }
            4 => assert_eq!(next("text"), Value::Str(self.text(&mut [0; 64]))),
            _ => {
                let small = next("small");
                assert!(matches!(small, Value::F32(found) if found.to_bits() == bits as u32), "{small:?} {bits:x}");
                assert_eq!(next("letter"), Value::Char(self.any_char()));
                let maybe = if bits & 1 == 0 { Value::Signed(bits as i64) } else { Value::None };
                assert_eq!(next("maybe"), maybe);
                assert_eq!(next("is_odd"), Value::Bool(bits & 1 != 0));
                assert!(matches!(next("shown"), Value::Text(text) if text.parse() == Ok(number)));
            }
        }
        assert_eq!(fields.next(), None);
    }
}

fn config(path: &std::path::Path) -> Config {
    support::config(path).overflow(Overflow::Block).level(Level::Trace)
}

#[test]
fn four_million_records_with_values_of_their_own_come_back_in_flat_memory() {
    // A process of its own: its memory is measured.
    if support::child::ran_in_child("four_million_records_with_values_of_their_own_come_back_in_flat_memory") {
        return;
    }
    let path = support::child_directory().join("log");
    let logger = Logger::open(config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut resident = Vec::new();
    for number in 0..RECORDS {
        assert_eq!(Values::of(number).log(&producer), Outcome::Written);
        if number % (RECORDS / 10) == 0 {
            logger.flush().expect("durable");
            resident.push(os::resident_bytes());
        }
    }
    drop(producer);
    logger.close().expect("a clean end");
    assert_flat(&resident);

    let mut reader = Reader::open(&path).expect("a log");
    resident.clear();
    for number in 0..RECORDS {
        Values::of(number).assert_in(&reader.next_record().expect("readable").expect("a record"));
        if number % (RECORDS / 10) == 0 {
            resident.push(os::resident_bytes());
        }
    }
    assert!(reader.next_record().expect("readable").is_none());
    assert_eq!((reader.report().verdict(), reader.report().truncated), (Verdict::Clean, 0));
    assert_flat(&resident);
}

/// Compares the second of the measurements with the last.
#[track_caller]
fn assert_flat(resident: &[u64]) {
    let [_, before, .., after] = *resident else { panic!("{resident:?}") };
    assert!(after <= before + MARGIN_BYTES, "{resident:?}");
}

#[test]
fn values_are_the_same_packed_and_plain_from_several_producers_among_messages() {
    const RECORDS: u64 = 3_000;
    for packing in [true, false] {
        let directory = support::directory();
        let path = directory.path().join("log");
        let logger = Logger::open(config(&path).packing(packing).block_bytes(4096)).expect("a log");
        std::thread::scope(|scope| {
            for first in 0..3 {
                let producer = logger.producer().expect("a ring");
                scope.spawn(move || {
                    for number in (first..RECORDS).step_by(3) {
                        assert_eq!(Values::of(number).log(&producer), Outcome::Written);
                        if number % 5 == 0 {
                            assert_eq!(producer.log(Level::Info, number.to_le_bytes()), Outcome::Written);
                        }
                    }
                });
            }
        });
        logger.close().expect("a clean end");

        let mut found = vec![0; RECORDS as usize];
        let mut reader = Reader::open(&path).expect("a log");
        while let Some(record) = reader.next_record().expect("readable") {
            let number = match record.field("number") {
                Some(Value::Unsigned(number)) => {
                    Values::of(number).assert_in(&record);
                    number
                }
                None => u64::from_le_bytes(record.message().try_into().expect("a number")),
                Some(other) => panic!("{other:?}"),
            };
            found[number as usize] += 1;
        }
        let expected: Vec<_> = (0..RECORDS).map(|number| if number % 5 == 0 { 2 } else { 1 }).collect();
        assert_eq!(found, expected, "packing: {packing}");
        let verification = verify(&path).expect("a log");
        assert_eq!((verification.verdict, verification.report.records), (Verdict::Clean, RECORDS * 6 / 5));
    }
}

#[test]
fn a_block_alone_is_read_whole() {
    if cfg!(any(diolog_portable, not(target_os = "linux"))) {
        let reason = "nothing tells that no logger has the log open, so a reader waits for the missing blocks";
        return support::not_shown("a block alone", reason);
    }
    const BLOCK_BYTES: usize = 4096;
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path).block_bytes(BLOCK_BYTES)).expect("a log");
    let producers = [logger.producer_named("one").expect("a ring"), logger.producer_named("two").expect("a ring")];
    for number in 0..1_000 {
        assert_eq!(Values::of(number).log(&producers[(number % 2) as usize]), Outcome::Written);
    }
    drop(producers);
    logger.close().expect("a clean end");

    let file = support::segments::file(&path, 1);
    let whole = std::fs::read(&file).expect("a segment");
    let (mut found, mut blocks) = (0, 0);
    // Block 0 says whose the segment is, and has no records.
    for kept in 1..whole.len() / BLOCK_BYTES {
        let mut alone = whole.clone();
        for other in (1..whole.len() / BLOCK_BYTES).filter(|&other| other != kept) {
            alone[other * BLOCK_BYTES..][..BLOCK_BYTES].fill(0);
        }
        std::fs::write(&file, alone).expect("written");
        let mut reader = Reader::open(&path).expect("a log");
        while let Some(record) = reader.next_record().expect("readable") {
            let Some(Value::Unsigned(number)) = record.field("number") else { panic!("{record:?}") };
            Values::of(number).assert_in(&record);
            assert_eq!(record.producer_name(), ["one", "two"][(number % 2) as usize]);
            assert_eq!(record.callsite().map(|callsite| callsite.file()), Some(file!()));
            found += 1;
        }
        assert_eq!(reader.report().unreadable, 0);
        blocks += 1;
    }
    assert!(found == 1_000 && blocks > 5, "{found} records in {blocks} blocks");
}
