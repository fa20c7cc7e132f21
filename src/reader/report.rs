//! What a reader found besides records: counts of blocks by outcome, rows for runs and producers, findings for people.
//!
//! Plain data, filled by the account. The [`Verdict`] follows from the most serious finding and from whether the runs were
//! closed.

use std::fmt;
use std::path::PathBuf;

use super::record::RunId;

/// Blocks by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockCounts {
    /// Blocks read whole, each block number once; segment headers are not among them.
    pub good: u64,
    /// In the last window of an unclean end, where a crash explains them: blocks, or stretches of bytes that are none.
    pub torn: u64,
    /// Missing, and never known durable: within `in_flight` of the good block that follows.
    pub holes: u64,
    /// Missing or damaged, though a later block testifies that they were durable.
    pub lost: u64,
    /// Blocks of another segment that stand in this one: left from an earlier use of the file.
    pub stale: u64,
    /// Further copies of good blocks, whole or not, left behind by a segment whose device failed.
    pub duplicates: u64,
    /// Segment headers that cannot be read, though blocks stand behind them.
    pub headers_lost: u64,
    /// There, and only a newer diolog can read them: of another version of the format, or with unknown flags.
    pub newer: u64,
    /// Stretches of unreadable bytes that no missing block explains: nothing of the log is lost by them.
    pub stray: u64,
}

impl BlockCounts {
    /// Adds `other`'s counts. They saturate: a hostile file can claim any number of missing blocks.
    pub(super) fn add(&mut self, other: &BlockCounts) {
        let BlockCounts { good, torn, holes, lost, stale, duplicates, headers_lost, newer, stray } = *other;
        for (sum, more) in [
            (&mut self.good, good),
            (&mut self.torn, torn),
            (&mut self.holes, holes),
            (&mut self.lost, lost),
            (&mut self.stale, stale),
            (&mut self.duplicates, duplicates),
            (&mut self.headers_lost, headers_lost),
            (&mut self.newer, newer),
            (&mut self.stray, stray),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing; nothing is missing.
    Note,
    /// Something is missing or cannot be confirmed, and a crash explains it, or retention while the log was read.
    Unconfirmed,
    /// Something is there that only a newer diolog can read.
    Newer,
    /// Something that was durable is missing, or the files contradict themselves.
    Lost,
}

/// Something found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// The file, or the log's directory.
    pub path: PathBuf,
    /// Where in the file, in bytes, if it is one place.
    pub offset: Option<u64>,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// One producer of one run, as the files tell it.
///
/// After a clean close
/// `attempted - retired == records + (dropped + overwritten + unwritten - retired_losses) + damaged`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerReport {
    /// The producer's number in its run.
    pub id: u32,
    /// The kernel's id of the thread that made it.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Records in the files, with those that only a newer diolog can read.
    pub records: u64,
    /// The sequence number of the first of them.
    pub first_sequence: Option<u64>,
    /// The sequence number of the last of them.
    pub last_sequence: Option<u64>,
    /// Attempts in the whole run, as far as the files know: the final count where `ended`.
    pub attempted: u64,
    /// Attempts that lie in segments removed by retention.
    pub retired: u64,
    /// Of the retired attempts, those lost by policy.
    pub retired_losses: u64,
    /// Sequence numbers without a record: `attempted - retired - records`.
    pub missing: u64,
    /// Records refused for want of space, in the whole run, as declared last.
    pub dropped: u64,
    /// Records that newer ones replaced, in the whole run, as declared last.
    pub overwritten: u64,
    /// Records that close's deadline left in the ring.
    pub unwritten: u64,
    /// Records that were written, and are not in the files.
    pub damaged: u64,
    /// Whether the files hold the producer's final counts.
    pub ended: bool,
    /// Whether nothing in the files contradicts the identity. Confirmed where `ended` too.
    pub holds: bool,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunReport {
    /// Its identity.
    pub run: RunId,
    /// The service's name, as configured.
    pub service: String,
    /// The index of its first segment in the files.
    pub first_segment: u64,
    /// The index of its last segment in the files.
    pub last_segment: u64,
    /// Segments in the files.
    pub segments: u64,
    /// Whether its first segments are gone. Where nothing says that retention was set, a finding doubts that it removed them.
    pub retired: bool,
    /// Whether it was closed: the last block says that all before it is durable.
    pub clean_end: bool,
    /// Its blocks by outcome.
    pub blocks: BlockCounts,
    /// Records in the files, with those that only a newer diolog can read.
    pub records: u64,
    /// The device rung in use and why, as noted last.
    pub device: Option<String>,
    /// What else the writer noted: errors, and that writing went on. The first 64.
    pub notes: Vec<String>,
    /// Its producers, by number.
    pub producers: Vec<ProducerReport>,
    /// Shards of producers beyond the number that a reader keeps rows for: at least this many records were not compared.
    pub producers_untracked: u64,
}

impl RunReport {
    pub(super) fn new(run: RunId) -> RunReport {
        RunReport {
            run,
            service: String::new(),
            first_segment: 0,
            last_segment: 0,
            segments: 0,
            retired: false,
            clean_end: false,
            blocks: BlockCounts::default(),
            records: 0,
            device: None,
            notes: Vec::new(),
            producers: Vec::new(),
            producers_untracked: 0,
        }
    }
}

/// What a reader found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Blocks by outcome, over all runs.
    pub blocks: BlockCounts,
    /// Bytes of good blocks, headers and padding included.
    pub bytes: u64,
    /// Records handed out (by a reader) or checked (by `verify`).
    pub records: u64,
    /// Records that came later than their time asks, for want of memory to merge them.
    pub late: u64,
    /// Records whose message was cut when it was logged.
    pub truncated: u64,
    /// Records in good blocks that only a newer diolog can read.
    pub newer_records: u64,
    /// Records in good blocks that are invalid.
    pub unreadable: u64,
    /// Records of unknown kinds that say that they may be skipped.
    pub skipped: u64,
    /// Files prepared and not used yet.
    pub prepared_files: u64,
    /// Files that only a newer diolog can read.
    pub newer_files: u64,
    /// Numbered files that hold nothing readable.
    pub unreadable_files: u64,
    /// The runs, in order.
    pub runs: Vec<RunReport>,
    /// What was found, for people: the first [`Report::FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub findings_omitted: u64,
    /// The most serious finding, the omitted ones included.
    pub severity: Option<Severity>,
}

impl Report {
    /// How many findings are kept.
    pub const FINDINGS_MAX: usize = 256;

