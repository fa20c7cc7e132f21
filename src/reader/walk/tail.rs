//! The last blocks of one run, for its recovery: from the first one on that was not known to be durable when the run
//! died.
//!
//! A ring keeps a record until the record is durable, and frees its space before any later block says so. So a record
//! that is still in a ring is in one of these blocks, or in none. Blocks that an earlier recovery has written prove
//! nothing about that, because no ring was freed for them.

use std::path::Path;

use crate::error::{Error, Result};
use crate::format::{BlockFlags, ProducerRow, SegmentHeader, StoredRunId};

use super::super::callsites::KnownCallsites;
use super::super::files::{Run, Segment};
use super::super::record::RunId;
use super::super::report::Report;
use super::super::scan::{Chunk, Cursor, Loaded, Scanned, ShardRecord, ShardRecords};
use super::discover::Runs;
use super::plan::{Item, Plan, Planned};

/// The end of a run that is over.
pub(crate) struct RunTail {
    runs: Runs,
    run: Run,
    plan: Plan,
    chunk: Chunk,
    loaded: Loaded,
    callsites: KnownCallsites,
    /// All blocks below this number were durable. So their records are in no ring, or their segments are gone.
    pub(crate) durable_below: u64,
    /// The highest number with which a segment begins. The blocks below it were submitted.
    pub(crate) announced: u64,
}

/// The next part of a tail.
pub(crate) enum TailItem<'a> {
    /// The beginning of a segment.
    Baseline(Baseline<'a>),
    /// A good block.
    Block(TailBlock<'a>),
    /// A block that only a newer diolog can read.
    Newer,
}

/// Producers as the blocks before a segment account for them.
pub(crate) struct Baseline<'a> {
    /// The number of the segment's first block.
    pub(crate) number: u64,
    pub(crate) rows: &'a [ProducerRow],
    /// A moment when the writer had made all the blocks below `number`. `None` if a recovery has written the segment.
    pub(crate) made_ns: Option<u64>,
}

/// A good block.
pub(crate) struct TailBlock<'a> {
    pub(crate) number: u64,
    /// Whether it ends the run.
    pub(crate) is_clean_end: bool,
    /// Producers, as the blocks before this one account for them.
    pub(crate) rows: &'a [ProducerRow],
    /// The final accounts of producers.
    pub(crate) ends: &'a [ProducerRow],
    /// The number after the writer's last own record.
    pub(crate) own_end: u64,
    loaded: &'a Loaded,
}

/// What can be read of a block, by all its copies.
enum Readable {
    /// A good copy, which is loaded.
    Good,
    /// None but a copy that a newer diolog can read.
    NewerAlone,
    Nothing,
}

/// Consecutive records of one producer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailShard {
    pub(crate) producer: u32,
    pub(crate) first_sequence: u64,
    pub(crate) records: u64,
    /// The times of the first and the last of them.
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
}

impl TailBlock<'_> {
    /// Its shards of producers.
    pub(crate) fn shards(&self) -> impl Iterator<Item = TailShard> {
        self.loaded.shards.iter().map(|shard| {
            let (mut records, mut record) = (ShardRecords::of(shard), ShardRecord::default());
            let mut times = None;
            while records.next(self.loaded, &mut record) {
                let (first_ns, _) = times.unwrap_or((record.timestamp_ns, 0));
                times = Some((first_ns, record.timestamp_ns));
            }
            let (first_ns, last_ns) = times.unwrap_or_default();
            let (producer, first_sequence) = (shard.producer, shard.first_sequence);
            TailShard { producer, first_sequence, records: u64::from(shard.records), first_ns, last_ns }
        })
    }
}

