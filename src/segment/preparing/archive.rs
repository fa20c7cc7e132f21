//! The segment files in the log's directory, and the removal of those that are not kept.
//!
//! It removes two kinds of files: those that an earlier run prepared and never used, and the oldest segments beyond the
//! limits, as [`retention`] decides. It also cuts the segments of earlier runs to the bytes that they hold (see
//! [`trim`]): a killed run leaves its last segment at full size. A file is counted or removed only if both its name and
//! its content make it a segment of this log, and the content is read again right before the removal. Each removal is
//! durable before the next one, so that after a power cut only the log's beginning is missing.
//!
//! Used by the thread that prepares segments, under the log's lock. The writer never waits for it.
//!
//! [`retention`]: super::retention
//! [`trim`]: super::trim

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::{LogId, segment_file_name, segment_number};
use crate::sys::DirectoryEntry;
use crate::sys::directory::OpenDirectory;

use super::age::Beginning;
use super::retention::{HeldSegment, Limits, surplus};
use super::trim::{Cut, cut_zeros};
use crate::segment::inspect::{NumberedFile, Search, inspect, search_for_bytes};
use crate::segment::location::LogLocation;

/// What one call of [`Archive::retire`] or [`Archive::sweep`] has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RemovalProgress {
    /// Segments that it has removed.
    pub(super) removed: usize,
    /// Bytes that it has read from the ends of segments.
    pub(super) read_bytes: u64,
}

/// The files of one log.
pub(in crate::segment) struct Archive {
    location: Arc<LogLocation>,
    log: LogId,
    pub(in crate::segment) limits: Limits,
    beginning: Beginning,
    /// Whether a note has said that the pause before the run does not count.
    pause_noted: bool,
    /// The highest number when the run began. Files up to it are those of earlier runs.
    inherited: u64,
    /// Inherited files that may never have been used and must still be checked; `None` before the search for them.
    unused: Option<Vec<u64>>,
    /// The segments of this log.
    ours: BTreeSet<u64>,
    /// Segments of earlier runs that could not be cut, because writes to them may be in progress.
    busy: Vec<u64>,
    /// Files with a segment's name that are not this log's, or cannot be read.
    strangers: BTreeSet<u64>,
    /// Whether the last removal failed. There is a note about it.
    stuck: bool,
    /// Notes for the log: about errors, and about files that are left alone.
    pub(super) notes: Vec<String>,
}

impl Archive {
    /// The files of `log` at `location`. Those up to number `inherited` are of earlier runs.
    pub(in crate::segment) fn new(
        location: Arc<LogLocation>,
        log: LogId,
        inherited: u64,
        limits: Limits,
        clock: Clock,
    ) -> Archive {
        Archive {
            location,
            log,
            limits,
            beginning: Beginning::now(clock),
            pause_noted: false,
            inherited,
            unused: None,
            ours: BTreeSet::new(),
            busy: Vec::new(),
            strangers: BTreeSet::new(),
            stuck: false,
            notes: Vec::new(),
        }
    }

    /// Adds a file that this run has made.
    pub(super) fn add(&mut self, number: u64) {
        self.ours.insert(number);
    }

