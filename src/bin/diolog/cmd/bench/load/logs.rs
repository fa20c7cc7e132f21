//! The logs of a load: their settings, their room on the disk, and what their files prove at the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diolog::unstable::{BLOCK_BYTES_MAX, ENGINE_RINGS_BYTES, RING_BYTES, WAITING_RING_BYTES};
use diolog::{
    Config, Distribution, DroppedBy, Engine, EngineConfig, EventLogs, Level, Logger, Overflow, ProducerReport,
    ReadOptions, Report, Verdict,
};

use super::target::{Events, Target};
use crate::args::Load;
use crate::exit::{Failure, Status};
use crate::text::escape;
use crate::text::progress::log_bytes;
use crate::text::units;

const GRID_BYTES: u64 = diolog::unstable::GRID_BYTES as u64;

/// Bytes of a ring beside half of it that a message cannot take.
const RING_RECORD_BYTES: usize = 64;

/// A disk that is far behind at the end may take this long to take the rest.
const CLOSE_DEADLINE: Duration = Duration::from_secs(60);

/// Logs that are open.
pub(super) struct Logs {
    loggers: Vec<Logger>,
    paths: Vec<PathBuf>,
    /// If there are several.
    events: Option<Events>,
}

/// The figures of all logs together.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// How blocks are written.
    pub(super) device: String,
    pub(super) write_ns: Distribution,
    /// The most bytes that a live producer's ring has held.
    pub(super) ring_high_water: u64,
    /// The memory of all rings.
    pub(super) rings_bytes: u64,
    /// Messages that were dropped.
    pub(super) dropped_by: DroppedBy,
}

/// Logs that have ended.
pub(super) struct Closed {
    paths: Vec<PathBuf>,
}

/// What the files of all logs prove.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    /// The most severe one.
    pub(super) verdict: Verdict,
    pub(super) in_files: u64,
    /// Records that retention removed.
    pub(super) retired: u64,
    /// Attempts that were dropped.
    pub(super) dropped: u64,
    /// Accepted, and replaced by newer ones.
    pub(super) overwritten: u64,
    /// Accepted, and not in the files, though they should be.
    pub(super) missing: u64,
}

impl Logs {
    /// Opens the logs in `directory`. If there are several, one engine writes them all.
    pub(super) fn open(load: &Load, overflow: Overflow, directory: &Path) -> Result<Logs, Failure> {
        let config = config(load, overflow)?;
        if load.events == 1 {
            let path = directory.join("log");
            let config = load.writer_core.map_or(config.clone(), |core| config.writer_core(core));
            let logger = Logger::open(config.path(&path)).map_err(Load::refused)?;
            return Ok(Logs { loggers: vec![logger], paths: vec![path], events: None });
        }
        let engine = Engine::start(engine(load, &config)).map_err(Load::refused)?;
        let logs = EventLogs::new(&engine, directory, config).map_err(Load::refused)?;
        let names: Vec<_> = (0..load.events).map(|event| format!("event-{event}")).collect();
        let paths = names.iter().map(|name| directory.join(name)).collect();
        // As a service whose events have all occurred once.
        let loggers = names.iter().map(|name| logs.open(name)).collect::<Result<_, _>>().map_err(Load::refused)?;
        Ok(Logs { loggers, paths, events: Some(Events { logs, names }) })
    }

    /// Where the messages of each of so many threads go.
    pub(super) fn targets(&self, threads: u64) -> Result<Vec<Target<'_>>, Failure> {
        let target = |thread| match (&self.events, &self.loggers[..]) {
            (None, [log, ..]) => {
                log.producer_named(&format!("load-{thread}")).map(|producer| Target::Producer(Box::new(producer)))
            }
            (Some(events), _) => Ok(Target::Events(events)),
            (None, []) => Err(diolog::Error::Closed),
        };
        (0..threads).map(target).collect::<Result<_, _>>().map_err(Load::refused)
    }

    pub(super) fn figures(&self) -> Figures {
        let mut all = Figures::default();
        for stats in self.loggers.iter().map(Logger::stats) {
            all.write_ns.add(&stats.write_latency_ns);
            let high_water = stats.producers.iter().map(|producer| producer.high_water_bytes).max().unwrap_or(0);
            all.ring_high_water = all.ring_high_water.max(high_water);
            all.rings_bytes += stats.ring_memory.used_bytes;
            all.dropped_by += stats.dropped_by;
            all.device = stats.device.to_string();
        }
        all
    }

    /// Waits until everything that was accepted is durable.
    pub(super) fn flush(&self) -> Result<(), Failure> {
        Ok(self.loggers.iter().try_for_each(Logger::flush)?)
    }

    pub(super) fn close(self) -> Result<Closed, Failure> {
        let mut ended = Ok(());
        for logger in self.loggers {
            // All are closed, whatever becomes of one.
            ended = ended.and(logger.close().map(drop));
        }
        ended?;
        Ok(Closed { paths: self.paths })
    }

    /// The failure if the files take more than `limit` bytes: no load may fill a disk.
    pub(super) fn exceeds(&self, limit: u64) -> Option<Failure> {
        let bytes: u64 = self.paths.iter().map(|path| log_bytes(path)).sum();
        (bytes > limit).then(|| Failure {
            message: format!(
                "the logs take {}, more than --disk-bytes, because the disk cannot prepare files as fast as they fill: \
                 use a lower --rate, or more --disk-bytes",
                units::bytes(bytes)
            ),
            status: Status::Unusable,
        })
    }
}

impl Closed {
    pub(super) fn bytes(&self) -> u64 {
        self.paths.iter().map(|path| log_bytes(path)).sum()
    }

