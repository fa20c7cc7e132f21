//! `diolog bench disk`: the throughput of one log on one disk, in a form that scripts can compare with other programs.
//!
//! The measurement is the library's [`disk`]; this turns the arguments into its plan, and prints the figures.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diolog::Stats;
use diolog::unstable::measure::disk::{self, Figures, Plan};
use hdrhistogram::Histogram;
use serde_json::json;

use super::scratch::in_scratch;
use crate::args::{Disk, ReportFormat};
use crate::exit::{Failure, Status};
use crate::text::escape;
use crate::text::output::Output;
use crate::text::units;

/// Measures, and prints the figures.
pub(crate) fn run(arguments: &Disk) -> Result<Status, Failure> {
    let figures = in_scratch(&arguments.directory, Disk::refused, |scratch| {
        let mut samples = arguments.csv.as_deref().map(Samples::create).transpose()?;
        disk::run(&plan(arguments), &scratch.path("log"), &mut |begin, now, latencies| match &mut samples {
            Some(samples) => samples.write(begin, now, latencies),
            None => Ok(()),
        })
    })?;
    let mut output = Output::new();
    let text = match arguments.format {
        ReportFormat::Text => text(&figures, arguments),
        ReportFormat::Json => json(&figures, arguments),
    };
    output.line().extend_from_slice(text.as_bytes());
    output.flush()?;
    Ok(Status::CLEAN)
}

fn plan(arguments: &Disk) -> Plan {
    Plan {
        bytes: arguments.total_bytes as u64,
        time: arguments.time,
        block_bytes: arguments.block_bytes,
        blocks_in_flight: arguments.blocks_in_flight,
        device: arguments.device,
        message_bytes: arguments.message_bytes,
        producers: arguments.threads,
        ring_bytes: arguments.ring_bytes,
        writer_core: arguments.writer_core,
        records_per_second: arguments.rate.map(f64::from),
        flush_each: arguments.flush_each,
    }
}

fn text(figures: &Figures, arguments: &Disk) -> String {
    let timed = if arguments.flush_each { "append and flush" } else { "append" };
    let at = |quantile| units::duration(Duration::from_nanos(figures.latency_ns.value_at_quantile(quantile)));
    let busy =
        figures.writer_busy.map_or_else(String::new, |busy| format!(", writer thread {:.0} % busy", busy * 100.0));
    format!(
        "{}\n{} a second: {} in {}, {}{busy}\n{timed}: p50 {}, p99 {}, p99.9 {}, max {}\n",
        figures.device,
        units::bytes(figures.bytes_per_second() as u64),
        units::counted(figures.records, "record"),
        units::counted(figures.blocks, "block"),
        units::duration(figures.elapsed),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    )
}

fn json(figures: &Figures, arguments: &Disk) -> String {
    let latency = &figures.latency_ns;
    let object = json!({
        "device": figures.device,
        "block_bytes": arguments.block_bytes,
        "blocks_in_flight": arguments.blocks_in_flight,
        "message_bytes": arguments.message_bytes,
        "threads": arguments.threads,
        "ring_bytes": figures.ring_bytes,
        "flush_each": arguments.flush_each,
        "seconds": figures.elapsed.as_secs_f64(),
        "records": figures.records,
        "durable_blocks": figures.blocks,
        "durable_bytes": figures.bytes,
        "bytes_per_second": figures.bytes_per_second(),
        "writer_busy": figures.writer_busy,
        "cpu_seconds": figures.cpu.as_secs_f64(),
        "latency_ns": {
            "p50": latency.value_at_quantile(0.5),
            "p99": latency.value_at_quantile(0.99),
            "p99.9": latency.value_at_quantile(0.999),
            "max": latency.max(),
        },
        "write_latency_ns": {
            "p50": figures.write_latency_ns.p50,
            "p99": figures.write_latency_ns.p99,
            "p99.9": figures.write_latency_ns.p999,
            "max": figures.write_latency_ns.max,
        },
    });
    format!("{object}\n")
}

/// The rows of each second.
struct Samples(File);

impl Samples {
    fn create(path: &Path) -> io::Result<Samples> {
        let file = File::create(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", escape::path(path))))?;
        let mut samples = Samples(file);
        writeln!(
            samples.0,
            "unix_seconds,records,durable_blocks,durable_bytes,latency_count,latency_p50_ns,latency_p90_ns,latency_p99_ns,\
             latency_p999_ns,latency_max_ns"
        )?;
        Ok(samples)
    }

    /// Writes a row: counts since the beginning, latencies since the row before.
    fn write(&mut self, begin: &Stats, now: &Stats, latency: &Histogram<u64>) -> io::Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = |quantile| latency.value_at_quantile(quantile);
        writeln!(
            self.0,
            "{:.3},{},{},{},{},{},{},{},{},{}",
            time.as_secs_f64(),
            now.durable_records - begin.durable_records,
            now.durable_blocks - begin.durable_blocks,
            now.durable_bytes - begin.durable_bytes,
            latency.len(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            latency.max(),
        )
    }
}
