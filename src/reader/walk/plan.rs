//! The plan of one run: its blocks in the order of their numbers, found by their headers before they are read.
//!
//! As a rule one segment follows the other. After an error the writer writes the blocks that were not acknowledged once
//! more, with the same numbers and bytes, into a new segment. Before that one there may be several segments that begin
//! with higher numbers. So the plan scans all segments side by side that may have the next block. A block that is in
//! several of them becomes one item with copies. The plan also knows the smallest timestamp of its blocks, so that a
//! caller can merge records without loading everything.
//!
//! If an item was taken and not marked as read, [`Plan::rewind`] brings it back. An open segment can be read to its end
//! even if its name is removed meanwhile. A segment that was removed before its turn, or that cannot be opened, never
//! starts: the walk accounts for it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{GRID_BYTES, Newer};
use crate::sys::AtPath;

use super::super::account::Trailing;
use super::super::files::{LogFiles, Run, Segment};
use super::super::scan::{BlockLocation, Chunk, Cursor, Debris, Found, Loaded, Scanned, SegmentFile};

/// How many files of a run are held open at most, so that a reader gets by with a small `ulimit -n`. After many
/// failures of the device in a row, more files may have to be scanned side by side: the others are opened for each
/// read.
const OPEN_MAX: usize = 32;

/// The next part of a run.
#[derive(Debug)]
pub(super) enum Item {
    /// A segment begins: its block 0.
    Start { segment: usize, file: Arc<SegmentFile> },
    /// A block.
    Block(Planned),
    /// A segment ends, with this after its last block.
    End { segment: usize, debris: Debris },
}

/// A block of the plan.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) location: BlockLocation,
    /// Further copies of it, in later segments.
    pub(super) copies: Vec<BlockLocation>,
    /// Bytes before the first copy that are not a block.
    pub(super) debris: Debris,
}

impl Planned {
    /// The block and its copies.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &BlockLocation> {
        std::iter::once(&self.location).chain(&self.copies)
    }

    /// Reads the block and its copies until one is good, and leaves that in `loaded`.
    pub(super) fn read(&self, chunk: &mut Chunk, loaded: &mut Loaded) -> Copies<'_> {
        let mut copies = Copies { good: None, newer: None, error: None };
        for location in self.all() {
            if let Some(why) = location.newer {
                copies.newer.get_or_insert((location, why));
                continue;
            }
            match loaded.read_through(chunk, location) {
                Ok(true) => {
                    copies.good = Some(location);
                    break;
                }
                Ok(false) => {}
                Err(failed) => copies.error = Some(failed),
            }
        }
        copies
    }
}

/// What the copies of a block are.
pub(super) struct Copies<'a> {
    /// The first good one, which is loaded.
    pub(super) good: Option<&'a BlockLocation>,
    /// The first one before it that only a newer diolog can read, and why.
    pub(super) newer: Option<(&'a BlockLocation, Newer)>,
    /// Why one of them could not be read.
    pub(super) error: Option<Error>,
}

impl Item {
    /// How many bytes of a file the item counts for. A start or an end counts as much as the smallest block, so that
    /// the plan stays short.
    fn bytes(&self) -> u64 {
        match self {
            Item::Block(block) => block.location.header.stride_bytes(),
            Item::Start { .. } | Item::End { .. } => GRID_BYTES as u64,
        }
    }
}

/// A segment that is being scanned.
#[derive(Debug)]
struct Open {
    segment: usize,
    file: Arc<SegmentFile>,
    cursor: Cursor,
    /// The next block, if it has been found and not been planned.
    peeked: Option<Found>,
    /// The debris after the last block, once the cursor has come to the end.
    end: Option<Debris>,
    start_planned: bool,
    start_read: bool,
    /// The offset after the last block that was read.
    read_end: u64,
}

/// The plan of one run.
#[derive(Debug, Default)]
pub(super) struct Plan {
    open: Vec<Open>,
    /// The next segment to open.
    next: usize,
    /// The segments that could not be opened, for another reason than that they were removed.
    unopened: Vec<usize>,
    items: VecDeque<Item>,
    /// Bytes that the items stand for.
    planned_bytes: u64,
    /// The serial number of the front item, among all that were ever planned.
    front_serial: u64,
    /// First timestamps and serial numbers of planned blocks, only of those whose timestamp is smaller than the
    /// timestamps of all later blocks. So the front has the smallest of the plan.
    minima: VecDeque<(u64, u64)>,
    /// Whether most blocks will not be read.
    headers_alone: bool,
    /// Whether planning has stopped early because many files are open. Then the smallest time is not known.
    is_short: bool,
}

