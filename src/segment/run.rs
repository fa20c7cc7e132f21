//! The segments of one run: where the next block goes, when the next segment begins, and when the one before it is cut.
//!
//! Called by the writer. It chooses names, sizes and identities, and neither reads nor writes blocks. The
//! [`preparing`](super::preparing) thread makes and removes the files.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::{LogId, StoredRunId};
use crate::sys;
use crate::sys::directory::OpenDirectory;

use super::directory::Directory;
use super::next::{NextSegment, Quiet};
use super::preparing::{Archive, LeftFile, Prepared, Preparer, PreparingThreads};
use super::present::{PresentSegment, Readiness, WriteTarget};
use super::random::{random_bytes, random_id};
use super::rules::Rules;
use super::timetable::Timetable;

/// Why the next segment is to begin, the most urgent reason last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LeaveReason {
    /// The present segment is too old, or a rotation was asked for. It has room, so it is used until the next one's
    /// zeros are complete.
    Due,
    /// The next block does not fit. The next segment is used as soon as its file exists, complete or not.
    Full,
    /// The present segment has failed. As [`LeaveReason::Full`], even if it holds no block.
    Failed,
}

/// A segment that was left. It is cut when all its blocks are durable.
struct LeftSegment {
    /// The number of the first block after its blocks.
    end_block: u64,
    file: LeftFile,
}

/// A segment without a block that is known durable.
struct Unconfirmed {
    first_block: u64,
    index: u64,
}

/// The segments of one run.
pub(crate) struct Segments {
    pub(crate) log: LogId,
    pub(crate) run: StoredRunId,
    pub(crate) rules: Rules,
    current: PresentSegment,
    /// The id of the segment before the present one; 0 for the run's first.
    pub(crate) previous_id: u64,
    /// From this number on, no file held a block when the run began.
    unused_from: u64,
    /// How many files without a block earlier runs have left right before the run's first segment.
    pub(crate) left_before: u16,
    next: NextSegment,
    /// Why the present segment is to be left, except for its size.
    leave: Option<LeaveReason>,
    /// When the present segment ends by the wall clock, if the rules say so.
    timetable: Option<Timetable>,
    /// Whether the next segment was not ready when the present one should have been left.
    waited: bool,
    /// That of the present segment.
    readiness: Readiness,
    quiet: Quiet,
    /// Segments in the order in which they were left. If one failed, its blocks and those of the one before may have
    /// moved to the next. Then it may end with an earlier block than the one before.
    left: VecDeque<LeftSegment>,
    unconfirmed: VecDeque<Unconfirmed>,
    preparer: Preparer,
    /// The process's file size limit when the run began.
    file_bytes_max: Option<u64>,
    /// Failures to make or remove files, as notes for the log.
    notes: Vec<String>,
}

impl Segments {
    /// Begins a run, in the segment after the last one in the directory. One of `threads` makes the run's files.
    ///
    /// # Errors
    /// [`Error::Io`] if no file can be made; [`Error::InvalidConfig`] if the process may not write large enough files.
    pub(crate) fn begin(
        directory: &Directory,
        direct: bool,
        rules: Rules,
        clock: Clock,
        threads: &PreparingThreads,
    ) -> Result<Segments> {
        let opened = directory.opened();
        let path = opened.path();
        let file_bytes_max = sys::file::file_size_limit();
        let (newest, log) = match directory.newest {
            Some(newest) => newest,
            None => (0, LogId(random_bytes(path)?)),
        };
        let run = StoredRunId(random_bytes(path)?);
        let id = random_id(path)?;
        let location = &directory.location;
        let archive = Archive::new(Arc::clone(location), log, directory.last_index, rules.keep, clock);
        let preparer = Preparer::start(directory, newest, direct, archive, threads)?;
        let index = directory.last_index + 1;
        preparer.ask(index, rules.sizes.first, rules.sizes.min());
        let prepared = match preparer.wait(rules.first_fill_patience) {
            Ok(prepared) => prepared,
            Err(error) => {
                preparer.undo();
                return Err(error);
            }
        };
        preparer.retain_again();
        let timetable = rules.rotate_at.map(|at| Timetable::new(at, clock));
        Ok(Segments {
            log,
            run,
            rules,
            notes: prepared.shortfall.iter().cloned().chain(timetable.as_ref().and_then(Timetable::note)).collect(),
            current: PresentSegment::new(id, prepared),
            previous_id: 0,
            unused_from: directory.unused_from,
            left_before: u16::try_from(index - directory.unused_from).unwrap_or(u16::MAX),
            next: NextSegment::new(index + 1),
            leave: None,
            timetable,
            waited: false,
            readiness: Readiness::First,
            quiet: Quiet::default(),
            left: VecDeque::new(),
            unconfirmed: VecDeque::from([Unconfirmed { first_block: 0, index }]),
            preparer,
            file_bytes_max,
        })
    }

