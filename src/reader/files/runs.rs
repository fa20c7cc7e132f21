//! The runs of a log: the segments of each, and their order.

use std::collections::{HashMap, VecDeque};

use super::super::record::RunId;
use super::inspect::Segment;

/// A run and its segments, by index.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    /// One at least.
    pub(crate) segments: Vec<Segment>,
    /// Whether the file of its first segment is there, readable or not. Then blocks that are missing before the first
    /// one are damaged, and not removed by retention.
    pub(crate) begins_here: bool,
}

impl Run {
    /// The segment with the lowest index.
    pub(crate) fn first(&self) -> &Segment {
        self.segments.first().expect("a run is made for its first segment")
    }

    /// The segment with the highest index.
    pub(crate) fn last(&self) -> &Segment {
        self.segments.last().expect("a run is made for its first segment")
    }
}

/// Sorts segments into runs, and the runs into their order.
///
/// A segment whose header is damaged belongs to the run of the segment that names it as its predecessor; else it is
/// taken as a run of its own.
pub(crate) fn runs_of(segments: Vec<Segment>) -> VecDeque<Run> {
    let named: HashMap<u64, RunId> = segments
        .iter()
        .filter_map(|segment| segment.header.as_ref())
        .filter(|header| header.previous_segment_id != 0)
        .map(|header| (header.previous_segment_id, header.run.into()))
        .collect();
    let mut runs: Vec<Run> = Vec::new();
    let mut by_id: HashMap<RunId, usize> = HashMap::new();
    let mut segments = segments;
    segments.sort_by(|a, b| (a.index(), &a.path).cmp(&(b.index(), &b.path)));
    for segment in segments {
        let id = run_id(&segment, &named);
        let at = *by_id.entry(id).or_insert_with(|| {
            runs.push(Run { id, segments: Vec::new(), begins_here: false });
            runs.len() - 1
        });
        runs[at].segments.push(segment);
    }
    for run in &mut runs {
        run.begins_here = run.first().header.as_ref().is_some_and(|header| header.previous_segment_id == 0);
    }
    runs.into()
}

fn run_id(segment: &Segment, named: &HashMap<u64, RunId>) -> RunId {
    let known = segment.run().map(RunId::from).or_else(|| named.get(&segment.segment_id).copied());
    known.unwrap_or_else(|| RunId::unknown(segment.segment_id))
}
