//! The settings of a log: one plain value, set by chained calls or read from TOML, checked as a whole at open.
//!
//! A setting is one entry in `settings` (name, documentation, default, setter, getter and TOML key in one place) and
//! one check in `check`. Nothing here depends on the machine: [`Logger::open`](crate::Logger::open) finds out whether a
//! CPU exists or a directory can be created. A running log keeps the settings with which it was opened.

mod settings;
mod engine;
mod overflow;
mod ring_memory;
mod check;
#[cfg(feature = "serde")]
mod toml;
#[cfg(feature = "serde")]
mod words;

pub(crate) use check::{FILE_NAME_BYTES_MAX, PART_FOR_LARGE_RINGS, Validated};
#[cfg(feature = "unstable")]
pub(crate) use check::{RING_BYTES, WAITING_RING_BYTES};
pub(crate) use engine::ENGINE_BLOCKS_BYTES;
#[cfg(feature = "unstable")]
pub(crate) use engine::ENGINE_RINGS_BYTES;
pub use engine::EngineConfig;
pub use overflow::Overflow;
pub use ring_memory::RingMemory;
pub use settings::{Config, Settings};
