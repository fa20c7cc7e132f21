//! The throughput of one log on one disk.
//!
//! The log writes into a segment that is prepared before the clock starts, and of which less than half is used: at
//! half, the log would prepare the next one on the same disk. There is no baseline and no verdict: the figures are for
//! scripts that compare them with those of other programs.

use std::io;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::load::{Load, new_histogram};
use super::usage::{cpu_time, writer_cpu_time};
use super::{Failure, no_space};
use crate::{Config, DevicePreference, Distribution, Level, Overflow, Stats, opening::Hooks};

/// Blocks are multiples of this size.
const GRID_BYTES: u64 = 4096;

/// Upper bound of a block's bytes that are not records: its header, the producers' rows, a wall-clock anchor.
const BLOCK_OVERHEAD_BYTES: u64 = 1024;

/// The smallest ring: the library's default, which fits the L2 cache.
const RING_BYTES_MIN: usize = 1 << 20;

/// The log and its load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Bytes to write at most.
    pub bytes: u64,
    /// No record is begun after this time.
    pub time: Duration,
    /// The largest block, in bytes.
    pub block_bytes: usize,
    /// Blocks written at the same time.
    pub blocks_in_flight: usize,
    /// How blocks are written.
    pub device: DevicePreference,
    /// Bytes of each message.
    pub message_bytes: usize,
    /// Threads that append, each with a ring of its own.
    pub producers: u16,
    /// Bytes of each ring; `None` for enough to keep all blocks in flight.
    pub ring_bytes: Option<usize>,
    /// The CPU of the writer thread; `None` to leave it unpinned.
    pub writer_core: Option<usize>,
    /// Records a second, all threads together; `None` for as many as the disk takes.
    pub records_per_second: Option<f64>,
    /// Whether each append is followed by a flush, and timed together with it.
    pub flush_each: bool,
}

/// The figures of one measurement.
#[derive(Clone, Debug)]
pub struct Figures {
    /// How blocks were written, and why no faster way was used.
    pub device: String,
    /// Bytes of each ring.
    pub ring_bytes: usize,
    /// From the first append until everything is durable.
    pub elapsed: Duration,
    /// Durable records.
    pub records: u64,
    /// Durable blocks.
    pub blocks: u64,
    /// Bytes of those blocks.
    pub bytes: u64,
    /// The part of the time that the writer thread was on a CPU; `None` if the system does not report it.
    pub writer_busy: Option<f64>,
    /// CPU time of all threads.
    pub cpu: Duration,
    /// Of an append, or of an append and its flush.
    pub latency_ns: Histogram<u64>,
    /// From handing a block to the device until the device has completed it.
    pub write_latency_ns: Distribution,
}

impl Figures {
    /// The bytes of blocks that became durable in a second.
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }
}

/// Called with the log's figures before the load and now, and with the latencies since the last call.
pub type Watch<'a> = dyn FnMut(&Stats, &Stats, &Histogram<u64>) -> io::Result<()> + 'a;

