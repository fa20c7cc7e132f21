//! The run's segments: where the next block stands, when a segment is left for the next, cutting it then, and which of
//! the old ones are kept.
//!
//! The writer calls it. It names files and knows sizes and identities; it neither reads nor writes blocks: a segment's
//! header is a block like the others, and goes through the device. Files are made and removed by [`prepare`], on a
//! thread of its own.

mod directory;
mod lock;
mod prepare;
mod archive;
mod retention;
mod inspect;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use directory::Directory;
pub(crate) use retention::Limits;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::{GRID_BYTES, LogId, PRODUCERS_MAX, ProducerRow, RunId, record_bytes};
use crate::sys;
use archive::Archive;
use prepare::{Left, Prepared, Preparer};

/// How long `open` lets the first segment be filled, unless told otherwise; it is used as far as it is then.
pub(crate) const FIRST_FILL_PATIENCE: Duration = Duration::from_millis(100);

/// Waits between tries to make a segment where that fails: the first, and the longest.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Where a block stands.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) file: Arc<File>,
    pub(crate) segment_id: u64,
    pub(crate) offset: u64,
}

/// What a segment file may and should measure, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The run's first segment; each further one is twice the one before.
    pub(crate) first: u64,
    /// The largest.
    pub(crate) max: u64,
    /// The largest block.
    pub(crate) block: usize,
}

impl Sizes {
    /// A limit on the size of files must leave room for a header and a block: else a block would wait for a segment that
    /// cannot be.
    fn fit(&self, file_bytes_max: Option<u64>) -> Result<()> {
        let needed = (self.block as u64 + 16 * GRID_BYTES as u64).min(self.max);
        match file_bytes_max {
            Some(limit) if limit < needed => Err(Error::InvalidConfig {
                setting: "block_bytes",
                value: self.block.to_string(),
                remedy: format!(
                    "the process may write files of {limit} bytes at most (ulimit -f), and a segment needs {needed}; use \
                     smaller blocks, or raise the limit"
                ),
            }),
            _ => Ok(()),
        }
    }

    /// However full the disk: room for a header and two blocks.
    fn min(&self) -> u64 {
        let blocks = 2 * self.block as u64 + 16 * GRID_BYTES as u64;
        blocks.min(self.max)
    }
}

/// What segments measure, when they are left, and how long they are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) sizes: Sizes,
    /// How long `open` lets the first segment be filled: [`FIRST_FILL_PATIENCE`], but for tests.
    pub(crate) first_fill_patience: Duration,
    /// A segment is left when its first block is this old.
    pub(crate) rotate_after: Option<Duration>,
    pub(crate) keep: Limits,
}

/// One segment file that blocks go to.
struct Segment {
    file: Arc<File>,
    path: PathBuf,
    id: u64,
    index: u64,
    /// What it was prepared for.
    bytes: u64,
    /// Where the next block stands; what the file is cut to.
    used_bytes: u64,
    /// Blocks placed in it, the header included.
    blocks: u64,
    /// The monotonic time of its first block.
    begun_ns: Option<u64>,
}

/// A reason to leave the present segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leave {
    /// None but its size.
    No,
    /// It is too old, or somebody asked: when the next is ready, with all its zeros.
    WhenReady,
    /// It has failed: as soon as there is another, as that is.
    AtOnce,
}

/// The segment after the present one.
enum Next {
    /// Not asked for yet.
    Nothing,
    /// If it cannot be made, the next try comes after `delay`.
    Asked {
        delay: Duration,
    },
    Ready(Prepared),
    /// It could not be made. Asked for again after a while, and after a longer while the next time.
    Refused {
        error: Error,
        again_at: Instant,
        delay: Duration,
    },
}

/// The segments of one run.
pub(crate) struct Segments {
    log: LogId,
    run: RunId,
    rules: Rules,
    current: Segment,
    previous_id: u64,
    next: Next,
    /// The number of the next segment: beyond those of files that turned out to be there.
    next_index: u64,
    leave: Leave,
    /// Left segments, each with the number of the first block that is not in it any more: cut when all before that
    /// are durable.
    left: VecDeque<(u64, Left)>,
    /// Segments none of whose blocks is known durable, each with the number of its first block.
    unconfirmed: VecDeque<(u64, u64)>,
    preparer: Preparer,
    /// The process's file size limit when the run began.
    file_bytes_max: Option<u64>,
    /// What went wrong in preparing, not yet said.
    complaints: Vec<String>,
    /// The one before, said or not.
    last_complaint: Option<String>,
}

