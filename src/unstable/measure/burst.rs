//! What a burst costs with the default settings: whether all of it is written, how long its own appends take, and
//! whether an append is as fast afterwards as before.
//!
//! The calling threads append as fast as they can. Each append is timed by itself, so a figure includes reading the
//! stopwatch once, which the first row shows. Before the burst, and again one second after it, bursts of 20 records
//! are appended a millisecond apart, as a service that is not in a hurry does.

use std::fmt;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::place::{Cores, Scratch};
use super::stopwatch::{TickRate, busy_wait, new_histogram, ticks};
use super::{Failure, MESSAGE_BYTES};
use crate::{Config, Level, Logger, Outcome, Reader};

/// Records that are appended a millisecond apart before and after the burst: bursts of so many.
const CALM_BURST: u32 = 20;

/// How long after the burst the log is measured again.
const REST: Duration = Duration::from_secs(1);

/// A burst: its name, the number of threads, and of records of each. The first is a producer's, the others go through
/// the logger.
const BURSTS: [(&str, usize, u64); 4] = [
    ("1 producer x 100,000", 1, 100_000),
    ("logger.log x 100,000", 1, 100_000),
    ("64 threads x 5,000", 64, 5_000),
    ("1,000 threads x 10", 1_000, 10),
];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Of the records that are appended a millisecond apart, bursts of 20.
    pub calm_bursts: u32,
    pub rounds: u32,
}

impl Effort {
    /// For figures that are quoted.
    pub const FULL: Effort = Effort { calm_bursts: 2_000, rounds: 5 };

    /// To see that it works at all.
    pub const SMOKE: Effort = Effort { calm_bursts: 50, rounds: 1 };
}

/// The figures of one kind of burst over all rounds. Times are in ticks.
#[derive(Debug)]
struct Row {
    name: &'static str,
    attempted: u64,
    written: u64,
    appends: Histogram<u64>,
    /// Per append, in bursts of [`CALM_BURST`].
    before: Histogram<u64>,
    after: Histogram<u64>,
}

/// The figures of one measurement.
#[derive(Debug)]
pub struct Report {
    effort: Effort,
    rate: TickRate,
    stopwatch: Histogram<u64>,
    rows: Vec<Row>,
}

/// Measures in directories of its own within `scratch`.
///
/// # Errors
/// A log that cannot be opened or written, or whose files do not hold what its appends returned.
#[inline]
pub fn run(effort: Effort, scratch: &Scratch) -> Result<Report, Failure> {
    let rate = TickRate::measure();
    let mut stopwatch = new_histogram();
    for _ in 0..100_000 {
        let start = ticks();
        stopwatch.saturating_record(ticks().wrapping_sub(start));
    }
    let new_row = |&(name, _, _): &(&'static str, usize, u64)| Row {
        name,
        attempted: 0,
        written: 0,
        appends: new_histogram(),
        before: new_histogram(),
        after: new_histogram(),
    };
    let mut rows: Vec<_> = BURSTS.iter().map(new_row).collect();
    for _ in 0..effort.rounds {
        for (at, row) in rows.iter_mut().enumerate() {
            measure(effort, rate, scratch, BURSTS[at], at == 0, row)?;
        }
    }
    Ok(Report { effort, rate, stopwatch, rows })
}

/// One round of one row, in a log of its own.
#[inline]
fn measure(
    effort: Effort,
    rate: TickRate,
    scratch: &Scratch,
    (name, threads, records): (&str, usize, u64),
    by_producer: bool,
    row: &mut Row,
) -> Result<(), Failure> {
    let path = scratch.path("burst");
    let logger = Logger::open(Cores::choose().pin_writer(Config::new(&path)))?;
    let producer = logger.producer_named("burst")?;
    let text = [b'x'; MESSAGE_BYTES];
    let text: &[u8] = black_box(&text);
    let append = || match by_producer {
        true => producer.log(Level::Info, text),
        false => logger.log(Level::Info, text),
    };
    let mut calm = Calm { written: 0, bursts: effort.calm_bursts, pause: rate.ticks_in(Duration::from_millis(1)) };
    calm.measure(&mut row.before, append);
    let (appends, written) = if threads == 1 {
        timed(records, append)
    } else {
        let all = Barrier::new(threads);
        std::thread::scope(|scope| {
            let burst = || {
                all.wait();
                timed(records, || logger.log(Level::Info, text))
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(burst)).collect();
            let mut sum = (new_histogram(), 0);
            for thread in threads {
                let (appends, written) = thread.join().map_err(|_| "a thread of the burst panicked")?;
                sum.0.add(&appends).map_err(|error| error.to_string())?;
                sum.1 += written;
            }
            Ok::<_, Failure>(sum)
        })?
    };
    std::thread::sleep(REST);
    calm.measure(&mut row.after, append);
    row.appends.add(&appends).map_err(|error| error.to_string())?;
    row.attempted += threads as u64 * records;
    row.written += written;
    drop(producer);
    logger.close()?;
    let in_files = Reader::open(&path)?.count() as u64;
    if in_files != written + calm.written {
        return Err(format!("{name}: {written} + {} records written, {in_files} in the files", calm.written).into());
    }
    std::fs::remove_dir_all(path)?;
    Ok(())
}

/// Times each of `records` appends. Returns how many were written.
#[inline(never)]
fn timed(records: u64, append: impl Fn() -> Outcome) -> (Histogram<u64>, u64) {
    let mut appends = new_histogram();
    let mut written = 0;
    let mut start = ticks();
    for _ in 0..records {
        written += u64::from(append() == Outcome::Written);
        let end = ticks();
        appends.saturating_record(end.wrapping_sub(start));
        start = ticks();
    }
    (appends, written)
}

/// Appends of a service that is not in a hurry.
struct Calm {
    written: u64,
    bursts: u32,
    /// Between two bursts, in ticks.
    pause: u64,
}

impl Calm {
    #[inline]
    fn measure(&mut self, into: &mut Histogram<u64>, append: impl Fn() -> Outcome) {
        for _ in 0..self.bursts {
            busy_wait(self.pause);
            let start = ticks();
            for _ in 0..CALM_BURST {
                self.written += u64::from(append() == Outcome::Written);
            }
            into.saturating_record(ticks().wrapping_sub(start) / u64::from(CALM_BURST));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = |histogram: &Histogram<u64>, quantile| self.rate.ns(histogram.value_at_quantile(quantile) as f64);
        writeln!(
            f,
            "bursts of messages of {MESSAGE_BYTES} bytes with the default settings, {} rounds; ns for each append, \
             the stopwatch ({:.0}) included\n",
            self.effort.rounds,
            ns(&self.stopwatch, 0.5)
        )?;
        writeln!(
            f,
            "{:<24}{:>10}{:>10}{:>9}{:>9}{:>11}{:>13}{:>13}",
            "", "appended", "dropped", "p50", "p99", "max", "p99 before", "1 s after"
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:<24}{:>10}{:>10}{:>9.0}{:>9.0}{:>11.0}{:>13.1}{:>13.1}",
                row.name,
                row.attempted,
                row.attempted - row.written,
                ns(&row.appends, 0.5),
                ns(&row.appends, 0.99),
                ns(&row.appends, 1.0),
                ns(&row.before, 0.99),
                ns(&row.after, 0.99),
            )?;
        }
        write!(f, "every record that was written is in the files")
    }
}
