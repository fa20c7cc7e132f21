//! The figures of event logs: of each one, of those that were closed, and their sums.

use std::collections::{BTreeMap, BTreeSet};

use super::log_counts::NamedLog;
use super::{LogCounts, Stats};

/// The figures of [event logs](crate::EventLogs) at one moment, as [`EventLogs::stats`](crate::EventLogs::stats)
/// returns them.
///
/// What an event has counted in all is the sum of its rows in `events` and in `closed`. The sums over all events are
/// those of these rows.
///
/// A [`Logger`](crate::Logger) of an event that is kept after [`close_event`](crate::EventLogs::close_event) refuses
/// records. These refusals are in the kept logger's own [`stats`](crate::Logger::stats), and in no figure here. Nor is
/// a record that [`log`](crate::EventLogs::log) has refused as [`Closed`](crate::Outcome::Closed) because another
/// thread closed the log at the same moment, if the refusal came after the log's counts were taken.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EventStats {
    /// The logs that are open, by the names of their events. Each counts from when it was opened.
    pub events: BTreeMap<String, Stats>,
    /// What the closed logs of each event have counted, by the names of the events. An event whose log was closed and
    /// opened again is in both maps.
    pub closed: BTreeMap<String, LogCounts>,
    /// How many logs have been closed. An event's log counts once for each time that it was closed.
    pub closed_logs: u64,
    /// The sums over all logs, open or closed. None is lower than in an earlier call.
    pub sum: LogCounts,
    /// Records that were refused before they reached a log: after [`close`](crate::EventLogs::close), or because the
    /// log could not be opened.
    pub refused_without_log: u64,
}

impl EventStats {
    /// Adds the figures of the open log of event `name`.
    pub(crate) fn add_open(&mut self, name: &str, stats: Stats) {
        self.sum.add(&LogCounts::from(&stats));
        self.events.insert(name.to_owned(), stats);
    }

    /// Adds what the `logs` of event `name` that were closed have counted.
    pub(crate) fn add_closed(&mut self, name: &str, logs: u64, counts: LogCounts) {
        self.sum.add(&counts);
        self.closed_logs += logs;
        self.closed.insert(name.to_owned(), counts);
    }

    /// All events.
    pub(super) fn named(&self) -> impl Iterator<Item = NamedLog<'_>> {
        let names: BTreeSet<_> = self.events.keys().chain(self.closed.keys()).collect();
        names.into_iter().map(|name| {
            let open = self.events.get(name);
            let mut counts = open.map(LogCounts::from).unwrap_or_default();
            self.closed.get(name).inspect(|closed| counts.add(closed));
            NamedLog { name, counts, open }
        })
    }
}
