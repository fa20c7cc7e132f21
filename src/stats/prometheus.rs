//! The figures as text that Prometheus scrapes, in its exposition format 0.0.4.
//!
//! A family is a name, a kind and a help line, and then samples. Latencies are histograms, so that those of several
//! logs and machines can be added up. The names are an interface: dashboards and alerts are written with them.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::families::{COUNTS, EVENTS, FamilyKind, GAUGES, PRODUCER_COUNTS, PRODUCER_GAUGES, STATE_HELP, STATES};
use super::log_counts::NamedLog;
use super::{Distribution, EventStats, Stats};

/// Upper bounds of the buckets of latencies, in nanoseconds: 10 µs to 10 s.
const BOUNDS_NS: [u64; 19] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

impl Stats {
    /// The figures in the text format of Prometheus, version 0.0.4 (`text/plain; version=0.0.4`), with the label `log`
    /// for this log.
    ///
    /// Counts are `diolog_..._total`; sizes are in bytes, times in seconds. `diolog_producer_...` has a sample for each
    /// live producer, with the labels `producer` (its name) and `id`; producers with names of their own are few in most
    /// services, and a service in which they are many should drop those families when it scrapes. What producers that
    /// have ended counted is in the log's own counts. Counts begin at zero again when the log is opened again.
    ///
    /// For several logs, [`Stats::all_to_prometheus`] gives each family once, as the format demands.
    ///
    /// ```
    /// let (logger, _log) = diolog::Logger::in_memory();
    /// let text = logger.stats().to_prometheus("orders");
    /// assert!(text.contains("diolog_attempted_records_total{log=\"orders\"} 0\n"));
    /// ```
    pub fn to_prometheus(&self, log: &str) -> String {
        Stats::all_to_prometheus([(log, self)])
    }

    /// [`to_prometheus`](Stats::to_prometheus) of several logs, each with the name that its samples get as label `log`.
    pub fn all_to_prometheus<'a>(logs: impl IntoIterator<Item = (&'a str, &'a Stats)>) -> String {
        text_of(logs.into_iter().map(|(name, stats)| NamedLog::of(name, stats)))
    }
}

/// The text of several logs: first what all of them have, then what the open ones have.
fn text_of<'a>(logs: impl Iterator<Item = NamedLog<'a>>) -> String {
    let logs: Vec<_> = logs.map(|log| (label("log", log.name), log)).collect();
    let mut out = String::with_capacity(8 << 10);
    for family in COUNTS {
        begin(family.name, family.kind, family.help, &mut out);
        for (label, log) in &logs {
            (family.samples)(&log.counts, &mut |cause, value| {
                sample(family.name, family.nanoseconds, &with_cause(label, cause), value, &mut out);
            });
        }
    }
    let logs: Vec<_> = logs.iter().filter_map(|(label, log)| Some((label, log.open?))).collect();
    for family in GAUGES {
        let mut has_begun = false;
        for (log, stats) in &logs {
            (family.samples)(stats, &mut |cause, value| {
                if !std::mem::replace(&mut has_begun, true) {
                    begin(family.name, family.kind, family.help, &mut out);
                }
                sample(family.name, family.nanoseconds, &with_cause(log, cause), value, &mut out);
            });
        }
    }
    begin("diolog_state", FamilyKind::Gauge, STATE_HELP, &mut out);
    for (log, stats) in &logs {
        for (name, state) in STATES {
            let is_in = u8::from(stats.state == state);
            let _ = writeln!(out, "diolog_state{{{log},state=\"{name}\"}} {is_in}");
        }
    }
    begin("diolog_device_info", FamilyKind::Gauge, "How blocks are written, and why not faster; always 1", &mut out);
    for (log, Stats { device, .. }) in &logs {
        let reason = label("reason", &device.reasons.join("; "));
        let _ = writeln!(out, "diolog_device_info{{{log},device=\"{}\",{reason}}} 1", device.kind);
    }
    for (name, help, of) in LATENCIES {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (log, stats) in &logs {
            histogram(name, log, of(stats), &mut out);
        }
    }
    for family in PRODUCER_GAUGES.iter().chain(PRODUCER_COUNTS) {
        begin(family.name, family.kind, family.help, &mut out);
        for (log, stats) in &logs {
            for producer in &stats.producers {
                let labels = format!("{log},{},id=\"{}\"", label("producer", &producer.name), producer.id);
                sample(family.name, family.nanoseconds, &labels, (family.samples)(producer), &mut out);
            }
        }
    }
    out
}

