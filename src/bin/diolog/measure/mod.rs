//! The measuring itself, used by `diolog bench` and by the package's benches: what is timed, against which baseline,
//! and the report as text.
//!
//! Absolute figures drift with the machine. What counts is each row's ratio to the baseline row of the same run: rows take
//! turns, so that all of them see the same disturbances, and the baseline's own spread says how far a ratio can be
//! trusted. Everything that is timed is checked first: a figure is never that of a log that loses records.

pub(crate) mod append;
pub(crate) mod sustained;
mod bare_ring;
pub(crate) mod place;
pub(crate) mod rounds;
pub(crate) mod stopwatch;
pub(crate) mod usage;

pub(crate) use place::Scratch;

/// Why a measurement could not be made: a sentence for the person.
pub(crate) type Failure = Box<dyn std::error::Error>;
