//! The walk through a log: it returns every good block once, run by run, in the order of their numbers, and reports
//! everything else to the [`Account`].
//!
//! The reader and `verify` share it. The reader merges the records of the blocks, and may ask for more later; `verify`
//! does neither. The walk never waits: it stops before a block that may still come, and its caller decides whether to
//! look again ([`Walk::rewind_to_unread`], [`Walk::look_for_more`]) or to continue without it ([`Walk::skip_awaited`]).

mod discover;
mod kinship;
mod live;
mod plan;
mod tail;
mod times;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::format::{BlockFlags, MERGE_BYTES_MAX, segment_file_name};

use super::account::{Account, Before, Location, Place, RunEnd, Trailing};
use super::callsites::KnownCallsites;
use super::files::{LogFiles, Run, Segment, suspicions};
use super::record::{RunContext, RunId};
use super::report::{Finding, InUse};
use super::scan::{BlockLocation, Chunk, Debris, Loaded, SegmentFile};
use discover::Runs;
use live::{Decision, Live};
use plan::{Copies, Item, Plan, Planned};

pub(crate) use tail::{RunTail, TailItem};
pub(super) use times::Times;

/// Bytes of blocks that are planned ahead in a log that may grow, or whose records are merged.
const LOOKAHEAD_BYTES: u64 = MERGE_BYTES_MAX as u64;

/// The interval in which a caller looks for a block in flight, which is durable within milliseconds.
pub(super) const AWAIT_INTERVAL: Duration = Duration::from_millis(1);

/// Whether the caller of a walk comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// It reads what is there, once.
    Once,
    /// It may ask for what was written later, by [`Walk::look_for_more`].
    MayReturn,
}

/// The result of a step of the walk.
#[derive(Debug)]
pub(super) enum Step {
    /// A good block.
    Block(BlockLocation),
    /// All blocks of the run have been given; another run follows.
    RunEnd,
    /// A block is missing that may still come. Nothing after it has been read.
    Awaited,
    /// Nothing more now.
    End,
}

/// A run that is being read.
#[derive(Debug)]
struct Reading {
    run: Run,
    plan: Plan,
    /// The offset after the last block of the segment that ended last.
    ends_at: u64,
}

/// A walk through a log.
#[derive(Debug)]
pub(super) struct Walk {
    runs: Runs,
    pub(super) account: Account,
    /// The run that is being read; none before the first, between two, and after the last.
    reading: Option<Reading>,
    /// Shared by the records of the run that was begun last.
    pub(super) context: RunContext,
    /// Set if the last run may grow, because a logger may have the log open or the caller may ask for more. Otherwise
    /// the walk looks once for each block, and each run ends for good.
    live: Option<Live>,
    chunk: Chunk,
    /// The callsites of the blocks so far.
    pub(super) callsites: KnownCallsites,
    /// The wall times that are wanted: other blocks are passed over by their headers.
    pub(super) times: Option<Times>,
}

impl Walk {
    /// Opens the log at `path`: looks at the first block of every file.
    ///
    /// With `sync`, files are made durable before they are read.
    pub(super) fn open(path: &Path, sync: bool, visit: Visit) -> Result<Walk> {
        let mut runs = Runs::of(path, sync)?;
        let mut account = Account::default();
        let mut in_use = runs.files.in_use();
        runs.discover(None, in_use == InUse::Yes, &mut account.report)?;
        runs.files.check_place()?;
        // A logger that came in between has files among those that were found; one that went is done with them.
        if in_use == InUse::No {
            in_use = runs.files.in_use();
        }
        let may_grow = visit == Visit::MayReturn || in_use != InUse::No;
        Ok(Walk {
            runs,
            account,
            reading: None,
            context: RunContext::new(RunId::unknown(0)),
            live: may_grow.then(|| Live::new(in_use)),
            chunk: Chunk::default(),
            callsites: KnownCallsites::default(),
            times: None,
        })
    }