    /// Removes files that earlier runs prepared and never used, as a crash leaves them, and cuts the segments of
    /// earlier runs to the bytes that they hold. Returns whether it finished before `stop` returned true.
    ///
    /// `newest` is the last segment with a durable block. As long as that is an earlier run's, no file is removed: only
    /// a segment header of this run tells readers that those numbers held no block, and the process may die before the
    /// header is durable.
    pub(super) fn sweep(&mut self, newest: u64, stop: impl Fn() -> bool) -> bool {
        let mut progress = RemovalProgress::default();
        let mut busy = std::mem::take(&mut self.busy);
        while let Some(number) = busy.pop() {
            if !self.cut(number, &mut progress, &|_| stop()) {
                self.busy.push(number);
                self.busy.append(&mut busy);
                return false;
            }
        }
        let mut unused = match self.unused.take() {
            Some(unused) => unused,
            None => match self.find_unused(&mut progress, &|_| stop()) {
                Ok(Some(unused)) => unused,
                Ok(None) => return false,
                // The next call searches again.
                Err(error) => {
                    self.note_stuck(error);
                    return true;
                }
            },
        };
        if newest <= self.inherited {
            self.unused = Some(unused);
            return true;
        }
        let (directory, mut stopped) = (self.location.directory(), false);
        while let Some(number) = unused.pop() {
            match search_for_bytes(&directory, number, &stop) {
                Ok(Search::Blank) => {
                    if let Err(error) = remove(&directory, number) {
                        self.notes.push(error.to_string());
                    }
                }
                Ok(Search::HoldsBytes) | Err(_) => {}
                Ok(Search::Stopped) => {
                    unused.push(number);
                    stopped = true;
                    break;
                }
            }
        }
        // Synced once for all: there may be thousands of files, and their order does not matter.
        let _ = directory.sync();
        self.unused = Some(unused);
        !stopped
    }

    /// Removes the oldest segments until the limits hold with `incoming_bytes` more. `newest` is the last segment with
    /// a durable block. Returns whether it finished before `stop` returned true.
    pub(super) fn retire(&mut self, newest: u64, incoming_bytes: u64, stop: impl Fn(RemovalProgress) -> bool) -> bool {
        if self.limits.keeps_all() {
            return true;
        }
        let mut progress = RemovalProgress::default();
        let held = match self.held(newest, &mut progress, &stop) {
            Ok(Some(held)) => held,
            Ok(None) => return false,
            Err(error) => {
                self.note_stuck(error);
                return true;
            }
        };
        let surplus = surplus(&self.limits, &held, newest, incoming_bytes);
        for segment in &held[..surplus] {
            if stop(progress) {
                return false;
            }
            progress.removed += 1;
            let removed = self.is_still_ours(segment.number).and_then(|is_ours| {
                if is_ours {
                    self.remove_file(segment.number)?;
                }
                Ok(is_ours)
            });
            match removed {
                Ok(true) => {}
                Ok(false) => continue,
                // To continue would leave a gap in the log.
                Err(error) => {
                    self.note_stuck(error);
                    return true;
                }
            }
            self.ours.remove(&segment.number);
            self.stuck = false;
        }
        true
    }

    /// The inherited files whose first block is zero; `None` if `stop` returned true before all were inspected.
    fn find_unused(
        &mut self,
        progress: &mut RemovalProgress,
        stop: &impl Fn(RemovalProgress) -> bool,
    ) -> Result<Option<Vec<u64>>> {
        let inherited = self.inherited;
        let files = self.files()?;
        let mut unused = Vec::new();
        for (number, _) in files.into_iter().filter(|(number, _)| *number <= inherited) {
            if stop(*progress) {
                return Ok(None);
            }
            if self.ours.contains(&number) {
                continue;
            }
            match self.classify(number) {
                Ok(Some(NumberedFile::Unwritten)) => unused.push(number),
                Ok(Some(_)) if !self.cut(number, progress, stop) => return Ok(None),
                _ => {}
            }
        }
        Ok(Some(unused))
    }

    /// The log's segments, the oldest first; `None` if `stop` returned true before all were inspected. Files after
    /// `newest` count only if this run has made them. Each file is inspected once, because its kind does not change.
    fn held(
        &mut self,
        newest: u64,
        progress: &mut RemovalProgress,
        stop: &impl Fn(RemovalProgress) -> bool,
    ) -> Result<Option<Vec<HeldSegment>>> {
        for (number, _) in self.files()? {
            if !self.ours.contains(&number) && number <= newest && !self.strangers.contains(&number) {
                if stop(*progress) {
                    return Ok(None);
                }
                if let Some(NumberedFile::Segment(_)) = self.classify(number)?
                    && !self.cut(number, progress, stop)
                {
                    return Ok(None);
                }
            }
        }
        // List them again: cutting has changed their sizes.
        let mut ours: Vec<_> = self.files()?.into_iter().filter(|(number, _)| self.ours.contains(number)).collect();
        ours.sort_by_key(|(number, _)| *number);
        let ages = self.ages(&ours);
        let held =
            |((number, entry), age): ((u64, DirectoryEntry), Duration)| HeldSegment { number, bytes: entry.bytes, age };
        Ok(Some(ours.into_iter().zip(ages).map(held).collect()))
    }

