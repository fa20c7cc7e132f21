//! The way through a log: every good block once, run by run, in the order of their numbers, with all else accounted
//! for in the [`Account`].
//!
//! Shared by the reader, which merges what it gets and may come back for more, and by `verify`, which does neither.
//! A block that is not there yet, in the last segment of a log that may be in use, is not the end of what can be
//! read: see [`Walk::wait_for`].

mod discover;
mod plan;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::format::{IN_FLIGHT_UNKNOWN, LogId, MERGE_BYTES_MAX, segment_file_name};

use super::account::{Account, Before, Location, Trailing};
use super::files::{LogFiles, Run, Segment};
use super::record::{Anchors, RunContext, RunId};
use super::scan::{BlockLocation, Chunk, Loaded, Note};
use plan::{Item, RunScan, Tail};

/// How often a reader that reads for the first time looks again at a gap at the end of a log, a millisecond apart: a
/// block in flight is durable within milliseconds, unless the disk is overloaded.
const LOOKS_IN_USE: u32 = 1000;
/// The same where it cannot be told whether the log is in use.
const LOOKS_UNKNOWN: u32 = 20;

/// Bytes of blocks that are planned ahead in a log that may grow, or whose records are merged.
const LOOKAHEAD_BYTES: u64 = MERGE_BYTES_MAX as u64;

/// What a step of the walk came to.
#[derive(Debug)]
pub(super) enum Step {
    /// A good block.
    Block(BlockLocation),
    /// All blocks of the run have been given; another run follows.
    RunEnd,
    /// Nothing more now.
    EndOfNow,
}

