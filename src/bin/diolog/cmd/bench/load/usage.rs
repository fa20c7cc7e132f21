//! What the load takes of the machine: CPU, memory, and the disk's work as `iostat` shows it. From `/proc`; where there
//! is none, figures are missing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use diolog::unstable::measure::usage::cpu_time;

/// The counters at one moment.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    at: Instant,
    /// CPU time of the process.
    cpu: Duration,
    /// CPU time of the library's threads, whose names begin with "diolog-".
    library_cpu: Option<Duration>,
    disk: Option<DiskCounters>,
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Of one core, 1.0: all of it.
    pub(super) cpu: f64,
    pub(super) library_cpu: Option<f64>,
    /// Bytes of memory at the end.
    pub(super) memory_bytes: Option<u64>,
    pub(super) disk: Option<Disk>,
}

/// What a disk did, all programs together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Disk {
    pub(super) writes_per_second: f64,
    pub(super) bytes_per_second: f64,
    /// The mean time of a write, its time in the queue included.
    pub(super) write_ms: f64,
    pub(super) flushes_per_second: f64,
    /// Requests in the queue or at work, on average.
    pub(super) queue: f64,
    /// The part of the time with at least one request.
    pub(super) busy: f64,
}

/// Reads the counters.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    /// The disk's numbers as they stand in `/proc/diskstats`.
    disk: Option<(u32, u32)>,
}

impl Meter {
    /// For the disk that holds `directory`.
    pub(super) fn new(directory: &Path) -> Meter {
        let meter = Meter { disk: disk_of(directory) };
        // A file system without a disk of its own has no line there.
        if meter.disk_line().is_some() { meter } else { Meter { disk: None } }
    }

    pub(super) fn now(&self) -> Moment {
        let disk = self.disk_line().and_then(|line| DiskCounters::parse(&line));
        Moment { at: Instant::now(), cpu: cpu_time(), library_cpu: library_cpu_time(), disk }
    }

    /// The disk's name, such as "nvme0n1".
    pub(super) fn disk_name(&self) -> Option<String> {
        self.disk_line()?.split_whitespace().nth(2).map(str::to_owned)
    }

    fn disk_line(&self) -> Option<String> {
        let (major, minor) = self.disk?;
        let text = fs::read_to_string("/proc/diskstats").ok()?;
        let is_it = |line: &&str| {
            let mut words = line.split_whitespace().map(str::parse);
            words.next() == Some(Ok(major)) && words.next() == Some(Ok(minor))
        };
        text.lines().find(is_it).map(str::to_owned)
    }
}

impl Moment {
    /// What was used from `self` until `later`.
    pub(super) fn until(&self, later: &Moment) -> Usage {
        let seconds = later.at.saturating_duration_since(self.at).as_secs_f64().max(1e-9);
        let part = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / seconds;
        Usage {
            cpu: part(self.cpu, later.cpu),
            library_cpu: self.library_cpu.zip(later.library_cpu).map(|(before, after)| part(before, after)),
            memory_bytes: memory(),
            disk: self.disk.as_ref().zip(later.disk.as_ref()).map(|(before, after)| before.until(after, seconds)),
        }
    }
}

fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Zero before the first thread of the library exists.
fn library_cpu_time() -> Option<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        if read("comm").starts_with("diolog-") {
            // The first number is the time on a CPU, in nanoseconds.
            let ns = read("schedstat").split_whitespace().next().and_then(|ns| ns.parse().ok());
            total += Duration::from_nanos(ns.unwrap_or(0));
        }
    }
    Some(total)
}

/// A line of `/proc/diskstats`, as the kernel documents it in `Documentation/admin-guide/iostats.rst`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DiskCounters {
    writes: u64,
    sectors_written: u64,
    writing_ms: u64,
    busy_ms: u64,
    queued_ms: u64,
    /// None before Linux 5.5.
    flushes: u64,
}

impl DiskCounters {
    fn parse(line: &str) -> Option<DiskCounters> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The kernel numbers the fields from 1, after the disk's numbers and name.
        let field = |number: usize| fields.get(number + 2).and_then(|field| field.parse().ok());
        Some(DiskCounters {
            writes: field(5)?,
            sectors_written: field(7)?,
            writing_ms: field(8)?,
            busy_ms: field(10)?,
            queued_ms: field(11)?,
            flushes: field(16).unwrap_or(0),
        })
    }

    fn until(&self, later: &DiskCounters, seconds: f64) -> Disk {
        // Sectors are 512 bytes here, whatever those of the disk are.
        const SECTOR_BYTES: f64 = 512.0;
        let rise = |counter: fn(&DiskCounters) -> u64| counter(later).saturating_sub(counter(self)) as f64;
        let writes = rise(|counters| counters.writes);
        Disk {
            writes_per_second: writes / seconds,
            bytes_per_second: rise(|counters| counters.sectors_written) * SECTOR_BYTES / seconds,
            write_ms: rise(|counters| counters.writing_ms) / writes.max(1.0),
            flushes_per_second: rise(|counters| counters.flushes) / seconds,
            queue: rise(|counters| counters.queued_ms) / 1e3 / seconds,
            busy: (rise(|counters| counters.busy_ms) / 1e3 / seconds).min(1.0),
        }
    }
}

#[cfg(target_os = "linux")]
fn disk_of(directory: &Path) -> Option<(u32, u32)> {
    let device = rustix::fs::stat(directory).ok()?.st_dev;
    Some((rustix::fs::major(device), rustix::fs::minor(device)))
}

#[cfg(not(target_os = "linux"))]
fn disk_of(_: &Path) -> Option<(u32, u32)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_diskstats_gives_what_iostat_shows() {
        let before = "254 0 vda 10 0 20 5 1000 7 80000 4000 0 900 5000 0 0 0 0 30 12";
        let after = "254 0 vda 10 0 20 5 1500 7 280000 5000 3 1400 7000 0 0 0 0 130 14";
        let [before, after] = [before, after].map(|line| DiskCounters::parse(line).expect("a line"));
        let disk = before.until(&after, 2.0);
        assert_eq!((disk.writes_per_second, disk.bytes_per_second), (250.0, 51_200_000.0));
        assert_eq!((disk.write_ms, disk.flushes_per_second, disk.queue, disk.busy), (2.0, 50.0, 1.0, 0.25));
        assert_eq!(DiskCounters::parse("254 0 vda 10 0 20"), None);
    }
}
