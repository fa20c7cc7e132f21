//! Opening a log with a device or a clock made by the caller: a device that fails, stalls, or records its writes; a
//! clock that stands still.
//!
//! [`Hooks`] itself belongs to `opening`.

use std::time::Duration;

use super::layer::{DeviceLayer, Layered};
use crate::clock::{Clock, ManualClock};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::Result;
use crate::logger::Logger;
use crate::opening::Hooks;

impl Hooks {
    /// No hook: an ordinary log.
    pub fn new() -> Hooks {
        Hooks::default()
    }

    /// Calls `make` on the writer thread, and lays what it returns over the log's device.
    #[must_use]
    pub fn device_layer<L: DeviceLayer + 'static>(mut self, make: impl FnOnce() -> L + Send + 'static) -> Hooks {
        self.wrap_device = Some(Box::new(|below| Box::new(Layered { layer: make(), below })));
        self
    }

    /// Takes all times from `clock`. Sleeps and deadlines stay real.
    #[must_use]
    pub fn clock(mut self, clock: &'static ManualClock) -> Hooks {
        self.clock = Some(Clock::manual(clock));
        self
    }

    /// Lets open wait until the first segment is filled with zeros to its end, however long that takes: a measurement
    /// then sees prepared space only.
    #[must_use]
    pub fn first_segment_prepared(mut self) -> Hooks {
        self.first_fill_patience = Some(Duration::MAX);
        self
    }

    /// Opens a log with these hooks.
    ///
    /// # Errors
    /// As [`Logger::open`].
    pub fn open(self, config: Config) -> Result<Logger> {
        Logger::open_with(config, self)
    }

    /// Opens a log of `engine` with these hooks.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_on(self, engine: &Engine, config: Config) -> Result<Logger> {
        engine.open_with(config, self, None)
    }
}
