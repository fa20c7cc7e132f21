//! Reading a log: every record that the files still hold, in order, and the truth about those they do not.
//!
//! In the order of the work: `files` (which there are, and the runs they make), `scan` (one of them: headers on its grid,
//! and one block in memory), `walk` (every good block once, planned ahead; damage stepped over), `account` (what is
//! there, and what is missing), `merge` (records by time). [`Reader`] hands out records, [`verify()`] checks that the
//! account adds up, [`info()`] says what there is. Only `format`, `error` and `sys` lie below: nothing is shared with the
//! writer but the bytes. No length is trusted before its checksum, and nothing is allocated beyond bounds that are the
//! reader's own.

mod account;
mod files;
mod info;
mod merge;
mod record;
mod report;
mod scan;
mod verify;
mod walk;

#[cfg(test)]
mod test_log;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::format::MERGE_BYTES_MAX;

pub use info::{LogInfo, SegmentInfo, info};
pub use record::{Record, RecordRef, RunId};
pub use report::{BlockCounts, Finding, ProducerReport, Report, RunReport, Severity, Verdict};
pub use verify::{Verification, verify};

use merge::{Merge, Ready};
use walk::{Step, Walk};

/// How to read a log.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// # let logger = diolog::Logger::open(diolog::Config::new(&path))?;
/// # let producer = logger.producer()?;
/// # for number in 0..100 { producer.log(diolog::Level::Info, format!("message {number}")); }
/// # drop(producer);
/// # logger.close()?;
/// use diolog::ReadOptions;
///
/// // The last segments are enough for the last ten records.
/// let reader = ReadOptions::new().last(10).open(&path)?;
/// let records = reader.collect::<diolog::Result<Vec<_>>>()?;
/// let last = &records[records.len() - 10..];
/// assert_eq!(last[9].message(), b"message 99");
///
/// // Nothing that this verification saw can be lost to a power cut.
/// let verification = ReadOptions::new().durable(true).verify(&path)?;
/// assert_eq!(verification.report.records, 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    durable: bool,
    last: Option<u64>,
}

impl ReadOptions {
    /// The defaults: what the files hold now, durable or not.
    pub fn new() -> ReadOptions {
        ReadOptions::default()
    }

    /// Has the file system make each file durable before it is read, so that nothing that was read can be lost to a
    /// power cut. Costs what an `fsync` of each file costs.
    pub fn durable(mut self, durable: bool) -> ReadOptions {
        self.durable = durable;
        self
    }

    /// Begins with the segment in which the last `records` of the log begin, or one before it: more may be read, fewer
    /// only where the log has no more. What comes before is neither read nor reported.
    pub fn last(mut self, records: u64) -> ReadOptions {
        self.last = Some(records);
        self
    }

    /// Opens the log at `path`: see [`Reader::open`].
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Reader> {
        let mut walk = Walk::open(path.as_ref(), self.durable, true)?;
        if let Some(records) = self.last {
            walk.skip_to_last(records)?;
        }
        Ok(Reader { walk, merge: Merge::default(), limit_ns: Some(0), phase: Phase::Reading })
    }

    /// Verifies the log at `path`: see [`verify()`].
    ///
    /// # Errors
    /// As [`verify()`].
    pub fn verify(&self, path: impl AsRef<Path>) -> Result<Verification> {
        self.verify_watched(path, |_| ())
    }

    /// As [`ReadOptions::verify`], and calls `watch` after each block with what was found so far: for progress.
    ///
    /// # Errors
    /// As [`verify()`].
    pub fn verify_watched(&self, path: impl AsRef<Path>, watch: impl FnMut(&Report)) -> Result<Verification> {
        verify::verify_with(path.as_ref(), self.durable, watch)
    }
}

/// The interval between looks while a block in flight is awaited: it is durable within milliseconds.
const AWAIT_INTERVAL: Duration = Duration::from_millis(1);

