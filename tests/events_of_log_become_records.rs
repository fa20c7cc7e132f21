//! What `LogBridge` makes of the events of the crate `log`. (The bridge is called as the facade does, so that each test
//! has a log of its own.)

mod support;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Barrier;

use diolog::{Level, LogBridge, Logger};
use log::kv::{Source, ToValue, Value};
use log::{Log, MetadataBuilder, Record};
use support::records::{Recorded, records};

struct Bridged {
    _directory: tempfile::TempDir,
    path: PathBuf,
    logger: Logger,
    bridge: LogBridge,
}

fn bridged(change: impl FnOnce(diolog::Config) -> diolog::Config) -> Bridged {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(change(support::config(&path))).expect("a log");
    let bridge = LogBridge::new(&logger);
    Bridged { _directory: directory, path, logger, bridge }
}

impl Bridged {
    fn log(&self, text: fmt::Arguments<'_>, values: &dyn Source) {
        let mut record = Record::builder();
        record.level(log::Level::Info).target("app").file(Some("src/a.rs")).line(Some(7));
        self.bridge.log(&record.args(text).key_values(&values).build());
    }

    fn close(self) -> Vec<Recorded> {
        self.logger.close().expect("a clean end");
        records(&self.path)
    }
}

#[test]
fn a_record_has_the_place_the_text_and_the_key_values_of_its_event() {
    let bridged = bridged(|config| config);
    bridged.log(format_args!("{} orders", 42), &[("venue", "XETR")]);
    let mut builder = Record::builder();
    bridged.bridge.log(&builder.level(log::Level::Error).target("").args(format_args!("bare")).build());
    let records = bridged.close();
    let first = Recorded {
        level: Level::Info,
        target: "app".into(),
        file: "src/a.rs".into(),
        line: 7,
        text: "42 orders venue=XETR".into(),
        fields: vec![("message".into(), "Text(\"42 orders\")".into()), ("venue".into(), "Str(\"XETR\")".into())],
        truncated: false,
    };
    let second = Recorded {
        level: Level::Error,
        target: String::new(),
        file: String::new(),
        line: 0,
        text: "bare".into(),
        fields: vec![("message".into(), "Text(\"bare\")".into())],
        truncated: false,
    };
    assert_eq!(records, [first, second]);
}

#[test]
fn key_values_keep_their_types() {
    let bridged = bridged(|config| config);
    let error = std::io::Error::other("no route");
    let pairs: Vec<(&str, Value<'_>)> = vec![
        ("u64", u64::MAX.to_value()),
        ("u8", 7_u8.to_value()),
        ("i64", i64::MIN.to_value()),
        ("u128", u128::MAX.to_value()),
        ("i128", i128::MIN.to_value()),
        ("f64", 1.5_f64.to_value()),
        ("f32", 0.25_f32.to_value()),
        ("bool", true.to_value()),
        ("char", 'é'.to_value()),
        ("str", "a \"b\"".to_value()),
        ("none", None::<u64>.to_value()),
        ("some", Some(3_i32).to_value()),
        ("unit", ().to_value()),
        ("display", Value::from_dyn_display(&Shown)),
        ("debug", Value::from_dyn_debug(&Shown)),
        ("error", Value::from_dyn_error(&error)),
        ("", "no key".to_value()),
        ("str", "again".to_value()),
    ];
    bridged.log(format_args!("all"), &pairs);
    let records = bridged.close();
    let fields: Vec<_> = records[0].fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        fields,
        [
            ("message", "Text(\"all\")"),
            ("u64", "Unsigned(18446744073709551615)"),
            ("u8", "Unsigned(7)"),
            ("i64", "Signed(-9223372036854775808)"),
            ("u128", "Unsigned128(340282366920938463463374607431768211455)"),
            ("i128", "Signed128(-170141183460469231731687303715884105728)"),
            ("f64", "F64(1.5)"),
            ("f32", "F64(0.25)"),
            ("bool", "Bool(true)"),
            ("char", "Char('é')"),
            ("str", "Str(\"a \\\"b\\\"\")"),
            ("none", "None"),
            ("some", "Signed(3)"),
            ("unit", "None"),
            ("display", "Text(\"shown\")"),
            ("debug", "Text(\"Shown\")"),
            ("error", "Text(\"no route\")"),
            ("", "Str(\"no key\")"),
            ("str", "Str(\"again\")"),
        ]
    );
}

#[derive(Debug)]
struct Shown;

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shown")
    }
}

#[test]
fn the_level_of_the_log_decides_and_may_change() {
    let bridged = bridged(|config| config.level(Level::Warn));
    let log_all = || {
        for level in log::Level::iter() {
            let enabled = bridged.bridge.enabled(&MetadataBuilder::new().level(level).target("app").build());
            let text = format!("{level} {enabled}");
            bridged.bridge.log(&Record::builder().level(level).args(format_args!("{text}")).build());
        }
    };
    log_all();
    bridged.logger.set_level(Level::Trace);
    log_all();
    bridged.logger.set_level(Level::Off);
    log_all();
    let texts: Vec<_> = bridged.close().into_iter().map(|record| (record.level, record.text)).collect();
    let passed = |level: Level| (level, format!("{} true", level.to_string().to_uppercase()));
    let expected: Vec<_> = [Level::Error, Level::Warn].into_iter().chain(Level::ALL).map(passed).collect();
    assert_eq!(texts, expected);
}

