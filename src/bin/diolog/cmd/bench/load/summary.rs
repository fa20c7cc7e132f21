//! What a load came to, as text and as JSON, and the exit status that follows from it.

use std::fmt::Write as _;
use std::time::Duration;

use diolog::Distribution;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::logs::{Figures, Proof};
use super::rows;
use super::threads::Tally;
use super::usage::Usage;
use crate::args::{Range, Rate, Sizes};
use crate::exit::Status;
use crate::text::table::{Side, Table};
use crate::text::units;

/// The figures of one load.
pub(super) struct Summary {
    pub(super) threads: u16,
    pub(super) events: u16,
    pub(super) sizes: Sizes,
    /// Messages a second that were due; `None` at full speed.
    pub(super) rate: Option<f64>,
    /// Messages that were due; `None` also if the load was stopped early.
    pub(super) due: Option<u64>,
    /// From the first message to the last.
    pub(super) elapsed: Duration,
    /// From the first message until all were durable.
    pub(super) until_durable: Duration,
    pub(super) tally: Tally,
    pub(super) usage: Usage,
    pub(super) memory_peak: Option<u64>,
    pub(super) disk_name: Option<String>,
    /// Of all logs, at the end.
    pub(super) figures: Figures,
    pub(super) proof: Proof,
}

impl Summary {
    /// What the files prove; lost, if they hold other messages than were accepted.
    pub(super) fn status(&self, allow_drops: bool) -> Status {
        if self.adds_up() { Status::of(self.proof.verdict, allow_drops) } else { Status::LOST }
    }

    /// Whether the threads' count of accepted messages is what the files account for.
    fn adds_up(&self) -> bool {
        let Proof { in_files, retired, overwritten, .. } = self.proof;
        self.tally.accepted == in_files + retired + overwritten
    }

    pub(super) fn durable_per_second(&self) -> f64 {
        self.tally.accepted as f64 / self.until_durable.as_secs_f64()
    }

    /// Messages that were due and not logged: the threads were late at the end.
    fn not_begun(&self) -> u64 {
        self.due.unwrap_or(0).saturating_sub(self.tally.accepted + self.tally.lost)
    }

    /// The part of the messages that was lost.
    fn lost_part(&self) -> f64 {
        let Tally { accepted, lost, .. } = self.tally;
        (lost + self.proof.overwritten) as f64 / ((accepted + lost) as f64).max(1.0)
    }

    pub(super) fn text(&self, rate: Rate, capacity: Option<f64>) -> String {
        let mut text = String::new();
        // Writing to memory does not fail.
        let _ = self.write_text(rate, capacity, &mut text);
        text
    }

    fn write_text(&self, rate: Rate, capacity: Option<f64>, out: &mut String) -> std::fmt::Result {
        let Summary { tally, usage, proof, .. } = self;
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        let asked = match (rate, self.rate) {
            (Rate::OfCapacity(part), Some(rate)) => format!(
                "{} a second, {:.0} % of the {} that the machine takes",
                shown_rate(rate),
                part * 100.0,
                shown_rate(capacity.unwrap_or(0.0))
            ),
            (_, Some(rate)) => format!("{} a second", shown_rate(rate)),
            (_, None) => "as many as there is room for".to_owned(),
        };
        writeln!(
            out,
            "{}, {}, messages of {}, {asked}, for {}",
            units::counted(self.threads.into(), "thread"),
            units::counted(self.events.into(), "log"),
            shown_sizes(&self.sizes),
            units::duration(self.elapsed),
        )?;
        writeln!(out, "  written by {}", self.figures.device)?;
        writeln!(
            out,
            "  accepted {} ({} a second, {} a second), lost {} ({:.4} %)",
            units::grouped(tally.accepted),
            shown_rate(tally.accepted as f64 / seconds),
            units::bytes((tally.bytes as f64 / seconds) as u64),
            units::grouped(tally.lost + proof.overwritten),
            self.lost_part() * 100.0,
        )?;
        self.write_losses(out)?;
        if self.not_begun() > 0 {
            let messages = units::counted(self.not_begun(), "message");
            writeln!(out, "  not begun: {messages} that were due; the threads cannot keep this rate here")?;
        }
        out.push_str(&self.times());
        let library =
            usage.library_cpu.map_or_else(String::new, |part| format!(", diolog's threads {:.1} %", part * 100.0));
        let memory =
            self.memory_peak.map_or_else(String::new, |bytes| format!("; memory at most {}", units::bytes(bytes)));
        writeln!(out, "  CPU {:.1} % of a core{library}{memory}", usage.cpu * 100.0)?;
        let Figures { ring_high_water, rings_bytes, .. } = self.figures;
        if ring_high_water > 0 {
            let [fullest, all] = [ring_high_water, rings_bytes].map(units::bytes);
            writeln!(out, "  rings: at most {fullest} in one, {all} of memory in all at the end")?;
        }
        if let (Some(disk), Some(name)) = (usage.disk, &self.disk_name) {
            writeln!(
                out,
                "  disk {name}: {} a second in {:.0} writes of {:.2} ms and {:.0} flushes, queue {:.1}, busy {:.0} %",
                units::bytes(disk.bytes_per_second as u64),
                disk.writes_per_second,
                disk.write_ms,
                disk.flushes_per_second,
                disk.queue,
                disk.busy * 100.0,
            )?;
        }
        self.write_proof(out)
    }

