//! One ring as the writer sees it: what was drained, what the files already account for, and what space to release.

use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use crate::block::{Block, RecordMeta};
use crate::clock::{self, TickConverter};
use crate::format::{Kind, ProducerRow, RECORD_HEADER_BYTES, SHARD_HEADER_BYTES, padded};
use crate::gate::Gate;
use crate::registry::Arrival;
use crate::ring::{ConsumerEnd, ProducerEnd};
use crate::sys;
use crate::writer::pipeline::Accounted;

/// How much of one ring is drained before the next has its turn, in bytes: some ten microseconds of copying.
const TURN_BYTES: usize = 32 << 10;

/// Why draining one ring stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// All that was observed is in blocks.
    Empty,
    /// The ring has had its turn, and holds more.
    Turn,
    /// The next record does not fit the block.
    BlockFull,
}

/// One producer's ring and its accounts.
pub(crate) struct Source {
    pub(crate) id: u32,
    tid: u32,
    name: String,
    pub(crate) consumer: ConsumerEnd,
    /// The time of the last record drained: times never go back.
    last_ns: u64,
    /// The sequence that follows the last record drained.
    next_sequence: u64,
    /// Records drained.
    records: u64,
    /// The serial of the block that holds this producer's row.
    defined_in: Option<u64>,
    /// The ring position up to which records are in closed blocks.
    closed_position: u64,
    /// The other end, once the producer is gone.
    pub(crate) returned: Option<ProducerEnd>,
    /// Whether the end record is in a block.
    pub(crate) end_written: bool,
}

impl Source {
    pub(crate) fn new(arrival: Arrival) -> Source {
        Source {
            id: arrival.id,
            tid: arrival.tid,
            name: arrival.name,
            closed_position: arrival.consumer.cursor(),
            consumer: arrival.consumer,
            last_ns: 0,
            next_sequence: 0,
            records: 0,
            defined_in: None,
            returned: None,
            end_written: false,
        }
    }

    /// Looks for new records. Whether there are any.
    #[inline]
    pub(crate) fn has_records(&mut self) -> bool {
        self.consumer.observe() != self.consumer.cursor()
    }

    /// Whether no append is under way. Only after the gate has closed does that stay true.
    pub(crate) fn is_quiet(&self) -> bool {
        Gate::is_outside(&self.consumer.ring().account.in_append)
    }

    /// Moves records into `block`, the `serial`-th, preceded by the producer's row where it has none of it yet.
    ///
    /// `now_ns` is the monotonic clock read after the ring was observed: no time comes out later.
    pub(crate) fn drain(
        &mut self,
        block: &mut Block,
        serial: u64,
        control_sequence: &mut u64,
        converter: &TickConverter,
        now_ns: u64,
    ) -> Drained {
        if !self.define_in(block, serial, control_sequence, now_ns) {
            return Drained::BlockFull;
        }
        let full = if self.consumer.overwrites() {
            self.move_records::<true>(block, converter, now_ns)
        } else {
            self.move_records::<false>(block, converter, now_ns)
        };
        if full {
            Drained::BlockFull
        } else if self.consumer.unread_bytes() > 0 {
            Drained::Turn
        } else {
            Drained::Empty
        }
    }

    /// The loop of [`drain`](Self::drain). Whether it ended because the block is full.
    fn move_records<const OVERWRITES: bool>(
        &mut self,
        block: &mut Block,
        converter: &TickConverter,
        now_ns: u64,
    ) -> bool {
        let mut last_ns = self.last_ns;
        let mut records = block.records_of(self.id, self.next_sequence);
        let mut full = false;
        let taken = self.consumer.consume_from::<OVERWRITES>(TURN_BYTES, |head, payload| {
            let [kind, level, flags, _] = head.tag.to_le_bytes();
            let timestamp_ns = clock::clamp(converter.to_ns(head.ticks), last_ns, now_ns);
            let meta = RecordMeta { kind, level, flags, timestamp_ns };
            if !records.append(head.sequence, meta, payload) {
                full = true;
                return false;
            }
            last_ns = timestamp_ns;
            true
        });
        if taken > 0 {
            self.records += taken as u64;
            self.next_sequence = records.end(taken as u32, last_ns);
            self.last_ns = last_ns;
        }
        full
    }

