//! One ring as the writer sees it: what was drained, what the files already account for, and what space to release.

use crate::block::{Block, RecordMeta};
use crate::clock::{self, TickConverter};
use crate::format::{Kind, MERGE_BYTES_MAX, ProducerRow, RECORD_HEADER_BYTES, SHARD_HEADER_BYTES, padded};
use crate::gate::Gate;
use crate::registry::Arrival;
use crate::ring::{ConsumerEnd, ProducerEnd};
use crate::writer::pipeline::Accounted;

/// How much of one ring is drained before the next has its turn, in bytes: some ten microseconds of copying.
const TURN_BYTES: usize = 32 << 10;

/// The newest bytes of a ring, which are left alone as long as they may wait. A CPU that reads up to where another one
/// writes fetches ahead on its own, some 4 KiB: lines that the producer has just had brought near to write to them. Each
/// must then be taken back while an append waits for it. (Half of it was slower, twice no faster.)
const FRONT_BYTES: usize = 8 << 10;

/// The parts of a ring and of a block that are left alone at the most.
const FRONT_PART_OF_A_RING: usize = 16;
const FRONT_PART_OF_A_BLOCK: usize = 4;

/// Bytes of blocks after which nothing is left alone that was there before them: well below what a reader holds to put
/// records in the order of their time.
const LEFT_BEHIND_BYTES_MAX: usize = MERGE_BYTES_MAX / 4;

/// The part of a ring that may lie in the block being filled: more of it, and the block is closed early, so that neither
/// small rings nor blocked producers wait for a timer.
const OPEN_PART_OF_A_RING: usize = 4;

