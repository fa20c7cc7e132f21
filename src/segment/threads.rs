//! The threads that prepare segments, one for each file system, and the logs that share them.
//!
//! A logger that is opened by itself makes a set of its own; logs that are opened together share one. Used when a run
//! begins.

/// The threads that prepare segments for some logs: one for each file system. Clones are handles to the same threads.
#[derive(Clone, Default)]
pub(crate) struct Threads {}
