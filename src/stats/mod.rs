//! A log's figures at one moment, as [`Logger::stats`](crate::Logger::stats) returns them.
//!
//! `snapshot` has the figures of a log. `published` has those that the writer publishes while it runs, and
//! `distribution` latencies and sizes. The rows of `producers` are beside their rings, and the registry sums them up.
//! `log_counts` has the counts that can be added to those of other logs, `events` the figures of event logs.
//! `prometheus` and `metrics` give the figures to monitoring systems, by the names in `families`.

mod close_report;
mod distribution;
mod events;
mod exact_looks;
mod families;
mod listener;
mod log_counts;
mod losses;
#[cfg(feature = "metrics")]
mod metrics;
mod producers;
mod prometheus;
mod published;
mod recorder;
mod refused;
mod snapshot;
mod words;
mod write_errors;

pub use crate::format::State;
pub use close_report::CloseReport;
pub use distribution::Distribution;
pub use events::EventStats;
pub(crate) use exact_looks::ExactLooks;
pub use listener::ListenerStats;
pub use log_counts::LogCounts;
pub use losses::{Losses, ProducerLosses};
pub(crate) use producers::{Drained, Producers};
pub use producers::{EngineRingMemoryStats, ProducerCounts, ProducerStats, RingMemoryStats};
pub(crate) use published::{Published, Publisher};
pub use recorder::RecorderStats;
pub use refused::RefusedBy;
pub use snapshot::Stats;
pub(crate) use write_errors::WriteErrorKind;
pub use write_errors::WriteErrorsBy;
