//! How much a recovery reads at most of what a file claims to have.

use crate::format::{BLOCK_BYTES_MAX, PRODUCERS_MAX, ProducerRow, record_bytes};

/// The most producers that a run has at one moment: as many as can be alive, and some that were being replaced. This
/// bounds the memory that a file takes which claims to have more.
pub(super) const PRODUCERS_AT_ONCE: usize = PRODUCERS_MAX + 1000;

// A segment's header has room for their rows.
const _: () = assert!(PRODUCERS_AT_ONCE * record_bytes(ProducerRow::BYTES_MAX) <= BLOCK_BYTES_MAX - (1 << 20));
