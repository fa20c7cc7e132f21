//! How much do idle producers slow a busy one, and how much CPU time and memory do they take?
//!
//! `cargo bench --features unstable --bench idle_producers [-- [--test] [--gate] [--repetitions N] [DIR]]`
//!
//! An idle producer is a thread that has logged one record through the logger itself, and sleeps. The busy one appends
//! 64-byte records as fast as it can, waiting if its ring is full, until all of them are durable, into a segment that
//! was prepared before. The rows take turns. Then an engine with a hundred logs of eight idle producers each is
//! measured.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use diolog::unstable::Hooks;
use diolog::unstable::measure::Failure;
use diolog::unstable::measure::place::Scratch;
use diolog::unstable::measure::rounds::{median, spread};
use diolog::unstable::measure::usage::writer_cpu_time;
use diolog::{Config, Engine, EngineConfig, Level, Logger, Outcome, Overflow};

mod support;

/// The number of idle producers in each row. The first row is the baseline.
const IDLE: [usize; 4] = [1, 10, 100, 1000];

/// The lowest rate beside a thousand idle producers that passes, as a part of the rate beside one; and the highest CPU
/// time of a writer with one idle producer, as a part of a core.
const RATE_FLOOR: f64 = 2.0 / 3.0;
const IDLE_CPU_CEILING: f64 = 0.01;

/// The logs of an engine, the idle producers of each, and the highest CPU time of their writer that passes.
const ENGINE_LOGS: usize = 100;
const PRODUCERS_EACH: usize = 8;
const ENGINE_CPU_CEILING: f64 = 0.02;

const MESSAGE: [u8; 64] = [b'x'; 64];

/// The most bytes that a record takes in a segment.
const RECORD_BYTES: u64 = 16 + 64 + 8;

/// The stack of a sleeping thread.
const STACK_BYTES: usize = 64 << 10;

struct Effort {
    records: u64,
    rounds: u32,
    /// How long the idle writer is measured.
    idle_time: Duration,
}

/// The figures beside one number of idle producers.
struct Row {
    idle: usize,
    /// Records a second of the busy producer, round by round.
    rates: Vec<f64>,
    /// The idle writer's part of a core; `None` if the system does not report it.
    idle_cpu: Option<f64>,
    ring_bytes: usize,
    /// Memory of each idle producer with its thread; `None` if the system does not report it.
    bytes_each: Option<f64>,
}

struct Report {
    rows: Vec<Row>,
    /// The part of a core that the idle writer of an engine takes; `None` if the system does not report it.
    engine_cpu: Option<f64>,
    /// The same if records may ask for a flush.
    asking_engine_cpu: Option<f64>,
}

fn main() -> Result<ExitCode, Failure> {
    let arguments = support::Arguments::parse();
    let mut effort = if arguments.smoke {
        Effort { records: 100_000, rounds: 1, idle_time: Duration::from_millis(200) }
    } else {
        Effort { records: 2_000_000, rounds: 5, idle_time: Duration::from_secs(10) }
    };
    effort.rounds = arguments.repetitions.unwrap_or(effort.rounds).max(1);
    let scratch = Scratch::new(&arguments.directory)?;
    let report = run(&effort, &scratch)?;
    support::report(&report);
    Ok(ExitCode::from(u8::from(arguments.gate && !report.passes())))
}

fn run(effort: &Effort, scratch: &Scratch) -> Result<Report, Failure> {
    let mut rows = IDLE.map(|idle| Row { idle, rates: Vec::new(), idle_cpu: None, ring_bytes: 0, bytes_each: None });
    for row in &mut rows {
        measure_idle(effort, &scratch.path("idle"), row)?;
    }
    for _ in 0..effort.rounds {
        for row in &mut rows {
            row.rates.push(busy_rate(effort, &scratch.path("busy"), row.idle)?);
        }
    }
    let engine = |flush_on| measure_engine(effort, &scratch.path("engine"), flush_on);
    Ok(Report { rows: rows.into(), engine_cpu: engine(None)?, asking_engine_cpu: engine(Some(Level::Error))? })
}

/// Calls `work` while `idle` threads, which have logged one record each, sleep.
fn beside_idle<T>(logger: &Logger, idle: usize, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    thread::scope(|scope| {
        let mut sleepers = Vec::with_capacity(idle);
        let (ready, logged) = channel();
        for _ in 0..idle {
            let (end, ended) = channel::<()>();
            let ready = ready.clone();
            let sleeper = move || {
                let _ = ready.send(logger.log(Level::Info, "here"));
                // Sleeps until the other end is dropped.
                let _ = ended.recv();
            };
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, sleeper)?;
            sleepers.push(end);
        }
        if let Some(outcome) = logged.iter().take(idle).find(|&outcome| outcome != Outcome::Written) {
            return Err(format!("a producer to be idle got {outcome:?}").into());
        }
        work()
    })
}

/// Measures the memory of idle producers, and the CPU time of their writer.
fn measure_idle(effort: &Effort, path: &Path, row: &mut Row) -> Result<(), Failure> {
    let logger = Logger::open(Config::new(path))?;
    logger.flush()?;
    let before = resident_bytes();
    beside_idle(&logger, row.idle, || {
        logger.flush()?;
        let grown = before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before));
        row.bytes_each = grown.map(|bytes| bytes as f64 / row.idle as f64);
        row.ring_bytes = logger.stats().ring_memory.used_bytes as usize / row.idle;
        let (start, cpu) = (Instant::now(), writer_cpu_time());
        thread::sleep(effort.idle_time);
        let cpu = cpu.zip(writer_cpu_time()).map(|(before, after)| after.saturating_sub(before));
        row.idle_cpu = cpu.map(|cpu| cpu.as_secs_f64() / start.elapsed().as_secs_f64());
        Ok(())
    })?;
    let logged = logger.stats().durable_records;
    if logged != row.idle as u64 {
        return Err(format!("{logged} records of {} idle producers are durable", row.idle).into());
    }
    logger.close()?;
    std::fs::remove_dir_all(path)?;
    Ok(())
}

