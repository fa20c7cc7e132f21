//! What `TracingBridge` makes of the events and spans of the crate `tracing`. (Each test has a subscriber of its own
//! for its threads.)

mod support;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use diolog::{Config, Level, Logger, TracingBridge};
use support::records::{Recorded, records};
use tracing::field::Empty;
use tracing::{Dispatch, debug, debug_span, error, event, info, info_span, trace, warn};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, filter, registry};

struct Bridged {
    _directory: tempfile::TempDir,
    path: PathBuf,
    logger: Logger,
    dispatch: Dispatch,
}

fn bridged(change: impl FnOnce(Config) -> Config) -> Bridged {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(change(support::config(&path))).expect("a log");
    let dispatch = Dispatch::new(registry().with(TracingBridge::layer(&logger)));
    Bridged { _directory: directory, path, logger, dispatch }
}

impl Bridged {
    /// Runs `work` with the bridge as the thread's subscriber.
    fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        tracing::dispatcher::with_default(&self.dispatch, work)
    }

    fn close(self) -> Vec<Recorded> {
        self.logger.close().expect("a clean end");
        records(&self.path)
    }
}

fn texts(records: &[Recorded]) -> Vec<&str> {
    records.iter().map(|record| record.text.as_str()).collect()
}

#[test]
fn a_record_has_the_place_the_text_and_the_fields_of_its_event() {
    let bridged = bridged(|config| config);
    let line = line!() + 1;
    bridged.run(|| error!(target: "net", attempt = 3, peer = "10.0.0.7", "no {}", "connection"));
    let expected = Recorded {
        level: Level::Error,
        target: "net".into(),
        file: file!().into(),
        line,
        text: "no connection attempt=3 peer=10.0.0.7".into(),
        fields: vec![
            ("message".into(), "Text(\"no connection\")".into()),
            ("attempt".into(), "Signed(3)".into()),
            ("peer".into(), "Str(\"10.0.0.7\")".into()),
        ],
        truncated: false,
    };
    assert_eq!(bridged.close(), [expected]);
}

