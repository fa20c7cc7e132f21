//! What became of one append.

/// What became of one append. Everything but `Written` and `Truncated` means that the record is not in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Accepted: the record is in the ring.
    Written,
    /// Accepted, but longer than `message_bytes_max`: cut to that, and flagged.
    Truncated,
    /// Less severe than the log's level: nothing was tried.
    Filtered,
    /// The ring was full, and the overflow policy gave the record up. It took a sequence number and is counted.
    Dropped,
    /// The logger is closed or closing. Refused: no sequence number, counted apart.
    Closed,
    /// This process is a fork of the one that opened the logger. Refused.
    Forked,
    /// An append of this producer was under way: a signal handler interrupted it. Refused, counted apart.
    Reentrant,
    /// The thread has no ring and cannot get one: it is ending, or ring memory is used up. Refused, counted apart.
    NoRing,
}

impl Outcome {
    /// Whether the record is in the ring, whole or cut.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Outcome::Written | Outcome::Truncated)
    }
}
