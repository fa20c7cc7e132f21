//! The figures of a log's flight recorder.

/// What the [flight recorder](crate::Config::flight_recorder) of a log holds, and what happened to the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RecorderStats {
    /// Records that a snapshot would write now.
    pub held: u64,
    /// Records that it has got since the log was opened.
    pub recorded: u64,
    /// Those of them that newer ones replaced, or that were freed with the ring of a thread that had ended.
    pub overwritten: u64,
    /// Records that got no ring, for lack of memory.
    pub unrecorded: u64,
    /// Rings, each of [`flight_recorder`](crate::Config::flight_recorder) bytes.
    pub rings: u64,
    /// Snapshots that were written.
    pub snapshots: u64,
    /// Snapshots that could not be written.
    pub snapshots_failed: u64,
}
