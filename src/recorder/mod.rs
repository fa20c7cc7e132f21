//! The flight recorder of a log: the most recent records that the log's level does not admit, kept in memory until
//! somebody wants them written.
//!
//! Each producer that such a record comes to gets a second ring, which overwrites its oldest records: [`RecorderEnd`]
//! is the producer's side of it, and `rings` has the other ends, behind a lock that no append takes once its ring is
//! made. The log's writer never looks at these rings: a snapshot takes what is in them.
//!
//! A producer that ends leaves its ring here. It is freed once its records were taken, or used again if all such rings
//! together exceed their share of the log's ring memory, or that memory is needed otherwise.

mod ring;
mod rings;
mod end;
mod triggers;
mod snapshots;

pub(crate) use end::RecorderEnd;
pub(crate) use ring::Identity;
pub(crate) use rings::{RecorderRings, RecorderRules};
pub(crate) use snapshots::{Recorder, SnapshotPlace};
pub(crate) use triggers::TriggerRules;
