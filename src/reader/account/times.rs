//! Whether the times of a producer's records contradict themselves or their block.
//!
//! The account reads no record: `verify` asks this for every shard, and the merge for those that give it a reason.

use std::ops::RangeInclusive;

/// The times of one shard's records, as they are compared.
///
/// All of it is inlined, so that nothing is in memory while the records are read.
#[derive(Debug)]
pub(crate) struct ShardTimes<'a> {
    /// The bounds that the block's header gives.
    bounds: &'a RangeInclusive<u64>,
    /// The largest time so far.
    last_ns: u64,
    went_back: bool,
    is_outside: bool,
}

impl<'a> ShardTimes<'a> {
    /// Nothing is compared yet. `last_ns` is the producer's largest time before the shard, or 0.
    #[inline(always)]
    pub(crate) fn new(bounds: &'a RangeInclusive<u64>, last_ns: u64) -> ShardTimes<'a> {
        ShardTimes { bounds, last_ns, went_back: false, is_outside: false }
    }

    /// Compares the time of the next record.
    #[inline(always)]
    pub(crate) fn take(&mut self, ns: u64) {
        self.is_outside |= !self.bounds.contains(&ns);
        self.went_back |= ns < self.last_ns;
        self.last_ns = self.last_ns.max(ns);
    }

    /// The producer's largest time, this shard included.
    #[inline(always)]
    pub(crate) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// The contradictions, as sentences.
    #[inline(always)]
    pub(crate) fn faults(&self, producer: u32) -> impl Iterator<Item = String> {
        let outside = self.is_outside.then(|| out_of_bounds(producer));
        let back = self.went_back.then(|| format!("producer {producer} has times that go back"));
        outside.into_iter().chain(back)
    }
}

/// The contradiction of a producer with a time outside the bounds of its block.
pub(crate) fn out_of_bounds(producer: u32) -> String {
    format!("producer {producer} has a record outside the times that the block's header gives")
}
