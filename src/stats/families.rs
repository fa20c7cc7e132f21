//! The names of figures for monitoring systems, each with its kind and its help line.
//!
//! `prometheus` writes them as text, and `metrics` publishes them through that facade. So a figure has the same name in
//! both, except a latency or a time, which is of another kind in each.

use super::{EventStats, LogCounts, ProducerStats, RefusedBy, State, Stats, WriteErrorsBy};
use crate::format::DroppedBy;

/// Whether a figure only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyKind {
    Counter,
    Gauge,
}

impl FamilyKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
        }
    }
}

/// One figure, or one for each cause.
pub(super) struct Family<S> {
    pub(super) name: &'static str,
    pub(super) kind: FamilyKind,
    pub(super) help: &'static str,
    /// Whether the values are nanoseconds, which are shown as seconds.
    pub(super) nanoseconds: bool,
    pub(super) samples: S,
}

impl<S> Family<S> {
    /// The name of the sums over event logs.
    pub(super) fn name_of_sums(&self) -> String {
        self.name.replacen("diolog_", "diolog_events_", 1)
    }

    /// The family's `name` for the facade `metrics`, whose counters are whole numbers: a time is a gauge there, and
    /// must not have the name of a counter.
    #[cfg(feature = "metrics")]
    pub(super) fn facade_name<'a>(&self, name: &'a str) -> &'a str {
        if self.nanoseconds { name.trim_end_matches("_total") } else { name }
    }
}

