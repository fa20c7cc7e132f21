//! What became of one append: the result on the hot path, where an [`Error`](crate::Error) would cost too much.

/// What became of one append. Unless it is `Written` or `Truncated`, the record is not in the ring.
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-outcome-doc-{}", std::process::id()));
/// use diolog::{Config, Level, Logger, Outcome};
///
/// let logger = Logger::open(Config::new(&directory).message_bytes_max(8))?;
/// let producer = logger.producer()?;
/// assert_eq!(producer.log(Level::Info, "short"), Outcome::Written);
/// assert_eq!(producer.log(Level::Info, "longer than 8 bytes"), Outcome::Truncated);
/// assert_eq!(producer.log(Level::Debug, "below the level"), Outcome::Filtered);
/// logger.close()?;
///
/// let outcome = producer.log(Level::Info, "late");
/// assert_eq!(outcome, Outcome::Closed);
/// assert!(!outcome.is_accepted());
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Accepted: the record is in the ring.
    Written,
    /// Accepted, but longer than `message_bytes_max`: the message is cut to that length and flagged.
    Truncated,
    /// Less severe than the log's level, or the level is [`Off`](crate::Level::Off). This is not an attempt.
    Filtered,
    /// The ring was full, and the overflow policy dropped the record. It took a sequence number and is counted as lost.
    Dropped,
    /// The logger is closed or closing. Refused: no sequence number; counted in
    /// [`Stats::refused`](crate::Stats::refused).
    Closed,
    /// This process is a fork of the one that opened the logger. Refused and counted like `Closed`.
    Forked,
    /// A signal handler interrupted an append of this producer and logged through it. Refused and counted like
    /// `Closed`.
    Reentrant,
    /// The thread has no ring and cannot get one: it is ending, or ring memory is used up. Refused and counted like
    /// `Closed`.
    NoRing,
}

impl Outcome {
    /// Whether the record is in the ring, whole or cut.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Outcome::Written | Outcome::Truncated)
    }
}
