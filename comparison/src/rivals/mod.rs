//! The loggers, each set up as its documentation shows.

mod bare;
mod diolog;
mod log_facade;
mod slog;
mod small;
mod spdlog;
mod tracing;

pub use self::bare::{Clock, Rtrb};
pub use self::diolog::{Diolog, DiologLog, DiologMacro, DiologShared, LOG};
pub use self::log_facade::{BehindLog, Fern, FlexiLogger, Ftlog};
pub use self::slog::SlogAsync;
pub use self::small::{LltRs, Ttlog};
pub use self::spdlog::SpdlogRs;
pub use self::tracing::TracingAppender;

use std::fs;
use std::path::Path;

use crate::child::STDERR;
use crate::rival::Name;

/// How many messages were lost, as the logger says in its files or on standard error.
pub fn said_in_files(name: Name, place: &Path) -> u64 {
    match name {
        Name::Ftlog => log_facade::said_by_ftlog(&fs::read_to_string(place.join(STDERR)).unwrap_or_default()),
        Name::SlogAsync => slog::said_by_slog(place),
        _ => 0,
    }
}