/// Why draining one ring stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// All that was due is in blocks, or the ring has had its turn.
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
    /// Bytes that are left alone as long as they may wait.
    front_bytes: usize,
    /// How many blocks may go by before nothing of what was there before them is left alone.
    left_blocks_max: u64,
    /// The serial of the block that was being filled when the ring was last seen empty.
    emptied_in: u64,
    /// Bytes that the last look found, and that are to be taken.
    due_bytes: usize,
    /// Bytes that the last look was the first to see.
    new_bytes: usize,
    /// When a look first saw the oldest of what has been left in the ring; that may have been somewhat later than this.
    left_since_ns: Option<u64>,
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
    /// A ring that comes in while the `serial`-th block is filled.
    pub(crate) fn new(arrival: Arrival, block_bytes: usize, serial: u64) -> Source {
        let front_part = arrival.consumer.capacity() / FRONT_PART_OF_A_RING;
        Source {
            id: arrival.id,
            tid: arrival.tid,
            name: arrival.name,
            closed_position: arrival.consumer.cursor(),
            consumer: arrival.consumer,
            front_bytes: FRONT_BYTES.min(front_part).min(block_bytes / FRONT_PART_OF_A_BLOCK),
            left_blocks_max: (LEFT_BEHIND_BYTES_MAX / block_bytes).max(1) as u64,
            emptied_in: serial,
            due_bytes: 0,
            new_bytes: 0,
            left_since_ns: None,
            last_ns: 0,
            next_sequence: 0,
            records: 0,
            defined_in: None,
            returned: None,
            end_written: false,
        }
    }

    /// Looks for new records while the `serial`-th block is filled, and decides which are to be taken: `all`, or all but the
    /// newest, which may wait. Since when the oldest of them waits, on the monotonic clock; `None` if there are none to take.
    #[inline]
    pub(crate) fn look(&mut self, now_ns: u64, serial: u64, all: bool) -> Option<u64> {
        let seen_before = self.consumer.unread_bytes();
        self.consumer.observe();
        let unread = self.consumer.unread_bytes();
        let is_left_behind = serial - self.emptied_in >= self.left_blocks_max;
        let all = all || is_left_behind || self.returned.is_some() || self.is_starved() || self.is_too_open(unread);
        self.new_bytes = unread.saturating_sub(seen_before);
        self.due_bytes = if all { unread } else { unread.saturating_sub(self.front_bytes) };
        let since_ns = self.left_since_ns.unwrap_or(now_ns);
        if unread == 0 {
            self.emptied_in = serial;
        }
        self.left_since_ns = if self.due_bytes == unread {
            None
        } else if self.due_bytes >= seen_before {
            Some(now_ns)
        } else {
            Some(since_ns)
        };
        (self.due_bytes > 0).then_some(since_ns)
    }

    /// Notes that what the last look found due is not taken: it has been waiting since then.
    pub(crate) fn leave_due(&mut self, since_ns: u64) {
        self.left_since_ns = Some(since_ns);
    }

    /// When a look first saw the oldest of what has been left in the ring, or earlier.
    pub(crate) fn left_since_ns(&self) -> Option<u64> {
        self.left_since_ns
    }

    /// Bytes that the last look was the first to see.
    pub(crate) fn new_bytes(&self) -> usize {
        self.new_bytes
    }

    /// Bytes that the last look found, and that are to be taken.
    pub(crate) fn due_bytes(&self) -> usize {
        self.due_bytes
    }

    /// Whether the ring holds any records that were not taken.
    pub(crate) fn has_records(&mut self) -> bool {
        self.consumer.observe() != self.consumer.cursor()
    }

    /// Whether no append is under way. Only after the gate has closed does that stay true.
    pub(crate) fn is_quiet(&self) -> bool {
        Gate::is_outside(self.consumer.control().append_flag())
    }

    /// Moves the records that the last [`look`](Self::look) found due into `block`, the `serial`-th, preceded by the
    /// producer's row where it has none of it yet.
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
            return Drained::BlockFull;
        }
        if self.consumer.unread_bytes() == 0 {
            self.emptied_in = serial;
        }
        Drained::Turn
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
        let begin = self.consumer.cursor();
        let taken = self.consumer.consume_from::<OVERWRITES>(TURN_BYTES.min(self.due_bytes), |head, payload| {
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
        self.due_bytes = self.due_bytes.saturating_sub(self.consumer.cursor().wrapping_sub(begin) as usize);
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
        let counts = self.consumer.control().counts();
        ProducerRow {
            id: self.id,
            tid: self.tid,
            next_sequence: accounted.next_sequence,
            records: accounted.records,
            dropped: counts.dropped,
            overwritten: counts.overwritten,
            unwritten: 0,
            name: self.name.clone(),
        }
    }

    /// The producer's final account, once it makes no more attempts. What is still in the ring is `unwritten`.
    pub(crate) fn final_row(&self) -> ProducerRow {
        let attempted = self.consumer.control().counts().attempted.max(self.next_sequence);
        let row = self.row();
        let accounted = row.records + row.dropped + row.overwritten;
        ProducerRow { next_sequence: attempted, unwritten: attempted.saturating_sub(accounted), ..row }
    }

    /// Whether so much of the ring lies in the block being filled that it should be closed early; or would, with `more`
    /// bytes.
    pub(crate) fn is_too_open(&self, more: usize) -> bool {
        let open = self.consumer.cursor().wrapping_sub(self.closed_position) as usize;
        open + more >= self.consumer.capacity() / OPEN_PART_OF_A_RING
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
        self.consumer.control().wake_producer();
    }

    /// Whether the producer found no space since the last [`take_starved`](Self::take_starved).
    fn is_starved(&self) -> bool {
        self.consumer.control().wants_space()
    }

    /// Whether the producer found no space since the last call, and everything seen in the ring has been taken for that.
    pub(crate) fn take_starved(&self) -> bool {
        self.left_since_ns.is_none() && self.consumer.control().take_wants_space()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::ring::{RingOptions, ring};

    const BLOCK_BYTES: usize = 64 << 10;

    fn source(capacity_bytes: usize) -> (ProducerEnd, Source) {
        let options = RingOptions { capacity_bytes, overwrite: false, start: 0 };
        let (producer, consumer) = ring(options).expect("a ring");
        (producer, Source::new(Arrival { id: 1, tid: 1, name: String::new(), consumer }, BLOCK_BYTES, 1))
    }

    /// Appends `bytes` of ring.
    fn append(producer: &ProducerEnd, bytes: usize) {
        let payload = vec![b'x'; bytes - crate::ring::HEAD_BYTES];
        producer.append(0, &payload, || 0).expect("room");
    }

    /// Takes what is due, as the writer does, but to nowhere.
    fn take(source: &mut Source) {
        source.consumer.consume_from::<false>(source.due_bytes, |_, _| true);
    }

    #[test]
    fn the_newest_bytes_are_left_until_they_are_overdue() {
        let (producer, mut source) = source(1 << 20);
        append(&producer, FRONT_BYTES);
        assert_eq!(source.look(1_000, 1, false), None, "all of it is new");
        assert_eq!(source.left_since_ns(), Some(1_000));
        append(&producer, 64);
        append(&producer, 64);
        assert_eq!(source.look(1_010, 1, false), Some(1_000), "the oldest have been there since then");
        assert_eq!(source.due_bytes(), 128);
        take(&mut source);
        assert_eq!(source.left_since_ns(), Some(1_000), "no later than the oldest that may still be there");
        assert_eq!((source.look(1_100, 1, true), source.left_since_ns()), (Some(1_000), None));
        source.leave_due(1_000);
        assert_eq!(source.look(1_200, 1, true), Some(1_000), "what found no block has waited all the time");
        take(&mut source);
        assert!(!source.has_records());
        assert_eq!((source.look(1_300, 1, true), source.left_since_ns()), (None, None));
    }

    #[test]
    fn where_much_comes_nothing_gets_old() {
        let (producer, mut source) = source(1 << 20);
        for now_ns in (0..1_000).step_by(10) {
            (0..100).for_each(|_| append(&producer, 2 * FRONT_BYTES / 100 / 8 * 8));
            source.look(now_ns, 1, false);
            assert_eq!(source.left_since_ns(), Some(now_ns), "what the look before saw is taken");
            take(&mut source);
            source.close_block();
            source.release(source.consumer.cursor());
        }
    }

    #[test]
    fn nothing_is_left_where_something_waits_for_it() {
        let capacity_bytes = 64 << 10;
        let all_are_due = |source: &mut Source| {
            source.look(0, 1, false);
            source.due_bytes() == source.consumer.unread_bytes()
        };
        let (producer, mut open) = source(capacity_bytes);
        append(&producer, capacity_bytes / OPEN_PART_OF_A_RING - 64);
        assert!(!all_are_due(&mut open));
        append(&producer, 64);
        assert!(all_are_due(&mut open), "as much as may lie in a block");

        let (producer, mut behind) = source(capacity_bytes);
        append(&producer, 64);
        let blocks = (LEFT_BEHIND_BYTES_MAX / BLOCK_BYTES) as u64;
        assert_eq!(behind.look(0, blocks, false), None);
        assert_eq!(behind.look(0, 1 + blocks, false), Some(0), "much has been written since it was empty");
        assert_eq!(behind.look(0, 1 + blocks, false), Some(0), "and it has still not been taken");

        let (producer, mut ended) = source(capacity_bytes);
        append(&producer, 64);
        assert!(!all_are_due(&mut ended));
        ended.returned = Some(producer);
        assert!(all_are_due(&mut ended), "there will be no more");

        let (producer, mut starved) = source(capacity_bytes);
        append(&producer, 64);
        assert!(!all_are_due(&mut starved));
        starved.consumer.control().mark_wants_space();
        assert!(all_are_due(&mut starved), "the producer wants the space");
    }
}
