//! `diolog bench disk`: the throughput of one log on one disk, in a form that scripts can compare with other programs.
//!
//! The log writes into a segment that is prepared before the clock starts, and of which less than half is used: at half,
//! the log would prepare the next one on the same disk. There is no verdict.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diolog::unstable::Hooks;
use diolog::unstable::measure;
use diolog::unstable::measure::load::{Load, new_histogram};
use diolog::unstable::measure::usage::{cpu_time, writer_cpu_time};
use diolog::{Config, Level, Overflow, Stats};
use hdrhistogram::Histogram;
use serde_json::json;

use super::scratch::in_scratch;
use crate::args::{Disk, ReportFormat};
use crate::exit::{Failure, Status};
use crate::text::output::Output;
use crate::text::units;

/// Blocks are multiples of this size.
const GRID_BYTES: u64 = 4096;

/// Upper bound of a block's bytes that are not records: its header, the producers' rows, a wall-clock anchor.
const BLOCK_OVERHEAD_BYTES: u64 = 1024;

/// The smallest ring: the library's default, which fits the L2 cache.
const RING_BYTES_MIN: usize = 1 << 20;

/// The figures of one measurement.
struct Figures {
    device: String,
    ring_bytes: usize,
    elapsed: Duration,
    records: u64,
    blocks: u64,
    bytes: u64,
    /// The part of the time that the writer thread was on a CPU; `None` if the system does not report it.
    writer_busy: Option<f64>,
    /// CPU time of all threads.
    cpu: Duration,
    /// Of an append, or of an append and its flush.
    latency_ns: Histogram<u64>,
    write_latency_ns: diolog::Distribution,
}

/// Measures, and prints the figures.
pub(crate) fn run(arguments: &Disk) -> Result<Status, Failure> {
    let figures = in_scratch(&arguments.directory, |scratch| measure(arguments, &scratch.path("log")))?;
    let mut output = Output::new();
    let text = match arguments.format {
        ReportFormat::Text => figures.text(arguments),
        ReportFormat::Json => figures.json(arguments),
    };
    output.line().extend_from_slice(text.as_bytes());
    output.flush()?;
    Ok(Status::Clean)
}

fn measure(arguments: &Disk, path: &Path) -> Result<Figures, measure::Failure> {
    let load = load(arguments);
    let prepared_bytes = prepared_bytes(arguments, load.records * load.producers);
    let ring_bytes = arguments.ring_bytes.unwrap_or_else(|| ring_bytes(arguments));
    let logger = Hooks::new().first_segment_prepared().open(config(arguments, path, ring_bytes, prepared_bytes))?;
    // The log prepares a smaller file if the disk has too little space.
    let made_bytes: u64 =
        path.read_dir()?.map(|entry| entry?.metadata()).map(|file| Ok(file?.len())).sum::<io::Result<_>>()?;
    if made_bytes < prepared_bytes {
        let needed = units::bytes(prepared_bytes);
        return Err(format!("not enough space to prepare {needed}: that needs eight times as much free space").into());
    }
    // Writes the segment's header, which is not measured.
    logger.log(Level::Info, "begin");
    logger.flush()?;

    let mut samples = arguments.samples.as_deref().map(Samples::create).transpose()?;
    let mut latency_ns = new_histogram();
    let (before, cpu, writer_cpu) = (logger.stats(), cpu_time(), writer_cpu_time());
    let mut failed_sample = Ok(());
    let elapsed = load.run(&logger, &mut |latencies| {
        // Cannot fail: all have the same bounds.
        let _ = latency_ns.add(latencies);
        if let Some(samples) = &mut samples {
            let written = samples.write(&before, &logger.stats(), latencies);
            failed_sample = std::mem::replace(&mut failed_sample, Ok(())).and(written);
        }
    })?;
    failed_sample?;
    let writer_busy = writer_cpu
        .zip(writer_cpu_time())
        .map(|(before, after)| after.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64());
    let cpu = cpu_time().saturating_sub(cpu);
    let after = logger.stats();
    if after.durable_bytes > prepared_bytes / 2 || after.segments > 1 {
        return Err(
            format!("{} written, more than half of the prepared segment", units::bytes(after.durable_bytes)).into()
        );
    }
    logger.close()?;
    Ok(Figures {
        device: after.device.to_string(),
        ring_bytes,
        elapsed,
        records: after.durable_records - before.durable_records,
        blocks: after.durable_blocks - before.durable_blocks,
        bytes: after.durable_bytes - before.durable_bytes,
        writer_busy,
        cpu,
        latency_ns,
        write_latency_ns: after.write_latency_ns,
    })
}

fn load(arguments: &Disk) -> Load {
    let producers = u64::from(arguments.producers);
    Load {
        producers,
        message_bytes: arguments.message_bytes,
        records: (arguments.bytes as u64 / record_bytes(arguments) / producers).max(1),
        time: arguments.time,
        records_per_second: arguments.rate.map(|rate| f64::from(rate) / producers as f64),
        flush_each: arguments.flush_each,
    }
}

/// Bytes of a record in the file: a block of its own if each is flushed.
fn record_bytes(arguments: &Disk) -> u64 {
    let bytes = 16 + (arguments.message_bytes as u64).next_multiple_of(8);
    if arguments.flush_each { (bytes + BLOCK_OVERHEAD_BYTES).next_multiple_of(GRID_BYTES) } else { bytes }
}

/// Twice the bytes of `records` with the overhead of their blocks, full or closed early at a flush interval.
fn prepared_bytes(arguments: &Disk, records: u64) -> u64 {
    let bytes = records * record_bytes(arguments);
    let early = arguments.time.as_millis() as u64 / 100 * (GRID_BYTES + BLOCK_OVERHEAD_BYTES);
    let block = arguments.block_bytes as u64;
    (2 * (bytes + bytes / 8 + early.min(bytes) + 8 * block)).next_multiple_of(GRID_BYTES)
}

