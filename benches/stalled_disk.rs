//! Does a disk in trouble slow the threads that append: one that stalls for ten seconds those of its own log, and one
//! that is full those of another log of the same engine?
//!
//! `cargo bench --features unstable --bench stalled_disk [-- [--test] [--gate] [--repetitions N] [DIR]]`
//!
//! A thread appends bursts of 20 records, 1 ms apart, with `DropNewest`; phases with a working disk and with one in
//! trouble take turns. At the end the outcomes of the appends, the counts of the log and the records in the files must
//! agree.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diolog::unstable::measure::Failure;
use diolog::unstable::measure::place::{Cores, Scratch};
use diolog::unstable::measure::rounds::median;
use diolog::unstable::measure::stopwatch::{TickRate, busy_wait, ticks};
use diolog::unstable::{BlockWrite, Completion, Device, DeviceLayer, Hooks};
use diolog::{Config, Engine, EngineConfig, Level, Logger, Outcome, Producer, Verdict, verify};
use hdrhistogram::Histogram;

mod support;

const BURST: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// The highest ratio of the p99.9 while the disk stalls to the p99.9 while it works.
const LIMIT: f64 = 2.0;

/// ENOSPC, the same on every Unix.
const NO_SPACE: i32 = 28;

fn main() -> Result<ExitCode, Failure> {
    let arguments = support::Arguments::parse();
    let (phase, rounds) = if arguments.smoke { (Duration::from_millis(200), 1) } else { (Duration::from_secs(10), 3) };
    let rounds = arguments.repetitions.unwrap_or(rounds);
    let bench = Bench {
        scratch: Scratch::new(&arguments.directory)?,
        cores: Cores::choose(),
        rate: TickRate::measure(),
        phase,
        rounds,
    };
    support::report(&format!(
        "time of an append while a disk is in trouble, in ns a call: \
         bursts of {BURST}, phases of {phase:?}, medians of {rounds}\n{}",
        bench.cores.describe()
    ));
    let passes = [stalled(&bench)?, neighbour_full(&bench)?];
    Ok(ExitCode::from(u8::from(arguments.gate && passes.contains(&false))))
}

/// How it is measured.
struct Bench {
    scratch: Scratch,
    cores: Cores,
    rate: TickRate,
    phase: Duration,
    rounds: u32,
}

/// The log's own disk completes nothing during every other phase. Returns whether the ratio is within the limit.
fn stalled(bench: &Bench) -> Result<bool, Failure> {
    let path = bench.scratch.path("stalled");
    let trouble = Arc::new(AtomicBool::new(false));
    let logger = troubled(&trouble, Trouble::Stall).open(bench.cores.pin_writer(Config::new(&path)))?;
    let (ns, outcomes) = phases(bench, &logger, &trouble)?;
    logger.close()?;
    check(&path, &outcomes)?;
    Ok(report(["working", "stalled"], &ns, &outcomes))
}

/// The disk of another log of the engine is full during every other phase, and that log has records to write.
fn neighbour_full(bench: &Bench) -> Result<bool, Failure> {
    let [path, other_path] = ["healthy", "full"].map(|name| bench.scratch.path(name));
    let engine = Engine::start(bench.cores.pin_engine(EngineConfig::new()))?;
    let trouble = Arc::new(AtomicBool::new(false));
    let other = troubled(&trouble, Trouble::Full).open_on(&engine, Config::new(other_path))?;
    let logger = engine.open(Config::new(&path))?;
    let done = AtomicBool::new(false);
    let (ns, outcomes) = std::thread::scope(|scope| {
        scope.spawn(|| {
            bench.cores.pin_beside_writer();
            while !done.load(Ordering::Relaxed) {
                (0..BURST).for_each(|_| _ = other.log(Level::Info, [b'y'; 64]));
                std::thread::sleep(PAUSE);
            }
        });
        let measured = phases(bench, &logger, &trouble);
        done.store(true, Ordering::Relaxed);
        measured
    })?;
    if outcomes.dropped > 0 {
        return Err(format!("the healthy log has dropped {} records", outcomes.dropped).into());
    }
    engine.close()?;
    check(&path, &outcomes)?;
    Ok(report(["all work", "other full"], &ns, &outcomes))
}

/// Percentiles of the phases without trouble, and of those with it, in nanoseconds an append.
type Phases = [[Vec<f64>; QUANTILES.len()]; 2];

