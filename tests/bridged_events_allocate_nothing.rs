//! Once a place is known and its thread has a ring, an event of `log` or `tracing` allocates nothing.

#[path = "support/allocations.rs"]
mod allocations;
mod support;

use allocations::allocations_in;
use diolog::{Level, LogBridge, Logger, TracingBridge};
use tracing_subscriber::prelude::*;

/// The allocations of the second call and those after it.
fn allocations_after_the_first(work: impl Fn(u64)) -> u64 {
    work(0);
    allocations_in(|| (1..10_000).for_each(work))
}

fn log_at(directory: &tempfile::TempDir) -> Logger {
    Logger::open(support::config(directory.path().join("log"))).expect("a log")
}

#[test]
fn the_counter_counts() {
    assert!(allocations_after_the_first(|_| drop(std::hint::black_box(vec![1_u8; 100]))) >= 2 * 9999);
}

#[test]
fn an_event_of_log_allocates_nothing() {
    let directory = support::directory();
    let logger = log_at(&directory);
    LogBridge::new(&logger).install().expect("the first one");
    let long = "x".repeat(100_000);
    let error = std::io::ErrorKind::NotFound;
    let allocations = allocations_after_the_first(|n| {
        log::info!(id = n, venue = "XETR", price = 101.25, error:? = error, none = None::<u64>; "order {n} filled");
        log::info!(long = long.as_str(); "{long}");
        log::debug!("filtered");
    });
    assert_eq!(allocations, 0);
    logger.close().expect("a clean end");
    assert_eq!(allocations_after_the_first(|n| log::info!(id = n; "too late")), 0);
}

#[test]
fn an_event_of_tracing_allocates_nothing_within_spans_either() {
    let directory = support::directory();
    let logger = log_at(&directory);
    let subscriber = tracing_subscriber::registry().with(TracingBridge::layer(&logger));
    tracing::subscriber::with_default(subscriber, || {
        let long = "x".repeat(100_000);
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error: &(dyn std::error::Error + 'static) = &error;
        let events = |n: u64| {
            tracing::info!(id = n, venue = "XETR", price = 101.25, ok = true, kind = ?Level::Warn, error, "order {n} filled");
            tracing::info!(long, "{long}");
            tracing::debug!("filtered");
        };
        assert_eq!(allocations_after_the_first(events), 0);
        let request = tracing::info_span!("request", id = 7, user = "ann");
        request.in_scope(|| {
            tracing::info_span!("handler", step = ?Level::Info)
                .in_scope(|| assert_eq!(allocations_after_the_first(events), 0));
        });
        logger.close().expect("a clean end");
    });
}
