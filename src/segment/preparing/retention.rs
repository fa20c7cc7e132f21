//! Decides which segments are kept, within the limits. No files: [`archive`] lists and removes them.
//!
//! [`archive`]: super::archive

use std::time::Duration;

/// How much of a log is kept. `None` means no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Bytes of all segment files together.
    pub(crate) bytes: Option<u64>,
    /// Number of segments.
    pub(crate) segments: Option<u64>,
    /// Time since the last write to a segment.
    pub(crate) age: Option<Duration>,
}

impl Limits {
    /// Whether everything is kept.
    pub(crate) fn keeps_all(&self) -> bool {
        self.bytes.is_none() && self.segments.is_none() && self.age.is_none()
    }
}

/// A segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldSegment {
    pub(super) number: u64,
    /// Its size.
    pub(super) bytes: u64,
    /// Time since the last write to it.
    pub(super) age: Duration,
}

/// How many of `held`, the log's segments in order, must be removed so that the limits hold with `incoming_bytes` more.
/// The oldest are removed first: a gap in a log would mean that something was lost.
///
/// `newest` is the last segment with a block that is known durable. It is always kept, and so are those after it, which
/// are being written or prepared. These count for the limit of bytes, but not for the number of segments.
///
/// # Panics
/// If `held` is not in the order of the numbers.
pub(super) fn surplus(limits: &Limits, held: &[HeldSegment], newest: u64, incoming_bytes: u64) -> usize {
    assert!(held.is_sorted_by(|one, next| one.number < next.number), "segments out of order");
    let mut bytes = held.iter().fold(incoming_bytes, |sum, segment| sum.saturating_add(segment.bytes));
    let mut segments = held.iter().filter(|segment| segment.number <= newest).count() as u64;
    let exceeds = |segment: &&HeldSegment| {
        let too_many = limits.segments.is_some_and(|limit| segments > limit);
        let too_large = limits.bytes.is_some_and(|limit| bytes > limit);
        let too_old = limits.age.is_some_and(|limit| segment.age > limit);
        bytes = bytes.saturating_sub(segment.bytes);
        segments -= 1;
        too_many || too_large || too_old
    };
    held.iter().take_while(|segment| segment.number < newest).take_while(exceeds).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Limits = Limits { bytes: None, segments: None, age: None };

    /// Segments 3, 4, 5 … of ten bytes, with these ages in seconds.
    fn held(ages: &[u64]) -> Vec<HeldSegment> {
        let segment =
            |(at, age): (usize, &u64)| HeldSegment { number: at as u64 + 3, bytes: 10, age: Duration::from_secs(*age) };
        ages.iter().enumerate().map(segment).collect()
    }

    #[test]
    fn the_oldest_segments_go_until_every_limit_holds() {
        let bytes = |limit| Limits { bytes: Some(limit), ..NONE };
        let segments = |limit| Limits { segments: Some(limit), ..NONE };
        let age = |limit| Limits { age: Some(Duration::from_secs(limit)), ..NONE };
        let all = Limits { bytes: Some(40), segments: Some(3), age: Some(Duration::from_secs(15)) };
        /// Limits, ages from the oldest segment on, the newest segment's number, bytes to come; how many go, and why.
        type Case = (Limits, &'static [u64], u64, u64, usize, &'static str);
        let cases: [Case; 26] = [
            (NONE, &[50, 40, 30, 20, 10], 7, u64::MAX, 0, "without limits nothing goes"),
            (bytes(50), &[5, 4, 3, 2, 1], 7, 0, 0, "exactly the limit is allowed"),
            (bytes(49), &[5, 4, 3, 2, 1], 7, 0, 1, "a byte more is not"),
            (bytes(20), &[5, 4, 3, 2, 1], 7, 0, 3, "as many as it takes"),
            (bytes(50), &[5, 4, 3, 2, 1], 7, 1, 1, "what is to come counts"),
            (bytes(50), &[5, 4, 3, 2, 1], 7, 30, 3, "all of it"),
            (bytes(1), &[5, 4, 3, 2, 1], 7, 0, 4, "the newest stays"),
            (bytes(1), &[5, 4, 3, 2, 1], 6, 0, 3, "with the one that is written after it"),
            (bytes(1), &[5, 4, 3, 2, 1], 5, u64::MAX, 2, "and the one that is prepared"),
            (bytes(0), &[5], 3, 0, 0, "also if it is alone"),
            (bytes(0), &[], 0, 10, 0, "an empty log has nothing to give"),
            (bytes(0), &[5, 4], 0, 10, 0, "before anything is durable nothing goes"),
            (segments(5), &[5, 4, 3, 2, 1], 7, 0, 0, "exactly the limit is allowed"),
            (segments(4), &[5, 4, 3, 2, 1], 7, 0, 1, "one more is not"),
            (segments(1), &[5, 4, 3, 2, 1], 7, 0, 4, "the newest counts"),
            (segments(1), &[5, 4, 3, 2, 1], 6, 0, 3, "what is being written after it does not count"),
            (segments(3), &[5, 4, 3, 2, 1], 5, 0, 0, "nor what is prepared"),
            (segments(u64::MAX), &[5, 4, 3, 2, 1], 7, 0, 0, "a large number keeps all"),
            (age(30), &[50, 40, 30, 20, 10], 7, 0, 2, "exactly the limit is allowed"),
            (age(29), &[50, 40, 30, 20, 10], 7, 0, 3, "a second more is not"),
            (age(0), &[50, 40, 30, 20, 10], 7, 0, 4, "the newest stays, however old"),
            (age(30), &[10, 50, 50, 50, 50], 7, 0, 0, "none goes before those older than it"),
            (age(30), &[50, 10, 50, 50, 50], 7, 0, 1, "also if the first may go"),
            (all, &[10, 9, 8, 7, 6], 7, 0, 2, "of several limits the strictest rules: segments"),
            (all, &[10, 9, 8, 7, 6], 7, 20, 3, "of several limits the strictest rules: bytes"),
            (all, &[90, 80, 70, 60, 6], 7, 0, 4, "of several limits the strictest rules: age"),
        ];
        for (limits, ages, newest, incoming, expected, claim) in cases {
            let held = held(ages);
            assert_eq!(surplus(&limits, &held, newest, incoming), expected, "{claim}: {limits:?} of {held:?}");
        }
    }

    #[test]
    fn impossible_sizes_do_no_harm() {
        let huge = [3, 4, 5].map(|number| HeldSegment { number, bytes: u64::MAX, age: Duration::MAX });
        assert_eq!(surplus(&Limits { bytes: Some(u64::MAX), ..NONE }, &huge, 5, u64::MAX), 0);
        assert_eq!(surplus(&Limits { age: Some(Duration::MAX), ..NONE }, &huge, 5, 0), 0);
    }
}
