//! diolog: a Direct I/O logging engine for latency-sensitive Linux services.
//!
//! A thread appends a record to a ring of its own in about the time it takes to read the clock. One writer thread, pinned
//! where you want it, packs records into 4 KiB-aligned blocks and writes them with `O_DIRECT | O_DSYNC`. Every record is on
//! disk, or counted as lost, and the files themselves prove which.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::env::temp_dir().join(format!("diolog-lib-doc-{}", std::process::id()));
//! use diolog::{Config, Level, Logger, Reader, verify};
//!
//! let logger = Logger::open(Config::new(&directory))?;
//! let producer = logger.producer()?; // the fastest way: this thread's ring
//! producer.log(Level::Info, "order 42 filled");
//! logger.log(Level::Warn, "from any thread"); // convenience: the thread's own producer
//! logger.flush()?; // all of the above is durable
//! logger.close()?;
//!
//! for record in Reader::open(&directory)? {
//!     let record = record?;
//!     println!("{} {:?}", record.timestamp_ns(), record.message());
//! }
//! assert_eq!(verify(&directory)?.verdict.exit_code(), 0);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Logger`], [`Producer`] and [`Outcome`] are what a service uses; [`Config`] has every setting with its cost.
//! - [`Reader`], [`verify`] and [`info`] give the records back, and the proof.
//! - [`file_format`] describes every byte of the files, for readers in other languages.
//! - Features: `serde` (a [`Config`] from TOML), `cli` (the `diolog` command), `unstable` (internals for this package's
//!   tests and benches, without any promise).
//!
//! # What it does not do
//!
//! Format text on the hot path, compress, encrypt, send over a network, or write to more than one place. A record that was
//! accepted and is not durable does not survive a crash of the process: call [`Logger::flush`] where that matters.

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

#[cfg(feature = "unstable")]
#[doc(hidden)]
pub mod unstable;

pub use config::{Config, Overflow};
pub use device::{DeviceKind, DevicePreference, DeviceReport};
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

#[cfg(doc)]
#[doc = include_str!("../docs/format.md")]
pub mod file_format {}

/// The README's example runs as it stands.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
