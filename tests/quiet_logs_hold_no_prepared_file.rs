//! A file that was prepared for a log that then writes nothing is given back: it holds space, and a descriptor.
#![cfg(feature = "unstable")]

mod support;

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use diolog::unstable::{Hooks, ManualClock};
use diolog::{Level, Logger, Outcome, Verdict};

const SEGMENT_BYTES: u64 = 256 << 10;

/// The names of the segment files, in order.
fn segments(path: &Path) -> Vec<String> {
    let names = std::fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("ASCII")).collect();
    names.retain(|name| name.ends_with(".dlog"));
    names.sort_unstable();
    names
}

/// Writes a block.
fn write(logger: &Logger) {
    assert_eq!(logger.log(Level::Info, [b'x'; 10_000]), Outcome::Written);
    logger.flush().expect("durable");
}

/// Lets the log's time pass until the prepared file is gone.
fn wait_quietly(path: &Path, clock: &ManualClock) {
    while segments(path).len() > 1 {
        clock.ticks.fetch_add(1_000_000_000, Relaxed);
        clock.monotonic_ns.fetch_add(1_000_000_000, Relaxed);
        std::thread::yield_now();
    }
}

#[test]
fn a_prepared_file_is_given_back_after_a_while_and_made_again_when_it_is_needed() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let clock: &ManualClock = Box::leak(Box::default());
    let config = support::config(&path).block_bytes(16 << 10).segment_bytes(SEGMENT_BYTES);
    let logger = Hooks::new().clock(clock).open(config).expect("a log");
    // The next block after half of the segment is used asks for the second one. No block comes that would use it.
    while logger.stats().device_bytes < SEGMENT_BYTES / 2 {
        write(&logger);
    }
    write(&logger);
    while segments(&path).len() < 2 {
        std::thread::yield_now();
    }
    assert_eq!(logger.stats().segments, 1, "the second one is prepared, and not used");
    wait_quietly(&path, clock);
    // A rotation that is asked for waits for the next block, and so does its file.
    logger.rotate().expect("open");
    while segments(&path).len() < 2 {
        std::thread::yield_now();
    }
    wait_quietly(&path, clock);
    while logger.stats().segments < 2 {
        write(&logger);
    }
    assert_eq!(segments(&path), ["00000001.dlog", "00000002.dlog"], "its number is used again");
    logger.close().expect("a clean end");
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}
