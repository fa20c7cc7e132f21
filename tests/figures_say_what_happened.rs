//! Each figure of a log counts what its name says: compared with what the test has done, and with what `verify` and
//! `info` find in the files.
#![cfg(feature = "unstable")]

mod support;

use diolog::{Level, Logger, Outcome, Overflow, State};
use support::device::Control;

#[test]
fn bytes_blocks_and_flushes_are_those_of_the_files() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).message_bytes_max(50)).expect("a log");
    let producer = logger.producer_named("orders").expect("a ring");
    for round in 0..3 {
        assert_eq!(producer.log(Level::Info, [b'm'; 40]), Outcome::Written);
        assert_eq!(producer.log(Level::Info, [b'm'; 70]), Outcome::Truncated);
        diolog::info!(producer, "order {id} filled", id = 42_u64);
        logger.flush().expect("durable");
        let stats = logger.stats();
        assert_eq!((stats.written, stats.truncated, stats.flushes), (3 * (round + 1), round + 1, round + 1));
        // The number of a structured record takes 8 bytes, and its callsite's id 4.
        assert_eq!(stats.payload_bytes, (round + 1) * (40 + 50 + 12));
        assert_eq!(stats.flush_latency_ns.count, round + 1);
        assert!(stats.flush_latency_ns.p50 > 0 && stats.flush_latency_ns.sum >= stats.flush_latency_ns.max);
    }
    logger.close().expect("a clean end");
    let stats = logger.stats();
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!(stats.durable_blocks, verification.report.runs.iter().map(|run| run.blocks.good).sum::<u64>());
    let file_bytes = std::fs::metadata(support::segments::file(&path, 1)).expect("a segment").len();
    assert_eq!((stats.durable_bytes, stats.device_bytes), (file_bytes, file_bytes));
    // Every block here is far from full, and is padded to 4096 bytes: a header, some records, and zeros.
    let used_bytes = stats.durable_bytes - stats.padding_bytes;
    let zeros = zeros_at_ends_of_blocks(&std::fs::read(support::segments::file(&path, 1)).expect("readable"));
    assert!(stats.padding_bytes <= zeros && zeros - stats.padding_bytes < 16 * (stats.durable_blocks + 1));
    assert!(used_bytes > stats.payload_bytes);
    assert_eq!(stats.block_bytes.count, stats.durable_blocks + stats.segments);
    assert_eq!((stats.ended.written, stats.producers_ended), (0, 0), "the producer is alive");
    let row = &stats.producers[0];
    assert_eq!((row.name.as_str(), row.written, row.truncated), ("orders", 9, 3));
    assert_eq!((stats.rotations(), stats.segments_in_time, stats.segments_late), (0, 0, 0));
}

/// The zeros before each multiple of 4096 bytes.
fn zeros_at_ends_of_blocks(bytes: &[u8]) -> u64 {
    bytes.chunks(4096).map(|block| block.iter().rev().take_while(|&&byte| byte == 0).count() as u64).sum()
}

#[test]
fn an_append_is_in_the_figures_at_once_unless_they_are_asked_for_all_the_time() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut appended = 0;
    for _ in 0..60 {
        assert_eq!(producer.log(Level::Info, b"a record"), Outcome::Written);
        appended += 1;
        assert_eq!(logger.stats().attempted, appended);
    }
    for _ in 0..5 {
        assert_eq!(producer.log(Level::Info, b"a record"), Outcome::Written);
        appended += 1;
        while logger.stats().attempted < appended {}
        assert_eq!(logger.stats().attempted, appended);
    }
}

