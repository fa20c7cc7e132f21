//! The overflow policy: how a producer handles a full ring.

use std::time::Duration;

/// How a producer handles a full ring.
///
/// Each lost record is counted, by producer and cause, in the stats and in the log itself.
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-doc-overflow-{}", std::process::id()));
/// use std::time::Duration;
///
/// use diolog::{Config, Level, Logger, Outcome, Overflow};
///
/// // A full ring may delay its thread by 2 ms, no longer.
/// let config = Config::new(&directory).overflow(Overflow::BlockFor(Duration::from_millis(2)));
/// let logger = Logger::open(config)?;
/// let producer = logger.producer()?;
/// if producer.log(Level::Warn, "margin below 5 %") == Outcome::Dropped {
///     // There was no space for 2 ms: the record is lost.
/// }
/// logger.close()?;
///
/// assert_eq!(logger.stats().dropped, 0);
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The new record is lost, and the caller continues at once. This is the default: the service never waits. The
    /// ring's reserve takes bursts: see [`reserve_bytes`](crate::Config::reserve_bytes).
    #[default]
    DropNewest,
    /// The caller waits for space. Nothing is lost while the device works; if the device stalls, so does the caller.
    /// Rings have no reserve.
    ///
    /// While the log's [`State`](crate::State) is `Failed`, the record is dropped instead, and counted. If the logger
    /// is closed meanwhile, the append returns [`Outcome::Closed`](crate::Outcome::Closed).
    Block,
    /// The caller waits for space, at most this long. After that the new record is lost. More than zero, at most an
    /// hour.
    BlockFor(Duration),
    /// The oldest records that the writer has not copied yet are lost: for logs whose last records matter most.
    ///
    /// The new record is dropped instead if the writer is copying the oldest one at that moment, which is rare: dropped
    /// because the ring was full.
    ///
    /// Rings have no reserve, and keep no room for severe records. A crash can lose accepted records even with
    /// [shared rings](crate::RingMemory), because a record's space is free when it is copied, before it is durable.
    OverwriteOldest,
}
