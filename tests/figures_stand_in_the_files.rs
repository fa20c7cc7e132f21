//! The writer leaves its figures in the files for whoever watches: at most once a second and at the end, only in a
//! block that is written anyway, and a reader of records sees nothing of them.

mod support;

use std::time::{Duration, Instant};

use diolog::{Figures, FiguresReader, InUse, Level, Logger, Overflow, Producer, Verdict};

/// The block flag for figures, and the one for a clean end.
const FIGURES: u8 = 0x10;
const CLEAN_END: u8 = 0x02;

/// What a reader says of a log that is `in_use` or not: off Linux nothing tells.
fn told(in_use: InUse) -> InUse {
    if cfg!(all(target_os = "linux", not(diolog_portable))) { in_use } else { InUse::Unknown }
}

/// Logs until the files hold `rows` more rows of figures. Returns them.
fn rows(logger: &Logger, producer: &Producer, watch: &mut FiguresReader, rows: usize) -> Vec<Figures> {
    let mut seen = Vec::new();
    while seen.len() < rows {
        producer.log(Level::Info, "a message");
        diolog::info!(producer, "order {id} filled", id = 42_u64);
        logger.flush().expect("durable");
        if watch.refresh().expect("readable") {
            seen.push(watch.newest().expect("figures").clone());
        }
    }
    seen
}

#[test]
fn figures_come_once_a_second_and_only_in_blocks_that_hold_records() {
    let directory = support::directory();
    let path = directory.path().join("log");
    // Before the writer begins, whose clock need not run exactly as this one does.
    let begin = Instant::now();
    let rows_at_most = || (begin.elapsed().as_secs_f64() / 0.99) as usize;
    // Only a flush closes a block, so that no figures are taken between two appends.
    let config = support::config(&path).message_bytes_max(20).flush_interval(Duration::from_secs(3600));
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer_named("orders").expect("a ring");
    producer.log(Level::Info, "longer than twenty bytes");
    logger.flush().expect("durable");
    let mut watch = FiguresReader::open(&path).expect("a log");
    assert!(watch.newest().is_none() || rows_at_most() > 0, "the first row comes after a second");
    assert_eq!(watch.in_use(), told(InUse::Yes));
    let rows = rows(&logger, &producer, &mut watch, 2);
    let stats = logger.stats();
    assert!(rows[1].monotonic_ns - rows[0].monotonic_ns >= 1_000_000_000, "{rows:#?}");
    assert_eq!(rows[1].interval_ns, rows[1].monotonic_ns - rows[0].monotonic_ns);
    assert_eq!(watch.previous(), Some(&rows[0]));
    let (first, last) = (&rows[0], &rows[1]);
    assert!(first.written < last.written && last.written <= stats.written, "{rows:#?}");
    assert_eq!((last.attempted, last.truncated, last.lost(), last.producers), (last.written, 1, 0, 1));
    assert!(last.flushes > first.flushes && last.writes.count > 0 && last.interval_flushes.p50_ns > 0);
    assert!(last.interval_flushes.max_ns >= last.interval_flushes.p99_ns);
    let row = &last.fullest[0];
    assert_eq!((row.name.as_str(), row.written, row.dropped), ("orders", last.written, 0));
    assert!(row.held_bytes > 0 && row.high_water_bytes >= row.held_bytes, "the block itself is still in the ring");
    logger.close().expect("a clean end");
    let rows_at_most = rows_at_most();

    let verification = diolog::verify(&path).expect("a log");
    assert_eq!((verification.verdict, verification.report.records), (Verdict::Clean, stats.written));
    let bytes = std::fs::read(support::segments::file(&path, 1)).expect("readable");
    let blocks = blocks_with_figures(&bytes);
    // One a second, and one at the end.
    assert!(blocks.len() >= 2 && blocks.len() <= rows_at_most + 1, "{rows_at_most}: {blocks:?}");
    assert!(blocks.iter().all(|&(flags, records)| records > 0 || flags & CLEAN_END != 0), "{blocks:?}");
    // Whoever comes later finds the same.
    let later = FiguresReader::open(&path).expect("a log");
    assert_eq!(later.in_use(), told(InUse::No));
    assert_eq!(later.newest().expect("figures").written, stats.written, "those in the clean end are final");
    assert_eq!(later.previous().map(|before| before.run), Some(last.run));
}

