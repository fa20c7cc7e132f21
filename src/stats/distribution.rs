//! Distributions of latencies and sizes: recorded by one thread without a lock, and read by any other.
//!
//! A lock would make the writer wait for a reader now and then. So the writer adds to the count of a bucket, and a
//! reader loads these counts, without a lock. The buckets are those of HdrHistogram with two digits: values below 128
//! have one each, and each doubling above has 128.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// The number of buckets of a doubling, as a power of two. The width of a bucket is less than 1 % of its values.
const DOUBLING_BITS: u32 = 7;

/// A distribution in a few numbers, and in buckets from which those of several logs can be added up.
///
/// The count, the sum and the largest value are exact. A quantile is a value that occurred, or less than 1 % below one,
/// and never above.
///
/// With the feature `serde`, `buckets` is written as a list of pairs, each of a bucket's lowest value and its count.
/// The values of [`Stats`](super::Stats) that are nanoseconds are texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Distribution {
    /// The number of values.
    pub count: u64,
    /// Their sum. It wraps around beyond 64 bits.
    pub sum: u64,
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 95th percentile.
    pub p95: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The 99.9th percentile.
    pub p999: u64,
    /// The largest value.
    pub max: u64,
    /// The buckets that hold values, the lowest first: the bucket's number, and how many values it holds. Written as
    /// [`buckets`](Self::buckets) gives them.
    #[cfg_attr(feature = "serde", serde(serialize_with = "lowest_and_count"))]
    buckets: Vec<(u32, u64)>,
}

impl Distribution {
    /// The value that a part `q` of the values does not exceed, from 0.0 to 1.0; 0 if there are none.
    ///
    /// ```
    /// let mut latencies = diolog::Distribution::default();
    /// assert_eq!(latencies.quantile(0.999), 0);
    /// ```
    pub fn quantile(&self, q: f64) -> u64 {
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut before = 0;
        for &(bucket, count) in &self.buckets {
            before += count;
            if before >= rank {
                return lowest_of(bucket as usize);
            }
        }
        0
    }

    /// The buckets that hold values, the lowest first: each bucket's lowest value, and how many values it holds. A
    /// bucket's other values are less than 1 % above the lowest.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets.iter().map(|&(bucket, count)| (lowest_of(bucket as usize), count))
    }

    /// Adds the values of `other`, such as those of another log.
    pub fn add(&mut self, other: &Distribution) {
        let mut buckets = Vec::with_capacity(self.buckets.len().max(other.buckets.len()));
        let (mut ours, mut others) =
            (self.buckets.iter().copied().peekable(), other.buckets.iter().copied().peekable());
        while let Some(bucket) = ours.peek().into_iter().chain(others.peek()).map(|&(bucket, _)| bucket).min() {
            let mine = ours.next_if(|&(at, _)| at == bucket).map_or(0, |(_, count)| count);
            let theirs = others.next_if(|&(at, _)| at == bucket).map_or(0, |(_, count)| count);
            buckets.push((bucket, mine + theirs));
        }
        let (sum, max) = (self.sum.wrapping_add(other.sum), self.max.max(other.max));
        *self = Distribution::of(buckets, sum, max);
    }

    /// The values that were recorded after `earlier`, a distribution of the same log. If the largest value of all is
    /// older, `max` is up to 1 % below the largest of these.
    #[must_use]
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let mut before = earlier.buckets.iter().copied().peekable();
        let mut buckets = Vec::new();
        for &(bucket, count) in &self.buckets {
            while before.next_if(|&(at, _)| at < bucket).is_some() {}
            let old = before.next_if(|&(at, _)| at == bucket).map_or(0, |(_, count)| count);
            if count > old {
                buckets.push((bucket, count - old));
            }
        }
        let highest = buckets.last().map_or(0, |&(bucket, _)| lowest_of(bucket as usize));
        let max = if self.max > earlier.max { self.max } else { highest };
        Distribution::of(buckets, self.sum.wrapping_sub(earlier.sum), max)
    }

    /// The distribution with these buckets.
    fn of(buckets: Vec<(u32, u64)>, sum: u64, max: u64) -> Distribution {
        let count = buckets.iter().map(|&(_, count)| count).sum();
        let mut all = Distribution { count, sum, max, buckets, ..Distribution::default() };
        (all.p50, all.p90, all.p95) = (all.quantile(0.5), all.quantile(0.9), all.quantile(0.95));
        (all.p99, all.p999) = (all.quantile(0.99), all.quantile(0.999));
        all
    }
}

