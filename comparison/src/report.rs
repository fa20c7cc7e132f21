//! The figures as tables in Markdown, with what was measured and on which machine.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use crate::child::Measured;
use crate::effort::Effort;
use crate::parent::{Count, Figures};
use crate::rival::{Failure, Name};

/// The versions of the rivals, as they were built.
const LOCK: &str = include_str!("../Cargo.lock");

type All = BTreeMap<Name, Figures>;

/// Writes the tables and the figures themselves into `directory`.
pub fn write(directory: &Path, command: &str, effort: Effort, seconds: f64, all: &All) -> Result<(), Failure> {
    fs::write(directory.join("results.json"), serde_json::to_vec_pretty(all)?)?;
    let mut text = String::new();
    page(&mut text, command, effort, seconds, all)?;
    fs::write(directory.join("README.md"), text)?;
    Ok(())
}

fn page(out: &mut String, command: &str, effort: Effort, seconds: f64, all: &All) -> fmt::Result {
    writeln!(out, "# diolog beside its rivals\n")?;
    writeln!(out, "Written by `{command}` in `comparison/`, which took {seconds:.0} s, on this machine:\n")?;
    for line in machine() {
        writeln!(out, "- {line}")?;
    }
    let versions: Vec<_> = all.keys().filter_map(|name| version(name.word())).collect();
    writeln!(out, "- {}\n", versions.join(", "))?;
    append(out, effort, all)?;
    durable(out, effort, all)?;
    losses(out, effort, all)?;
    let failed: Vec<_> =
        all.iter().flat_map(|(name, figures)| figures.failed.iter().map(move |why| (name.word(), why))).collect();
    if !failed.is_empty() {
        writeln!(out, "\n## Not measured\n")?;
        for (name, why) in failed {
            writeln!(out, "- {name}: {why}")?;
        }
    }
    Ok(())
}

fn append(out: &mut String, effort: Effort, all: &All) -> fmt::Result {
    writeln!(
        out,
        "## What a call costs the thread that logs\n\n\
         Nanoseconds a call, for a message of 64 bytes. The thread has a CPU to itself, and so have the logger's threads. \
         20 calls are timed together, after a millisecond in which the thread does not sleep: these are percentiles of the \
         means. The first call after such a pause is timed alone in the last two columns: whoever has to wake a thread \
         pays for it then. Medians of {} rounds of {} pauses, in turns.\n",
        effort.rounds, effort.bursts
    )?;
    writeln!(out, "| | p50 | p95 | p99 | p99.9 | first call, p50 | first call, p99 |\n|---|--:|--:|--:|--:|--:|--:|")?;
    for (name, figures) in all {
        if figures.append.is_empty() {
            continue;
        }
        let [p50, p95, p99, p999] = std::array::from_fn(|at| median(&figures.append, |done| done.burst_ns[at]));
        let [first50, first99] = std::array::from_fn(|at| median(&figures.append, |done| done.first_ns[at]));
        let cells = [p50, p95, p99, p999, first50, first99].map(nanoseconds);
        writeln!(out, "| {} | {} |", name.title(), cells.join(" | "))?;
    }
    writeln!(out, "\n![Percentiles of the calls](append.svg)\n")
}

