//! A log can be read while it is written: a reader that follows gets every record once, each producer's in order.

mod support;

use std::collections::HashMap;
use std::time::Duration;

use diolog::{Config, Level, Logger, Overflow, Reader, Verdict};

const THREADS: u64 = 3;
const RECORDS: u64 = 20_000;

fn open(config: Config) -> Logger {
    Logger::open(config.overflow(Overflow::Block)).expect("open")
}

/// Reads the records that have come since the reader ended, and checks that each producer's records follow one another.
fn read_on(reader: &mut Reader, next: &mut HashMap<(String, u32), u64>) -> u64 {
    let mut records = 0;
    reader.follow(Duration::from_millis(20)).expect("readable");
    while let Some(record) = reader.next_record().expect("readable") {
        let next = next.entry((record.run().to_string(), record.producer_id())).or_default();
        assert_eq!(record.sequence(), *next);
        assert_eq!(record.message(), next.to_string().as_bytes());
        *next += 1;
        records += 1;
    }
    records
}

#[test]
fn every_record_comes_once_over_rotation_and_a_second_run() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let mut next = HashMap::new();
    let mut reader: Option<Reader> = None;
    let mut records = 0;
    for _ in 0..2 {
        let logger = open(support::config(&path).block_bytes(8192).segment_bytes(1 << 20));
        // The reader comes to the end once before the load begins, and follows from there.
        logger.producer().expect("a producer").log(Level::Info, "0");
        logger.flush().expect("flush");
        let reader = reader.get_or_insert_with(|| Reader::open(&path).expect("a log"));
        records += read_on(reader, &mut next);
        let total = records + THREADS * RECORDS;
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let producer = logger.producer().expect("a producer");
                    (0..RECORDS).for_each(|number| {
                        producer.log(Level::Info, number.to_string());
                    });
                });
            }
            // Accepted records become readable without a flush, once the flush interval has passed.
            while records < total {
                records += read_on(reader, &mut next);
            }
        });
        logger.close().expect("close");
        assert_eq!(records, total);
    }
    let mut reader = reader.expect("opened");
    assert_eq!(read_on(&mut reader, &mut next), 0);
    let report = reader.report();
    assert_eq!((report.verdict(), report.runs.len()), (Verdict::Clean, 2), "{report:#?}");
    assert_eq!((report.records, report.blocks.duplicates), (2 * (THREADS * RECORDS + 1), 0));
}