#[test]
fn the_levels_of_targets_decide() {
    let bridged = bridged(|config| config.level("warn,app::net=debug,noisy=off"));
    let log_all = || {
        for target in ["app", "app::net", "app::net::tcp", "noisy", "noisy::more"] {
            for level in [log::Level::Error, log::Level::Info, log::Level::Debug, log::Level::Trace] {
                let enabled = bridged.bridge.enabled(&MetadataBuilder::new().level(level).target(target).build());
                let mut record = Record::builder();
                record.level(level).target(target);
                bridged.bridge.log(&record.args(format_args!("{enabled}")).build());
            }
        }
    };
    log_all();
    log_all();
    bridged.logger.set_levels("error,noisy=trace").expect("levels");
    log_all();
    let passed: Vec<_> = bridged.close().into_iter().map(|record| (record.target, record.level, record.text)).collect();
    let before = [
        ("app", &[Level::Error][..]),
        ("app::net", &[Level::Error, Level::Info, Level::Debug]),
        ("app::net::tcp", &[Level::Error, Level::Info, Level::Debug]),
    ];
    let after = [
        ("app", &[Level::Error][..]),
        ("app::net", &[Level::Error]),
        ("app::net::tcp", &[Level::Error]),
        ("noisy", &[Level::Error, Level::Info, Level::Debug, Level::Trace]),
        ("noisy::more", &[Level::Error, Level::Info, Level::Debug, Level::Trace]),
    ];
    let expected: Vec<_> = [&before[..], &before, &after]
        .concat()
        .into_iter()
        .flat_map(|(target, levels)| levels.iter().map(move |level| (target.to_owned(), *level, "true".to_owned())))
        .collect();
    assert_eq!(passed, expected);
}

#[test]
fn what_is_not_admitted_is_not_formatted() {
    let bridged = bridged(|config| config.level(Level::Off));
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("formatted")
        }
    }
    bridged.log(format_args!("{Panics}"), &[("key", Value::from_dyn_display(&Panics))]);
    assert_eq!(bridged.close(), []);
}

