//! diolog with its defaults: by a producer of the thread's own, by its macro, and behind the facade `log`; and with rings
//! that outlive the process.

use std::path::Path;

use ::diolog::{Config, Level, LogBridge, Logger, Overflow, Producer, RingMemory};

use crate::rival::{Failure, Rival};

/// The log's directory in `place`.
pub const LOG: &str = "log";

fn open(place: &Path, waits: bool) -> Result<Logger, Failure> {
    open_with(Config::new(place.join(LOG)), waits)
}

fn open_with(config: Config, waits: bool) -> Result<Logger, Failure> {
    let config = if waits { config.overflow(Overflow::Block) } else { config };
    Ok(Logger::open(config)?)
}

/// Closes the log. It says how many records it has lost.
fn close(logger: &Logger) -> Result<u64, Failure> {
    Ok(logger.close()?.lost())
}

/// Messages as they are.
pub struct Diolog(Logger);

impl Rival for Diolog {
    type Handle = Producer;

    fn start(place: &Path, waits: bool) -> Result<Diolog, Failure> {
        open(place, waits).map(Diolog)
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

/// Messages as they are, in rings that outlive the process.
pub struct DiologShared(Logger);

impl Rival for DiologShared {
    type Handle = Producer;

    fn start(place: &Path, waits: bool) -> Result<DiologShared, Failure> {
        let config = Config::new(place.join(LOG)).ring_memory(RingMemory::shared());
        open_with(config, waits).map(DiologShared)
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
        open(place, waits).map(DiologMacro)
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

impl Rival for DiologLog {
    type Handle = ();

    fn start(place: &Path, waits: bool) -> Result<DiologLog, Failure> {
        let logger = open(place, waits)?;
        LogBridge::new(&logger).install()?;
        Ok(DiologLog(logger))
    }

    fn handle(&self) -> Result<(), Failure> {
        Ok(())
    }

    #[inline]
    fn log(_: &mut (), message: &str) {
        log::info!("{message}");
    }

    fn finish(self, _: &Path) -> Result<u64, Failure> {
        close(&self.0)
    }
}
