//! diolog: a Direct I/O logging engine for latency-sensitive Linux services.

mod config;
mod error;
mod format;
mod level;
mod sys;

pub use config::{Config, Overflow};
pub use error::{Error, Result};
pub use level::{Level, ParseLevelError};