    /// Why messages were lost, and what helps.
    fn write_losses(&self, out: &mut String) -> std::fmt::Result {
        let Figures { dropped_by, write_ns, .. } = &self.figures;
        let longest = units::duration(Duration::from_nanos(write_ns.max));
        let full = format!("the longest write took {longest}; raise --reserve-bytes, or lower --rate");
        let waited = format!("the longest write took {longest}; raise --reserve-bytes, or wait longer");
        for (number, what) in [
            (dropped_by.ring_full, format!("dropped (ring full): {full}")),
            (dropped_by.ring_memory, "dropped (ring memory): raise --rings-bytes-max, or use fewer --threads".into()),
            (dropped_by.timed_out, format!("dropped (timed out): {waited}")),
            (dropped_by.device_failed, "dropped (device failed): the disk refuses writes; see dmesg".into()),
            (self.proof.overwritten, format!("overwritten (ring full): {full}")),
        ] {
            if number > 0 {
                writeln!(out, "  {} {what}", units::grouped(number))?;
            }
        }
        Ok(())
    }

    fn times(&self) -> String {
        let columns = ["p50", "p99", "p99.9", "max"].map(|name| (name, Side::Right));
        let mut table = Table::new(&[&[("", Side::Left)], &columns[..]].concat());
        let mut row = |name: &str, times: [u64; 4]| {
            let times = times.map(|ns| units::duration(Duration::from_nanos(ns)));
            table.row([name.to_owned()].into_iter().chain(times).collect());
        };
        if self.rate.is_some() {
            row("append, from when it was due", rows::times(&self.tally.append));
        }
        row("append, the call alone", rows::times(&self.tally.call));
        let Distribution { p50, p99, p999, max, .. } = self.figures.write_ns;
        row("write of a block", [p50, p99, p999, max]);
        let mut lines = Vec::new();
        table.write(2, &mut lines);
        String::from_utf8_lossy(&lines).into_owned()
    }

    fn write_proof(&self, out: &mut String) -> std::fmt::Result {
        let Proof { verdict, in_files, retired, dropped, overwritten, missing } = self.proof;
        write!(
            out,
            "  verify: {verdict}; accepted {} = in the files {} + removed by retention {}",
            units::grouped(self.tally.accepted),
            units::grouped(in_files),
            units::grouped(retired),
        )?;
        for (number, what) in [(overwritten, "overwritten"), (missing, "missing")] {
            if number > 0 {
                write!(out, " + {what} {}", units::grouped(number))?;
            }
        }
        if dropped > 0 {
            write!(out, "; dropped {}", units::grouped(dropped))?;
        }
        writeln!(out, "{}", if self.adds_up() { "" } else { ": it does NOT add up" })
    }