impl RunTail {
    /// The end of `run` of the log at `path`, whose lock the caller holds. The files are made durable before they are
    /// read. `None` if the log has no segment of it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn open(path: &Path, run: StoredRunId) -> Result<Option<RunTail>> {
        let mut runs = Runs::of(path, false)?;
        match runs.discover(None, false, &mut Report::default()) {
            // Without a readable segment there is no run.
            Err(Error::NotALog { .. }) => return Ok(None),
            discovered => discovered?,
        }
        let Some(mut run) = take_run(&mut runs, run.into()) else { return Ok(None) };
        runs.files.sync = true;
        let announced = run.segments().iter().map(|segment| segment.first_number).max().unwrap_or(0);
        let (mut durable_below, mut first) = (0, run.segments().len());
        while first > 0 {
            first -= 1;
            durable_below = durable_below.max(durable_by(&runs, &run.segments()[first])?);
            if run.lowest_from(first).is_some_and(|lowest| lowest <= durable_below) {
                break;
            }
        }
        // If a header says that blocks were before it, and no segment has them, retention has removed them.
        if run.segments()[0].block_0.is_some() {
            durable_below = durable_below.max(run.lowest_from(0).unwrap_or(0));
        }
        let skipped = run.begin_of(first);
        if skipped > 0 {
            run.skip(skipped);
        }
        Ok(Some(RunTail {
            runs,
            run,
            plan: Plan::new(false),
            chunk: Chunk::default(),
            loaded: Loaded::default(),
            callsites: KnownCallsites::default(),
            durable_below,
            announced,
        }))
    }

    /// The header of the run's last segment that has an intact one, and the id of the last segment.
    pub(crate) fn last_segment(&self) -> (Option<&SegmentHeader>, u64) {
        let header = self.run.segments().iter().rev().find_map(|segment| segment.header.as_deref());
        (header, self.run.last().segment_id)
    }

    /// The next part, in the order of block numbers.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn next(&mut self) -> Result<Option<TailItem<'_>>> {
        loop {
            self.plan.fill(&self.runs.files, &self.run, 0, None)?;
            match self.plan.take_front() {
                None => return Ok(None),
                Some(Item::End { segment, .. }) => self.plan.mark_ended(segment),
                Some(Item::Start { segment, file }) => {
                    self.plan.mark_started(segment);
                    let info = &self.run.segments()[segment];
                    // If a later segment begins with a lower number, the rows here count blocks that come only now.
                    if let Some(block_0) = info.block_0
                        && self.run.lowest_from(segment) == Some(info.first_number)
                        && self.loaded.read(&file, 0, &block_0)?
                    {
                        self.loaded.take_apart(&block_0, &mut self.callsites);
                        let Segment { first_number: number, header, .. } = &self.run.segments()[segment];
                        let is_recovered = header.as_ref().is_some_and(|header| header.is_recovered());
                        // The writer reads the clocks for it when it begins the segment.
                        let anchor = self.loaded.anchors.first().filter(|_| !is_recovered);
                        let made_ns = anchor.map(|anchor| anchor.monotonic_ns.get());
                        let baseline = Baseline { number: *number, rows: &self.loaded.rows, made_ns };
                        return Ok(Some(TailItem::Baseline(baseline)));
                    }
                }
                Some(Item::Block(block)) => {
                    self.plan.mark_read(&block);
                    match self.load(&block)? {
                        Readable::Good => return Ok(Some(self.block(&block))),
                        Readable::NewerAlone => return Ok(Some(TailItem::Newer)),
                        Readable::Nothing => {}
                    }
                }
            }
        }
    }

    /// Loads a good copy of the block, if there is one.
    fn load(&mut self, block: &Planned) -> Result<Readable> {
        let mut without_good = Readable::Nothing;
        for location in block.all() {
            if location.newer.is_some() {
                without_good = Readable::NewerAlone;
            } else if self.loaded.read_through(&mut self.chunk, location)? {
                self.loaded.take_apart(&location.header, &mut self.callsites);
                return Ok(Readable::Good);
            }
        }
        Ok(without_good)
    }

    fn block(&self, block: &Planned) -> TailItem<'_> {
        let loaded = &self.loaded;
        TailItem::Block(TailBlock {
            number: block.location.number(),
            is_clean_end: block.location.header.block_flags().has(BlockFlags::CLEAN_END),
            rows: &loaded.rows,
            ends: &loaded.ends,
            own_end: loaded.own_end,
            loaded,
        })
    }
}

/// Takes the run out of the log's runs. If no header names it, its segments are those without a header at the end of
/// the log: its first header may have been in flight when the run died, and no other run has written since.
fn take_run(runs: &mut Runs, id: RunId) -> Option<Run> {
    if let Some(at) = runs.later.iter().position(|run| run.id == id) {
        return runs.later.remove(at);
    }
    let unknown = runs.later.iter().rev().take_while(|run| !run.id.is_known()).count();
    let mut last = runs.later.split_off(runs.later.len() - unknown).into_iter();
    let mut run = last.next()?;
    last.for_each(|later| run.append(later));
    Some(run)
}

/// The number below which all blocks were durable, as the blocks of a segment say.
fn durable_by(runs: &Runs, segment: &Segment) -> Result<u64> {
    let is_recovered = |flags: BlockFlags| flags.has(BlockFlags::RECOVERED);
    if segment.header.as_ref().is_some_and(|header| header.is_recovered()) {
        return Ok(0);
    }
    let mut durable_below = segment.block_0.map_or(0, |block| block.durable_below());
    let file = runs.files.open_file(&segment.path)?;
    let mut cursor = Cursor::new(Some(segment.segment_id), segment.first_offset).reading_headers_alone(true);
    while let Scanned::Block(found) = cursor.next(&file, u64::MAX)? {
        if found.newer.is_none() && !is_recovered(found.header.block_flags()) {
            durable_below = durable_below.max(found.header.durable_below());
        }
    }
    Ok(durable_below)
}
