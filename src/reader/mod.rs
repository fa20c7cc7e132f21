//! Reading a log: every record that the files still hold, in order, and an account of the missing ones.
//!
//! In the order of the work: `files` lists the files and sorts them into runs. `scan` finds the blocks of one file.
//! `walk` returns every good block once, and steps over damage. `account` counts the blocks and records that are there
//! and those that are missing. `merge` orders records by time, `content` decodes one, and `callsites` has their
//! definitions. [`Reader`] returns records and the gaps between them. [`verify()`] checks the account, [`info()`] lists
//! the segments. `figures` finds the newest figures of a writer. `asynclogger` reads files of another logger, and
//! shares nothing here.
//!
//! Below are only `format`, `error`, `level` and `sys`: the reader and the writer share nothing but the bytes. The
//! reader trusts no length before its checksum, and has its own limits for what it allocates.

pub mod asynclogger;

mod account;
mod callsites;
mod content;
mod files;
mod figures;
mod filter;
#[cfg(feature = "unstable")]
pub(crate) mod fuzz;
mod gap;
mod info;
mod merge;
mod options;
mod record;
mod report;
mod scan;
mod snapshots;
mod taken;
mod verify;
mod walk;

#[cfg(test)]
mod test_log;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::format::{CallsiteInfo, MERGE_BYTES_MAX};

pub use crate::format::ProducerFigures;
pub use figures::{Figures, FiguresReader, Latency};
pub use filter::Filter;
pub use gap::{Entry, EntryRef, Gap};
pub use info::{LogInfo, SegmentInfo, info};
pub use options::ReadOptions;
#[cfg(feature = "unstable")]
pub use record::RecordOrigin;
pub use record::{Record, RecordRef, RunId};
pub use report::{BlockCounts, Finding, InUse, ProducerReport, Report, RunReport, Severity, Verdict};
pub(crate) use snapshots::written_by_last_snapshot;
pub use snapshots::{SnapshotInfo, snapshots};
pub use verify::{Verification, verify};

use content::Text;
use filter::Selection;
use merge::{Merge, Ready};
use taken::TakenCounter;
use walk::{AWAIT_INTERVAL, Step, Visit, Walk};
pub(crate) use walk::{RunTail, TailItem};

impl ReadOptions {
    /// Opens the log at `path`: see [`Reader::open`].
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Reader> {
        let mut walk = Walk::open(path.as_ref(), self.durable, Visit::MayReturn)?;
        walk.account.folds_producers = self.fold_producers;
        match (self.at_least_last, &self.filter) {
            (None, _) => {}
            (Some(1..), Some(filter)) if filter.times().is_some() => {}
            (Some(records @ 1..), Some(filter)) => {
                let mut taken = TakenCounter::by(filter.clone());
                walk.skip_to_last(records, |run, block| taken.count(run, block))?;
            }
            (Some(records), _) => walk.skip_to_last(records, |_, block| block.readable_records())?,
        }
        // They are kept until the first call shows whether the caller takes gaps.
        walk.account.wants_gaps = true;
        walk.times = self.filter.as_ref().and_then(Filter::times);
        Ok(Reader {
            walk,
            merge: Merge::default(),
            progress: Progress::BEGUN,
            caller: Caller::Unknown,
            gaps: VecDeque::new(),
            text: Text::default(),
            selection: self.filter.clone().map(|filter| Box::new(Selection::new(filter))),
        })
    }

    /// Verifies the log at `path`: see [`verify()`].
    ///
    /// # Errors
    /// As [`verify()`].
    pub fn verify(&self, path: impl AsRef<Path>) -> Result<Verification> {
        self.verify_watched(path, |_| ())
    }

    /// As [`ReadOptions::verify`], and calls `watch` after each block with the report so far, to show progress.
    ///
    /// # Errors
    /// As [`verify()`].
    pub fn verify_watched(&self, path: impl AsRef<Path>, watch: impl FnMut(&Report)) -> Result<Verification> {
        verify::verify_with(path.as_ref(), self.durable, watch)
    }
}

