//! `docs/format.md` is enough to read a log: `scripts/read_dlog.py`, which was written from that page alone, prints the
//! messages that the library's reader and `diolog cat --format message` give, and the callsites, fields and values of
//! structured records.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use diolog::{Level, Logger, Outcome, Overflow, Producer, Reader, RecordRef, Value, Verdict, info, verify};
use serde_json::{Value as Json, json};

use support::not_shown;
use support::segments::{length_at, numbers, seal, small};

#[test]
fn a_script_written_from_the_page_prints_the_same_messages() {
    if support::role().is_some() {
        log_until_killed(&support::child_directory().join("log"));
    }
    let directory = support::directory();
    let log = directory.path().join("log");
    run_with_losses(&log);
    run_of_a_killed_child("a_script_written_from_the_page_prints_the_same_messages", directory.path());
    tear_last_block(&log);
    #[cfg(feature = "unstable")]
    run_with_a_failed_segment(&log);
    run(&log, &["", "the last run", "\0\u{1}\n\\", "übergroß"]);

    let report = verify(&log).expect("a log").report;
    assert_eq!(report.verdict(), Verdict::Unconfirmed, "{report:#?}");
    assert!(report.runs.iter().filter(|run| run.segments > 1).count() > 1, "several segments: {report:#?}");
    assert!(report.runs[0].producers.len() > 3 && report.runs[0].producers.iter().any(|row| row.dropped > 0));
    assert!(report.blocks.torn > 0, "{report:#?}");
    #[cfg(feature = "unstable")]
    assert!(report.blocks.duplicates > 0, "{report:#?}");

    let (expected, truncated) = messages(&log);
    assert!(expected.len() > 10_000 && truncated > 0, "{} bytes, {truncated} messages cut", expected.len());
    compare_with_the_command(&log, &expected);
    // It has found the torn block.
    compare_with_the_script(&log, &expected, 1);
}

#[cfg(all(target_os = "linux", not(diolog_portable)))]
#[test]
fn a_recovered_run_is_a_run_to_the_script() {
    use std::io::BufRead as _;

    let rings = PathBuf::from(format!("/dev/shm/diolog-test-page-{}", std::process::id()));
    if support::role().is_some() {
        log_and_abort(&support::child_directory());
    }
    let directory = support::directory();
    let log = directory.path().join("log");
    std::fs::write(directory.path().join("rings"), rings.to_str().expect("text")).expect("written");
    let test = "a_recovered_run_is_a_run_to_the_script";
    assert!(!support::run_child(test, "writer", directory.path()).status.success());
    let recoveries = diolog::recover(&log, None).expect("a log");
    assert!(matches!(&recoveries[..], [recovery] if recovery.records > 0), "{recoveries:?}");
    let (expected, _) = messages(&log);
    assert_eq!(expected.lines().count(), 5000);
    compare_with_the_script(&log, &expected, 0);
    std::fs::remove_dir_all(rings).expect("removable");
}

/// Logs into shared rings, and dies before the last block is full, whose time would come in an hour.
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn log_and_abort(directory: &Path) -> ! {
    let rings = fs::read_to_string(directory.join("rings")).expect("written by the parent");
    let config = small(directory.join("log"))
        .ring_memory(diolog::RingMemory::Shared(rings.into()))
        .flush_interval(std::time::Duration::from_secs(3600));
    let logger = Logger::open(config.overflow(Overflow::Block)).expect("a log");
    let producer = logger.producer().expect("a producer");
    for number in 0..5000_u64 {
        assert_eq!(producer.log(Level::Info, format!("message {number}")), Outcome::Written);
    }
    std::process::abort();
}

