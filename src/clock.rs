//! Ticks of a CPU counter, and their conversion to time.
//!
//! A producer stamps its records with raw ticks: the CPU's counter if that is steady, `CLOCK_MONOTONIC` otherwise. The
//! writer converts them to monotonic nanoseconds with a [`TickConverter`], whose anchors it re-reads at least once a
//! second. Even if the counter jumps (a virtual machine migrates, a CPU is faulty), [`clamp`] keeps the times of a
//! producer from going back and from being in the future. Wall time is read for display only.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::sys::time as sys;

/// The time between the two anchors of the first calibration. A reading is off by some 20 ns, so the rate by 20 parts
/// in a million: less than 1 µs until the next anchor, see [`REFRESH_FIRST_NS`].
const CALIBRATION: Duration = Duration::from_millis(1);

/// The interval to the second anchor of a converter. Each later interval is eight times the one before, up to the
/// maximum.
const REFRESH_FIRST_NS: u64 = 10_000_000;
const REFRESH_MAX_NS: u64 = 1_000_000_000;

/// How many readings an anchor takes, so that at least one is not interrupted.
const ANCHOR_READINGS: usize = 8;

/// Two slopes that differ by less than one part in this many count as equal. Crystals are a thousand times better; a
/// counter that jumped, or that is another machine's after a migration, is further off.
const SLOPE_TOLERANCE: u64 = 128;

/// Slopes are nanoseconds per tick, times 2^32. Allowed are 2^-22 ns (more than a terahertz) to 2^31 ns (half a hertz).
const SLOPE_SHIFT: u32 = 32;

/// The source of ticks. Chosen at open, the same for all producers of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(TickSource);

#[derive(Clone, Copy, Debug)]
enum TickSource {
    Counter,
    Monotonic,
    #[cfg(any(test, feature = "unstable"))]
    Manual(&'static ManualClock),
}

impl Clock {
    /// The counter if the CPU and the kernel declare it steady, else the monotonic clock.
    pub(crate) fn detect() -> Clock {
        Clock(if sys::counter_is_steady() { TickSource::Counter } else { TickSource::Monotonic })
    }

    /// The monotonic clock: ticks are nanoseconds.
    #[cfg(test)]
    pub(crate) fn monotonic() -> Clock {
        Clock(TickSource::Monotonic)
    }

    /// A clock that a test moves.
    #[cfg(any(test, feature = "unstable"))]
    pub(crate) fn manual(clock: &'static ManualClock) -> Clock {
        Clock(TickSource::Manual(clock))
    }

    /// The ticks now.
    #[inline(always)]
    pub(crate) fn ticks(self) -> u64 {
        if matches!(self.0, TickSource::Counter) { sys::counter() } else { self.slower_ticks() }
    }

    /// Whether [`ticks`](Self::ticks) reads the [`counter`](Self::counter).
    pub(crate) fn is_counter(self) -> bool {
        matches!(self.0, TickSource::Counter)
    }

    /// The CPU's counter. The caller knows that [it is the source](Self::is_counter).
    #[inline(always)]
    pub(crate) fn counter() -> u64 {
        sys::counter()
    }

    /// Reads the other sources, out of line.
    #[cold]
    #[inline(never)]
    fn slower_ticks(self) -> u64 {
        match self.0 {
            TickSource::Counter => sys::counter(),
            TickSource::Monotonic => sys::monotonic_ns(),
            #[cfg(any(test, feature = "unstable"))]
            TickSource::Manual(clock) => clock.ticks.load(std::sync::atomic::Ordering::Relaxed),
        }
    }

    /// `CLOCK_MONOTONIC`, nanoseconds.
    #[inline]
    pub(crate) fn monotonic_ns(self) -> u64 {
        match self.0 {
            TickSource::Counter | TickSource::Monotonic => sys::monotonic_ns(),
            #[cfg(any(test, feature = "unstable"))]
            TickSource::Manual(clock) => clock.monotonic_ns.load(std::sync::atomic::Ordering::Relaxed),
        }
    }

    /// The ticks and the monotonic time of one moment.
    pub(crate) fn anchor(self) -> ClockAnchor {
        ClockAnchor::read(self)
    }

