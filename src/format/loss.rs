//! Why records are not in the files: the causes, counts by cause, and the payloads of gap and refusals records.
//!
//! The producing side counts losses by these causes, the files hold the counts, and the reader shows them. The sequence
//! numbers alone prove how many records are missing; the causes explain it.

use std::fmt;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::limits::WRITER_PRODUCER;

/// The most gap records in a block. Gap records are for people, and a producer that loses every second record has
/// thousands of gaps. A reader ignores more than this many in a block, because for each hole it searches all of them.
pub(crate) const GAPS_MAX: usize = 64;

/// Why a record is not in the files.
///
/// ```
/// assert_eq!(diolog::LossCause::RingFull.to_string(), "ring full");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[repr(u8)]
pub enum LossCause {
    /// The files do not say why.
    Unknown = 0,
    /// Dropped: the producer's ring had no room.
    RingFull = 1,
    /// Dropped: the rings of the log had taken all the memory that they may take,
    /// [`rings_bytes_max`](crate::Config::rings_bytes_max), or the file system of [shared](crate::RingMemory) rings was
    /// full.
    RingMemory = 2,
    /// Dropped: the producer had waited for room as long as [`Overflow::BlockFor`](crate::Overflow::BlockFor) allows.
    TimedOut = 3,
    /// Dropped: the device had failed while the producer waited for room.
    DeviceFailed = 4,
    /// A newer record took its place before the writer read it.
    Overwritten = 5,
    /// Still in a ring when the deadline of close passed.
    Unwritten = 6,
    /// It was written, and its block is damaged or missing now.
    Damaged = 7,
    /// Its segment was removed while the log was read, before the reader came to it. No file says so: the reader does.
    Removed = 8,
}

impl LossCause {
    /// The cause with number `cause`; [`LossCause::Unknown`] for a number that this version does not know.
    pub(crate) const fn from_u8(cause: u8) -> LossCause {
        match cause {
            1 => LossCause::RingFull,
            2 => LossCause::RingMemory,
            3 => LossCause::TimedOut,
            4 => LossCause::DeviceFailed,
            5 => LossCause::Overwritten,
            6 => LossCause::Unwritten,
            7 => LossCause::Damaged,
            _ => LossCause::Unknown,
        }
    }

    /// The cause in a few words, for a sentence about it.
    const fn words(self) -> &'static str {
        match self {
            LossCause::Unknown => "cause unknown",
            LossCause::RingFull => "ring full",
            LossCause::RingMemory => "no memory for rings",
            LossCause::TimedOut => "no room within BlockFor's limit",
            LossCause::DeviceFailed => "the device has failed",
            LossCause::Overwritten => "overwritten by newer records",
            LossCause::Unwritten => "not written before close's deadline",
            LossCause::Damaged => "damaged",
            LossCause::Removed => "removed before they were read",
        }
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}

/// Defines a struct with a count for each cause, and what is done with all of them: nothing else lists the causes.
macro_rules! counts_by_cause {
    ($(#[$of_struct:meta])* pub struct $name:ident { $($(#[$of_field:meta])* pub $cause:ident: u64,)+ }) => {
        $(#[$of_struct])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub struct $name { $($(#[$of_field])* pub $cause: u64,)+ }

        impl $name {
            /// The causes' names, in the order of the fields.
            pub(crate) const NAMES: [&str; [$(stringify!($cause)),+].len()] = [$(stringify!($cause)),+];

            /// The counts, in the same order.
            pub(crate) const fn counts(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$cause),+]
            }

            /// From the counts in that order.
            pub(crate) const fn from_counts([$($cause),+]: [u64; Self::NAMES.len()]) -> $name {
                $name { $($cause),+ }
            }

            /// What `combine` makes of each count and that of `other`.
            fn with(self, other: $name, combine: impl Fn(u64, u64) -> u64) -> $name {
                let (counts, others) = (self.counts(), other.counts());
                $name::from_counts(std::array::from_fn(|at| combine(counts[at], others[at])))
            }

            /// The sums, which saturate.
            pub(crate) fn plus(self, other: $name) -> $name {
                self.with(other, u64::saturating_add)
            }

            /// All of them. The sum saturates: a hostile file can claim any counts.
            pub const fn total(&self) -> u64 {
                let total = 0_u64;
                $(let total = total.saturating_add(self.$cause);)+
                total
            }
        }

        /// The sums saturate.
        impl std::ops::AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                *self = self.plus(other);
            }
        }
    };
}
pub(crate) use counts_by_cause;