#[test]
fn parts_that_a_newer_diolog_wrote_are_newer_to_the_script_as_well() {
    // The block that begins there; a byte of it, or of its first or its second shard; and the byte's new value.
    for (what, offset, shard, at, value) in [
        ("the version", 4096, None, 11, b'2'),
        ("an incompatible flag", 4096, None, 21, 1),
        ("the encoding of a shard", 4096, Some(1), 20, 9),
        ("the kind of a record", 4096, Some(1), 32 + 4, 0x33),
        ("the encoding of block 0's first shard", 0, Some(0), 20, 9),
        ("the kind of block 0's first record", 0, Some(0), 32 + 4, 0x33),
    ] {
        let directory = support::directory();
        let log = directory.path().join("log");
        support::segments::run(small(&log), 2);
        let path = support::segments::file(&log, 1);
        let mut bytes = fs::read(&path).expect("a segment");
        let block = &mut bytes[offset..][..4096];
        // In the run's first block, the writer's shard with the producer's row comes first.
        let begin = match shard {
            None => 0,
            Some(0) => 64,
            Some(_) => 64 + 32 + length_at(block, 64),
        };
        block[begin + at] = value;
        seal(&mut bytes, offset);
        fs::write(&path, bytes).expect("written");

        assert_eq!(verify(&log).expect("a log").verdict, Verdict::Newer, "{what}");
        let (expected, _) = messages(&log);
        assert!(!expected.is_empty(), "{what}: the other blocks are read");
        compare_with_the_script(&log, &expected, 3);
    }
}

#[test]
fn a_log_that_is_not_clean_is_not_clean_to_the_script_whichever_block_is_damaged() {
    let directory = support::directory();
    let log = directory.path().join("log");
    support::segments::run(small(&log), 2);
    run(&log, &["the second run"]);
    compare_with_the_script(&log, &messages(&log).0, 0);
    let mut damaged = 0;
    for segment in info(&log).expect("a log").segments {
        let intact = fs::read(&segment.path).expect("a segment");
        for offset in (0..segment.used_bytes as usize).step_by(4096) {
            // The header, and the first bytes of what may be the payload.
            for at in [offset + 20, offset + 70] {
                let mut bytes = intact.clone();
                bytes[at] ^= 0x40;
                fs::write(&segment.path, bytes).expect("ours");
                let verdict = verify(&log).expect("a log").verdict;
                let status = if verdict == Verdict::Clean { 0 } else { 1 };
                compare_with_the_script(&log, &messages(&log).0, status);
                damaged += usize::from(verdict != Verdict::Clean);
            }
        }
        fs::write(&segment.path, intact).expect("ours");
    }
    assert!(damaged > 20, "{damaged} damaged blocks");
}

#[test]
fn the_script_is_short() {
    let lines = include_str!("../scripts/read_dlog.py").lines().count();
    assert!(lines <= 300, "{lines} lines");
}

#[test]
fn the_script_finds_the_same_fields_and_values() {
    let directory = support::directory();
    let log = directory.path().join("log");
    for packing in [true, false] {
        let logger = Logger::open(
            small(&log).overflow(Overflow::Block).packing(packing).message_bytes_max(300).level(Level::Trace),
        )
        .expect("a log");
        let producer = logger.producer().expect("a producer");
        for number in 0..200 {
            structured(&producer, number);
            if number % 50 == 0 {
                logger.flush().expect("durable");
            }
        }
        logger.close().expect("a clean end");
    }
    assert_eq!(compare_structured(&log), (2 * 200 * 7, true));
}