/// The longest interval between looks at the end of a log. Records come in blocks, a tenth of a second apart by default.
const FOLLOW_INTERVAL_MAX: Duration = Duration::from_millis(50);

/// How far the reader has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// More blocks may come.
    Reading,
    /// The run's blocks have all been read.
    RunEnd,
    /// All there is has been read.
    End,
}

/// Reads a log: its records run by run, each run in the order of time.
///
/// Inside a run records are ordered by (time, producer, sequence). They are merged in bounded memory; a record that
/// would have taken more comes late and is counted. Damage is stepped over and counted: see [`Reader::report`].
/// After an error, which is one of reading a file, the reader can go on.
///
/// # A finished log
///
/// ```no_run
/// let mut reader = diolog::Reader::open("/var/log/app/orders")?;
/// for record in &mut reader {
///     let record = record?;
///     println!("{}", String::from_utf8_lossy(record.message()));
/// }
/// println!("{} blocks lost", reader.report().blocks.lost);
/// # Ok::<(), diolog::Error>(())
/// ```
///
/// # A log that is being written
///
/// [`next_record`](Self::next_record) never waits. It ends before the first block that is missing and may be in flight:
/// what follows in the files is not confirmed yet. [`follow`](Self::follow) waits for more. Then the reader goes on; no
/// record is missed, and none comes twice. A follower:
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
///         println!("{}", String::from_utf8_lossy(record.message()));
/// #       shown += 1;
///     }
/// }
/// # assert_eq!(shown, 1);
/// # std::fs::remove_dir_all(&directory).unwrap();
/// # Ok::<(), diolog::Error>(())
/// ```
///
/// It ends when nothing has come for a tenth of a second; one that is to run for ever ignores what `follow` returns.
/// A segment that retention removes meanwhile is read to its end if the reader has come to it; one that is gone before is
/// named in the report, and the reader goes on after it.
#[derive(Debug)]
pub struct Reader {
    walk: Walk,
    merge: Merge,
    /// Records below this time can be given out: no block still to come holds an earlier one. `None`: all can.
    limit_ns: Option<u64>,
    phase: Phase,
}

impl Reader {
    /// Bytes of blocks held in memory, and looked at ahead, so that records can be merged.
    pub const MEMORY_BYTES_MAX: usize = MERGE_BYTES_MAX;

