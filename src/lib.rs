//! diolog: a Direct I/O logging engine for latency-sensitive Linux services.

mod error;
mod format;
mod level;
mod sys;

pub use error::{Error, Result};
pub use level::{Level, ParseLevelError};
