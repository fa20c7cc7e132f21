//! A message of any bytes is read as it was logged. One over `message_bytes_max` is cut to that and flagged in the
//! file, and its caller gets `Truncated`.

mod support;

use diolog::{Config, Level, Logger, Outcome, Producer, Reader};

/// A message whose bytes differ from place to place.
fn message(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// Logs messages of these lengths: those up to `longest` must be read whole, longer ones cut to it.
fn check(config: Config, longest: usize, lengths: &[usize], append: impl Fn(&Logger, &Producer, &[u8]) -> Outcome) {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(config.path(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    for &length in lengths {
        let expected = if length > longest { Outcome::Truncated } else { Outcome::Written };
        assert_eq!(append(&logger, &producer, &message(length)), expected, "{length} bytes");
        // Empties the ring, so that each message fits.
        logger.flush().expect("durable");
    }
    logger.close().expect("a clean end");
    assert_eq!(logger.stats().durable_records, lengths.len() as u64);
    let mut reader = Reader::open(&path).expect("a log");
    for &length in lengths {
        let record = reader.next_record().expect("readable").expect("as many as were logged");
        assert!(record.message() == &message(length)[..length.min(longest)], "{length} bytes");
        assert_eq!(record.is_truncated(), length > longest, "{length} bytes");
        assert_eq!(record.level(), Some(Level::Warn));
    }
    assert!(reader.next_record().expect("readable").is_none());
    let truncated = lengths.iter().filter(|&&length| length > longest).count() as u64;
    assert_eq!(reader.report().truncated, truncated);
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!((verification.verdict, verification.report.truncated), (diolog::Verdict::Clean, truncated));
}

fn by_producer(_: &Logger, producer: &Producer, message: &[u8]) -> Outcome {
    producer.log(Level::Warn, message)
}

fn by_logger(logger: &Logger, _: &Producer, message: &[u8]) -> Outcome {
    logger.log(Level::Warn, message)
}

#[test]
fn every_length_around_a_small_maximum_is_kept_or_cut() {
    let lengths: Vec<usize> = (0..=110).chain([1000, 1 << 20]).collect();
    check(support::config("later").message_bytes_max(100), 100, &lengths, by_producer);
    check(support::config("later").message_bytes_max(100), 100, &lengths, by_logger);
}

#[test]
fn a_maximum_of_one_byte_keeps_one_byte() {
    check(support::config("later").message_bytes_max(1), 1, &[0, 1, 2, 9], by_producer);
}

#[test]
fn the_default_maximum_is_64_kib() {
    let longest = 64 << 10;
    let lengths = [longest - 1, longest, longest + 1, longest + 8, 10 * longest];
    check(support::config("later"), longest, &lengths, by_producer);
}

#[test]
fn the_default_maximum_of_a_threads_ring_is_half_of_it() {
    // Half of 64 KiB, less the record's head.
    let longest = (32 << 10) - 24;
    check(support::config("later"), longest, &[longest - 1, longest, longest + 1, 64 << 10], by_logger);
}

#[test]
fn the_default_maximum_of_a_small_ring_is_half_of_it() {
    let longest = 2048 - 24;
    let lengths = [longest - 8, longest, longest + 1, 4096, 100_000];
    check(support::config("later").ring_bytes(4096).thread_ring_bytes(4096), longest, &lengths, by_producer);
}

#[test]
fn the_default_maximum_of_a_small_block_fits_it() {
    // Even with the longest name: the producer's row precedes the record in the block.
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).block_bytes(4096)).expect("a log");
    let name = "n".repeat(255);
    let producer = logger.producer_named(&name).expect("a ring");
    assert_eq!(producer.log(Level::Info, message(10_000)), Outcome::Truncated);
    logger.close().expect("a clean end");
    let records: Vec<_> = Reader::open(&path).expect("a log").map(|record| record.expect("readable")).collect();
    let [record] = &records[..] else { panic!("{} records", records.len()) };
    // An eighth of the block is kept for a callsite's definition.
    assert!(record.message().len() > 3000 && record.message() == &message(10_000)[..record.message().len()]);
    assert_eq!(record.producer_name(), name);
    // A message of exactly that length is whole.
    let longest = record.message().len();
    check(support::config("later").block_bytes(4096), longest, &[longest, longest + 1], by_producer);
}

#[test]
fn a_maximum_above_the_default_is_kept() {
    let longest = 200_000;
    let config = support::config("later").message_bytes_max(longest);
    check(config.clone(), longest, &[longest - 1, longest, longest + 1], by_producer);
    check(config, longest, &[longest - 1, longest, longest + 1], by_logger);
}