    pub(super) fn find(&mut self, severity: Severity, path: PathBuf, offset: Option<u64>, what: String) {
        self.severity = self.severity.max(Some(severity));
        if self.findings.len() < Report::FINDINGS_MAX {
            self.findings.push(Finding { severity, path, offset, what });
        } else {
            self.findings_omitted += 1;
        }
    }

    /// A point to return to by [`rewind`](Self::rewind).
    pub(super) fn mark(&self) -> Mark {
        let Report { findings_omitted, severity, .. } = *self;
        Mark { findings: self.findings.len(), findings_omitted, severity }
    }

    /// Takes back the findings since `mark`.
    pub(super) fn rewind(&mut self, mark: Mark) {
        assert!(mark.findings <= self.findings.len(), "findings are taken back once");
        self.findings.truncate(mark.findings);
        (self.findings_omitted, self.severity) = (mark.findings_omitted, mark.severity);
    }

    /// What the files prove: as serious as the most serious finding, and no better than unconfirmed if a run was not
    /// closed.
    pub fn verdict(&self) -> Verdict {
        let of_findings = match self.severity {
            None | Some(Severity::Note) => Verdict::Clean,
            Some(Severity::Unconfirmed) => Verdict::Unconfirmed,
            Some(Severity::Newer) => Verdict::Newer,
            Some(Severity::Lost) => Verdict::Lost,
        };
        let all_closed = self.runs.iter().all(|run| run.clean_end);
        of_findings.max(if all_closed { Verdict::Clean } else { Verdict::Unconfirmed })
    }
}

/// How many findings a report had at some point, and how serious they were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    findings: usize,
    findings_omitted: u64,
    severity: Option<Severity>,
}

/// What the files prove. Ordered by how serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Every run was closed, every block is there, every record is accounted for.
    Clean,
    /// A run was not closed: its end is torn, or nothing proves that it is complete. So it is for a log in use.
    Unconfirmed,
    /// Nothing is proved lost, and parts of the log can only be read by a newer diolog.
    Newer,
    /// Something that was durable is missing or damaged, or the counts do not add up. The findings say whether there are
    /// also parts that only a newer diolog can read.
    Lost,
}

impl Verdict {
    /// The exit status of `diolog verify`: 0, 1, 3 (newer) or 2 (lost).
    pub const fn exit_code(self) -> u8 {
        match self {
            Verdict::Clean => 0,
            Verdict::Unconfirmed => 1,
            Verdict::Newer => 3,
            Verdict::Lost => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Clean => "clean",
            Verdict::Unconfirmed => "unconfirmed",
            Verdict::Newer => "written by a newer diolog",
            Verdict::Lost => "lost",
        })
    }
}
