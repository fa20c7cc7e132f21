//! Positions, sizes and the head of a record, as both ends and the memory use them. No state.

/// Bytes of a record's head in the ring.
pub(crate) const HEAD_BYTES: usize = 24;

/// The first word of a skip: the rest of the memory holds no record. It differs from every head, because no length has
/// all bits set (see [`CAPACITY_MAX`]).
pub(super) const SKIP: u64 = u64::MAX;

/// Bounds of a ring's size. A smaller ring would waste a part of its page; in a larger one, the length of a record
/// would not fit 32 bits. (A loom model needs a ring for just a few records.)
pub(crate) const CAPACITY_MIN: usize = if cfg!(loom) { 64 } else { 4096 };
pub(crate) const CAPACITY_MAX: usize = 1 << 30;

const _: () = assert!(CAPACITY_MIN.is_power_of_two() && CAPACITY_MAX.is_power_of_two());
// A length never has all bits set, so a head is never a skip.
const _: () = assert!(record_bytes_max(CAPACITY_MAX) < u32::MAX as usize);
// The smallest ring has room for a record, and one word has room for a skip.
const _: () = assert!(HEAD_BYTES.is_multiple_of(8) && record_bytes_max(CAPACITY_MIN) > HEAD_BYTES);

/// The part of a record before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of payload, without padding.
    pub(crate) length: u32,
    /// Set by the producer (kind, level and flags). The ring does not use it.
    pub(crate) tag: u32,
    /// The record's sequence number.
    pub(crate) sequence: u64,
    /// The time of the record, by the producer's clock.
    pub(crate) ticks: u64,
}

impl Head {
    /// The inverse of [`head_words`].
    #[inline(always)]
    pub(super) fn from_words([first, sequence, ticks]: [u64; 3]) -> Head {
        Head { length: first as u32, tag: (first >> 32) as u32, sequence, ticks }
    }
}

/// A head as words of the ring. The payload's length fits 32 bits, because the record fits the ring.
#[inline(always)]
pub(super) const fn head_words(payload_bytes: usize, tag: u32, sequence: u64, ticks: u64) -> [u64; 3] {
    [payload_bytes as u64 | (tag as u64) << 32, sequence, ticks]
}

/// A pair of positions, one for each of a ring's two queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) window: u64,
    pub(crate) reserve: u64,
}

impl Position {
    /// Whether `other` is at or after this position in both queues.
    pub(crate) fn is_reached_by(self, other: Position) -> bool {
        !is_after(self.window, other.window) && !is_after(self.reserve, other.reserve)
    }
}

/// The ring has no room for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Why an attempt is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropCause {
    /// The ring has no room.
    Full,
    /// The ring has room, but the memory for it would exceed the budget of all rings.
    Memory,
    /// There was no room for as long as the producer may wait.
    TimedOut,
    /// There was no room, and there will be none: the device has failed.
    DeviceFailed,
}

/// Bytes that a record with `payload_bytes` of payload takes in the ring.
#[inline(always)]
pub(super) const fn record_bytes(payload_bytes: usize) -> u64 {
    ((HEAD_BYTES + payload_bytes + 7) & !7) as u64
}

/// The longest record in a ring of `capacity` bytes, including its head. Two of them fit, so one fits an empty ring at
/// any position, even after a skip.
pub(super) const fn record_bytes_max(capacity: usize) -> usize {
    capacity / 2
}

/// Whether position `a` is after `b`. The two must be less than 2^63 apart.
#[inline(always)]
pub(super) const fn is_after(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) > 0
}
