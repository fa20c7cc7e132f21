//! The measurements behind `diolog bench` and the package's benches: the timed calls, the baselines, and the reports as
//! text.
//!
//! Absolute figures drift with the machine. What counts is the ratio of each row to the baseline row of the same run:
//! the rows take turns, so that all of them see the same disturbances, and the baseline's own spread says how far a
//! ratio can be trusted. Everything that is timed is checked first: no figure comes from a log that loses records.
//!
//! Functions whose loops contain appends are `#[inline]`: they are compiled in the crate that measures, as a service's
//! appends are compiled in the service.

pub mod append;
mod baseline;
pub mod burst;
pub mod disk;
pub mod load;
pub mod orders;
pub mod place;
pub mod random;
pub mod rounds;
pub mod stopwatch;
pub mod sustained;
pub mod usage;

/// Why a measurement could not be made, as a message.
pub type Failure = Box<dyn std::error::Error>;

/// Bytes of a message, where the caller does not choose.
const MESSAGE_BYTES: usize = 64;

/// Message `number`, which no other one equals.
fn message(number: u64) -> [u8; MESSAGE_BYTES] {
    let mut message = [b'.'; MESSAGE_BYTES];
    message[..8].copy_from_slice(&number.to_le_bytes());
    message
}

/// The failure to prepare a first segment of `bytes`.
fn no_space(bytes: u64) -> Failure {
    format!("not enough space to prepare {bytes} bytes: that needs eight times as much free space").into()
}
