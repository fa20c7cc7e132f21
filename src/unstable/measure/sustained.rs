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
//!
//! The rows `num` are of records with two integers and a price, compared with the 64-byte messages of the same log:
//! packed, plain, with integers that no encoding makes shorter, and from a thousand callsites in turn, all of which
//! each block defines.

use std::fmt;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::baseline::{BareRing, SLOT_BYTES, WRITE_BYTES, drain_into, written_file};
use super::orders::{self, CALLSITES};
use super::place::Scratch;
use super::rounds::{median, spread};
use super::usage::cpu_time;
use super::{Failure, MESSAGE_BYTES, message, no_space};
use crate::{Config, DeviceReport, Level, Logger, Outcome, Overflow, Producer, Reader, opening::Hooks};

/// Producing threads of the two rows.
const PRODUCERS: [u64; 2] = [1, 4];

/// The lowest rate and the highest CPU time that pass, relative to the bare ring's.
const RATE_FLOOR: f64 = 0.9;
const CPU_CEILING: f64 = 1.3;

/// The lowest rate, the highest CPU time, and the most bytes that pass for a record of values, the first two relative
/// to a message.
const NUM_RATE_FLOOR: f64 = 1.5;
const NUM_CPU_CEILING: f64 = 0.8;
const NUM_BYTES_CEILING: f64 = 18.0;

/// The most bytes and CPU time that pass for a record of a thousand callsites in turn, relative to one of a single one.
const IN_TURN_CEILING: f64 = 2.0;

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

/// Measures one row once.
type Measure<'a> = &'a mut dyn FnMut() -> Result<Sample, Failure>;

/// The rows with one number of producers, round by round.
#[derive(Clone, Debug, Default)]
struct Group {
    producers: u64,
    bare: Vec<Sample>,
    log: Vec<Sample>,
    default_log: Vec<Sample>,
    num: Vec<Sample>,
    plain_num: Vec<Sample>,
    random_num: Vec<Sample>,
    num_in_turn: Vec<Sample>,
    default_num: Vec<Sample>,
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
            let by_default = config(scratch.path("log"));
            let compared = by_default.clone().ring_bytes(RING_BYTES).block_bytes(BLOCK_BYTES);
            let log = |config: &Config, work| log(config.clone(), producers, effort.records, work);
            let mut rows: [(&mut Vec<Sample>, Measure<'_>); _] = [
                (&mut group.bare, &mut || bare(&file, producers, effort.records)),
                (&mut group.log, &mut || {
                    let (sample, report) = log(&compared, append_messages)?;
                    device = Some(report);
                    Ok(sample)
                }),
                (&mut group.default_log, &mut || Ok(log(&by_default, append_messages)?.0)),
                (&mut group.num, &mut || Ok(log(&compared, orders::append_orders)?.0)),
                (&mut group.plain_num, &mut || Ok(log(&compared.clone().packing(false), orders::append_orders)?.0)),
                (&mut group.random_num, &mut || Ok(log(&compared, orders::append_random)?.0)),
                (&mut group.num_in_turn, &mut || Ok(log(&compared, orders::append_in_turn)?.0)),
                (&mut group.default_num, &mut || Ok(log(&by_default, orders::append_orders)?.0)),
            ];
            // Each row comes first in its turn, because a row slows the one that runs after it.
            let first = rounds as usize % rows.len();
            rows.rotate_left(first);
            for (samples, measure) in rows {
                samples.push(measure()?);
            }
        }
    }
    Ok(Report { effort: Effort { rounds, ..effort }, device: device.ok_or("no rounds")?, groups: groups.into() })
}

fn config(path: PathBuf) -> Config {
    Config::new(path).overflow(Overflow::Block).level(Level::Info)
}

