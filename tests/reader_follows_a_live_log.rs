//! A log can be read while it is written: a reader that follows gets every record once, each producer's in order.

mod support;

use std::collections::HashMap;
use std::time::Duration;

use diolog::{Config, Error, Level, Logger, Overflow, ReadOptions, Reader, Verdict};

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

#[test]
#[cfg(unix)]
fn a_log_that_was_removed_or_made_anew_is_read_to_its_end_and_is_then_an_error() {
    for (made_anew, whole) in [(false, true), (true, true), (false, false), (true, false)] {
        let directory = support::directory();
        let path = directory.path().join("log");
        let log = |message: &str| {
            let logger = open(support::config(&path));
            logger.producer().expect("a producer").log(Level::Info, message);
            logger.close().expect("close");
        };
        log("one");
        let mut reader = Reader::open(&path).expect("a log");
        let next = |reader: &mut Reader| {
            let record = reader.next_record().expect("readable");
            record.map(|record| String::from_utf8_lossy(record.message()).into_owned())
        };
        assert_eq!((next(&mut reader).as_deref(), next(&mut reader)), (Some("one"), None));
        if whole {
            std::fs::remove_dir_all(&path).expect("removed");
        } else {
            let files = path.read_dir().expect("the log");
            files.for_each(|file| std::fs::remove_file(file.expect("a file").path()).expect("removed"));
        }
        if made_anew {
            log("of another log");
        }
        for _ in 0..2 {
            let error = reader.follow(Duration::ZERO).expect_err("the log is gone");
            assert!(matches!(error, Error::NotALog { .. }), "{error}");
            assert!(error.to_string().contains("was removed, or another log is there now"), "{error}");
            assert_eq!(next(&mut reader), None);
        }
        assert_eq!(reader.report().verdict(), Verdict::Clean, "{:#?}", reader.report());
    }
}

#[test]
fn a_follower_that_folds_producers_keeps_no_row_of_those_that_ended_without_a_loss() {
    const PRODUCERS: u64 = 2_000;
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = open(support::config(&path).flush_interval(Duration::from_millis(1)).message_bytes_max(1 << 10));
    let stays = logger.producer_named("stays").expect("a producer");
    stays.log(Level::Info, "stays");
    logger.flush().expect("durable");
    let mut reader = ReadOptions::new().fold_producers(true).open(&path).expect("a log");
    let mut names = Vec::new();
    for number in 0..PRODUCERS {
        let producer = logger.producer_named(&format!("name {number}")).expect("a producer");
        producer.log(Level::Info, number.to_string());
        drop(producer);
        if number % 100 == 99 {
            logger.flush().expect("durable");
            while reader.follow(Duration::ZERO).expect("readable") {
                while let Some(record) = reader.next_record().expect("readable") {
                    names.push(record.producer_name().to_owned());
                }
            }
            let run = &reader.report().runs[0];
            // Those that ended in the last blocks may still have rows.
            assert!(run.producers.len() < 300, "{} rows", run.producers.len());
        }
    }
    drop(stays);
    logger.close().expect("closed");
    while reader.follow(Duration::from_millis(100)).expect("readable") {
        while let Some(record) = reader.next_record().expect("readable") {
            names.push(record.producer_name().to_owned());
        }
    }
    let expected = std::iter::once("stays".to_owned()).chain((0..PRODUCERS).map(|number| format!("name {number}")));
    assert!(names == expected.collect::<Vec<_>>(), "{} names", names.len());
    let report = reader.report();
    assert_eq!(report.verdict(), Verdict::Clean, "{report:#?}");
    let run = &report.runs[0];
    assert_eq!(run.folded_producers + run.producers.len() as u64, PRODUCERS + 1);
    assert_eq!(run.records, PRODUCERS + 1);
    let all = diolog::verify(&path).expect("a log").report;
    assert_eq!((all.runs[0].producers.len() as u64, all.runs[0].folded_producers), (PRODUCERS + 1, 0));
}