/// The part of a core that the writer of an engine takes whose producers have all logged one record.
fn measure_engine(effort: &Effort, path: &Path, flush_on: Option<Level>) -> Result<Option<f64>, Failure> {
    let engine = Engine::start(EngineConfig::new())?;
    let (mut logs, mut producers) = (Vec::new(), Vec::new());
    for number in 0..ENGINE_LOGS {
        let config = Config::new(path.join(number.to_string())).create_parents(true).first_segment_bytes(1 << 20);
        let config = config.ring_bytes(64 << 10);
        let logger = engine.open(match flush_on {
            Some(level) => config.flush_on(level),
            None => config,
        })?;
        for _ in 0..PRODUCERS_EACH {
            let producer = logger.producer()?;
            if producer.log(Level::Info, "here") != Outcome::Written {
                return Err("an idle producer's record was not written".into());
            }
            producers.push(producer);
        }
        logger.flush()?;
        logs.push(logger);
    }
    let (start, cpu) = (Instant::now(), writer_cpu_time());
    thread::sleep(effort.idle_time);
    let cpu = cpu.zip(writer_cpu_time()).map(|(before, after)| after.saturating_sub(before));
    let part = cpu.map(|cpu| cpu.as_secs_f64() / start.elapsed().as_secs_f64());
    drop(producers);
    engine.close()?;
    std::fs::remove_dir_all(path)?;
    Ok(part)
}

/// Records a second of a busy producer beside idle ones.
fn busy_rate(effort: &Effort, path: &Path, idle: usize) -> Result<f64, Failure> {
    let prepared_bytes = (2 * effort.records * RECORD_BYTES).next_multiple_of(1 << 20) + (16 << 20);
    let config =
        Config::new(path).overflow(Overflow::Block).segment_bytes(prepared_bytes).first_segment_bytes(prepared_bytes);
    let logger = Hooks::new().first_segment_prepared().open(config)?;
    let elapsed = beside_idle(&logger, idle, || {
        let producer = logger.producer_named("busy")?;
        logger.flush()?;
        let start = Instant::now();
        let all_written = (0..effort.records).all(|_| producer.log(Level::Info, MESSAGE) == Outcome::Written);
        logger.flush()?;
        let elapsed = start.elapsed();
        if all_written { Ok(elapsed) } else { Err("a record was not written".into()) }
    })?;
    let (durable, expected) = (logger.stats().durable_records, effort.records + idle as u64);
    if durable != expected {
        return Err(format!("{durable} of {expected} records are durable after a flush").into());
    }
    logger.close()?;
    std::fs::remove_dir_all(path)?;
    Ok(effort.records as f64 / elapsed.as_secs_f64())
}

/// Resident memory of this process; `None` if the system does not report it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

impl Report {
    fn passes(&self) -> bool {
        self.ratio(&self.rows[IDLE.len() - 1]) >= RATE_FLOOR
            && self.engine_cpu.is_none_or(|part| part <= ENGINE_CPU_CEILING)
            && self.rows[0].idle_cpu.is_none_or(|part| part <= IDLE_CPU_CEILING)
    }

    /// The median of the rounds' ratios of a row's rate to the first row's.
    fn ratio(&self, row: &Row) -> f64 {
        median(&row.rates.iter().zip(&self.rows[0].rates).map(|(rate, baseline)| rate / baseline).collect::<Vec<_>>())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>6}{:>14}{:>8}{:>16}{:>12}{:>14}",
            "idle", "busy: M rec/s", "ratio", "idle writer", "ring", "memory each"
        )?;
        for row in &self.rows {
            let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".into());
            writeln!(
                f,
                "{:>6}{:>14.2}{:>8.2}{:>16}{:>12}{:>14}",
                row.idle,
                median(&row.rates) / 1e6,
                self.ratio(row),
                or_unknown(row.idle_cpu.map(|part| format!("{:.2} % CPU", part * 100.0))),
                format!("{} KiB", row.ring_bytes >> 10),
                or_unknown(row.bytes_each.map(|bytes| format!("{:.0} KiB", bytes / 1024.0))),
            )?;
        }
        writeln!(f, "noise of the first row: {:.0} %", spread(&self.rows[0].rates) * 100.0)?;
        let [engine, asking] = [self.engine_cpu, self.asking_engine_cpu]
            .map(|part| part.map_or("?".into(), |part| format!("{:.2} % CPU", part * 100.0)));
        writeln!(f, "idle writer of an engine, {ENGINE_LOGS} logs of {PRODUCERS_EACH} idle producers: {engine}")?;
        writeln!(f, "the same with flush_on: {asking}")?;
        let verdict = if self.passes() { "PASS" } else { "FAIL" };
        let [rate, cpu, engine] = [RATE_FLOOR, IDLE_CPU_CEILING, ENGINE_CPU_CEILING].map(|part| part * 100.0);
        write!(
            f,
            "{verdict}: beside 1000 at least {rate:.0} % of the rate beside one, \
             an idle writer of one at most {cpu:.0} % of a core, and that of an engine {engine:.0} %"
        )
    }
}