impl EventStats {
    /// The figures as text for Prometheus: those of [`Stats::to_prometheus`] of each event, with the event's name as
    /// label `log`, and after them the sums over all events, without that label: `diolog_events_...`. Of the latter,
    /// `diolog_events_refused_without_log_total` counts the records that reached no log.
    ///
    /// The counters of an event include what its closed logs have counted, so that they go on when its log is opened
    /// again. All its other samples end with its log.
    pub fn to_prometheus(&self) -> String {
        let mut out = text_of(self.named());
        for family in EVENTS {
            begin(family.name, family.kind, family.help, &mut out);
            sample(family.name, family.nanoseconds, "", (family.samples)(self), &mut out);
        }
        for family in COUNTS {
            let name = family.name_of_sums();
            begin(&name, family.kind, &format!("{}, of all event logs", family.help), &mut out);
            (family.samples)(&self.sum, &mut |cause, value| {
                sample(&name, family.nanoseconds, &with_cause("", cause), value, &mut out);
            });
        }
        out
    }
}

/// A family of latencies: its name, its help line, and the field.
type Latency = (&'static str, &'static str, fn(&Stats) -> &Distribution);

const LATENCIES: [Latency; 2] = [
    ("diolog_write_latency_seconds", "From handing a block to the device until the device has completed it", |stats| {
        &stats.write_latency_ns
    }),
    (
        "diolog_flush_latency_seconds",
        "From a caller's flush until the writer has answered that all is durable",
        |stats| &stats.flush_latency_ns,
    ),
];

fn begin(name: &str, kind: FamilyKind, help: &str, out: &mut String) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
}

/// Writes a sample, of `nanoseconds` as seconds.
fn sample(name: &str, nanoseconds: bool, labels: &str, value: u64, out: &mut String) {
    let _ = match labels {
        "" => write!(out, "{name} "),
        _ => write!(out, "{name}{{{labels}}} "),
    };
    let _ = match nanoseconds {
        true => writeln!(out, "{}", seconds(value)),
        false => writeln!(out, "{value}"),
    };
}

/// The labels, and after them the cause if there is one.
fn with_cause<'a>(labels: &'a str, cause: Option<&str>) -> Cow<'a, str> {
    match cause {
        None => labels.into(),
        Some(cause) if labels.is_empty() => format!("cause=\"{cause}\"").into(),
        Some(cause) => format!("{labels},cause=\"{cause}\"").into(),
    }
}

/// The cumulative buckets, the sum and the count.
fn histogram(name: &str, labels: &str, distribution: &Distribution, out: &mut String) {
    let mut buckets = distribution.buckets().peekable();
    let mut below = 0;
    for bound in BOUNDS_NS {
        // A bucket is narrower than 1 %, so all of its values count as its lowest one.
        while let Some((_, count)) = buckets.next_if(|(lowest, _)| *lowest <= bound) {
            below += count;
        }
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {below}", seconds(bound));
    }
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", distribution.count);
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", seconds(distribution.sum));
    let _ = writeln!(out, "{name}_count{{{labels}}} {}", distribution.count);
}

/// Nanoseconds as seconds.
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// A label with its value, in which backslashes, quotes and line feeds are escaped.
fn label(name: &str, value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{escaped}\"")
}
