//! The figures of one listener of a log.

use crate::level::Level;

/// One [listener](crate::Config::listener)'s counters, of the records of its level in this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ListenerStats {
    /// The least severe level that it gets.
    pub level: Level,
    /// Records that it got.
    pub given: u64,
    /// Records that it did not get: it was too slow, it panicked, or the log was closed before.
    pub missed: u64,
    /// Records that wait for it.
    pub waiting: u64,
}