/// Measures a log in `path`, which does not exist yet. Calls `watch` each second, and once more at the end.
///
/// # Errors
/// Too little space on the disk, a log that cannot be opened or written, an error of `watch`.
#[inline]
pub fn run(plan: &Plan, path: &Path, watch: &mut Watch<'_>) -> Result<Figures, Failure> {
    let load = plan.load();
    let prepared_bytes = plan.prepared_bytes(load.records * load.producers);
    let ring_bytes = plan.ring_bytes.unwrap_or_else(|| plan.default_ring_bytes());
    let logger = Hooks::new().first_segment_prepared().open(plan.config(path, ring_bytes, prepared_bytes))?;
    // The log prepares a smaller file if the disk has too little space.
    let made_bytes: u64 =
        path.read_dir()?.map(|entry| entry?.metadata()).map(|file| Ok(file?.len())).sum::<io::Result<_>>()?;
    if made_bytes < prepared_bytes {
        return Err(no_space(prepared_bytes));
    }
    // Writes the segment's header, which is not measured.
    logger.log(Level::Info, "begin");
    logger.flush()?;

    let mut latency_ns = new_histogram();
    let (before, cpu, writer_cpu) = (logger.stats(), cpu_time(), writer_cpu_time());
    let mut watched = Ok(());
    let elapsed = load.run(&logger, &mut |latencies| {
        // Cannot fail: all have the same bounds.
        let _ = latency_ns.add(latencies);
        if watched.is_ok() {
            watched = watch(&before, &logger.stats(), latencies);
        }
    })?;
    watched?;
    let writer_busy = writer_cpu
        .zip(writer_cpu_time())
        .map(|(before, after)| after.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64());
    let cpu = cpu_time().saturating_sub(cpu);
    let after = logger.stats();
    if after.durable_bytes > prepared_bytes / 2 || after.segments > 1 {
        return Err(format!("{} bytes written, more than half of the prepared segment", after.durable_bytes).into());
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

impl Plan {
    fn load(&self) -> Load {
        let producers = u64::from(self.producers);
        Load {
            producers,
            message_bytes: self.message_bytes,
            records: (self.bytes / self.record_bytes() / producers).max(1),
            time: self.time,
            records_per_second: self.records_per_second.map(|rate| rate / producers as f64),
            flush_each: self.flush_each,
        }
    }

    /// Bytes of a record in the file: a block of its own if each is flushed.
    fn record_bytes(&self) -> u64 {
        let bytes = 16 + (self.message_bytes as u64).next_multiple_of(8);
        if self.flush_each { (bytes + BLOCK_OVERHEAD_BYTES).next_multiple_of(GRID_BYTES) } else { bytes }
    }

    /// Twice the bytes of `records` with the overhead of their blocks, full or closed early at a flush interval.
    fn prepared_bytes(&self, records: u64) -> u64 {
        let bytes = records * self.record_bytes();
        let early = self.time.as_millis() as u64 / 100 * (GRID_BYTES + BLOCK_OVERHEAD_BYTES);
        let block = self.block_bytes as u64;
        (2 * (bytes + bytes / 8 + early.min(bytes) + 8 * block)).next_multiple_of(GRID_BYTES)
    }

    /// A ring that holds the records of all blocks in flight, of the one that waits and of the one being filled, and as
    /// many again, so that the disk does not wait for a producer that sleeps.
    fn default_ring_bytes(&self) -> usize {
        let blocks = (self.blocks_in_flight + 2) * 2;
        (blocks * self.block_bytes).next_power_of_two().max(RING_BYTES_MIN)
    }

    fn config(&self, path: &Path, ring_bytes: usize, segment_bytes: u64) -> Config {
        let config = Config::new(path)
            .level(Level::Info)
            .overflow(Overflow::Block)
            .ring_bytes(ring_bytes)
            .thread_ring_bytes(ring_bytes)
            .message_bytes_max(self.message_bytes)
            .rings_bytes_max(ring_bytes * (usize::from(self.producers) + 1))
            .block_bytes(self.block_bytes)
            .blocks_in_flight(self.blocks_in_flight)
            .device(self.device)
            .segment_bytes(segment_bytes)
            .first_segment_bytes(segment_bytes);
        match self.writer_core {
            Some(core) => config.writer_core(core),
            None => config,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        bytes: 256 << 20,
        time: Duration::from_secs(10),
        block_bytes: 256 << 10,
        blocks_in_flight: 4,
        device: DevicePreference::Auto,
        message_bytes: 4096,
        producers: 1,
        ring_bytes: None,
        writer_core: None,
        records_per_second: None,
        flush_each: false,
    };

    #[test]
    fn half_of_the_prepared_bytes_holds_the_written_bytes() {
        for plan in [
            Plan { message_bytes: 64, flush_each: true, ..PLAN },
            Plan { block_bytes: 64 << 10, ..PLAN },
            Plan { message_bytes: 1, time: Duration::from_secs(3600), records_per_second: Some(10.0), ..PLAN },
        ] {
            let load = plan.load();
            let written = load.records * load.producers * plan.record_bytes();
            assert!(written <= plan.bytes);
            assert!(plan.prepared_bytes(load.records * load.producers) / 2 > written);
        }
    }

    #[test]
    fn a_ring_holds_twice_the_blocks_in_flight() {
        for (block_bytes, blocks_in_flight, ring_bytes) in
            [(4096, 1, 1 << 20), (256 << 10, 4, 4 << 20), (1 << 20, 1, 8 << 20)]
        {
            assert_eq!(Plan { block_bytes, blocks_in_flight, ..PLAN }.default_ring_bytes(), ring_bytes);
        }
    }
}