    /// The ages of these segments, which are in order. Adds a note, once, if the pause before the run does not count.
    fn ages(&mut self, ours: &[(u64, DirectoryEntry)]) -> Vec<Duration> {
        let limit = self.limits.age.unwrap_or(Duration::MAX);
        let written: Vec<_> = ours.iter().map(|(_, entry)| entry.modified).collect();
        let (earlier, own) = written.split_at(ours.partition_point(|(number, _)| *number <= self.inherited));
        if !self.pause_noted
            && let Some(pause) = self.beginning.ignored_pause(earlier, limit)
        {
            self.pause_noted = true;
            self.notes.push(format!(
                "the clock says that {} days have passed since the log was last written, more than retain_for: they do \
                 not count, since the clock may be wrong",
                pause.as_secs() / (24 * 60 * 60)
            ));
        }
        self.beginning.ages(earlier, own, limit)
    }

    /// Cuts off the zeros that a killed run may have left at the end of segment `number`. Returns `false` if it was
    /// stopped; then the segment is inspected and cut again later.
    fn cut(&mut self, number: u64, progress: &mut RemovalProgress, stop: &impl Fn(RemovalProgress) -> bool) -> bool {
        if number > self.inherited {
            return true;
        }
        let count = |bytes| {
            progress.read_bytes += bytes;
            stop(*progress)
        };
        match cut_zeros(&self.location.directory(), number, count) {
            Ok(Cut::Stopped) => {
                self.ours.remove(&number);
                return false;
            }
            Ok(Cut::Busy) => self.busy.push(number),
            // A file that this process may not change keeps its zeros.
            Ok(Cut::Done) | Err(_) => {}
        }
        true
    }

    /// The regular files with a segment's name.
    fn files(&self) -> Result<Vec<(u64, DirectoryEntry)>> {
        let directory = self.location.directory();
        let names = directory.names().map_err(|source| Error::io("list", directory.path(), source))?;
        let numbers = names.iter().filter_map(|name| segment_number(name));
        let entry = |number| Some((number, directory.entry(&segment_file_name(number)).ok()?));
        Ok(numbers.filter_map(entry).filter(|(_, entry)| entry.is_file).collect())
    }

