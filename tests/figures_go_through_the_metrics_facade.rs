//! The figures reach the recorder that a program has installed for the crate `metrics`.

mod support;

use std::collections::{BTreeSet, HashMap};

use diolog::{Level, Logger};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

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
    let recorder = DebuggingRecorder::new();
    let published = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || stats.publish_metrics("orders"));
    // What a name is for Prometheus, it is here.
    let text = stats.to_prometheus("orders");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let kinds: HashMap<_, _> = types.collect();
    let mut seen = HashMap::new();
    for (key, _, description, value) in published.snapshot().into_vec() {
        let key = key.key();
        let mut labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        assert_eq!(labels.remove(0), "log=orders", "{key:?}");
        assert!(description.is_some(), "{key:?}");
        let kind = if matches!(value, DebugValue::Counter(_)) { "counter" } else { "gauge" };
        assert!(kinds.get(key.name()).is_none_or(|other| *other == kind), "{key:?} is a {kind}");
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => panic!("{key:?}"),
        };
        assert!(seen.insert((key.name().to_owned(), labels.join(",")), value).is_none(), "{key:?}");
    }
    let of = |name: &str, labels: &str| seen[&(name.to_owned(), labels.to_owned())];
    assert_eq!((of("diolog_written_records_total", ""), of("diolog_flushes_total", "")), (3.0, 3.0));
    assert_eq!(of("diolog_durable_bytes_total", ""), stats.durable_bytes as f64);
    assert_eq!(of("diolog_dropped_records_total", "cause=ring_full"), 0.0);
    assert_eq!((of("diolog_state", "state=ok"), of("diolog_state", "state=full")), (1.0, 0.0));
    assert_eq!(of("diolog_write_latency_quantile_seconds", "quantile=0.99"), stats.write_latency_ns.p99 as f64 / 1e9);
    assert_eq!(of("diolog_producers", ""), 1.0);
    assert_eq!(of("diolog_wait_seconds", ""), 0.0);
    let without_prometheus: BTreeSet<_> = seen.keys().map(|(name, _)| name.as_str()).collect();
    let own: Vec<_> = without_prometheus.into_iter().filter(|name| !kinds.contains_key(name)).collect();
    assert_eq!(
        own,
        ["diolog_flush_latency_quantile_seconds", "diolog_wait_seconds", "diolog_write_latency_quantile_seconds"]
    );
}
