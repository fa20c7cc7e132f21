//! Appends that were refused, by cause.

use crate::format::counts_by_cause;

counts_by_cause! {
    /// Appends that were refused without a sequence number, by cause.
    pub struct RefusedBy {
        /// [`Outcome::Closed`](crate::Outcome::Closed).
        pub closed: u64,
        /// [`Outcome::Forked`](crate::Outcome::Forked): counted only in the forked child.
        pub forked: u64,
        /// [`Outcome::Reentrant`](crate::Outcome::Reentrant).
        pub reentrant: u64,
        /// [`Outcome::NoRing`](crate::Outcome::NoRing).
        pub no_ring: u64,
    }
}

impl RefusedBy {
    /// The causes in a word or two, in the order of the fields.
    const WORDS: [&str; Self::NAMES.len()] = ["closed", "forked", "re-entrant", "no ring"];

    /// Those that were counted after `earlier` ones of the same log.
    pub(crate) fn since(self, earlier: RefusedBy) -> RefusedBy {
        self.with(earlier, u64::saturating_sub)
    }

    /// The causes that occurred, in a word or two, each with its count.
    pub(crate) fn causes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::WORDS.into_iter().zip(self.counts()).filter(|(_, count)| *count > 0)
    }
}
