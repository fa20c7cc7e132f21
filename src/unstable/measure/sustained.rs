//! How many records a second become durable, compared with bare rings into the same disk.
//!
//! Producers append as fast as they can, and wait if their ring is full; the clock stops when a flush reports that
//! everything is on the disk. Both write into space that has been written before: the bare rings into a file of their
//! own, the log into a segment that is prepared before the clock starts, and of which less than half is used (at half,
//! the log would prepare the next one on the same disk). The rows take turns in each round; a ratio is the median of
//! the rounds' ratios.
//!
//! The log that is compared writes blocks as large as the baseline's writes, and its rings hold the four blocks that
//! may be in flight, since records stay in the ring until they are durable. Another row shows a log with the defaults.

use std::fmt;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::Failure;
use super::baseline::{BareRing, MESSAGE_BYTES, SLOT_BYTES, WRITE_BYTES, drain_into, written_file};
use super::place::Scratch;
use super::rounds::{median, spread};
use super::usage::cpu_time;
use crate::{Config, DeviceReport, Level, Logger, Outcome, Overflow, Producer, Reader, logger::Hooks};

/// Producing threads of the two rows.
const PRODUCERS: [u64; 2] = [1, 4];

/// The lowest rate and the highest CPU time that pass, relative to the bare ring's.
const RATE_FLOOR: f64 = 0.9;
const CPU_CEILING: f64 = 1.3;

/// The most bytes that a record takes in a segment, with its share of the block's and shard's headers.
const RECORD_BYTES: u64 = 16 + MESSAGE_BYTES as u64 + 8;

/// Settings of the log that is compared; the others are the defaults.
const RING_BYTES: usize = 4 << 20;
const BLOCK_BYTES: usize = WRITE_BYTES;

/// Records that are written and read back before anything is timed.
const CHECKED_RECORDS: u64 = 100_000;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Records of each row in a round.
    pub records: u64,
    pub rounds: u32,
    /// No round begins after this time, but for the first.
    pub limit: Duration,
}

impl Effort {
    /// For figures that are quoted: 4 million records, some 320 MiB a row.
    pub const FULL: Effort = Effort { records: 4_000_000, rounds: 7, limit: Duration::MAX };

    /// To see that it works at all: about a second.
    pub const SMOKE: Effort = Effort { records: 100_000, rounds: 1, limit: Duration::MAX };
}

/// One round of one row.
#[derive(Clone, Copy, Debug)]
struct Sample {
    elapsed: Duration,
    cpu: Duration,
    bytes: u64,
}

/// The rows with one number of producers, round by round.
#[derive(Clone, Debug, Default)]
struct Group {
    producers: u64,
    bare: Vec<Sample>,
    log: Vec<Sample>,
    default_log: Vec<Sample>,
}

/// The figures of one measurement.
#[derive(Clone, Debug)]
pub struct Report {
    effort: Effort,
    device: DeviceReport,
    groups: Vec<Group>,
}

/// Measures in a directory of its own within `scratch`.
///
/// # Errors
/// A file that cannot be created or written, or a log whose records differ from those written.
#[inline]
pub fn run(effort: Effort, scratch: &Scratch) -> Result<Report, Failure> {
    check(scratch)?;
    let file = written_file(&scratch.path("bare"), effort.records * SLOT_BYTES as u64)?;
    let mut groups = PRODUCERS.map(|producers| Group { producers, ..Group::default() });
    let mut device = None;
    let mut rounds = 0;
    let begin = Instant::now();
    while rounds == 0 || (rounds < effort.rounds && begin.elapsed() < effort.limit) {
        rounds += 1;
        for group in &mut groups {
            let Group { producers, .. } = *group;
            // Each row comes first in its turn, because a row slows the one that runs after it.
            for turn in 0..3 {
                let by_default = config(scratch.path("log"));
                match (rounds + turn) % 3 {
                    0 => group.bare.push(bare(&file, producers, effort.records)?),
                    1 => {
                        let config = by_default.ring_bytes(RING_BYTES).block_bytes(BLOCK_BYTES);
                        let (sample, report) = log(scratch.path("log"), config, producers, effort.records)?;
                        group.log.push(sample);
                        device = Some(report);
                    }
                    _ => group.default_log.push(log(scratch.path("log"), by_default, producers, effort.records)?.0),
                }
            }
        }
    }
    Ok(Report { effort: Effort { rounds, ..effort }, device: device.ok_or("no rounds")?, groups: groups.into() })
}