    /// Wall time, nanoseconds since 1970.
    pub(crate) fn unix_ns(self) -> i64 {
        match self.0 {
            TickSource::Counter | TickSource::Monotonic => sys::unix_ns(),
            #[cfg(any(test, feature = "unstable"))]
            TickSource::Manual(clock) => clock.unix_ns.load(std::sync::atomic::Ordering::Relaxed),
        }
    }

    /// The name of the source, for a bench's report.
    #[cfg(any(test, feature = "unstable"))]
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            TickSource::Counter => "cpu counter",
            TickSource::Monotonic => "monotonic clock",
            #[cfg(any(test, feature = "unstable"))]
            TickSource::Manual(_) => "manual clock",
        }
    }
}

/// A clock that stands still until a test moves it: counter, monotonic clock and wall clock separately.
#[cfg(any(test, feature = "unstable"))]
#[derive(Debug, Default)]
#[cfg_attr(not(feature = "unstable"), expect(unreachable_pub, reason = "public with the feature alone"))]
pub struct ManualClock {
    /// The counter.
    pub ticks: std::sync::atomic::AtomicU64,
    /// The monotonic clock, nanoseconds. A test must not set it back.
    pub monotonic_ns: std::sync::atomic::AtomicU64,
    /// Wall time, nanoseconds since 1970.
    pub unix_ns: std::sync::atomic::AtomicI64,
}

/// The counter and the monotonic clock at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockAnchor {
    pub(crate) ticks: u64,
    /// Monotonic time, in nanoseconds.
    pub(crate) ns: u64,
}

impl ClockAnchor {
    /// The most exact of several readings, each of the counter between two of the monotonic clock.
    fn read(clock: Clock) -> ClockAnchor {
        let mut best = ClockAnchor { ticks: 0, ns: 0 };
        let mut best_width = u64::MAX;
        for _ in 0..ANCHOR_READINGS {
            let before = clock.monotonic_ns();
            let ticks = clock.ticks();
            let width = clock.monotonic_ns().saturating_sub(before);
            if width < best_width {
                best_width = width;
                best = ClockAnchor { ticks, ns: before.saturating_add(width / 2) };
            }
        }
        best
    }

    /// Nanoseconds per tick since `earlier`, times 2^32. `None` if the counter stood still or went back, or if the
    /// result is out of range.
    fn slope_since(self, earlier: ClockAnchor) -> Option<u64> {
        let ticks = self.ticks.wrapping_sub(earlier.ticks) as i64;
        let ns = self.ns.saturating_sub(earlier.ns);
        if ticks <= 0 || ns == 0 {
            return None;
        }
        let slope = (u128::from(ns) << SLOPE_SHIFT) / ticks as u128;
        u64::try_from(slope).ok().filter(|slope| (1 << 10..1 << 63).contains(slope))
    }
}

/// Whether two slopes may be those of the same counter.
fn agree(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= a.min(b) / SLOPE_TOLERANCE
}

/// Converts ticks to monotonic nanoseconds. Only the writer has one.
#[derive(Debug)]
pub(crate) struct TickConverter {
    clock: Clock,
    /// The latest anchor.
    anchor: ClockAnchor,
    /// Nanoseconds per tick, times 2^32. 0 while no rate is known.
    slope: u64,
    /// How many ticks before and after the anchor [`TickConverter::to_ns`] converts with 64 bits: those of two seconds.
    near_ticks: u64,
    /// The slope of the last interval if it did not agree with `slope`. If the next one agrees with it, the counter's
    /// rate has changed.
    doubtful_slope: Option<u64>,
    /// When the next anchor is due, and the interval up to then.
    due_ns: u64,
    interval_ns: u64,
}

impl TickConverter {
    /// A converter for `clock`. The first one in a process takes a millisecond to measure the counter's rate.
    pub(crate) fn new(clock: Clock) -> TickConverter {
        // 0 if it is not known. Without a lock: a forked child would wait for a thread of its parent that measures it.
        static COUNTER_SLOPE: AtomicU64 = AtomicU64::new(0);
        let slope = match (clock.0, COUNTER_SLOPE.load(Relaxed)) {
            (TickSource::Counter, 0) => {
                let first = ClockAnchor::read(clock);
                std::thread::sleep(CALIBRATION);
                // Without a valid slope every time is that of the anchor, until the next one is read.
                let slope = ClockAnchor::read(clock).slope_since(first).unwrap_or(0);
                COUNTER_SLOPE.store(slope, Relaxed);
                slope
            }
            (TickSource::Counter, known) => known,
            _ => 1 << SLOPE_SHIFT,
        };
        TickConverter::starting(clock, slope)
    }

