//! How many records a second become durable in a hundred event logs on one engine, beside a single log, with as many
//! threads?
//!
//! `cargo bench --bench event_logs [-- [--test] [--gate] [--repetitions N] [DIR]]`
//!
//! Eight threads log 200-byte records as fast as the policy `Block` lets them: to a hundred events in turn, or all to
//! one. Retention keeps each side within 1 GiB. The two sides take turns, and which comes first changes with each
//! round. After each round every log is verified: a round whose identity does not hold has no figures. Nor has one
//! whose memory exceeds the bound that `EngineConfig` states, or that has more than one writer thread.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diolog::{Config, Engine, EngineConfig, EventLogs, Level, Outcome, Overflow, Verdict};

mod support;

const THREADS: usize = 8;
const EVENTS: usize = 100;
const RECORD: [u8; 200] = [b'x'; 200];

/// What all logs of a side keep together, in bytes.
const RETAINED_BYTES: u64 = 1 << 30;

/// The least share of a single log's rate that many logs must reach.
const SHARE_MIN: f64 = 0.8;

/// How much work a run does.
struct Effort {
    round: Duration,
    rounds: u32,
}

/// What a round has shown.
struct Round {
    /// Durable records a second.
    rate: f64,
    /// The resident memory of the process at the end, beyond that before the engine was started, in bytes.
    resident_bytes: u64,
}

/// The most memory that an engine with the default settings takes for `logs` logs: see `EngineConfig`. The rings of
/// threads are windows of 64 KiB, which share huge pages.
const fn memory_bytes_max(logs: usize) -> u64 {
    (256 << 20) + (128 << 20) + (8 << 20) + logs as u64 * ((512 << 10) + 2 * (512 << 10))
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = support::Arguments::parse();
    let effort = match arguments.smoke {
        true => Effort { round: Duration::from_millis(200), rounds: arguments.repetitions.unwrap_or(1) },
        false => Effort { round: Duration::from_secs(30), rounds: arguments.repetitions.unwrap_or(5) },
    };
    let mut rates = [Vec::new(), Vec::new()];
    for number in 0..effort.rounds {
        let mut sides = [1, EVENTS];
        if number % 2 == 1 {
            sides.reverse();
        }
        for events in sides {
            let Round { rate, resident_bytes } = round(events, &effort, &arguments.directory)?;
            let line = format!(
                "round {}: {events} logs, {rate:.0} durable records/s, {} MiB resident of {} MiB at most",
                number + 1,
                resident_bytes >> 20,
                memory_bytes_max(events) >> 20
            );
            support::report(&line);
            rates[usize::from(events > 1)].push(rate);
        }
    }
    let [single, many] = rates.map(median);
    let share = many / single;
    support::report(&format!("median: {single:.0}/s in one log, {many:.0}/s in {EVENTS} logs, a share of {share:.2}"));
    Ok(ExitCode::from(u8::from(arguments.gate && share < SHARE_MIN)))
}

/// Logs to `events` events for the time of a round, and checks each log.
fn round(events: usize, effort: &Effort, root: &Path) -> Result<Round, Box<dyn Error>> {
    let directory = tempfile::tempdir_in(root)?;
    let resident_before = resident_bytes();
    let engine = Engine::start(EngineConfig::new())?;
    let config = Config::new("")
        .overflow(Overflow::Block)
        .segment_bytes((RETAINED_BYTES / events as u64 / 4).next_multiple_of(4096))
        .retain_bytes(RETAINED_BYTES / events as u64)
        .close_deadline(Duration::from_secs(600));
    let logs = EventLogs::new(&engine, directory.path(), config)?;
    let names: Vec<String> = (0..events).map(|event| format!("event-{event}")).collect();
    for name in &names {
        logs.open(name)?;
    }
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let accepted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let (logs, names, stop) = (&logs, &names, &stop);
                    move || {
                        let mut accepted = 0;
                        for name in names.iter().cycle().skip(thread) {
                            if stop.load(Ordering::Relaxed) {
                                break;
                            }
                            accepted += u64::from(logs.log(name, Level::Info, RECORD) == Outcome::Written);
                        }
                        accepted
                    }
                })
            })
            .collect();
        std::thread::sleep(effort.round);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    let (writers, resident_bytes) = (writer_threads(), resident_bytes().saturating_sub(resident_before));
    let report = logs.close()?;
    let elapsed = begun.elapsed();
    if writers != 1 || resident_bytes > memory_bytes_max(events) {
        return Err(format!("{writers} writer threads, {} MiB resident", resident_bytes >> 20).into());
    }
    if report.durable != accepted || report.lost() > 0 {
        return Err(format!("{accepted} records were accepted, and of those: {report}").into());
    }
    for name in &names {
        let verification = diolog::verify(directory.path().join(name))?;
        if verification.verdict != Verdict::Clean {
            return Err(format!("{name}: {:?}", verification.verdict).into());
        }
    }
    Ok(Round { rate: report.durable as f64 / elapsed.as_secs_f64(), resident_bytes })
}

/// The resident memory of this process now; 0 where procfs is missing.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) << 10
}

/// How many threads of this process are writers of diolog.
fn writer_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "diolog-writer").count()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}
