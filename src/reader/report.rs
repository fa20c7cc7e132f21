//! The findings of a reader besides records: blocks by outcome, rows for runs and producers, sentences for people.
//!
//! Plain data, filled by the account. The [`Verdict`] follows from the most serious finding and from whether the runs
//! were closed.

use std::fmt;
use std::path::PathBuf;

use super::record::RunId;
use crate::format::DroppedBy;

/// Blocks by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BlockCounts {
    /// Intact blocks, each block number once, without segment headers.
    pub good: u64,
    /// Torn blocks, or stretches of bytes that are not a block, at the end of a run that ended without close: a
    /// crash explains them.
    pub torn: u64,
    /// Missing blocks that no later block testifies for: they were in flight, and never acknowledged.
    pub holes: u64,
    /// Missing or damaged blocks for which a later block testifies that they were durable.
    pub lost: u64,
    /// Blocks of another segment, left from an earlier use of the file.
    pub stale: u64,
    /// Further copies of good blocks, intact or not. After an error the writer writes the blocks that are not durable
    /// again, into another segment. The reader reads the first intact copy.
    pub duplicates: u64,
    /// Damaged segment headers whose blocks were durable: no record is missing because of them.
    pub damaged_headers: u64,
    /// Blocks that are there and that only a newer diolog can read: another format version, unknown flags, or in a file
    /// with unknown features.
    pub newer: u64,
    /// Stretches of bytes that are not a block and that no missing block explains. They cost no record.
    pub stray: u64,
}

impl BlockCounts {
    /// Adds `other`'s counts. They saturate: a hostile file can claim any number of missing blocks.
    pub(super) fn add(&mut self, other: &BlockCounts) {
        let BlockCounts { good, torn, holes, lost, stale, duplicates, damaged_headers, newer, stray } = *other;
        for (sum, more) in [
            (&mut self.good, good),
            (&mut self.torn, torn),
            (&mut self.holes, holes),
            (&mut self.lost, lost),
            (&mut self.stale, stale),
            (&mut self.duplicates, duplicates),
            (&mut self.damaged_headers, damaged_headers),
            (&mut self.newer, newer),
            (&mut self.stray, stray),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Severity {
    /// Nothing is missing.
    Note,
    /// Something is missing or cannot be confirmed, and a crash, or retention while the log was read, explains it. Or a
    /// part is damaged that holds no record, such as a segment's header.
    Unconfirmed,
    /// Something is there that only a newer diolog can read.
    Newer,
    /// Something that was durable is missing, or the files contradict themselves.
    Lost,
}

/// Whether a logger has a log open.
///
/// Serialised as `true`, `false` or null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InUse {
    /// A logger holds the log's lock.
    Yes,
    /// None does.
    No,
    /// The system cannot tell without taking the lock, the lock file may not be read, or one file of the log is read by
    /// itself.
    #[default]
    Unknown,
}

#[cfg(feature = "serde")]
impl serde::Serialize for InUse {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            InUse::Yes => to.serialize_bool(true),
            InUse::No => to.serialize_bool(false),
            InUse::Unknown => to.serialize_none(),
        }
    }
}

/// Something that is not as it should be, or worth knowing, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// The file, or the log's directory.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::path"))]
    pub path: PathBuf,
    /// The position in the file, in bytes, if there is one.
    pub offset: Option<u64>,
    /// A sentence about it, without the path.
    pub what: String,
}

impl Finding {
    /// A finding about a whole file.
    pub(super) fn of_file(severity: Severity, path: impl Into<PathBuf>, what: impl Into<String>) -> Finding {
        Finding { severity, path: path.into(), offset: None, what: what.into() }
    }
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

/// The counts of one producer of one run, computed only from the files.
///
/// After a clean close,
/// `attempted - retired == records + (dropped + overwritten + unwritten - retired_losses) + damaged`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProducerReport {
    /// The producer's id in its run.
    #[cfg_attr(feature = "serde", serde(rename = "producer"))]
    pub id: u32,
    /// The kernel's id of the thread that made it.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Records in the files, with those that only a newer diolog can read.
    pub records: u64,
    /// The sequence number of the first of them.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::some_number"))]
    pub first_sequence: Option<u64>,
    /// The sequence number of the last of them.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::some_number"))]
    pub last_sequence: Option<u64>,
    /// Attempts in the whole run, as far as the files say: the final count if `ended`.
    pub attempted: u64,
    /// Attempts before the oldest segment: retention removed their segments.
    pub retired: u64,
    /// Of the retired attempts, those without a record.
    pub retired_losses: u64,
    /// Of those, the records that were dropped.
    pub retired_dropped: u64,
    /// The same by cause. If the counts were ahead of the attempts when the oldest segment began, this is a guess.
    pub retired_dropped_by: DroppedBy,
    /// Sequence numbers without a record: `attempted - retired - records`.
    pub missing: u64,
    /// Records that were dropped in the whole run, by any cause, as the last row says.
    pub dropped: u64,
    /// The same by cause; `None` if the diolog that wrote them did not tell.
    pub dropped_by: Option<DroppedBy>,
    /// Records that newer ones replaced in the ring, in the whole run, as the last row says.
    pub overwritten: u64,
    /// Records that were still in the ring at the deadline of `close`.
    pub unwritten: u64,
    /// Records that were written to blocks that are missing now.
    pub damaged: u64,
    /// Whether the files hold the producer's final counts.
    pub ended: bool,
    /// Whether nothing in the files contradicts the equation above. It is confirmed if `ended` is true too.
    pub holds: bool,
}

