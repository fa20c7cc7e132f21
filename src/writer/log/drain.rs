//! Draining: rings that arrive are taken in, and records move into blocks in the order of the schedule.

use super::blocks::Blocks;
use crate::shared::Shared;
use crate::writer::schedule::{Looked, Schedule};
use crate::writer::source::Source;

/// Takes in the rings of new producers, and notes which producers are gone.
pub(super) fn adopt(shared: &Shared, blocks: &mut Blocks, schedule: &mut Schedule) {
    if !shared.registry.take_changed() {
        return;
    }
    let (arrivals, returned) = shared.registry.take();
    for arrival in arrivals {
        let source = Source::new(arrival, shared.settings.config.block_bytes, blocks.begun);
        schedule.poll_order.add(blocks.sources.add(source));
    }
    blocks.sources.note_returned(returned);
    if let Some(capacity) = blocks.sources.smallest_capacity() {
        schedule.allowance.set_smallest_ring(capacity);
    }
}

/// Moves records into blocks from the rings whose turn it is: `all` of them, or all but the newest. Returns whether
/// there were any to take; if not, it has looked at all rings, or no block was free.
pub(super) fn drain(blocks: &mut Blocks, schedule: &mut Schedule, now_ns: u64, all: bool) -> bool {
    let Schedule { poll_order, allowance, interval, .. } = schedule;
    // If one ring's records are overdue, those of all rings are taken: the block that is closed then holds them.
    let overdue = interval.find_overdue(now_ns, || blocks.sources.oldest_left_ns());
    poll_order.turn(overdue, |slot| {
        let blocks_begun = blocks.begun;
        let source = blocks.sources.at(slot);
        let capacity = source.consumer.capacity();
        let look = source.look(now_ns, blocks_begun, all || overdue);
        allowance.note_new(look.new_bytes, capacity);
        if let Some(since_ns) = source.patience.left_since_ns {
            interval.note_left(since_ns);
        }
        if look.due_bytes == 0 {
            return Looked::Nothing;
        }
        if blocks.can_fill() {
            allowance.note_taken(look.due_bytes, capacity);
        }
        let looked = blocks.fill_from(slot, look.since_ns, now_ns);
        if looked == Looked::NoBlock {
            blocks.sources.at(slot).patience.leave_due(look.since_ns);
            interval.note_left(look.since_ns);
        }
        looked
    })
}
