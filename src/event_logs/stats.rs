//! The figures of event logs: of each one, and their sums.

use std::collections::BTreeMap;

use crate::stats::Stats;

/// The figures of [event logs](crate::EventLogs) at one moment, as [`EventLogs::stats`](crate::EventLogs::stats)
/// returns them.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EventStats {
    /// The logs that are open, by the names of their events.
    pub events: BTreeMap<String, Stats>,
    /// The sums over the open logs and the closed ones.
    pub sum: EventSums,
    /// Records that were refused before they reached a log: after [`close`](crate::EventLogs::close), or because the
    /// log could not be opened.
    pub refused_without_log: u64,
}

/// Sums over event logs. Each is the sum of the field of [`Stats`] with the same name, and never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EventSums {
    /// How many logs have been closed. An event's log counts once for each time that it was closed.
    pub closed_logs: u64,
    /// [`Stats::attempted`].
    pub attempted: u64,
    /// [`Stats::written`].
    pub written: u64,
    /// [`Stats::truncated`].
    pub truncated: u64,
    /// [`Stats::payload_bytes`].
    pub payload_bytes: u64,
    /// [`Stats::dropped`].
    pub dropped: u64,
    /// [`Stats::overwritten`].
    pub overwritten: u64,
    /// [`Stats::refused`].
    pub refused: u64,
    /// [`Stats::hidden`].
    pub hidden: u64,
    /// [`Stats::durable_records`].
    pub durable_records: u64,
    /// [`Stats::durable_bytes`].
    pub durable_bytes: u64,
    /// [`Stats::write_errors`].
    pub write_errors: u64,
    /// [`Stats::segments`].
    pub segments: u64,
}

impl EventSums {
    /// Adds the figures of a log.
    pub(super) fn add(&mut self, stats: &Stats) {
        self.attempted += stats.attempted;
        self.written += stats.written;
        self.truncated += stats.truncated;
        self.payload_bytes += stats.payload_bytes;
        self.dropped += stats.dropped;
        self.overwritten += stats.overwritten;
        self.refused += stats.refused;
        self.hidden += stats.hidden;
        self.durable_records += stats.durable_records;
        self.durable_bytes += stats.durable_bytes;
        self.write_errors += stats.write_errors;
        self.segments += stats.segments;
    }
}
