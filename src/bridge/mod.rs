//! The bridges: they put what a program and its libraries log by the facades `log` and `tracing` into a log.
//!
//! `log.rs` and `tracing.rs` implement what each facade calls for an event. An event becomes one structured record: the
//! facade visits its values, and the bridge writes each of them to the scratch; `places` finds the record's callsite;
//! `append` puts callsite and values into the thread's ring. `span` keeps the names and fields of the spans of
//! `tracing`, and `visitor` writes the values that `tracing` visits.

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
