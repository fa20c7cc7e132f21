//! The segment files in the log's directory, and the removal of those that are not kept.
//!
//! It removes two kinds of files: those that an earlier run prepared and never used, and the oldest segments beyond the
//! limits, as [`retention`] decides. It also cuts the segments of earlier runs to the bytes that they hold (see
//! [`trim`]): a killed run leaves its last segment at full size. A file is counted or removed only if both its name and
//! its content make it a segment of this log, and the content is read again right before the removal. (A file that the
//! run itself has made may also be blank.) Each removal is durable before the next one, so that after a power cut only
//! the log's beginning is missing.
//!
//! Used by the thread that prepares segments, under the log's lock. The writer never waits for it.
//!
//! [`retention`]: super::retention
//! [`trim`]: super::trim

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, Result, is_of_one_file};
use crate::format::{LogId, segment_file_name, segment_number};
use crate::sys::directory::OpenDirectory;
use crate::sys::{self, DirectoryEntry};

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

/// The segments of the log in its directory.
struct Held {
    /// The oldest first.
    segments: Vec<HeldSegment>,
    /// The first file that could not be read now: it may be a segment too.
    unknown_from: u64,
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
        let Held { segments, unknown_from } = held;
        let surplus = surplus(&self.limits, &segments, newest, incoming_bytes);
        for segment in segments[..surplus].iter().take_while(|segment| segment.number < unknown_from) {
            if stop(progress) {
                return false;
            }
            progress.removed += 1;
            match self.remove_if_ours(segment.number) {
                Ok(true) => self.stuck = unknown_from < u64::MAX,
                Ok(false) => {}
                // To continue would leave a gap in the log.
                Err(error) => {
                    self.note_stuck(error);
                    return true;
                }
            }
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

    /// The log's segments; `None` if `stop` returned true before all were inspected. Files after `newest` count only if
    /// this run has made them. Each file is inspected once, because its kind does not change.
    fn held(
        &mut self,
        newest: u64,
        progress: &mut RemovalProgress,
        stop: &impl Fn(RemovalProgress) -> bool,
    ) -> Result<Option<Held>> {
        let mut unknown_from = u64::MAX;
        for (number, entry) in self.files()? {
            unknown_from = unknown_from.min(self.note_unexamined(number, newest, entry));
            if !self.ours.contains(&number) && number <= newest && !self.strangers.contains(&number) {
                if stop(*progress) {
                    return Ok(None);
                }
                match self.classify(number) {
                    Ok(Some(NumberedFile::Segment(_))) if !self.cut(number, progress, stop) => return Ok(None),
                    Ok(_) => {}
                    // To remove segments after it could leave a gap in the log.
                    Err(error) => {
                        unknown_from = unknown_from.min(number);
                        self.note_stuck(error);
                    }
                }
            }
        }
        // List them again: cutting has changed their sizes.
        let mut ours = Vec::new();
        for (number, entry) in self.files()? {
            match entry {
                Ok(entry) if self.ours.contains(&number) => ours.push((number, entry)),
                entry => unknown_from = unknown_from.min(self.note_unexamined(number, newest, entry)),
            }
        }
        ours.sort_by_key(|(number, _)| *number);
        let ages = self.ages(&ours);
        let held =
            |((number, entry), age): ((u64, DirectoryEntry), Duration)| HeldSegment { number, bytes: entry.bytes, age };
        let held = ours.into_iter().zip(ages).map(held);
        Ok(Some(Held { unknown_from, segments: held.collect() }))
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

    /// Notes file `number` if it could not be examined, unless it is no segment of this log. Returns the number from
    /// which on no segment may be removed: to remove one after that file could leave a gap in the log.
    fn note_unexamined(&mut self, number: u64, newest: u64, entry: io::Result<DirectoryEntry>) -> u64 {
        let Err(source) = entry else { return u64::MAX };
        if number > newest || self.strangers.contains(&number) {
            return u64::MAX;
        }
        let path = self.location.directory().path_of(&segment_file_name(number));
        self.note_stuck(Error::io("query", &path, source));
        number
    }

    /// The regular files with a segment's name, and those that cannot be examined now.
    fn files(&self) -> Result<Vec<(u64, io::Result<DirectoryEntry>)>> {
        let directory = self.location.directory();
        let names = directory.names().map_err(|source| Error::io("list", directory.path(), source))?;
        let numbers = names.iter().filter_map(|name| segment_number(name));
        let entry = |number| match directory.entry(&segment_file_name(number)) {
            Ok(entry) => entry.is_file.then_some((number, Ok(entry))),
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some((number, Err(error))),
        };
        Ok(numbers.filter_map(entry).collect())
    }

    /// Inspects file `number`, and notes whether it is a segment of this log. Returns its content if it is a segment of
    /// this log or an unused file.
    ///
    /// # Errors
    /// The file cannot be read now: it may be a segment of this log. If the disk cannot read it, or this user may not,
    /// that may last: then one that this run has not known as a segment is left alone; one that it has known, and the
    /// disk cannot read, counts as one.
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
            // This run has known it as a segment. The disk will not give it back.
            Err(error) if sys::file::is_of_the_disk(&error) && self.ours.contains(&number) => {
                return Ok(Some(NumberedFile::Segment(self.log)));
            }
            Err(error) if is_of_one_file(&error) && !self.ours.contains(&number) => {
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

    /// Inspects file `number` again, right before its removal. Returns whether it is still a segment of this log, or a
    /// file of this run without a block.
    ///
    /// # Errors
    /// The file cannot be read now.
    fn is_still_ours(&mut self, number: u64) -> Result<bool> {
        let (directory, name) = (self.location.directory(), segment_file_name(number));
        match directory.entry(&name) {
            Ok(entry) if entry.is_file => {}
            // Somebody has removed it already, or put something else in its place.
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(Error::io("query", &directory.path_of(&name), source)),
        }
        Ok(match self.classify(number)? {
            Some(NumberedFile::Segment(_)) => true,
            // This run has made the file, and its first block was refused.
            Some(NumberedFile::Unwritten) => number > self.inherited,
            _ => false,
        })
    }

    /// Removes the file of segment `number`, durably, if it is still this log's. Returns whether it is.
    ///
    /// # Errors
    /// It cannot be read now, or not removed.
    fn remove_if_ours(&mut self, number: u64) -> Result<bool> {
        if !self.is_still_ours(number)? {
            return Ok(false);
        }
        let directory = self.location.directory();
        remove(&directory, number)?;
        directory.sync().map_err(|source| Error::io("sync the directory", directory.path(), source))?;
        self.ours.remove(&number);
        Ok(true)
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
