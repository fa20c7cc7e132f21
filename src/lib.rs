//! diolog: a Direct I/O logging engine for latency-sensitive Linux services.

// In the order of a record's journey: what users touch, the producing thread, the writer, the disk, and what all of
// them rest on.
mod logger;
mod config;
mod level;
mod outcome;
mod error;
mod stats;

mod thread_local;
mod producer;
mod gate;
mod clock;
mod ring;
mod registry;
mod shared;
mod flush;

mod writer;
mod block;
mod buffer;
mod segment;
mod device;

mod reader;
mod format;
mod sync;
mod sys;

#[cfg(feature = "testing")]
pub mod testing;
#[doc(hidden)]
pub mod measuring;

pub use config::{Config, Overflow};
pub use device::{DevicePreference, Rung, RungReport};
pub use error::{Error, Result};
pub use level::{Level, ParseLevelError};
pub use logger::Logger;
pub use outcome::Outcome;
pub use producer::Producer;
pub use reader::{
    BlockCounts, Finding, LogInfo, ProducerReport, ReadOptions, Reader, Record, RecordRef, Report, RunId, RunReport,
    SegmentInfo, Severity, Verdict, Verification, info, verify,
};
pub use stats::{Distribution, ProducerStats, State, Stats};
