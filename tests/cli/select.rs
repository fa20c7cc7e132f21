//! The options of `cat` and `tail` that select records, and structured records as text and as JSON.

use std::sync::atomic::Ordering::Relaxed;

use diolog::unstable::{Hooks, ManualClock};
use diolog::{Level, Logger, info, warn};
use serde_json::{Value, json};

use crate::process::{Place, run, status, stderr, stdout};
use crate::support;

/// A log of structured records and messages of two producers.
fn log() -> Place {
    let place = Place::new();
    let logger = Logger::open(support::config(place.log())).expect("a log");
    let orders = logger.producer_builder().name("orders").build().expect("a producer");
    info!(&orders, target: "shop::orders", "order {id} filled at {price:.2}", id = 42_u64, price = 101.256, symbol = "ACME");
    warn!(&orders, target: "shop::stock", "low", item = "nut\x1b[31m", left = -1_i64);
    info!(&orders, target: "shop::orders", "order {id} filled at {price:.2}", id = u64::MAX, price = 0.5, symbol = "a b");
    orders.log(Level::Error, "a message");
    drop(orders);
    logger.close().expect("a clean end");
    place
}

fn cat(place: &Place, arguments: &[&str]) -> std::process::Output {
    let log = place.log();
    run([&["cat"], arguments, &[log.to_str().expect("UTF-8")]].concat(), b"")
}

