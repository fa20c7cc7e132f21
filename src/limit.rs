//! How many records a callsite may log in a period: those beyond are hidden, and counted.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The limit of one callsite, and how much of it is used. A macro makes it for `limit: 10/s`; it holds for the process,
/// whatever logs the callsite writes to.
///
/// The first record after a period begins the next one. Nobody waits: each step is one exchange of a word.
#[derive(Debug)]
pub struct Limit {
    records: u32,
    period_ms: u64,
    /// The beginning of the period in milliseconds, in the high 40 bits (34 years), and its records.
    used: AtomicU64,
    /// Records hidden since the last one that reported them.
    hidden: AtomicU64,
}

const COUNT_BITS: u32 = 24;

/// The most records of a period.
const RECORDS_MAX: u32 = (1 << COUNT_BITS) - 1;

impl Limit {
    /// At most `records` records in a `unit`.
    ///
    /// # Panics
    /// At compile time, if the number is 0 or does not fit 24 bits, or the unit is none of `s`, `min` and `h`.
    pub const fn new(records: u32, unit: &str) -> Limit {
        assert!(records > 0, "limit: a limit of 0 would hide every record: use at least 1");
        assert!(records <= RECORDS_MAX, "limit: use at most 16777215 records");
        let period_ms = match unit.as_bytes() {
            b"s" => 1_000,
            b"min" => 60_000,
            b"h" => 3_600_000,
            _ => panic!("limit: the unit is `s`, `min` or `h`, as in `limit: 10/s`"),
        };
        Limit { records, period_ms, used: AtomicU64::new(0), hidden: AtomicU64::new(0) }
    }

    /// Takes one of the limit's places for a record at `now_ns`, by a monotonic clock. If there is none, counts the
    /// record as hidden and returns `false`.
    #[inline]
    pub(crate) fn try_take(&self, now_ns: u64) -> bool {
        let now = now_ns / 1_000_000;
        let mut used = self.used.load(Relaxed);
        loop {
            let (begin, records) = (used >> COUNT_BITS, used as u32 & RECORDS_MAX);
            // `now` may be before the beginning: by a moment, if the thread was stopped since it read the clock, or by
            // more, if another log's clock is behind this one's.
            let is_over = used == 0 || now.abs_diff(begin) >= self.period_ms;
            let next = if is_over {
                now << COUNT_BITS | 1
            } else if records < self.records {
                used + 1
            } else {
                self.hidden.fetch_add(1, Relaxed);
                return false;
            };
            match self.used.compare_exchange_weak(used, next, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => used = now,
            }
        }
    }

    /// Takes the number of records that were hidden and not reported yet.
    #[inline]
    pub(crate) fn take_hidden(&self) -> u64 {
        // A load first: the line stays shared as long as nothing is hidden.
        if self.hidden.load(Relaxed) == 0 { 0 } else { self.hidden.swap(0, Relaxed) }
    }

    /// Gives back what was [taken](Self::take_hidden) and could not be reported.
    pub(crate) fn give_back(&self, hidden: u64) {
        self.hidden.fetch_add(hidden, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_period_admits_so_many_and_hides_the_rest() {
        let limit = Limit::new(3, "s");
        let admitted = |at| (0..10).filter(|_| limit.try_take(at)).count();
        assert_eq!(admitted(100 * SECOND), 3);
        assert_eq!(admitted(101 * SECOND - 1), 0);
        assert_eq!(limit.take_hidden(), 17);
        assert_eq!(limit.take_hidden(), 0);
        assert_eq!(admitted(101 * SECOND), 3, "the next period");
        assert_eq!(admitted(90 * SECOND), 3, "another log's clock, which is behind");
        assert_eq!(
            (admitted(91 * SECOND), admitted(91 * SECOND - 1)),
            (3, 0),
            "a clock that was read before the period"
        );
        limit.give_back(2);
        assert_eq!(limit.take_hidden(), 33);
        let limit = Limit::new(1, "h");
        assert!(
            limit.try_take(3599 * SECOND) && !limit.try_take(3600 * SECOND),
            "a period begins with its first record"
        );
        let limit = Limit::new(RECORDS_MAX, "min");
        assert!((0..100).all(|at| limit.try_take(at * SECOND)), "60 of them fill no period");
    }

    #[test]
    fn a_limit_that_is_used_by_several_threads_is_exact() {
        let limit = Limit::new(1000, "h");
        let admitted: usize = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| (0..1000).filter(|at| limit.try_take(*at)).count()));
            threads.map(|thread| thread.join().expect("no panic")).into_iter().sum()
        });
        assert_eq!((admitted, limit.take_hidden()), (1000, 3000));
    }
}