/// One run: all that was written from one open of the log to its close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RunReport {
    /// Its identity.
    pub run: RunId,
    /// The service's name, as configured.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::name"))]
    pub service: String,
    /// The index of its first segment in the files.
    pub first_segment: u64,
    /// The index of its last segment in the files.
    pub last_segment: u64,
    /// Segments in the files.
    pub segments: u64,
    /// Whether its first segments are gone, or can only be read by a newer diolog. If no segment says that retention
    /// was set, a finding says so.
    pub retired: bool,
    /// Whether it was closed: the last block says that all blocks before it are durable.
    pub clean_end: bool,
    /// Whether it goes on elsewhere. One segment was read by itself, and the next one in its directory begins with the
    /// block after its last. Or the reader had read the run to its end, and a later row of the same run has what a
    /// recovery then added.
    pub goes_on: bool,
    /// Whether a recovery has written a part of it, after its process had died.
    pub recovered: bool,
    /// Whether a logger is writing it: it is the last run of a log that is in use, and has no end yet.
    pub in_use: bool,
    /// Its blocks by outcome.
    pub blocks: BlockCounts,
    /// Records in the files, with those that only a newer diolog can read.
    pub records: u64,
    /// The kind of device and the reasons for it, as the writer noted last.
    pub device: Option<String>,
    /// Appends that were refused because the log was closed or closing, as far as the files say. Refusals take no
    /// sequence number.
    pub refused_closed: u64,
    /// Appends that were refused because a signal handler had interrupted another one of the same thread.
    pub refused_reentrant: u64,
    /// Appends that were refused because there was no ring. These records are lost too, but belong to no producer.
    pub refused_no_ring: u64,
    /// Records that their callsites' limits have hidden, as far as the files say. They were no attempts, and are not
    /// lost.
    pub hidden: u64,
    /// The writer's other notes, such as errors and that writing went on: the first 64.
    pub notes: Vec<String>,
    /// Its producers, by id. With [`ReadOptions::fold_producers`](crate::ReadOptions::fold_producers), in no particular
    /// order, and without those that are folded.
    pub producers: Vec<ProducerReport>,
    /// Producers that ended without a loss and have no row any more.
    pub folded_producers: u64,
    /// Records of those producers in the files.
    pub folded_records: u64,
    /// Shards of producers beyond the number that a reader keeps rows for. Their counts were not compared.
    pub shards_untracked: u64,
}

/// What a reader found so far.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// # let logger = diolog::Logger::open(diolog::Config::new(&path))?;
/// # logger.producer()?.log(diolog::Level::Info, "started");
/// # logger.close()?;
/// let mut reader = diolog::Reader::open(&path)?;
/// while let Some(record) = reader.next_record()? {
///     println!("{}", record.text());
/// }
/// let report = reader.report();
/// for finding in &report.findings {
///     eprintln!("{finding}");
/// }
/// for producer in &report.runs[0].producers {
///     println!("{}: {} of {} records", producer.name, producer.records, producer.attempted);
/// }
/// assert_eq!((report.records, report.blocks.lost), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// Blocks by outcome, over all runs.
    pub blocks: BlockCounts,
    /// Bytes of good blocks, headers and padding included.
    pub bytes: u64,
    /// Blocks that were left unread, because a filter wants no record of their times. They are in no other count.
    pub unread_blocks: u64,
    /// Records handed out (by a reader) or checked (by `verify`).
    pub records: u64,
    /// Records that a reader gave out of the order of time, because merging them would have taken too much memory.
    pub late: u64,
    /// Records whose message was cut when it was logged.
    pub truncated: u64,
    /// Records in good blocks that only a newer diolog can read.
    pub newer_records: u64,
    /// Records in good blocks that break the rules of the format.
    pub unreadable: u64,
    /// Records of unknown kinds that a reader may skip, and gap records beyond the 64 that a block may hold.
    pub skipped: u64,
    /// Files prepared and not used yet.
    pub prepared_files: u64,
    /// Files that only a newer diolog can read.
    pub newer_files: u64,
    /// Numbered files without a readable block, or that may not be read.
    pub unreadable_files: u64,
    /// Whether a logger had the log open when all that was there had been read.
    pub in_use: InUse,
    /// The process id of that logger, if the system says it.
    pub in_use_by: Option<u32>,
    /// Segments that retention removed while the log was read, before their turn came.
    pub removed_segments: u64,
    /// Blocks in those segments, as far as their numbers are known.
    pub removed_blocks: u64,
    /// Records in those segments, of the producers that the next segment still names.
    pub removed_records: u64,
    /// The runs, in order.
    pub runs: Vec<RunReport>,
    /// The first [`Report::FINDINGS_MAX`] findings.
    pub findings: Vec<Finding>,
    /// How many further findings there were.
    pub findings_omitted: u64,
    /// The severity of the most serious finding, the omitted ones included.
    pub severity: Option<Severity>,
}