#[test]
fn fields_keep_their_types() {
    #[derive(Debug, thiserror::Error)]
    #[error("no order")]
    struct NoOrder(#[source] std::io::Error);

    let bridged = bridged(|config| config);
    let error = NoOrder(std::io::Error::other("no route"));
    bridged.run(|| {
        info!(
            u64 = u64::MAX,
            u8 = 7_u8,
            i64 = i64::MIN,
            u128 = u128::MAX,
            i128 = i128::MIN,
            f64 = 1.5,
            f32 = 0.25_f32,
            bool = true,
            str = "a \"b\"",
            bytes = &b"\xFF\0"[..],
            none = None::<u64>,
            some = Some(3),
            display = %Shown,
            debug = ?Shown,
            r#type = "raw",
            http.method = "GET",
            error = &error as &(dyn std::error::Error + 'static),
        );
    });
    let records = bridged.close();
    let fields: Vec<_> = records[0].fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        fields,
        [
            ("u64", "Unsigned(18446744073709551615)"),
            ("u8", "Unsigned(7)"),
            ("i64", "Signed(-9223372036854775808)"),
            ("u128", "Unsigned128(340282366920938463463374607431768211455)"),
            ("i128", "Signed128(-170141183460469231731687303715884105728)"),
            ("f64", "F64(1.5)"),
            ("f32", "F64(0.25)"),
            ("bool", "Bool(true)"),
            ("str", "Str(\"a \\\"b\\\"\")"),
            ("bytes", "Bytes([255, 0])"),
            ("some", "Signed(3)"),
            ("display", "Text(\"shown\")"),
            ("debug", "Text(\"Shown\")"),
            ("type", "Str(\"raw\")"),
            ("http.method", "Str(\"GET\")"),
            ("error", "Text(\"no order\")"),
            ("error.sources", "Text(\"[no route]\")"),
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
fn the_message_may_be_of_any_kind_and_stand_anywhere() {
    let bridged = bridged(|config| config);
    bridged.run(|| {
        event!(tracing::Level::INFO, id = 1, message = "text", last = true);
        event!(tracing::Level::INFO, message = 42);
        event!(tracing::Level::INFO, message = ?Shown, a = 1);
        event!(tracing::Level::INFO, a = 1, b = 2);
        info_span!("span").in_scope(|| event!(tracing::Level::INFO, a = 1));
        info!("{{}}");
    });
    let records = bridged.close();
    assert_eq!(texts(&records), ["text id=1 last=true", "42", "Shown a=1", "a=1 b=2", "span: a=1", "{}"]);
}

#[test]
fn a_second_message_of_an_event_is_kept_as_a_field() {
    let bridged = bridged(|config| config);
    bridged.run(|| event!(tracing::Level::INFO, message = "first", id = 1, message = "second"));
    assert_eq!(texts(&bridged.close()), ["first id=1 message=second"]);
}

#[test]
fn events_have_the_names_and_the_fields_of_their_spans() {
    let bridged = bridged(|config| config);
    bridged.run(|| {
        let request = info_span!("request", id = 7_u64, user = Empty);
        info!(parent: &request, "begins");
        request.in_scope(|| {
            info_span!("handler", step = "read").in_scope(|| info!(bytes = 10, "reads"));
            request.record("user", "ann");
            request.record("id", 8_u64);
            info!("knows");
            info!(parent: None, "alone");
            let other = info_span!(parent: None, "other");
            info!(parent: &other, "elsewhere");
            let twice = info_span!("request", id = 9_u64);
            twice.in_scope(|| info!("nested"));
        });
        info!("after");
    });
    let records = bridged.close();
    assert_eq!(
        texts(&records),
        [
            "request: begins request.id=7",
            "request:handler: reads bytes=10 handler.step=read request.id=7",
            "request: knows request.user=ann request.id=8",
            "alone",
            "other: elsewhere",
            "request:request: nested request.id=9 request.user=ann request.id=8",
            "after",
        ]
    );
    let inner = &records[1];
    assert_eq!(inner.field("spans"), Some("Text(\"request:handler\")"));
    assert_eq!(inner.field("request.id"), Some("Unsigned(7)"));
    assert_eq!(records[5].field("request.id"), Some("Unsigned(9)"), "the innermost one comes first");
}

#[test]
fn spans_go_with_their_work_to_other_threads() {
    let bridged = bridged(|config| config);
    std::thread::scope(|scope| {
        for number in 0..4_u64 {
            let span = bridged.run(|| info_span!("request", id = number));
            let bridged = &bridged;
            for _ in 0..2 {
                let span = span.clone();
                scope.spawn(move || bridged.run(|| span.in_scope(|| (0..500).for_each(|n| info!(n, "works")))));
            }
        }
    });
    let records = bridged.close();
    assert_eq!(records.len(), 4000);
    for number in 0..4 {
        let id = format!("Unsigned({number})");
        let of_span: Vec<_> = records.iter().filter(|record| record.field("request.id") == Some(&id)).collect();
        assert_eq!(of_span.len(), 1000);
        assert!(of_span.iter().all(|record| record.field("spans") == Some("Text(\"request\")")));
    }
}

#[test]
fn the_level_of_the_log_decides_and_may_change() {
    let bridged = bridged(|config| config.level(Level::Warn));
    let log_all = || {
        bridged.run(|| {
            error!("error");
            warn!("warn");
            info!("info");
            debug!("debug");
            trace!("trace");
            let mut evaluated = false;
            trace!(
                id = {
                    evaluated = true;
                    1
                },
                "evaluated"
            );
            evaluated
        })
    };
    assert!(!log_all());
    bridged.logger.set_level(Level::Trace);
    bridged.run(tracing::callsite::rebuild_interest_cache);
    assert!(log_all());
    bridged.logger.set_level(Level::Off);
    log_all();
    bridged.run(tracing::callsite::rebuild_interest_cache);
    assert!(!log_all());
    let expected = ["error", "warn", "error", "warn", "info", "debug", "trace", "evaluated id=1"];
    assert_eq!(texts(&bridged.close()), expected);
}

#[test]
fn the_levels_of_targets_decide() {
    let bridged = bridged(|config| config.level("warn,app::net=debug,noisy=off"));
    let log_all = || {
        bridged.run(|| {
            error!(target: "noisy", "1");
            debug!(target: "app::net", "2");
            info!(target: "app", "3");
            warn!(target: "app", "4");
        })
    };
    log_all();
    bridged.logger.set_levels("error,noisy=trace").expect("levels");
    bridged.run(tracing::callsite::rebuild_interest_cache);
    log_all();
    assert_eq!(texts(&bridged.close()), ["2", "4", "1"]);
}

#[test]
fn another_filter_and_another_layer_take_their_own_part() {
    let directory = support::directory();
    let path = |name: &str| directory.path().join(name);
    let open = |name: &str| Logger::open(support::config(path(name)).level(Level::Trace)).expect("a log");
    let (some, most) = (open("some"), open("most"));
    most.set_level(Level::Info);
    let targets = filter::Targets::new().with_target("a", tracing::Level::TRACE);
    let subscriber = registry().with(TracingBridge::new(&some).with_filter(targets)).with(TracingBridge::layer(&most));
    tracing::subscriber::with_default(subscriber, || {
        let outer = info_span!(target: "b", "outer", n = 1);
        let _outer = outer.enter();
        let inner = debug_span!(target: "a", "inner", n = 2);
        inner.in_scope(|| {
            trace!(target: "a", "one");
            info!(target: "b", "two");
            info!(target: "a", "three");
        });
    });
    some.close().expect("a clean end");
    most.close().expect("a clean end");
    assert_eq!(texts(&records(&path("some"))), ["inner: one inner.n=2", "inner: three inner.n=2"]);
    assert_eq!(texts(&records(&path("most"))), ["outer: two outer.n=1", "outer: three outer.n=1"]);
}

#[test]
fn a_value_that_panics_leaves_no_trace() {
    struct Panics;
    impl fmt::Debug for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half of it")?;
            panic!("on purpose")
        }
    }
    let bridged = bridged(|config| config);
    bridged.run(|| {
        let panics = |work: &dyn Fn()| drop(catch_unwind(AssertUnwindSafe(work)).expect_err("it panics"));
        panics(&|| info!(first = 1, value = ?Panics, "lost"));
        panics(&|| info!("{Panics:?}"));
        panics(&|| drop(info_span!("lost", value = ?Panics)));
        let span = info_span!("span", id = 7, value = Empty);
        panics(&|| {
            span.record("value", tracing::field::debug(Panics));
        });
        span.in_scope(|| info!("kept"));
    });
    assert_eq!(texts(&bridged.close()), ["span: kept span.id=7"]);
}

#[test]
fn long_texts_are_cut_and_flagged_and_leave_room_for_fields() {
    let bridged = bridged(|config| config.message_bytes_max(4096));
    let long = "é".repeat(10_000);
    bridged.run(|| {
        info!(id = 7, "{long}");
        info!("{long}");
        info!(long, next = "there");
        info_span!("span", long, next = "there").in_scope(|| info!(id = 7, "text"));
        info!(id = 7, "whole");
        let deep = (0..600).fold(tracing::Span::none(), |span, _| info_span!(parent: &span, "deep"));
        info!(parent: &deep, id = 7, "text");
    });
    let records = bridged.close();
    let truncated: Vec<_> = records.iter().map(|record| record.truncated).collect();
    assert_eq!(truncated, [true, true, true, true, false, true]);
    let field_bytes = |record: usize, name: &str| records[record].field(name).expect("the field").len();
    assert!((2000..4096).contains(&field_bytes(0, "message")) && records[0].field("id").is_some());
    assert!((3900..=4110).contains(&field_bytes(1, "message")));
    assert!((3900..=4110).contains(&field_bytes(2, "long")));
    assert_eq!(records[2].field("next"), Some("Str(\"there\")"));
    assert_eq!(records[3].field("span.next"), Some("Str(\"there\")"));
    assert_eq!((records[3].field("message"), records[3].field("id")), (Some("Text(\"text\")"), Some("Signed(7)")));
    assert_eq!(records[4].text, "whole id=7");
    assert!((900..1100).contains(&field_bytes(5, "spans")));
    assert_eq!((records[5].field("message"), records[5].field("id")), (Some("Text(\"text\")"), Some("Signed(7)")));
}

#[test]
fn a_long_value_costs_no_field_after_it_and_none_of_the_spans() {
    let bridged = bridged(|config| config.message_bytes_max(32 << 10));
    let long = "x".repeat(40_000);
    bridged.run(|| {
        let outer =
            info_span!("outer", id = 1_u64, long, bytes = long.as_bytes(), seen = true, later = Empty, all = Empty);
        outer.record("later", 2_u64);
        outer.record("all", &*long);
        let _entered = outer.entered();
        let _inner = info_span!("inner", debug = ?long, id = 3_u64).entered();
        info!(long, shown = %long, id = 4_u64, ratio = 0.5, "text");
        info!(id = 4_u64, ratio = 0.5, "{long}");
        info!(long, id = 4_u64, ratio = 0.5, message = long);
    });
    let records = bridged.close();
    for record in &records {
        assert!(record.truncated);
        for (name, value) in [
            ("spans", "Text(\"outer:inner\")"),
            ("id", "Unsigned(4)"),
            ("ratio", "F64(0.5)"),
            ("inner.id", "Unsigned(3)"),
            ("outer.id", "Unsigned(1)"),
            ("outer.seen", "Bool(true)"),
            ("outer.later", "Unsigned(2)"),
        ] {
            assert_eq!(record.field(name), Some(value), "{name}");
        }
        for name in ["message", "inner.debug", "outer.long", "outer.bytes", "outer.all"] {
            let bytes = record.field(name).expect("cut").len();
            assert!((10..33_000).contains(&bytes), "{name}: {bytes}");
        }
    }
    assert_eq!(records[0].field("message"), Some("Text(\"text\")"));
    assert!(records[2].field("message").expect("cut").len() > 5000);
}

#[test]
fn what_the_levels_do_not_admit_goes_to_the_flight_recorder() {
    let bridged = bridged(|config| config.level("info,net=off").flight_recorder(64 << 10));
    bridged.run(|| {
        let _span = debug_span!("order", id = 42).entered();
        info!("logged");
        trace!("recorded");
        error!(target: "net", "recorded too");
    });
    let snapshot = bridged.logger.snapshot("events").expect("written");
    assert_eq!(texts(&records(&snapshot)), ["order: recorded order.id=42", "order: recorded too order.id=42"]);
    assert_eq!(texts(&bridged.close()), ["order: logged order.id=42"]);
}
