//! One run's blocks in the order of their numbers, looked at ahead of being loaded.
//!
//! Segments follow one another. After an error the writer writes what was not acknowledged again, same numbers and
//! same bytes, into a fresh segment; the two are then read side by side, and what stands twice is offered as one
//! block with twins. The plan of what comes next gives the smallest timestamp still to come: that is what lets
//! records be merged without loading everything.
//!
//! A segment that is open can be read to its end, whatever becomes of its name meanwhile. One that was removed before its
//! turn came is passed over here; the walk accounts for it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Result, is_not_found};
use crate::format::GRID_BYTES;

use super::super::account::Trailing;
use super::super::files::{LogFiles, Run, Segment};
use super::super::scan::{BlockLocation, Cursor, Debris, Found, Scanned, SegmentFile};

/// Segments of a run that are read side by side at most: each was left by a failure of the device.
const OPEN_MAX: usize = 16;

/// What comes next in a run.
#[derive(Debug)]
pub(super) enum Item {
    /// A segment begins: its block 0.
    Start { segment: usize, file: Arc<SegmentFile> },
    /// A block, further copies of it, and what stood before the first copy.
    Block { place: BlockLocation, twins: Vec<BlockLocation>, debris: Debris },
    /// A segment ends, with this behind its last block.
    End { segment: usize, debris: Debris },
}

impl Item {
    /// Bytes of file that it stands for. What is no block counts as the smallest one, so that the plan stays short.
    fn bytes(&self) -> u64 {
        match self {
            Item::Block { place, .. } => place.header.stride_bytes(),
            _ => GRID_BYTES as u64,
        }
    }
}

#[derive(Debug)]
struct Open {
    segment: usize,
    /// The number of its first block.
    first_number: u64,
    file: Arc<SegmentFile>,
    cursor: Cursor,
    peeked: Option<Found>,
    /// Whether the cursor came to the end.
    done: bool,
    /// Behind the last block, once done.
    trailing: Debris,
    /// Whether `Start` was planned, and taken.
    start_planned: bool,
    start_taken: bool,
    /// Where the blocks that were taken end.
    taken: u64,
}

/// What the end of a run's last segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// All of it is there.
    Ended,
    /// Blocks may still come: look this far behind the last one, and do not end the segment.
    Growing { horizon: u64 },
}

/// The plan of one run.
#[derive(Debug, Default)]
pub(super) struct RunScan {
    open: Vec<Open>,
    /// The next segment to open.
    next: usize,
    plan: VecDeque<Item>,
    /// Bytes that the plan stands for.
    planned_bytes: u64,
    /// Number of the plan's first item among all that were ever planned.
    first_serial: u64,
    /// (first_ns, serial) of planned blocks, each smaller than all that follow it: the front is the plan's minimum.
    minima: VecDeque<(u64, u64)>,
}