fn config(path: PathBuf) -> Config {
    Config::new(path).overflow(Overflow::Block).level(Level::Info)
}

/// Writes numbered records from several producers at full speed, and reads every one of them back.
fn check(scratch: &Scratch) -> Result<(), Failure> {
    let path = scratch.path("check");
    let logger = Logger::open(config(path.clone()))?;
    let producers = 4;
    std::thread::scope(|scope| {
        for producer in several(&logger, producers)? {
            scope.spawn(move || {
                for number in 0..CHECKED_RECORDS / producers {
                    producer.log(Level::Info, message(number));
                }
            });
        }
        crate::Result::Ok(())
    })?;
    logger.flush()?;
    logger.close()?;
    let mut reader = Reader::open(&path)?;
    let mut expected = vec![0; producers as usize];
    while let Some(record) = reader.next_record()? {
        let next = &mut expected[(record.producer_id() as usize - 1) % producers as usize];
        if record.message() != message(*next) || record.sequence() != *next {
            return Err(format!("record {next} came back as {:?}", record.to_record()).into());
        }
        *next += 1;
    }
    if expected.iter().any(|&read| read != CHECKED_RECORDS / producers) {
        return Err(format!("{CHECKED_RECORDS} records were written; read back of each producer: {expected:?}").into());
    }
    std::fs::remove_dir_all(path)?;
    Ok(())
}

fn several(logger: &Logger, producers: u64) -> crate::Result<Vec<Producer>> {
    (0..producers).map(|_| logger.producer_named("bench")).collect()
}

fn message(number: u64) -> [u8; MESSAGE_BYTES] {
    let mut message = [b'.'; MESSAGE_BYTES];
    message[..8].copy_from_slice(&number.to_le_bytes());
    message
}

/// The wall and CPU time from the moment that all threads are ready until `work` returns.
fn timed<T>(ready: &Barrier, work: impl FnOnce() -> Result<T, Failure>) -> Result<(Duration, Duration, T), Failure> {
    ready.wait();
    let (start, cpu) = (Instant::now(), cpu_time());
    let result = work()?;
    Ok((start.elapsed(), cpu_time().saturating_sub(cpu), result))
}

/// Moves `records` records through bare rings into `file`.
fn bare(file: &std::fs::File, producers: u64, records: u64) -> Result<Sample, Failure> {
    let rings: Vec<_> = (0..producers).map(|_| BareRing::new()).collect();
    let ready = Barrier::new(producers as usize + 2);
    let text = [b'x'; MESSAGE_BYTES];
    std::thread::scope(|scope| {
        for ring in &rings {
            scope.spawn(|| {
                ready.wait();
                ring.push_all(black_box(&text), records / producers);
            });
        }
        let consumer = scope.spawn(|| {
            ready.wait();
            drain_into(&rings, file)
        });
        let (elapsed, cpu, bytes) = timed(&ready, || {
            let written = consumer.join().map_err(|_| "the thread that writes panicked")?;
            Ok(written?)
        })?;
        Ok(Sample { elapsed, cpu, bytes })
    })
}

