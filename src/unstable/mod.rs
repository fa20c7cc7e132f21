//! The one way into the library's internals, for this package's tests, its benches and its command line.
//!
//! With the feature `unstable` only, and not shown on docs.rs. There is no promise: any release may change or remove
//! its items. Nothing in the library uses this module.

pub mod fuzz;
mod fuzz_rings;
mod hooks;
mod layer;
pub mod measure;
mod ring;

pub use crate::buffer::AlignedBuffer;
pub use crate::clock::ManualClock;
pub use crate::device::{BlockWrite, Completion, Device, DeviceKind, DeviceReport};
pub use crate::opening::Hooks;
pub use layer::DeviceLayer;
pub use ring::{RingConsumer, RingProducer, ring};

/// Ends the line of a record that was cut, for people.
pub fn cut_mark(line: &[u8]) -> &'static str {
    crate::render::cut_mark(line)
}
