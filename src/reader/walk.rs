//! The way through a log: every good block once, run by run, in the order of their numbers, with all else accounted
//! for in the [`Ledger`].
//!
//! Shared by the reader, which merges what it gets and may come back for more, and by `verify`, which does neither.
//! A block that is not there yet, in the last segment of a log that may be in use, is not the end of what can be
//! read: see [`Walk::may_still_come`].

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::format::{BlockFlags, IN_FLIGHT_UNKNOWN};

use super::Reader;
use super::block::{Loaded, Note};
use super::files::{Depth, Inspected, LogFiles, Segment, not_a_log};
use super::ledger::{Ledger, Spot};
use super::record::{Anchors, RunContext, RunId};
use super::report::Severity;
use super::run::{Item, Place, Run, RunScan, Tail, is_not_found, runs_of};
use super::scan::{Cursor, Scanned};
use super::segment_file::Chunk;

/// How often a reader that reads for the first time looks again at a gap at the end of a log, a millisecond apart: a
/// block in flight is durable within milliseconds, unless the disk is overloaded.
const LOOKS_IN_USE: u32 = 1000;
/// The same where it cannot be told whether the log is in use.
const LOOKS_UNKNOWN: u32 = 20;

/// Bytes of blocks that are planned ahead in a log that may grow, or whose records are merged.
const LOOKAHEAD_BYTES: u64 = Reader::MEMORY_BYTES_MAX as u64;

/// What a step of the walk came to.
#[derive(Debug)]
pub(super) enum Step {
    /// A good block.
    Block(Place),
    /// All blocks of the run have been given; another run follows.
    RunEnd,
    /// Nothing more now.
    EndOfNow,
}

/// A walk through a log.
#[derive(Debug)]
pub(super) struct Walk {
    files: LogFiles,
    pub(super) ledger: Ledger,
    /// The run that is read, and what its records share.
    run: Option<Run>,
    pub(super) context: RunContext,
    scan: RunScan,
    chunk: Chunk,
    /// The runs behind it.
    later: VecDeque<Run>,
    /// Bytes of blocks to plan ahead.
    lookahead: u64,
    /// Whether the last run is one that may get more blocks: the caller may come back, or somebody may be writing.
    may_grow: bool,
    /// Whether the caller came back.
    following: bool,
    /// Whether a logger had the log open when it was last looked at; `None` where that cannot be told.
    in_use: Option<bool>,
    /// All blocks of the run below this number were known to be durable before the plan's places were looked at: such a
    /// block that is missing is lost. A missing one from there on may have come since.
    durable_at_look: u64,
    /// Where the blocks of the segment end that ended last, in bytes.
    ends_at: u64,
    /// How often a gap at the end has been looked at again.
    looks: u32,
    /// Whether it was looked at since no logger had the log open.
    last_look: bool,
}

impl Walk {
    /// Opens the log at `path`: looks at the first block of every file.
    ///
    /// With `may_return` the caller may come back for more, which it then gets by [`resume`](Self::resume).
    pub(super) fn open(path: &Path, sync: bool, may_return: bool) -> Result<Walk> {
        let files = LogFiles::open(path, sync)?;
        let mut in_use = files.are_in_use();
        let mut walk = Walk {
            files,
            ledger: Ledger::default(),
            run: None,
            context: RunContext { id: RunId::unknown(0), anchors: Anchors::default() },
            scan: RunScan::default(),
            chunk: Chunk::default(),
            later: VecDeque::new(),
            lookahead: 0,
            may_grow: may_return,
            following: false,
            in_use,
            durable_at_look: 0,
            ends_at: 0,
            looks: 0,
            last_look: false,
        };
        walk.discover()?;
        // A logger that came in between has files among those that were found; one that went is done with them.
        if in_use == Some(false) {
            in_use = walk.files.are_in_use();
        }
        walk.in_use = in_use;
        walk.may_grow |= in_use != Some(false);
        if walk.may_grow {
            walk.lookahead = LOOKAHEAD_BYTES;
        }
        Ok(walk)
    }