    pub(super) fn json(&self, capacity: Option<f64>) -> String {
        let Summary { tally, usage, proof, .. } = self;
        let times = |times: &Histogram<u64>| {
            let at = |quantile| times.value_at_quantile(quantile);
            json!({"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p99.9": at(0.999), "max": times.max()})
        };
        let Distribution { count, sum, p50, p99, p999, max, .. } = self.figures.write_ns;
        let object = json!({
            "threads": self.threads,
            "events": self.events,
            "message_bytes": self.sizes.to_string(),
            "rate": self.rate,
            "capacity": capacity,
            "seconds": self.elapsed.as_secs_f64(),
            "seconds_until_durable": self.until_durable.as_secs_f64(),
            "device": self.figures.device,
            "ring_high_water_bytes": self.figures.ring_high_water,
            "rings_bytes": self.figures.rings_bytes,
            "accepted": tally.accepted,
            "lost": tally.lost + proof.overwritten,
            "lost_percent": self.lost_part() * 100.0,
            "not_begun": self.not_begun(),
            "bytes": tally.bytes,
            "append_ns": times(&tally.append),
            "call_ns": times(&tally.call),
            "write_ns": {"count": count, "mean": sum / count.max(1), "p50": p50, "p99": p99, "p99.9": p999, "max": max},
            "cpu_percent": usage.cpu * 100.0,
            "library_cpu_percent": usage.library_cpu.map(|part| part * 100.0),
            "memory_peak_bytes": self.memory_peak,
            "disk": self.disk_json(),
            "verdict": proof.verdict,
            "in_files": proof.in_files,
            "retired": proof.retired,
            "dropped": proof.dropped,
            "overwritten": proof.overwritten,
            "missing": proof.missing,
            "adds_up": self.adds_up(),
        });
        format!("{object}\n")
    }

    fn disk_json(&self) -> Value {
        let Some(disk) = self.usage.disk else { return Value::Null };
        json!({
            "name": self.disk_name,
            "writes_per_second": disk.writes_per_second,
            "bytes_per_second": disk.bytes_per_second,
            "write_ms": disk.write_ms,
            "flushes_per_second": disk.flushes_per_second,
            "queue": disk.queue,
            "busy_percent": disk.busy * 100.0,
        })
    }
}

/// Sizes as "64 bytes (9 in 10), 1 KiB to 4 KiB (1 in 10)".
fn shown_sizes(sizes: &Sizes) -> String {
    let size = |bytes: usize| units::exact(bytes as u64);
    let all: u64 = sizes.0.iter().map(|range| u64::from(range.weight)).sum();
    let range = |range: &Range| {
        let Range { smallest, largest, weight } = *range;
        let sizes =
            if smallest == largest { size(largest) } else { format!("{} to {}", size(smallest), size(largest)) };
        let part = if all == u64::from(weight) { String::new() } else { format!(" ({weight} in {all})") };
        sizes + &part
    };
    sizes.0.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// Messages a second, as "90,222"; with decimals if they are few.
fn shown_rate(per_second: f64) -> String {
    match per_second {
        100.0.. => units::grouped(per_second.round() as u64),
        _ => ((per_second * 1000.0).round() / 1000.0).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_with_their_units_and_parts() {
        for (word, shown) in [
            ("200", "200 bytes"),
            ("64:9,4096:1", "64 bytes (9 in 10), 4 KiB (1 in 10)"),
            ("1,1KiB..300KiB", "1 byte (1 in 2), 1 KiB to 300 KiB (1 in 2)"),
            ("1..1000:5", "1 byte to 1,000 bytes"),
        ] {
            assert_eq!(shown_sizes(&word.parse().expect("sizes")), shown);
        }
    }

    #[test]
    fn rates_are_counts_unless_they_are_small() {
        let rates = [0.001, 0.5, 7.0, 99.6404, 100.0, 90_221.8, 1e9];
        assert_eq!(rates.map(shown_rate), ["0.001", "0.5", "7", "99.64", "100", "90,222", "1,000,000,000"]);
    }
}
