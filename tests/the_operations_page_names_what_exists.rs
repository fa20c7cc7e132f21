//! The figures and settings that `docs/operations.md` names are those that there are, and it names all families for
//! Prometheus.

mod support;

use std::collections::BTreeSet;

use diolog::{Engine, EngineConfig, EventStats};

/// Names of the system, of functions, and of a script.
const OTHERS: &[&str] = &[
    "O_DIRECT",
    "O_DSYNC",
    "XDG_RUNTIME_DIR",
    "bench_iostat",
    "close_event",
    "drain_on_signals",
    "events_max",
    "io_uring",
    "io_uring_disabled",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "nonvoluntary_ctxt_switches",
    "on_loss",
    "publish_metrics",
    "publish_producer_metrics",
    "set_level",
    "set_levels",
    "to_prometheus",
    "w_await",
];

/// The words of `text` that are names in code.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.contains('_'))
        .collect()
}

#[test]
fn every_figure_and_setting_on_the_page_exists() {
    let page = include_str!("../docs/operations.md");
    let directory = support::directory();
    let config = support::config(directory.path().join("log")).flight_recorder(64 << 10);
    let engine = Engine::start(EngineConfig::new()).expect("an engine");
    let logger = engine.open(config.clone()).expect("a log");
    let _producer = logger.producer().expect("a producer");
    let stats = logger.stats();
    let events = EventStats::default();
    let text = stats.to_prometheus("log");
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let missing: Vec<_> = families.filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");

    let known = format!("{stats:?} {events:?} {text} {} {config:?} {:?}", events.to_prometheus(), EngineConfig::new());
    let known: BTreeSet<_> = names(&known).into_iter().chain(OTHERS.iter().copied()).collect();

    // Every second part stands between backticks.
    let in_code = page.split('`').skip(1).step_by(2);
    let unknown: Vec<_> = in_code.flat_map(names).filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