/// What the bridges make of events has fields with names of their own, of which several may be equal.
#[cfg(all(feature = "log", feature = "tracing"))]
#[test]
fn the_script_finds_the_same_fields_of_bridged_events() {
    use log::Log as _;
    use tracing::{info, info_span};
    use tracing_subscriber::prelude::*;

    let directory = support::directory();
    let log = directory.path().join("log");
    for packing in [true, false] {
        let config = small(&log).overflow(Overflow::Block).packing(packing).message_bytes_max(300);
        let logger = Logger::open(config).expect("a log");
        let bridge = diolog::LogBridge::new(&logger);
        let subscriber = tracing_subscriber::registry().with(diolog::TracingBridge::layer(&logger));
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..200_u64 {
                let values: [(&str, log::kv::Value<'_>); 5] = [
                    ("number", number.into()),
                    ("price", (number as f64 / 4.0).into()),
                    ("message", "a key".into()),
                    ("number", (-(number as i64)).into()),
                    ("number_2", log::kv::Value::null()),
                ];
                let mut record = log::Record::builder();
                record.level(log::Level::Warn).target("app").file(Some("src/a.rs")).line(Some(7));
                bridge.log(&record.args(format_args!("event {number}")).key_values(&values).build());
                info_span!("request", id = number, name = "outer").in_scope(|| {
                    info_span!("request", id = number + 1).in_scope(|| {
                        info!(spans = number, "in two spans {}", "ü".repeat(number as usize));
                        info_span!("other").in_scope(|| info!(id = i128::MIN, bytes = &[number as u8, 0xFF][..]));
                    });
                });
                info!("alone");
            }
        });
        logger.close().expect("a clean end");
    }
    assert_eq!(compare_structured(&log), (2 * 200 * 4, true));
    let Some(program) = command_line("that no two keys of an object are equal") else { return };
    let output = Command::new(program).args(["cat", "--format", "json"]).arg(&log).output().expect("a child process");
    let text = String::from_utf8(output.stdout).expect("text");
    let objects: Vec<Json> = text.lines().take(3).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let fields = |index: usize| &objects[index]["fields"];
    let by_log = json!({
        "message": "event 0", "number": 0, "price": 0.0, "message_2": "a key", "number_2": 0, "number_2_2": null,
    });
    assert_eq!(*fields(0), by_log);
    let in_two_spans = json!({
        "spans": "request:request", "message": "in two spans ", "spans_2": 0, "request.id": 1, "request.id_2": 0,
        "request.name": "outer",
    });
    assert_eq!(*fields(1), in_two_spans);
}

/// Compares what the library's reader, the script and `diolog cat` say of each record. Returns how many there are, and
/// whether any was cut.
fn compare_structured(log: &Path) -> (usize, bool) {
    let mut reader = Reader::open(log).expect("a log");
    let mut expected = Vec::new();
    while let Some(record) = reader.next_record().expect("readable") {
        expected.push(as_the_script_prints(&record));
    }
    assert_eq!(reader.report().verdict(), Verdict::Clean);
    let found = (expected.len(), reader.report().truncated > 0);
    let Some(printed) = output_of_the_script(log, 0) else { return found };
    let printed = String::from_utf8(printed).expect("text");
    let printed: Vec<_> = printed.split_terminator('\n').map(parsed).collect();
    assert_eq!(printed.len(), expected.len());
    for (printed, expected) in printed.iter().zip(&expected) {
        assert_eq!(printed, expected);
    }
    let Some(program) = command_line("that `diolog cat` finds the same fields") else { return found };
    let output = Command::new(program).args(["cat", "--format", "json"]).arg(log).output().expect("a child process");
    let lines = String::from_utf8(output.stdout).expect("text");
    let by_cat: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(by_cat.len(), printed.len());
    for (by_cat, printed) in by_cat.iter().zip(&printed) {
        compare_with_cat(by_cat, printed);
    }
    found
}

/// Compares a record of `cat --format json`, which is made for people's tools, with the one that the script has
/// printed.
#[track_caller]
fn compare_with_cat(by_cat: &Json, printed: &Json) {
    if printed.is_string() {
        return assert!(by_cat["message"] == *printed && by_cat["fields"].is_null(), "{by_cat} {printed}");
    }
    for member in ["callsite", "target", "file", "line", "template"] {
        assert_eq!(by_cat[member], printed[member], "{member}");
    }
    let level = by_cat["level"].as_str().and_then(|level| level.parse::<Level>().ok());
    assert_eq!(level.map(|level| level as u64), printed["level"].as_u64());
    let fields = printed["fields"].as_array().expect("fields");
    let mut names: Vec<String> = Vec::new();
    for field in fields {
        let name = field[0].as_str().expect("a name");
        let others = (2..).map(|number| format!("{name}_{number}"));
        let key = std::iter::once(name.to_owned()).chain(others).find(|key| !names.contains(key)).expect("no end");
        let hex = field[1].get("hex").map(|_| format!("{key}_hex"));
        names.push(key);
        names.extend(hex.filter(|hex| by_cat["fields"].get(hex).is_some()));
    }
    let keys = names.iter().filter(|name| !name.ends_with("_hex"));
    let cut = fields.iter().zip(keys.clone()).filter(|(field, _)| field.get(2).is_some()).map(|(_, key)| key.as_str());
    assert_eq!(by_cat["cut"].as_array().cloned().unwrap_or_default(), cut.collect::<Vec<_>>());
    assert_eq!(by_cat["fields"].as_object().expect("an object").len(), names.len());
    for (field, name) in fields.iter().zip(keys) {
        let value = &field[1];
        let found = &by_cat["fields"][name];
        let is_same = match value {
            Json::Object(hex) => {
                let bytes = found.as_str().unwrap_or_default().bytes().map(|byte| format!("{byte:02x}"));
                let other = by_cat["fields"].get(format!("{name}_hex")).cloned();
                other.unwrap_or_else(|| bytes.collect::<String>().into()) == hex["hex"]
            }
            // The shortest text of an f32 is that of another f64.
            Json::Number(number) if name == "y" => {
                found.as_f64().map(|found| found as f32) == number.as_f64().map(|number| number as f32)
            }
            Json::Number(number) if found.is_string() => *found == number.to_string(),
            Json::String(bits) if bits.starts_with("0x") => {
                found.as_str().and_then(|found| found.parse::<f64>().ok()).is_some_and(|found| !found.is_finite())
            }
            value => found == value,
        };
        assert!(is_same, "{name}: {found} by cat, {value} by the script");
    }
}