    /// Writes the producer's row into `block` unless it stands there; `false` where it does not fit, together with
    /// some record behind it.
    fn define_in(&mut self, block: &mut Block, serial: u64, control_sequence: &mut u64, now_ns: u64) -> bool {
        if self.defined_in == Some(serial) {
            return true;
        }
        let mut payload = Vec::with_capacity(ProducerRow::BYTES_MAX);
        self.row().encode(&mut payload);
        let record_bytes = SHARD_HEADER_BYTES + RECORD_HEADER_BYTES;
        if 2 * record_bytes + padded(payload.len()) > block.free_bytes() {
            return false;
        }
        let kind = if self.next_sequence == 0 { Kind::ProducerStart } else { Kind::ProducerRow };
        if !block.append_control(*control_sequence, RecordMeta::control(kind, now_ns), &payload) {
            return false;
        }
        *control_sequence += 1;
        self.defined_in = Some(serial);
        true
    }

    /// The producer as the blocks so far account for it.
    fn row(&self) -> ProducerRow {
        self.row_of(self.accounted())
    }

    /// The producer as some blocks account for it.
    pub(crate) fn row_of(&self, accounted: Accounted) -> ProducerRow {
        ProducerRow {
            id: self.id,
            tid: self.tid,
            next_sequence: accounted.next_sequence,
            records: accounted.records,
            dropped: self.consumer.ring().account.dropped.load(Relaxed),
            overwritten: self.consumer.ring().account.overwritten.load(Relaxed),
            unwritten: 0,
            name: self.name.clone(),
        }
    }

    /// The producer's final account, once it makes no more attempts. What is still in the ring is `unwritten`.
    pub(crate) fn final_row(&self) -> ProducerRow {
        let attempted = self.consumer.ring().account.next_sequence.load(Relaxed).max(self.next_sequence);
        let row = self.row();
        let accounted = row.records + row.dropped + row.overwritten;
        ProducerRow { next_sequence: attempted, unwritten: attempted.saturating_sub(accounted), ..row }
    }

    /// Bytes of the ring that lie in the block being filled, and not in a closed one.
    pub(crate) fn open_bytes(&self) -> u64 {
        self.consumer.cursor().wrapping_sub(self.closed_position)
    }

    /// What all blocks so far account for, the one being filled included.
    pub(crate) fn accounted(&self) -> Accounted {
        Accounted { next_sequence: self.next_sequence, records: self.records }
    }

    /// Whether the `serial`-th block has a part of this source.
    pub(crate) fn is_in(&self, serial: u64) -> bool {
        self.defined_in == Some(serial)
    }

    /// Notes that the block being filled is closed, and gives the position to release when it is durable.
    pub(crate) fn close_block(&mut self) -> u64 {
        self.closed_position = self.consumer.cursor();
        self.closed_position
    }

    /// Gives the space before `position` back. [`wake_producer`](Self::wake_producer) tells of it.
    pub(crate) fn release(&mut self, position: u64) {
        self.consumer.release(position);
    }

    /// Wakes the producer if it sleeps for want of space and has got enough for the price: a wake-up costs each side
    /// several microseconds. While more is `to_come`, that is half of the ring.
    pub(crate) fn wake_producer(&self, to_come: bool) {
        if to_come && self.consumer.used_bytes() > self.consumer.capacity() / 2 {
            return;
        }
        let awaits_space = &self.consumer.ring().space.awaits_space;
        // Acquire and release: see there.
        if awaits_space.swap(0, AcqRel) != 0 {
            sys::futex::wake(awaits_space);
        }
    }

    /// Whether the producer found no space since the last call.
    pub(crate) fn take_starved(&self) -> bool {
        let starved = &self.consumer.ring().space.starved;
        // Relaxed: a hint; missing it once costs a turn.
        starved.load(Relaxed) && starved.swap(false, Relaxed)
    }
}