    /// A converter for the ticks of a process that has ended during this boot. `counts`: the ticks are those of the
    /// counter. `anchor` is the process's last one, if it is known; it is better for its records than a new one.
    pub(crate) fn of_this_boot(counts: bool, anchor: Option<(u64, u64)>) -> TickConverter {
        let mut converter = TickConverter::new(Clock(if counts { TickSource::Counter } else { TickSource::Monotonic }));
        if let Some((ticks, ns)) = anchor {
            (converter.anchor.ticks, converter.anchor.ns) = (ticks, ns);
            converter.near_ticks = near_ticks(converter.anchor, converter.slope);
        }
        converter
    }

    fn starting(clock: Clock, slope: u64) -> TickConverter {
        let anchor = ClockAnchor::read(clock);
        let due_ns = anchor.ns.saturating_add(REFRESH_FIRST_NS);
        let near_ticks = near_ticks(anchor, slope);
        TickConverter { clock, anchor, slope, near_ticks, doubtful_slope: None, due_ns, interval_ns: REFRESH_FIRST_NS }
    }

    /// Reads a new anchor if one is due: once a second, if called that often. Returns the monotonic time.
    #[inline]
    pub(crate) fn refresh_if_due(&mut self) -> u64 {
        let now_ns = self.clock.monotonic_ns();
        if now_ns >= self.due_ns {
            self.refresh();
        }
        now_ns
    }

    /// The latest anchor.
    #[inline]
    pub(crate) fn anchor(&self) -> ClockAnchor {
        self.anchor
    }

    #[cold]
    fn refresh(&mut self) {
        let anchor = ClockAnchor::read(self.clock);
        if let Some(slope) = anchor.slope_since(self.anchor) {
            if self.slope == 0 || agree(slope, self.slope) || self.doubtful_slope.is_some_and(|last| agree(slope, last))
            {
                self.slope = slope;
                self.doubtful_slope = None;
            } else {
                // After one odd interval, assume that the counter has jumped and continues at its old rate.
                self.doubtful_slope = Some(slope);
            }
        }
        self.anchor = anchor;
        self.near_ticks = near_ticks(anchor, self.slope);
        self.interval_ns = (self.interval_ns * 8).min(REFRESH_MAX_NS);
        self.due_ns = anchor.ns.saturating_add(self.interval_ns);
    }

    /// The monotonic time of `ticks`, before or after the anchor. Must be [clamped](clamp).
    #[inline(always)]
    pub(crate) fn to_ns(&self, ticks: u64) -> u64 {
        let since = ticks.wrapping_sub(self.anchor.ticks);
        if since.wrapping_add(self.near_ticks) > 2 * self.near_ticks {
            return self.to_ns_far(since as i64);
        }
        // An arithmetic shift rounds down on both sides of the anchor.
        let ns = (since as i64).wrapping_mul(self.slope as i64) >> SLOPE_SHIFT;
        self.anchor.ns.wrapping_add_signed(ns)
    }

    /// [`to_ns`](Self::to_ns) for any number of ticks since the anchor.
    #[cold]
    #[inline(never)]
    fn to_ns_far(&self, since: i64) -> u64 {
        // 63 bits times 64 bits fit.
        let ns = (i128::from(since) * i128::from(self.slope)) >> SLOPE_SHIFT;
        (i128::from(self.anchor.ns) + ns).clamp(0, i128::from(u64::MAX)) as u64
    }
}

/// The distance from `anchor`, in ticks, up to which the product with `slope` fits 63 bits and the time, up to 2^31 ns
/// from that of the anchor, is in range.
fn near_ticks(anchor: ClockAnchor, slope: u64) -> u64 {
    let comfortable = 1 << 31..u64::MAX - (1 << 31);
    if slope > 0 && comfortable.contains(&anchor.ns) { (i64::MAX as u64) / slope } else { 0 }
}