    /// The present segment's number.
    pub(crate) fn index(&self) -> u64 {
        self.current.index
    }

    /// The log's directory, for messages.
    pub(crate) fn directory(&self) -> &Path {
        &self.preparer.path
    }

    /// How many files right before the present segment hold no block: files that earlier runs prepared, and segments of
    /// this run that failed at once. 0 after the run has left a segment with blocks.
    pub(crate) fn unused_before(&self) -> u32 {
        let unused = if self.previous_id == 0 { self.current.index - self.unused_from } else { 0 };
        u32::try_from(unused).unwrap_or(u32::MAX)
    }

    /// The present segment's file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.current.path
    }

    /// Whether the present segment needs its header before the next block.
    pub(crate) fn is_header_due(&self) -> bool {
        self.current.used_bytes == 0
    }

    /// Why the name of the present segment's file does not lead to it any more, as a clause that follows the name;
    /// `None` if it does. Nobody would find its blocks.
    pub(crate) fn why_unreachable(&self) -> Option<&'static str> {
        self.current.file.why_unreachable()
    }

    /// Whether a block in the present segment is known durable.
    pub(crate) fn holds_durable_block(&self) -> bool {
        self.unconfirmed.iter().all(|segment| segment.index != self.current.index)
    }

    /// Takes the failures to make or remove segments since the last call, as notes for the log.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        self.notes.extend(self.preparer.take_notes());
        std::mem::take(&mut self.notes)
    }

    /// Takes the answer to the last request, if it has come. Called at the end, when no block asks for the next
    /// segment.
    pub(crate) fn take_last_answer(&mut self) {
        self.next.take_answer(&self.preparer, &mut self.notes);
    }

    /// How many segments could not be prepared, or not completely, since the last call.
    pub(crate) fn take_preparation_failures(&mut self) -> u64 {
        self.next.take_failures()
    }

    /// Marks the present segment as failed. The next one is used as soon as its file exists.
    pub(crate) fn leave_soon(&mut self) {
        self.leave = Some(LeaveReason::Failed);
    }

    /// Marks the present segment as due if a rotation was `asked` for, if it is too old at `now_ns`, or at the wall
    /// clock's times. A segment without a block is never due: the next block is its first.
    pub(crate) fn leave_if_due(&mut self, now_ns: u64, asked: bool) {
        if self.is_header_due() {
            return;
        }
        let age = self.current.begin_or_age(now_ns);
        if age.is_none()
            && let Some(timetable) = &mut self.timetable
        {
            timetable.begin();
        }
        let is_too_old = self.rules.rotate_after.is_some_and(|limit| age.unwrap_or_default() >= limit);
        if asked || is_too_old || self.timetable.as_mut().is_some_and(Timetable::observe_due) {
            self.leave = self.leave.max(Some(LeaveReason::Due));
        }
        if asked {
            self.quiet = Quiet::default();
        }
        if self.leave.is_some() && !self.quiet.given_back {
            self.request_next();
        }
    }

    /// Gives back the next segment's file if the log has placed nothing for a while: a quiet log keeps no space and no
    /// descriptor that it does not need. If a later block needs the next segment, it is asked for again.
    pub(crate) fn give_back_if_quiet(&mut self, now_ns: u64) {
        if !self.quiet.note_quiet(now_ns) {
            return;
        }
        self.next.take_answer(&self.preparer, &mut self.notes);
        let Some(unused) = self.next.give_back() else { return };
        self.preparer.remove(unused);
        self.quiet.given_back = true;
        // Do not ask again at the next block: otherwise a log that writes rarely would have a file made for each block.
        self.current.put_off_next();
    }

    /// Asks for the removal of the segments that the limits do not keep, because the disk is full.
    pub(crate) fn retain_now(&self) {
        self.preparer.retain_again();
    }

    /// Whether the present segment stays within the process's file size limit with `block_bytes` more. Beyond the limit
    /// the kernel would kill the process by a signal.
    pub(crate) fn may_grow_by(&self, block_bytes: usize) -> bool {
        self.file_bytes_max.is_none_or(|limit| self.current.used_bytes + block_bytes as u64 <= limit)
    }

    /// How many producers may be alive at once.
    pub(crate) fn producers_max(&self) -> usize {
        self.rules.sizes.producers_max(self.file_bytes_max)
    }

    /// Whether the present segment was ready when it was needed.
    pub(crate) fn readiness(&self) -> Readiness {
        self.readiness
    }

    /// Why the last try to make the next segment failed, if there is none.
    pub(crate) fn refusal(&self) -> Option<&Error> {
        self.next.refusal()
    }

    /// Gives a block of `block_bytes` its place in the present segment. The block may exceed the segment's size,
    /// because the next segment may not be ready.
    ///
    /// # Panics
    /// If `block_bytes` is not a positive multiple of 4096.
    pub(crate) fn place(&mut self, block_bytes: usize) -> WriteTarget {
        self.quiet = Quiet::default();
        self.current.place(block_bytes)
    }

    /// Begins the next segment if block `number`, of `block_bytes`, should go there and the file is ready. Asks for the
    /// file early enough. Returns whether the next segment began.
    pub(crate) fn advance(&mut self, block_bytes: usize, number: u64) -> bool {
        let reason = self.leave_reason(block_bytes);
        if reason.is_some() || self.current.wants_next() {
            self.request_next();
        }
        let Some(reason) = reason else { return false };
        match self.next.take() {
            Some(prepared) => self.enter(prepared, number),
            None => {
                if reason >= LeaveReason::Full {
                    self.waited = true;
                    self.preparer.hurry();
                }
                false
            }
        }
    }

    /// Why a block of `block_bytes` should not go to the present segment.
    fn leave_reason(&self, block_bytes: usize) -> Option<LeaveReason> {
        let is_full = self.current.is_full_for(block_bytes);
        let reason = self.leave.max(is_full.then_some(LeaveReason::Full));
        debug_assert!(
            !self.is_header_due() || reason.is_none_or(|reason| reason == LeaveReason::Failed),
            "a segment without a block is left only if it has failed, not because it is {reason:?}"
        );
        reason
    }

    /// Makes `prepared` the present segment, with block `number` as its first. Returns `false` if it cannot be used.
    fn enter(&mut self, prepared: Prepared, number: u64) -> bool {
        let path = prepared.file.path();
        if let Some(why) = prepared.file.why_unreachable() {
            self.notes.push(format!("{} {why}, before it held a block", path.display()));
            return false;
        }
        let id = match random_id(&path) {
            Ok(id) => id,
            Err(error) => {
                self.notes.push(error.to_string());
                prepared.file.remove();
                return false;
            }
        };
        assert!(prepared.index > self.current.index, "segment {} after {}", prepared.index, self.current.index);
        let left = std::mem::replace(&mut self.current, PresentSegment::new(id, prepared));
        self.unconfirmed.push_back(Unconfirmed { first_block: number, index: self.current.index });
        self.leave = None;
        let was_ready = !std::mem::take(&mut self.waited);
        self.readiness = match self.readiness {
            // A segment that failed before its header was written does not count.
            Readiness::First | Readiness::Late if left.used_bytes == 0 => self.readiness,
            _ if was_ready => Readiness::InTime,
            _ => Readiness::Late,
        };
        self.leave_behind(left, number);
        true
    }

    /// Keeps a segment that was left, to be cut later; if it is empty, removes its file.
    fn leave_behind(&mut self, left: PresentSegment, end_block: u64) {
        if let Some(why) = left.file.why_unreachable() {
            self.notes.push(format!("{} {why}, with all that was in it", left.path.display()));
        }
        if left.used_bytes > 0 {
            self.previous_id = left.id;
            let file = LeftFile { file: left.file.file, used_bytes: left.used_bytes };
            self.left.push_back(LeftSegment { end_block, file });
        } else {
            left.file.remove();
        }
    }

    fn request_next(&mut self) {
        let sizes = &self.rules.sizes;
        let bytes = sizes.after(self.current.bytes, self.current.used_bytes);
        self.next.request(&self.preparer, bytes, sizes.min(), &mut self.notes);
    }

    /// Cuts the segments that were left and whose blocks are all durable. `durable_number` is the first block that is
    /// not durable. When a segment holds a durable block, those before it may be removed: a log is never without a
    /// segment.
    pub(crate) fn note_durable(&mut self, durable_number: u64) {
        let done = self.left.iter().take_while(|left| left.end_block <= durable_number).count();
        self.left.drain(..done).for_each(|left| self.preparer.cut(left.file));
        let confirmed = self.unconfirmed.iter().take_while(|segment| segment.first_block < durable_number).count();
        if let Some(newest) = self.unconfirmed.drain(..confirmed).next_back() {
            self.preparer.retain(newest.index);
        }
    }

    /// Ends the run: cuts the present segment if everything is `durable`, and calls `then` after the preparing thread
    /// has carried out all orders. Does not wait for that.
    pub(crate) fn end(mut self, durable: bool, then: impl FnOnce() + Send + 'static) {
        if durable {
            self.note_durable(u64::MAX);
        }
        let PresentSegment { file, used_bytes, .. } = self.current;
        let present = durable.then_some(LeftFile { file: file.file, used_bytes });
        self.preparer.end(present, self.next.take().map(|unused| unused.file), then);
    }

    /// Makes the thread that prepares segments do `job` in the log's directory, before its other orders. The job may
    /// return a note for the log.
    pub(crate) fn give_job(&self, job: impl FnOnce(Result<&OpenDirectory>) -> Option<String> + Send + 'static) {
        self.preparer.give_job(Box::new(job));
    }

    /// Ends a run that has not begun: removes its file.
    pub(crate) fn undo(self) {
        self.preparer.remove(self.current.file);
        self.preparer.undo();
    }

    /// Ends the run without waiting: the preparing thread may hang.
    pub(crate) fn abandon(self) {
        drop(self.preparer);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::segment::{FIRST_FILL_PATIENCE, Limits, Making, SegmentSizes};
    use crate::sys::test_directory::directory;

    const RULES: Rules = Rules {
        sizes: SegmentSizes { first: 32 << 10, max: 32 << 10, block: 4096 },
        first_fill_patience: FIRST_FILL_PATIENCE,
        rotate_after: None,
        rotate_at: None,
        keep: Limits { bytes: None, segments: Some(1), age: None },
    };

    fn begin(path: &Path) -> (Directory, Segments) {
        let directory = Directory::open(path, Making::BY_DEFAULT).expect("a directory");
        let segments = Segments::begin(&directory, false, RULES, Clock::detect(), &PreparingThreads::default())
            .expect("a segment");
        (directory, segments)
    }

    /// Ends a run, and waits for that.
    fn end(segments: Segments) {
        let (sender, done) = std::sync::mpsc::channel();
        segments.end(false, move || {
            let _ = sender.send(());
        });
        done.recv().expect("it ends");
    }

    /// Tries until the next segment is there.
    fn advance(segments: &mut Segments, block_bytes: usize, number: u64) {
        while !segments.advance(block_bytes, number) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_segment_is_left_when_full_asked_or_failed_and_never_without_a_block() {
        let parent = directory();
        let (_directory, mut segments) = begin(&parent.path().join("log"));
        assert!(segments.is_header_due());
        assert!(!segments.advance(64 << 10, 0), "nothing was placed yet, and the block goes here, however large");
        segments.leave_if_due(1, true);
        assert_eq!(segments.leave, None, "nothing to leave");
        assert_eq!(segments.place(4096).offset, 0);
        assert!(!segments.is_header_due() && !segments.advance(64 << 10, 0), "one block is in each segment");
        assert_eq!(segments.place(28 << 10).offset, 4096);
        assert!(segments.leave_reason(4096) == Some(LeaveReason::Full));
        let first_id = segments.current.id;
        advance(&mut segments, 4096, 1);
        assert_eq!((segments.index(), segments.previous_id, segments.readiness()), (2, first_id, Readiness::Late));

        segments.place(4096);
        segments.place(4096);
        assert_eq!(segments.leave_reason(4096), None);
        segments.leave_if_due(2, true);
        assert_eq!(segments.leave_reason(4096), Some(LeaveReason::Due));
        assert_eq!(segments.leave_reason(32 << 10), Some(LeaveReason::Full), "the more urgent reason counts");
        advance(&mut segments, 4096, 2);
        assert_eq!(segments.readiness(), Readiness::InTime, "it had room until then");

        assert!(segments.is_header_due());
        let (failed, before) = (segments.path().to_owned(), segments.previous_id);
        segments.leave_soon();
        assert_eq!(segments.leave_reason(0), Some(LeaveReason::Failed));
        advance(&mut segments, 0, 2);
        assert_eq!((segments.index(), segments.previous_id), (4, before), "the failed one held nothing");
        assert!(!failed.exists());
        assert_eq!(segments.take_notes(), Vec::<String>::new());
        end(segments);
    }

    #[test]
    fn a_segment_may_fail_while_blocks_of_the_one_before_are_not_durable() {
        let parent = directory();
        let (_directory, mut segments) = begin(&parent.path().join("log"));
        segments.place(4096);
        segments.place(28 << 10);
        advance(&mut segments, 4096, 10);
        segments.place(4096);
        segments.leave_soon();
        // Block 7, in the segment before, is the first that is not durable.
        advance(&mut segments, 0, 7);
        for (durable_number, left) in [(8, 2), (10, 0)] {
            segments.note_durable(durable_number);
            assert_eq!(segments.left.len(), left, "{durable_number}");
        }
        end(segments);
    }

    #[test]
    fn a_refusal_that_no_block_has_asked_about_is_noted_at_the_end() {
        let parent = directory();
        let path = parent.path().join("log");
        let (_directory, mut segments) = begin(&path);
        std::fs::write(path.join("00000002.dlog"), "in the way").expect("writable");
        segments.place(4096);
        segments.place(28 << 10);
        assert!(!segments.advance(4096, 1), "asked for just now");
        let notes = loop {
            segments.take_last_answer();
            let notes = segments.take_notes();
            if !notes.is_empty() {
                break notes;
            }
            std::thread::yield_now();
        };
        assert!(notes.iter().any(|note| note.contains("00000002.dlog")), "{notes:?}");
        assert_eq!(segments.take_preparation_failures(), 1);
        end(segments);
    }

    #[test]
    #[should_panic(expected = "off the grid")]
    fn a_block_off_the_grid_is_a_bug() {
        let parent = directory();
        let (_directory, mut segments) = begin(&parent.path().join("log"));
        segments.place(4097);
    }

    #[test]
    fn a_directory_made_again_is_left_to_the_logger_that_has_locked_it_since() {
        let parent = directory();
        let path = parent.path().join("log");
        let files = || std::fs::read_dir(&path).expect("readable").count();
        let (_directory, segments) = begin(&path);
        // Retention, which `begin` asks for, may find the lock gone before the directory is, and lock it anew.
        while let Err(error) = std::fs::remove_dir_all(&path) {
            assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty, "{error}");
        }
        let next = |segments: &Segments| {
            segments.preparer.ask(2, 32 << 10, 32 << 10);
            segments.preparer.wait(Duration::MAX)
        };
        assert!(next(&segments).is_err(), "no directory");
        let (others_directory, others) = begin(&path);
        let refused = next(&segments).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("in use"), "{refused}");
        assert_eq!(files(), 2, "the other's first segment, and its lock");
        end(others);
        drop(others_directory);
        assert!(next(&segments).is_ok(), "nobody else is there any more");
        assert!(matches!(Directory::open(&path, Making::BY_DEFAULT), Err(Error::InUse { .. })), "now it is ours");
    }
}
