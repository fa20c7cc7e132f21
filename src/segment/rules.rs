//! The rules for segments: how large they are, when the next one begins, and how long they are kept. No files. Used by
//! [`Segments`](super::Segments).

use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{GRID_BYTES, PRODUCERS_MAX, ProducerRow, record_bytes};
use crate::grouped::Size;
use crate::rotate_at::RotateAt;
use crate::sys::file::file_size_limit;

use super::preparing::Limits;

/// How long `open` waits for the first segment's zeros, except in tests. After that the segment is used without more
/// zeros.
pub(crate) const FIRST_FILL_PATIENCE: Duration = Duration::from_millis(100);

/// The grid, as a file size.
const GRID: u64 = GRID_BYTES as u64;

/// Enough room for a segment's header, unless it has hundreds of producers.
const HEADER_BYTES: u64 = 16 * GRID;

/// The sizes of segment files, in bytes, all multiples of 4096.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentSizes {
    /// The run's first segment; at most `max`. Each later one is up to twice as large as the one before.
    pub(crate) first: u64,
    /// The largest segment.
    pub(crate) max: u64,
    /// The largest block.
    pub(crate) block: usize,
}

/// How large segments are, when the next one begins, and how long they are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) sizes: SegmentSizes,
    /// [`FIRST_FILL_PATIENCE`], except in tests.
    pub(crate) first_fill_patience: Duration,
    /// The next segment begins when the first block of the present one is this old.
    pub(crate) rotate_after: Option<Duration>,
    /// The next segment begins at these times of the wall clock.
    pub(crate) rotate_at: Option<RotateAt>,
    pub(crate) keep: Limits,
}

impl Rules {
    /// Checks, before anything is created, that this process may write large enough files. A write beyond the limit
    /// would kill the process by a signal.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`].
    pub(crate) fn check_file_size_limit(&self) -> Result<()> {
        self.sizes.check_limit(file_size_limit())
    }
}

impl SegmentSizes {
    /// Checks that a file within the process's file size limit has room for a header and a block.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if it has not: a block would wait for a segment that cannot be made.
    pub(super) fn check_limit(&self, file_bytes_max: Option<u64>) -> Result<()> {
        let needed = (self.block as u64 + HEADER_BYTES).min(self.max);
        match file_bytes_max {
            Some(limit) if limit < needed => {
                let remedy = format!(
                    "the process may write files of at most {} (ulimit -f), and a segment needs {}; use smaller blocks, \
                     or raise the limit",
                    Size(limit),
                    Size(needed)
                );
                Err(Error::invalid("block_bytes", Size(self.block as u64), remedy))
            }
            _ => Ok(()),
        }
    }

    /// The smallest segment, which is made even on a full disk: it has room for a header and two blocks.
    pub(super) fn min(&self) -> u64 {
        (2 * self.block as u64 + HEADER_BYTES).min(self.max)
    }

    /// The size of the segment after one of `bytes`, of which `used` are used so far. It is twice as large, unless the
    /// present one ends early because of its age. Then it is no larger than that one needed to be, because every byte
    /// is written with zeros.
    pub(super) fn after(&self, bytes: u64, used: u64) -> u64 {
        let wanted = match used {
            used if used >= bytes / 2 => bytes.saturating_mul(2),
            used if used >= bytes / 4 => bytes,
            _ => (bytes / 2).next_multiple_of(GRID).max(self.first.min(bytes)),
        };
        wanted.clamp(self.min(), self.max)
    }

    /// How many producers may be alive at once. A segment's header has a row for each, and a file must have room for
    /// the header and a block.
    pub(super) fn producers_max(&self, file_bytes_max: Option<u64>) -> usize {
        // The rest of a header takes less than one unit of the grid. Rounding up takes less than another.
        let rest = self.block as u64 + 2 * GRID;
        let fit = |limit: u64| limit.saturating_sub(rest) / record_bytes(ProducerRow::BYTES_MAX) as u64;
        // One more row is for threads without a ring of their own.
        let fit = |limit| fit(limit).saturating_sub(1);
        file_bytes_max.map_or(PRODUCERS_MAX, |limit| fit(limit).min(PRODUCERS_MAX as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const SIZES: SegmentSizes = SegmentSizes { first: 16 * MIB, max: 128 * MIB, block: 256 << 10 };

    #[test]
    fn sizes_double_up_to_the_largest_and_shrink_to_what_was_needed() {
        for (bytes, used, expected, claim) in [
            (16, 8, 32, "half used: twice as large"),
            (128, 128, 128, "never over the largest"),
            (64, 16, 64, "a quarter used: the same"),
            (64, 8, 32, "left early: half"),
            (16, 0, 16, "but not below the first"),
        ] {
            assert_eq!(SIZES.after(bytes * MIB, used * MIB), expected * MIB, "{claim}");
        }
        let small = SegmentSizes { first: 4096, max: 128 * MIB, block: 4096 };
        assert_eq!(small.after(4096, 0), small.min(), "never without room for a header and two blocks");
    }

    #[test]
    fn a_file_size_limit_bounds_blocks_and_producers() {
        assert!(SIZES.check_limit(None).is_ok() && SIZES.check_limit(Some(MIB)).is_ok());
        let error = SIZES.check_limit(Some(256 << 10)).expect_err("no room for a header");
        assert!(error.to_string().contains("ulimit -f"), "{error}");
        assert_eq!(SIZES.producers_max(None), PRODUCERS_MAX);
        assert_eq!(SIZES.producers_max(Some(4096)), 0);
        let some = SIZES.producers_max(Some(MIB));
        assert!((1..PRODUCERS_MAX).contains(&some), "{some}");
    }
}
