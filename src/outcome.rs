//! What became of one append: the result on the hot path, where an [`Error`](crate::Error) would cost too much.

use std::fmt;

/// What became of one append.
///
/// | outcome | the record | took a sequence number | [lost](Outcome::is_lost) |
/// |---|---|---|---|
/// | `Written` | is in a ring | yes | no |
/// | `Truncated` | is in a ring, cut to `message_bytes_max` | yes | no |
/// | `Filtered` | was not wanted: less severe than the log's level | no | no |
/// | `Recorded` | was less severe than the log's level, and is in the [flight recorder](crate::Config::flight_recorder) | no | no |
/// | `Hidden` | was one too many for the [limit](macro@crate::info#a-limit) of its callsite: [`Stats::hidden`](crate::Stats::hidden) counts it | no | no |
/// | `Dropped` | found no room | yes: the files and the stats count it, by cause | yes |
/// | `Closed`, `Forked`, `Reentrant`, `NoRing` | was refused | no: [`Stats::refused_by`](crate::Stats::refused_by) counts it | yes |
/// | `TooLong` | is none: a [claim](crate::Producer::claim) of more than `message_bytes_max` is the caller's error | no: nothing counts it | yes |
/// | `NoLog` | was refused: its [event's log](crate::EventLogs) could not be opened | no: [`EventStats::refused_without_log`](crate::EventStats::refused_without_log) counts it | yes |
///
/// `Written` and `Truncated` mean that the record is *accepted*: it is written to a ring, and not to the disk yet.
/// [`Logger::flush`](crate::Logger::flush) waits until it is durable. With
/// [`Overflow::OverwriteOldest`](crate::Overflow::OverwriteOldest) a newer record may still replace it.
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
/// assert!(outcome.is_lost());
/// assert_eq!(outcome.to_string(), "refused: the logger is closed");
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
    /// Less severe than the log's level. This is not an attempt.
    Filtered,
    /// Less severe than the log's level, and kept by the log's [flight recorder](crate::Config::flight_recorder), maybe
    /// cut. A snapshot writes it, unless newer records have replaced it by then. It never comes into the log's own
    /// files, so no flush waits for it.
    Recorded,
    /// Its callsite has a limit, and has logged that many records in this period. This is not an attempt. Before the
    /// callsite's next record stands one that says how many were hidden.
    Hidden,
    /// There was no room, and the overflow policy gave the record up. It took a sequence number and is counted as lost,
    /// by cause: see [`LossCause`](crate::LossCause).
    Dropped,
    /// The logger is closed or closing. Refused: no sequence number; counted in
    /// [`Stats::refused_by`](crate::Stats::refused_by).
    Closed,
    /// This process is a fork of the one that opened the logger. Refused and counted like `Closed`.
    Forked,
    /// A signal handler interrupted an append of this producer and logged through it. Refused and counted like
    /// `Closed`.
    Reentrant,
    /// The thread has no ring, and the system refuses the memory for the ring that such threads share. Refused and
    /// counted like `Closed`.
    NoRing,
    /// A [claim](crate::Producer::claim) of more bytes than
    /// [`message_bytes_max`](crate::Producer::message_bytes_max): the ring may be empty, and the record would still not
    /// fit. It takes no sequence number, and no figure counts it.
    TooLong,
    /// The log of the event is not open, and could not be opened: [`EventLogs::open`](crate::EventLogs::open) returns
    /// the reason. Refused: no sequence number; counted in
    /// [`EventStats::refused_without_log`](crate::EventStats::refused_without_log).
    NoLog,
}

impl Outcome {
    /// Whether the record is in the log's ring, whole or cut. One that only the flight recorder keeps is not.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Outcome::Written | Outcome::Truncated)
    }

    /// Whether the log or its recorder has the record.
    pub(crate) const fn is_kept(self) -> bool {
        self.is_accepted() || matches!(self, Outcome::Recorded)
    }

    /// Whether the caller's record is lost: dropped or refused. A filtered, recorded or hidden record is not lost,
    /// because the log did not want it.
    pub const fn is_lost(self) -> bool {
        !matches!(self, Outcome::Written | Outcome::Truncated | Outcome::Filtered | Outcome::Recorded | Outcome::Hidden)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Written => "written",
            Outcome::Truncated => "written, cut to message_bytes_max",
            Outcome::Filtered => "filtered: less severe than the log's level",
            Outcome::Recorded => "recorded: less severe than the log's level, kept by the flight recorder",
            Outcome::Hidden => "hidden: more records than its callsite's limit",
            Outcome::Dropped => "dropped: no room in the ring",
            Outcome::Closed => "refused: the logger is closed",
            Outcome::Forked => "refused: the logger belongs to the parent process",
            Outcome::Reentrant => "refused: logged by a signal handler within an append",
            Outcome::NoRing => "refused: no ring for this thread",
            Outcome::TooLong => "refused: a claim of more than message_bytes_max",
            Outcome::NoLog => "refused: the event's log could not be opened",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_accepted_or_lost_or_was_not_wanted() {
        use Outcome::{Closed, Dropped, Filtered, Forked, Hidden, NoRing, Recorded, Reentrant, Truncated, Written};
        for outcome in [Written, Truncated, Filtered, Recorded, Hidden, Dropped, Closed, Forked, Reentrant, NoRing] {
            let kinds = [outcome.is_accepted(), outcome.is_lost(), matches!(outcome, Filtered | Recorded | Hidden)];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{outcome:?}");
            assert_eq!(outcome.to_string().starts_with("refused"), outcome.is_lost() && outcome != Dropped);
        }
        assert_eq!(format!("{:>10}", Written), "   written");
    }
}