/// Logs a message, and records with values of every type.
fn structured(producer: &Producer, number: u64) {
    let bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (number % 64);
    let (letter, long) = (char::from_u32(0x1F600 + number as u32 % 80), "ü".repeat(number as usize));
    let outcomes = [
        producer.log(Level::Warn, format!("message {number}")),
        diolog::info!(
            producer,
            "order {number} at {price:.2}",
            number,
            price = number as f64 / 100.0,
            is_odd = number % 2 == 1
        ),
        diolog::error!(
            producer,
            "{{wide}}",
            a = u128::from(bits) << (number % 65),
            b = -i128::from(bits) * 3,
            c = -(bits as i64)
        ),
        diolog::debug!(
            producer,
            "",
            x = f64::from_bits(bits),
            y = f32::from_bits(bits as u32),
            z = 1.0 / bits as f64,
            zero = -0.0
        ),
        diolog::info!(producer, target: "other\ntarget", "texts", long, bytes = &bits.to_le_bytes()[..number as usize % 9], shown = %number, named = ?Some("x")),
        diolog::trace!(
            producer,
            "options",
            a = letter,
            b = number.is_multiple_of(3).then_some(bits),
            c = (!number.is_multiple_of(3)).then_some("text"),
            d = letter.unwrap_or('x')
        ),
        diolog::warn!(producer, "without fields"),
    ];
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Written | Outcome::Truncated)), "{outcomes:?}");
}

/// A line of the script: a message is a text.
fn parsed(line: &str) -> Json {
    serde_json::from_str(line).unwrap_or_else(|_| line.into())
}

/// A record as the script prints it, by what the library's reader says.
fn as_the_script_prints(record: &RecordRef<'_>) -> Json {
    let Some(callsite) = record.callsite() else { return std::str::from_utf8(record.message()).expect("text").into() };
    let hex = |bytes: &[u8]| json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() });
    let value = |value: Value<'_>| match value {
        Value::None => Json::Null,
        Value::Bool(value) => value.into(),
        Value::Char(value) => value.to_string().into(),
        Value::Unsigned(value) => value.into(),
        Value::Signed(value) => value.into(),
        Value::Unsigned128(value) => u64::try_from(value).map_or_else(|_| value.to_string().into(), Json::from),
        Value::Signed128(value) => match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => value.into(),
            (_, Ok(value)) => value.into(),
            _ => value.to_string().into(),
        },
        Value::F32(value) if value.is_finite() => f64::from(value).into(),
        Value::F32(value) => format!("{:#010x}", value.to_bits()).into(),
        Value::F64(value) if value.is_finite() => value.into(),
        Value::F64(value) => format!("{:#018x}", value.to_bits()).into(),
        Value::Str(value) | Value::Text(value) => value.into(),
        Value::Bytes(value) => hex(value),
        other => panic!("{other:?}"),
    };
    let fields = record.fields().map(|field| match field.cut {
        true => json!([field.name, value(field.value), "cut"]),
        false => json!([field.name, value(field.value)]),
    });
    json!({
        "callsite": record.callsite_id(),
        "level": callsite.level().map(|level| level as u8),
        "target": callsite.target(),
        "file": callsite.file(),
        "line": callsite.line(),
        "template": callsite.template(),
        "fields": fields.collect::<Vec<_>>(),
    })
}

