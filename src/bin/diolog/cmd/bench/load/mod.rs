//! `diolog bench load`: a service's load on this machine, before it is in production.
//!
//! Threads log messages when they are due, into one log or several, with retention. Each second has a line of figures.
//! At the end the logs are closed and verified: the messages that were accepted are those in the files and those that
//! retention removed, or the command fails.

mod logs;
mod plot;
mod rows;
mod summary;
mod threads;
mod usage;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use diolog::Overflow;
use diolog::unstable::measure::place::Scratch;

use crate::args::{Load, Rate, ReportFormat};
use crate::exit::{Failure, Status};
use crate::input::signals::{self, Asked};
use crate::text::escape;
use crate::text::output::{Output, say};
use crate::text::progress::Progress;
use crate::text::units;
use logs::Logs;
use rows::{Csv, Row};
use summary::Summary;
use threads::{Pace, Tally, Target, Threads, noise};
use usage::Meter;

/// The time from the making of the threads to their first message.
const START: Duration = Duration::from_millis(100);

/// How often the load looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

const SECOND: Duration = Duration::from_secs(1);

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
        if self.plot.is_some() {
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

/// What all loads of the command have in common.
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
        // A mistyped path would measure another disk.
        fs::metadata(directory).map_err(|error| failed(named(directory, &error)))?;
        logs::check_space(arguments)?;
        let left = format!("stopped at once; files may be left in {}", escape::path(directory));
        let asked = signals::listen(|_| (), move || Some(left)).map_err(failed)?;
        let noise = noise(arguments.bytes.largest());
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
        if summary.status(false) != Status::CLEAN {
            return Err(Failure {
                message: "the capacity cannot be measured: messages were lost".into(),
                status: Status::LOST,
            });
        }
        Ok(summary.durable_per_second())
    }

    fn run(&self, run: &Run, seconds: &mut Seconds) -> Result<Summary, Failure> {
        let scratch = Scratch::new(&self.arguments.directory)
            .map_err(|error| failed(named(&self.arguments.directory, &error)))?;
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
        let targets = Target::all(&logs.loggers, pace.threads)?;
        let start = Instant::now() + START;
        let threads = Threads::new(pace, start, run.time, &self.arguments.bytes, &self.noise);
        thread::scope(|scope| {
            let (ended, has_ended) = channel();
            threads.spawn(scope, targets, ended).map_err(failed)?;
            thread::sleep(start.saturating_duration_since(Instant::now()));
            let begin = self.meter.now();
            let mut progress = Progress::new("load", 0);
            let (mut all, mut last) = (Tally::new(), begin.clone());
            let (mut next, mut before) = (start + SECOND, Duration::ZERO);
            let mut fault = None;
            loop {
                let ended = has_passed(&has_ended, next, |now| {
                    progress.show(|| bar(now.saturating_duration_since(start), run.time, &all));
                    if self.asked.get().is_some() {
                        threads.stop();
                    }
                });
                let (second, now, elapsed) = (threads.take(), self.meter.now(), start.elapsed());
                all.add(&second);
                // The last row is of less than a second, and there is none if that second was a whole one.
                let written = if ended && second.accepted + second.lost == 0 {
                    Ok(())
                } else {
                    let usage = last.until(&now);
                    seconds.add(Row::new(elapsed, elapsed - before, &second, &logs.stats(), usage))
                };
                if let Some(failure) = written.map_err(failed).err().or_else(|| logs.exceeds(self.arguments.disk_bytes))
                {
                    fault.get_or_insert(failure);
                    threads.stop();
                }
                if ended {
                    break;
                }
                (last, before) = (now, elapsed);
                next += SECOND;
            }
            let elapsed = start.elapsed();
            let usage = begin.until(&self.meter.now());
            fault.map_or(Ok(Done { all, elapsed, start, usage }), Err)
        })
    }

    /// Waits until everything is durable, closes the logs, and verifies them.
    fn finish(&self, run: &Run, logs: Logs, done: Done) -> Result<Summary, Failure> {
        let flushed = logs.flush();
        let until_durable = done.start.elapsed();
        let stats = logs.stats();
        let device = stats.first().map(|stats| stats.device.to_string()).unwrap_or_default();
        let write_latency_ns = rows::slowest(&stats);
        let closed = logs.close()?;
        flushed?;
        let mut progress = Progress::new("verifying", closed.bytes());
        let proof = closed.verify(|bytes| progress.update(bytes))?;
        drop(progress);
        Ok(Summary {
            threads: self.arguments.threads,
            events: self.arguments.events,
            sizes: self.arguments.bytes.to_string(),
            rate: run.rate,
            due: run.rate.and_then(|rate| Pace { rate: Some(rate), threads: 1 }.due_within(done.elapsed.min(run.time))),
            elapsed: done.elapsed,
            until_durable,
            tally: done.all,
            usage: done.usage,
            memory_peak: usage::memory_peak(),
            disk_name: self.meter.disk_name(),
            device,
            write_latency_ns,
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
}

/// Waits until `time` has come, and calls `look` meanwhile. True if all threads have ended.
fn has_passed(has_ended: &Receiver<()>, time: Instant, mut look: impl FnMut(Instant)) -> bool {
    loop {
        let now = Instant::now();
        let wait = time.saturating_duration_since(now);
        if wait.is_zero() {
            return false;
        }
        if has_ended.recv_timeout(wait.min(LOOK)) == Err(RecvTimeoutError::Disconnected) {
            return true;
        }
        look(Instant::now());
    }
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
        units::count(all.accepted),
        units::count(all.lost),
        units::duration(Duration::from_nanos(all.append.value_at_quantile(0.99))),
    )
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", escape::path(path)))
}

fn failed(error: io::Error) -> Failure {
    Failure { message: error.to_string(), status: Status::Unusable }
}