impl Segments {
    /// Begins a run in the segment that follows the last one of the directory.
    ///
    /// # Errors
    /// [`Error::Io`] where no file can be made; [`Error::InvalidConfig`] where the process may not write files as large.
    pub(crate) fn begin(directory: &Directory, direct: bool, rules: Rules, clock: Clock) -> Result<Segments> {
        let file_bytes_max = sys::file::file_size_limit();
        rules.sizes.fit(file_bytes_max)?;
        let log = directory.log_id().map_or_else(|| random_bytes().map(LogId), Ok)?;
        let run = RunId(random_bytes()?);
        let archive = Archive::new(directory.path(), log, directory.last_index(), rules.keep, clock);
        let preparer =
            Preparer::start(directory.path().to_owned(), directory.lock(), directory.newest(), direct, archive)
                .map_err(|source| Error::io("start the thread that prepares segments for", directory.path(), source))?;
        let index = directory.last_index() + 1;
        preparer.ask(index, rules.sizes.first.min(rules.sizes.max), rules.sizes.min());
        let prepared = preparer.wait(rules.first_fill_patience)?;
        preparer.retain_again();
        let complaints = prepared.shortfall.clone().into_iter().collect();
        let current = Segment::new(prepared)?;
        Ok(Segments {
            log,
            run,
            rules,
            current,
            previous_id: 0,
            next: Next::Nothing,
            next_index: index + 1,
            leave: Leave::No,
            left: VecDeque::new(),
            unconfirmed: VecDeque::from([(0, index)]),
            preparer,
            file_bytes_max,
            complaints,
            last_complaint: None,
        })
    }

    /// The log's identity.
    pub(crate) fn log(&self) -> LogId {
        self.log
    }

    /// The run's identity.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// Whether old segments may be removed.
    pub(crate) fn are_limited(&self) -> bool {
        !self.rules.keep.keep_all()
    }

    /// The present segment's place in the log.
    pub(crate) fn index(&self) -> u64 {
        self.current.index
    }

    /// The id of the segment before the present one, 0 at the run's first.
    pub(crate) fn previous_id(&self) -> u64 {
        self.previous_id
    }

