//! `diolog bench load`: a service's load on this machine, before it is in production.
//!
//! Threads log messages when they are due, into one log or several, with retention. Each second has a row of figures in
//! the CSV file, if there is to be one.
//! At the end the logs are closed and verified: the messages that were accepted are those in the files and those that
//! retention removed, or the command fails.

mod logs;
mod plot;
mod rows;
mod summary;
mod target;
mod threads;
mod usage;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use diolog::Overflow;
use diolog::unstable::measure::random::noise;

use super::scratch;
use crate::args::{Load, Rate, ReportFormat};
use crate::exit::{Failure, Status};
use crate::input::signals::{self, Asked};
use crate::text::escape;
use crate::text::output::{Output, say};
use crate::text::progress::Progress;
use crate::text::units;
use logs::{Figures, Logs};
use rows::{Csv, Row, Since};
use summary::Summary;
use target::Target;
use threads::{Pace, Tally, Threads};
use usage::Meter;

/// The time from the making of the threads to their first message.
const START: Duration = Duration::from_millis(100);

/// How often the load looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

const SECOND: Duration = Duration::from_secs(1);

/// The threads may need this long to end after the load's time: the last row has that too.
const ENDING: Duration = Duration::from_millis(100);

/// How long the machine's capacity is measured, before a load at a part of it.
const CAPACITY_TIME: Duration = Duration::from_secs(5);

/// Runs a load at each rate, and prints its summary.
pub(super) fn run(arguments: &Load) -> Result<Status, Failure> {
    let bench = Bench::new(arguments)?;
    let mut seconds = Seconds::new(arguments).map_err(failed)?;
    let mut output = Output::new();
    let mut status = Status::CLEAN;
    let mut capacity = None;
    for (at, rate) in arguments.rate.iter().enumerate() {
        let pace = match *rate {
            Rate::PerSecond(rate) => Some(rate),
            Rate::Max => None,
            Rate::OfCapacity(part) => {
                let capacity = match capacity {
                    Some(capacity) => capacity,
                    None => *capacity.insert(bench.capacity()?),
                };
                Some(part * capacity)
            }
        };
        let overflow = if pace.is_none() { bench.overflow_at_full_speed() } else { arguments.overflow };
        let run =
            Run { rate: pace, time: arguments.time, overflow, keeps: arguments.keep && at + 1 == arguments.rate.len() };
        let summary = bench.run(&run, &mut seconds)?;
        seconds.end_load();
        status = status.max(summary.status(arguments.allow_drops));
        let text = match arguments.format {
            ReportFormat::Text => summary.text(*rate, capacity),
            ReportFormat::Json => summary.json(capacity),
        };
        output.line().extend_from_slice(text.as_bytes());
        output.flush()?;
        if bench.asked.get().is_some() {
            break;
        }
    }
    seconds.plot().map_err(failed)?;
    Ok(status)
}

/// Where the figures of each second go.
#[derive(Default)]
struct Seconds {
    csv: Option<Csv>,
    plot: Option<PathBuf>,
    /// For the plot.
    rows: Vec<Row>,
    /// Of the loads before this one.
    before: f64,
}

impl Seconds {
    fn new(arguments: &Load) -> io::Result<Seconds> {
        let csv = arguments.csv.as_deref().map(Csv::create).transpose()?;
        Ok(Seconds { csv, plot: arguments.plot.clone(), ..Seconds::default() })
    }

    fn add(&mut self, row: Row) -> io::Result<()> {
        if let Some(csv) = &mut self.csv {
            csv.write(&row)?;
        }
        // Less than half a second says little, and a line to it would say much.
        if self.plot.is_some() && (row.length >= 0.5 || self.rows.is_empty()) {
            self.rows.push(Row { seconds: self.before + row.seconds, ..row });
        }
        Ok(())
    }

    /// The next load's seconds come after those of the last one.
    fn end_load(&mut self) {
        self.before = self.rows.last().map_or(0.0, |row| row.seconds);
    }

    fn plot(&self) -> io::Result<()> {
        self.plot.as_deref().map_or(Ok(()), |path| plot::write(path, &self.rows))
    }
}

/// One load.
struct Run {
    /// Messages a second; `None` for as many as there is room for.
    rate: Option<f64>,
    time: Duration,
    overflow: Overflow,
    keeps: bool,
}

