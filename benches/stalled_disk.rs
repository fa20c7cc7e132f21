//! Does a disk that stalls for ten seconds slow the threads that append?
//!
//! `cargo bench --features unstable --bench stalled_disk [-- [--test] [--gate] [--repetitions N] [DIR]]`
//!
//! A thread appends bursts of 20 records, 1 ms apart, with `DropNewest`; phases with a working and with a stalled disk
//! take turns. At the end the outcomes of the appends, the counts of the log and the records in the files must agree.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diolog::unstable::measure::Failure;
use diolog::unstable::measure::place::{Cores, Scratch};
use diolog::unstable::measure::rounds::median;
use diolog::unstable::measure::stopwatch::{TickRate, busy_wait, ticks};
use diolog::unstable::{BlockWrite, Completion, Device, DeviceReport, Hooks};
use diolog::{Config, Level, Outcome, Producer, verify};
use hdrhistogram::Histogram;

mod support;

const BURST: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// The highest ratio of the p99.9 while the disk stalls to the p99.9 while it works.
const LIMIT: f64 = 2.0;

fn main() -> Result<ExitCode, Failure> {
    let arguments = support::Arguments::parse();
    let (phase, rounds) = if arguments.smoke { (Duration::from_millis(200), 1) } else { (Duration::from_secs(10), 3) };
    let rounds = arguments.repetitions.unwrap_or(rounds);
    let scratch = Scratch::new(&arguments.directory)?;
    let cores = Cores::choose();
    let stalled = Arc::new(AtomicBool::new(false));
    let config = cores.pin_writer(Config::new(scratch.path("stalled")));
    let stalls = Arc::clone(&stalled);
    let wrap = move |inner| -> Box<dyn Device> { Box::new(Stalling { inner, stalls, held: Vec::new() }) };
    let logger = Hooks::new().wrap_device(wrap).open(config)?;

    let mut ns: [[Vec<f64>; QUANTILES.len()]; 2] = Default::default();
    let rate = TickRate::measure();
    let mut outcomes = Outcomes::default();
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| -> Result<(), diolog::Error> {
            cores.pin_producer();
            let producer = logger.producer()?;
            append_for(phase / 10, &producer, rate, &mut outcomes);
            for _ in 0..rounds {
                for (values, stall) in ns.iter_mut().zip([false, true]) {
                    stalled.store(stall, Ordering::Relaxed);
                    let histogram = append_for(phase, &producer, rate, &mut outcomes);
                    for (values, (_, quantile)) in values.iter_mut().zip(QUANTILES) {
                        let burst_ns = rate.ns(histogram.value_at_quantile(quantile) as f64);
                        values.push(burst_ns / f64::from(BURST));
                    }
                    stalled.store(false, Ordering::Relaxed);
                    // Writes the records that the stall has left in the ring before the next phase.
                    logger.flush()?;
                }
            }
            Ok(())
        });
        measuring.join().map_err(|_| "the measuring thread panicked")
    })??;
    logger.close()?;

    let verification = verify(scratch.path("stalled"))?;
    let dropped: u64 = verification.report.runs.iter().flat_map(|run| &run.producers).map(|row| row.dropped).sum();
    if (verification.report.records, dropped) != (outcomes.written, outcomes.dropped)
        || verification.verdict.exit_code() != 0
    {
        return Err(format!(
            "appended {outcomes:?}, but the log has {} records and {dropped} dropped",
            verification.report.records
        )
        .into());
    }

    let medians = ns.map(|row| row.map(|values| median(&values)));
    let mut report = format!(
        "time of an append while the disk stalls, in ns a call: \
         bursts of {BURST}, phases of {phase:?}, medians of {rounds}\n{}\n\
         {} records written, {} dropped, confirmed by the files\n\n{:<12}",
        cores.describe(),
        outcomes.written,
        outcomes.dropped,
        ""
    );
    for (name, _) in QUANTILES {
        report += &format!("{name:>10}");
    }
    for (name, row) in ["working", "stalled"].iter().zip(&medians) {
        report += &format!("\n{name:<12}");
        for value in row {
            report += &format!("{value:>10.1}");
        }
    }
    let ratio = medians[1][2] / medians[0][2];
    let passes = ratio <= LIMIT;
    report += &format!("\n\np99.9 ratio {ratio:.2}, at most {LIMIT:.2}: {}", if passes { "PASS" } else { "FAIL" });
    support::report(&report);
    Ok(ExitCode::from(u8::from(arguments.gate && !passes)))
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

/// A device that completes nothing while it stalls.
struct Stalling {
    inner: Box<dyn Device>,
    stalls: Arc<AtomicBool>,
    held: Vec<Completion>,
}

impl Device for Stalling {
    fn submit(&mut self, write: BlockWrite) {
        self.inner.submit(write);
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        self.inner.reap(&mut self.held);
        if !self.stalls.load(Ordering::Relaxed) {
            completions.append(&mut self.held);
        }
    }

    fn wait(&mut self, timeout: Duration) {
        // The inner device may have completed everything, with all completions held here: it would not wait.
        if self.stalls.load(Ordering::Relaxed) { std::thread::park_timeout(timeout) } else { self.inner.wait(timeout) }
    }

    fn in_flight_max(&self) -> usize {
        self.inner.in_flight_max()
    }

    fn report(&self) -> &DeviceReport {
        self.inner.report()
    }

    fn abandon(self: Box<Self>) {
        self.inner.abandon();
    }
}