    /// The smallest timestamp in blocks still to come, as far as the plan knows.
    pub(super) fn min_ns(&self) -> Option<u64> {
        self.scan.min_ns()
    }

    /// Goes on to the next good block, and leaves it in `loaded`.
    ///
    /// After an error the block that could not be read has been passed over.
    pub(super) fn next(&mut self, loaded: &mut Loaded) -> Result<Step> {
        loop {
            if self.run.is_none() && !self.next_run() {
                return Ok(Step::EndOfNow);
            }
            let Some(run) = &self.run else { return Ok(Step::EndOfNow) };
            let grows = self.may_grow && self.later.is_empty();
            let tail = match grows {
                false => Tail::Ended,
                // The rest of its last segment is zeros, which are not worth reading, and worth not caching where a
                // logger will write.
                true if self.following || self.in_use == Some(true) => {
                    Tail::Growing { horizon: run.segments.last().map_or(u64::MAX, Segment::horizon_in_use) }
                }
                true => Tail::Growing { horizon: u64::MAX },
            };
            self.ledger.prove_below(if self.may_come_late() { self.durable_at_look } else { u64::MAX });
            self.scan.fill(&self.files, run, self.lookahead, tail)?;
            match self.scan.front() {
                None if grows => {
                    self.account_for_removed(usize::MAX);
                    self.ledger.settle(None, self.scan.trailing());
                    return Ok(Step::EndOfNow);
                }
                None => {
                    self.account_for_removed(usize::MAX);
                    self.ledger.finish_run();
                    self.run = None;
                    return Ok(Step::RunEnd);
                }
                Some(Item::Block { .. }) => {
                    if let Some(step) = self.block(loaded, grows)? {
                        return Ok(step);
                    }
                }
                Some(Item::Start { .. }) => self.start_segment(loaded)?,
                Some(Item::End { .. }) => {
                    if let Some(step) = self.end_segment() {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// Comes back after [`Step::EndOfNow`]: what has been written since is found by the next step.
    pub(super) fn resume(&mut self) -> Result<()> {
        self.following = true;
        self.last_look = false;
        self.in_use = self.files.are_in_use();
        self.ledger.unsettle();
        if self.files.syncs() {
            self.scan.sync()?;
        }
        self.look_again();
        self.discover()
    }

    /// Looks for files that are new, or have been put to use.
    fn discover(&mut self) -> Result<()> {
        let listed = self.files.list()?;
        let newest = listed.last().map(|(number, _)| *number);
        let mut segments = Vec::new();
        let mut refused = None;
        let mut barren = BTreeMap::new();
        self.ledger.report.prepared_files = 0;
        let mut looked_at = Vec::new();
        // The newest first: where one has been put to use, those before it have been too, and are seen to.
        for (number, path) in listed.into_iter().rev() {
            // The newest file of a log in use is being made ready, or has just been begun.
            let is_fresh = (self.following || self.in_use == Some(true)) && Some(number) == newest;
            let depth = if is_fresh { Depth::FirstBlock } else { Depth::Whole };
            match self.files.inspect(number, &path, depth) {
                // Removed by retention since it was listed.
                Err(error) if is_not_found(&error) && number > 0 => {}
                inspected => looked_at.push((number, path, inspected?)),
            }
        }
        for (number, path, inspected) in looked_at.into_iter().rev() {
            match inspected {
                Inspected::Segment(segment) => segments.push(segment),
                Inspected::Prepared => {
                    self.ledger.report.prepared_files += 1;
                    barren.insert(number, path);
                    continue;
                }
                Inspected::Newer(what) => {
                    self.ledger.report.newer_files += 1;
                    self.ledger.report.find(Severity::Unconfirmed, path.clone(), None, what.clone());
                    refused.get_or_insert((path.clone(), what));
                }
                Inspected::Unreadable(what) => {
                    self.ledger.report.unreadable_files += 1;
                    self.ledger.report.find(Severity::Unconfirmed, path.clone(), None, what.clone());
                    refused.get_or_insert((path.clone(), what));
                    barren.insert(number, path.clone());
                }
            }
            self.files.settle(&path);
        }
        let nothing = segments.is_empty() && self.run.is_none() && self.ledger.report.runs.is_empty();
        if let Some((path, what)) = refused.filter(|_| nothing && self.ledger.report.prepared_files == 0) {
            return Err(not_a_log(&path, what));
        }
        for mut run in runs_of(segments) {
            let last = self.later.back_mut().or(self.run.as_mut());
            match last {
                Some(last) if last.id == run.id || continues(&self.files, last, &run)? => {
                    last.segments.append(&mut run.segments)
                }
                last => {
                    let before = last.and_then(|last| last.segments.last()).map_or(0, Segment::index);
                    find_beginning(&mut run, before, &barren, &mut self.ledger);
                    self.later.push_back(run);
                }
            }
        }
        Ok(())
    }

    fn next_run(&mut self) -> bool {
        let Some(run) = self.later.pop_front() else { return false };
        self.ledger.start_run(&run);
        let mut known = std::iter::once(&run).chain(&self.later).flat_map(|run| &run.segments);
        if let Some(first) = run.segments.first().filter(|_| self.files.is_directory())
            && !known.any(Segment::knows_retention)
        {
            self.ledger.doubt_retention(first);
        }
        self.context = RunContext { id: run.id, anchors: Anchors::default() };
        self.scan = RunScan::default();
        self.durable_at_look = 0;
        self.run = Some(run);
        true
    }

    /// Accounts for the run's segments before the `next`th that were removed before they could be opened, also where they
    /// had not even been listed: retention removes the oldest first, so a segment before them is then gone too.
    fn account_for_removed(&mut self, next: usize) {
        let Some(run) = &self.run else { return };
        let begun = self.ledger.segments_begun();
        let gone = run.segments.get(begun..next.min(run.segments.len())).unwrap_or_default();
        gone.iter().for_each(|segment| self.ledger.segment_removed(segment));
        if gone.is_empty()
            && let Some(previous) = next.checked_sub(1).and_then(|previous| run.segments.get(previous))
            && let Some(header) = run.segments.get(next).and_then(|segment| segment.header.as_ref())
            && header.previous_segment_id != previous.segment_id
            && matches!(previous.path.try_exists(), Ok(false))
        {
            self.ledger.segments_removed_behind(previous);
        }
    }

    /// Takes the beginning of a segment off the plan.
    fn start_segment(&mut self, loaded: &mut Loaded) -> Result<()> {
        let Some(Item::Start { segment, file }) = self.scan.take() else { return Ok(()) };
        self.account_for_removed(segment);
        let Some(info) = self.run.as_ref().and_then(|run| run.segments.get(segment)) else { return Ok(()) };
        let read = info.block_0.as_ref().map_or(Ok(false), |header| loaded.read(&file, 0, header));
        let block_0 = match (&read, &info.block_0) {
            (Ok(true), Some(header)) => {
                loaded.take_apart(header, |who| self.ledger.producer(who));
                add_anchors(&mut self.context, loaded);
                Some(&*loaded)
            }
            _ => None,
        };
        let previous = segment.checked_sub(1).and_then(|previous| self.run.as_ref()?.segments.get(previous));
        let before = previous.map(|previous| place_between(previous, info, self.ends_at));
        self.ledger.start_segment(info, before, block_0);
        read.map(|_| ())
    }

    /// Handles the end of a segment at the plan's front. `None`: it has been dealt with.
    ///
    /// The next segment begins while blocks are in flight in this one: those that it says came before it belong here.
    fn end_segment(&mut self) -> Option<Step> {
        let Some(&Item::End { segment, debris }) = self.scan.front() else { return None };
        if let Some(next) = self.run.as_ref().and_then(|run| run.segments.get(segment + 1))
            && let Some(expected) = self.ledger.expected().filter(|&expected| expected < next.first_number)
            && segment + 1 >= self.ledger.segments_begun()
            && self.may_come_late()
        {
            match self.may_still_come(expected, None) {
                Wait::No => {}
                Wait::Look(pause) => {
                    std::thread::sleep(pause);
                    self.look_again();
                    return None;
                }
                Wait::EndOfNow => {
                    self.ledger.settle(None, None);
                    return Some(Step::EndOfNow);
                }
            }
        }
        self.scan.take();
        self.ends_at = debris.from;
        self.ledger.end_segment(segment, debris);
        None
    }

    /// Handles the block at the plan's front. `None`: it was passed over.
    fn block(&mut self, loaded: &mut Loaded, grows: bool) -> Result<Option<Step>> {
        let Some(Item::Block { place, twins, .. }) = self.scan.front() else { return Ok(None) };
        let number = place.number();
        let expected = self.ledger.expected().unwrap_or(number);
        if number < expected {
            if let Some(Item::Block { twins, debris, .. }) = self.scan.take() {
                self.ledger.duplicates(number, 1 + twins.len() as u64, &debris);
            }
            return Ok(None);
        }
        let mut error = None;
        let mut good = None;
        for place in std::iter::once(place).chain(twins) {
            match loaded.read_through(&mut self.chunk, place) {
                Ok(true) => {
                    good = Some(place.clone());
                    break;
                }
                Ok(false) => {}
                Err(failed) => error = Some(failed),
            }
        }
        let is_whole = good.is_some() && number == expected;
        if grows && !is_whole && error.is_none() {
            let is_last = self.run.as_ref().is_none_or(|run| place.segment + 1 == run.segments.len());
            if good.is_none() && is_last && self.durable_below(None) <= expected && !self.good_behind_front() {
                // None of the blocks that are left is good.
                self.ledger.settle(self.scan.ends(), self.scan.trailing());
                return Ok(Some(Step::EndOfNow));
            }
            match self.may_still_come(expected, good.as_ref()) {
                Wait::No => {}
                Wait::Look(pause) => {
                    std::thread::sleep(pause);
                    self.look_again();
                    return Ok(None);
                }
                Wait::EndOfNow => {
                    self.ledger.settle(None, None);
                    return Ok(Some(Step::EndOfNow));
                }
            }
        }
        let Some(Item::Block { place, twins, debris }) = self.scan.take() else { return Ok(None) };
        match good {
            Some(good) => {
                loaded.take_apart(&good.header, |who| self.ledger.producer(who));
                add_anchors(&mut self.context, loaded);
                self.ledger.good(&good, &debris, loaded);
                self.ledger.duplicates(number, twins.len() as u64, &Default::default());
                Ok(Some(Step::Block(good)))
            }
            None => {
                self.ledger.bad(&place, &debris);
                error.map_or(Ok(None), Err)
            }
        }
    }

    /// Whether a block of the run that is read may come after its place was looked at.
    fn may_come_late(&self) -> bool {
        self.may_grow && self.later.is_empty() && (self.following || self.in_use != Some(false))
    }

    /// All blocks below this number were durable, as far as what was read says, what is planned, and `good`.
    fn durable_below(&self, good: Option<&Place>) -> u64 {
        let planned = self.scan.behind_front().filter_map(|item| match item {
            Item::Block { place, .. } => Some(place),
            _ => None,
        });
        planned.chain(good).map(testimony).fold(self.ledger.durable_below(), u64::max)
    }

    /// Looks once more at all that has not been read.
    fn look_again(&mut self) {
        self.durable_at_look = self.durable_at_look.max(self.durable_below(None));
        self.scan.rewind();
    }

    /// Whether the blocks from `missing` on may still come.
    ///
    /// A block that another one says was durable was there before that one: it is looked for once more, if its place was
    /// looked at before this was known, and if it is missing then too, it is lost. As to one in flight: while a logger has
    /// the log open, a reader that came back waits for it. One that reads for the first time looks again for a moment,
    /// then goes on: it may be what a crash left before that logger opened the log.
    fn may_still_come(&mut self, missing: u64, good: Option<&Place>) -> Wait {
        let durable_below = self.durable_below(good);
        if durable_below > missing {
            if !self.may_come_late() || self.durable_at_look > missing {
                return Wait::No;
            }
            self.durable_at_look = durable_below;
            return Wait::Look(Duration::ZERO);
        }
        let looks = match self.files.are_in_use() {
            // Its last writes may have come between the look at the files and the question.
            Some(false) if !std::mem::replace(&mut self.last_look, true) => return Wait::Look(Duration::ZERO),
            Some(false) => return Wait::No,
            _ if self.following => return Wait::EndOfNow,
            Some(true) => LOOKS_IN_USE,
            None => LOOKS_UNKNOWN,
        };
        self.looks += 1;
        if self.looks > looks { Wait::No } else { Wait::Look(Duration::from_millis(1)) }
    }

    fn good_behind_front(&self) -> bool {
        let mut scratch = Loaded::default();
        self.scan.behind_front().any(|item| match item {
            Item::Block { place, .. } => scratch.read(&place.file, place.offset, &place.header).unwrap_or(false),
            _ => false,
        })
    }
}

/// Whether `next`, whose first segment does not say which run it belongs to, continues `run`: its file follows, and
/// its blocks follow the last one there, which did not end the run.
fn continues(files: &LogFiles, run: &Run, next: &Run) -> Result<bool> {
    let (Some(last), Some(first)) = (run.segments.last(), next.segments.first()) else { return Ok(false) };
    if next.id.is_known() || first.index() != last.index().wrapping_add(1) {
        return Ok(false);
    }
    let file = match files.open_file(&last.path) {
        // Removed since it was listed.
        Err(error) if is_not_found(&error) => return Ok(false),
        file => file?,
    };
    let mut cursor = Cursor::new(Some(last.segment_id), last.first_offset);
    let mut end = None;
    while let Scanned::Block(found) = cursor.next(&file, u64::MAX)? {
        end = Some(found.header);
    }
    Ok(end.is_some_and(|end| !end.block_flags().has(BlockFlags::CLEAN_END) && end.sequence.get() < first.first_number))
}

/// Where blocks should be that are missing between the blocks of `previous`, which end at offset `ends_at`, and those of
/// `next`: in the file between the two, if there was one.
fn place_between(previous: &Segment, next: &Segment, ends_at: u64) -> Spot {
    let named = next.header.as_ref().map(|header| header.previous_segment_id);
    let between = previous.number.wrapping_add(1);
    if named.is_some_and(|named| named != previous.segment_id) && between < next.number {
        return (next.path.with_file_name(format!("{between:08}.dlog")).into(), 0);
    }
    (Arc::clone(&previous.path), ends_at)
}

/// Finds out what it means that files before the first segment of `run` hold nothing, though that segment says that
/// the run has earlier blocks. `before` is the index of the segment before the run, 0 at the log's beginning.
fn find_beginning(run: &mut Run, before: u64, barren: &BTreeMap<u64, PathBuf>, ledger: &mut Ledger) {
    let Some(first) = run.segments.first().filter(|first| first.header.is_some()) else { return };
    if run.begins_here || first.first_number == 0 {
        return;
    }
    let mut lowest = first.index();
    while barren.contains_key(&lowest.wrapping_sub(1)) {
        lowest -= 1;
    }
    // With a file for each index from the other run's last on, nothing can have been removed by retention.
    run.begins_here = lowest < first.index() && lowest == before.wrapping_add(1);
    if let Some(path) = barren.get(&lowest).filter(|_| !run.begins_here) {
        let what = "holds no block, and the segment behind it says that some came before it".into();
        ledger.report.find(Severity::Unconfirmed, path.clone(), None, what);
    }
}

/// What to do about a block that is not there.
enum Wait {
    /// Pass over it.
    No,
    /// Look again, after a pause.
    Look(Duration),
    /// Nothing more now: blocks in flight stand before good ones.
    EndOfNow,
}

/// All blocks below this number were durable before the one at `place`, says that.
fn testimony(place: &Place) -> u64 {
    match place.header.in_flight.get() {
        IN_FLIGHT_UNKNOWN => 0,
        in_flight => place.number().saturating_sub(in_flight.into()),
    }
}

fn add_anchors(context: &mut RunContext, loaded: &Loaded) {
    for note in &loaded.notes {
        if let Note::Anchor(anchor) = note {
            context.anchors.add(*anchor);
        }
    }
}