    /// Passes over the log's beginning, down to the segments that hold the last `records`: see [`Runs::skip_to_last`].
    pub(super) fn skip_to_last(&mut self, records: u64, count: impl FnMut(RunId, &Loaded) -> u64) -> Result<()> {
        self.runs.skip_to_last(records, self.in_use(), count)
    }

    /// The smallest timestamp in the blocks that are planned.
    pub(super) fn min_ns(&self) -> Option<u64> {
        self.reading.as_ref()?.plan.min_ns()
    }

    /// Whether a logger had the log open when that was asked last.
    pub(super) fn in_use(&self) -> InUse {
        self.live.as_ref().map_or(InUse::No, |live| live.in_use)
    }

    /// Whether a logger is writing `run`, the last one, if it has no end.
    fn is_being_written(&self, run: &Run) -> bool {
        self.in_use() == InUse::Yes && self.runs.files.is_being_written(run.last().header.as_deref())
    }

    /// Whether the walk has stopped before a block that may still come.
    pub(super) fn is_awaiting(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.awaited.is_some())
    }

    /// Whether the walk has stopped before something that is there: it awaits a block, or the header of a segment that
    /// says to which run the ones before it belong.
    pub(super) fn has_stopped(&self) -> bool {
        self.is_awaiting() || self.runs.holds_back()
    }

    /// Goes on to the next good block, and leaves it in `loaded`.
    ///
    /// After an error the block that could not be read has been passed over.
    pub(super) fn next(&mut self, loaded: &mut Loaded) -> Result<Step> {
        loop {
            let Some(mut reading) = self.reading.take().or_else(|| self.start_run()) else {
                return Ok(self.end());
            };
            let step = self.step(&mut reading, loaded);
            if !matches!(step, Ok(Some(Step::RunEnd))) {
                self.reading = Some(reading);
            }
            let step = step.inspect_err(|error| self.account.report_read_error(error))?;
            match step {
                None => {}
                Some(Step::End) if self.logger_has_gone() => self.look_for_more()?,
                Some(Step::End) => return Ok(self.end()),
                Some(step) => {
                    if matches!(step, Step::Awaited) {
                        self.report_end();
                    }
                    return Ok(step);
                }
            }
        }
    }

    /// Ends the walk for now: all that can be read has been read.
    fn end(&mut self) -> Step {
        self.report_end();
        if self.runs.holds_back() { Step::Awaited } else { Step::End }
    }

    /// Whether the last run has no end, and no logger has the log open any more. That logger may have written the end
    /// after the files were last looked at.
    fn logger_has_gone(&self) -> bool {
        let is_open = self.account.report.runs.last().is_some_and(|run| run.in_use);
        is_open && self.runs.files.in_use() == InUse::No
    }

    /// Reports what depends on the present end of the log: whether it is in use, and suspicious files. More blocks or
    /// files may change that.
    fn report_end(&mut self) {
        let in_use = if self.runs.files.is_directory { self.in_use() } else { InUse::Unknown };
        self.account.report.in_use = in_use;
        self.account.report.in_use_by = if in_use == InUse::Yes { self.runs.files.in_use_by() } else { None };
        if let (Some((index, id)), Some(next)) = (self.runs.facts.last_segment(), self.account.blocks.expected())
            && let Some(run) = self.account.report.runs.last_mut()
        {
            run.goes_on = !run.clean_end && self.runs.files.go_on_elsewhere(index, id, next);
        }
        self.report_suspicions();
    }

    /// Lets the next step look again for all blocks that have not been read: a missing one may have been written.
    pub(super) fn rewind_to_unread(&mut self) {
        self.account.reopen();
        if let Some(mut reading) = self.reading.take() {
            let durable_below = self.durable_below(&reading, None);
            self.rewind(&mut reading, durable_below);
            self.reading = Some(reading);
        }
    }

    /// Whether the log is no longer at its path: it was removed, or another one is there now.
    pub(super) fn is_replaced(&self) -> bool {
        let last = self.reading.as_ref().and_then(|reading| {
            let (segment, at_path) = reading.plan.last_open()?;
            Some((reading.run.segments()[segment].number, at_path))
        });
        self.runs.files.are_replaced(last)
    }

    /// The log's files.
    pub(super) fn files(&self) -> &LogFiles {
        &self.runs.files
    }

    /// Looks for blocks and files that were written since [`Step::End`] or [`Step::Awaited`].
    pub(super) fn look_for_more(&mut self) -> Result<()> {
        if let Some(live) = &mut self.live {
            live.note_return(self.runs.files.in_use(), self.runs.holds_back());
        }
        if self.runs.files.sync
            && let Some(reading) = &self.reading
        {
            reading.plan.sync()?;
        }
        self.rewind_to_unread();
        let is_written = self.live.as_ref().is_some_and(Live::is_written);
        self.runs.discover(self.reading.as_mut().map(|reading| &mut reading.run), is_written, &mut self.account.report)
    }

    /// Skips the block or the header for which the walk has stopped: the next step continues without it. Returns
    /// whether the walk had stopped for one.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn skip_awaited(&mut self) -> Result<bool> {
        let mut skipped = self.live.as_mut().is_some_and(Live::skip_awaited);
        if !skipped && self.runs.holds_back() {
            self.runs.decide(self.reading.as_mut().map(|reading| &mut reading.run))?;
            skipped = true;
        }
        if skipped {
            self.account.reopen();
        }
        Ok(skipped)
    }

    /// Reports suspicious files, until more is known.
    fn report_suspicions(&mut self) {
        if !self.runs.files.is_directory {
            return;
        }
        let mut in_use = self.in_use();
        // A logger may have opened the log since the last look, or a recovery.
        if in_use != InUse::Yes && self.runs.facts.depends_on_use() {
            in_use = self.runs.files.in_use();
        }
        // After that, so that a recovery which has ended meanwhile has removed the name.
        self.runs.facts.keep_rings(|path| path.symlink_metadata().is_ok());
        let ends = self.account.report.runs.iter().map(|run| (run.last_segment, run.clean_end));
        let found = suspicions(&self.runs.facts, ends, in_use);
        self.account.suspect(found);
    }

    /// Reports segments of the log in files with other names.
    pub(super) fn report_misnamed(&mut self) {
        let facts = &self.runs.facts;
        let found = facts.log().map(|log| self.runs.files.misnamed(log, |number| facts.has(number)));
        for Finding { severity, path, offset, what } in found.into_iter().flatten() {
            self.account.report.add_finding(severity, path, offset, what);
        }
    }

    fn start_run(&mut self) -> Option<Reading> {
        let run = self.runs.later.pop_front()?;
        self.account.start_run(&run, self.live.as_ref().is_some_and(Live::reached_end_before));
        self.context = RunContext::new(run.id);
        if let Some(live) = &mut self.live {
            live.start_run();
        }
        Some(Reading { run, plan: Plan::new(self.times.is_some()), ends_at: 0 })
    }

    /// The state of the run's growth, if it may grow: only the last run may.
    fn growing(&mut self) -> Option<&mut Live> {
        self.live.as_mut().filter(|_| self.runs.later.is_empty())
    }

    /// Handles one item of the plan. `None`: it has nothing for the caller.
    fn step(&mut self, reading: &mut Reading, loaded: &mut Loaded) -> Result<Option<Step>> {
        let (mut horizon, mut proves_below) = (None, u64::MAX);
        if let Some(live) = self.growing() {
            horizon = Some(reading.run.last().horizon(live.is_written()));
            proves_below = live.proves_below();
        }
        self.account.blocks.proved_below = proves_below;
        let lookahead = if self.live.is_some() { LOOKAHEAD_BYTES } else { 0 };
        reading.plan.fill(&self.runs.files, &reading.run, lookahead, horizon)?;
        match reading.plan.take_front() {
            Some(Item::Start { segment, file }) => self.start_segment(reading, segment, &file, loaded),
            Some(Item::Block(block)) => self.block(reading, &block, loaded),
            Some(Item::End { segment, debris }) => Ok(self.end_segment(reading, segment, debris)),
            None => {
                self.account_for_unstarted(reading, usize::MAX);
                Ok(Some(if self.growing().is_some() {
                    self.conclude_for_now(reading, None);
                    Step::End
                } else {
                    self.account.finish_run();
                    Step::RunEnd
                }))
            }
        }
    }

    /// Handles a block. `None`: the walk has passed over it, or looks for it once more.
    fn block(&mut self, reading: &mut Reading, block: &Planned, loaded: &mut Loaded) -> Result<Option<Step>> {
        let number = block.location.number();
        let expected = self.account.blocks.expected().unwrap_or(number);
        if number < expected {
            let copies = 1 + block.copies.len() as u64;
            self.account.blocks.count_duplicates(copies, block.location.segment, &block.debris);
            reading.plan.mark_read(block);
            return Ok(None);
        }
        if number == expected && self.is_unwanted(reading, block) {
            self.context.anchors.add(block.location.anchor.as_slice());
            self.account.pass_over_unwanted(&block.location, &block.debris);
            self.count_copies(block);
            reading.plan.mark_read(block);
            return Ok(None);
        }
        let Copies { good, newer, error } = block.read(&mut self.chunk, loaded);
        let present = good.is_some() || newer.is_some();
        let is_whole = present && number == expected;
        if !is_whole && error.is_none() && self.growing().is_some() {
            if !present && self.may_be_torn_from(reading, &block.location, expected) {
                self.conclude_for_now(reading, Some(&block.location));
                reading.plan.rewind();
                return Ok(Some(Step::End));
            }
            match self.decide_about_missing(reading, expected, good) {
                Decision::Gone => {}
                Decision::LookAgain => return Ok(None),
                Decision::Awaited => return Ok(Some(Step::Awaited)),
            }
        }
        let step = match good {
            Some(good) => {
                loaded.take_apart(&good.header, &mut self.callsites);
                self.context.anchors.add(&loaded.anchors);
                self.account.take_good(good, &block.debris, loaded);
                self.count_copies(block);
                Ok(Some(Step::Block(good.clone())))
            }
            None => {
                match newer {
                    Some((location, why)) => {
                        self.account.pass_over_newer(location, why, &block.debris);
                        self.count_copies(block);
                    }
                    None => self.account.pass_over_bad(&block.location, &block.debris),
                }
                error.map_or(Ok(None), Err)
            }
        };
        reading.plan.mark_read(block);
        step
    }

    /// Whether no block from `first` on, which is not good, is good or known to have been durable. They may be in
    /// flight, or a crash has torn them.
    fn may_be_torn_from(&self, reading: &Reading, first: &BlockLocation, expected: u64) -> bool {
        let mut scratch = Loaded::default();
        first.segment + 1 == reading.run.segments().len()
            && self.durable_below(reading, None) <= expected
            && !reading.plan.blocks().any(|location| is_there(&mut scratch, location))
    }

    /// Concludes that the run, which may grow, ends here for now: with blocks from `torn` on that are not good, if
    /// there are some.
    fn conclude_for_now(&mut self, reading: &Reading, torn: Option<&BlockLocation>) {
        let torn = torn.map(|first| (first, reading.plan.blocks().next_back().unwrap_or(first)));
        let end = RunEnd::Reached { torn, trailing: reading.plan.trailing() };
        let is_written = self.is_being_written(&reading.run);
        self.account.conclude(end, is_written);
    }

    /// Counts the copies of a block that is accounted for.
    fn count_copies(&mut self, block: &Planned) {
        let copies = block.copies.len() as u64;
        self.account.blocks.count_duplicates(copies, block.location.segment, &Debris::default());
    }

    /// Whether the block's header shows that no record of it is wanted. Two blocks are read all the same: the run's
    /// last one, and one with an anchor if the wall clock was set before it, so that a checksum guards each setting.
    fn is_unwanted(&self, reading: &Reading, block: &Planned) -> bool {
        let Some(times) = &self.times else { return false };
        let BlockLocation { header, anchor, newer, .. } = &block.location;
        let (flags, anchors) = (header.block_flags(), &self.context.anchors);
        let is_set =
            flags.has(BlockFlags::WALL_ANCHOR) && !anchor.is_some_and(|anchor| times::agrees(&anchor, anchors));
        if newer.is_some() || is_set || flags.has(BlockFlags::CLEAN_END) || header.records.get() == 0 {
            return false;
        }
        let next = reading.plan.blocks().find_map(|location| location.anchor);
        !times.may_hold(&header.times(), anchors, next)
    }

    /// Begins a segment. `None`: it has nothing for the caller.
    fn start_segment(
        &mut self,
        reading: &mut Reading,
        segment: usize,
        file: &SegmentFile,
        loaded: &mut Loaded,
    ) -> Result<Option<Step>> {
        match self.decide_about_missing_before(reading, segment) {
            Decision::Gone => {}
            Decision::LookAgain => return Ok(None),
            Decision::Awaited => return Ok(Some(Step::Awaited)),
        }
        reading.plan.mark_started(segment);
        self.account_for_unstarted(reading, segment);
        assert!(self.account.blocks.segments_begun() == segment, "segments begin in their order");
        let segments = reading.run.segments();
        let info = &segments[segment];
        if let Some(header) = &info.header {
            self.context.take_header(header);
        }
        let read = info.block_0.as_ref().map_or(Ok(false), |header| loaded.read(file, 0, header));
        let block_0 = match (&read, &info.block_0) {
            (Ok(true), Some(header)) => {
                loaded.take_apart(header, &mut self.callsites);
                self.context.anchors.add(&loaded.anchors);
                Some(&*loaded)
            }
            _ => None,
        };
        let before = self.place_before(reading, segment);
        let is_in_a_segment = |location: &Location| segments.iter().any(|segment| segment.path == location.path);
        if !matches!(&before, Before::At(location) if is_in_a_segment(location)) {
            // No file that was found holds them, and those of earlier segments are found before those of later ones.
            self.account.blocks.proved_below = u64::MAX;
        }
        let lowest = reading.run.lowest_from(segment).unwrap_or(info.first_number);
        self.account.start_segment(info, lowest, &before, block_0);
        read.map(|_| None)
    }

    /// The place of the blocks that are missing before the `segment`th segment, if some are.
    fn place_before(&self, reading: &Reading, segment: usize) -> Before {
        let (segments, facts) = (reading.run.segments(), &self.runs.facts);
        let (info, previous) = (&segments[segment], segment.checked_sub(1).map(|previous| &segments[previous]));
        let lowest = || facts.lowest_blank_before(info.number);
        let between = previous.map_or_else(lowest, |previous| previous.number.wrapping_add(1))..info.number;
        if let Some(path) = facts.forbidden_in(between.clone()) {
            return Before::InForbiddenFile(Arc::clone(path));
        }
        let Some(previous) = previous else { return Before::Nothing };
        let Some(path) = file_between(previous, info) else {
            return Before::At(Location::at(&previous.path, reading.ends_at));
        };
        if facts.are_newer(between.clone()) {
            return Before::InNewerFile(path);
        }
        match facts.missing_at(between) {
            0 => Before::At(Location::start_of(&path)),
            files => Before::At(Location { path, place: Place::Missing(files) }),
        }
    }

    /// Ends a segment. `None`: it has nothing for the caller.
    fn end_segment(&mut self, reading: &mut Reading, segment: usize, debris: Debris) -> Option<Step> {
        match self.decide_about_missing_before(reading, segment + 1) {
            Decision::Gone => {}
            Decision::LookAgain => return None,
            Decision::Awaited => return Some(Step::Awaited),
        }
        reading.plan.mark_ended(segment);
        reading.ends_at = debris.from;
        self.account.blocks.end_segment(Trailing { segment, debris });
        None
    }

    /// Accounts for the run's segments before the `next`th that never started: they were removed, or could not be
    /// opened. Some may have been removed before they were listed: retention removes the oldest first, so a segment
    /// before them is then gone too.
    fn account_for_unstarted(&mut self, reading: &Reading, next: usize) {
        let segments = reading.run.segments();
        let unstarted = self.account.blocks.segments_begun()..next.min(segments.len());
        assert!(unstarted.start <= unstarted.end, "segments begin in their order");
        for segment in unstarted.clone() {
            if reading.plan.is_unopened(segment) {
                self.account.segment_not_opened(&segments[segment]);
            } else {
                self.account.segment_removed(&segments[segment]);
            }
        }
        if unstarted.is_empty()
            && let Some(previous) = next.checked_sub(1).and_then(|previous| segments.get(previous))
            && segments.get(next).is_some_and(|next| next.names_another_before(previous.segment_id))
            && matches!(previous.path.try_exists(), Ok(false))
        {
            self.account.segments_removed_after(previous);
        }
    }

    /// Decides about the blocks that are missing before those of segment `next`, if it has not begun: it may begin
    /// while they are in flight in the segment before it.
    fn decide_about_missing_before(&mut self, reading: &mut Reading, next: usize) -> Decision {
        let segments = reading.run.segments();
        let previous = next.checked_sub(1).and_then(|previous| segments.get(previous));
        let lowest = reading.run.lowest_from(next);
        let Some(info) = segments.get(next) else { return Decision::Gone };
        let may_be_removed = match previous {
            Some(previous) => self.runs.facts.may_be_removed_between(previous, info),
            None => !reading.run.begins_here,
        };
        match self.account.blocks.expected() {
            Some(expected)
                if lowest.is_some_and(|lowest| expected < lowest)
                    && next >= self.account.blocks.segments_begun()
                    && !may_be_removed
                    && self.growing().is_some_and(|live| live.may_come_late()) =>
            {
                self.decide_about_missing(reading, expected, None)
            }
            _ => Decision::Gone,
        }
    }

    /// Decides about block `missing` of the last run: `good` is the one that was found in its place.
    fn decide_about_missing(&mut self, reading: &mut Reading, missing: u64, good: Option<&BlockLocation>) -> Decision {
        let durable_below = self.durable_below(reading, good);
        let Some(live) = &mut self.live else { return Decision::Gone };
        let decision = live.decide(missing, durable_below, || self.runs.files.in_use());
        match decision {
            Decision::Gone => {}
            Decision::LookAgain => self.rewind(reading, durable_below),
            Decision::Awaited => {
                let is_written = self.is_being_written(&reading.run);
                self.account.conclude(RunEnd::Awaiting, is_written);
                reading.plan.rewind();
            }
        }
        decision
    }

    /// [`rewind_to_unread`](Self::rewind_to_unread) for `reading`, of which the blocks below `durable_below` are known
    /// to have been durable.
    fn rewind(&mut self, reading: &mut Reading, durable_below: u64) {
        if let Some(live) = &mut self.live {
            live.note_rewind(durable_below);
        }
        reading.plan.rewind();
    }

    /// The number below which all blocks were durable, by the blocks that were read or are planned, and by `good`.
    fn durable_below(&self, reading: &Reading, good: Option<&BlockLocation>) -> u64 {
        reading.plan.blocks().chain(good).map(testimony).fold(self.account.blocks.durable_below(), u64::max)
    }
}

/// Whether a block is intact, or is one that only a newer diolog can read. A block that cannot be read at all is
/// neither.
fn is_there(scratch: &mut Loaded, location: &BlockLocation) -> bool {
    location.newer.is_some() || scratch.read(&location.file, location.offset, &location.header).unwrap_or(false)
}

/// The file that is missing between those of `previous` and `next`, if `next` names another segment before it.
fn file_between(previous: &Segment, next: &Segment) -> Option<Arc<Path>> {
    let between = previous.number.wrapping_add(1);
    let is_missing = next.names_another_before(previous.segment_id) && between < next.number;
    is_missing.then(|| next.path.with_file_name(segment_file_name(between)).into())
}

/// The number below which all blocks were durable, by the testimony of the block at `location`.
fn testimony(location: &BlockLocation) -> u64 {
    if location.newer.is_some() { 0 } else { location.header.durable_below() }
}
