//! How patient the writer is with one ring: which records it takes now, and which may still wait.
//!
//! It uses only byte counts; the source reads the ring.

use crate::format::MERGE_BYTES_MAX;

/// How many bytes of one ring are drained before the next ring is looked at: some ten microseconds of copying.
pub(crate) const DRAIN_BYTES: usize = 32 << 10;

/// The newest bytes of a ring, which are left alone while they may wait. A CPU that reads up to another CPU's write
/// position prefetches some 4 KiB beyond it. The producer has just fetched these cache lines to write to them, and
/// would have to fetch them again while an append waits. (Half of these bytes was slower, twice as many were not
/// faster.)
const FRESH_BYTES: usize = 8 << 10;

/// At most these parts of a ring and of a block are left alone.
const FRESH_PART_OF_A_RING: usize = 16;
const FRESH_PART_OF_A_BLOCK: usize = 4;

/// After this many bytes of blocks, the writer also takes the bytes that were in a ring before them. This is well below
/// what a reader holds in memory to merge records by time.
const LEFT_BYTES_MAX: usize = MERGE_BYTES_MAX / 4;

/// If a quarter of a ring lies in the block being filled, the block is closed early, so that neither small rings nor
/// blocked producers wait for the flush interval.
const OPEN_PART_OF_A_RING: usize = 4;

/// How long the records of one ring may wait, and since when some do.
pub(crate) struct Patience {
    /// How many of the newest bytes are left alone while they may wait.
    fresh_bytes: usize,
    /// The bytes of the ring that may lie in the block being filled.
    open_bytes_max: usize,
    /// How many blocks may begin after the ring was last empty before all of its records are taken.
    left_blocks_max: u64,
    /// The number of blocks begun when the ring was last seen empty.
    emptied_at_block: u64,
    /// When the oldest record left in the ring was first seen, or earlier.
    pub(in crate::writer) left_since_ns: Option<u64>,
}

/// Byte counts of a ring, for a look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread {
    /// Bytes that were not taken and that an earlier look has seen.
    pub(crate) seen: usize,
    /// All bytes that were not taken, including those.
    pub(crate) bytes: usize,
    /// Bytes that lie in the block being filled.
    pub(crate) open: usize,
}

/// The outcome of a look at a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Bytes that this look was the first to see.
    pub(crate) new_bytes: usize,
    /// Bytes that are to be taken now.
    pub(crate) due_bytes: usize,
    /// When the oldest of them was first seen, or earlier, on the monotonic clock.
    pub(crate) since_ns: u64,
}

impl Patience {
    /// For a ring of `capacity` bytes that arrives after `blocks_begun` blocks of `block_bytes` have been begun.
    pub(crate) fn new(capacity: usize, block_bytes: usize, blocks_begun: u64) -> Patience {
        let fresh_part = (capacity / FRESH_PART_OF_A_RING).min(block_bytes / FRESH_PART_OF_A_BLOCK);
        Patience {
            fresh_bytes: FRESH_BYTES.min(fresh_part),
            open_bytes_max: capacity / OPEN_PART_OF_A_RING,
            left_blocks_max: (LEFT_BYTES_MAX / block_bytes).max(1) as u64,
            emptied_at_block: blocks_begun,
            left_since_ns: None,
        }
    }

    /// Decides which of the `unread` bytes are due: all of them, or all but the newest.
    #[inline]
    pub(crate) fn look(&mut self, now_ns: u64, blocks_begun: u64, unread: Unread, all: bool) -> Look {
        let Unread { seen, bytes, open } = unread;
        let left_for_long = blocks_begun - self.emptied_at_block >= self.left_blocks_max;
        let all = all || left_for_long || self.is_too_open(open + bytes);
        let due_bytes = if all { bytes } else { bytes.saturating_sub(self.fresh_bytes) };
        if bytes == 0 {
            self.note_emptied(blocks_begun);
        }
        let since_ns = self.left_since_ns.unwrap_or(now_ns);
        self.left_since_ns = if due_bytes == bytes {
            None
        } else if due_bytes >= seen {
            Some(now_ns)
        } else {
            Some(since_ns)
        };
        Look { new_bytes: bytes.saturating_sub(seen), due_bytes, since_ns }
    }

    /// Notes that the due bytes of the last look are not taken: the oldest has waited since `since_ns`.
    pub(crate) fn leave_due(&mut self, since_ns: u64) {
        self.left_since_ns = Some(since_ns);
    }

