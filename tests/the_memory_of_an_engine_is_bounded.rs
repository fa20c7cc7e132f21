//! The memory of an engine stays within what the documentation of `EngineConfig` states, with full rings, no block
//! free, and a listener that hangs.
#![cfg(all(target_os = "linux", feature = "unstable"))]

mod support;

use std::sync::Arc;

use diolog::{Engine, EngineConfig, Level, Listener, LiveRecord, Logger, Outcome, RefusedBy, State};
use support::faults::Plan;
use support::os;

const LOGS: u64 = 40;
const RINGS_BYTES_MAX: u64 = 8 << 20;
const BLOCKS_BYTES_MAX: u64 = 8 << 20;
const RING_BYTES: u64 = 64 << 10;
const QUEUE_BYTES: u64 = 64 << 10;

/// ENOSPC.
const NO_SPACE: i32 = 28;

/// "Everything else", as documented.
const OTHER_BYTES: u64 = (8 << 20) + LOGS * (512 << 10);

/// Never returns.
struct Hung;

impl Listener for Hung {
    fn record(&self, _: &LiveRecord<'_>) {
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn an_engine_with_full_rings_and_blocks_takes_no_more_than_is_documented() {
    // A process of its own: its memory is measured.
    if support::child::ran_in_child("an_engine_with_full_rings_and_blocks_takes_no_more_than_is_documented") {
        return;
    }
    let before = os::resident_bytes();
    let limits = EngineConfig::new().rings_bytes_max(RINGS_BYTES_MAX as usize);
    let engine = Engine::start(limits.blocks_bytes_max(BLOCKS_BYTES_MAX as usize)).expect("a thread");
    let hung: Arc<dyn Listener> = Arc::new(Hung);
    let open = |number: u64| {
        let config = support::config(support::child_directory().join(number.to_string()))
            .create_parents(true)
            .ring_bytes(RING_BYTES as usize)
            .thread_ring_bytes(RING_BYTES as usize)
            .block_bytes(64 << 10)
            .segment_bytes(1 << 20)
            .listener(Level::Info, Arc::clone(&hung))
            .listener_queue_bytes(QUEUE_BYTES as usize)
            .close_deadline(std::time::Duration::ZERO);
        let plan = Plan::new(0, u64::MAX, NO_SPACE);
        plan.hooks().open_on(&engine, config).expect("a log")
    };
    let logs: Vec<_> = (0..LOGS).map(open).collect();
    let producers: Vec<_> = logs.iter().map(|logger| logger.producer().expect("a ring")).collect();
    // Until nothing fits anywhere: neither in a ring, nor in its reserve, nor in a block, and the queues have filled.
    // The rings alone may be full before the writer has run.
    let is_full = |logger: &Logger| {
        let stats = logger.stats();
        stats.state == State::Full && stats.listeners[0].waiting * 500 > QUEUE_BYTES / 2
    };
    let mut refused = 0;
    while refused < 3 {
        let all_refused = producers
            .iter()
            .all(|producer| (0..200).all(|_| producer.log(Level::Info, [b'x'; 500]) == Outcome::Dropped));
        refused = if all_refused && logs.iter().all(is_full) { refused + 1 } else { 0 };
    }
    // Threads that find no memory for a ring share one for each log.
    std::thread::spawn({
        let logs = logs.clone();
        move || logs.iter().for_each(|logger| _ = logger.log(Level::Info, [b'x'; 500]))
    })
    .join()
    .expect("no panic");
    assert!(logs.iter().all(is_full));
    assert_eq!(logs[0].stats().refused_by, RefusedBy::default());
    let taken = os::resident_bytes() - before;
    let queues = 2 * LOGS * QUEUE_BYTES;
    let bound = RINGS_BYTES_MAX + LOGS * RING_BYTES + BLOCKS_BYTES_MAX + queues + OTHER_BYTES;
    assert!(taken <= bound, "{taken} bytes, more than {bound}");
    assert!(taken >= RINGS_BYTES_MAX, "{taken} bytes: the rings are full");
    println!("{} KiB taken, {} KiB documented", taken >> 10, bound >> 10);
}
