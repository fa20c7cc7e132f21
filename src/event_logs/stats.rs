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

/// Makes [`EventSums`], with the sums of these fields of [`Stats`].
macro_rules! sums {
    ($($field:ident),*) => {
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
        }
    };
}

sums!(
    attempted,
    written,
    truncated,
    payload_bytes,
    dropped,
    overwritten,
    refused,
    hidden,
    durable_records,
    durable_bytes,
    write_errors,
    segments
);