/// Writes numbered records from several producers at full speed, and reads every one of them back; then orders, packed
/// and plain.
fn check(scratch: &Scratch) -> Result<(), Failure> {
    for packing in [true, false] {
        let path = scratch.path("check");
        let logger = Logger::open(config(path.clone()).packing(packing))?;
        if !orders::append_orders(&logger.producer()?, CHECKED_RECORDS) {
            return Err("a record was not written".into());
        }
        logger.close()?;
        let mut reader = Reader::open(&path)?;
        let mut expected = orders::expected(CHECKED_RECORDS);
        while let Some(record) = reader.next_record()? {
            let fields = ["number", "id", "price"].map(|name| record.field(name));
            if Some(fields) != expected.next() {
                return Err(format!("a record came back as {:?}", record.to_record()).into());
            }
        }
        if expected.next().is_some() {
            return Err("records did not come back".into());
        }
        std::fs::remove_dir_all(path)?;
    }
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

/// Appends `records` messages. Returns whether all were written.
#[inline]
fn append_messages(producer: &Producer, records: u64) -> bool {
    let text: &[u8] = black_box(&[b'x'; MESSAGE_BYTES]);
    (0..records).all(|_| producer.log(Level::Info, text) == Outcome::Written)
}

/// Logs `records` records with `config`, by `work`, and a segment that holds them all. Removes the log afterwards.
#[inline]
fn log(
    config: Config,
    producers: u64,
    records: u64,
    work: fn(&Producer, u64) -> bool,
) -> Result<(Sample, DeviceReport), Failure> {
    let path = config.settings().path().to_owned();
    let prepared_bytes = (2 * records * RECORD_BYTES).next_multiple_of(1 << 20) + (16 << 20);
    let config = config.segment_bytes(prepared_bytes).first_segment_bytes(prepared_bytes);
    let logger = Hooks::new().first_segment_prepared().open(config)?;
    let ready = Barrier::new(producers as usize + 1);
    let (elapsed, cpu, ()) = std::thread::scope(|scope| {
        let ready = &ready;
        let work = |producer: Producer| {
            move || {
                ready.wait();
                work(&producer, records / producers)
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
        return Err(no_space(prepared_bytes));
    }
    logger.close()?;
    std::fs::remove_dir_all(path)?;
    Ok((Sample { elapsed, cpu, bytes: stats.durable_bytes }, stats.device))
}

/// The median of the rounds' ratios of one row to another.
fn ratio(row: &[Sample], base: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    median(&row.iter().zip(base).map(|(row, base)| value(row) / value(base)).collect::<Vec<_>>())
}

fn rate(sample: &Sample) -> f64 {
    1.0 / sample.elapsed.as_secs_f64()
}

fn cpu(sample: &Sample) -> f64 {
    sample.cpu.as_secs_f64()
}

fn bytes(sample: &Sample) -> f64 {
    sample.bytes as f64
}

impl Group {
    fn log_passes(&self) -> bool {
        ratio(&self.log, &self.bare, rate) >= RATE_FLOOR && ratio(&self.log, &self.bare, cpu) <= CPU_CEILING
    }

    /// Whether records of values, of which there are `records`, pass.
    fn num_passes(&self, records: f64) -> bool {
        let bytes_each = median(&self.num.iter().map(bytes).collect::<Vec<_>>()) / records;
        ratio(&self.num, &self.log, rate) >= NUM_RATE_FLOOR
            && ratio(&self.num, &self.log, cpu) <= NUM_CPU_CEILING
            && bytes_each <= NUM_BYTES_CEILING
    }

    fn in_turn_passes(&self) -> bool {
        [bytes, cpu].into_iter().all(|value| ratio(&self.num_in_turn, &self.num, value) <= IN_TURN_CEILING)
    }
}

impl Report {
    /// Whether rate and CPU time are within their limits.
    pub fn passes(&self) -> bool {
        let passes = |group: &Group| {
            group.log_passes() && group.num_passes(self.records_of(group.producers)) && group.in_turn_passes()
        };
        self.groups.iter().all(passes)
    }

    /// Records of each row with so many producers.
    fn records_of(&self, producers: u64) -> f64 {
        (self.effort.records / producers * producers) as f64
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str, producers: u64, samples: &[Sample]) -> fmt::Result {
        let records = self.records_of(producers);
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

    fn ratios(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        row: &[Sample],
        base: &[Sample],
        passes: bool,
    ) -> fmt::Result {
        let verdict = if passes { "PASS" } else { "FAIL" };
        let (rate, bytes, cpu) = (ratio(row, base, rate), ratio(row, base, bytes), ratio(row, base, cpu));
        writeln!(f, "{name:<28}{rate:>9.2}{:>9}{bytes:>10.2}{cpu:>9.2}  {verdict}", "")
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
            let producers = group.producers;
            self.row(f, "bare ring", producers, &group.bare)?;
            self.row(f, "log", producers, &group.log)?;
            self.ratios(f, "ratio", &group.log, &group.bare, group.log_passes())?;
            let noise: Vec<_> = group.bare.iter().map(|sample| sample.elapsed.as_secs_f64()).collect();
            writeln!(f, "{:<28}{:>8.0}%", "noise of bare ring", spread(&noise) * 100.0)?;
            self.row(f, "log by default", producers, &group.default_log)?;
            self.row(f, "num", producers, &group.num)?;
            self.ratios(f, "ratio to log", &group.num, &group.log, group.num_passes(self.records_of(producers)))?;
            self.row(f, "num plain", producers, &group.plain_num)?;
            self.row(f, "num random", producers, &group.random_num)?;
            self.row(f, "num in turn", producers, &group.num_in_turn)?;
            self.ratios(f, "ratio to num", &group.num_in_turn, &group.num, group.in_turn_passes())?;
            self.row(f, "num by default", producers, &group.default_num)?;
        }
        write!(
            f,
            "num: records of a counter, an id below 2^20 and a price; random: with integers of 64 random bits;\n\
             in turn: from {CALLSITES} callsites\n\
             PASS: log, a rate of at least {RATE_FLOOR} of the bare ring's, at no more than {CPU_CEILING} of its CPU time;\n\
             num, {NUM_RATE_FLOOR} and {NUM_CPU_CEILING} of the log's, and at most {NUM_BYTES_CEILING} bytes a record;\n\
             num in turn, at most {IN_TURN_CEILING} of the bytes and the CPU time of num"
        )
    }
}
