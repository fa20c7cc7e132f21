//! What a recovery found and did, for the caller.

use std::fmt;
use std::path::PathBuf;

use crate::error::Error;
use crate::grouped::{Grouped, counted};
use crate::reader::{RunId, Verdict};

/// What became of the rings of a run that ended without closing its log.
///
/// Displays as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recovery {
    /// The run.
    pub run: RunId,
    /// The process that died, if its ring file could be read.
    pub process: Option<u32>,
    /// The file with its rings, if the log says which: the file that names it may be damaged.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::some_path"))]
    pub rings: Option<PathBuf>,
    /// What became of them.
    pub outcome: RecoveryOutcome,
    /// Why something was not recovered, or a file could not be removed. `None` if everything succeeded.
    pub reason: Option<String>,
    /// The number of the segment that was written; `None` if nothing was missing in the files.
    pub segment: Option<u64>,
    /// The snapshot with the records of the run's flight recorder, if it left any.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::some_path"))]
    pub snapshot: Option<PathBuf>,
    /// Records that were only in the rings, and are in that segment now.
    pub records: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
    /// The blocks that were written.
    pub blocks: u64,
    /// Producers whose final counts were written.
    pub producers: u64,
    /// Records of these producers that are lost. Rings that overwrite the oldest records do not keep the records that
    /// the writer has taken and not yet made durable.
    pub unwritten: u64,
}

/// What became of a dead run's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RecoveryOutcome {
    /// All that the rings held is in the log. That is all that was accepted, if none is [lost](Recovery::unwritten).
    Complete,
    /// The rings are gone with the machine's memory, because it has been restarted since: nothing can be recovered.
    Gone,
    /// A part of the ring file was damaged: a ring of the log or of its flight recorder, or the definition of a
    /// callsite, without which records of it are kept and not shown as text. A ring whose counts contradict its records
    /// or the log is damaged too. The rest is in the log. The ring file is kept under another name, once no other log's
    /// rings in it are to be recovered.
    Damaged,
    /// Not all of it could be done, and mostly nothing. What is not done stays where it is, and the next recovery tries
    /// again. So it is if the ring file is missing while the machine runs on, because it may be below another mount. If
    /// the records of the log were written, [`Recovery::segment`] says where.
    Left,
    /// The log names the rings no more: [`forget`](crate::forget) has given up what was left. If nothing was recovered,
    /// the run stays without an end.
    Forgotten,
}

/// The result of a step, or why the run is not recovered, or not whole.
pub(super) type OrStop<T> = Result<T, Stop>;

/// Why a run is not recovered, or not whole.
pub(super) enum Stop {
    /// Its rings are gone with the machine's memory, and its link is removed.
    Gone,
    /// What is not done by now stays as it is.
    Left(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Left(error.to_string())
    }
}

impl Recovery {
    pub(super) fn new(run: RunId, rings: Option<PathBuf>) -> Recovery {
        Recovery {
            run,
            process: None,
            rings,
            outcome: RecoveryOutcome::Complete,
            reason: None,
            segment: None,
            snapshot: None,
            records: 0,
            bytes: 0,
            blocks: 0,
            producers: 0,
            unwritten: 0,
        }
    }
}

impl Recovery {
    /// What the recovery of this run says of the log: [`Clean`](Verdict::Clean) if all that was accepted is in it,
    /// [`Lost`](Verdict::Lost) if a part is lost, and [`Unconfirmed`](Verdict::Unconfirmed) if not all was recovered.
    pub fn verdict(&self) -> Verdict {
        match self.outcome {
            RecoveryOutcome::Damaged => Verdict::Lost,
            _ if self.unwritten > 0 => Verdict::Lost,
            RecoveryOutcome::Complete => Verdict::Clean,
            RecoveryOutcome::Gone | RecoveryOutcome::Left | RecoveryOutcome::Forgotten => Verdict::Unconfirmed,
        }
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recovery { run, outcome, reason, records, segment, unwritten, .. } = self;
        write!(f, "run {run}: ")?;
        match outcome {
            RecoveryOutcome::Complete => f.write_str("recovered")?,
            RecoveryOutcome::Gone => f.write_str("its rings are gone")?,
            RecoveryOutcome::Damaged => f.write_str("recovered in part")?,
            RecoveryOutcome::Left if segment.is_some() => f.write_str("not all is recovered yet")?,
            RecoveryOutcome::Left => f.write_str("not recovered yet")?,
            RecoveryOutcome::Forgotten => f.write_str("given up")?,
        }
        match segment {
            Some(segment) => {
                write!(
                    f,
                    ", {} of {} in segment {segment}",
                    counted(*records, "record"),
                    counted(self.producers, "producer")
                )?;
            }
            None if matches!(outcome, RecoveryOutcome::Complete) => f.write_str(", nothing was missing")?,
            None => {}
        }
        if *unwritten > 0 {
            write!(f, ", {} that the writer had taken are lost", Grouped(*unwritten))?;
        }
        if let Some(snapshot) = &self.snapshot {
            write!(f, ", the flight recorder's in {}", snapshot.display())?;
        }
        match reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::StoredRunId;

    #[test]
    fn records_that_are_lost_decide_the_verdict() {
        let mut recovery = Recovery::new(RunId::from(StoredRunId([7; 16])), None);
        assert_eq!(recovery.verdict(), Verdict::Clean);
        recovery.outcome = RecoveryOutcome::Left;
        assert_eq!(recovery.verdict(), Verdict::Unconfirmed);
        recovery.outcome = RecoveryOutcome::Complete;
        recovery.unwritten = 1;
        assert_eq!(recovery.verdict(), Verdict::Lost);
    }

    #[cfg(all(feature = "serde", unix))]
    #[test]
    fn paths_that_are_no_text_are_written_with_their_other_bytes_replaced() {
        use std::os::unix::ffi::OsStrExt as _;
        let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"odd \xff"));
        let mut recovery = Recovery::new(RunId::from(StoredRunId([7; 16])), Some(odd.clone()));
        let written = |recovery: &Recovery| serde_json::to_value(recovery).expect("written");
        assert_eq!(written(&recovery)["rings"], "odd \u{fffd}");
        assert_eq!(written(&recovery)["snapshot"], serde_json::Value::Null);
        (recovery.rings, recovery.snapshot) = (None, Some(odd));
        assert_eq!(written(&recovery)["rings"], serde_json::Value::Null);
        assert_eq!(written(&recovery)["snapshot"], "odd \u{fffd}");
    }
}