impl RunScan {
    /// Plans on until `lookahead` bytes of blocks are planned, or nothing more is there.
    pub(super) fn fill(&mut self, files: &LogFiles, run: &Run, lookahead: u64, tail: Tail) -> Result<()> {
        while self.plan.is_empty() || self.planned_bytes < lookahead {
            if !self.plan_one(files, run, tail)? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn front(&self) -> Option<&Item> {
        self.plan.front()
    }

    /// What is planned behind the front.
    pub(super) fn behind_front(&self) -> impl Iterator<Item = &Item> {
        self.plan.iter().skip(1)
    }

    /// The first and the last block planned.
    pub(super) fn ends(&self) -> Option<(&BlockLocation, &BlockLocation)> {
        let mut blocks = self.plan.iter().filter_map(|item| match item {
            Item::Block { place, .. } => Some(place),
            _ => None,
        });
        let first = blocks.next()?;
        Some((first, blocks.next_back().unwrap_or(first)))
    }

    /// The smallest timestamp of the planned blocks.
    pub(super) fn min_ns(&self) -> Option<u64> {
        self.minima.front().map(|&(ns, _)| ns)
    }

    /// Takes the front off the plan.
    pub(super) fn take(&mut self) -> Option<Item> {
        let item = self.plan.pop_front()?;
        if self.minima.front().is_some_and(|&(_, serial)| serial == self.first_serial) {
            self.minima.pop_front();
        }
        self.first_serial += 1;
        self.planned_bytes -= item.bytes();
        match &item {
            Item::Start { segment, .. } => {
                self.open.iter_mut().filter(|open| open.segment == *segment).for_each(|open| open.start_taken = true);
            }
            Item::Block { place, twins, .. } => {
                for place in std::iter::once(place).chain(twins) {
                    if let Some(open) = self.open.iter_mut().find(|open| open.segment == place.segment) {
                        open.taken = place.offset + place.header.stride_bytes();
                    }
                }
            }
            Item::End { segment, .. } => self.open.retain(|open| open.segment != *segment),
        }
        Some(item)
    }

    /// Forgets the plan, so that what was not taken is looked at again.
    pub(super) fn rewind(&mut self) {
        self.first_serial += self.plan.len() as u64;
        self.plan.clear();
        self.minima.clear();
        self.planned_bytes = 0;
        for open in &mut self.open {
            open.cursor.rewind(open.taken);
            open.peeked = None;
            open.done = false;
            open.start_planned = open.start_taken;
        }
    }

    /// Makes durable what has been written to the segments that are being read.
    pub(super) fn sync(&self) -> Result<()> {
        self.open.iter().try_for_each(|open| open.file.sync())
    }

    /// What stands behind the last block of the segment that may still grow.
    pub(super) fn trailing(&self) -> Option<Trailing> {
        self.open
            .iter()
            .rev()
            .find(|open| open.done)
            .map(|open| Trailing { segment: open.segment, debris: open.trailing })
    }

    fn plan_one(&mut self, files: &LogFiles, run: &Run, tail: Tail) -> Result<bool> {
        loop {
            for open in &mut self.open {
                if !open.start_planned || open.peeked.is_some() || open.done {
                    continue;
                }
                let horizon = match tail {
                    Tail::Growing { horizon } if open.segment + 1 == run.segments.len() => Some(horizon),
                    _ => None,
                };
                match open.cursor.next(&open.file, horizon.unwrap_or(u64::MAX))? {
                    Scanned::Block(found) => open.peeked = Some(found),
                    Scanned::End(debris) => {
                        (open.done, open.trailing) = (true, debris);
                        if horizon.is_none() {
                            let item = Item::End { segment: open.segment, debris };
                            self.push(item);
                            return Ok(true);
                        }
                    }
                }
            }
            let smallest = self.open.iter().filter_map(Open::number).min();
            let is_due = |first_number| smallest.is_none_or(|number| number >= first_number);
            // It was opened before, and the plan forgotten since.
            if let Some(open) = self.open.iter_mut().find(|open| !open.start_planned) {
                if is_due(open.first_number) {
                    open.start_planned = true;
                    let item = Item::Start { segment: open.segment, file: Arc::clone(&open.file) };
                    self.push(item);
                    return Ok(true);
                }
            } else if let Some(segment) = run.segments.get(self.next)
                && self.open.len() < OPEN_MAX
                && is_due(segment.first_number)
            {
                self.next += 1;
                let read_ahead = !matches!(tail, Tail::Growing { horizon } if horizon < u64::MAX);
                match files.open_file(&segment.path) {
                    Ok(file) => self.open.push(Open::new(self.next - 1, segment, Arc::new(file), read_ahead)),
                    // Removed since it was listed: it never starts, see `Walk::account_for_removed`.
                    Err(error) if is_not_found(&error) => {}
                    Err(error) => return Err(error),
                }
                continue;
            }
            let Some(smallest) = smallest else { return Ok(false) };
            let mut copies = self.open.iter_mut().filter(|open| open.number() == Some(smallest));
            let mut take = || copies.next().and_then(|open| Some((open.peeked.take()?, open)));
            let Some((found, open)) = take() else { return Ok(false) };
            let (place, debris) = (open.place(&found), found.debris);
            let mut twins = Vec::new();
            while let Some((found, open)) = take() {
                twins.push(open.place(&found));
            }
            self.push(Item::Block { place, twins, debris });
            return Ok(true);
        }
    }

    fn push(&mut self, item: Item) {
        self.planned_bytes += item.bytes();
        if let Item::Block { place, .. } = &item
            && place.newer.is_none()
        {
            let first_ns = place.header.first_ns.get();
            while self.minima.back().is_some_and(|&(ns, _)| ns >= first_ns) {
                self.minima.pop_back();
            }
            self.minima.push_back((first_ns, self.first_serial + self.plan.len() as u64));
        }
        self.plan.push_back(item);
    }
}

impl Open {
    fn new(segment: usize, info: &Segment, file: Arc<SegmentFile>, read_ahead: bool) -> Open {
        Open {
            segment,
            first_number: info.first_number,
            file,
            cursor: Cursor::new(Some(info.segment_id), info.first_offset).reading_ahead(read_ahead),
            peeked: None,
            done: false,
            trailing: Debris::default(),
            start_planned: false,
            start_taken: false,
            taken: info.first_offset,
        }
    }

    fn number(&self) -> Option<u64> {
        self.peeked.as_ref().map(|found| found.header.sequence.get())
    }

    fn place(&self, found: &Found) -> BlockLocation {
        BlockLocation {
            segment: self.segment,
            file: Arc::clone(&self.file),
            offset: found.offset,
            header: found.header,
            newer: found.newer,
        }
    }
}
