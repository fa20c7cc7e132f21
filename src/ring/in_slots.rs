//! The tests of rings once more, with rings in a file.

use std::sync::LazyLock;

use super::*;

/// The file, which has no name.
static SLOTS: LazyLock<Arc<dyn Slots>> = LazyLock::new(crate::crash::slots_for_tests);

fn ring_with_reserve(
    options: RingOptions,
    reserve_bytes: usize,
    budget: Arc<Budget>,
) -> io::Result<(ProducerEnd, ConsumerEnd)> {
    RingMaker::new(Some(Arc::clone(&SLOTS)), reserve_bytes, budget).make(options)
}

fn ring(options: RingOptions) -> io::Result<(ProducerEnd, ConsumerEnd)> {
    ring_with_reserve(options, 0, Arc::new(Budget::new(u64::MAX, 0)))
}

#[expect(clippy::duplicate_mod, reason = "other rings")]
#[path = "reserve_tests.rs"]
mod reserve_tests;
#[expect(clippy::duplicate_mod, reason = "other rings")]
#[path = "tests.rs"]
mod tests;