    /// Notes that the ring was seen empty after `blocks_begun` blocks had been begun.
    pub(crate) fn note_emptied(&mut self, blocks_begun: u64) {
        self.emptied_at_block = blocks_begun;
    }

    /// Whether `open_bytes` of the ring are so many that the block that holds them should be closed early.
    pub(crate) fn is_too_open(&self, open_bytes: usize) -> bool {
        open_bytes >= self.open_bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK_BYTES: usize = 64 << 10;

    /// A ring in numbers.
    struct Ring {
        patience: Patience,
        unread: Unread,
    }

    impl Ring {
        fn new(capacity: usize) -> Ring {
            Ring { patience: Patience::new(capacity, BLOCK_BYTES, 1), unread: Unread { seen: 0, bytes: 0, open: 0 } }
        }

        fn append(&mut self, bytes: usize) {
            self.unread.bytes += bytes;
        }

        fn look_at_block(&mut self, now_ns: u64, blocks_begun: u64, all: bool) -> Look {
            let look = self.patience.look(now_ns, blocks_begun, self.unread, all);
            self.unread.seen = self.unread.bytes;
            look
        }

        /// The bytes due, and since when.
        fn look(&mut self, now_ns: u64, all: bool) -> Option<(usize, u64)> {
            let look = self.look_at_block(now_ns, 1, all);
            (look.due_bytes > 0).then_some((look.due_bytes, look.since_ns))
        }

        fn take(&mut self, bytes: usize) {
            self.unread.bytes -= bytes;
            self.unread.seen -= bytes;
        }
    }

    #[test]
    fn the_newest_bytes_are_left_until_they_are_overdue() {
        let mut ring = Ring::new(1 << 20);
        ring.append(FRESH_BYTES);
        assert_eq!(ring.look(1_000, false), None, "all of it is new");
        assert_eq!(ring.patience.left_since_ns, Some(1_000));
        ring.append(128);
        assert_eq!(ring.look(1_010, false), Some((128, 1_000)), "the oldest have been there since then");
        ring.take(128);
        assert_eq!(ring.patience.left_since_ns, Some(1_000), "no later than the oldest that may still be there");
        assert_eq!(ring.look(1_100, true), Some((FRESH_BYTES, 1_000)));
        assert_eq!(ring.patience.left_since_ns, None);
        ring.patience.leave_due(1_000);
        assert_eq!(ring.look(1_200, true), Some((FRESH_BYTES, 1_000)), "bytes that found no block have waited on");
        ring.take(FRESH_BYTES);
        assert_eq!((ring.look(1_300, true), ring.patience.left_since_ns), (None, None));
    }

    #[test]
    fn no_record_grows_old_in_a_ring_that_many_come_into() {
        let mut ring = Ring::new(1 << 20);
        for now_ns in (0..1_000).step_by(10) {
            ring.append(2 * FRESH_BYTES);
            let due = ring.look(now_ns, false).map_or(0, |(bytes, _)| bytes);
            assert_eq!(ring.patience.left_since_ns, Some(now_ns), "all that the look before saw is due");
            ring.take(due);
        }
    }

    #[test]
    fn all_records_are_taken_once_a_quarter_of_the_ring_lies_in_the_block() {
        let mut ring = Ring::new(64 << 10);
        ring.append(100);
        ring.unread.open = (64 << 10) / OPEN_PART_OF_A_RING - 101;
        assert_eq!(ring.look(0, false), None);
        ring.append(1);
        assert_eq!(ring.look(0, false), Some((101, 0)));
    }

    #[test]
    fn records_are_taken_once_many_blocks_have_been_begun_since_the_ring_was_empty() {
        let mut ring = Ring::new(64 << 10);
        ring.append(64);
        let blocks = (LEFT_BYTES_MAX / BLOCK_BYTES) as u64;
        assert_eq!(ring.look_at_block(0, blocks, false).due_bytes, 0);
        assert_eq!(ring.look_at_block(0, 1 + blocks, false).due_bytes, 64);
        assert_eq!(ring.look_at_block(0, 1 + blocks, false).due_bytes, 64, "they have still not been taken");
        ring.take(64);
        ring.patience.note_emptied(1 + blocks);
        ring.append(64);
        assert_eq!(ring.look_at_block(0, 2 * blocks, false).due_bytes, 0);
    }
}
