//! What a test needs to put a device or a clock of its own making under a log: a device that fails, stalls, or records
//! what it is given; a clock that stands still. And a ring by itself, for its bench.
//!
//! Unstable: with the feature `testing` only, and free to change in any release.

mod bare_ring;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::logger::{self, Logger};

pub use bare_ring::{BareConsumer, BareProducer, bare_ring};

pub use crate::buffer::AlignedBuffer;
pub use crate::clock::ManualClock;
pub use crate::device::{BlockWrite, Completion, Device, DeviceKind, DeviceReport};

/// What to put under a log.
#[derive(Default)]
pub struct Hooks(logger::Hooks);

impl Hooks {
    /// Nothing: an ordinary log.
    pub fn new() -> Hooks {
        Hooks::default()
    }

    /// Calls `wrap` on the writer thread with the device that was made, and uses what it returns.
    #[must_use]
    pub fn wrap_device(mut self, wrap: impl FnOnce(Box<dyn Device>) -> Box<dyn Device> + Send + 'static) -> Hooks {
        self.0.wrap_device = Some(Box::new(wrap));
        self
    }

    /// Takes all times from `clock`. Sleeps and deadlines stay real.
    #[must_use]
    pub fn clock(mut self, clock: &'static ManualClock) -> Hooks {
        self.0.clock = Some(Clock::manual(clock));
        self
    }

    /// Opens a log with these under it.
    ///
    /// # Errors
    /// As [`Logger::open`].
    pub fn open(self, config: Config) -> Result<Logger> {
        Logger::open_with(config, self.0)
    }
}
