//! A program may make targets as it runs, without end: the callsites that are kept for them are bounded, and no record
//! loses its place.

mod support;

use std::collections::BTreeSet;

use diolog::{Filter, LogBridge, Logger, Overflow, ReadOptions, Reader, Value};
use log::{Log, Record};

const EVENTS: u64 = 1_000_000;
/// More than the places that have callsites of their own.
const TARGETS: u64 = 50_000;
const PLACES_MAX: usize = 16_384;

#[test]
fn a_million_events_of_ever_new_targets_keep_their_places_and_few_callsites() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).overflow(Overflow::Block)).expect("a log");
    let bridge = LogBridge::new(&logger);
    for number in 0..EVENTS {
        let target = format!("connection-{}", number % TARGETS);
        bridge.log(
            &Record::builder()
                .level(log::Level::Info)
                .target(&target)
                .file(Some("src/a.rs"))
                .line(Some(7))
                .args(format_args!("{number}"))
                .build(),
        );
    }
    logger.close().expect("a clean end");

    let mut callsites = BTreeSet::new();
    let mut reader = Reader::open(&path).expect("a log");
    let mut number = 0;
    while let Some(record) = reader.next_record().expect("readable") {
        let callsite = record.callsite().expect("defined");
        let id = record.callsite_id().expect("structured");
        callsites.insert(id);
        let expected = format!("connection-{}", number % TARGETS);
        let place = match callsite.target() {
            "" => {
                let Some(Value::Str(file)) = record.field("file") else { panic!("no file: {record:?}") };
                let Some(Value::Unsigned(line)) = record.field("line") else { panic!("no line: {record:?}") };
                let Some(Value::Str(target)) = record.field("target") else { panic!("no target: {record:?}") };
                (target, file, line)
            }
            target => (target, callsite.file(), u64::from(callsite.line())),
        };
        assert_eq!(place, (&*expected, "src/a.rs", 7));
        assert_eq!(record.field("message"), Some(Value::Text(&number.to_string())));
        number += 1;
    }
    assert_eq!(number, EVENTS);
    assert!((PLACES_MAX / 2..=PLACES_MAX + 1).contains(&callsites.len()), "{} callsites", callsites.len());

    // Of the last one, which has no callsite of its own, each record is found by its target all the same.
    let last = format!("connection-{}", TARGETS - 1);
    let reader = ReadOptions::new().filter(Filter::new().target(last)).open(&path).expect("a log");
    let found: Vec<_> = reader.map(|record| record.expect("readable")).collect();
    assert_eq!(found.len() as u64, EVENTS / TARGETS);
    assert!(found.iter().all(|record| record.callsite().is_some_and(|callsite| callsite.target().is_empty())));
}
