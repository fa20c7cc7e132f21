//! The figures of event logs: of each one, and their sums.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::stats::Stats;

/// The figures of [event logs](crate::EventLogs) at one moment, as [`EventLogs::stats`](crate::EventLogs::stats)
/// returns them.
///
/// A [`Logger`](crate::Logger) of an event that is kept after [`close_event`](crate::EventLogs::close_event) refuses
/// records. These refusals are in the kept logger's own [`stats`](crate::Logger::stats), and in no sum here.
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

impl EventStats {
    /// The figures as text for Prometheus: those of [`Stats::to_prometheus`] of each open log, with the event's name as
    /// label `log`, and after them the sums over all logs, without labels: `diolog_events_...`. Of the latter,
    /// `diolog_events_refused_without_log_total` counts the records that reached no log.
    ///
    /// A closed log's own samples end. The sums still have its counts.
    pub fn to_prometheus(&self) -> String {
        let mut out = Stats::all_to_prometheus(self.events.iter().map(|(name, stats)| (name.as_str(), stats)));
        let refused = "Records that were refused before they reached a log";
        let logs = [("open_logs", "gauge", "Logs that are open", self.events.len() as u64)];
        let counts = [("refused_without_log_total", "counter", refused, self.refused_without_log)];
        for (name, kind, help, value) in logs.into_iter().chain(counts).chain(self.sum.families()) {
            let _ = writeln!(
                out,
                "# HELP diolog_events_{name} {help}\n# TYPE diolog_events_{name} {kind}\ndiolog_events_{name} {value}"
            );
        }
        out
    }
}

/// Makes [`EventSums`], with the sums of these fields of [`Stats`], each with the end of its name for Prometheus and a
/// help line.
macro_rules! sums {
    ($($field:ident, $name:literal, $help:literal;)*) => {
        /// Sums over event logs. Each is the sum of the field of [`Stats`] with the same name, and never goes back.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub struct EventSums {
            /// How many logs have been closed. An event's log counts once for each time that it was closed.
            pub closed_logs: u64,
            $(
                #[doc = concat!("[`Stats::", stringify!($field), "`].")]
                pub $field: u64,
            )*
        }

        impl EventSums {
            /// Adds the figures of a log.
            pub(super) fn add(&mut self, stats: &Stats) {
                $(self.$field += stats.$field;)*
            }

            /// Each sum: its name, kind, help line and value.
            fn families(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str, u64)> {
                [
                    ("closed_logs_total", "counter", "Logs that were closed", self.closed_logs),
                    $(($name, "counter", concat!($help, ", of all event logs"), self.$field),)*
                ]
                .into_iter()
            }
        }
    };
}

sums! {
    attempted, "attempted_records_total", "Attempts to log that passed the level";
    written, "written_records_total", "Records that the writer has taken into blocks";
    truncated, "truncated_records_total", "Records that were too long, and were cut";
    payload_bytes, "payload_bytes_total", "Bytes of the records that the writer has taken";
    dropped, "dropped_records_total", "Attempts that found no room";
    overwritten, "overwritten_records_total", "Records that newer ones replaced";
    refused, "refused_records_total", "Calls that a log has refused";
    hidden, "hidden_records_total", "Records that limits of callsites have hidden";
    durable_records, "durable_records_total", "Records that are durable";
    durable_bytes, "durable_bytes_total", "Bytes of durable blocks and headers";
    write_errors, "write_errors_total", "Writes that failed";
    segments, "segments_total", "Segments begun";
}