    /// Opens the log at `path`: a directory of segments, or one segment file.
    ///
    /// # Errors
    /// [`Error::NotALog`](crate::Error::NotALog) for what holds no segment that can be read, with what it is instead;
    /// [`Error::Io`](crate::Error::Io) where it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Reader> {
        ReadOptions::new().open(path)
    }

    /// The next record, borrowed from the reader; nothing is allocated for it. `None`: nothing more now, until
    /// [`follow`](Self::follow) says otherwise.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a file cannot be read; the next call goes on after that place.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<RecordRef<'_>>> {
        let ready = match self.merge.next(self.limit_ns) {
            Some(ready) => ready,
            None => match self.find()? {
                Some(ready) => ready,
                None => return Ok(None),
            },
        };
        let (message, frame, producer) = self.merge.resolve(&ready);
        let report = &mut self.walk.account.report;
        report.records += 1;
        report.late += u64::from(ready.is_late);
        report.truncated += u64::from(frame.is_truncated());
        Ok(Some(RecordRef {
            message,
            timestamp_ns: frame.timestamp_ns,
            sequence: frame.sequence,
            level: frame.level,
            flags: frame.flags,
            producer,
            run: &self.walk.context,
        }))
    }

    /// Waits until there is more to read, at most for `timeout`. Returns whether there is.
    ///
    /// It looks at the files at once, so that a `timeout` of zero is one look, and then every 1 to 50 ms. The log is also
    /// followed over later segments and runs, and without a logger that has it open.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record), and [`Error::Io`](crate::Error::Io) if the directory cannot be listed.
    pub fn follow(&mut self, timeout: Duration) -> Result<bool> {
        let begun = Instant::now();
        let mut interval = AWAIT_INTERVAL;
        loop {
            let look = Instant::now();
            if self.phase == Phase::End {
                self.walk.look_for_more()?;
                self.begin_reading();
            }
            if self.find()?.is_some() {
                self.merge.take_back();
                return Ok(true);
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            interval = if self.walk.is_awaiting() { AWAIT_INTERVAL } else { (2 * interval).min(FOLLOW_INTERVAL_MAX) };
            // Looking takes at most half of the time, however long the log is.
            std::thread::sleep(interval.max(look.elapsed()).min(left));
        }
    }

    /// Goes on without a block that is missing, if the reader has ended before one that may be in flight: waits for it, at
    /// most for `timeout`, and passes over it if it does not come. Returns whether the reader has ended before one.
    ///
    /// For a reader that wants all there is now, also what follows a block that never comes: a crash may have left such
    /// a gap, and nothing tells it from a block in flight while a logger has the log open and has not written yet.
    /// A block that comes after it was passed over is missed, and counted in [`BlockCounts::holes`].
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn pass_over_missing(&mut self, timeout: Duration) -> Result<bool> {
        if self.phase != Phase::End || !self.walk.is_awaiting() {
            return Ok(false);
        }
        if !self.follow(timeout)? && self.walk.give_up_awaited() {
            self.begin_reading();
        }
        Ok(true)
    }

    /// What was found so far. Rows and the newest run's outcome are complete once there is nothing more now.
    pub fn report(&self) -> &Report {
        &self.walk.account.report
    }

    /// Loads blocks until a record can be given out.
    fn find(&mut self) -> Result<Option<Ready>> {
        loop {
            if let Some(ready) = self.merge.next(self.limit_ns) {
                return Ok(Some(ready));
            }
            match self.phase {
                Phase::Reading if self.merge.bytes >= Reader::MEMORY_BYTES_MAX => {
                    // No room to wait for the earlier records: they will come late.
                    if let Some(ready) = self.merge.next(None) {
                        return Ok(Some(ready));
                    }
                    self.load()?;
                }
                Phase::Reading => self.load()?,
                Phase::RunEnd => {
                    self.merge.start_run();
                    self.begin_reading();
                }
                Phase::End => {
                    self.account();
                    return Ok(None);
                }
            }
        }
    }

    fn begin_reading(&mut self) {
        (self.phase, self.limit_ns) = (Phase::Reading, Some(0));
    }

    fn load(&mut self) -> Result<()> {
        self.account();
        let mut block = self.merge.spare();
        let step = self.walk.next(&mut block);
        match step {
            Ok(Step::Block(_)) => {
                self.merge.add(block, |id| self.walk.account.producer(id));
                // An empty plan may be filled again by the next step: nothing is known to be safe.
                self.limit_ns = Some(self.walk.min_ns().unwrap_or(0));
                return Ok(());
            }
            Ok(Step::RunEnd) => (self.phase, self.limit_ns) = (Phase::RunEnd, None),
            Ok(Step::Awaited | Step::End) => (self.phase, self.limit_ns) = (Phase::End, None),
            Err(_) => {}
        }
        self.merge.keep(block);
        step.map(|_| ())
    }

    /// Takes what the merge met into the report.
    fn account(&mut self) {
        let unread = std::mem::take(&mut self.merge.unread);
        self.walk.account.count_unread(&unread);
    }
}

impl Iterator for Reader {
    type Item = Result<Record>;

    /// The next record, owned. After `None`, none comes until [`follow`](Self::follow) finds more.
    fn next(&mut self) -> Option<Result<Record>> {
        match self.next_record() {
            Ok(record) => record.map(|record| Ok(record.to_record())),
            Err(error) => Some(Err(error)),
        }
    }
}
