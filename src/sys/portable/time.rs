//! The standard library's clocks. There is no counter here. Called by `clock`.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock: there is no portable counter that could be trusted.
#[inline]
pub(crate) fn counter() -> u64 {
    monotonic_ns()
}

/// The counter, read after all instructions before it have executed: for timing code, not for stamping records.
#[cfg(feature = "unstable")]
#[inline]
pub(crate) fn counter_in_order() -> u64 {
    counter()
}

/// Whether [`counter`] is faster than the monotonic clock and as steady: never here.
pub(crate) fn counter_is_steady() -> bool {
    false
}

/// Monotonic nanoseconds since the first call.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // Not zero, so that a record of the first nanosecond has a time too.
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// Nanoseconds since 1970.
pub(crate) fn unix_ns() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_backwards() {
        let first = monotonic_ns();
        assert!(0 < first && first <= monotonic_ns());
    }
}
