//! The figures through the facade `metrics`, to whatever recorder the program has installed.

use std::sync::Arc;

use metrics::{Label, SharedString, counter, describe_counter, describe_gauge, gauge};

use super::families::{
    COUNTS, EVENTS, Family, FamilyKind, GAUGES, PRODUCER_COUNTS, PRODUCER_GAUGES, STATE_HELP, STATES,
};
use super::log_counts::NamedLog;
use super::{Distribution, EventStats, Stats};
use crate::device::DeviceKind;

/// A latency: the name, the help line, and the field.
type Latency = (&'static str, &'static str, fn(&Stats) -> &Distribution);

const LATENCIES: [Latency; 2] = [
    ("diolog_write_latency_quantile_seconds", "Quantiles of the time of a write", |stats| &stats.write_latency_ns),
    ("diolog_flush_latency_quantile_seconds", "Quantiles of the time of a caller's flush", |stats| {
        &stats.flush_latency_ns
    }),
];

impl Stats {
    /// Hands the log's figures to the recorder of the crate `metrics` that the program has installed, with the label
    /// `log`. The program calls it as often as it wants to be asked, such as every ten seconds.
    ///
    /// Names are those of [`to_prometheus`](Stats::to_prometheus), except for three kinds of figures that the facade
    /// cannot have in that form; no name has two kinds. Counts are counters, set to their present values. The time that
    /// producers have waited is a gauge of seconds, `diolog_wait_seconds`, since the facade's counters are whole
    /// numbers. Latencies are gauges of seconds, `diolog_write_latency_quantile_seconds` and
    /// `diolog_flush_latency_quantile_seconds`: quantiles since the log was opened, with the label `quantile`.
    /// `diolog_device_info` is 1 for the kind of device in use and 0 for the others, and does not say the reasons.
    ///
    /// A recorder keeps each name and its labels for ever, and lets no counter go back. So the counters of a log that
    /// was closed and opened again stand still until it has counted as much as the log before; those of
    /// [event logs](EventStats::publish_metrics) go on. Producers are left out:
    /// [`publish_producer_metrics`](Stats::publish_producer_metrics) has them.
    ///
    /// ```
    /// let (logger, _log) = diolog::Logger::in_memory();
    /// logger.stats().publish_metrics("orders");
    /// ```
    pub fn publish_metrics(&self, log: &str) {
        publish(&NamedLog::of(log, self));
    }

    /// Hands the figures of the live producers to the recorder, with the labels `log`, `producer` (its name) and `id`,
    /// by the names of [`to_prometheus`](Stats::to_prometheus).
    ///
    /// The recorder keeps the last figures of each producer for ever. So call this only if the producers live about as
    /// long as the program, and not if threads come and go.
    pub fn publish_producer_metrics(&self, log: &str) {
        let metrics: Vec<_> =
            PRODUCER_GAUGES.iter().chain(PRODUCER_COUNTS).map(|family| (Metric::of(family), family.samples)).collect();
        let log = shared(log);
        for row in &self.producers {
            let (name, id) = (shared(&row.name), shared(&row.id.to_string()));
            for (metric, value_of) in &metrics {
                let labels = [("log", &log), ("producer", &name), ("id", &id)];
                metric.set(labels.map(|(key, value)| Label::new(key, value.clone())).into(), value_of(row));
            }
        }
    }
}

impl EventStats {
    /// Hands the figures to the recorder: those of [`Stats::publish_metrics`] of each event, with the event's name as
    /// label `log`, and the sums over all events, without that label: `diolog_events_...`, as in
    /// [`to_prometheus`](EventStats::to_prometheus).
    ///
    /// The counters of an event include those of its logs that were closed. While its log is closed, its gauges are 0.
    pub fn publish_metrics(&self) {
        self.named().for_each(|event| publish(&event));
        for family in EVENTS {
            Metric::of(family).set(Vec::new(), (family.samples)(self));
        }
        for family in COUNTS {
            let name = family.facade_name(&family.name_of_sums()).to_owned();
            let metric = Metric::described(family, name.into(), format!("{}, of all event logs", family.help).into());
            (family.samples)(&self.sum, &mut |cause, value| {
                metric.set(cause.map(|cause| Label::from_static_parts("cause", cause)).into_iter().collect(), value);
            });
        }
    }
}

/// Hands over the figures of a log. If it is not open, its gauges are 0.
fn publish(log: &NamedLog<'_>) {
    let name = shared(log.name);
    let labels = |more: Option<(&'static str, &'static str)>| {
        let more = more.map(|(key, value)| Label::from_static_parts(key, value));
        [Some(Label::new("log", name.clone())), more].into_iter().flatten().collect::<Vec<_>>()
    };
    for family in COUNTS {
        let metric = Metric::of(family);
        (family.samples)(&log.counts, &mut |cause, value| {
            metric.set(labels(cause.map(|cause| ("cause", cause))), value);
        });
    }
    for family in GAUGES {
        let metric = Metric::of(family);
        match log.open {
            Some(stats) => (family.samples)(stats, &mut |cause, value| {
                metric.set(labels(cause.map(|cause| ("cause", cause))), value);
            }),
            None => metric.set(labels(None), 0),
        }
    }
    describe_gauge!("diolog_state", STATE_HELP);
    for (value, state) in STATES {
        let is_in = log.open.is_some_and(|stats| stats.state == state);
        gauge!("diolog_state", labels(Some(("state", value)))).set(f64::from(u8::from(is_in)));
    }
    describe_gauge!("diolog_device_info", "1 for the way in which blocks are written, 0 for the others");
    for kind in DeviceKind::ALL {
        let is_used = log.open.is_some_and(|stats| stats.device.kind == kind);
        gauge!("diolog_device_info", labels(Some(("device", kind.name())))).set(f64::from(u8::from(is_used)));
    }
    for (name, help, of) in LATENCIES {
        describe_gauge!(name, help);
        let quantiles = log.open.map_or([0; 5], |stats| {
            let Distribution { p50, p90, p99, p999, max, .. } = *of(stats);
            [p50, p90, p99, p999, max]
        });
        for (quantile, ns) in ["0.5", "0.9", "0.99", "0.999", "1"].into_iter().zip(quantiles) {
            gauge!(name, labels(Some(("quantile", quantile)))).set(ns as f64 / 1e9);
        }
    }
}

/// A family, as the facade has it.
struct Metric {
    name: SharedString,
    /// Whether it is a counter. A time is a gauge, because the facade's counters are whole numbers.
    is_counter: bool,
    nanoseconds: bool,
}

impl Metric {
    /// The family under its own name.
    fn of<S>(family: &Family<S>) -> Metric {
        Metric::described(family, family.facade_name(family.name).into(), family.help.into())
    }

    /// The family under `name`. Describes it to the recorder.
    fn described<S>(family: &Family<S>, name: SharedString, help: SharedString) -> Metric {
        let is_counter = family.kind == FamilyKind::Counter && !family.nanoseconds;
        match is_counter {
            true => describe_counter!(name.clone(), help),
            false => describe_gauge!(name.clone(), help),
        }
        Metric { name, is_counter, nanoseconds: family.nanoseconds }
    }

    fn set(&self, labels: Vec<Label>, value: u64) {
        let name = self.name.clone();
        match self.is_counter {
            true => counter!(name, labels).absolute(value),
            false if self.nanoseconds => gauge!(name, labels).set(value as f64 / 1e9),
            false => gauge!(name, labels).set(value as f64),
        }
    }
}

/// A text that labels share: only the first of them allocates.
fn shared(text: &str) -> SharedString {
    Arc::<str>::from(text).into()
}