/// The longest interval between looks at the end of a log. Records come in blocks, a tenth of a second apart by
/// default.
const FOLLOW_INTERVAL_MAX: Duration = Duration::from_millis(50);

/// How far the reader has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// More blocks may come, and none of them holds a record with a time below this.
    Reading { complete_below_ns: u64 },
    /// The run's blocks have all been read.
    RunEnd,
    /// All there is now has been read.
    End,
}

impl Progress {
    /// Nothing has been read, so any time may come.
    const BEGUN: Progress = Progress::Reading { complete_below_ns: 0 };

    /// The time below which no record comes later; `None` if none comes at all.
    #[inline(always)]
    fn limit_ns(self) -> Option<u64> {
        match self {
            Progress::Reading { complete_below_ns } => Some(complete_below_ns),
            Progress::RunEnd | Progress::End => None,
        }
    }
}

/// What the caller takes, as its last call has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// It has not asked for anything yet: gaps are kept for it, but are not worth coming back for.
    Unknown,
    /// Records alone.
    TakesRecords,
    /// Records and gaps.
    TakesEntries,
}

/// Reads a log: its records run by run, each run in the order of time.
///
/// Within a run records are ordered by time, then producer, then sequence, and merged in bounded memory. A record that
/// stands too far from its place comes late, and is counted. The reader steps over damage and counts it: see
/// [`Reader::report`]. An error means that part of a file could not be read; the next call goes on after it.
///
/// # A finished log
///
/// ```no_run
/// let mut reader = diolog::Reader::open("/var/log/app/orders")?;
/// for record in &mut reader {
///     let record = record?;
///     println!("{}", record.text());
/// }
/// println!("{} blocks lost", reader.report().blocks.lost);
/// # Ok::<(), diolog::Error>(())
/// ```
///
/// # A log that is being written
///
/// [`next_record`](Self::next_record) never waits. It returns `None` at the end, and before a missing block that may
/// still be in flight, because what follows that block is not confirmed yet. [`follow`](Self::follow) waits until there
/// is more. The reader then goes on. It misses no record and returns none twice. This program follows a
/// log:
///
/// ```
/// # use std::time::Duration;
/// # use diolog::{Config, Level, Logger, Reader};
/// # let directory = std::env::temp_dir().join(format!("diolog-follow-{}", std::process::id()));
/// # let logger = Logger::open(Config::new(&directory).ring_bytes(64 << 10).segment_bytes(16 << 20))?;
/// # logger.producer()?.log(Level::Info, "hello");
/// # logger.close()?;
/// # let mut shown = 0;
/// let mut reader = Reader::open(&directory)?;
/// while reader.follow(Duration::from_millis(100))? {
///     while let Some(record) = reader.next_record()? {
///         println!("{}", record.text());
/// #       shown += 1;
///     }
/// }
/// # assert_eq!(shown, 1);
/// # std::fs::remove_dir_all(&directory).unwrap();
/// # Ok::<(), diolog::Error>(())
/// ```
///
/// This one ends after a tenth of a second without a record. To follow for ever, ignore what `follow` returns. If
/// retention removes a segment that the reader has begun, the reader still reads it to its end. If retention removes it
/// earlier, the report names it, and the reader goes on after it.
pub struct Reader {
    walk: Walk,
    merge: Merge,
    progress: Progress,
    caller: Caller,
    /// Gaps of the run before, after the last records of its producers.
    gaps: VecDeque<Gap>,
    /// The text of the record that was given out last, if it has fields and somebody has asked for it.
    text: Text,
    /// The records to return, if not all. In a box: it is taken out and put back for each record.
    selection: Option<Box<Selection>>,
}

/// Shows how much was read.
impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { records, bytes, .. } = self.report();
        f.debug_struct("Reader").field("records", records).field("bytes", bytes).finish_non_exhaustive()
    }
}

