//! After a thread's first record of an event, a record of it allocates nothing, whichever event comes next.

#[path = "support/allocations.rs"]
mod allocations;
mod support;

use allocations::allocations_in;
use diolog::{Engine, EngineConfig, EventLogs, Level, Outcome};

#[test]
fn a_record_of_an_event_that_the_thread_knows_allocates_nothing() {
    let directory = support::directory();
    let engine = Engine::start(EngineConfig::new()).expect("a thread");
    let config = support::config("").block_bytes(16 << 10).segment_bytes(256 << 10);
    let events = EventLogs::new(&engine, directory.path(), config).expect("valid settings");
    let names: Vec<String> = (0..10).map(|number| format!("event {number}")).collect();
    for name in &names {
        assert!(allocations_in(|| assert_eq!(events.log(name, Level::Info, "first"), Outcome::Written)) > 0);
    }
    // Not the first round: it notes where the thread's producer for each log is.
    for _ in 0..2_000 {
        for name in &names {
            let allocations = allocations_in(|| {
                let outcome = events.log(name, Level::Info, b"any of ten");
                assert!(matches!(outcome, Outcome::Written | Outcome::Dropped), "{outcome}");
                assert_eq!(events.log(name, Level::Debug, "below the level"), Outcome::Filtered);
            });
            assert_eq!(allocations, 0, "{name}");
        }
    }
    events.close().expect("a clean end");
}
