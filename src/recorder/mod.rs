//! The flight recorder of a log: it keeps the most recent records that the log's level does not admit in memory, until
//! a snapshot writes them.
//!
//! Each producer that logs such a record gets a second ring, which overwrites its oldest records. [`RecorderEnd`] is
//! the producer's end of it. `rings` has the other ends, behind a lock; an append takes the lock only to make its ring.
//! The log's writer never looks at these rings: a snapshot reads them.
//!
//! When a producer ends, its ring stays here until a snapshot has taken its records. If the rings of ended producers
//! exceed their share of the log's ring memory, or that memory is needed for another ring, the oldest is freed or used
//! again earlier.

mod ring;
mod rings;
mod end;
mod triggers;
mod snapshots;

#[cfg(all(test, loom))]
mod models;

pub(crate) use end::RecorderEnd;
pub(crate) use rings::{RecorderRings, RecorderRules};
pub(crate) use snapshots::{Recorder, SnapshotPlace};
pub(crate) use triggers::TriggerRules;