impl Reader {
    /// Bytes of blocks that are held in memory, and looked at ahead, to merge records: 64 MiB.
    pub const MEMORY_BYTES_MAX: usize = MERGE_BYTES_MAX;

    /// Opens the log at `path`: a directory of segments, or one segment file.
    ///
    /// # Errors
    /// [`Error::NotALog`](crate::Error::NotALog) if there is no segment that can be read, with what is there instead;
    /// [`Error::Io`](crate::Error::Io) if it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Reader> {
        ReadOptions::new().open(path)
    }

    /// The next record, borrowed from the reader, without an allocation. `None` if there is no more now; it stays
    /// `None` until [`follow`](Self::follow) finds more.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a file cannot be read; the next call goes on after that place.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<RecordRef<'_>>> {
        loop {
            let ready = match self.merge.next(self.progress.limit_ns()) {
                Some(ready) => ready,
                None => {
                    self.note_caller(Caller::TakesRecords);
                    match self.load_ready()? {
                        Some(ready) => ready,
                        None => return Ok(None),
                    }
                }
            };
            if self.takes(&ready) {
                return Ok(Some(self.give(ready)));
            }
        }
    }

    /// As [`next_record`](Self::next_record), with the gaps where records are missing. A gap comes right before the
    /// producer's next record, or after its last one. Do not mix calls of the two: `next_record` drops the gaps in the
    /// blocks that it reads.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record).
    #[inline]
    pub fn next_entry(&mut self) -> Result<Option<EntryRef<'_>>> {
        loop {
            let ready = match self.merge.next(self.progress.limit_ns()) {
                Some(ready) => Some(ready),
                None => {
                    self.note_caller(Caller::TakesEntries);
                    self.load_ready()?
                }
            };
            if self.has_gaps()
                && let Some(gap) = self.gap_before(ready.as_ref())
            {
                if self.selection.as_ref().is_none_or(|selection| selection.takes_gap(&gap)) {
                    return Ok(Some(EntryRef::Gap(gap)));
                }
                continue;
            }
            let Some(ready) = ready else { return Ok(None) };
            if self.takes(&ready) {
                return Ok(Some(EntryRef::Record(self.give(ready))));
            }
        }
    }

    /// The next gap before the record that is ready, which is then given out later, or after all records.
    #[cold]
    fn gap_before(&mut self, ready: Option<&Ready>) -> Option<Gap> {
        let of_run_before = self.gaps.pop_front();
        let gap = of_run_before.or_else(|| {
            let (gap, ns) = self.merge.gap_before(ready)?;
            Some(Gap::of(gap, ns, &self.walk.context))
        })?;
        if ready.is_some() {
            self.merge.take_back();
        }
        Some(gap)
    }

    /// The entries that are there now, owned: records, and gaps where records are missing.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("log");
    /// # let logger = diolog::Logger::open(diolog::Config::new(&path))?;
    /// # logger.producer()?.log(diolog::Level::Info, "started");
    /// # logger.close()?;
    /// use diolog::Entry;
    ///
    /// let mut lost = 0;
    /// for entry in diolog::Reader::open(&path)?.entries() {
    ///     match entry? {
    ///         Entry::Record(record) => println!("{}", record.text()),
    ///         Entry::Gap(gap) => {
    ///             println!("{gap}");
    ///             lost += gap.count();
    ///         }
    ///         _ => {}
    ///     }
    /// }
    /// assert_eq!(lost, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entries(&mut self) -> Entries<'_> {
        Entries { reader: self }
    }

    /// Whether the record that is ready is to be given.
    #[inline(always)]
    fn takes(&mut self, ready: &Ready) -> bool {
        self.selection.is_none() || self.selects(ready)
    }

    fn selects(&mut self, ready: &Ready) -> bool {
        let Some(mut selection) = self.selection.take() else { return true };
        self.text.clear();
        let takes = selection.takes(&self.merge.record(ready, &self.text, &self.walk.context));
        self.selection = Some(selection);
        takes
    }

    #[inline(always)]
    fn give(&mut self, ready: Ready) -> RecordRef<'_> {
        let report = &mut self.walk.account.report;
        report.records += 1;
        if ready.is_late {
            report.late += 1;
            self.merge.check_order(&ready);
        }
        if self.selection.is_none() {
            self.text.clear();
        }
        let record = self.merge.record(&ready, &self.text, &self.walk.context);
        self.walk.account.report.truncated += u64::from(record.is_truncated());
        record
    }

    /// Notes what the caller takes. If that is records alone, no gaps are kept.
    fn note_caller(&mut self, caller: Caller) {
        if std::mem::replace(&mut self.caller, caller) == caller {
            return;
        }
        self.walk.account.wants_gaps = caller == Caller::TakesEntries;
        if caller == Caller::TakesRecords {
            self.merge.forget_gaps();
            self.gaps.clear();
        }
    }

    /// Whether gaps have been found and not been given out.
    #[inline(always)]
    fn has_gaps(&self) -> bool {
        self.merge.gaps.count + self.gaps.len() > 0
    }

    /// Waits until there is a record to read, or a gap if the caller takes gaps, for at most `timeout`, and returns
    /// whether there is one.
    ///
    /// It looks at the files at once, and then every 1 to 50 ms. So with a `timeout` of zero it looks once. It follows
    /// the log into later segments and later runs, even if no logger has the log open.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record), and [`Error::Io`](crate::Error::Io) if the directory cannot be listed.
    /// [`Error::NotALog`](crate::Error::NotALog) if the log was removed, or another log is at its path now. This comes
    /// after everything that could still be read.
    pub fn follow(&mut self, timeout: Duration) -> Result<bool> {
        let begun = Instant::now();
        let mut interval = AWAIT_INTERVAL;
        let takes_gaps = self.caller == Caller::TakesEntries;
        loop {
            let look = Instant::now();
            let is_replaced = self.walk.is_replaced();
            if self.progress == Progress::End {
                if is_replaced {
                    // What the files that are open still hold.
                    self.walk.rewind_to_unread();
                } else {
                    self.walk.look_for_more()?;
                }
                self.progress = Progress::BEGUN;
            }
            while let Some(ready) = self.load_ready()? {
                if takes_gaps && self.has_gaps() || self.takes(&ready) {
                    self.merge.take_back();
                    return Ok(true);
                }
            }
            if takes_gaps && (self.merge.has_trailing_gaps() || !self.gaps.is_empty()) {
                return Ok(true);
            }
            if is_replaced {
                return Err(self.walk.files().replaced());
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            interval = if self.walk.is_awaiting() { AWAIT_INTERVAL } else { (2 * interval).min(FOLLOW_INTERVAL_MAX) };
            // However long a look takes, half of the time is slept.
            std::thread::sleep(interval.max(look.elapsed()).min(left));
        }
    }

    /// If the reader has stopped before a missing block that may be in flight, waits for that block for at most
    /// `timeout`, and goes on without it if it does not come. Returns whether the reader had stopped before one.
    ///
    /// Use it to read everything that is there now, as `diolog cat` does: a gap that a crash left looks like a block in
    /// flight until the next logger writes. If a passed-over block comes later, its records are missed:
    /// [`BlockCounts::holes`] counts it.
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn pass_over_missing(&mut self, timeout: Duration) -> Result<bool> {
        if self.progress != Progress::End || !self.walk.has_stopped() {
            return Ok(false);
        }
        if !self.follow(timeout)? && self.walk.skip_awaited()? {
            self.progress = Progress::BEGUN;
        }
        Ok(true)
    }

    /// Whether the log was removed or renamed, or another one is at its path now. Then the reader may not have found
    /// all of its files, and the [report](Self::report) says nothing of what they hold. A reader of one file has it
    /// open, and never says this.
    pub fn is_replaced(&self) -> bool {
        self.walk.files().have_moved()
    }

    /// What was found so far. After `None`, it covers everything that is there now. If more comes, the reader takes
    /// back what the report says about the log's end.
    pub fn report(&self) -> &Report {
        &self.walk.account.report
    }

    /// The callsites in the blocks read so far, those of each run, in no order. If there are very many, these are only
    /// the latest.
    pub fn callsites(&self) -> impl Iterator<Item = &CallsiteInfo> {
        self.walk.callsites.iter()
    }

    /// Reads blocks until a record can be given out.
    fn load_ready(&mut self) -> Result<Option<Ready>> {
        loop {
            if let Some(ready) = self.merge.next(self.progress.limit_ns()) {
                return Ok(Some(ready));
            }
            match self.progress {
                Progress::Reading { .. } if self.merge.blocks.bytes >= Reader::MEMORY_BYTES_MAX => {
                    // There is no memory to wait for earlier records: they will come late.
                    if let Some(ready) = self.merge.next(None) {
                        return Ok(Some(ready));
                    }
                    self.load()?;
                }
                Progress::Reading { .. } => self.load()?,
                Progress::RunEnd => {
                    while let Some((gap, ns)) = self.merge.gap_before(None) {
                        self.gaps.push_back(Gap::of(gap, ns, &self.walk.context));
                    }
                    self.merge.start_run();
                    self.progress = Progress::BEGUN;
                }
                Progress::End => {
                    self.count_passed_over();
                    return Ok(None);
                }
            }
        }
    }

    fn load(&mut self) -> Result<()> {
        self.count_passed_over();
        let mut block = self.merge.blocks.spare();
        let step = self.walk.next(&mut block);
        match step {
            Ok(Step::Block(location)) => {
                let gaps = self.walk.account.take_gaps();
                let selection = &self.selection;
                // Asked once for the block, not for each of its shards.
                let may_take_callsite = OnceCell::new();
                self.merge.add(
                    block,
                    |id| self.walk.account.producer(id),
                    |shard, producer, callsites| {
                        selection.as_ref().is_none_or(|selection| {
                            let any = || *may_take_callsite.get_or_init(|| selection.may_take_callsite(callsites));
                            selection.takes_shard(shard, producer, any)
                        })
                    },
                    gaps,
                    location.header.times(),
                );
                // The next step may fill an empty plan again: until then no time is known to be safe.
                self.progress = Progress::Reading { complete_below_ns: self.walk.min_ns().unwrap_or(0) };
                return Ok(());
            }
            Ok(Step::RunEnd) => self.progress = Progress::RunEnd,
            Ok(Step::Awaited | Step::End) => self.progress = Progress::End,
            Err(_) => {}
        }
        self.merge.blocks.keep(block);
        step.map(|_| ())
    }

    /// Adds the records that the merge passed over, and what it noticed, to the report.
    fn count_passed_over(&mut self) {
        let passed_over = std::mem::take(&mut self.merge.passed_over);
        self.walk.account.count_passed_over(&passed_over);
        for fault in std::mem::take(&mut self.merge.faults) {
            self.walk.account.report_contradiction_before_here(fault);
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Record>;

    /// The next record, owned. After `None`, none comes until [`follow`](Self::follow) finds more.
    fn next(&mut self) -> Option<Result<Record>> {
        self.next_record().transpose().map(|record| Ok(record?.to_record()))
    }
}

/// The entries of a log: see [`Reader::entries`].
#[derive(Debug)]
pub struct Entries<'a> {
    reader: &'a mut Reader,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    /// The next entry. After `None`, none comes until [`Reader::follow`] finds more.
    fn next(&mut self) -> Option<Result<Entry>> {
        self.reader.next_entry().transpose().map(|entry| Ok(entry?.to_entry()))
    }
}
