//! A small service: four request threads log through producers of their own, at a steady pace, for two seconds.
//!
//! `cargo run --release --example service` prints how long their log calls took, how the log was written, and how to
//! read it.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use diolog::{Config, Level, Logger, Outcome, Reader, info};
use hdrhistogram::Histogram;

const REQUEST_THREADS: usize = 4;
const RUN_TIME: Duration = Duration::from_secs(2);
/// The time between two requests of a thread.
const PACE: Duration = Duration::from_micros(20);

fn main() -> Result<(), Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/service-log");
    std::fs::create_dir_all(&directory)?;
    let mut config = Config::new(&directory).service("example").level(Level::Info);
    if let Some(core) = last_allowed_core() {
        config = config.writer_core(core);
        println!("writer on CPU {core}");
    }
    let logger = Logger::open(config)?;

    let threads: Vec<_> = (0..REQUEST_THREADS)
        .map(|number| {
            let producer = logger.producer_named(&format!("requests-{number}"))?;
            Ok(std::thread::spawn(move || serve_requests(&producer)))
        })
        .collect::<diolog::Result<_>>()?;
    let mut latency_ns = Histogram::<u64>::new(3)?;
    for thread in threads {
        latency_ns.add(thread.join().map_err(|_| "a request thread panicked")??)?;
    }
    logger.flush()?;
    let stats = logger.stats();
    logger.close()?;

    println!("\ntime of an `info!`, with two clock reads, in nanoseconds:");
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
        println!("  {name:>5}  {:>9}", latency_ns.value_at_quantile(quantile));
    }
    println!("\nhow it was written: {}", stats.device);
    println!("  {} records accepted, {} dropped, {} durable", stats.accepted(), stats.dropped, stats.durable_records);
    println!(
        "  {} blocks, {} bytes; a block took {} µs at p50, {} µs at p99",
        stats.durable_blocks,
        stats.durable_bytes,
        stats.write_latency_ns.p50 / 1000,
        stats.write_latency_ns.p99 / 1000
    );

    let in_files = Reader::open(&directory)?.try_fold(0_u64, |count, record| record.map(|_| count + 1))?;
    println!("  {in_files} records in the log, those of earlier runs included");
    let shown = directory.display();
    println!("\nread it:\n  cargo diolog tail {shown}\n  cargo diolog verify {shown}");
    Ok(())
}

/// Serves one thread's requests. Returns the latencies of its log calls.
fn serve_requests(producer: &diolog::Producer) -> Result<Histogram<u64>, hdrhistogram::CreationError> {
    let mut latency_ns = Histogram::<u64>::new(3)?;
    let started = Instant::now();
    for request in 0_u64.. {
        let due = started + PACE * u32::try_from(request).unwrap_or(u32::MAX);
        if due.duration_since(started) >= RUN_TIME {
            break;
        }
        while Instant::now() < due {
            std::thread::yield_now();
        }
        let bytes = 512 + request % 1000;
        let before = Instant::now();
        let outcome = info!(producer, "GET /orders/{request} {status} {bytes} bytes", request, status = 200_u16, bytes);
        latency_ns.saturating_record(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if outcome == Outcome::Closed {
            break;
        }
    }
    Ok(latency_ns)
}

/// The last CPU that this process may use; none if threads cannot be pinned.
fn last_allowed_core() -> Option<usize> {
    #[cfg(all(target_os = "linux", not(diolog_portable)))]
    return core_affinity::get_core_ids()?.last().map(|core| core.id);
    #[cfg(not(all(target_os = "linux", not(diolog_portable))))]
    None
}