    /// The present segment's file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.current.path
    }

    /// Whether nothing was placed in the present segment yet, so that its header is due.
    pub(crate) fn is_new(&self) -> bool {
        self.current.used_bytes == 0
    }

    /// Whether somebody has deleted the present segment: what is written to it is gone when the run ends.
    pub(crate) fn is_deleted(&self) -> bool {
        sys::file::is_deleted(&self.current.file)
    }

    /// What went wrong in preparing and removing segments since the last call.
    pub(crate) fn take_complaints(&mut self) -> Vec<String> {
        self.complaints.extend(self.preparer.take_notes());
        std::mem::take(&mut self.complaints)
    }

    /// Asks for the present segment, which has failed, to be left for the next in whatever state that is.
    pub(crate) fn leave_soon(&mut self) {
        self.leave = Leave::AtOnce;
    }

    /// Sees to it that the present segment is left if that was `asked`, or if it is too old at `now_ns`. One that holds
    /// nothing has nothing to leave: the next block begins a segment as it is.
    pub(crate) fn leave_if_due(&mut self, now_ns: u64, asked: bool) {
        if self.is_new() {
            return;
        }
        let begun_ns = *self.current.begun_ns.get_or_insert(now_ns);
        let age = Duration::from_nanos(now_ns.saturating_sub(begun_ns));
        if asked || self.rules.rotate_after.is_some_and(|limit| age >= limit) {
            self.leave = self.leave.max(Leave::WhenReady);
        }
        if self.leave != Leave::No {
            self.see_to_next();
        }
    }

    /// Has the segments that are not wanted any more removed now: the disk is full.
    pub(crate) fn retain_now(&self) {
        self.preparer.retain_again();
    }

    /// Whether a block of `block_bytes` may stand in the present segment at all: beyond the process's file size limit
    /// the kernel would kill it by a signal.
    pub(crate) fn may_grow_by(&self, block_bytes: usize) -> bool {
        self.file_bytes_max.is_none_or(|limit| self.current.used_bytes + block_bytes as u64 <= limit)
    }

    /// How many producers may be alive at once: a segment's header has a row for each, and a file must have room for that and
    /// a block.
    pub(crate) fn producers_max(&self) -> usize {
        // What stands in a header besides takes less, rounded to the grid.
        let besides = self.rules.sizes.block + 2 * GRID_BYTES;
        let fit = |limit: u64| limit.saturating_sub(besides as u64) / record_bytes(ProducerRow::BYTES_MAX) as u64;
        self.file_bytes_max.map_or(PRODUCERS_MAX, |limit| fit(limit).min(PRODUCERS_MAX as u64) as usize)
    }

    /// Why the last try at the next segment failed, while there is none.
    pub(crate) fn refusal(&self) -> Option<&Error> {
        match &self.next {
            Next::Refused { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Gives the next `block_bytes` of the present segment away, also beyond its size while the next is not ready.
    pub(crate) fn place(&mut self, block_bytes: usize) -> Spot {
        debug_assert!(block_bytes.is_multiple_of(GRID_BYTES));
        let offset = self.current.used_bytes;
        self.current.used_bytes += block_bytes as u64;
        self.current.blocks += 1;
        Spot { file: Arc::clone(&self.current.file), segment_id: self.current.id, offset }
    }

    /// Sees to the next segment, and moves to it if a block of `block_bytes`, number `sequence`, should stand there and
    /// it is ready. Whether it moved.
    pub(crate) fn advance(&mut self, block_bytes: usize, sequence: u64) -> bool {
        let used = self.current.used_bytes;
        let is_full = used + block_bytes as u64 > self.current.bytes;
        // However small a segment is beside its header, one block is in each.
        let due = self.leave != Leave::No || (is_full && self.current.blocks > 1);
        if due || used >= self.current.bytes / 2 {
            self.see_to_next();
        }
        // One that holds nothing has nothing to leave, unless it has failed: then it never will.
        if !due || (self.is_new() && self.leave != Leave::AtOnce) {
            return false;
        }
        let prepared = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Ready(prepared) => prepared,
            other => {
                self.next = other;
                // While there is room, the next one's zeros are worth waiting for.
                if is_full || self.leave == Leave::AtOnce {
                    self.preparer.hurry();
                }
                return false;
            }
        };
        if sys::file::is_deleted(&prepared.file) {
            self.complaints.push(format!("{} was deleted before its use", prepared.path.display()));
            return false;
        }
        match Segment::new(prepared) {
            Ok(next) => {
                let was_deleted = self.is_deleted();
                let was_used = !self.is_new();
                let left = std::mem::replace(&mut self.current, next);
                if was_deleted {
                    self.complain(format!("{} was deleted while in use, with all that was in it", left.path.display()));
                }
                if was_used {
                    self.previous_id = left.id;
                    self.left.push_back((sequence, Left { file: left.file, used_bytes: left.used_bytes }));
                } else if !was_deleted {
                    let _ = std::fs::remove_file(&left.path);
                }
                self.unconfirmed.push_back((sequence, self.current.index));
                self.leave = Leave::No;
                true
            }
            Err(error) => {
                self.complaints.push(error.to_string());
                false
            }
        }
    }

    /// Asks for the next segment, or takes what became of it.
    fn see_to_next(&mut self) {
        let delay = match &self.next {
            Next::Ready(_) => return,
            Next::Refused { again_at, .. } if Instant::now() < *again_at => return,
            Next::Refused { delay, .. } => *delay,
            Next::Asked { delay } => *delay,
            Next::Nothing => RETRY_DELAYS.0,
        };
        if matches!(self.next, Next::Asked { .. }) {
            match self.preparer.poll() {
                None => {}
                Some(Ok(prepared)) => {
                    self.next_index = prepared.index + 1;
                    self.last_complaint = None;
                    self.complaints.extend(prepared.shortfall.clone());
                    self.next = Next::Ready(prepared);
                }
                Some(Err(error)) => {
                    if error.io_error().is_some_and(|source| source.kind() == io::ErrorKind::AlreadyExists) {
                        self.next_index += 1;
                    }
                    self.complain(error.to_string());
                    let (again_at, delay) = (Instant::now() + delay, (delay * 2).min(RETRY_DELAYS.1));
                    self.next = Next::Refused { error, again_at, delay };
                }
            }
            return;
        }
        self.preparer.ask(self.next_index, self.next_bytes(), self.rules.sizes.min());
        self.next = Next::Asked { delay };
    }

    /// Notes what went wrong, once where it goes wrong again and again.
    fn complain(&mut self, complaint: String) {
        if self.last_complaint.as_ref() != Some(&complaint) {
            self.last_complaint = Some(complaint.clone());
            self.complaints.push(complaint);
        }
    }

    /// The next segment's size: twice the present one's, but where that is left early for its age, not more than it has
    /// shown to need, since all of it is written with zeros.
    fn next_bytes(&self) -> u64 {
        let (Sizes { first, max, .. }, bytes) = (self.rules.sizes, self.current.bytes);
        let wanted = match self.current.used_bytes {
            used if used >= bytes / 2 => bytes.saturating_mul(2),
            used if used >= bytes / 4 => bytes,
            _ => (bytes / 2).next_multiple_of(GRID_BYTES as u64).max(first.min(bytes)),
        };
        wanted.clamp(self.rules.sizes.min(), max)
    }

    /// Cuts the left segments all of whose blocks are durable, given the first block number that is not, and has old
    /// ones removed once the one that follows holds a durable block: a log is never without.
    pub(crate) fn settle(&mut self, durable_sequence: u64) {
        while self.left.front().is_some_and(|(sequence, _)| *sequence <= durable_sequence) {
            if let Some((_, left)) = self.left.pop_front() {
                self.preparer.cut(left);
            }
        }
        let mut newest = None;
        while let Some((_, index)) = self.unconfirmed.front().filter(|(first, _)| *first < durable_sequence) {
            newest = Some(*index);
            self.unconfirmed.pop_front();
        }
        if let Some(newest) = newest {
            self.preparer.retain(newest);
        }
    }

    /// Ends the run. Cuts the present segment where all is durable; waits for the preparing thread.
    pub(crate) fn end(mut self, durable: bool) {
        if durable {
            self.settle(u64::MAX);
            Left { file: self.current.file, used_bytes: self.current.used_bytes }.cut();
        }
        if let Next::Ready(unused) = self.next {
            unused.discard();
        }
    }

    /// Ends the run without waiting for anything: the kernel may hold the preparing thread too.
    pub(crate) fn abandon(self) {
        self.preparer.abandon();
    }
}

impl Segment {
    fn new(prepared: Prepared) -> Result<Segment> {
        let Prepared { file, path, index, bytes, .. } = prepared;
        // Zero stands for "none".
        let id = u64::from_le_bytes(random_bytes()?).max(1);
        Ok(Segment { file, path, id, index, bytes, used_bytes: 0, blocks: 0, begun_ns: None })
    }
}

fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| {
        Error::io("draw a random identity for", Path::new("a log"), io::Error::other(source.to_string()))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_made_again_is_left_to_whoever_has_locked_it_since() {
        let parent = crate::sys::test_directory::directory();
        let path = parent.path().join("log");
        let rules = Rules {
            sizes: Sizes { first: 32 << 10, max: 32 << 10, block: 4096 },
            first_fill_patience: FIRST_FILL_PATIENCE,
            rotate_after: None,
            keep: Limits { bytes: None, segments: Some(1), age: None },
        };
        let begin = || {
            let directory = Directory::open(&path).expect("a directory");
            let segments = Segments::begin(&directory, false, rules, Clock::detect()).expect("a segment");
            (directory, segments)
        };
        let files = || std::fs::read_dir(&path).expect("readable").count();
        let (_directory, segments) = begin();
        // Retention, which `begin` asks for, may find the lock gone before the directory is, and lock it anew.
        while let Err(error) = std::fs::remove_dir_all(&path) {
            assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty, "{error}");
        }
        let next = |segments: &Segments| {
            segments.preparer.ask(2, 32 << 10, 32 << 10);
            segments.preparer.wait(Duration::MAX)
        };
        assert!(next(&segments).is_err(), "no directory");
        let (others_directory, others) = begin();
        let refused = next(&segments).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("in use"), "{refused}");
        assert_eq!(files(), 2, "the other's first segment, and its lock");
        others.end(false);
        drop(others_directory);
        assert!(next(&segments).is_ok(), "nobody else is there any more");
        assert!(matches!(Directory::open(&path), Err(Error::InUse { .. })), "now it is ours");
    }
}
