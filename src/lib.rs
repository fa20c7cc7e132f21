//! A logging engine for latency-sensitive Linux services.
//!
//! A thread appends a record to its own ring in about the time it takes to read the clock. One writer thread packs the
//! records of all rings into 4 KiB-aligned blocks and writes them with direct I/O, past the page cache. Every record is
//! in the files or counted as lost. [`verify`] proves from the files alone how many are there and how many are lost.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::env::temp_dir().join(format!("diolog-lib-doc-{}", std::process::id()));
//! use diolog::{Config, Level, Logger, Outcome, Reader, Verdict, info, verify};
//!
//! let logger = Logger::open(Config::new(&directory))?;
//! let producer = logger.producer()?; // a ring for this thread: the fastest way to log
//! let outcome = info!(producer, "order {id} filled", id = 42_u64); // copies the value; never waits for the disk
//! assert_eq!(outcome, Outcome::Written);
//! logger.log(Level::Warn, "from any thread"); // makes the thread's ring at its first call
//! logger.flush()?; // both records are durable
//! logger.close()?;
//!
//! let mut messages = Vec::new();
//! for record in Reader::open(&directory)? {
//!     messages.push(record?.text().into_owned());
//! }
//! assert_eq!(messages, ["order 42 filled", "from any thread"]);
//! assert_eq!(verify(&directory)?.verdict, Verdict::Clean);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Start here
//!
//! - To log: [`Logger`] opens a log. A [`Producer`] appends for one thread, or lends room in its ring ([`Claim`]).
//!   [`info!`](macro@info) and its siblings log typed fields. [`Outcome`] is the result of one append. [`Config`] has
//!   every setting, with its bounds and the cost of either extreme.
//! - To read: [`Reader`] returns the records in order of time, and [`RecordRef::fields`] the typed values of one.
//!   [`verify`] returns the proof, and [`info()`] a list of the files.
//! - Many logs: an [`Engine`] serves them all with one writer thread. [`EventLogs`] opens a log for each kind of event.
//! - To see what led to an error without logging everything: [`Config::flight_recorder`], [`Logger::snapshot`],
//!   [`snapshots()`].
//! - To watch: [`Logger::stats`] has all figures, and [`Stats::to_prometheus`] writes them. [`Logger::on_state_change`]
//!   and [`Logger::on_loss`] call back. [`FiguresReader`] reads the figures in another process.
//! - To show records while they are logged: a [`Listener`] gets the records of a level. [`StderrListener`] shows them
//!   on a terminal, and [`TextFileListener`] writes text files.
//! - To test code that logs: [`Logger::in_memory`]. To log nothing: [`Logger::disabled`].
//! - After a crash with [shared rings](RingMemory): [`Logger::recovery`] and [`recover`].
//! - To read files of asynclogger, the Go logger that diolog descends from: [`asynclogger::Reader`].
//! - [`ending`] says what each end of a process keeps, and how a program should end: also with tokio, `fork`, and in
//!   containers.
//! - [`operations`] is for those who run such a program: sizes, troubleshooting, alerts, containers, limits.
//! - [`file_format`] describes every byte of the files, for readers in other languages.
//!
//! # How safe a record is
//!
//! A record is **accepted** when `log` has returned [`Outcome::Written`]: it is in the ring. While the disk keeps up,
//! the writer writes it within [`flush_interval`](Config::flush_interval). If the process exits before that, open logs
//! are drained first. If it is killed before that, the record is gone, unless its ring is [shared](RingMemory): then
//! the next open of the log recovers it. See [`ending`].
//!
//! It is **durable** when the device has acknowledged its block and all blocks before it: it survives a power cut.
//! [`Logger::flush`] waits until everything accepted before the call is durable. [`Logger::close`] waits until
//! everything is.
//!
//! If a ring is full, the [`Overflow`] policy decides: drop the new record (the default), make the caller wait, or
//! overwrite the oldest records. Every attempt takes a sequence number. So the log itself shows how many records of
//! which producer are missing, and why.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `serde`: reads and writes `Config` as TOML, or in any other format that serde knows. Reports, figures and
//!   [`info()`] are `Serialize`, with the names that they have in the code, in snake case. Nanoseconds and sequence
//!   numbers may exceed 2^53, above which many readers of JSON round numbers: they are texts, always. Counts and bytes
//!   are numbers.
//! - `signals`: `drain_on_signals`, which drains the open logs before a signal ends the process; and
//!   [`rotate_on_hangup`](Config::rotate_on_hangup).
//! - `log`: `LogBridge`, which logs what a program and its libraries log by the crate `log`.
//! - `tracing`: `TracingBridge`, the same for the crate `tracing`, with its spans.
//! - `time-zones`: `RotateAt::DailyLocal` and `HourlyLocal`, which end segments at the local midnight and full hours.
//! - `metrics`: `Stats::publish_metrics`, which hands the figures to the crate `metrics`.
//! - `cli`: the `diolog` command: `write`, `run`, `cat`, `tail`, `info`, `snapshots`, `verify`, `recover`, `top`,
//!   `bench`.
//! - `max_level_off`, `max_level_error`, `max_level_warn`, `max_level_info`, `max_level_debug`, `max_level_trace`, and
//!   the same with `release_` in front: the most verbose level that is compiled in. See [`STATIC_MAX_LEVEL`].
//! - `unstable`: internals for this package's own tests and benches, without any promise.
//!
//! # Limits
//!
//! - It does not compress, encrypt, or send records over a network. It gives them only to [`Listener`]s in the same
//!   process.
//! - It formats no text on the hot path unless you ask for it (`%`, `?`, `log_args`).
//! - One process at a time writes a log; any number may read it meanwhile.
//! - On systems other than Linux it writes the same blocks through the page cache, and does not pin threads.