/// Values in buckets. One thread records; any thread reads.
#[derive(Debug)]
pub(super) struct Recorded {
    buckets: Box<[AtomicU64]>,
    /// The lowest bucket that holds a value, and the one after the highest. Readers skip the others.
    lowest: AtomicUsize,
    end: AtomicUsize,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Recorded {
    /// No values yet. Values above `value_max` are counted in its bucket.
    pub(super) fn new(value_max: u64) -> Recorded {
        let buckets: Box<[AtomicU64]> = (0..=bucket_of(value_max)).map(|_| AtomicU64::new(0)).collect();
        let (end, sum, max) = Default::default();
        Recorded { lowest: AtomicUsize::new(buckets.len()), buckets, end, sum, max }
    }

    /// Adds a value. Only one thread calls this.
    pub(super) fn record(&self, value: u64) {
        let bucket = bucket_of(value).min(self.buckets.len() - 1);
        if bucket < self.lowest.load(Relaxed) {
            self.lowest.store(bucket, Relaxed);
        }
        if bucket >= self.end.load(Relaxed) {
            self.end.store(bucket + 1, Relaxed);
        }
        self.sum.store(self.sum.load(Relaxed).wrapping_add(value), Relaxed);
        if value > self.max.load(Relaxed) {
            self.max.store(value, Relaxed);
        }
        // Release: _value recorded_. A thread that sees the count sees a maximum that is at least as large as the
        // value.
        self.buckets[bucket].store(self.buckets[bucket].load(Relaxed) + 1, Release);
    }

    /// The distribution of the values so far.
    pub(super) fn read(&self) -> Distribution {
        let (lowest, end) = (self.lowest.load(Relaxed), self.end.load(Relaxed));
        let mut buckets = Vec::new();
        for bucket in lowest..end {
            // Acquire: _value recorded_.
            let count = self.buckets[bucket].load(Acquire);
            if count > 0 {
                buckets.push((bucket as u32, count));
            }
        }
        Distribution::of(buckets, self.sum.load(Relaxed), self.max.load(Relaxed))
    }
}

/// The number of the bucket that holds `value`.
fn bucket_of(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(DOUBLING_BITS + 1);
    ((shift as usize) << DOUBLING_BITS) + (value >> shift) as usize
}

/// Writes a pair for each bucket: its lowest value, and how many values it holds.
#[cfg(feature = "serde")]
fn lowest_and_count<S: serde::Serializer>(buckets: &[(u32, u64)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(buckets.iter().map(|&(bucket, count)| (lowest_of(bucket as usize), count)))
}

/// Writes a distribution of nanoseconds: its values are texts.
#[cfg(feature = "serde")]
pub(super) fn nanoseconds<S: serde::Serializer>(all: &Distribution, to: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeStruct as _;
    let Distribution { count, sum, p50, p90, p95, p99, p999, max, .. } = all;
    let values = [("sum", sum), ("p50", p50), ("p90", p90), ("p95", p95), ("p99", p99), ("p999", p999), ("max", max)];
    let mut written = to.serialize_struct("Distribution", values.len() + 2)?;
    written.serialize_field("count", count)?;
    for (name, value) in values {
        written.serialize_field(name, &value.to_string())?;
    }
    let buckets: Vec<_> = all.buckets().map(|(lowest, count)| (lowest.to_string(), count)).collect();
    written.serialize_field("buckets", &buckets)?;
    written.end()
}

/// The lowest value of a bucket.
fn lowest_of(bucket: usize) -> u64 {
    let shift = (bucket >> DOUBLING_BITS).saturating_sub(1);
    ((bucket - (shift << DOUBLING_BITS)) as u64) << shift
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const HOUR_NS: u64 = 3_600_000_000_000;

    #[test]
    fn buckets_follow_one_another_and_each_value_is_less_than_a_percent_above_its_lowest() {
        let mut values: Vec<u64> = (0..5000).collect();
        values.extend((13..64).flat_map(|bits| [-1, 0, 1].map(|by| (1_u64 << bits).wrapping_add_signed(by))));
        values.push(u64::MAX);
        for pair in values.windows(2) {
            assert!(bucket_of(pair[0]) <= bucket_of(pair[1]), "{pair:?}");
        }
        for value in values {
            let lowest = lowest_of(bucket_of(value));
            assert!(lowest <= value && value - lowest <= value / 100, "{lowest} for {value}");
            assert_eq!(bucket_of(lowest), bucket_of(value));
        }
        let last = bucket_of(u64::MAX);
        assert!((0..=last).all(|bucket| bucket_of(lowest_of(bucket)) == bucket));
    }

    #[test]
    fn a_value_beyond_the_last_bucket_counts_there_and_is_the_largest() {
        let recorded = Recorded::new(1 << 20);
        recorded.record(u64::MAX);
        let all = recorded.read();
        assert_eq!((all.count, all.p50, all.max), (1, 1 << 20, u64::MAX));
    }

    #[test]
    fn what_occurs_is_at_the_lower_edge_of_a_bucket_if_it_is_a_block() {
        let blocks = Recorded::new(16 << 20);
        (0..10).for_each(|_| blocks.record(4096));
        let all = blocks.read();
        assert_eq!((all.count, all.sum, all.p50, all.p99, all.p999, all.max), (10, 40_960, 4096, 4096, 4096, 4096));
    }

    fn of(values: &[u64]) -> Distribution {
        let recorded = Recorded::new(HOUR_NS);
        values.iter().for_each(|&value| recorded.record(value));
        recorded.read()
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values_less_one_percent_at_most(
            mut values in vec(0..HOUR_NS, 1..200), q in 0.0..=1.0_f64,
        ) {
            let all = of(&values);
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1];
            let quantile = all.quantile(q);
            prop_assert!(quantile <= exact && exact - quantile <= exact / 100, "{quantile} for {exact}");
            prop_assert_eq!((all.max, all.sum), (values[values.len() - 1], values.iter().sum::<u64>()));
            prop_assert!(all.p50 <= all.p90 && all.p90 <= all.p95 && all.p95 <= all.p99 && all.p999 <= all.max);
        }

        #[test]
        fn a_sum_is_the_distribution_of_all_values_and_a_difference_that_of_the_later_ones(
            first in vec(0..HOUR_NS, 0..50), second in vec(0..HOUR_NS, 0..50),
        ) {
            let all = of(&[first.clone(), second.clone()].concat());
            let (first, second) = (of(&first), of(&second));
            let mut sum = first.clone();
            sum.add(&second);
            prop_assert_eq!(&sum, &all);
            let difference = all.since(&first);
            prop_assert_eq!((&difference.buckets, difference.sum), (&second.buckets, second.sum));
            prop_assert!(difference.max <= second.max && second.max - difference.max <= second.max / 100);
        }
    }
}