#[test]
fn a_value_that_logs_comes_after_its_own_record_and_one_that_panics_leaves_no_trace() {
    let bridged = bridged(|config| config);
    struct Logs<'a>(&'a Bridged);
    impl fmt::Display for Logs<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.log(format_args!("inner"), &[("depth", 1)]);
            f.write_str("outer value")
        }
    }
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half of it")?;
            panic!("on purpose")
        }
    }
    bridged.log(format_args!("outer"), &[("key", Value::from_dyn_display(&Logs(&bridged)))]);
    let panics: [(&str, Value<'_>); 2] = [("first", 1.to_value()), ("key", Value::from_dyn_display(&Panics))];
    catch_unwind(AssertUnwindSafe(|| bridged.log(format_args!("lost"), &panics))).expect_err("it panics");
    catch_unwind(AssertUnwindSafe(|| bridged.log(format_args!("{Panics}"), &[("a", 1)]))).expect_err("it panics");
    bridged.log(format_args!("{}", Logs(&bridged)), &[("after", true)]);
    let texts: Vec<_> = bridged.close().into_iter().map(|record| record.text).collect();
    assert_eq!(texts, ["inner depth=1", "outer key=\"outer value\"", "inner depth=1", "outer value after=true"]);
}

#[test]
fn long_texts_are_cut_and_flagged_and_leave_room_for_fields() {
    let bridged = bridged(|config| config.message_bytes_max(4096));
    let long = "é".repeat(10_000);
    let key = "k".repeat(300);
    bridged.log(format_args!("{long}"), &[("id", 7)]);
    bridged.log(format_args!("{long}"), &[("", 0_u64); 0]);
    bridged.log(format_args!("short"), &[("long", &*long), ("next", "there")]);
    bridged.log(format_args!("short"), &[(&*key, 1)]);
    bridged.log(format_args!("whole"), &[("id", 7)]);
    let records = bridged.close();
    assert_eq!(records.iter().map(|record| record.truncated).collect::<Vec<_>>(), [true, true, true, true, false]);
    let message_bytes = |record: &Recorded| record.field("message").expect("a text").len();
    assert!((2000..4096).contains(&message_bytes(&records[0])), "{}", message_bytes(&records[0]));
    assert_eq!(records[0].field("id"), Some("Signed(7)"));
    assert!((3900..=4110).contains(&message_bytes(&records[1])), "{}", message_bytes(&records[1]));
    let value = records[2].field("long").expect("cut");
    assert!((3900..=4110).contains(&value.len()), "{}", value.len());
    assert_eq!(records[2].field("next"), Some("Str(\"there\")"));
    assert_eq!(records[3].fields[1], ("k".repeat(255), "Signed(1)".to_owned()));
    assert_eq!(records[4].text, "whole id=7");
}

#[test]
fn a_long_value_costs_no_field_after_it() {
    let bridged = bridged(|config| config.message_bytes_max(32 << 10));
    let long = "x".repeat(40_000);
    let shown = format_args!("{long}");
    let numbers: Vec<_> = (0..40).map(|number| format!("number {number}")).collect();
    let mut values = vec![("long", long.to_value()), ("shown", Value::from_display(&shown)), ("none", Value::null())];
    values.extend(numbers.iter().map(|name| (name.as_str(), u128::MAX.to_value())));
    values.extend([("again", long.to_value()), ("short", "whole".to_value()), ("id", 7.to_value())]);
    bridged.log(format_args!("text"), &values.as_slice());
    bridged.log(format_args!("{long}"), &values.as_slice());
    let records = bridged.close();
    for record in &records {
        assert!(record.truncated);
        let names: Vec<_> = record.fields.iter().map(|(name, _)| name.as_str()).collect();
        let expected: Vec<_> = ["message"].into_iter().chain(values.iter().map(|(name, _)| *name)).collect();
        assert_eq!(names, expected);
        assert_eq!((record.field("short"), record.field("id")), (Some("Str(\"whole\")"), Some("Signed(7)")));
        let whole = format!("Unsigned128({})", u128::MAX);
        assert!(numbers.iter().all(|name| record.field(name) == Some(&whole)));
        for text in ["long", "shown", "again"] {
            let bytes = record.field(text).expect("cut").len();
            assert!((900..30_000).contains(&bytes), "{text}: {bytes}");
        }
    }
    assert_eq!(records[0].field("message"), Some("Text(\"text\")"));
}

#[test]
fn threads_log_through_rings_of_their_own() {
    let bridged = bridged(|config| config);
    let barrier = Barrier::new(5);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (bridged, barrier) = (&bridged, &barrier);
            scope.spawn(move || {
                (0..1000_u64).for_each(|n| bridged.log(format_args!("{thread}"), &[("n", n)]));
                barrier.wait();
                barrier.wait();
            });
        }
        // All have logged, and none has ended.
        barrier.wait();
        let producers = bridged.logger.stats().producers.len();
        barrier.wait();
        assert_eq!(producers, 4);
    });
    let records = bridged.close();
    for thread in 0..4 {
        let numbers: Vec<_> = records
            .iter()
            .filter(|record| record.field("message") == Some(&format!("Text(\"{thread}\")")))
            .map(|record| record.field("n").expect("a number").to_owned())
            .collect();
        assert_eq!(numbers, (0..1000).map(|n| format!("Unsigned({n})")).collect::<Vec<_>>());
    }
}

#[test]
fn a_flush_makes_what_was_logged_durable_and_a_closed_log_is_survived() {
    let bridged = bridged(|config| config);
    bridged.log(format_args!("durable"), &[("id", 7)]);
    bridged.bridge.flush();
    assert_eq!(bridged.logger.stats().durable_records, 1);
    bridged.logger.close().expect("a clean end");
    bridged.log(format_args!("too late"), &[("id", 8)]);
    bridged.bridge.flush();
    assert_eq!(bridged.logger.stats().refused, 1);
}

#[test]
fn what_the_levels_do_not_admit_goes_to_the_flight_recorder() {
    let bridged = bridged(|config| config.level("warn,net=info").flight_recorder(4096));
    let Bridged { logger, bridge, .. } = &bridged;
    let log = |level, target: &str, text: &str| {
        let mut record = Record::builder();
        bridge.log(&record.level(level).target(target).args(format_args!("{text}")).build());
    };
    for _ in 0..2 {
        log(log::Level::Info, "app", "recorded");
        log(log::Level::Info, "net", "logged");
        log(log::Level::Trace, "net", "recorded too");
    }
    let enabled = |level| bridge.enabled(&MetadataBuilder::new().level(level).target("app").build());
    assert!(enabled(log::Level::Trace));
    bridge.update_max_level();
    assert_eq!(log::max_level(), log::LevelFilter::Trace);
    let snapshot = logger.snapshot("events").expect("written");
    let texts = |records: &[Recorded]| records.iter().map(|record| record.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&records(&snapshot)), ["recorded", "recorded too", "recorded", "recorded too"]);
    assert_eq!(texts(&bridged.close()), ["logged", "logged"]);
}

#[test]
fn a_filter_asks_every_field_of_the_name() {
    let bridged = bridged(|config| config);
    bridged.log(format_args!("twice"), &[("a", 1), ("a", 2)]);
    bridged.log(format_args!("once"), &[("a", 3)]);
    bridged.logger.close().expect("a clean end");
    for (wanted, expected) in [(1, 1), (2, 1), (3, 1), (4, 0)] {
        let filter = diolog::Filter::new().field("a", move |value| value.to_string() == wanted.to_string());
        let reader = diolog::ReadOptions::new().filter(filter).open(&bridged.path).expect("a log");
        assert_eq!(reader.count(), expected, "{wanted}");
    }
}
