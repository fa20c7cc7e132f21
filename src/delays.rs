//! Waits between tries: each is twice as long as the one before, up to a longest one.

use std::time::Duration;

/// Waits that double.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Delays {
    /// The wait after one of `delay`; the first one after none.
    pub(crate) fn after(&self, delay: Duration) -> Duration {
        (delay * 2).clamp(self.first, self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let delays = Delays { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
        let mut delay = Duration::ZERO;
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            delay = delays.after(delay);
            assert_eq!(delay, Duration::from_secs(seconds));
        }
    }
}