fn durable(out: &mut String, effort: Effort, all: &All) -> fmt::Result {
    writeln!(
        out,
        "## Until everything is on the disk\n\n\
         {} messages of 64 bytes, as fast as the threads can. A thread that finds a queue full waits, if the logger can be \
         told so. The clock stops when the logger has been ended as its documentation says and its files are synced. Rates \
         count the messages that are in the files, not the calls; CPU is that of all threads. Medians of {} rounds, in \
         turns.\n",
        count(effort.records),
        effort.rounds
    )?;
    writeln!(
        out,
        "| | 1 thread, M/s | 4 threads, M/s | bytes a message | CPU ns a message | in the files |\n|---|--:|--:|--:|--:|--:|"
    )?;
    for (name, figures) in all {
        let [one, four] = &figures.durable;
        if one.is_empty() || four.is_empty() {
            continue;
        }
        let found = |count: &Count| count.found.max(1) as f64;
        let rate = |runs: &[(Measured, Count)]| median(runs, |(done, count)| found(count) / done.seconds / 1e6);
        let bytes = median(one, |(done, count)| done.bytes as f64 / found(count));
        let cpu = median(one, |(done, count)| done.cpu_seconds * 1e9 / found(count));
        let part = one.iter().chain(four).map(|(_, count)| count.found as f64 / count.calls as f64).fold(1.0, f64::min);
        writeln!(
            out,
            "| {} | {:.2} | {:.2} | {bytes:.0} | {cpu:.0} | {} |",
            name.title(),
            rate(one),
            rate(four),
            if part == 1.0 { "all".to_owned() } else { format!("{:.1} %", part * 100.0) }
        )?;
    }
    writeln!(out, "\n![Durable messages a second](durable.svg)\n")
}

fn losses(out: &mut String, effort: Effort, all: &All) -> fmt::Result {
    writeln!(
        out,
        "## Messages that are missing, and who says so\n\n\
         Each logger with its defaults. *Burst*: {} messages at full speed, then the end that the documentation shows. \
         *Return*: {exit} messages, 20 µs apart and the last 100 at once, then `main` returns and drops the logger. *Exit*: \
         the same, then `std::process::exit`. *Kill*: `kill -9` while one thread logs {} messages a second; each number is \
         the median of {} ends. A message counts as missing if its call had returned and it is not in the files. After the \
         number: how many of them the logger itself counted, or what its reader says of the files. What a logger has \
         written to a file survives a kill even if it is not synced; a power cut would take it. diolog counts a record as \
         durable only if it survives both. What is in shared rings survives the kill, and is in the files after \
         `diolog recover`, or after the next open.\n",
        count(effort.burst),
        count(effort.kill_rate),
        effort.ends,
        exit = count(effort.exit),
    )?;
    writeln!(out, "| | burst | return | exit | kill |\n|---|--:|--:|--:|--:|")?;
    for (name, figures) in all {
        if !name.is_log() {
            continue;
        }
        let ends = [&figures.burst, &figures.returned, &figures.exited, &figures.killed];
        let cells = ends.map(|counts| {
            let mut counts: Vec<_> = counts.iter().collect();
            counts.sort_by_key(|count| count.missing());
            match counts.get(counts.len() / 2).copied() {
                None => "-".to_owned(),
                Some(count) if count.missing() == 0 => "0".to_owned(),
                Some(lost) if lost.said_lost > 0 => {
                    format!("{} ({} reported)", count_of(lost), self::count(lost.said_lost))
                }
                Some(lost) if !lost.said.is_empty() => format!("{} (\"{}\")", count_of(lost), lost.said),
                Some(lost) => format!("{} (none reported)", count_of(lost)),
            }
        });
        writeln!(out, "| {} | {} |", name.title(), cells.join(" | "))?;
    }
    Ok(())
}

fn count_of(count: &Count) -> String {
    self::count(count.missing())
}

/// The middle value; the mean of the two middle ones if their number is even.
pub fn median<T>(values: &[T], value: impl Fn(&T) -> f64) -> f64 {
    diolog::unstable::measure::rounds::median(&values.iter().map(value).collect::<Vec<_>>())
}

fn nanoseconds(ns: f64) -> String {
    if ns < 99.95 { format!("{ns:.1}") } else { count(ns.round() as u64) }
}

/// A number as "1,234,567".
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// "fern 0.7.1".
fn version(name: &str) -> Option<String> {
    let package = LOCK.split("[[package]]").find(|package| package.contains(&format!("\nname = \"{name}\"\n")))?;
    let version = package.lines().find_map(|line| line.strip_prefix("version = "))?;
    Some(format!("{name} {}", version.trim_matches('"')))
}

fn machine() -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    vec![
        format!("{}, {cpus} CPUs", model.map_or("unknown processor", |(_, model)| model.trim())),
        format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        format!("load at the end: {}", load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")),
    ]
}