counts_by_cause! {
    /// Attempts that were dropped, by cause.
    pub struct DroppedBy {
        /// [`LossCause::RingFull`].
        pub ring_full: u64,
        /// [`LossCause::RingMemory`].
        pub ring_memory: u64,
        /// [`LossCause::TimedOut`].
        pub timed_out: u64,
        /// [`LossCause::DeviceFailed`].
        pub device_failed: u64,
    }
}

impl DroppedBy {
    /// The causes, in the order of the fields.
    pub(crate) const CAUSES: [LossCause; Self::NAMES.len()] =
        [LossCause::RingFull, LossCause::RingMemory, LossCause::TimedOut, LossCause::DeviceFailed];

    /// The attempts that were dropped for `cause`; 0 for a cause of another kind of loss.
    pub const fn count(&self, cause: LossCause) -> u64 {
        match cause {
            LossCause::RingFull => self.ring_full,
            LossCause::RingMemory => self.ring_memory,
            LossCause::TimedOut => self.timed_out,
            LossCause::DeviceFailed => self.device_failed,
            _ => 0,
        }
    }

    /// The causes that occurred, each with its count.
    pub fn causes(&self) -> impl Iterator<Item = (LossCause, u64)> {
        Self::CAUSES.into_iter().zip(self.counts()).filter(|(_, count)| *count > 0)
    }

    /// The attempts that were dropped since `earlier`, which are counts of the same producer.
    pub(crate) fn since(self, earlier: DroppedBy) -> DroppedBy {
        self.with(earlier, u64::saturating_sub)
    }

    /// At most `total` of these attempts. It keeps those of the first causes.
    pub(crate) fn at_most(self, total: u64) -> DroppedBy {
        let mut left = total;
        DroppedBy::from_counts(self.counts().map(|count| {
            let taken = count.min(left);
            left -= taken;
            taken
        }))
    }
}

/// Why sequence numbers of a producer are missing: the payload of a gap record.
///
/// It stands in the same block as the producer's first record after the gap, before that record's shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GapRecord {
    /// The producer; never the writer itself.
    pub(crate) producer: u32,
    /// [`LossCause::Unknown`] if the writer could not tell.
    pub(crate) cause: LossCause,
    /// The first sequence number that is missing.
    pub(crate) first_sequence: u64,
    /// How many are missing, at least 1.
    pub(crate) count: u64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct RawGap {
    pub(super) producer: U32,
    pub(super) cause: u8,
    pub(super) reserved: [u8; 3],
    pub(super) first_sequence: U64,
    pub(super) count: U64,
}

const _: () = assert!(size_of::<RawGap>() == GapRecord::BYTES && align_of::<RawGap>() == 1);

impl GapRecord {
    /// Bytes of a payload.
    pub(crate) const BYTES: usize = 24;

    /// The offset of the cause, which is one byte: a writer may name it later than the gap.
    pub(crate) const CAUSE_AT: usize = std::mem::offset_of!(RawGap, cause);

    /// The payload's bytes.
    pub(crate) fn to_bytes(self) -> [u8; GapRecord::BYTES] {
        zerocopy::transmute!(RawGap {
            producer: U32::new(self.producer),
            cause: self.cause as u8,
            reserved: [0; 3],
            first_sequence: U64::new(self.first_sequence),
            count: U64::new(self.count),
        })
    }