/// The messages that `cat` prints with these options.
#[track_caller]
fn messages(place: &Place, options: &[&str]) -> Vec<String> {
    let output = cat(place, &[&["--format", "message"], options].concat());
    assert_eq!((status(&output), stderr(&output)), (0, String::new()), "{options:?}");
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn text_has_target_and_values_with_control_characters_escaped() {
    let output = cat(&log(), &[]);
    let lines: Vec<_> =
        stdout(&output).lines().map(|line| line.split_once(' ').expect("a time").1.to_owned()).collect();
    let expected = [
        "INFO  orders shop::orders: order 42 filled at 101.26 symbol=ACME",
        r#"WARN  orders shop::stock: low item="nut\x1b[31m" left=-1"#,
        r#"INFO  orders shop::orders: order 18446744073709551615 filled at 0.50 symbol="a b""#,
        "ERROR orders a message",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn json_has_the_callsite_and_fields_that_keep_their_types() {
    let output = cat(&log(), &["--format", "json"]);
    let objects: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let first = &objects[0];
    assert_eq!(first["message"], "order 42 filled at 101.26 symbol=ACME");
    assert_eq!(
        (&first["target"], &first["template"]),
        (&"shop::orders".into(), &"order {id} filled at {price:.2}".into())
    );
    assert_eq!(first["fields"], json!({ "id": 42, "price": 101.256, "symbol": "ACME" }));
    assert!(first["file"].as_str().is_some_and(|file| file.ends_with("select.rs")) && first["line"].as_u64() > Some(0));
    assert_eq!(
        (&first["level"], &first["sequence"], &first["truncated"]),
        (&"info".into(), &"0".into(), &false.into())
    );
    assert_eq!(objects[1]["fields"], json!({ "item": "nut\x1b[31m", "left": -1 }));
    assert_eq!(objects[2]["fields"]["id"], u64::MAX.to_string(), "beyond 2^53");
    assert_ne!(objects[2]["callsite"], first["callsite"], "another line of the program");
    assert!(objects[3].get("fields").is_none() && objects[3].get("target").is_none(), "{}", objects[3]);
}

#[test]
fn records_are_selected() {
    let place = log();
    let all = messages(&place, &[]);
    assert_eq!(all.len(), 4);
    let of = |indexes: &[usize]| indexes.iter().map(|index| all[*index].clone()).collect::<Vec<_>>();
    for (options, expected) in [
        (&["--level", "warn"][..], &[1, 3][..]),
        (&["--target", "shop::orders"], &[0, 2]),
        (&["--target", "shop"], &[0, 1, 2]),
        (&["--target", "shop::stock", "--target", "shop::orders"], &[0, 1, 2]),
        (&["--producer", "orders"], &[0, 1, 2, 3]),
        (&["--field", "id=42"], &[0]),
        (&["--field", "price<1"], &[2]),
        (&["--field", "price>=0.5", "--field", "symbol~^A"], &[0]),
        (&["--field", "item!=x"], &[1]),
        (&["--grep", "order [0-9]{10}"], &[2]),
        (&["--grep", "^a message$"], &[3]),
        (&["--since", "1h"], &[0, 1, 2, 3]),
        (&["--since", "2200-01-01"], &[]),
        (&["--until", "now", "--since", "yesterday"], &[0, 1, 2, 3]),
        (&["--until", "2020-01-01T00:00:00Z"], &[]),
        (&["-n", "1", "--target", "shop::orders"], &[2]),
        (&["-n", "1", "-r", "--level", "warn"], &[3]),
    ] {
        assert_eq!(messages(&place, options), of(expected), "{options:?}");
    }
    let log = place.log();
    let tail = run(["tail", "-n", "1", "--format", "message", "--level", "warn", log.to_str().expect("UTF-8")], b"");
    assert_eq!((status(&tail), stdout(&tail)), (0, "a message\n".into()));
}

#[test]
fn the_status_of_a_range_of_time_is_that_of_the_blocks_that_were_read() {
    let place = Place::new();
    // Blocks that are ten seconds apart.
    let clock: &ManualClock = Box::leak(Box::default());
    clock.unix_ns.store(1_700_000_000_000_000_000, Relaxed);
    let logger = Hooks::new().clock(clock).open(support::config(place.log()).block_bytes(4096)).expect("a log");
    let producer = logger.producer().expect("a producer");
    for number in 0..8 {
        clock.ticks.fetch_add(10_000_000_000, Relaxed);
        clock.monotonic_ns.fetch_add(10_000_000_000, Relaxed);
        clock.unix_ns.fetch_add(10_000_000_000, Relaxed);
        producer.log(Level::Info, format!("record {number} in a block of its own"));
        logger.flush().expect("durable");
    }
    drop(producer);
    logger.close().expect("a clean end");
    let objects = stdout(&cat(&place, &["--json"]));
    let first_wanted: Value = serde_json::from_str(objects.lines().nth(4).expect("8 records")).expect("an object");
    let since = first_wanted["time"].as_str().expect("a time");
    let segment = &place.segments()[0];
    let intact = std::fs::read(segment).expect("readable");
    for (damaged, expected, records) in [(2, 0, 4), (6, 2, 3)] {
        let text = format!("record {damaged} in");
        let at = intact.windows(text.len()).position(|bytes| bytes == text.as_bytes()).expect("as it was logged");
        let mut bytes = intact.clone();
        bytes[at] ^= 1;
        std::fs::write(segment, bytes).expect("writable");
        let all = cat(&place, &["--format", "message"]);
        assert_eq!((status(&all), stdout(&all).lines().count()), (2, 7), "{}", stderr(&all));
        let range = cat(&place, &["--format", "message", "--since", since]);
        let said = stderr(&range);
        assert_eq!((status(&range), stdout(&range).lines().count()), (expected, records), "{said}");
        let is_said = said.contains(" of other times not read: `diolog verify` reads all\n");
        assert_eq!((said.is_empty(), is_said), (expected == 0, expected != 0), "{said}");
    }
}

#[test]
fn a_name_that_nothing_has_is_noted_with_the_names_that_there_are() {
    let place = log();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let noted = |command: &str, options: &[&str]| {
        let output = run([&[command, "--format", "message"], options, &[log]].concat(), b"");
        assert_eq!(status(&output), 0, "{options:?}: {}", stderr(&output));
        (stdout(&output).lines().count(), stderr(&output))
    };
    let no_producer = "diolog: --producer \"order\" fits no producer: there is orders\n";
    let no_target = "diolog: --target \"shop::order\" fits no target: there are shop::orders, shop::stock\n";
    for command in ["cat", "tail"] {
        assert_eq!(noted(command, &["--producer", "order"]), (0, no_producer.into()));
        assert_eq!(noted(command, &["--target", "shop::order"]), (0, no_target.into()));
        assert_eq!(noted(command, &["-n", "1", "--target", "shop::order", "--level", "error"]), (0, no_target.into()));
        // They are there, and other conditions leave them out.
        assert_eq!(noted(command, &["--producer", "#1", "--target", "shop", "--level", "error"]), (0, String::new()));
        // Where only the end is read, nobody knows what stands before.
        assert_eq!(noted(command, &["-n", "1", "--target", "shop", "--target", "other"]), (1, String::new()));
        assert_eq!(noted(command, &["-n", "0", "--producer", "order"]), (0, String::new()));
    }
    assert_eq!(noted("cat", &["--producer", "orders", "--producer", "order"]), (4, no_producer.into()));
    let no_field = "diolog: --field \"price_\" fits no field: there are id, item, left, price, symbol\n";
    assert_eq!(noted("cat", &["--field", "price_>1", "--field", "id=1"]), (0, no_field.into()));
    assert_eq!(noted("cat", &["--field", "price>1000"]), (0, String::new()));
    let no_number = "diolog: --field \"symbol\" has no number: < and > compare numbers, = and ~ compare texts too\n";
    assert_eq!(noted("cat", &["--field", "symbol>5"]), (0, no_number.into()));
    let (_, note) = noted("cat", &["--since", "2200-01-01", "--producer", "order"]);
    assert!(note.contains("fits no producer at these times: there is"), "{note}");
    // Elsewhere nothing tells a reader that the log is in use.
    if cfg!(all(target_os = "linux", not(diolog_portable))) {
        let logger = Logger::open(support::config(log)).expect("a log");
        let (_, note) = noted("cat", &["--target", "shop::order"]);
        assert!(note.contains("fits no target so far: there are"), "{note}");
        logger.close().expect("a clean end");
    }
}

#[test]
#[cfg(feature = "log")]
fn a_name_is_missed_even_if_some_records_have_no_target_or_names_of_their_own() {
    let place = Place::new();
    let logger = Logger::open(support::config(place.log())).expect("a log");
    let producer = logger.producer().expect("a producer");
    let note = |options: &[&str]| {
        logger.flush().expect("durable");
        stderr(&cat(&place, options))
            .lines()
            .filter(|line| line.contains(": --"))
            .collect::<String>()
            .replace(" so far", "")
    };
    info!(&producer, target: "shop", "one");
    info!(&producer, target: "", "two", id = 1);
    let bridge = diolog::LogBridge::new(&logger);
    let event = |target: &str| {
        let value = ("amount", 5);
        let mut record = log::Record::builder();
        record.target(target).level(log::Level::Info).file(Some("a.rs")).line(Some(7)).key_values(&value);
        log::Log::log(&bridge, &record.args(format_args!("three")).build());
    };
    event("");
    let target = "diolog: --target \"shop::order\" fits no target: there is shop";
    assert_eq!(note(&["--target", "shop::order"]), target);
    let field = "diolog: --field \"amuont\" fits no field of the records that the other options select";
    assert_eq!(note(&["--field", "amuont=5"]), field);
    assert_eq!(note(&["--field", "amount=6"]), "");
    // Such a record names its target in a field: nobody knows which others do.
    info!(&producer, target: "", "four", target = "shop::order");
    assert_eq!(note(&["--target", "shop::order"]), "");
    drop(producer);
    logger.close().expect("a clean end");
}

#[test]
fn options_that_make_no_sense_are_refused_with_the_remedy() {
    let place = log();
    for (option, value, hint) in [
        ("--level", "loud", "error, warn, info"),
        ("--since", "soon", "2026-01-31 14:30"),
        ("--until", "25:61", "2h 30m ago"),
        ("--field", "price", "name=value"),
        ("--field", "price<high", "is not a number"),
        ("--field", "price~(", "unclosed group"),
        ("--grep", "[", "unclosed character class"),
        ("--since=5m", "--until=10m", "--since is not before --until"),
        ("--since=14:30", "--until=14:30", "--since is not before --until"),
        ("--since=5m", "--until=5m", "--since is not before --until"),
        ("--grep", "(((x{99}){99}){99}){99}", "4.0 MiB once it is compiled"),
    ] {
        let output = cat(&place, &[option, value]);
        assert_eq!((status(&output), stdout(&output)), (64, String::new()), "{option} {value}");
        assert!(stderr(&output).contains(hint), "{}", stderr(&output));
    }
    let output = cat(&place, &["--input", "asynclogger", "--level", "warn"]);
    assert_eq!(status(&output), 64, "{}", stderr(&output));
}

#[test]
fn records_whose_definition_was_cut_are_shown_as_cut() {
    const LETTERS: [u8; 3_000] = [b't'; 3_000];
    const TARGET: &str = match std::str::from_utf8(&LETTERS) {
        Ok(text) => text,
        Err(_) => "",
    };
    let place = Place::new();
    let logger = Logger::open(support::config(place.log()).block_bytes(8192)).expect("a log");
    info!(logger, target: TARGET, "order {id}", id = 42_u64);
    info!(logger, "order {id}", id = 43_u64);
    logger.close().expect("a clean end");
    let text = stdout(&cat(&place, &[]));
    let are_cut: Vec<_> = text.lines().map(|line| line.ends_with("… (cut)")).collect();
    assert_eq!(are_cut, [true, false], "{text}");
    let json = stdout(&cat(&place, &["--format", "json"]));
    let objects: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let are_cut: Vec<_> = objects.iter().map(|object| object["truncated"].as_bool()).collect();
    assert_eq!(are_cut, [Some(true), Some(false)], "{json}");
    let note = stderr(&cat(&place, &["--target", "other"]));
    assert!(note.contains("tttt…") && note.len() < 300, "{note}");
}