/// A run of several segments, with producers on several threads, records dropped, and messages cut.
fn run_with_losses(log: &Path) {
    let logger = Logger::open(small(log).overflow(Overflow::DropNewest).message_bytes_max(1000)).expect("a log");
    thread::scope(|scope| {
        for number in 0..3 {
            let producer = logger.producer_named(&format!("producer {number}")).expect("a producer");
            let logger = &logger;
            scope.spawn(move || {
                let (mut attempts, mut dropped) = (0, false);
                while attempts < 200 || !dropped {
                    let message = format!("{number} {attempts} {}", "x".repeat(attempts * 7 % 1100));
                    if producer.log(Level::Info, &message) == Outcome::Dropped {
                        dropped = true;
                        logger.flush().expect("durable");
                    }
                    attempts += 1;
                }
            });
        }
    });
    support::segments::grow(&logger, 3);
    logger.close().expect("a clean end");
}

/// A run that ends when its process is killed, after its third segment has begun.
fn run_of_a_killed_child(test: &str, directory: &Path) {
    let log = directory.join("log");
    let segments = numbers(&log).len();
    let mut child = support::child_command(test, "writer", directory).spawn().expect("a child process");
    while numbers(&log).len() < segments + 3 {
        assert!(child.try_wait().expect("a child of ours").is_none(), "the child ended by itself");
        thread::yield_now();
    }
    child.kill().expect("a child of ours");
    child.wait().expect("its end");
}

fn log_until_killed(log: &Path) -> ! {
    let logger = Logger::open(small(log)).expect("a log");
    let producer = logger.producer().expect("a producer");
    let message = "m".repeat(3000);
    for number in 0_u64.. {
        assert_eq!(producer.log(Level::Info, format!("{number} {message}")), Outcome::Written);
        logger.flush().expect("durable");
    }
    unreachable!("the parent kills this process long before");
}

/// Zeroes one sector of the log's last block: a write that was cut off by a power failure may have left that.
fn tear_last_block(log: &Path) {
    let info = info(log).expect("a log");
    let segment = info.segments.iter().rev().find(|segment| segment.blocks > 0).expect("a segment with a block");
    let file = fs::OpenOptions::new().write(true).open(&segment.path).expect("writable");
    file.write_all_at(&[0; 512], segment.used_bytes - 4096 + 1024).expect("written");
}

/// A run whose device refuses a write that has reached the disk, so that blocks stand in two segments.
#[cfg(feature = "unstable")]
fn run_with_a_failed_segment(log: &Path) {
    let mut plan = support::faults::Plan::new(4, 1, libc::EIO);
    std::sync::Arc::get_mut(&mut plan).expect("not shared yet").writes_anyway = true;
    let logger = plan.hooks().open(small(log)).expect("a log");
    let producer = logger.producer().expect("a producer");
    for number in 0..20 {
        // While the writer moves to another segment, its ring may be full, and a flush fails.
        producer.log(Level::Warn, format!("{number} {}", "d".repeat(2000)));
        let _ = logger.flush();
    }
    logger.close().expect("a clean end");
    assert!(plan.struck());
}

fn run(log: &Path, messages: &[&str]) {
    let logger = Logger::open(support::config(log)).expect("a log");
    let producer = logger.producer().expect("a producer");
    for message in messages {
        assert_eq!(producer.log(Level::Info, message), Outcome::Written);
    }
    logger.close().expect("a clean end");
}

/// The messages that the library's reader gives, each with a newline after it, and the number of those that were cut.
fn messages(log: &Path) -> (Vec<u8>, u64) {
    let mut reader = Reader::open(log).expect("a log");
    let mut messages = Vec::new();
    while let Some(record) = reader.next_record().expect("readable") {
        messages.extend_from_slice(record.message());
        messages.push(b'\n');
    }
    (messages, reader.report().truncated)
}