    /// Reads a payload; `None` if the bytes are not one. Bytes after it are a later revision's, and are ignored.
    pub(crate) fn decode(payload: &[u8]) -> Option<GapRecord> {
        let (raw, _) = RawGap::read_from_prefix(payload).ok()?;
        let (first_sequence, count) = (raw.first_sequence.get(), raw.count.get());
        let is_gap = raw.producer.get() != WRITER_PRODUCER && count > 0 && first_sequence.checked_add(count).is_some();
        is_gap.then(|| GapRecord {
            producer: raw.producer.get(),
            cause: LossCause::from_u8(raw.cause),
            first_sequence,
            count,
        })
    }
}

/// Appends that took no sequence number, by cause, since the run began: the payload of a refusals record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RefusalCounts {
    /// The log was closed or closing.
    pub(crate) closed: U64,
    /// A signal handler interrupted an append, and logged through the same ring.
    pub(crate) reentrant: U64,
    /// The thread could not have a ring.
    pub(crate) no_ring: U64,
}

impl RefusalCounts {
    /// Reads counts; `None` if the bytes are too few. Bytes after them are a later revision's, and are ignored.
    pub(crate) fn decode(payload: &[u8]) -> Option<RefusalCounts> {
        Some(RefusalCounts::read_from_prefix(payload).ok()?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_keep_their_numbers_and_unknown_numbers_are_unknown_causes() {
        for number in 0..=u8::MAX {
            let cause = LossCause::from_u8(number);
            assert!(cause as u8 == number || (number > 7 && cause == LossCause::Unknown), "{number}");
        }
    }

    #[test]
    fn the_causes_that_occurred_are_listed_with_their_counts() {
        let dropped_by = DroppedBy { ring_full: 3, timed_out: 2, ..DroppedBy::default() };
        let causes: Vec<_> = dropped_by.causes().collect();
        assert_eq!(causes, [(LossCause::RingFull, 3), (LossCause::TimedOut, 2)]);
        assert_eq!((dropped_by.count(LossCause::TimedOut), dropped_by.count(LossCause::Overwritten)), (2, 0));
    }

    #[test]
    fn counts_are_added_subtracted_and_limited_cause_by_cause() {
        let by = |ring_full, timed_out| DroppedBy { ring_full, timed_out, ..DroppedBy::default() };
        assert_eq!(by(3, u64::MAX).plus(by(1, 1)), by(4, u64::MAX));
        assert_eq!(by(3, 2).since(by(1, 5)), by(2, 0));
        assert_eq!([by(3, 2).at_most(4), by(3, 2).at_most(9), by(3, 2).at_most(0)], [by(3, 1), by(3, 2), by(0, 0)]);
    }

    #[test]
    fn a_gap_reads_back_and_its_bytes_are_golden() {
        let gap = GapRecord { producer: 3, cause: LossCause::RingFull, first_sequence: 258, count: 7 };
        let bytes = gap.to_bytes();
        assert_eq!(bytes, [3, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(GapRecord::decode(&[&bytes[..], &[9; 5]].concat()), Some(gap));
        for length in 0..bytes.len() {
            assert_eq!(GapRecord::decode(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_gap_of_nothing_or_of_the_writers_own_records_or_past_the_last_number_is_refused() {
        let gap = GapRecord { producer: 3, cause: LossCause::Unknown, first_sequence: u64::MAX - 4, count: 4 };
        assert_eq!(GapRecord::decode(&gap.to_bytes()), Some(gap));
        for wrong in [GapRecord { producer: 0, ..gap }, GapRecord { count: 0, ..gap }, GapRecord { count: 5, ..gap }] {
            assert_eq!(GapRecord::decode(&wrong.to_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn refusals_read_back_and_their_bytes_are_golden() {
        let counts = RefusalCounts { closed: U64::new(1), reentrant: U64::new(2), no_ring: U64::new(3) };
        let bytes = counts.as_bytes();
        assert_eq!(bytes, [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(RefusalCounts::decode(bytes), Some(counts));
        assert_eq!(RefusalCounts::decode(&bytes[..23]), None);
    }
}
