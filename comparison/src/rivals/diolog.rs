//! diolog with its defaults: by a producer of the thread's own, by its macro, and behind the facade `log`; and with
//! rings that outlive the process.

use std::path::Path;

use ::diolog::{Config, Level, LogBridge, Logger, Overflow, Producer, RingMemory};

use super::log_facade::Backend;
use crate::rival::{Failure, Rival};

/// The log's directory in `place`.
pub const LOG: &str = "log";

fn open(place: &Path, waits: bool, rings: RingMemory) -> Result<Logger, Failure> {
    let config = Config::new(place.join(LOG)).ring_memory(rings);
    let config = if waits { config.overflow(Overflow::Block) } else { config };
    Ok(Logger::open(config)?)
}

/// Closes the log. It says how many records it has lost.
fn close(logger: &Logger) -> Result<u64, Failure> {
    Ok(logger.close()?.lost())
}

/// Messages as they are; if `SHARED`, in rings that outlive the process.
pub struct Messages<const SHARED: bool>(Logger);

/// In private rings.
pub type Diolog = Messages<false>;

/// In shared ones.
pub type DiologShared = Messages<true>;

impl<const SHARED: bool> Rival for Messages<SHARED> {
    type Handle = Producer;

    fn start(place: &Path, waits: bool) -> Result<Self, Failure> {
        let rings = if SHARED { RingMemory::shared() } else { RingMemory::Private };
        open(place, waits, rings).map(Messages)
    }

    fn handle(&self) -> Result<Producer, Failure> {
        Ok(self.0.producer()?)
    }

    #[inline]
    fn log(handle: &mut Producer, message: &str) {
        let _ = handle.log(Level::Info, message);
    }

    fn finish(self, _: &Path) -> Result<u64, Failure> {
        close(&self.0)
    }
}

/// Structured records with the message as a field.
pub struct DiologMacro(Logger);

impl Rival for DiologMacro {
    type Handle = Producer;

    fn start(place: &Path, waits: bool) -> Result<DiologMacro, Failure> {
        open(place, waits, RingMemory::Private).map(DiologMacro)
    }

    fn handle(&self) -> Result<Producer, Failure> {
        Ok(self.0.producer()?)
    }

    #[inline]
    fn log(handle: &mut Producer, message: &str) {
        let _ = diolog::info!(handle, "{message}", message);
    }

    fn finish(self, _: &Path) -> Result<u64, Failure> {
        close(&self.0)
    }
}

/// What programs log by the macros of `log`.
pub struct DiologLog(Logger);

impl Backend for DiologLog {
    fn start(place: &Path, waits: bool) -> Result<DiologLog, Failure> {
        let logger = open(place, waits, RingMemory::Private)?;
        LogBridge::new(&logger).install()?;
        Ok(DiologLog(logger))
    }

    fn finish(self) -> Result<u64, Failure> {
        close(&self.0)
    }
}