impl Plan {
    /// An empty plan. `headers_alone`: most of its blocks will not be read.
    pub(super) fn new(headers_alone: bool) -> Plan {
        Plan { headers_alone, ..Plan::default() }
    }

    /// Plans on until `lookahead` bytes of blocks are planned, or nothing more is there.
    ///
    /// `growing` is set if blocks may still come in the run's last segment: that number of bytes is searched after its
    /// last block, and the segment does not end.
    pub(super) fn fill(&mut self, files: &LogFiles, run: &Run, lookahead: u64, growing: Option<u64>) -> Result<()> {
        self.is_short = false;
        while self.items.is_empty() || self.planned_bytes < lookahead {
            if !self.plan_one(files, run, growing)? {
                break;
            }
        }
        Ok(())
    }

    /// The planned blocks, and their copies.
    pub(super) fn blocks(&self) -> impl DoubleEndedIterator<Item = &BlockLocation> {
        let blocks = self.items.iter().filter_map(|item| match item {
            Item::Block(block) => Some(block.all()),
            Item::Start { .. } | Item::End { .. } => None,
        });
        blocks.flatten()
    }

    /// The smallest timestamp of the planned blocks; `None` if too little is planned to know it.
    pub(super) fn min_ns(&self) -> Option<u64> {
        self.minima.front().filter(|_| !self.is_short).map(|&(ns, _)| ns)
    }

    /// Takes the front item. Unless it is marked as read then, [`rewind`](Self::rewind) brings it back.
    pub(super) fn take_front(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        if self.minima.front().is_some_and(|&(_, serial)| serial == self.front_serial) {
            self.minima.pop_front();
        }
        self.front_serial += 1;
        self.planned_bytes -= item.bytes();
        assert!(self.items.is_empty() == (self.planned_bytes == 0), "the plan's bytes are those of its items");
        assert!(self.minima.front().is_none_or(|&(_, serial)| serial >= self.front_serial), "a minimum is planned");
        Some(item)
    }

    /// Whether a segment that never starts is there, and could not be opened.
    pub(super) fn is_unopened(&self, segment: usize) -> bool {
        self.unopened.contains(&segment)
    }

    /// Marks a segment as begun: [`rewind`](Self::rewind) does not bring its start back.
    pub(super) fn mark_started(&mut self, segment: usize) {
        self.open_mut(segment).start_read = true;
    }

    /// Marks a block as read.
    pub(super) fn mark_read(&mut self, block: &Planned) {
        for location in block.all() {
            let open = self.open_mut(location.segment);
            assert!(
                open.start_read && open.read_end <= location.offset,
                "a segment's blocks come in order, after its start"
            );
            open.read_end = location.offset + location.header.stride_bytes();
        }
    }

    /// Marks a segment as read to its end.
    pub(super) fn mark_ended(&mut self, segment: usize) {
        self.open.retain(|open| open.segment != segment);
    }

    /// The segment, which is open from before its start is planned until its end is read.
    fn open_mut(&mut self, segment: usize) -> &mut Open {
        self.open.iter_mut().find(|open| open.segment == segment).expect("only segments that are open are planned")
    }

    /// Forgets the plan. After that, it looks again for all blocks that were not read.
    pub(super) fn rewind(&mut self) {
        self.front_serial += self.items.len() as u64;
        self.items.clear();
        self.minima.clear();
        self.planned_bytes = 0;
        for open in &mut self.open {
            open.cursor.rewind(open.read_end);
            open.peeked = None;
            open.end = None;
            open.start_planned = open.start_read;
        }
    }

    /// Syncs the segments that are being read.
    pub(super) fn sync(&self) -> Result<()> {
        self.open.iter().try_for_each(|open| open.file.sync())
    }

    /// The last segment that is open, and what is at its path.
    pub(super) fn last_open(&self) -> Option<(usize, AtPath)> {
        self.open.last().map(|open| (open.segment, open.file.at_its_path()))
    }

    /// The debris after the last block of the segment that may still grow.
    pub(super) fn trailing(&self) -> Option<Trailing> {
        self.open.iter().rev().find_map(|open| Some(Trailing { segment: open.segment, debris: open.end? }))
    }

