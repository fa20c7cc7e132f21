//! The figures through the facade `metrics`, to whatever recorder the program has installed.

use metrics::{Label, counter, describe_counter, describe_gauge, gauge};

use super::families::{COUNTS, Family, FamilyKind, GAUGES};
use super::{Distribution, State, Stats};

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
    /// Names are those of [`to_prometheus`](Stats::to_prometheus), except for two kinds of figures that the facade
    /// cannot have in that form; no name has two kinds. Counts are counters, set to their present values. The time that
    /// producers have waited is a gauge of seconds, `diolog_wait_seconds`, since the facade's counters are whole
    /// numbers. Latencies are gauges of seconds, `diolog_write_latency_quantile_seconds` and
    /// `diolog_flush_latency_quantile_seconds`: quantiles since the log was opened, with the label `quantile`.
    /// Producers, and the information on the device, are left out, since a recorder keeps each name for ever.
    ///
    /// ```
    /// let (logger, _log) = diolog::Logger::in_memory();
    /// logger.stats().publish_metrics("orders");
    /// ```
    pub fn publish_metrics(&self, log: &str) {
        let label = |key: &'static str, value: &str| Label::new(key, value.to_owned());
        for family in COUNTS.iter().chain(GAUGES) {
            describe(family);
            (family.samples)(self, &mut |cause, value| {
                let mut labels = vec![label("log", log)];
                labels.extend(cause.map(|cause| Label::from_static_parts("cause", cause)));
                match family.kind {
                    // The facade's counters are whole numbers.
                    _ if family.nanoseconds => gauge!(family.facade_name(), labels).set(value as f64 / 1e9),
                    FamilyKind::Counter => counter!(family.name, labels).absolute(value),
                    FamilyKind::Gauge => gauge!(family.name, labels).set(value as f64),
                }
            });
        }
        describe_gauge!("diolog_state", "1 for the state that the log's device is in, 0 for the others");
        for (name, state) in [("ok", State::Ok), ("full", State::Full), ("failed", State::Failed)] {
            let labels = vec![label("log", log), Label::from_static_parts("state", name)];
            gauge!("diolog_state", labels).set(f64::from(u8::from(self.state == state)));
        }
        for (name, help, of) in LATENCIES {
            describe_gauge!(name, help);
            let distribution = of(self);
            let Distribution { p50, p90, p99, p999, max, .. } = *distribution;
            for (quantile, ns) in [("0.5", p50), ("0.9", p90), ("0.99", p99), ("0.999", p999), ("1", max)] {
                let labels = vec![label("log", log), Label::from_static_parts("quantile", quantile)];
                gauge!(name, labels).set(ns as f64 / 1e9);
            }
        }
    }
}

fn describe<S>(family: &Family<S>) {
    match family.kind {
        FamilyKind::Counter if !family.nanoseconds => describe_counter!(family.name, family.help),
        FamilyKind::Counter | FamilyKind::Gauge => describe_gauge!(family.facade_name(), family.help),
    }
}