impl Report {
    /// How many findings are kept.
    pub const FINDINGS_MAX: usize = 256;

    pub(super) fn add_finding(&mut self, severity: Severity, path: PathBuf, offset: Option<u64>, what: String) {
        self.severity = self.severity.max(Some(severity));
        if self.findings.len() < Report::FINDINGS_MAX {
            self.findings.push(Finding { severity, path, offset, what });
        } else {
            self.findings_omitted += 1;
        }
    }

    /// The row of the run that is being read.
    ///
    /// # Panics
    /// If no run has begun.
    pub(super) fn current_run(&mut self) -> &mut RunReport {
        self.runs.last_mut().expect("segments, blocks and producers belong to a run that has begun")
    }

    /// Counts segments that were removed before they were read, and their blocks.
    pub(super) fn add_removed(&mut self, segments: u64, blocks: u64) {
        self.removed_segments = self.removed_segments.saturating_add(segments);
        self.removed_blocks = self.removed_blocks.saturating_add(blocks);
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

    /// Records that were dropped by the overflow policy, in all runs, without those before the oldest segment.
    pub fn dropped(&self) -> u64 {
        let dropped = |row: &ProducerReport| row.dropped.saturating_sub(row.retired_dropped);
        self.runs.iter().flat_map(|run| &run.producers).map(dropped).fold(0, u64::saturating_add)
    }

    /// The causes of those drops, as far as the files tell them.
    pub fn dropped_by(&self) -> DroppedBy {
        let mut sum = DroppedBy::default();
        for row in self.runs.iter().flat_map(|run| &run.producers) {
            if let Some(dropped_by) = row.dropped_by {
                sum += dropped_by.since(row.retired_dropped_by);
            }
        }
        sum
    }

    /// What the files prove: as serious as the most serious finding, and no better than unconfirmed if a run ended
    /// without close.
    pub fn verdict(&self) -> Verdict {
        let of_findings = match self.severity {
            None | Some(Severity::Note) => Verdict::Clean,
            Some(Severity::Unconfirmed) => Verdict::Unconfirmed,
            Some(Severity::Newer) => Verdict::Newer,
            Some(Severity::Lost) => Verdict::Lost,
        };
        let of_ends = if self.runs.iter().all(|run| run.clean_end || run.in_use || run.goes_on) {
            if self.in_use == InUse::Yes { Verdict::InUse } else { Verdict::Clean }
        } else {
            Verdict::Unconfirmed
        };
        let of_drops = if self.dropped() > 0 || self.runs.iter().any(|run| run.refused_no_ring > 0) {
            Verdict::Dropped
        } else {
            Verdict::Clean
        };
        of_findings.max(of_ends).max(of_drops)
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
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Verdict {
    /// Every run was closed, every block is there, every record is accounted for.
    Clean,
    /// A logger has the log open, and nothing has been lost so far.
    InUse,
    /// The files are intact. But since the oldest segment began, the overflow policy dropped records, or records were
    /// refused because there was no ring. Records that [`Overflow::OverwriteOldest`](crate::Overflow::OverwriteOldest)
    /// overwrote do not count, because that is its purpose.
    Dropped,
    /// A run ended without close: its end is torn, or nothing proves that it is complete. Or a missing block was never
    /// acknowledged, or a segment's header is damaged, which holds no record.
    Unconfirmed,
    /// Nothing is proved lost, and parts of the log can only be read by a newer diolog.
    Newer,
    /// Something that was durable is missing or damaged, or the counts do not add up. The findings say whether there
    /// are also parts that only a newer diolog can read.
    Lost,
}

impl Verdict {
    /// The exit status of `diolog verify`, `cat` and `tail`: 0 (clean, or in use), 4 (dropped), 1 (unconfirmed), 3
    /// (newer) or 2 (lost).
    pub const fn exit_code(self) -> u8 {
        match self {
            Verdict::Clean | Verdict::InUse => 0,
            Verdict::Dropped => 4,
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
            Verdict::InUse => "in use",
            Verdict::Dropped => "records dropped",
            Verdict::Unconfirmed => "unconfirmed",
            Verdict::Newer => "written by a newer diolog",
            Verdict::Lost => "lost",
        })
    }
}