/// The time to store: `ns`, but not after `now_ns`, the monotonic clock read after the ring was observed, and not
/// before `last_ns`, the producer's last time (which was clamped to an earlier `now_ns`).
#[inline]
pub(crate) fn clamp(ns: u64, last_ns: u64, now_ns: u64) -> u64 {
    ns.min(now_ns).max(last_ns)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conversion_near_the_anchor_agrees_with_conversion_far_from_it() {
        for slope in [1 << 20, 0x6F4D_E9BD, 1 << 32, 41 << 32] {
            for ns in [0, 7, 1 << 31, 1 << 40, u64::MAX - (1 << 33), u64::MAX] {
                let anchor = ClockAnchor { ticks: 1 << 50, ns };
                let mut converter = TickConverter::starting(Clock::monotonic(), slope);
                converter.anchor = anchor;
                converter.near_ticks = near_ticks(anchor, slope);
                let near = converter.near_ticks as i64;
                for since in [-near - 1, -near, -1, 0, 1, near / 3, near, near + 1, 1 << 40, -(1 << 40)] {
                    let ticks = anchor.ticks.wrapping_add_signed(since);
                    assert_eq!(converter.to_ns(ticks), converter.to_ns_far(since), "{slope} {ns} {since}");
                }
            }
        }
    }

    /// A clock for one test. It lives as long as the process, as a real one does.
    fn manual(ticks: u64, monotonic_ns: u64) -> (&'static ManualClock, Clock) {
        let clock: &ManualClock = Box::leak(Box::default());
        clock.ticks.store(ticks, Relaxed);
        clock.monotonic_ns.store(monotonic_ns, Relaxed);
        (clock, Clock::manual(clock))
    }

    impl ManualClock {
        fn advance(&self, ns: u64, ticks: u64) {
            self.monotonic_ns.fetch_add(ns, Relaxed);
            self.ticks.fetch_add(ticks, Relaxed);
        }

        fn now(&self) -> u64 {
            self.monotonic_ns.load(Relaxed)
        }
    }

    /// A counter's behaviour while some time passes.
    #[derive(Clone, Copy, Debug)]
    enum Counter {
        Steady,
        Stuck,
        /// In addition to running.
        Jump(i64),
        /// To any value.
        Set(u64),
        /// Ticks per 1024 ns, from now on.
        Rate(u64),
    }

    /// Time that passes, the counter's behaviour meanwhile, and whether the writer has a turn at the end.
    fn steps() -> impl Strategy<Value = Vec<(u64, Counter, bool)>> {
        let time = prop_oneof![0..1000_u64, 0..2_000_000_000_u64];
        let counter = prop_oneof![
            10 => Just(Counter::Steady),
            1 => Just(Counter::Stuck),
            1 => any::<i64>().prop_map(Counter::Jump),
            1 => (-10_000_000_000..10_000_000_000_i64).prop_map(Counter::Jump),
            1 => any::<u64>().prop_map(Counter::Set),
            1 => (1..10_000_u64).prop_map(Counter::Rate),
        ];
        prop::collection::vec((time, counter, any::<bool>()), 1..60)
    }

    proptest! {
        #[test]
        fn times_neither_go_back_nor_are_in_the_future_whatever_the_counter_does(
            (start, monotonic_ns) in (any::<u64>(), 0..u64::MAX / 2),
            steps in steps(),
        ) {
            let (manual, clock) = manual(start, monotonic_ns);
            let mut converter = TickConverter::starting(clock, 1 << SLOPE_SHIFT);
            let (mut rate, mut last_ns, mut stamps) = (1024, 0, Vec::new());
            for (ns, counter, stamp) in steps {
                let ticks = (u128::from(ns) * u128::from(rate) / 1024) as u64;
                match counter {
                    Counter::Steady => manual.advance(ns, ticks),
                    Counter::Stuck => manual.advance(ns, 0),
                    Counter::Jump(by) => manual.advance(ns, ticks.wrapping_add_signed(by)),
                    Counter::Set(to) => {
                        manual.advance(ns, 0);
                        manual.ticks.store(to, Relaxed);
                    }
                    Counter::Rate(to) => {
                        manual.advance(ns, ticks);
                        rate = to;
                    }
                }
                stamps.push(clock.ticks());
                if stamp {
                    // The writer's turn: all ticks stamped so far, in order.
                    let now_ns = converter.refresh_if_due();
                    prop_assert_eq!(now_ns, manual.now());
                    for ticks in stamps.drain(..) {
                        let ns = clamp(converter.to_ns(ticks), last_ns, now_ns);
                        prop_assert!(ns >= last_ns, "{} after {}", ns, last_ns);
                        prop_assert!(ns <= now_ns, "{} at {}", ns, now_ns);
                        last_ns = ns;
                    }
                }
            }
        }

        #[test]
        fn a_steady_counter_gives_the_time_to_the_microsecond_whatever_its_rate(
            // From 1 MHz to 10 GHz, with any value.
            (khz, start, monotonic_ns) in (1_000..10_000_000_u64, any::<u64>(), 0..u64::MAX / 2),
            turns in prop::collection::vec((1..1_500_000_000_u64, 0..1_000_000_u64), 1..40),
        ) {
            let (manual, clock) = manual(start, monotonic_ns);
            // As after the first calibration: off by 40 parts in a million.
            let slope = ((1_000_000_u128 << SLOPE_SHIFT) / u128::from(khz)) as u64;
            let mut converter = TickConverter::starting(clock, slope - slope / 25_000);
            let mut passed = 0_u64;
            for (ns, ago) in turns {
                let refreshed = passed;
                passed += ns;
                let ticks_at = |passed: u64| start.wrapping_add((u128::from(passed) * u128::from(khz) / 1_000_000) as u64);
                manual.ticks.store(ticks_at(passed), Relaxed);
                manual.monotonic_ns.store(monotonic_ns + passed, Relaxed);
                converter.refresh_if_due();
                // A record stamped a little earlier, even before the last anchor.
                let stamped = passed.saturating_sub(ago).max(refreshed.min(passed));
                let error = converter.to_ns(ticks_at(stamped)).abs_diff(monotonic_ns + stamped);
                // Before the first refresh the error is that of the calibration; later one tick, and rounding.
                let tolerance = 1_000 + 2_000_000 / khz;
                prop_assert!(error <= tolerance, "{} ns wrong, {} passed, {} ns ago", error, passed, passed - stamped);
            }
        }
    }

    #[test]
    fn one_jump_does_not_change_the_rate_and_a_new_rate_is_adopted_the_second_time() {
        let (manual, clock) = manual(1 << 40, 1 << 40);
        let mut converter = TickConverter::starting(clock, 1 << SLOPE_SHIFT);
        let mut second = |ticks: u64| {
            manual.advance(REFRESH_MAX_NS, ticks);
            converter.refresh_if_due();
            converter.slope
        };
        let at = |per_tick: u64| per_tick << SLOPE_SHIFT;
        assert_eq!(second(1_000_000_000), at(1));
        assert_eq!(second(3_600_000_000_000), at(1), "an hour's jump");
        assert_eq!(second(1_000_000_000), at(1));
        assert_eq!(second(0), at(1), "stuck");
        assert_eq!(second(1 << 63), at(1), "backwards");
        assert_eq!(second(500_000_000), at(1), "half the rate, once");
        assert_eq!(second(500_000_000), at(2), "and again");
    }

    #[test]
    fn a_counter_without_a_known_rate_gives_the_anchors_time() {
        let (manual, clock) = manual(77, 5_000);
        let mut converter = TickConverter::starting(clock, 0);
        assert_eq!(converter.to_ns(77 + 1_000), 5_000);
        manual.advance(REFRESH_MAX_NS, 2_000_000_000);
        converter.refresh_if_due();
        let now = manual.now();
        assert_eq!(converter.to_ns(clock.ticks()), now);
        assert_eq!(converter.to_ns(clock.ticks() - 1_000), now - 500);
    }

    #[test]
    fn the_detected_clock_agrees_with_the_monotonic_one() {
        let clock = Clock::detect();
        let converter = TickConverter::new(clock);
        for _ in 0..100 {
            let before = clock.monotonic_ns();
            let ticks = clock.ticks();
            let after = clock.monotonic_ns();
            // If the thread is descheduled between two lines, the bracket is wider by that time.
            let ns = clamp(converter.to_ns(ticks), 0, after);
            let slack = 100_000 + (after - converter.anchor.ns) / 1_000;
            assert!(before.saturating_sub(slack) <= ns, "{ns} is not between {before} and {after} ({})", clock.name());
        }
    }
}
