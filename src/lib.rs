//! diolog: a Direct I/O logging engine for latency-sensitive Linux services.

mod buffer;
mod clock;
mod config;
mod device;
mod error;
mod format;
mod gate;
mod level;
mod ring;
mod sync;
mod sys;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::{Config, Overflow};
pub use device::{DevicePreference, Rung, RungReport};
pub use error::{Error, Result};
pub use level::{Level, ParseLevelError};