    /// Plans one more item. `false`: nothing more is there now.
    fn plan_one(&mut self, files: &LogFiles, run: &Run, growing: Option<u64>) -> Result<bool> {
        loop {
            for open in &mut self.open {
                if !open.start_planned || open.peeked.is_some() || open.end.is_some() {
                    continue;
                }
                let horizon = growing.filter(|_| open.segment + 1 == run.segments().len());
                let scanned = open.cursor.next(&open.file, horizon.unwrap_or(u64::MAX))?;
                if !open.file.is_held() {
                    open.cursor.free_window();
                }
                match scanned {
                    Scanned::Block(found) => open.peeked = Some(found),
                    Scanned::End(debris) => {
                        open.end = Some(debris);
                        if horizon.is_none() {
                            let item = Item::End { segment: open.segment, debris };
                            self.push(item);
                            return Ok(true);
                        }
                    }
                }
            }
            let smallest = self.open.iter().filter_map(Open::number).min();
            let is_due =
                |segment| run.lowest_from(segment).is_some_and(|lowest| smallest.is_none_or(|number| number >= lowest));
            // It was opened before, and the plan forgotten since.
            if let Some(open) = self.open.iter_mut().find(|open| !open.start_planned) {
                if is_due(open.segment) {
                    open.start_planned = true;
                    let item = Item::Start { segment: open.segment, file: Arc::clone(&open.file) };
                    self.push(item);
                    return Ok(true);
                }
            } else if is_due(self.next) {
                if self.open.len() >= OPEN_MAX && !self.items.is_empty() {
                    // Segments that have ended make room as soon as the items are taken.
                    self.is_short = true;
                    return Ok(false);
                }
                self.open_next(files, run, growing)?;
                continue;
            }
            let Some(smallest) = smallest else { return Ok(false) };
            let mut copies = self.open.iter_mut().filter_map(|open| open.take_peeked(smallest));
            let (location, debris) = copies.next().expect("the smallest number is that of a block that was found");
            let copies = copies.map(|(location, _)| location).collect();
            self.push(Item::Block(Planned { location, copies, debris }));
            return Ok(true);
        }
    }

    /// Opens the next segment, if it is still there.
    fn open_next(&mut self, files: &LogFiles, run: &Run, growing: Option<u64>) -> Result<()> {
        let segment = self.next;
        self.next += 1;
        let info = &run.segments()[segment];
        let opened = files.open_if_there(&info.path).inspect_err(|_| self.unopened.push(segment))?;
        // If it was removed since it was listed, it never starts: see `Walk::account_for_unstarted`.
        let Some(file) = opened else { return Ok(()) };
        let file = if self.open.len() < OPEN_MAX { file } else { file.open_for_each_read() };
        let read_ahead = file.is_held() && growing.is_none_or(|horizon| horizon == u64::MAX);
        let mut open = Open::new(segment, info, Arc::new(file), read_ahead && !self.headers_alone);
        open.cursor = open.cursor.reading_headers_alone(self.headers_alone);
        self.open.push(open);
        Ok(())
    }

    fn push(&mut self, item: Item) {
        self.planned_bytes += item.bytes();
        if let Item::Block(block) = &item
            && block.location.newer.is_none()
        {
            let first_ns = block.location.header.first_ns.get();
            while self.minima.back().is_some_and(|&(ns, _)| ns >= first_ns) {
                self.minima.pop_back();
            }
            self.minima.push_back((first_ns, self.front_serial + self.items.len() as u64));
        }
        self.items.push_back(item);
    }
}

impl Open {
    fn new(segment: usize, info: &Segment, file: Arc<SegmentFile>, read_ahead: bool) -> Open {
        Open {
            segment,
            file,
            cursor: Cursor::new(Some(info.segment_id), info.first_offset).reading_ahead(read_ahead),
            peeked: None,
            end: None,
            start_planned: false,
            start_read: false,
            read_end: info.first_offset,
        }
    }

    fn number(&self) -> Option<u64> {
        self.peeked.as_ref().map(|found| found.header.sequence.get())
    }

    /// Takes the peeked block if it has this number, with the debris before it.
    fn take_peeked(&mut self, number: u64) -> Option<(BlockLocation, Debris)> {
        let Found { offset, header, newer, anchor, debris } =
            self.peeked.take_if(|found| found.header.sequence.get() == number)?;
        Some((
            BlockLocation { segment: self.segment, file: Arc::clone(&self.file), offset, header, newer, anchor },
            debris,
        ))
    }
}
