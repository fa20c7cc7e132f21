//! A log's segments: the numbered files that its blocks are written to.
//!
//! The writer holds a run's [`Segments`], which decide where the next block goes and when the next segment begins. A
//! separate thread creates, cuts and removes the files. Nothing here knows the device: a segment's header is composed
//! here, and goes through the device as every block does. Only [`offline`] writes blocks itself.

mod random;
mod rules;
mod timetable;
mod header;
mod run;
mod present;
mod next;
mod preparing;
mod publish;
mod offline;
mod beside;

mod directory;
mod location;
mod lock;
mod owner;
mod inspect;

pub(crate) use beside::Beside;
pub(crate) use directory::{Directory, Making};
pub(crate) use header::{Header, Rows};
pub(crate) use lock::LogLock;
pub(crate) use offline::OfflineSegment;
pub(crate) use owner::Owner;
pub(crate) use preparing::{Limits, PreparingThreads};
pub(crate) use present::{Readiness, WriteTarget};
pub(crate) use random::{random_bytes, random_id};
pub(crate) use rules::{FIRST_FILL_PATIENCE, Rules, SegmentSizes};
pub(crate) use run::Segments;
