//! `Stats::to_prometheus` is text that a parser of Prometheus's exposition format reads, and its samples are the
//! figures.

mod support;

use std::collections::{BTreeMap, HashSet};

use diolog::{Engine, EngineConfig, EventLogs, Level, Logger, Outcome, Stats};
use prometheus_parse::{Scrape, Value};

/// Checks that the parser has read each line: it ignores one that it does not understand.
fn parse(text: &str) -> Scrape {
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("the exposition format");
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    let lines_of = |sample: &prometheus_parse::Sample| match &sample.value {
        // The count and the sum of a histogram are samples of their own for this parser.
        Value::Histogram(buckets) => buckets.len(),
        _ => 1,
    };
    assert_eq!(scrape.samples.iter().map(lines_of).sum::<usize>(), lines, "{text}");
    scrape
}

/// The value of the sample with this name and these labels.
fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    let is_it = |sample: &&prometheus_parse::Sample| {
        sample.metric == name && labels.iter().all(|(key, value)| sample.labels.get(key) == Some(*value))
    };
    let mut found = scrape.samples.iter().filter(is_it);
    let sample = found.next().unwrap_or_else(|| panic!("no {name} with {labels:?}"));
    assert!(found.next().is_none(), "two of {name} with {labels:?}");
    match sample.value {
        Value::Counter(value) | Value::Gauge(value) => value,
        ref other => panic!("{name}: {other:?}"),
    }
}

fn stats_of(name: &str) -> Stats {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    let producer = logger.producer_named(name).expect("a ring");
    for _ in 0..5 {
        producer.log(Level::Info, "a message");
        logger.flush().expect("durable");
    }
    logger.stats()
}

#[test]
fn each_figure_is_a_sample() {
    let stats = stats_of("orders");
    let text = stats.to_prometheus("app");
    let scrape = parse(&text);
    let of = |name: &str| value(&scrape, name, &[("log", "app")]);
    assert_eq!((of("diolog_attempted_records_total"), of("diolog_written_records_total")), (5.0, 5.0));
    assert_eq!((of("diolog_durable_records_total"), of("diolog_flushes_total")), (5.0, 5.0));
    assert_eq!(of("diolog_durable_bytes_total"), stats.durable_bytes as f64);
    assert_eq!(of("diolog_padding_bytes_total"), stats.padding_bytes as f64);
    assert_eq!(of("diolog_ring_memory_bytes"), stats.ring_memory.used_bytes as f64);
    assert!(scrape.samples.iter().all(|sample| !sample.metric.starts_with("diolog_engine_")), "there is no engine");
    for cause in ["ring_full", "ring_memory", "timed_out", "device_failed"] {
        assert_eq!(value(&scrape, "diolog_dropped_records_total", &[("cause", cause)]), 0.0);
    }
    assert_eq!(value(&scrape, "diolog_state", &[("state", "ok")]), 1.0);
    assert_eq!(value(&scrape, "diolog_state", &[("state", "failed")]), 0.0);
    // A reason may have commas in it, at which this parser, unlike Prometheus, ends a label.
    let (device, reason) = (stats.device.kind, stats.device.reasons.join("; ").replace('"', "\\\""));
    let info = format!("\ndiolog_device_info{{log=\"app\",device=\"{device}\",reason=\"{reason}\"}} 1\n");
    assert!(text.contains(&info), "{info} in {text}");
    let producer = [("producer", "orders"), ("id", "1")];
    assert_eq!(value(&scrape, "diolog_producer_written_records_total", &producer), 5.0);
    assert_eq!(value(&scrape, "diolog_producer_ring_bytes", &producer), stats.producers[0].ring_bytes as f64);
}