#[test]
fn the_high_water_mark_is_what_the_writer_has_seen_in_the_ring() {
    let directory = support::directory();
    let control = Control::default();
    let config = support::config(directory.path().join("log")).ring_bytes(64 << 10);
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    producer.log(Level::Info, [b'm'; 40]);
    logger.flush().expect("durable");
    let row = |logger: &Logger| logger.stats().producers[0].clone();
    assert_eq!((row(&logger).ring_bytes, row(&logger).high_water_bytes), (64 << 10, 64));
    control.hold();
    for _ in 0..100 {
        assert_eq!(producer.log(Level::Info, [b'm'; 40]), Outcome::Written);
    }
    // The flush ends at its limit: no write completes. But the writer has seen all records.
    while row(&logger).written < 101 {
        logger.flush_within(std::time::Duration::from_millis(1)).expect_err("no write completes");
    }
    assert_eq!(row(&logger).high_water_bytes, 100 * 64);
    control.release();
    logger.flush().expect("durable");
    assert_eq!(row(&logger).high_water_bytes, 100 * 64, "it is the highest, not the present one");
}

#[test]
fn errors_are_counted_by_kind_and_rotations_by_whether_the_file_was_ready() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config(&path)).expect("a log");
    logger.log(Level::Info, "one");
    logger.flush().expect("durable");
    control.fail_with(Some(28));
    logger.log(Level::Info, "two");
    logger.flush().expect_err("no space");
    let stats = logger.stats();
    assert_eq!((stats.state, stats.flush_errors, stats.flushes), (State::Full, 1, 1));
    assert!(stats.write_errors > 0 && stats.write_errors_by.no_room == stats.write_errors, "{stats:#?}");
    control.fail_with(None);
    // Answered with the error until the write has been tried again.
    while logger.flush().is_err() {}
    let no_room = logger.stats().write_errors_by.no_room;
    let (erofs, estale) = (30, 116);
    for errno in [support::device::EIO, erofs, estale] {
        control.fail_with(Some(errno));
        logger.log(Level::Info, "three");
        logger.flush().expect_err("a broken disk");
        control.fail_with(None);
        while logger.flush().is_err() {}
    }
    let stats = logger.stats();
    let by = stats.write_errors_by;
    assert_eq!(by.no_room, no_room);
    assert!(by.device > 0 && by.read_only > 0 && by.other > 0, "{by:?}");
    assert_eq!([by.no_room, by.device, by.read_only, by.other].iter().sum::<u64>(), stats.write_errors);
    let text = stats.to_prometheus("app");
    for (kind, count) in [("no_room", no_room), ("device", by.device), ("read_only", by.read_only), ("other", by.other)]
    {
        let sample = format!("diolog_write_errors_total{{log=\"app\",cause=\"{kind}\"}} {count}\n");
        assert!(text.contains(&sample), "{sample}{text}");
    }
    assert!(stats.device_bytes >= stats.durable_bytes);
    assert_eq!(stats.segments_in_time + stats.segments_late, stats.rotations());
    assert!(stats.rotations() >= 1, "a failed segment is left");
    logger.rotate().expect("open");
    while logger.stats().rotations() == stats.rotations() {
        logger.log(Level::Info, "more");
        logger.flush().expect("durable");
    }
    let asked = logger.stats();
    assert_eq!(asked.segments_in_time, stats.segments_in_time + 1, "one that was asked for is waited for");
    logger.close().expect("a clean end");
}

#[test]
fn a_producer_that_waits_for_room_is_counted_with_its_time() {
    let directory = support::directory();
    let control = Control::default();
    let config = support::config(directory.path().join("log")).ring_bytes(4096).overflow(Overflow::Block);
    let logger = control.hooks().open(config).expect("a log");
    control.hold();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let producer = logger.producer().expect("a ring");
            (0..100).for_each(|_| assert_eq!(producer.log(Level::Info, [b'm'; 104]), Outcome::Written));
        });
        while logger.stats().waits == 0 {
            std::thread::yield_now();
        }
        let stats = logger.stats();
        assert_eq!((stats.waits, stats.waited_ns), (1, 0), "the wait is under way");
        control.release();
        waiting.join().expect("no panic");
    });
    let stats = logger.stats();
    assert!(stats.waits > 0 && stats.waited_ns > 0);
    logger.close().expect("a clean end");
    let stats = logger.stats();
    assert_eq!((stats.ended.written, stats.ended.waits, stats.producers_ended), (100, stats.waits, 1));
    assert!(stats.producers.is_empty());
}
