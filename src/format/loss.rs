//! Why a record is not in the files.
//!
//! The producing side counts losses by these causes, the files hold the counts, and the reader names them again.

use std::fmt;

/// Why a record is not in the files.
///
/// ```
/// assert_eq!(diolog::LossCause::RingFull.to_string(), "ring full");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum LossCause {
    /// The files do not say why.
    Unknown = 0,
    /// Dropped: the producer's ring had no room.
    RingFull = 1,
    /// Dropped: the rings of the log had taken all the memory that they may take.
    RingMemory = 2,
    /// Dropped: the producer had waited for room as long as [`Overflow::BlockFor`](crate::Overflow::BlockFor) allows.
    TimedOut = 3,
    /// Dropped: the device had failed while the producer waited for room.
    DeviceFailed = 4,
    /// A newer record took its place before the writer read it.
    Overwritten = 5,
    /// Still in a ring when the deadline of close passed.
    Unwritten = 6,
    /// It was written, and its block is damaged or missing now.
    Damaged = 7,
}

impl LossCause {
    /// The cause in a few words, for a sentence about it.
    const fn words(self) -> &'static str {
        match self {
            LossCause::Unknown => "cause unknown",
            LossCause::RingFull => "ring full",
            LossCause::RingMemory => "rings_bytes_max reached",
            LossCause::TimedOut => "no room within BlockFor's limit",
            LossCause::DeviceFailed => "the device has failed",
            LossCause::Overwritten => "overwritten by newer records",
            LossCause::Unwritten => "not written before close's deadline",
            LossCause::Damaged => "damaged",
        }
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}