#[test]
fn latencies_are_histograms_whose_buckets_add_up() {
    let stats = stats_of("orders");
    let text = stats.to_prometheus("app");
    let scrape = parse(&text);
    for (name, all) in [
        ("diolog_write_latency_seconds", &stats.write_latency_ns),
        ("diolog_flush_latency_seconds", &stats.flush_latency_ns),
    ] {
        let histogram = scrape.samples.iter().find(|sample| sample.metric == name).expect("a histogram");
        let Value::Histogram(buckets) = &histogram.value else { panic!("{:?}", histogram.value) };
        assert!(buckets.windows(2).all(|pair| pair[0].less_than < pair[1].less_than && pair[0].count <= pair[1].count));
        let last = buckets.last().expect("+Inf");
        assert_eq!((last.less_than, last.count), (f64::INFINITY, all.count as f64));
        let below =
            |bound: f64| all.buckets().filter(|(ns, _)| *ns as f64 / 1e9 <= bound).map(|(_, count)| count).sum::<u64>();
        for bucket in buckets {
            assert_eq!(bucket.count, below(bucket.less_than) as f64, "{bucket:?}");
        }
        let line = |suffix: &str| {
            let begin = format!("{name}_{suffix}{{log=\"app\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&begin)).expect("a line").parse::<f64>().expect("a number")
        };
        assert_eq!((line("count"), line("sum")), (all.count as f64, all.sum as f64 / 1e9));
    }
}

/// How many samples each family of the text has. Each family stands once, with help and type before its samples.
fn families(text: &str) -> BTreeMap<&str, usize> {
    let (mut families, mut present): (BTreeMap<&str, usize>, &str) = (BTreeMap::new(), "");
    let mut helped = HashSet::new();
    for line in text.lines() {
        assert!(!line.is_empty() && line == line.trim(), "{line:?}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && helped.insert(name), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            present = rest.split(' ').next().expect("a name");
            assert!(helped.contains(present), "{line}");
            assert!(present.ends_with("_total") == rest.ends_with(" counter"), "{line}");
        } else {
            assert!(line.starts_with(present), "{line} among those of {present}");
            *families.entry(present).or_default() += 1;
        }
    }
    assert_eq!(families.len(), helped.len(), "no family without a sample");
    families
}

#[test]
fn every_family_stands_once_with_help_and_type_before_its_samples() {
    let (one, two) = (stats_of("a"), stats_of("b"));
    let text = Stats::all_to_prometheus([("one", &one), ("two", &two)]);
    let families = families(&text);
    assert_eq!(families["diolog_written_records_total"], 2);
    let scrape = parse(&text);
    for log in ["one", "two"] {
        assert_eq!(value(&scrape, "diolog_written_records_total", &[("log", log)]), 5.0);
    }
}

#[test]
fn labels_are_escaped() {
    let stats = stats_of("a \"quoted\" \\ name");
    let text = stats.to_prometheus("line\nfeed");
    assert!(text.contains("{log=\"line\\nfeed\",producer=\"a \\\"quoted\\\" \\\\ name\",id=\"1\"} 5\n"), "{text}");
    assert!(text.lines().all(|line| line.starts_with('#') || line.contains("{log=\"line\\nfeed\"")), "{text}");
}

#[test]
fn event_logs_have_the_families_of_each_log_and_their_sums() {
    let directory = support::directory();
    let engine = Engine::start(EngineConfig::new()).expect("an engine");
    let config = support::config("").first_segment_bytes(1 << 20);
    let events = EventLogs::new(&engine, directory.path().join("events"), config).expect("a directory");
    for event in ["payment", "shipping", "payment", "closed"] {
        assert_eq!(events.log(event, Level::Info, "a message"), Outcome::Written);
    }
    let kept = events.open("closed").expect("open");
    events.close_event("closed").expect("closed");
    assert_eq!(kept.log(Level::Info, "late"), Outcome::Closed);
    assert_eq!(events.log("..", Level::Info, "refused"), Outcome::NoLog);
    let stats = events.stats();
    let text = stats.to_prometheus();
    let scrape = parse(&text);
    let attempted = |log| value(&scrape, "diolog_attempted_records_total", &[("log", log)]);
    assert_eq!((attempted("payment"), attempted("shipping")), (2.0, 1.0));
    assert_eq!(attempted("closed"), 1.0, "its counts are kept");
    assert!(!text.contains("diolog_producers{log=\"closed\""), "{text}");
    let sum = |name: &str| value(&scrape, &format!("diolog_events_{name}"), &[]);
    assert_eq!((sum("attempted_records_total"), sum("refused_without_log_total")), (4.0, 1.0));
    assert_eq!((sum("open_logs"), sum("closed_logs_total")), (2.0, 1.0));
    assert_eq!(sum("segments_total"), stats.sum.segments as f64);
    assert_eq!(sum("padding_bytes_total"), stats.sum.padding_bytes as f64);
    let refused = |cause| value(&scrape, "diolog_events_refused_records_total", &[("cause", cause)]);
    assert_eq!((refused("closed"), kept.stats().refused_by.closed), (0.0, 1), "in no sum");
    // The counts of an event go on when its log is opened again.
    assert_eq!(events.log("closed", Level::Info, "a message"), Outcome::Written);
    let again = events.stats();
    let counts = (again.closed["closed"].attempted, again.events["closed"].attempted);
    assert_eq!((counts, again.sum.attempted, again.closed_logs), ((1, 1), 5, 1));
    let scrape = parse(&again.to_prometheus());
    assert_eq!(value(&scrape, "diolog_attempted_records_total", &[("log", "closed")]), 2.0);
    let families = families(&text);
    assert_eq!((families["diolog_events_attempted_records_total"], families["diolog_written_records_total"]), (1, 3));
}