/// The path of `diolog`. Reports that `what` is not shown if it is not built: Cargo may name its path all the same.
fn command_line(what: &str) -> Option<&'static str> {
    let program = option_env!("CARGO_BIN_EXE_diolog").filter(|_| cfg!(feature = "cli"));
    if program.is_none() {
        not_shown(what, "it is built with the feature `cli` only");
    }
    program
}

fn compare_with_the_command(log: &Path, expected: &[u8]) {
    let Some(program) = command_line("that `diolog cat` prints the same") else { return };
    let output = Command::new(program).args(["cat", "--format", "message"]).arg(log).output().expect("a child process");
    assert_same(&output.stdout, expected, &String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_damaged_header_costs_no_record_and_is_unconfirmed_to_both_readers() {
    let directory = support::directory();
    let log = directory.path().join("log");
    support::segments::run(small(&log), 3);
    let (expected, _) = messages(&log);
    for number in 1..=3 {
        let path = support::segments::file(&log, number);
        let intact = fs::read(&path).expect("a segment");
        fs::write(&path, [&[0xa5; 4096], &intact[4096..]].concat()).expect("ours");
        assert_eq!(verify(&log).expect("a log").verdict, Verdict::Unconfirmed, "segment {number}");
        assert_same(&messages(&log).0, &expected, "");
        compare_with_the_script(&log, &expected, 1);
        fs::write(&path, intact).expect("ours");
    }
    compare_with_the_script(&log, &expected, 0);
}

#[test]
fn segments_that_are_gone_are_judged_alike_by_both_readers() {
    /// Whether the first run and the second one have retention, the segment that is gone, the verdict, and the script's
    /// status.
    type Case = ([bool; 2], u64, Verdict, i32);
    let cases: [Case; 5] = [
        ([false, false], 1, Verdict::Unconfirmed, 1),
        ([true, false], 1, Verdict::Clean, 0),
        ([false, true], 1, Verdict::Clean, 0),
        ([true, true], 2, Verdict::Lost, 1),
        // A whole run: the script looks at blocks alone.
        ([false, false], 4, Verdict::Unconfirmed, 0),
    ];
    for (retention, gone, verdict, status) in cases {
        let directory = support::directory();
        let log = directory.path().join("log");
        let config = |has_retention| if has_retention { small(&log).retain_segments(100) } else { small(&log) };
        for (has_retention, segments) in retention.into_iter().zip([3, 1]).chain([(retention[1], 1)]) {
            support::segments::run(config(has_retention), segments);
        }
        fs::remove_file(support::segments::file(&log, gone)).expect("there");
        assert_eq!(verify(&log).expect("a log").verdict, verdict, "{retention:?}, {gone}");
        compare_with_the_script(&log, &messages(&log).0, status);
    }
}

/// Compares the script's output and its exit status, if there is Python.
fn compare_with_the_script(log: &Path, expected: &[u8], status: i32) {
    if let Some(printed) = output_of_the_script(log, status) {
        assert_same(&printed, expected, "");
    }
}

/// What the script prints, if there is Python. Its exit status is compared.
fn output_of_the_script(log: &Path, status: i32) -> Option<Vec<u8>> {
    let what = "that a script written from docs/format.md prints the same";
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/read_dlog.py");
    match Command::new("python3").arg("--version").output() {
        Ok(version) if version.status.success() => {}
        Ok(version) => {
            not_shown(what, format!("python3 ended with {}", version.status));
            return None;
        }
        Err(error) => {
            not_shown(what, format!("python3 cannot be started: {error}"));
            return None;
        }
    }
    let output = Command::new("python3").arg(script).arg(log).output().expect("a child process");
    assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn assert_same(printed: &[u8], expected: &[u8], said: &str) {
    if printed != expected {
        let at = printed.iter().zip(expected).take_while(|(printed, expected)| printed == expected).count();
        let context = |bytes: &[u8]| bytes[at.saturating_sub(80)..bytes.len().min(at + 80)].escape_ascii().to_string();
        panic!("from byte {at} on\n  {}\ninstead of\n  {}\n{said}", context(printed), context(expected));
    }
}