/// Gets the values of a family, each with its cause if it has causes.
pub(super) type Sample<'a> = &'a mut dyn FnMut(Option<&'static str>, u64);

/// The values of a family of counts.
type OfCounts = fn(&LogCounts, Sample<'_>);

/// The values of a log's family. None if it is about a part that the log has not, such as an engine.
type OfLog = fn(&Stats, Sample<'_>);

/// The value of a family of event logs.
type OfEvents = fn(&EventStats) -> u64;

/// The value of a producer's family.
type OfProducer = fn(&ProducerStats) -> u64;

/// The help line of `diolog_state`, which has a sample for each of the [`STATES`].
pub(super) const STATE_HELP: &str = "1 for the state that the log's device is in, 0 for the others";

/// The states, by the values of the label `state`.
pub(super) const STATES: [(&str, State); 3] = [("ok", State::Ok), ("full", State::Full), ("failed", State::Failed)];

const fn counter<S>(name: &'static str, help: &'static str, samples: S) -> Family<S> {
    Family { name, kind: FamilyKind::Counter, help, nanoseconds: false, samples }
}

const fn gauge<S>(name: &'static str, help: &'static str, samples: S) -> Family<S> {
    Family { name, kind: FamilyKind::Gauge, help, nanoseconds: false, samples }
}

const fn time<S>(name: &'static str, help: &'static str, samples: S) -> Family<S> {
    Family { name, kind: FamilyKind::Counter, help, nanoseconds: true, samples }
}

/// A family without causes.
macro_rules! one {
    ($field:ident) => {
        |counts, sample| sample(None, counts.$field)
    };
}

/// The values of a family with causes.
fn by_cause<const N: usize>(names: [&'static str; N], counts: [u64; N], sample: Sample<'_>) {
    names.into_iter().zip(counts).for_each(|(name, count)| sample(Some(name), count));
}

/// Counts of a log, which only grow while it is open, or sums over logs.
pub(super) const COUNTS: &[Family<OfCounts>] = &[
    counter("diolog_attempted_records_total", "Attempts to log that passed the level", one!(attempted)),
    counter("diolog_written_records_total", "Records that the writer has taken into blocks", one!(written)),
    counter("diolog_truncated_records_total", "Records that were too long, and were cut", one!(truncated)),
    counter("diolog_payload_bytes_total", "Bytes of the records that the writer has taken", one!(payload_bytes)),
    counter("diolog_dropped_records_total", "Attempts that found no room, by cause", |counts, sample| {
        by_cause(DroppedBy::NAMES, counts.dropped_by.counts(), sample);
    }),
    counter("diolog_overwritten_records_total", "Records that newer ones replaced", one!(overwritten)),
    counter("diolog_refused_records_total", "Calls that were refused, by cause", |counts, sample| {
        by_cause(RefusedBy::NAMES, counts.refused_by.counts(), sample);
    }),
    counter("diolog_hidden_records_total", "Records that their callsite's limit has hidden", one!(hidden)),
    counter("diolog_waits_total", "Waits for room in a ring", one!(waits)),
    time("diolog_wait_seconds_total", "Time that producers have waited for room", one!(waited_ns)),
    counter("diolog_durable_records_total", "Records that are durable", one!(durable_records)),
    counter("diolog_durable_blocks_total", "Blocks that are durable", one!(durable_blocks)),
    counter("diolog_durable_bytes_total", "Bytes of durable blocks, padding included", one!(durable_bytes)),
    counter("diolog_padding_bytes_total", "Bytes of durable blocks that are padding", one!(padding_bytes)),
    counter("diolog_device_bytes_total", "Bytes of all writes that have succeeded", one!(device_bytes)),
    counter("diolog_flushes_total", "Flushes of callers that have succeeded", one!(flushes)),
    counter("diolog_flush_errors_total", "Flushes of callers that were answered with an error", one!(flush_errors)),
    counter("diolog_write_errors_total", "Writes that failed, by cause", |counts, sample| {
        by_cause(WriteErrorsBy::NAMES, counts.write_errors_by.counts(), sample);
    }),
    counter("diolog_lost_segments_total", "Segments deleted or replaced while they were written", one!(lost_segments)),
    counter("diolog_preparation_errors_total", "Segments not prepared as they should be", one!(preparation_errors)),
    counter("diolog_segments_total", "Segments begun", one!(segments)),
    counter("diolog_late_segments_total", "Segments that were not ready when needed", one!(segments_late)),
    counter("diolog_listener_missed_records_total", "Records that listeners did not get", one!(listeners_missed)),
    counter("diolog_recorded_records_total", "Records that the flight recorder has got", one!(recorded)),
    counter("diolog_snapshots_total", "Snapshots of the flight recorder, by outcome", |counts, sample| {
        sample(Some("written"), counts.snapshots);
        sample(Some("failed"), counts.snapshots_failed);
    }),
    counter("diolog_ended_producers_total", "Producers that have ended", one!(producers_ended)),
];

/// A log's figures that go up and down.
pub(super) const GAUGES: &[Family<OfLog>] = &[
    gauge("diolog_producers", "Live producers", |stats, sample| sample(None, stats.producers.len() as u64)),
    gauge("diolog_recorder_records", "Records that a snapshot would write", |stats, sample| {
        sample(None, stats.recorder.unwrap_or_default().held);
    }),
    gauge("diolog_ring_memory_bytes", "Memory of all rings", |stats, sample| {
        sample(None, stats.ring_memory.used_bytes);
    }),
    gauge("diolog_ring_memory_limit_bytes", "Memory that all rings may take", |stats, sample| {
        sample(None, stats.ring_memory.limit_bytes);
    }),
    gauge("diolog_engine_ring_memory_bytes", "Memory of the rings of all logs of the engine", |stats, sample| {
        stats.ring_memory.engine.iter().for_each(|engine| sample(None, engine.used_bytes));
    }),
    gauge("diolog_engine_ring_memory_limit_bytes", "Memory that these rings may take", |stats, sample| {
        stats.ring_memory.engine.iter().for_each(|engine| sample(None, engine.limit_bytes));
    }),
];

/// A producer's figures that only grow while it lives.
pub(super) const PRODUCER_COUNTS: &[Family<OfProducer>] = &[
    counter("diolog_producer_attempted_records_total", "Attempts to log of one producer", |row| row.attempted),
    counter("diolog_producer_written_records_total", "Records written of one producer", |row| row.written),
    counter("diolog_producer_lost_records_total", "Records dropped or overwritten of one producer", |row| {
        row.dropped + row.overwritten
    }),
];

/// A producer's figures that go up and down, or stay.
pub(super) const PRODUCER_GAUGES: &[Family<OfProducer>] = &[
    gauge("diolog_producer_ring_bytes", "Size of one producer's ring", |row| row.ring_bytes),
    gauge("diolog_producer_ring_high_water_bytes", "The most bytes that the ring has held", |row| row.high_water_bytes),
];

/// The figures of event logs that no single log has.
pub(super) const EVENTS: &[Family<OfEvents>] = &[
    gauge("diolog_events_open_logs", "Logs of events that are open", |stats| stats.events.len() as u64),
    counter("diolog_events_closed_logs_total", "Logs of events that were closed", |stats| stats.closed_logs),
    counter("diolog_events_refused_without_log_total", "Records refused before they reached a log", |stats| {
        stats.refused_without_log
    }),
];
