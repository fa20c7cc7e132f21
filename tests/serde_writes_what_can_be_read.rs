//! What serde writes, in JSON: settings that are read back as they were, and reports that every reader understands.
#![cfg(feature = "cli")]

mod support;

use std::time::Duration;

use diolog::{Config, DevicePreference, InUse, Level, Logger, Overflow};
use serde_json::{Value, json};

#[test]
fn settings_are_read_back_from_json_as_they_were() {
    let config = || Config::new("a/log");
    for config in [
        config(),
        config().segment_bytes(u64::MAX).retain_bytes((1 << 53) + 1).ring_bytes(5000).thread_ring_bytes(0),
        config().retain_for(Duration::MAX).flush_interval(Duration::ZERO).rotate_after(Duration::from_nanos(1_001)),
        config().overflow(Overflow::BlockFor(Duration::from_millis(5))).level(Level::Off).writer_core(3),
        config().overflow(Overflow::OverwriteOldest).device(DevicePreference::IoUring).service("a \"b\"\n"),
    ] {
        let text = serde_json::to_string(&config).expect("written");
        let read: Config = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
        assert_eq!(read, config, "{text}");
    }
    let text = serde_json::to_string(&config().retain_bytes((1 << 53) + 1)).expect("written");
    assert!(text.contains(r#""retain_bytes":"9007199254740993""#), "exact in every reader: {text}");
}

/// A log with a record, and its figures.
fn log() -> (tempfile::TempDir, Logger) {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log")).service("orders")).expect("a log");
    logger.producer_named("matching").expect("a ring").log(Level::Info, "order 42 filled");
    (directory, logger)
}

#[test]
fn a_verification_is_written_with_its_sequence_numbers_as_texts() {
    let (directory, logger) = log();
    logger.close().expect("a clean end");
    let verification = diolog::verify(directory.path().join("log")).expect("a log");
    let written = serde_json::to_value(&verification).expect("written");
    assert_eq!(written["verdict"], "clean");
    let report = &written["report"];
    assert_eq!((&report["records"], &report["blocks"]["lost"]), (&json!(1), &json!(0)));
    let run = &report["runs"][0];
    assert_eq!(run["run"], verification.report.runs[0].run.to_string());
    assert_eq!((&run["service"], &run["clean_end"]), (&json!("orders"), &json!(true)));
    let producer = &run["producers"][0];
    assert_eq!((&producer["name"], &producer["attempted"]), (&json!("matching"), &json!(1)));
    assert_eq!((&producer["first_sequence"], &producer["last_sequence"]), (&json!("0"), &json!("0")));
    assert_eq!(
        written,
        serde_json::from_str::<Value>(&serde_json::to_string(&verification).expect("text")).expect("JSON")
    );
}

#[test]
fn whether_a_log_is_in_use_is_true_false_or_null() {
    let written = serde_json::to_value([InUse::Yes, InUse::No, InUse::Unknown]).expect("written");
    assert_eq!(written, json!([true, false, null]));
}

#[test]
fn findings_name_files_whose_names_are_no_text() {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let (directory, logger) = log();
        logger.close().expect("a clean end");
        let odd = directory.path().join(std::ffi::OsStr::from_bytes(b"odd \xff"));
        std::fs::rename(directory.path().join("log"), &odd).expect("renamed");
        let segment = support::segments::file(&odd, 1);
        let mut bytes = std::fs::read(&segment).expect("readable");
        let last = bytes.len() - 4096;
        bytes[last..].fill(0xAA);
        std::fs::write(&segment, bytes).expect("damaged");
        let verification = diolog::verify(&odd).expect("a log");
        let written = serde_json::to_value(&verification).expect("written");
        assert_eq!(written["verdict"], "unconfirmed");
        let path = written["report"]["findings"][0]["path"].as_str().expect("a text");
        assert!(path.contains("odd \u{fffd}"), "{path}");
    }
}

#[test]
fn the_list_of_segments_is_written_with_its_times_as_texts() {
    let (directory, logger) = log();
    logger.close().expect("a clean end");
    let info = diolog::info(directory.path().join("log")).expect("a log");
    let written = serde_json::to_value(&info).expect("written");
    let segment = &written["segments"][0];
    let first = info.segments[0].first_ns.expect("a record").to_string();
    let first_unix = info.segments[0].first_unix_ns.expect("an anchor").to_string();
    assert_eq!((&segment["first_ns"], &segment["first_unix_ns"]), (&json!(first), &json!(first_unix)));
    assert_eq!((&segment["service"], &segment["index"]), (&json!("orders"), &json!(1)));
    assert!(segment["path"].as_str().expect("a text").ends_with("00000001.dlog"));
    assert_eq!(written["prepared_files"], json!([]));
}

#[test]
fn figures_are_written_as_they_are() {
    let (_directory, logger) = log();
    logger.flush().expect("durable");
    let stats = serde_json::to_value(logger.stats()).expect("written");
    assert_eq!((&stats["state"], &stats["attempted"], &stats["durable_records"]), (&json!("ok"), &json!(1), &json!(1)));
    assert_eq!(stats["dropped_by"]["ring_full"], 0);
    assert_eq!(stats["device"]["kind"], logger.stats().device.kind.to_string());
    assert_eq!((&stats["waited_ns"], &stats["producers"][0]["waited_ns"]), (&json!("0"), &json!("0")));
    assert_eq!((&stats["ended"]["waited_ns"], &stats["ended"]["waits"]), (&json!("0"), &json!(0)));
    let report = serde_json::to_value(logger.close().expect("a clean end")).expect("written");
    assert_eq!((&report["accepted"], &report["durable"]), (&json!(1), &json!(1)));
    assert_eq!(report["refused_by"]["closed"], 0);
}

#[test]
fn nanoseconds_are_texts_in_the_figures_of_events_and_of_files_too() {
    let (directory, logger) = log();
    logger.close().expect("a clean end");
    let reader = diolog::FiguresReader::open(directory.path().join("log")).expect("a log");
    let written = serde_json::to_value(reader.newest().expect("figures")).expect("written");
    for name in ["monotonic_ns", "unix_ns", "interval_ns", "waited_ns"] {
        assert!(written[name].is_string(), "{name} in {written}");
    }
    for latency in ["writes", "interval_flushes"] {
        let names = ["p50_ns", "p99_ns", "max_ns"];
        assert!(names.iter().all(|name| written[latency][name].is_string()), "{written}");
    }
    let events = serde_json::to_value(diolog::EventStats::default()).expect("written");
    assert_eq!((&events["sum"]["waited_ns"], &events["sum"]["waits"]), (&json!("0"), &json!(0)));
}

#[test]
fn figures_are_written_with_the_buckets_of_their_histograms() {
    let (_directory, logger) = log();
    logger.flush().expect("durable");
    let stats = logger.stats();
    let written = serde_json::to_value(&stats).expect("written");
    for (name, all, is_text) in [
        ("write_latency_ns", &stats.write_latency_ns, true),
        ("flush_latency_ns", &stats.flush_latency_ns, true),
        ("block_bytes", &stats.block_bytes, false),
    ] {
        let value = |value: u64| if is_text { json!(value.to_string()) } else { json!(value) };
        let buckets: Vec<_> = all.buckets().map(|(lowest, count)| json!([value(lowest), count])).collect();
        assert!(!buckets.is_empty());
        let expected = json!({
            "count": all.count, "sum": value(all.sum), "p50": value(all.p50), "p90": value(all.p90),
            "p95": value(all.p95), "p99": value(all.p99), "p999": value(all.p999), "max": value(all.max),
            "buckets": buckets,
        });
        assert_eq!(written[name], expected, "{name}");
    }
}
