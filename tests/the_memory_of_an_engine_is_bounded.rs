//! The memory of an engine stays within what the documentation of `EngineConfig` states, with full rings, no block
//! free, and a listener that hangs: with many logs, with many producers and a flight recorder, with windows of 1 MiB,
//! and with the default memory of blocks.
#![cfg(all(target_os = "linux", feature = "unstable"))]

mod support;

use std::sync::Arc;

use diolog::{Engine, EngineConfig, Level, Listener, LiveRecord, Outcome, Producer, RefusedBy, State, Stats};
use support::faults::Plan;
use support::os;

const THREAD_RING_BYTES: u64 = 64 << 10;
const QUEUE_BYTES: u64 = 64 << 10;

/// ENOSPC.
const NO_SPACE: i32 = 28;

/// What fills the memory of an engine.
struct Load {
    logs: u64,
    /// Of each log.
    producers: u64,
    /// The window of each.
    ring_bytes: u64,
    /// The ring of each for the flight recorder; 0 for no recorder.
    recorder_bytes: u64,
    rings_bytes_max: u64,
    block_bytes: u64,
    /// `None`: the default.
    blocks_bytes_max: Option<u64>,
    name: &'static str,
}

const LOAD: Load = Load {
    logs: 40,
    producers: 1,
    ring_bytes: 64 << 10,
    recorder_bytes: 0,
    rings_bytes_max: 8 << 20,
    block_bytes: 64 << 10,
    blocks_bytes_max: Some(8 << 20),
    name: "one",
};

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
fn full_rings_and_blocks_of_many_logs_take_no_more_than_is_documented() {
    if !support::child::ran_in_child("full_rings_and_blocks_of_many_logs_take_no_more_than_is_documented") {
        fill(&LOAD);
    }
}

#[test]
fn the_blocks_of_an_engine_without_a_limit_take_no_more_than_is_documented() {
    let load = Load { logs: 160, rings_bytes_max: 16 << 20, block_bytes: 512 << 10, blocks_bytes_max: None, ..LOAD };
    if !support::child::ran_in_child("the_blocks_of_an_engine_without_a_limit_take_no_more_than_is_documented") {
        fill(&load);
    }
}

#[test]
fn many_producers_with_a_flight_recorder_take_no_more_than_is_documented() {
    let load = Load {
        logs: 8,
        producers: 300,
        ring_bytes: 4 << 10,
        recorder_bytes: 4 << 10,
        rings_bytes_max: 24 << 20,
        name: "a name of a producer that is as long as names of threads in a pool with the names of their tasks may be",
        ..LOAD
    };
    if !support::child::ran_in_child("many_producers_with_a_flight_recorder_take_no_more_than_is_documented") {
        fill(&load);
    }
}

#[test]
fn single_windows_of_a_mebibyte_take_no_more_than_is_documented() {
    let load = Load { logs: 24, ring_bytes: 1 << 20, rings_bytes_max: 24 << 20, ..LOAD };
    if !support::child::ran_in_child("single_windows_of_a_mebibyte_take_no_more_than_is_documented") {
        fill(&load);
    }
}

/// Fills all memory of an engine, and compares what the process takes then with the documentation. Called in a process
/// of its own.
fn fill(load: &Load) {
    let before = os::resident_bytes();
    let limits = EngineConfig::new().rings_bytes_max(load.rings_bytes_max as usize);
    let limits = load.blocks_bytes_max.map_or(limits.clone(), |bytes| limits.blocks_bytes_max(bytes as usize));
    let engine = Engine::start(limits).expect("a thread");
    let hung: Arc<dyn Listener> = Arc::new(Hung);
    let open = |number: u64| {
        let config = support::config(support::child_directory().join(number.to_string()))
            .create_parents(true)
            .ring_bytes(load.ring_bytes as usize)
            .thread_ring_bytes(THREAD_RING_BYTES as usize)
            .flight_recorder(load.recorder_bytes as usize)
            .block_bytes(load.block_bytes as usize)
            .segment_bytes(16 * load.block_bytes)
            .listener(Level::Info, Arc::clone(&hung))
            .listener_queue_bytes(QUEUE_BYTES as usize)
            .close_deadline(std::time::Duration::ZERO);
        let plan = Plan::new(0, u64::MAX, NO_SPACE);
        plan.hooks().open_on(&engine, config).expect("a log")
    };
    let logs: Vec<_> = (0..load.logs).map(open).collect();
    let of_log = |logger: &diolog::Logger| {
        (0..load.producers).map(|_| logger.producer_named(load.name).expect("a ring")).collect::<Vec<_>>()
    };
    let producers: Vec<_> = logs.iter().flat_map(of_log).collect();
    for producer in producers.iter().filter(|_| load.recorder_bytes > 0) {
        for _ in 0..20 {
            assert_eq!(producer.log(Level::Debug, [b'x'; 500]), Outcome::Recorded);
        }
    }
    // Until nothing fits anywhere: neither in a ring, nor in its reserve, nor in a block, nor in a listener's queue.
    let accepts = |producer: &Producer| producer.log(Level::Info, [b'x'; 500]) != Outcome::Dropped;
    let (mut rounds_without_progress, mut written_before) = (0, 0);
    while rounds_without_progress < 3 {
        let accepted = producers.iter().map(|producer| (0..200).filter(|_| accepts(producer)).count()).sum::<usize>();
        let stats: Vec<_> = logs.iter().map(diolog::Logger::stats).collect();
        let written = stats.iter().map(|stats| stats.written).sum();
        let is_full = |stats: &Stats| stats.state == State::Full && stats.listeners[0].waiting * 500 > QUEUE_BYTES / 2;
        let has_moved = accepted > 0 || written > written_before || !stats.iter().all(is_full);
        rounds_without_progress = if has_moved { 0 } else { rounds_without_progress + 1 };
        written_before = written;
        std::thread::yield_now();
    }
    // The last eighth is kept for severe records.
    let engine = logs[0].stats().ring_memory.engine.expect("an engine");
    assert!(engine.used_bytes + (64 << 10) > load.rings_bytes_max / 8 * 7, "no further chunk fits: {engine:?}");
    // Threads that find no memory for a ring share one for each log.
    std::thread::spawn({
        let logs = logs.clone();
        move || {
            for level in [Level::Info, Level::Debug] {
                logs.iter().for_each(|logger| _ = logger.log(level, [b'x'; 500]));
            }
        }
    })
    .join()
    .expect("no panic");
    assert_eq!(logs[0].stats().refused_by, RefusedBy::default());
    let taken = os::resident_bytes() - before;

    // The rows of the table in the documentation.
    let doubled = if load.ring_bytes == 1 << 20 && load.producers == 1 { 2 } else { 1 };
    let rings = doubled * load.rings_bytes_max;
    let common = load.logs * (THREAD_RING_BYTES + load.recorder_bytes);
    let queues = 2 * load.logs * QUEUE_BYTES;
    let of_producers = load.logs * load.producers * ((4 << 10) + 4 * load.name.len() as u64);
    let others = (8 << 20) + load.logs * (512 << 10);
    let blocks = load.blocks_bytes_max.unwrap_or((128 << 20) + load.logs * 2 * load.block_bytes);
    let bound = rings + common + blocks + queues + of_producers + others;
    assert!(taken <= bound, "{taken} bytes, more than {bound}");
    assert!(taken >= load.rings_bytes_max, "{taken} bytes: the rings are full");
    if load.blocks_bytes_max.is_none() {
        assert!(taken > 128 << 20, "{taken} bytes: two blocks of each log are more than all share");
    }
}