/// Appends to `logger` in phases without and with `trouble`, in turns.
fn phases(bench: &Bench, logger: &Logger, trouble: &AtomicBool) -> Result<(Phases, Outcomes), Failure> {
    let mut ns = Phases::default();
    let mut outcomes = Outcomes::default();
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| -> Result<(), diolog::Error> {
            bench.cores.pin_producer();
            let producer = logger.producer()?;
            append_for(bench.phase / 10, &producer, bench.rate, &mut outcomes);
            for _ in 0..bench.rounds {
                for (values, troubled) in ns.iter_mut().zip([false, true]) {
                    trouble.store(troubled, Ordering::Relaxed);
                    let histogram = append_for(bench.phase, &producer, bench.rate, &mut outcomes);
                    for (values, (_, quantile)) in values.iter_mut().zip(QUANTILES) {
                        let burst_ns = bench.rate.ns(histogram.value_at_quantile(quantile) as f64);
                        values.push(burst_ns / f64::from(BURST));
                    }
                    trouble.store(false, Ordering::Relaxed);
                    // Writes the records that a stall has left in the ring before the next phase.
                    logger.flush()?;
                }
            }
            Ok(())
        });
        measuring.join().map_err(|_| "the measuring thread panicked")
    })??;
    Ok((ns, outcomes))
}

/// Checks that the files at `path` hold what the appends said.
fn check(path: &Path, outcomes: &Outcomes) -> Result<(), Failure> {
    let verification = verify(path)?;
    let dropped: u64 = verification.report.runs.iter().flat_map(|run| &run.producers).map(|row| row.dropped).sum();
    let intact = matches!(verification.verdict, Verdict::Clean | Verdict::Dropped);
    if (verification.report.records, dropped) != (outcomes.written, outcomes.dropped) || !intact {
        let records = verification.report.records;
        return Err(format!("appended {outcomes:?}, but the log has {records} records and {dropped} dropped").into());
    }
    Ok(())
}

/// Reports the two rows and their ratio. Returns whether that is within the limit.
fn report(names: [&str; 2], ns: &Phases, outcomes: &Outcomes) -> bool {
    let medians = ns.each_ref().map(|row| row.each_ref().map(|values| median(values)));
    let mut report = format!(
        "\n{} records written, {} dropped, confirmed by the files\n{:<12}",
        outcomes.written, outcomes.dropped, ""
    );
    for (name, _) in QUANTILES {
        report += &format!("{name:>10}");
    }
    for (name, row) in names.iter().zip(&medians) {
        report += &format!("\n{name:<12}");
        for value in row {
            report += &format!("{value:>10.1}");
        }
    }
    let ratio = medians[1][2] / medians[0][2];
    let passes = ratio <= LIMIT;
    report += &format!("\np99.9 ratio {ratio:.2}, at most {LIMIT:.2}: {}", if passes { "PASS" } else { "FAIL" });
    support::report(&report);
    passes
}

/// The outcomes of the appends.
#[derive(Debug, Default)]
struct Outcomes {
    written: u64,
    dropped: u64,
}

/// Appends in bursts for `phase`, and times the bursts.
fn append_for(phase: Duration, producer: &Producer, rate: TickRate, outcomes: &mut Outcomes) -> Histogram<u64> {
    let pause = rate.ticks_in(PAUSE);
    let mut histogram = Histogram::new_with_bounds(1, 1 << 34, 3).expect("constant bounds");
    let text = std::hint::black_box([b'x'; 64]);
    let until = Instant::now() + phase;
    while Instant::now() < until {
        busy_wait(pause);
        let mut written = 0;
        let start = ticks();
        for _ in 0..BURST {
            written += u64::from(producer.log(Level::Info, text) == Outcome::Written);
        }
        histogram.saturating_record(ticks().wrapping_sub(start));
        outcomes.written += written;
        outcomes.dropped += u64::from(BURST) - written;
    }
    histogram
}

/// What happens to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// It completes nothing.
    Stall,
    /// It has no room.
    Full,
}

/// Hooks for a log whose device is in `kind` of trouble while `trouble` is set.
fn troubled(trouble: &Arc<AtomicBool>, kind: Trouble) -> Hooks {
    let trouble = Arc::clone(trouble);
    Hooks::new().device_layer(move || Troubled { trouble, kind, held: Vec::new() })
}

struct Troubled {
    trouble: Arc<AtomicBool>,
    kind: Trouble,
    held: Vec<Completion>,
}

impl Troubled {
    fn is(&self, kind: Trouble) -> bool {
        self.kind == kind && self.trouble.load(Ordering::Relaxed)
    }
}

impl DeviceLayer for Troubled {
    fn submit(&mut self, below: &mut dyn Device, write: BlockWrite) {
        if self.is(Trouble::Full) {
            let result = Err(std::io::Error::from_raw_os_error(NO_SPACE));
            self.held.push(Completion { token: write.token, buffer: write.buffer, result });
        } else {
            below.submit(write);
        }
    }

    fn reap(&mut self, below: &mut dyn Device, completions: &mut Vec<Completion>) {
        below.reap(&mut self.held);
        if !self.is(Trouble::Stall) {
            completions.append(&mut self.held);
        }
    }

    fn wait(&mut self, below: &mut dyn Device, timeout: Duration) {
        // The device below may have completed everything, with all completions held here: it would not wait.
        if self.is(Trouble::Stall) {
            std::thread::park_timeout(timeout);
        } else if self.held.is_empty() {
            below.wait(timeout);
        }
    }
}
