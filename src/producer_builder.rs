//! A producer with settings of its own. Made by [`Logger::producer_builder`](crate::Logger::producer_builder).

use std::sync::Arc;

use crate::error::Result;
use crate::producer::Producer;
use crate::shared::Shared;
use crate::thread_local;

/// Makes a [`Producer`] with a name, or with a ring of another size than the log's other producers have.
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-producer-builder-doc-{}", std::process::id()));
/// use diolog::{Config, Level, Logger};
///
/// let logger = Logger::open(Config::new(&directory).ring_bytes(64 << 10))?;
/// let market_data = logger.producer_builder().name("market data").ring_bytes(4 << 20).build()?; // long bursts
/// market_data.log(Level::Info, "book 7 opened");
/// logger.close()?;
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder makes a producer only when `build` is called"]
pub struct ProducerBuilder<'a> {
    shared: &'a Arc<Shared>,
    name: Option<String>,
    ring_bytes: Option<usize>,
}

impl<'a> ProducerBuilder<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>) -> ProducerBuilder<'a> {
        ProducerBuilder { shared, name: None, ring_bytes: None }
    }

    /// The producer's name, at most 255 bytes: by default the calling thread's. Several producers may have the same
    /// one.
    pub fn name(mut self, name: impl Into<String>) -> ProducerBuilder<'a> {
        self.name = Some(name.into());
        self
    }

    /// Bytes of its ring, with the bounds of [`Config::ring_bytes`](crate::Config::ring_bytes), which is the default.
    ///
    /// The longest message stays within [`message_bytes_max`](crate::Config::message_bytes_max), which follows from the
    /// log's settings, however large this ring is.
    pub fn ring_bytes(mut self, bytes: usize) -> ProducerBuilder<'a> {
        self.ring_bytes = Some(bytes);
        self
    }

    /// Makes the producer, and allocates its ring.
    ///
    /// # Errors
    /// As [`Logger::producer_named`](crate::Logger::producer_named), and
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a ring of an invalid size, or one that does not carry
    /// a message of an explicit [`message_bytes_max`](crate::Config::message_bytes_max).
    pub fn build(self) -> Result<Producer> {
        let settings = &self.shared.settings;
        let ring_bytes = match self.ring_bytes {
            Some(bytes) => settings.check_producer_ring(bytes)?,
            None => self.shared.ring_bytes(),
        };
        let thread = std::thread::current();
        let name = self.name.as_deref().or(thread.name()).unwrap_or_default();
        thread_local::new_producer(self.shared, ring_bytes, name)
    }
}

impl std::fmt::Debug for ProducerBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ProducerBuilder { name, ring_bytes, .. } = self;
        f.debug_struct("ProducerBuilder").field("name", name).field("ring_bytes", ring_bytes).finish_non_exhaustive()
    }
}
