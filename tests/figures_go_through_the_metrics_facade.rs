//! The figures reach the recorder that a program has installed for the crate `metrics`.

mod support;

use std::collections::{BTreeSet, HashMap};

use diolog::{Engine, EngineConfig, EventLogs, Level, Logger, Outcome};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

/// Kinds and values by name and labels (`key=value`, with commas between).
type Seen = HashMap<(String, String), (&'static str, f64)>;

/// What `publish` hands to a recorder.
fn published(publish: impl FnOnce()) -> Seen {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, publish);
    let mut seen = Seen::new();
    for (key, _, description, value) in recorder.snapshotter().snapshot().into_vec() {
        let key = key.key();
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        assert!(description.is_some(), "{key:?}");
        let of_kind = match value {
            DebugValue::Counter(count) => ("counter", count as f64),
            DebugValue::Gauge(value) => ("gauge", value.into_inner()),
            DebugValue::Histogram(_) => panic!("{key:?}"),
        };
        assert!(seen.insert((key.name().to_owned(), labels.join(",")), of_kind).is_none(), "{key:?}");
    }
    seen
}

fn value(seen: &Seen, name: &str, labels: &str) -> f64 {
    seen[&(name.to_owned(), labels.to_owned())].1
}

#[test]
fn a_recorder_of_the_facade_gets_each_figure_with_its_labels() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    let producer = logger.producer().expect("a ring");
    for at in 0..3 {
        producer.log(Level::Info, "a message");
        logger.flush().expect("durable");
        assert_eq!(logger.stats().flushes, at + 1);
    }
    let stats = logger.stats();
    let seen = published(|| stats.publish_metrics("orders"));
    // What a name is for Prometheus, it is here.
    let text = stats.to_prometheus("orders");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let kinds: HashMap<_, _> = types.collect();
    for ((name, labels), (kind, _)) in &seen {
        assert!(labels.starts_with("log=orders"), "{name} with {labels}");
        assert!(kinds.get(name.as_str()).is_none_or(|other| other == kind), "{name} is a {kind}");
    }
    let of = |name: &str, more: &str| match more {
        "" => value(&seen, name, "log=orders"),
        _ => value(&seen, name, &format!("log=orders,{more}")),
    };
    assert_eq!((of("diolog_written_records_total", ""), of("diolog_flushes_total", "")), (3.0, 3.0));
    assert_eq!(of("diolog_durable_bytes_total", ""), stats.durable_bytes as f64);
    assert_eq!(of("diolog_dropped_records_total", "cause=ring_full"), 0.0);
    assert_eq!((of("diolog_state", "state=ok"), of("diolog_state", "state=full")), (1.0, 0.0));
    assert_eq!(of("diolog_write_latency_quantile_seconds", "quantile=0.99"), stats.write_latency_ns.p99 as f64 / 1e9);
    let device = format!("device={}", stats.device.kind);
    assert_eq!((of("diolog_device_info", &device), of("diolog_device_info", "device=none")), (1.0, 0.0));
    assert_eq!(of("diolog_producers", ""), 1.0);
    assert_eq!(of("diolog_wait_seconds", ""), 0.0);
    let without_prometheus: BTreeSet<_> = seen.keys().map(|(name, _)| name.as_str()).collect();
    let own: Vec<_> = without_prometheus.into_iter().filter(|name| !kinds.contains_key(name)).collect();
    assert_eq!(
        own,
        ["diolog_flush_latency_quantile_seconds", "diolog_wait_seconds", "diolog_write_latency_quantile_seconds"]
    );
}

#[test]
fn producers_have_figures_with_their_names_if_they_are_asked_for() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    let producers = ["matching", "risk"].map(|name| logger.producer_named(name).expect("a ring"));
    producers.iter().for_each(|producer| assert_eq!(producer.log(Level::Info, "a message"), Outcome::Written));
    producers[1].log(Level::Info, "another");
    logger.flush().expect("durable");
    let stats = logger.stats();
    let seen = published(|| stats.publish_producer_metrics("orders"));
    let of = |name: &str, labels: &str| value(&seen, name, &format!("log=orders,{labels}"));
    assert_eq!(of("diolog_producer_written_records_total", "producer=matching,id=1"), 1.0);
    assert_eq!(of("diolog_producer_attempted_records_total", "producer=risk,id=2"), 2.0);
    assert_eq!(of("diolog_producer_lost_records_total", "producer=risk,id=2"), 0.0);
    assert_eq!(of("diolog_producer_ring_bytes", "producer=risk,id=2"), stats.producers[1].ring_bytes as f64);
    assert_eq!(seen.len(), 10, "five figures of each: {seen:?}");
}

#[test]
fn counters_of_event_logs_go_on_and_gauges_end_with_their_log() {
    let directory = support::directory();
    let engine = Engine::start(EngineConfig::new()).expect("an engine");
    let config = support::config("").first_segment_bytes(1 << 20);
    let events = EventLogs::new(&engine, directory.path().join("events"), config).expect("a directory");
    for event in ["payment", "job", "job"] {
        assert_eq!(events.log(event, Level::Info, "a message"), Outcome::Written);
    }
    events.close_event("job").expect("closed");
    assert_eq!(events.log("..", Level::Info, "refused"), Outcome::NoLog);
    let closed = published(|| events.stats().publish_metrics());
    assert_eq!(events.log("job", Level::Info, "a message"), Outcome::Written);
    let again = published(|| events.stats().publish_metrics());
    for (seen, attempted, producers) in [(closed, 2.0, 0.0), (again, 3.0, 1.0)] {
        let of = |name: &str, labels: &str| value(&seen, &format!("diolog_{name}"), labels);
        assert_eq!(of("attempted_records_total", "log=payment"), 1.0);
        assert_eq!(of("attempted_records_total", "log=job"), attempted);
        assert_eq!(of("events_attempted_records_total", ""), attempted + 1.0);
        assert_eq!((of("producers", "log=job"), of("state", "log=job,state=ok")), (producers, producers));
        let dropped = of("events_dropped_records_total", "cause=ring_full");
        assert_eq!((dropped, of("events_wait_seconds", "")), (0.0, 0.0));
        assert_eq!((of("events_open_logs", ""), of("events_closed_logs_total", "")), (producers + 1.0, 1.0));
        assert_eq!(of("events_refused_without_log_total", ""), 1.0);
    }
}
