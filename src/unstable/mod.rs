//! The one way into the library's internals, for this package's tests, its benches and its command line.
//!
//! With the feature `unstable` only, and not shown on docs.rs. There is no promise: any release may change or remove
//! its items. Nothing in the library uses this module.

pub mod fuzz;
mod fuzz_recovery;
mod fuzz_rings;
mod hooks;
mod layer;
pub mod measure;
mod ring;

use std::fmt::Display;

use crate::grouped::{Grouped, Size};
use crate::reader::RunId;
use crate::{config, format};

pub use crate::buffer::AlignedBuffer;
pub use crate::clock::ManualClock;
pub use crate::device::{BlockWrite, Completion, Device, DeviceKind, DeviceReport};
pub use crate::opening::Hooks;
pub use crate::reader::RecordOrigin;
pub use layer::DeviceLayer;
pub use ring::{RingConsumer, RingProducer, ring};

/// The unit of sizes in files: blocks and segments are multiples of it.
pub const GRID_BYTES: usize = format::GRID_BYTES;
/// The largest block.
pub const BLOCK_BYTES_MAX: usize = format::BLOCK_BYTES_MAX;
/// The ring of a producer by default.
pub const RING_BYTES: usize = config::RING_BYTES;
/// The ring of a producer that waits for space, by default.
pub const WAITING_RING_BYTES: usize = config::WAITING_RING_BYTES;
/// The memory of all rings of an engine, by default.
pub const ENGINE_RINGS_BYTES: usize = config::ENGINE_RINGS_BYTES;

/// Ends the line of a record that was cut, for people.
pub fn cut_mark(line: &[u8]) -> &'static str {
    crate::render::cut_mark(line)
}

/// A number that is not negative, for people: "1,234,567".
pub fn grouped(number: impl Display) -> String {
    Grouped(number).to_string()
}

/// A count with its noun, for people: "1 record", "2,000 records".
pub fn counted(count: u64, thing: &str) -> String {
    crate::grouped::counted(count, thing)
}

/// A number of bytes for people: "1 MiB", or "5,000 bytes" if it is no multiple of a unit.
pub fn size(bytes: u64) -> String {
    Size(bytes).to_string()
}

/// The name of the file in a log's directory that says where the rings of a run are.
pub fn rings_file_name(run: &RunId) -> String {
    format::rings_file_name(run)
}

pub use crate::escape::{has_only as has_only_printable, is_plain, text as escape_text};

/// Whether the character would break a line, or make it look like another one.
#[inline]
pub fn is_unsafe_to_show(letter: char) -> bool {
    crate::letters::is_unsafe_to_show(letter)
}
