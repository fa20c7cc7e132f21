//! The runs of a log: the segments of each, and their order.

use std::collections::{HashMap, VecDeque};

use crate::format::LogId;

use super::super::record::RunId;
use super::inspect::Segment;

/// A run and its segments, by index.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    /// One at least.
    segments: Vec<Segment>,
    /// For each segment, the lowest number with which it or a later one begins. After an error, blocks of several
    /// segments move to a later one, which then begins with a lower number than those before it.
    lowest: Vec<u64>,
    /// Whether the file of its first segment is there, readable or not. Then blocks that are missing before the first
    /// one are damaged, and not removed by retention.
    pub(crate) begins_here: bool,
}

impl Run {
    fn new(id: RunId) -> Run {
        Run { id, segments: Vec::new(), lowest: Vec::new(), begins_here: false }
    }

    /// Its segments, by index.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn into_segments(self) -> Vec<Segment> {
        self.segments
    }

    /// Adds a segment after all others.
    fn push(&mut self, segment: Segment) {
        // Each number is lowered once for each segment that begins with a lower one, of which there are few.
        let above = self.lowest.iter_mut().rev().take_while(|lowest| **lowest > segment.first_number);
        above.for_each(|lowest| *lowest = segment.first_number);
        self.lowest.push(segment.first_number);
        self.segments.push(segment);
    }

    /// Adds another part of the run.
    pub(crate) fn append(&mut self, later: Run) {
        later.segments.into_iter().for_each(|segment| self.push(segment));
    }

    /// The first segment that may hold a block with a number that the `segment`th or a later one may have too.
    pub(crate) fn begin_of(&self, segment: usize) -> usize {
        let mut begin = segment;
        while let Some(lowest) = self.lowest_from(begin)
            && let Some(earlier) = self.segments[..begin].iter().position(|it| it.first_number >= lowest)
        {
            begin = earlier;
        }
        begin
    }

    /// Adds segments of which it was not known that they are this run's.
    pub(crate) fn insert(&mut self, others: Run) {
        let mut segments = std::mem::take(&mut self.segments);
        self.lowest.clear();
        segments.extend(others.segments);
        segments.sort_by_key(Segment::index);
        segments.into_iter().for_each(|segment| self.push(segment));
    }

    /// Drops the first segments.
    ///
    /// # Panics
    /// If fewer than one would be left.
    pub(crate) fn skip(&mut self, segments: usize) {
        assert!(segments < self.segments.len(), "a run has a segment");
        self.segments.drain(..segments);
        self.lowest.drain(..segments);
        self.begins_here = false;
    }

    /// The lowest number of a block that may stand in the `segment`th segment or in a later one, by their headers;
    /// `None` if there is no such segment.
    pub(crate) fn lowest_from(&self, segment: usize) -> Option<u64> {
        self.lowest.get(segment).copied()
    }

    /// The segment with the lowest index.
    pub(crate) fn first(&self) -> &Segment {
        self.segments.first().expect("a run is made for its first segment")
    }

    /// The segment with the highest index.
    pub(crate) fn last(&self) -> &Segment {
        self.segments.last().expect("a run is made for its first segment")
    }
}

/// The log to which a directory with these segments belongs, the oldest first; `None` if none has a header.
pub(crate) fn log_of(segments: &[Segment]) -> Option<LogId> {
    LogId::of_directory(segments.iter().rev().filter_map(|segment| Some(segment.header.as_ref()?.log)))
}

/// The segments of a directory, sorted by what they belong to.
#[derive(Debug)]
pub(crate) struct Sorted {
    /// The runs, in their order.
    pub(crate) runs: VecDeque<Run>,
    /// Segments of other logs, and segments in displaced files that nothing in this log names.
    pub(crate) foreign: Vec<Segment>,
}

/// Sorts segments into runs, and the runs into their order. `log` is the log that is read; `None` if any is.
///
/// A segment whose header is damaged belongs to the run of the segment that names it as its predecessor, or whose
/// header has its id; else it is taken as a run of its own.
pub(crate) fn sort(mut segments: Vec<Segment>, log: Option<LogId>) -> Sorted {
    let mut named: HashMap<u64, (LogId, RunId)> = HashMap::new();
    for (segment, header) in segments.iter().filter_map(|segment| Some((segment, segment.header.as_ref()?))) {
        named.insert(segment.segment_id, (header.log, header.run.into()));
        if header.previous_segment_id != 0 {
            named.entry(header.previous_segment_id).or_insert((header.log, header.run.into()));
        }
    }
    let mut sorted: Vec<Run> = Vec::new();
    let mut foreign = Vec::new();
    let mut by_id: HashMap<RunId, usize> = HashMap::new();
    segments.sort_by(|a, b| (a.index(), &a.path).cmp(&(b.index(), &b.path)));
    for segment in segments {
        let own = segment.header.as_ref().map(|header| (header.log, header.run.into()));
        let id = match own.or_else(|| named.get(&segment.segment_id).copied()) {
            Some((of, run)) if log.is_none_or(|log| log == of) => run,
            None if !segment.is_displaced => RunId::unknown(segment.segment_id),
            _ => {
                foreign.push(segment);
                continue;
            }
        };
        let at = *by_id.entry(id).or_insert_with(|| {
            sorted.push(Run::new(id));
            sorted.len() - 1
        });
        sorted[at].push(segment);
    }
    for run in &mut sorted {
        run.begins_here = run.first().header.as_ref().is_some_and(|header| header.previous_segment_id == 0);
    }
    Sorted { runs: sorted.into(), foreign }
}