/// Flags and producers' records of each block that holds figures.
fn blocks_with_figures(bytes: &[u8]) -> Vec<(u8, u32)> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let (mut blocks, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (capacity, valid) = (number(at) as usize, number(at + 4) as usize);
        let (mut shard, mut records) = (at + 64, 0);
        while shard < at + 64 + valid {
            records += if number(shard + 4) == 0 { 0 } else { number(shard + 16) };
            shard += 32 + number(shard) as usize;
        }
        if bytes[at + 20] & FIGURES != 0 {
            blocks.push((bytes[at + 20], records));
        }
        at += capacity;
    }
    blocks
}

#[test]
fn while_nothing_is_logged_nothing_is_written() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    logger.log(Level::Info, "one");
    logger.flush().expect("durable");
    let before = logger.stats();
    let begin = Instant::now();
    // Longer than the second after which figures are due.
    while begin.elapsed() < Duration::from_millis(1_200) {
        logger.flush().expect("durable");
    }
    let after = logger.stats();
    assert_eq!((after.durable_blocks, after.device_bytes), (before.durable_blocks, before.device_bytes));
    assert!(after.flushes > before.flushes);
}

#[test]
fn full_blocks_hold_figures_too() {
    let directory = support::directory();
    let path = directory.path().join("log");
    // Two messages fill a block but for 200 bytes, in which figures have no room.
    let config = support::config(&path)
        .block_bytes(4096)
        .segment_bytes(16 << 20)
        .retain_bytes(64 << 20)
        .overflow(Overflow::Block);
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut watch = FiguresReader::open(&path).expect("a log");
    while watch.newest().is_none() {
        for _ in 0..1000 {
            producer.log(Level::Info, [b'm'; 1800]);
        }
        logger.flush().expect("durable");
        watch.refresh().expect("readable");
    }
    logger.close().expect("a clean end");
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn a_watch_goes_on_with_the_next_segment_the_next_run_and_another_log() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    producer.log(Level::Info, "one");
    logger.flush().expect("durable");
    let mut watch = FiguresReader::open(&path).expect("a log");
    logger.rotate().expect("open");
    while logger.stats().segments < 2 {
        producer.log(Level::Info, "one");
        logger.flush().expect("durable");
    }
    let first = rows(&logger, &producer, &mut watch, 1).remove(0);
    drop(producer);
    logger.close().expect("a clean end");
    assert_eq!(first.segments, 2);
    assert!(watch.refresh().expect("readable"), "the clean end has the final ones");
    assert_eq!(watch.previous(), Some(&first));
    for _ in 0..2 {
        let logger = Logger::open(support::config(&path)).expect("a log");
        let producer = logger.producer().expect("a ring");
        producer.log(Level::Info, "one");
        logger.flush().expect("durable");
        let next = rows(&logger, &producer, &mut watch, 1).remove(0);
        assert!(next.run != first.run && watch.previous().is_none(), "{next:#?}");
        logger.close().expect("a clean end");
        std::fs::remove_dir_all(&path).expect("removed");
    }
}

#[test]
fn what_is_no_log_is_an_error_that_says_what_is_there() {
    let directory = support::directory();
    let error = FiguresReader::open(directory.path()).expect_err("no log");
    assert!(error.to_string().contains("is an empty directory"), "{error}");
    let other = directory.path().join("other");
    std::fs::write(&other, "some text").expect("written");
    let error = FiguresReader::open(&other).expect_err("no log");
    assert!(matches!(error, diolog::Error::NotALog { .. }), "{error:?}");
    assert!(error.to_string().ends_with("is not a diolog segment: it starts with \"some text\""), "{error}");
}