    /// Reads all files, and calls `watch` with the bytes read so far.
    pub(super) fn verify(&self, mut watch: impl FnMut(u64)) -> Result<Proof, Failure> {
        let mut proof =
            Proof { verdict: Verdict::Clean, in_files: 0, retired: 0, dropped: 0, overwritten: 0, missing: 0 };
        let mut bytes = 0;
        for path in &self.paths {
            let verification = ReadOptions::new().verify_watched(path, |report| watch(bytes + report.bytes))?;
            bytes += verification.report.bytes;
            proof.add(verification.verdict, &verification.report);
        }
        Ok(proof)
    }
}

impl Proof {
    fn add(&mut self, verdict: Verdict, report: &Report) {
        self.verdict = self.verdict.max(verdict);
        let rows = || report.runs.iter().flat_map(|run| &run.producers);
        let sum = |of: fn(&ProducerReport) -> u64| rows().map(of).sum::<u64>();
        self.in_files += sum(|row| row.records);
        self.retired += sum(|row| row.retired.saturating_sub(row.retired_losses));
        self.dropped += sum(|row| row.dropped);
        self.overwritten += sum(|row| row.overwritten);
        self.missing += sum(|row| row.unwritten + row.damaged);
    }
}

/// The engine of several logs, with room for the rings that one of them may have.
fn engine(load: &Load, config: &Config) -> EngineConfig {
    let engine = EngineConfig::new().rings_bytes_max(config.settings().rings_bytes_max().max(ENGINE_RINGS_BYTES));
    load.writer_core.map_or(engine.clone(), |core| engine.writer_core(core))
}

/// The settings of each log.
fn config(load: &Load, overflow: Overflow) -> Result<Config, Failure> {
    let defaults = Config::new("");
    let defaults = defaults.settings();
    let largest = load.message_bytes.largest();
    let ring_for_message = (2 * (largest + RING_RECORD_BYTES)).next_power_of_two();
    let ring_bytes = load.ring_bytes.unwrap_or_else(|| {
        let default = if overflow == Overflow::Block { WAITING_RING_BYTES } else { RING_BYTES };
        default.max(ring_for_message)
    });
    let block_for_messages = (4 * largest).next_power_of_two().min(BLOCK_BYTES_MAX);
    let block_bytes = load.block_bytes.unwrap_or(defaults.block_bytes().max(block_for_messages));
    let windows = ring_bytes * usize::from(load.threads);
    let mut config = Config::new("")
        .service("diolog bench load")
        .level(Level::Info)
        .overflow(overflow)
        .message_bytes_max(largest.max(1))
        .block_bytes(block_bytes)
        .rings_bytes_max(load.rings_bytes_max.unwrap_or(defaults.rings_bytes_max().max(2 * windows)))
        .device(load.device)
        .close_deadline(CLOSE_DEADLINE);
    // With several logs each thread has a ring in each of them: small ones, unless asked for.
    match (load.events, load.ring_bytes) {
        (1, _) => config = config.ring_bytes(ring_bytes),
        (_, Some(bytes)) => config = config.ring_bytes(bytes).thread_ring_bytes(bytes),
        (_, None) => config = config.ring_bytes(ring_for_message.max(RING_BYTES)),
    }
    if let Some(bytes) = load.reserve_bytes {
        config = config.reserve_bytes(bytes);
    }
    if let Some(blocks) = load.blocks_in_flight {
        config = config.blocks_in_flight(blocks);
    }
    if let Some(interval) = load.flush_interval {
        config = config.flush_interval(interval);
    }
    let (segment_bytes, retain_bytes) = room(load, block_bytes as u64, defaults.segment_bytes())?;
    Ok(config.segment_bytes(segment_bytes).retain_bytes(retain_bytes))
}

/// Sizes of a segment, and of all that a log keeps. Together the logs keep half of the room: a segment that is in use
/// while the next one is not prepared grows, and needs the rest.
fn room(load: &Load, block_bytes: u64, segment_bytes_max: u64) -> Result<(u64, u64), Failure> {
    let retain_bytes = load.disk_bytes / 2 / u64::from(load.events);
    let segment_bytes = (retain_bytes / 8).min(segment_bytes_max) / GRID_BYTES * GRID_BYTES;
    let smallest = GRID_BYTES + block_bytes;
    if segment_bytes < smallest {
        let needed_kib = smallest.next_multiple_of(GRID_BYTES) * 16 * u64::from(load.events) / 1024;
        return Err(Failure {
            message: format!(
                "--disk-bytes of {} is too little for {} with blocks of {}: use at least \"{needed_kib} KiB\", or fewer \
                 --events, or smaller --block-bytes",
                units::bytes(load.disk_bytes),
                units::counted(load.events.into(), "log"),
                units::bytes(block_bytes),
            ),
            status: Status::Usage,
        });
    }
    Ok((segment_bytes, retain_bytes))
}

/// An error if the disk has less free space than the logs may take.
pub(super) fn check_space(load: &Load) -> Result<(), Failure> {
    let Some(free) = free_bytes(&load.directory) else { return Ok(()) };
    if load.disk_bytes <= free {
        return Ok(());
    }
    Err(Failure {
        message: format!(
            "{} has {} free, and --disk-bytes is {}: use less, or another directory",
            escape::path(&load.directory),
            units::bytes(free),
            units::bytes(load.disk_bytes),
        ),
        status: Status::Usage,
    })
}

#[cfg(target_os = "linux")]
fn free_bytes(directory: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(directory).ok()?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(not(target_os = "linux"))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}