    /// Inspects file `number`, and notes whether it is a segment of this log. Returns its content if it is a segment of
    /// this log or an unused file.
    ///
    /// # Errors
    /// The file cannot be read now: it may be a segment of this log. One that this user may not read, and that this run
    /// has not known as a segment of the log, is left alone instead: it may stay so for ever.
    fn classify(&mut self, number: u64) -> Result<Option<NumberedFile>> {
        let directory = self.location.directory();
        let what = match inspect(&directory, number) {
            Ok(NumberedFile::Segment(log)) if log == self.log => {
                self.ours.insert(number);
                return Ok(Some(NumberedFile::Segment(log)));
            }
            // An unused file; `sweep` removes it.
            Ok(NumberedFile::Unwritten) => {
                self.strangers.insert(number);
                return Ok(Some(NumberedFile::Unwritten));
            }
            Ok(NumberedFile::Segment(_)) => "is a segment of another log".to_owned(),
            Ok(NumberedFile::Other(what)) => what.to_owned(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !self.ours.contains(&number) => {
                format!("cannot be read ({error})")
            }
            Err(source) => return Err(Error::io("read", &directory.path_of(&segment_file_name(number)), source)),
        };
        self.ours.remove(&number);
        if self.strangers.insert(number) && !self.limits.keeps_all() {
            let path = directory.path_of(&segment_file_name(number));
            self.notes.push(format!("{} {what}: retention leaves it alone", path.display()));
        }
        Ok(None)
    }

    /// Inspects file `number` again, right before its removal. Returns whether it is still a segment of this log.
    ///
    /// # Errors
    /// The file cannot be read now.
    fn is_still_ours(&mut self, number: u64) -> Result<bool> {
        match self.location.directory().entry(&segment_file_name(number)) {
            Ok(entry) if entry.is_file => {}
            // Somebody has removed it already, or put something else in its place.
            _ => return Ok(false),
        }
        Ok(match self.classify(number)? {
            Some(NumberedFile::Segment(_)) => true,
            // This run has made the file, and its first block was refused.
            Some(NumberedFile::Unwritten) => number > self.inherited,
            _ => false,
        })
    }

    /// Removes the file of segment `number`, durably.
    fn remove_file(&self, number: u64) -> Result<()> {
        let directory = self.location.directory();
        remove(&directory, number)?;
        directory.sync().map_err(|source| Error::io("sync the directory", directory.path(), source))
    }

    /// Adds a note that old files are kept because of `error`: once, until a removal succeeds again.
    fn note_stuck(&mut self, error: Error) {
        if !std::mem::replace(&mut self.stuck, true) {
            self.notes.push(format!("{error}; older segments are kept until that is possible"));
        }
    }
}

/// Removes the file of segment `number`, if it exists.
fn remove(directory: &OpenDirectory, number: u64) -> Result<()> {
    let name = segment_file_name(number);
    match directory.remove(&name) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", &directory.path_of(&name), source))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::block::{Block, BlockPlace};
    use crate::buffer::AlignedBuffer;
    use crate::clock::ManualClock;
    use crate::format::{BlockFlags, GRID_BYTES, Kind, SegmentHeader};

    const LOG: LogId = LogId([1; 16]);
    const ONE: Limits = Limits { bytes: None, segments: Some(1), age: None };

    fn write_segment(directory: &Path, log: LogId, number: u64) {
        let header = SegmentHeader { log, previous_segment_id: number - 1, ..SegmentHeader::example(number) };
        let mut payload = Vec::new();
        header.encode(&mut payload);
        let mut block = Block::new(AlignedBuffer::new(GRID_BYTES, 0).unwrap());
        block.set_flag(BlockFlags::SEGMENT_HEADER);
        assert!(block.append_control(&mut 0, Kind::Segment, 1, &payload));
        let (mut buffer, length) = block.seal(0);
        crate::block::place(&mut buffer, BlockPlace { segment_id: number, file_offset: 0, in_flight: 0 });
        fs::write(directory.join(segment_file_name(number)), &buffer[..length]).unwrap();
    }

    fn numbers(directory: &Path) -> Vec<u64> {
        let mut numbers: Vec<_> =
            fs::read_dir(directory).unwrap().filter_map(|entry| segment_number(&entry.unwrap().file_name())).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Segments 1 to 6 of one log.
    fn six() -> tempfile::TempDir {
        let directory = crate::sys::test_directory::directory();
        (1..=6).for_each(|number| write_segment(directory.path(), LOG, number));
        directory
    }

    fn archive(directory: &Path, limits: Limits) -> Archive {
        Archive::new(location(directory), LOG, 6, limits, Clock::detect())
    }

    fn location(directory: &Path) -> Arc<LogLocation> {
        Arc::new(LogLocation::open(directory, crate::sys::Access::OWNER).unwrap())
    }

    #[test]
    fn removing_can_be_stopped_and_goes_on_from_there() {
        let directory = six();
        let mut archive = archive(directory.path(), ONE);
        assert!(!archive.retire(6, 0, |progress| progress.removed == 2));
        assert_eq!(numbers(directory.path()), [3, 4, 5, 6]);
        assert!(archive.retire(6, 0, |_| false));
        assert_eq!(numbers(directory.path()), [6]);
        assert_eq!(archive.notes, Vec::<String>::new());
    }

    #[test]
    fn inspecting_can_be_stopped_and_no_file_is_inspected_twice() {
        let directory = six();
        let mut archive = archive(directory.path(), ONE);
        let looked = std::cell::Cell::new(0);
        let mut rounds = 0;
        // Each round inspects a file or removes one.
        while !archive.retire(6, 0, |_| looked.replace(looked.get() + 1) % 2 == 1) {
            rounds += 1;
            assert!(rounds < 20, "no progress");
        }
        assert_eq!(numbers(directory.path()), [6]);
    }

    #[test]
    fn a_file_put_in_a_segments_place_after_it_was_inspected_stays() {
        let directory = six();
        let mut archive = archive(directory.path(), Limits { segments: Some(6), ..ONE });
        assert!(archive.retire(6, 0, |_| false));
        assert_eq!(archive.ours, (1..=6).collect(), "all inspected, none to remove");
        archive.limits = ONE;
        let path = |number| directory.path().join(segment_file_name(number));
        write_segment(directory.path(), LogId([9; 16]), 2);
        fs::write(path(3), "a log in plain text").unwrap();
        fs::remove_file(path(4)).unwrap();
        fs::create_dir(path(4)).unwrap();
        assert!(archive.retire(6, 0, |_| false));
        assert_eq!(numbers(directory.path()), [2, 3, 4, 6]);
        let notes = archive.notes;
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(
            notes[0].ends_with("00000002.dlog is a segment of another log: retention leaves it alone"),
            "{notes:?}"
        );
        assert!(notes[1].contains("00000003.dlog does not begin with a segment's header"), "{notes:?}");
    }

    #[test]
    fn a_file_of_this_run_whose_first_block_was_refused_is_removed_like_its_segments() {
        let directory = six();
        let blank = |number| fs::write(directory.path().join(segment_file_name(number)), [0; GRID_BYTES]).unwrap();
        [3, 7, 9].into_iter().for_each(blank);
        write_segment(directory.path(), LOG, 8);
        let mut archive = archive(directory.path(), ONE);
        [7, 8, 9].into_iter().for_each(|number| archive.add(number));
        assert!(archive.retire(8, 0, |_| false));
        assert_eq!(numbers(directory.path()), [3, 8, 9], "neither an earlier run's nor the next one");
    }

    #[test]
    fn files_after_the_newest_count_as_bytes_only_if_this_run_made_them() {
        let directory = six();
        let limits = Limits { bytes: Some(5 * GRID_BYTES as u64), segments: None, age: None };
        let mut archive = Archive::new(location(directory.path()), LOG, 4, limits, Clock::detect());
        assert!(archive.retire(4, 0, |_| false));
        assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
        archive.add(5);
        assert!(archive.retire(4, 0, |_| false));
        archive.add(6);
        assert!(archive.retire(4, 0, |_| false));
        assert_eq!(numbers(directory.path()), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn ages_grow_with_the_run_whatever_the_wall_clock_says() {
        let directory = six();
        let clock: &ManualClock = Box::leak(Box::default());
        let limits = Limits { bytes: None, segments: None, age: Some(Duration::from_secs(60)) };
        let written = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ns = |seconds: u64| i64::try_from((written + Duration::from_secs(seconds)).as_nanos()).unwrap();
        let begin = || Archive::new(location(directory.path()), LOG, 6, limits, Clock::manual(clock));
        // Opened at a wall time before the files were written, and years later: nothing is old.
        for opened in [0, ns(300_000_000)] {
            clock.unix_ns.store(opened, Relaxed);
            let mut archive = begin();
            assert!(archive.retire(6, 0, |_| false));
            assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
            assert_eq!(archive.notes.len(), usize::from(opened > 0), "{:?}", archive.notes);
        }
        clock.unix_ns.store(ns(30), Relaxed);
        let mut archive = begin();
        // The clock is set to another year, and then a minute passes.
        clock.unix_ns.store(ns(300_000_000), Relaxed);
        assert!(archive.retire(6, 0, |_| false));
        assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
        clock.monotonic_ns.fetch_add(60_000_000_000, Relaxed);
        assert!(archive.retire(6, 0, |_| false));
        assert_eq!(numbers(directory.path()), [6]);
        assert_eq!(archive.notes, Vec::<String>::new());
    }

    #[test]
    fn a_segment_of_this_run_is_no_older_than_the_run() {
        let directory = six();
        let clock: &ManualClock = Box::leak(Box::default());
        let limits = Limits { bytes: None, segments: None, age: Some(Duration::from_secs(60)) };
        let mut archive = Archive::new(location(directory.path()), LOG, 0, limits, Clock::manual(clock));
        clock.unix_ns.store(i64::MAX, Relaxed);
        assert!(archive.retire(6, 0, |_| false));
        assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
        clock.monotonic_ns.fetch_add(61_000_000_000, Relaxed);
        assert!(archive.retire(6, 0, |_| false));
        assert_eq!(numbers(directory.path()), [6]);
    }

    #[test]
    fn segments_of_killed_runs_are_cut_before_they_are_counted() {
        let directory = six();
        for number in 1..=5 {
            let path = directory.path().join(segment_file_name(number));
            File::options().write(true).open(path).unwrap().set_len(16 << 20).unwrap();
        }
        // Room for all of them, but not for their zeros.
        let limits = Limits { bytes: Some(1 << 20), segments: None, age: None };
        let mut archive = archive(directory.path(), limits);
        let file = |number| File::open(directory.path().join(segment_file_name(number))).unwrap();
        // A write of the killed process to the fifth is still under way.
        let writing = file(5);
        assert!(crate::sys::try_lock(&writing).unwrap());
        assert!(!archive.retire(6, 0, |progress| progress.read_bytes >= 40 << 20), "stopped at the third");
        assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
        let mut wide = Limits { bytes: Some(17 << 20), ..limits };
        std::mem::swap(&mut archive.limits, &mut wide);
        assert!(archive.retire(6, 0, |_| false));
        assert_eq!(numbers(directory.path()), [1, 2, 3, 4, 5, 6]);
        let lengths = || (1..=5).map(|number| file(number).metadata().unwrap().len()).collect::<Vec<_>>();
        // A child that another test forks may hold the lock of a file for a moment.
        while lengths()[..4] != [4096; 4] {
            assert!(archive.sweep(u64::MAX, || false));
        }
        assert!(!cfg!(unix) || lengths()[4] == 16 << 20);
        drop(writing);
        while lengths() != [4096; 5] {
            assert!(archive.sweep(u64::MAX, || false));
        }
        assert_eq!(archive.notes, Vec::<String>::new());
    }

    #[test]
    fn sweeping_can_be_stopped_and_goes_on_from_there() {
        let directory = six();
        for number in [2, 4] {
            fs::write(directory.path().join(segment_file_name(number)), vec![0; 3 << 20]).unwrap();
        }
        let mut archive = archive(directory.path(), Limits::default());
        let looked = std::cell::Cell::new(0);
        // Six files are inspected first, then the unused ones are read in chunks.
        assert!(!archive.sweep(u64::MAX, || looked.replace(looked.get() + 1) == 8));
        assert_eq!(numbers(directory.path()).len(), 6);
        let inherited = archive.inherited;
        assert!(archive.sweep(inherited, || false), "no block of this run is durable");
        assert_eq!(numbers(directory.path()).len(), 6);
        assert!(archive.sweep(inherited + 1, || false));
        assert_eq!(numbers(directory.path()), [1, 3, 5, 6]);
    }

    #[cfg(not(all(target_os = "linux", not(diolog_portable))))]
    #[test]
    fn a_directory_that_cannot_be_listed_is_noted_and_swept_later() {
        let parent = crate::sys::test_directory::directory();
        let directory = parent.path().join("log");
        fs::create_dir(&directory).unwrap();
        let mut archive = archive(&directory, Limits::default());
        fs::remove_dir(&directory).unwrap();
        assert!(archive.sweep(u64::MAX, || false));
        assert!(archive.notes[0].starts_with("cannot list"), "{:?}", archive.notes);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(segment_file_name(2)), [0; GRID_BYTES]).unwrap();
        assert!(archive.sweep(u64::MAX, || false));
        assert_eq!(numbers(&directory), Vec::<u64>::new());
        assert_eq!(archive.notes.len(), 1, "noted once");
    }
}
