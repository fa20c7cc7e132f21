//! What a test needs to put a device of its own making under a log (one that fails, stalls, or records what it is
//! given), or a clock that it moves itself.
//!
//! Unstable: with the feature `testing` only, and free to change in any release.

pub use crate::buffer::AlignedBuffer;
pub use crate::clock::ManualClock;
pub use crate::device::{BlockWrite, Completion, Device, Rung, RungReport};
