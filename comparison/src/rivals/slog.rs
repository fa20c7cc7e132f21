//! slog, with slog-async in front of slog-term's lines into a file.

use std::fs::{self, File};
use std::path::Path;

use slog::{Drain as _, Logger, o};
use slog_async::OverflowStrategy;

use crate::rival::{Failure, Rival};

const FILE: &str = "slog.log";

/// A queue of 128 records, the default.
pub struct SlogAsync(Logger);

impl Rival for SlogAsync {
    type Handle = Logger;

    fn start(place: &Path, waits: bool) -> Result<SlogAsync, Failure> {
        let decorator = slog_term::PlainSyncDecorator::new(File::create(place.join(FILE))?);
        let drain = slog_term::FullFormat::new(decorator).build().fuse();
        let overflow = if waits { OverflowStrategy::Block } else { OverflowStrategy::DropAndReport };
        let drain = slog_async::Async::new(drain).overflow_strategy(overflow).build().fuse();
        Ok(SlogAsync(Logger::root(drain, o!())))
    }

    fn handle(&self) -> Result<Logger, Failure> {
        Ok(self.0.clone())
    }

    #[inline]
    fn log(handle: &mut Logger, message: &str) {
        slog::info!(handle, "{message}");
    }

    fn finish(self, _: &Path) -> Result<u64, Failure> {
        drop(self.0);
        Ok(0)
    }
}

/// Lost messages, as slog-async says in the log. Version 2.8.0 counts each message twice that is lost after another
/// one, while the queue is still full.
pub fn said_by_slog(place: &Path) -> u64 {
    let said = fs::read_to_string(place.join(FILE)).unwrap_or_default();
    let counts = said.lines().filter(|line| line.contains("logger dropped messages due to channel overflow"));
    counts.filter_map(|line| line.rsplit_once("count: ")?.1.trim().parse::<u64>().ok()).sum()
}
