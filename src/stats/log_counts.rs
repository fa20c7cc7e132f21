//! The counts of a log, without its rows and its state, so that those of several logs can be added up.

use super::{RefusedBy, Stats, WriteErrorsBy};
use crate::format::DroppedBy;

/// Makes [`LogCounts`] of the fields of [`Stats`] that are `counts`, and of `derived` ones, each with the function that
/// takes it from there. A field of [`Stats`] in no list does not compile.
macro_rules! log_counts {
    (
        counts { $($(#[$attribute:meta])? $field:ident: $count:ty,)* }
        derived { $(#[$of_derived:meta] $derived:ident = $take:expr,)* }
        left_out { $($left_out:ident)* }
    ) => {
        /// What one log has counted, or the sums over several: of each count of [`Stats`], the field of the same name.
        /// None goes back.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub struct LogCounts {
            $(
                #[doc = concat!("[`Stats::", stringify!($field), "`].")]
                $(#[$attribute])?
                pub $field: $count,
            )*
            $(#[$of_derived] pub $derived: u64,)*
        }

        impl LogCounts {
            /// Adds those of another log.
            pub(crate) fn add(&mut self, other: &LogCounts) {
                $(self.$field += other.$field;)*
                $(self.$derived += other.$derived;)*
            }
        }

        impl From<&Stats> for LogCounts {
            fn from(stats: &Stats) -> LogCounts {
                let Stats { $($field,)* $($left_out: _,)* } = stats;
                let derived = |take: fn(&Stats) -> u64| take(stats);
                LogCounts { $($field: *$field,)* $($derived: derived($take),)* }
            }
        }
    };
}

log_counts! {
    counts {
        attempted: u64,
        written: u64,
        truncated: u64,
        payload_bytes: u64,
        dropped: u64,
        dropped_by: DroppedBy,
        overwritten: u64,
        refused: u64,
        refused_by: RefusedBy,
        hidden: u64,
        waits: u64,
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
        waited_ns: u64,
        durable_records: u64,
        durable_blocks: u64,
        durable_bytes: u64,
        padding_bytes: u64,
        device_bytes: u64,
        flushes: u64,
        flush_errors: u64,
        write_errors: u64,
        write_errors_by: WriteErrorsBy,
        lost_segments: u64,
        preparation_errors: u64,
        segments: u64,
        segments_in_time: u64,
        segments_late: u64,
        producers_ended: u64,
    }
    derived {
        /// Records that [listeners](Stats::listeners) did not get.
        listeners_missed = |stats| stats.listeners.iter().map(|listener| listener.missed).sum(),
        /// Records that the [flight recorder](Stats::recorder) has got.
        recorded = |stats| stats.recorder.map_or(0, |recorder| recorder.recorded),
        /// Its snapshots that were written.
        snapshots = |stats| stats.recorder.map_or(0, |recorder| recorder.snapshots),
        /// Its snapshots that could not be written.
        snapshots_failed = |stats| stats.recorder.map_or(0, |recorder| recorder.snapshots_failed),
    }
    left_out {
        state device ring_memory write_latency_ns flush_latency_ns block_bytes
        listeners recorder ended producers
    }
}

/// A log, or an event with all logs that it has had, under the name that its samples get as label `log`.
pub(super) struct NamedLog<'a> {
    pub(super) name: &'a str,
    /// The counts of all of its logs.
    pub(super) counts: LogCounts,
    /// The figures of the one that is open, if any.
    pub(super) open: Option<&'a Stats>,
}

impl<'a> NamedLog<'a> {
    pub(super) fn of(name: &'a str, stats: &'a Stats) -> NamedLog<'a> {
        NamedLog { name, counts: stats.into(), open: Some(stats) }
    }
}