/// Shared by all loads of the command.
struct Bench<'a> {
    arguments: &'a Load,
    noise: Vec<u8>,
    meter: Meter,
    /// Whether Ctrl-C has come.
    asked: Asked,
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a Load) -> Result<Bench<'a>, Failure> {
        let directory = &arguments.directory;
        // A directory that cannot be used is named before anything is made.
        drop(scratch::new(directory)?);
        logs::check_space(arguments)?;
        let left = format!("stopped at once; files may be left in {}", escape::path(directory));
        let asked = signals::listen(|_| (), move || Some(left))?;
        let noise = noise(arguments.message_bytes.largest());
        Ok(Bench { arguments, noise, meter: Meter::new(directory), asked })
    }

    /// Waiting is how a producer learns that there is no room: with another policy, most messages would be dropped.
    fn overflow_at_full_speed(&self) -> Overflow {
        match self.arguments.overflow {
            Overflow::DropNewest => Overflow::Block,
            other => other,
        }
    }

    /// Messages a second that become durable, if the threads wait for space.
    fn capacity(&self) -> Result<f64, Failure> {
        let run = Run { rate: None, time: CAPACITY_TIME, overflow: Overflow::Block, keeps: false };
        let summary = self.run(&run, &mut Seconds::default())?;
        if let Some(signal) = self.asked.get() {
            let status = Status::Interrupted(signal.exit_status());
            return Err(Failure { message: "stopped while the capacity was measured".into(), status });
        }
        if summary.status(false) != Status::CLEAN {
            return Err(Failure {
                message: "the capacity cannot be measured: messages were lost".into(),
                status: Status::LOST,
            });
        }
        Ok(summary.durable_per_second())
    }

    fn run(&self, run: &Run, seconds: &mut Seconds) -> Result<Summary, Failure> {
        let scratch = scratch::new(&self.arguments.directory)?;
        let logs = Logs::open(self.arguments, run.overflow, &scratch.path(""))?;
        let done = self.load(run, &logs, seconds)?;
        let summary = self.finish(run, logs, done)?;
        if run.keeps {
            say(format_args!("the files are in {}", escape::path(&scratch.path(""))));
            std::mem::forget(scratch);
        }
        Ok(summary)
    }

    /// Runs the threads to their end.
    fn load(&self, run: &Run, logs: &Logs, seconds: &mut Seconds) -> Result<Done, Failure> {
        let pace = Pace { rate: run.rate, threads: self.arguments.threads.into() };
        let targets = logs.targets(pace.threads)?;
        let start = Instant::now() + START;
        let threads = Threads::new(pace, start, run.time, &self.arguments.message_bytes, &self.noise);
        thread::scope(|scope| {
            let (ended, has_ended) = channel();
            threads.spawn(scope, targets, ended).map_err(failed)?;
            thread::sleep(start.saturating_duration_since(Instant::now()));
            let begin = self.meter.now();
            let mut progress = Progress::new("load", 0);
            let (mut all, mut last) = (Tally::new(), begin.clone());
            let (mut next, mut before) = (next_row(start, start + run.time), Duration::ZERO);
            let mut figures = logs.figures();
            let mut done = Vec::new();
            let (mut memory_peak, mut fault) = (None, None);
            loop {
                let ended = has_passed(&has_ended, &mut done, next, |now| {
                    progress.show(|| bar(now.saturating_duration_since(start), run.time, &all));
                    if self.asked.get().is_some() {
                        threads.stop();
                    }
                });
                let (second, now, elapsed) = (threads.take(), self.meter.now(), start.elapsed());
                all.add(&second);
                let usage = last.until(&now);
                memory_peak = memory_peak.max(usage.memory_bytes);
                // The last row need not be of a whole second, and there is none if nothing happened.
                let written = if ended && second.accepted + second.lost == 0 {
                    Ok(())
                } else {
                    let since = Since { before: &figures, now: &logs.figures() };
                    let row = Row::new(elapsed, elapsed - before, &second, &since, usage);
                    seconds.add(Row { rate: run.rate, ..row })
                };
                if let Some(failure) = written.map_err(failed).err().or_else(|| logs.exceeds(self.arguments.disk_bytes))
                {
                    fault.get_or_insert(failure);
                    threads.stop();
                }
                if ended {
                    break;
                }
                (last, before, figures) = (now, elapsed, logs.figures());
                next = next_row(next, start + run.time);
            }
            let elapsed = start.elapsed();
            let usage = begin.until(&self.meter.now());
            let figures = logs.figures();
            fault.map_or(Ok(Done { all, elapsed, start, usage, memory_peak, figures }), Err)
        })
    }

    /// Waits until everything is durable, closes the logs, and verifies them.
    fn finish(&self, run: &Run, logs: Logs, done: Done) -> Result<Summary, Failure> {
        let flushed = logs.flush();
        let until_durable = done.start.elapsed();
        let write_ns = logs.figures().write_ns;
        let closed = logs.close()?;
        flushed?;
        let mut progress = Progress::new("verifying", closed.bytes());
        let proof = closed.verify(|bytes| progress.update(bytes))?;
        drop(progress);
        Ok(Summary {
            threads: self.arguments.threads,
            events: self.arguments.events,
            sizes: self.arguments.message_bytes.clone(),
            rate: run.rate,
            due: run
                .rate
                .filter(|_| self.asked.get().is_none())
                .map(|rate| (run.time.as_secs_f64() * rate).ceil() as u64),
            elapsed: done.elapsed,
            until_durable,
            tally: done.all,
            usage: done.usage,
            memory_peak: done.memory_peak,
            disk_name: self.meter.disk_name(),
            figures: Figures { write_ns, ..done.figures },
            proof,
        })
    }
}

