//! The outcome of a turn, and the sleep allowance: how long a log's rings may be left alone, given the records that the
//! turn found in them.
//!
//! A sleep that is too long fills a ring; one that is too short costs a wake-up, and takes a cache line from the
//! appending thread.

use std::time::Duration;

/// A sixteenth of a ring, found in one look, counts as heavy load.
const HEAVY_PART_OF_A_RING: usize = 16;

/// The writer sleeps no longer than it takes to fill a 32nd of a ring at the present rate: records may suddenly come 32
/// times as fast.
const SLEEP_PART_OF_A_RING: u64 = 32;

/// The burst of one thread that must not fill its ring while the writer sleeps, in bytes a second: some 1.5 million
/// records of 64 bytes. At this rate a ring of 1 MiB fills in 8 ms, one of 64 KiB in half a millisecond.
const BURST_BYTES_PER_SECOND: u64 = 128 << 20;

/// The outcome of one turn of the writer: how soon the next one should come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There was work, and may be more.
    Worked,
    /// There were a few new records, far fewer than would fill a ring, and nothing else. The rings can be left alone
    /// for this long.
    FoundFew(Duration),
    /// There was nothing to do.
    Idle,
}

impl Turn {
    /// The outcome of this turn and another log's: the next one comes as soon as either wants it.
    pub(crate) fn with(self, other: Turn) -> Turn {
        match (self, other) {
            (Turn::Worked, _) | (_, Turn::Worked) => Turn::Worked,
            (Turn::FoundFew(one), Turn::FoundFew(another)) => Turn::FoundFew(one.min(another)),
            (few, Turn::Idle) | (Turn::Idle, few) => few,
        }
    }
}

/// How long a log's rings may be left alone.
#[derive(Default)]
pub(crate) struct SleepAllowance {
    /// How long the smallest ring may be left alone, whatever was found in it. Set as soon as there is one.
    longest: Duration,
    /// How long the rings may be left alone after this turn: the shortest time that any of them allows.
    allowed: Duration,
    /// Whether this turn found new records in a ring.
    saw_new: bool,
    /// Whether this turn took so much from a ring that it might soon be full.
    took_much: bool,
    /// When this turn began, on the monotonic clock, and how long after the one before.
    turned_ns: u64,
    since_last_turn_ns: u64,
}

impl SleepAllowance {
    /// Notes the capacity of the smallest ring, in bytes.
    pub(crate) fn set_smallest_ring(&mut self, capacity: usize) {
        // No ring has more than 2^30 bytes, so this does not overflow.
        self.longest = Duration::from_nanos(capacity as u64 * 1_000_000_000 / BURST_BYTES_PER_SECOND);
    }

    /// Begins a turn at `now_ns`.
    pub(crate) fn begin_turn(&mut self, now_ns: u64) {
        (self.took_much, self.saw_new) = (false, false);
        self.allowed = self.longest;
        self.since_last_turn_ns = now_ns.saturating_sub(self.turned_ns);
        self.turned_ns = now_ns;
    }

    /// Notes that `new_bytes` have come into a ring of `capacity` bytes since the last turn.
    pub(crate) fn note_new(&mut self, new_bytes: usize, capacity: usize) {
        if new_bytes > 0 {
            self.saw_new = true;
            let new = SLEEP_PART_OF_A_RING * new_bytes as u64;
            let allowed_ns = self.since_last_turn_ns.saturating_mul(capacity as u64) / new;
            self.allowed = self.allowed.min(Duration::from_nanos(allowed_ns));
        }
    }

    /// Notes that records were taken from a ring of `capacity` bytes, in which `due_bytes` were due.
    pub(crate) fn note_taken(&mut self, due_bytes: usize, capacity: usize) {
        self.took_much |= due_bytes >= capacity / HEAVY_PART_OF_A_RING;
    }

    /// The outcome of the turn: whether it did other work, and whether it took any records.
    pub(crate) fn end_turn(&self, worked: bool, took_any: bool) -> Turn {
        match (worked || self.took_much, took_any || self.saw_new) {
            (true, _) => Turn::Worked,
            (false, true) => Turn::FoundFew(self.allowed),
            (false, false) => Turn::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: usize = 64 << 10;

    fn allowance(turned_ns: u64) -> SleepAllowance {
        let mut allowance = SleepAllowance::default();
        allowance.set_smallest_ring(CAPACITY);
        allowance.begin_turn(turned_ns);
        allowance
    }

    #[test]
    fn a_ring_is_left_alone_for_a_part_of_the_time_that_it_takes_to_fill() {
        let mut allowance = allowance(0);
        allowance.begin_turn(1_000);
        assert_eq!(allowance.end_turn(false, false), Turn::Idle);
        for (new_bytes, allowed_ns) in [(64, 32_000), (128, 16_000), (8, 16_000)] {
            allowance.note_new(new_bytes, CAPACITY);
            assert_eq!(allowance.end_turn(false, true), Turn::FoundFew(Duration::from_nanos(allowed_ns)));
        }
    }

    #[test]
    fn no_ring_is_left_alone_for_longer_than_a_burst_takes_to_fill_it() {
        let mut allowance = allowance(0);
        allowance.begin_turn(1_000_000_000);
        allowance.note_new(64, CAPACITY);
        assert_eq!(allowance.end_turn(false, true), Turn::FoundFew(Duration::from_nanos(488_281)));
    }

    #[test]
    fn much_in_a_ring_is_work() {
        let mut allowance = allowance(0);
        allowance.note_taken(CAPACITY / 16 - 1, CAPACITY);
        assert_eq!(allowance.end_turn(false, true), Turn::FoundFew(Duration::from_nanos(488_281)));
        allowance.note_taken(CAPACITY / 16, CAPACITY);
        assert_eq!(allowance.end_turn(false, true), Turn::Worked);
        allowance.begin_turn(1);
        assert_eq!(allowance.end_turn(false, false), Turn::Idle);
    }

    #[test]
    fn the_most_urgent_log_decides_when_the_next_turn_comes() {
        let few = |millis| Turn::FoundFew(Duration::from_millis(millis));
        for (one, another, both) in [
            (Turn::Idle, Turn::Idle, Turn::Idle),
            (Turn::Idle, few(3), few(3)),
            (few(3), few(2), few(2)),
            (few(2), Turn::Worked, Turn::Worked),
            (Turn::Idle, Turn::Worked, Turn::Worked),
        ] {
            assert_eq!((one.with(another), another.with(one)), (both, both));
        }
    }
}
