//! The outcome of one turn of the writer: how soon the next one should come.

use std::time::Duration;

/// What a turn found.
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
            (few, Turn::Idle) => few,
            (Turn::Idle, few) => few,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