/// Logs `records` records at `path`, with `config` and a segment that holds them all. Removes the log afterwards.
#[inline]
fn log(path: PathBuf, config: Config, producers: u64, records: u64) -> Result<(Sample, DeviceReport), Failure> {
    let prepared_bytes = (2 * records * RECORD_BYTES).next_multiple_of(1 << 20) + (16 << 20);
    let config = config.segment_bytes(prepared_bytes).first_segment_bytes(prepared_bytes);
    let logger = Hooks::new().first_segment_prepared().open(config)?;
    let ready = Barrier::new(producers as usize + 1);
    let text = [b'x'; MESSAGE_BYTES];
    let (elapsed, cpu, ()) = std::thread::scope(|scope| {
        let (ready, text) = (&ready, &text);
        let work = |producer: Producer| {
            move || {
                ready.wait();
                let text: &[u8] = black_box(text);
                (0..records / producers).all(|_| producer.log(Level::Info, text) == Outcome::Written)
            }
        };
        // All producers are made first: if one fails, no thread waits for it at the barrier.
        let threads: Vec<_> =
            several(&logger, producers)?.into_iter().map(|producer| scope.spawn(work(producer))).collect();
        timed(ready, || {
            for thread in threads {
                let all_written = thread.join().map_err(|_| "a producer panicked")?;
                if !all_written {
                    return Err("a record was not written".into());
                }
            }
            Ok(logger.flush()?)
        })
    })?;
    let stats = logger.stats();
    if stats.durable_records != records / producers * producers {
        return Err(format!("{} of {records} records are durable after a flush", stats.durable_records).into());
    }
    if stats.segments > 1 || stats.durable_bytes > prepared_bytes / 2 {
        return Err(format!(
            "not enough space to prepare {prepared_bytes} bytes: that needs eight times as much free space"
        )
        .into());
    }
    logger.close()?;
    std::fs::remove_dir_all(path)?;
    Ok((Sample { elapsed, cpu, bytes: stats.durable_bytes }, stats.device))
}

impl Group {
    /// The median of the rounds' ratios of the log to the bare ring.
    fn ratio(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        let ratios: Vec<_> = self.log.iter().zip(&self.bare).map(|(log, bare)| value(log) / value(bare)).collect();
        median(&ratios)
    }

    fn rate_ratio(&self) -> f64 {
        self.ratio(|sample| 1.0 / sample.elapsed.as_secs_f64())
    }

    fn cpu_ratio(&self) -> f64 {
        self.ratio(|sample| sample.cpu.as_secs_f64())
    }

    fn passes(&self) -> bool {
        self.rate_ratio() >= RATE_FLOOR && self.cpu_ratio() <= CPU_CEILING
    }
}

impl Report {
    /// Whether rate and CPU time are within their limits.
    pub fn passes(&self) -> bool {
        self.groups.iter().all(Group::passes)
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str, producers: u64, samples: &[Sample]) -> fmt::Result {
        let records = (self.effort.records / producers * producers) as f64;
        let of = |value: fn(&Sample, f64) -> f64| {
            median(&samples.iter().map(|sample| value(sample, records)).collect::<Vec<_>>())
        };
        writeln!(
            f,
            "{:<28}{:>9.1}{:>9.0}{:>10.1}{:>9.1}",
            format!("{name}, {producers} producer{}", if producers == 1 { "" } else { "s" }),
            of(|sample, records| records / sample.elapsed.as_secs_f64() / 1e6),
            of(|sample, _| sample.bytes as f64 / sample.elapsed.as_secs_f64() / 1e6),
            of(|sample, records| sample.bytes as f64 / records),
            of(|sample, records| sample.cpu.as_nanos() as f64 / records),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Effort { records, rounds, .. } = self.effort;
        writeln!(
            f,
            "{records} records of {MESSAGE_BYTES} bytes until durable, medians of {rounds} rounds; {}\n\
             log: rings of {} MiB, blocks of {} MiB, as large as the bare ring's writes\n",
            self.device,
            RING_BYTES >> 20,
            BLOCK_BYTES >> 20
        )?;
        writeln!(f, "{:<28}{:>9}{:>9}{:>10}{:>9}", "", "M rec/s", "MB/s", "bytes/rec", "ns CPU")?;
        for group in &self.groups {
            self.row(f, "bare ring", group.producers, &group.bare)?;
            self.row(f, "log", group.producers, &group.log)?;
            let verdict = if group.passes() { "PASS" } else { "FAIL" };
            writeln!(
                f,
                "{:<28}{:>9.2}{:>9}{:>10}{:>9.2}  {verdict}",
                "ratio",
                group.rate_ratio(),
                "",
                "",
                group.cpu_ratio()
            )?;
            let noise: Vec<_> = group.bare.iter().map(|sample| sample.elapsed.as_secs_f64()).collect();
            writeln!(f, "{:<28}{:>8.0}%", "noise of bare ring", spread(&noise) * 100.0)?;
            self.row(f, "log by default", group.producers, &group.default_log)?;
        }
        write!(
            f,
            "PASS: a rate of at least {RATE_FLOOR} of the bare ring's, at no more than {CPU_CEILING} of its CPU time"
        )
    }
}
