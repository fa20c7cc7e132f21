//! The bridges: what a program and its libraries log by the facades `log` and `tracing` goes into a log.
//!
//! `log` and `tracing` are the ends of the two facades. Each event becomes one structured record: its values are
//! written to the scratch as they are visited, `places` finds the callsite, and `append` puts both into the thread's
//! ring. `span` keeps what the spans of `tracing` say, and `visitor` writes its values.

#[cfg(feature = "log")]
mod log;
#[cfg(feature = "tracing")]
mod tracing;
#[cfg(feature = "tracing")]
mod span;
#[cfg(feature = "tracing")]
mod visitor;
mod append;
mod places;

#[cfg(feature = "log")]
pub use self::log::LogBridge;
#[cfg(feature = "tracing")]
pub use self::tracing::TracingBridge;
