//! A row of figures for each second, as CSV.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diolog::{Distribution, Stats};

use super::threads::Tally;
use super::usage::Usage;
use crate::text::escape;

/// The columns. `seconds` counts from the first message. Counts and times of appends are those since the row before; times
/// of writes are those since the beginning, of the log whose writes are slowest; what is not known is empty.
const COLUMNS: &str = "unix_seconds,seconds,accepted,lost,bytes,append_p50_ns,append_p99_ns,append_p999_ns,append_max_ns,\
                       call_p50_ns,call_p99_ns,call_p999_ns,call_max_ns,write_p50_ns,write_p99_ns,cpu_percent,\
                       library_cpu_percent,memory_bytes,disk_writes_per_second,disk_bytes_per_second,disk_write_ms,\
                       disk_flushes_per_second,disk_queue,disk_busy_percent";

/// The file.
pub(super) struct Rows(File);

impl Rows {
    /// Creates the file and writes the names of the columns.
    pub(super) fn create(path: &Path) -> io::Result<Rows> {
        let mut file = File::create(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", escape::path(path))))?;
        writeln!(file, "{COLUMNS}")?;
        Ok(Rows(file))
    }

    /// Writes a row, `elapsed` after the first message.
    pub(super) fn write(
        &mut self,
        elapsed: Duration,
        second: &Tally,
        stats: &[Stats],
        usage: &Usage,
    ) -> io::Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let [append, call] = [&second.append, &second.call].map(|times| {
            let at = |quantile| times.value_at_quantile(quantile);
            format!("{},{},{},{}", at(0.5), at(0.99), at(0.999), times.max())
        });
        let write = slowest(stats);
        writeln!(
            self.0,
            "{:.3},{:.3},{},{},{},{append},{call},{},{},{:.1},{},{},{}",
            time.as_secs_f64(),
            elapsed.as_secs_f64(),
            second.accepted,
            second.lost,
            second.bytes,
            write.p50,
            write.p99,
            usage.cpu * 100.0,
            known(usage.library_cpu.map(|part| format!("{:.1}", part * 100.0))),
            known(usage.memory_bytes.map(|bytes| bytes.to_string())),
            disk(usage),
        )
    }
}

/// The times of the log whose writes are slowest.
pub(super) fn slowest(stats: &[Stats]) -> Distribution {
    stats.iter().map(|stats| stats.write_latency_ns).max_by_key(|times| times.p99).unwrap_or_default()
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