#![cfg_attr(docsrs, feature(doc_cfg))]

// In the order of a record's journey: API, producing thread, writer, disk, reader, shared foundations.
mod macros;
#[doc(hidden)]
pub mod expansion;
mod event;
mod logger;
mod engine;
mod event_logs;
mod opening;
mod ends;
mod config;
mod level;
mod levels;
mod rotate_at;
mod outcome;
mod error;
mod stats;

#[cfg(any(feature = "log", feature = "tracing"))]
mod bridge;
mod thread_local;
mod common_ring;
mod producer_builder;
mod producer;
mod claim;
mod waiting;
mod attempt;
mod appendable;
mod fields;
mod callsite;
mod limit;
mod gate;
mod admission;
mod clock;
mod sink;
mod ring;
mod crash;
mod registry;
mod recorder;
mod shared;
mod flush;
mod listen;

mod writer;
mod block;
mod buffer;
mod segment;
mod snapshot;
mod device;

mod template;
mod reader;
mod recovery;
mod render;
mod format;
mod sync;
mod grouped;
#[cfg(feature = "serde")]
mod written;
mod escape;
mod letters;
mod delays;
mod own_thread;
mod sys;

#[cfg(feature = "unstable")]
#[doc(hidden)]
pub mod unstable;

#[cfg(feature = "log")]
pub use bridge::LogBridge;
#[cfg(feature = "tracing")]
pub use bridge::TracingBridge;
pub use claim::Claim;
pub use config::{Config, EngineConfig, Overflow, RingMemory, Settings};
pub use device::{DeviceKind, DevicePreference, DeviceReport};
#[cfg(feature = "signals")]
pub use ends::drain_on_signals;
pub use ends::{flush_on_panic, flush_on_panic_within};
pub use engine::Engine;
pub use error::{Error, Result};
pub use event::Log;
pub use event_logs::EventLogs;
pub use fields::FieldValue;
pub use format::{CallsiteInfo, DroppedBy, Field, Fields, LossCause, Value};
pub use level::{Level, ParseLevelError, STATIC_MAX_LEVEL};
pub use levels::{Levels, ParseLevelsError};
pub use listen::{Listener, LiveRecord, Missed, StderrListener, StdoutListener, TextFileListener};
pub use logger::Logger;
pub use outcome::Outcome;
pub use producer::Producer;
pub use producer_builder::ProducerBuilder;
pub use reader::asynclogger;
pub use reader::{
    BlockCounts, Entries, Entry, EntryRef, Figures, FiguresReader, Filter, Finding, Gap, InUse, Latency, LogInfo,
    ProducerFigures, ProducerReport, ReadOptions, Reader, Record, RecordRef, Report, RunId, RunReport, SegmentInfo,
    Severity, SnapshotInfo, Verdict, Verification, info, snapshots, verify,
};
pub use recovery::{Recovery, RecoveryOutcome, forget, recover, recover_watched};
pub use rotate_at::{ParseRotateAtError, RotateAt};
pub use sink::{MemoryLog, MemoryRecord};
pub use stats::{
    CloseReport, Distribution, EngineRingMemoryStats, EventStats, ListenerStats, LogCounts, Losses, ProducerCounts,
    ProducerLosses, ProducerStats, RecorderStats, RefusedBy, RingMemoryStats, State, Stats, WriteErrorsBy,
};

#[cfg(doc)]
#[doc = include_str!("../docs/ending.md")]
pub mod ending {}

#[cfg(doc)]
#[doc = "[ending]: crate::ending"] // the page itself names the file
#[doc = ""]
#[doc = include_str!("../docs/operations.md")]
pub mod operations {}

#[cfg(doc)]
#[doc = include_str!("../docs/format.md")]
pub mod file_format {}

/// The README's example runs as it stands.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
