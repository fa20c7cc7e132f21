//! The figures of one listener of a log.

use crate::level::Level;

/// One [listener](crate::Config::listener)'s counters, for the records of its level in this log. Listeners have no
/// names: two of one level are told apart by their order, which is that of the calls of `Config::listener`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ListenerStats {
    /// The least severe level that it gets.
    pub level: Level,
    /// Records that it got.
    pub given: u64,
    /// Records that it did not get: because it was too slow, because it panicked, or because the log was closed first.
    /// The last includes a record in whose call the listener was at the deadline of `close`.
    pub missed: u64,
    /// Records that wait for it.
    pub waiting: u64,
}