/// What the threads have done.
struct Done {
    all: Tally,
    elapsed: Duration,
    start: Instant,
    usage: usage::Usage,
    /// The most at the end of a second.
    memory_peak: Option<u64>,
    /// Before the producers had ended.
    figures: Figures,
}

/// Waits until `time` has come, and calls `look` meanwhile. Keeps what threads send at their end in `done`. True if all
/// threads have ended.
fn has_passed<'a>(
    has_ended: &Receiver<Target<'a>>,
    done: &mut Vec<Target<'a>>,
    time: Instant,
    mut look: impl FnMut(Instant),
) -> bool {
    loop {
        let now = Instant::now();
        let wait = time.saturating_duration_since(now);
        if wait.is_zero() {
            return false;
        }
        match has_ended.recv_timeout(wait.min(LOOK)) {
            Ok(target) => done.push(target),
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => {}
        }
        look(Instant::now());
    }
}

/// When the row after that of time `last` is due: a second later, or if the load then ends, when that has ended.
fn next_row(last: Instant, end: Instant) -> Instant {
    let next = last + SECOND;
    if next < end + ENDING && end < next + ENDING { end + ENDING } else { next }
}

/// The line on a terminal while the load runs.
fn bar(elapsed: Duration, time: Duration, all: &Tally) -> String {
    const WIDTH: usize = 24;
    let part = (elapsed.as_secs_f64() / time.as_secs_f64()).min(1.0);
    let filled = (part * WIDTH as f64) as usize;
    format!(
        "[{}{}] {} of {} s, {} messages, {} lost, append p99 {}",
        "#".repeat(filled),
        "-".repeat(WIDTH - filled),
        elapsed.as_secs(),
        time.as_secs(),
        units::grouped(all.accepted),
        units::grouped(all.lost),
        units::duration(Duration::from_nanos(all.append.value_at_quantile(0.99))),
    )
}

fn failed(error: io::Error) -> Failure {
    Failure { message: error.to_string(), status: Status::Unusable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_has_the_time_in_which_the_threads_end() {
        let start = Instant::now();
        let rows = |ms: u64, count: usize| {
            let end = start + Duration::from_millis(ms);
            let due = std::iter::successors(Some(start), |last| Some(next_row(*last, end)));
            due.skip(1).take(count).map(|due| (due - start).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(rows(3_000, 4), [1_000, 2_000, 3_100, 4_100], "no row for the last milliseconds");
        assert_eq!(rows(2_950, 3), [1_000, 2_000, 3_050]);
        assert_eq!(rows(2_500, 3), [1_000, 2_000, 3_000], "the threads end before it");
        assert_eq!(rows(300, 1), [1_000]);
    }

    #[test]
    fn the_line_shows_time_messages_and_losses() {
        let tally = Tally { accepted: 12_345, lost: 6, ..Tally::new() };
        let line = bar(Duration::from_secs(3), Duration::from_secs(12), &tally);
        assert_eq!(line, "[######------------------] 3 of 12 s, 12,345 messages, 6 lost, append p99 0 ns");
    }
}
