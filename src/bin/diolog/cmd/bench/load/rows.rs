//! A row of figures for each second, as CSV.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diolog::Distribution;
use hdrhistogram::Histogram;

use super::logs::Figures;
use super::threads::Tally;
use super::usage::Usage;
use crate::text::escape;

/// The columns, which `docs/command-line.md` explains.
const COLUMNS: &str = "unix_seconds,rate,seconds,accepted,lost,bytes,append_p50_ns,append_p99_ns,append_p999_ns,append_max_ns,\
                       call_p50_ns,call_p99_ns,call_p999_ns,call_max_ns,write_p50_ns,write_p99_ns,write_max_ns,ring_high_water_bytes,rings_bytes,cpu_percent,\
                       library_cpu_percent,memory_bytes,disk_writes_per_second,disk_bytes_per_second,disk_write_ms,\
                       disk_flushes_per_second,disk_queue,disk_busy_percent";

/// What happened since the row before.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// Messages a second that are due; `None` at full speed.
    pub(super) rate: Option<f64>,
    /// Since the first message, at the row's end.
    pub(super) seconds: f64,
    /// Since the row before.
    pub(super) length: f64,
    pub(super) accepted: u64,
    pub(super) lost: u64,
    pub(super) bytes: u64,
    /// p50, p99, p99.9 and the maximum.
    pub(super) append_ns: [u64; 4],
    pub(super) call_ns: [u64; 4],
    pub(super) write_ns: Distribution,
    pub(super) ring_high_water: u64,
    pub(super) rings_bytes: u64,
    pub(super) usage: Usage,
}

/// The logs' figures at the row before and now.
pub(super) struct Since<'a> {
    pub(super) before: &'a Figures,
    pub(super) now: &'a Figures,
}

impl Row {
    pub(super) fn new(seconds: Duration, length: Duration, tally: &Tally, logs: &Since<'_>, usage: Usage) -> Row {
        Row {
            rate: None,
            seconds: seconds.as_secs_f64(),
            length: length.as_secs_f64(),
            accepted: tally.accepted,
            lost: tally.lost,
            bytes: tally.bytes,
            append_ns: times(&tally.append),
            call_ns: times(&tally.call),
            write_ns: logs.now.write_ns.since(&logs.before.write_ns),
            ring_high_water: logs.now.ring_high_water,
            rings_bytes: logs.now.rings_bytes,
            usage,
        }
    }
}

/// The file.
pub(super) struct Csv(File);

impl Csv {
    /// Creates the file and writes the names of the columns.
    pub(super) fn create(path: &Path) -> io::Result<Csv> {
        let mut file = File::create(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", escape::path(path))))?;
        writeln!(file, "{COLUMNS}")?;
        Ok(Csv(file))
    }

    pub(super) fn write(&mut self, row: &Row) -> io::Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let [append, call] = [row.append_ns, row.call_ns].map(|times| times.map(|ns| ns.to_string()).join(","));
        writeln!(
            self.0,
            "{:.3},{},{:.3},{},{},{},{append},{call},{},{},{},{},{},{:.1},{},{},{}",
            time.as_secs_f64(),
            known(row.rate.map(|rate| rate.to_string())),
            row.seconds,
            row.accepted,
            row.lost,
            row.bytes,
            row.write_ns.p50,
            row.write_ns.p99,
            row.write_ns.max,
            row.ring_high_water,
            row.rings_bytes,
            row.usage.cpu * 100.0,
            known(row.usage.library_cpu.map(|part| format!("{:.1}", part * 100.0))),
            known(row.usage.memory_bytes.map(|bytes| bytes.to_string())),
            disk(&row.usage),
        )
    }
}

/// p50, p99, p99.9 and the maximum.
pub(super) fn times(times: &Histogram<u64>) -> [u64; 4] {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| times.value_at_quantile(quantile));
    [p50, p99, p999, times.max()]
}

fn disk(usage: &Usage) -> String {
    let Some(disk) = usage.disk else { return ",,,,,".to_owned() };
    format!(
        "{:.0},{:.0},{:.3},{:.0},{:.2},{:.1}",
        disk.writes_per_second,
        disk.bytes_per_second,
        disk.write_ms,
        disk.flushes_per_second,
        disk.queue,
        disk.busy * 100.0
    )
}

fn known(value: Option<String>) -> String {
    value.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_is_explained_on_the_page_of_the_command_line() {
        let page = include_str!("../../../../../../docs/command-line.md");
        for column in COLUMNS.split(',') {
            assert!(page.contains(&format!("`{column}`")), "{column}");
        }
    }
}