/// A ring that holds the records of all blocks in flight, of the one that waits and of the one being filled, and as many
/// again, so that the disk does not wait for a producer that sleeps.
fn ring_bytes(arguments: &Disk) -> usize {
    let blocks = (arguments.blocks_in_flight + 2) * 2;
    (blocks * arguments.block_bytes).next_power_of_two().max(RING_BYTES_MIN)
}

fn config(arguments: &Disk, path: &Path, ring_bytes: usize, segment_bytes: u64) -> Config {
    let config = Config::new(path)
        .level(Level::Info)
        .overflow(Overflow::Block)
        .ring_bytes(ring_bytes)
        .thread_ring_bytes(ring_bytes)
        .message_bytes_max(arguments.message_bytes)
        .rings_bytes_max(ring_bytes * (usize::from(arguments.producers) + 1))
        .block_bytes(arguments.block_bytes)
        .blocks_in_flight(arguments.blocks_in_flight)
        .device(arguments.device)
        .segment_bytes(segment_bytes)
        .first_segment_bytes(segment_bytes);
    match arguments.writer_core {
        Some(core) => config.writer_core(core),
        None => config,
    }
}

impl Figures {
    fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }

    fn text(&self, arguments: &Disk) -> String {
        let timed = if arguments.flush_each { "append and flush" } else { "append" };
        let at = |quantile| units::duration(Duration::from_nanos(self.latency_ns.value_at_quantile(quantile)));
        let busy =
            self.writer_busy.map_or_else(String::new, |busy| format!(", writer thread {:.0} % busy", busy * 100.0));
        format!(
            "{}\n{} a second: {} in {} blocks, {}{busy}\n{timed}: p50 {}, p99 {}, p99.9 {}, max {}\n",
            self.device,
            units::bytes(self.bytes_per_second() as u64),
            units::counted(self.records, "record"),
            units::count(self.blocks),
            units::duration(self.elapsed),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
        )
    }

    fn json(&self, arguments: &Disk) -> String {
        let latency = &self.latency_ns;
        let figures = json!({
            "device": self.device,
            "block_bytes": arguments.block_bytes,
            "blocks_in_flight": arguments.blocks_in_flight,
            "message_bytes": arguments.message_bytes,
            "producers": arguments.producers,
            "ring_bytes": self.ring_bytes,
            "flush_each": arguments.flush_each,
            "seconds": self.elapsed.as_secs_f64(),
            "records": self.records,
            "durable_blocks": self.blocks,
            "durable_bytes": self.bytes,
            "bytes_per_second": self.bytes_per_second(),
            "writer_busy": self.writer_busy,
            "cpu_seconds": self.cpu.as_secs_f64(),
            "latency_ns": {
                "p50": latency.value_at_quantile(0.5),
                "p99": latency.value_at_quantile(0.99),
                "p99.9": latency.value_at_quantile(0.999),
                "max": latency.max(),
            },
            "write_latency_ns": {
                "p50": self.write_latency_ns.p50,
                "p99": self.write_latency_ns.p99,
                "p99.9": self.write_latency_ns.p999,
                "max": self.write_latency_ns.max,
            },
        });
        format!("{figures}\n")
    }
}

/// The rows of each second.
struct Samples(File);

impl Samples {
    fn create(path: &Path) -> io::Result<Samples> {
        let file =
            File::create(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let mut samples = Samples(file);
        writeln!(
            samples.0,
            "unix_seconds,records,durable_blocks,durable_bytes,latency_count,latency_p50_ns,latency_p90_ns,latency_p99_ns,\
             latency_p999_ns,latency_max_ns"
        )?;
        Ok(samples)
    }

    /// Writes a row: counts since the beginning, latencies since the row before.
    fn write(&mut self, begin: &Stats, now: &Stats, latency: &Histogram<u64>) -> io::Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = |quantile| latency.value_at_quantile(quantile);
        writeln!(
            self.0,
            "{:.3},{},{},{},{},{},{},{},{},{}",
            time.as_secs_f64(),
            now.durable_records - begin.durable_records,
            now.durable_blocks - begin.durable_blocks,
            now.durable_bytes - begin.durable_bytes,
            latency.len(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            latency.max(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Bench, Command};
    use clap::Parser as _;

    fn arguments(options: &[&str]) -> Disk {
        let line = ["diolog", "bench", "disk"].iter().chain(options);
        let Command::Bench(Bench::Disk(disk)) = Arguments::parse_from(line).command else { panic!("another command") };
        disk
    }

    #[test]
    fn half_of_the_prepared_bytes_holds_the_written_bytes() {
        for options in [
            &["--message-bytes", "64", "--flush-each"][..],
            &["--message-bytes", "4 KiB", "--block-bytes", "64 KiB"],
            &["--message-bytes", "1", "--time", "1 h", "--rate", "10"],
        ] {
            let arguments = arguments(options);
            let load = load(&arguments);
            let written = load.records * load.producers * record_bytes(&arguments);
            assert!(written <= arguments.bytes as u64);
            assert!(prepared_bytes(&arguments, load.records * load.producers) / 2 > written);
        }
    }

    #[test]
    fn a_ring_holds_twice_the_blocks_in_flight() {
        for (block, in_flight, ring) in [("4096", "1", 1 << 20), ("256 KiB", "4", 4 << 20), ("1 MiB", "1", 8 << 20)] {
            assert_eq!(ring_bytes(&arguments(&["--block-bytes", block, "--blocks-in-flight", in_flight])), ring);
        }
    }
}
