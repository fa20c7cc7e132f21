//! How often a log's figures are read from its producers.
//!
//! A producer counts its attempts in a cache line to which each append stores. After another CPU has read the line, the
//! next append has to fetch it back. Whoever asks for the figures ten thousand times a second would make each append
//! after a pause pay for that.

use std::time::{Duration, Instant};

/// For each such time, one exact look is allowed.
const EACH: Duration = Duration::from_millis(10);

/// How many are allowed in a row.
const IN_A_ROW: u32 = 64;

/// How many exact looks are allowed.
#[derive(Debug, Default)]
pub(crate) struct ExactLooks {
    /// The looks so far would have ended then, with [`EACH`] between them. `None` if there was none.
    paid_until: Option<Instant>,
}

impl ExactLooks {
    /// Takes one, if one is allowed.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let paid_until = self.paid_until.map_or(now, |until| until.max(now));
        let is_allowed = paid_until.duration_since(now) <= EACH * (IN_A_ROW - 1);
        if is_allowed {
            self.paid_until = Some(paid_until + EACH);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_exact_in_a_row_and_then_one_in_ten_milliseconds() {
        let begun = Instant::now();
        let mut looks = ExactLooks::default();
        let mut exact_in = |from: u64, to: u64| {
            (from..to).filter(|&at| looks.take(begun + Duration::from_micros(100) * at as u32)).count()
        };
        // Ten thousand a second. While they are taken, more become due.
        assert_eq!(exact_in(0, 64), 64);
        assert_eq!(exact_in(64, 10_064), 100);
        // After a pause there are as many as at first.
        assert_eq!(exact_in(20_000, 20_064), 64);
    }
}