/// A walk through a log.
#[derive(Debug)]
pub(super) struct Walk {
    files: LogFiles,
    pub(super) account: Account,
    /// The run that is read, and what its records share.
    run: Option<Run>,
    pub(super) context: RunContext,
    scan: RunScan,
    chunk: Chunk,
    /// The runs behind it.
    later: VecDeque<Run>,
    /// Whether the log's beginning was passed over, because the caller wants its end.
    skipped: bool,
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
    /// Which log it is, once a segment is there.
    log: Option<LogId>,
    /// Files made ready or emptied, by number, and those of them that hold nothing because their segment failed at once.
    barren: BTreeMap<u64, PathBuf>,
    failed_at_once: BTreeSet<u64>,
    /// Files that only a newer diolog can read, by number.
    newer_files: BTreeSet<u64>,
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
            account: Account::default(),
            run: None,
            context: RunContext { id: RunId::unknown(0), anchors: Anchors::default() },
            scan: RunScan::default(),
            chunk: Chunk::default(),
            later: VecDeque::new(),
            skipped: false,
            lookahead: 0,
            may_grow: may_return,
            following: false,
            in_use,
            durable_at_look: 0,
            ends_at: 0,
            looks: 0,
            log: None,
            barren: BTreeMap::new(),
            failed_at_once: BTreeSet::new(),
            newer_files: BTreeSet::new(),
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
        let step = self.step(loaded)?;
        if matches!(step, Step::EndOfNow) {
            self.doubt_barren();
        }
        Ok(step)
    }

    fn step(&mut self, loaded: &mut Loaded) -> Result<Step> {
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
                true => {
                    let last = run.segments.last();
                    Tail::Growing { horizon: last.map_or(u64::MAX, |last| last.horizon(self.is_written())) }
                }
            };
            self.account.prove_below(if self.may_come_late() { self.durable_at_look } else { u64::MAX });
            self.scan.fill(&self.files, run, self.lookahead, tail)?;
            let step = match self.scan.front() {
                None if grows => {
                    self.account_for_removed(usize::MAX);
                    self.account.conclude(None, self.scan.trailing());
                    return Ok(Step::EndOfNow);
                }
                None => {
                    self.account_for_removed(usize::MAX);
                    self.account.finish_run();
                    self.run = None;
                    return Ok(Step::RunEnd);
                }
                Some(Item::Block { .. }) => self.block(loaded, grows)?,
                Some(Item::Start { .. }) => self.start_segment(loaded)?,
                Some(Item::End { .. }) => self.end_segment(),
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// Comes back after [`Step::EndOfNow`]: what has been written since is found by the next step.
    pub(super) fn resume(&mut self) -> Result<()> {
        self.following = true;
        self.last_look = false;
        self.in_use = self.files.are_in_use();
        self.account.reopen();
        if self.files.syncs() {
            self.scan.sync()?;
        }
        self.look_again();
        self.discover()
    }

    /// Says which files hold no block without a reason that the other files know: a run before them that was not closed, or a
    /// segment that failed at once. A logger that is at work has its own reasons.
    fn doubt_barren(&mut self) {
        if self.run.is_none() {
            self.account.reopen();
        }
        if self.barren.is_empty() || self.in_use == Some(true) || !self.files.is_directory() {
            return;
        }
        let runs = self.account.report.runs.iter();
        let closed: BTreeMap<u64, bool> = runs.map(|run| (run.last_segment, run.clean_end)).collect();
        let is_doubtful = |number| {
            let is_behind_closed = closed.range(..number).next_back().map_or(!self.skipped, |(_, closed)| *closed);
            is_behind_closed && !self.failed_at_once.contains(&number)
        };
        let mut doubtful = self.barren.iter().filter(|(number, _)| is_doubtful(**number)).map(|(_, path)| path);
        // A logger may have come since that was asked.
        if let Some(first) = doubtful.next()
            && self.files.are_in_use() != Some(true)
        {
            self.account.doubt_barren(first, doubtful.count());
        }
    }

    fn next_run(&mut self) -> bool {
        let Some(run) = self.later.pop_front() else { return false };
        self.account.start_run(&run);
        let mut known = std::iter::once(&run).chain(&self.later).flat_map(|run| &run.segments);
        if let Some(first) = run.segments.first().filter(|_| self.files.is_directory() && !self.skipped)
            && !known.any(Segment::knows_retention)
        {
            self.account.doubt_retention(&run, first);
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
        let begun = self.account.segments_begun();
        let gone = run.segments.get(begun..next.min(run.segments.len())).unwrap_or_default();
        gone.iter().for_each(|segment| self.account.segment_removed(segment));
        if gone.is_empty()
            && let Some(previous) = next.checked_sub(1).and_then(|previous| run.segments.get(previous))
            && let Some(header) = run.segments.get(next).and_then(|segment| segment.header.as_ref())
            && header.previous_segment_id != previous.segment_id
            && matches!(previous.path.try_exists(), Ok(false))
        {
            self.account.segments_removed_after(previous);
        }
    }

    /// Handles the beginning of a segment at the plan's front. `None`: it has been dealt with.
    fn start_segment(&mut self, loaded: &mut Loaded) -> Result<Option<Step>> {
        let Some(&Item::Start { segment, .. }) = self.scan.front() else { return Ok(None) };
        match self.wait_for_those_before(segment) {
            Waited::InVain => {}
            Waited::LookAgain => return Ok(None),
            Waited::EndOfNow => return Ok(Some(Step::EndOfNow)),
        }
        let Some(Item::Start { file, .. }) = self.scan.take() else { return Ok(None) };
        self.account_for_removed(segment);
        let Some(run) = &self.run else { return Ok(None) };
        let Some(info) = run.segments.get(segment) else { return Ok(None) };
        let read = info.block_0.as_ref().map_or(Ok(false), |header| loaded.read(&file, 0, header));
        let block_0 = match (&read, &info.block_0) {
            (Ok(true), Some(header)) => {
                loaded.take_apart(header);
                add_anchors(&mut self.context, loaded);
                Some(&*loaded)
            }
            _ => None,
        };
        let before = match segment.checked_sub(1).and_then(|previous| run.segments.get(previous)) {
            None => Before::Nothing,
            Some(previous) => match file_between(previous, info) {
                Some(path) if self.are_all_newer(previous.number.wrapping_add(1)..info.number) => {
                    Before::InNewerFile(path)
                }
                Some(path) => Before::At(Location::start_of(&path)),
                None => Before::At(Location { path: Arc::clone(&previous.path), offset: Some(self.ends_at) }),
            },
        };
        let is_in_a_segment = |location: &Location| run.segments.iter().any(|segment| segment.path == location.path);
        if !matches!(&before, Before::At(location) if is_in_a_segment(location)) {
            // No file that was found holds them, and those of earlier segments are found before those of later ones.
            self.account.prove_below(u64::MAX);
        }
        self.account.start_segment(info, &before, block_0);
        read.map(|_| None)
    }

    /// Handles the end of a segment at the plan's front. `None`: it has been dealt with.
    fn end_segment(&mut self) -> Option<Step> {
        let Some(&Item::End { segment, debris }) = self.scan.front() else { return None };
        match self.wait_for_those_before(segment + 1) {
            Waited::InVain => {}
            Waited::LookAgain => return None,
            Waited::EndOfNow => return Some(Step::EndOfNow),
        }
        self.scan.take();
        self.ends_at = debris.from;
        self.account.end_segment(Trailing { segment, debris });
        None
    }

    /// Waits for the blocks that come before those of segment `next`, if it has not begun: it does while they are in
    /// flight in the segment before it.
    fn wait_for_those_before(&mut self, next: usize) -> Waited {
        let segments = self.run.as_ref().map_or(&[][..], |run| &run.segments);
        let previous = next.checked_sub(1).and_then(|previous| segments.get(previous));
        match (previous, segments.get(next), self.account.expected()) {
            (Some(previous), Some(info), Some(expected))
                if expected < info.first_number
                    && next >= self.account.segments_begun()
                    && file_between(previous, info).is_none()
                    && self.may_come_late() =>
            {
                self.wait_for(expected, None)
            }
            _ => Waited::InVain,
        }
    }

    /// Handles the block at the plan's front. `None`: it was passed over.
    fn block(&mut self, loaded: &mut Loaded, grows: bool) -> Result<Option<Step>> {
        let Some(Item::Block { place, twins, .. }) = self.scan.front() else { return Ok(None) };
        let number = place.number();
        let expected = self.account.expected().unwrap_or(number);
        if number < expected {
            if let Some(Item::Block { twins, debris, .. }) = self.scan.take() {
                self.account.duplicates(number, 1 + twins.len() as u64, &debris);
            }
            return Ok(None);
        }
        let mut error = None;
        let (mut good, mut newer) = (None, None::<BlockLocation>);
        for place in std::iter::once(place).chain(twins) {
            if place.newer.is_some() {
                newer.get_or_insert(place.clone());
                continue;
            }
            match loaded.read_through(&mut self.chunk, place) {
                Ok(true) => {
                    good = Some(place.clone());
                    break;
                }
                Ok(false) => {}
                Err(failed) => error = Some(failed),
            }
        }
        let is_there = good.is_some() || newer.is_some();
        let is_whole = is_there && number == expected;
        if grows && !is_whole && error.is_none() {
            let is_last = self.run.as_ref().is_none_or(|run| place.segment + 1 == run.segments.len());
            if !is_there && is_last && self.durable_below(None) <= expected && !self.good_behind_front() {
                // None of the blocks that are left is good.
                self.account.conclude(self.scan.ends(), self.scan.trailing());
                return Ok(Some(Step::EndOfNow));
            }
            match self.wait_for(expected, good.as_ref()) {
                Waited::InVain => {}
                Waited::LookAgain => return Ok(None),
                Waited::EndOfNow => return Ok(Some(Step::EndOfNow)),
            }
        }
        let Some(Item::Block { place, twins, debris }) = self.scan.take() else { return Ok(None) };
        match good {
            Some(good) => {
                loaded.take_apart(&good.header);
                add_anchors(&mut self.context, loaded);
                self.account.good(&good, &debris, loaded);
                self.account.duplicates(number, twins.len() as u64, &Default::default());
                Ok(Some(Step::Block(good)))
            }
            None => {
                match newer.and_then(|block| Some((block.newer?, block))) {
                    Some((why, block)) => {
                        self.account.newer(&block, why, &debris);
                        self.account.duplicates(number, twins.len() as u64, &Default::default());
                    }
                    None => self.account.bad(&place, &debris),
                }
                error.map_or(Ok(None), Err)
            }
        }
    }

    /// Whether each of these numbers is that of a file that only a newer diolog can read.
    fn are_all_newer(&self, numbers: Range<u64>) -> bool {
        self.newer_files.range(numbers.clone()).count() as u64 == numbers.end - numbers.start
    }

    /// Whether somebody is writing, or was when the caller had read all that there was.
    fn is_written(&self) -> bool {
        self.following || self.in_use == Some(true)
    }

    /// Whether a block of the run that is read may come after its place was looked at.
    fn may_come_late(&self) -> bool {
        self.may_grow && self.later.is_empty() && (self.following || self.in_use != Some(false))
    }

    /// All blocks below this number were durable, as far as what was read says, what is planned, and `good`.
    fn durable_below(&self, good: Option<&BlockLocation>) -> u64 {
        let planned = self.scan.behind_front().filter_map(|item| match item {
            Item::Block { place, .. } => Some(place),
            _ => None,
        });
        planned.chain(good).map(testimony).fold(self.account.durable_below(), u64::max)
    }

    /// Has all that has not been read looked at once more.
    fn look_again(&mut self) -> Waited {
        self.durable_at_look = self.durable_at_look.max(self.durable_below(None));
        self.scan.rewind();
        Waited::LookAgain
    }

    /// Waits for block `missing`, if it may still come: `good` is the one that was found where it should be.
    ///
    /// A block that another one says was durable was there before that one: it is looked for once more, if its place was
    /// looked at before this was known, and if it is missing then too, it is lost. As to one in flight: while a logger has
    /// the log open, a reader that came back waits for it. One that reads for the first time looks again for a moment,
    /// then goes on: it may be what a crash left before that logger opened the log.
    fn wait_for(&mut self, missing: u64, good: Option<&BlockLocation>) -> Waited {
        let durable_below = self.durable_below(good);
        if durable_below > missing {
            if !self.may_come_late() || self.durable_at_look > missing {
                return Waited::InVain;
            }
            self.durable_at_look = durable_below;
            return self.look_again();
        }
        let looks = match self.files.are_in_use() {
            // Its last writes may have come between the look at the files and the question.
            Some(false) if !std::mem::replace(&mut self.last_look, true) => return self.look_again(),
            Some(false) => return Waited::InVain,
            _ if self.following => {
                self.account.conclude(None, None);
                return Waited::EndOfNow;
            }
            Some(true) => LOOKS_IN_USE,
            None => LOOKS_UNKNOWN,
        };
        if self.looks >= looks {
            return Waited::InVain;
        }
        self.looks += 1;
        std::thread::sleep(Duration::from_millis(1));
        self.look_again()
    }

    fn good_behind_front(&self) -> bool {
        let mut scratch = Loaded::default();
        self.scan.behind_front().any(|item| match item {
            Item::Block { place, .. } => {
                place.newer.is_some() || scratch.read(&place.file, place.offset, &place.header).unwrap_or(false)
            }
            _ => false,
        })
    }
}

/// The file that should stand between those of `previous` and `next`, going by what `next` says of the one before it.
fn file_between(previous: &Segment, next: &Segment) -> Option<Arc<Path>> {
    let named = next.header.as_ref().map(|header| header.previous_segment_id);
    let between = previous.number.wrapping_add(1);
    let is_another = named.is_some_and(|named| named != previous.segment_id) && between < next.number;
    is_another.then(|| next.path.with_file_name(segment_file_name(between)).into())
}

/// What came of waiting for a block that is not there.
enum Waited {
    /// It will not come: pass over it.
    InVain,
    /// It may be there now: the plan has been forgotten.
    LookAgain,
    /// Nothing more now.
    EndOfNow,
}

/// All blocks below this number were durable before the one at `place`, says that.
fn testimony(place: &BlockLocation) -> u64 {
    match place.header.in_flight.get() {
        _ if place.newer.is_some() => 0,
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
