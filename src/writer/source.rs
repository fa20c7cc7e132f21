//! One ring as the writer sees it: the records drained from it, its producer's account in the blocks, and the space to
//! release.

use std::sync::Arc;

use crate::block::{Added, Block, CallsiteTable, Last, RecordMeta};
use crate::clock::{self, TickConverter};
use crate::format::{DroppedBy, Kind, ProducerRow, RecordFlags};
use crate::gate::Gate;
use crate::listen::{Heard, Taps};
use crate::registry::Arrival;
use crate::ring::{ConsumerEnd, Head, Position, ProducerEnd};
use crate::shared::AwaitedAppends;
use crate::stats::{Drained, ProducerLosses};
use crate::writer::contents::Accounted;
use crate::writer::gap_causes::GapCauses;
use crate::writer::schedule::{DRAIN_BYTES, Look, Patience, Unread};

/// One producer's ring, and the accounts of it.
pub(crate) struct Source {
    pub(crate) id: u32,
    tid: u32,
    name: String,
    pub(crate) consumer: ConsumerEnd,
    pub(super) patience: Patience,
    /// Bytes that the last look found due, and that were not taken since.
    due_bytes: usize,
    /// The time of the last record drained: times never go back.
    last_ns: u64,
    /// The account in all blocks so far, including the one being filled.
    pub(crate) accounted: Accounted,
    figures: DrainFigures,
    gap_causes: GapCauses,
    /// The losses taken with [`take_losses`](Self::take_losses).
    losses_taken: (DroppedBy, u64),
    /// The records that were dropped or overwritten by the last row in a block.
    losses_written: u64,
    /// The bytes of the ring's records that are in closed blocks.
    closed_bytes: u64,
    /// Whether the reserve is known to have memory.
    pub(crate) has_entered_reserve: bool,
    /// The producer's end, after the producer is gone.
    pub(crate) returned: Option<ProducerEnd>,
    /// Whether the end record is in a block.
    pub(crate) end_written: bool,
}

/// Figures of what was drained from a ring, besides the number of records.
struct DrainFigures {
    /// Records that were cut.
    truncated: u64,
    /// The bytes of all payloads.
    payload_bytes: u64,
    /// The most bytes that the ring has held.
    high_water_bytes: u64,
    /// Where they are published.
    published: Arc<Drained>,
}

/// Where records are moved to.
pub(crate) struct DrainTarget<'a> {
    /// The block, which has the producer's row.
    pub(crate) block: &'a mut Block,
    pub(crate) callsites: &'a mut CallsiteTable,
    /// The sequence of the writer's next own record, for gap records.
    pub(crate) own_sequence: &'a mut u64,
    /// The log's listeners.
    pub(crate) taps: &'a mut Taps,
    pub(crate) converter: &'a TickConverter,
    /// The monotonic clock, read after the ring was observed: no record gets a later time.
    pub(crate) now_ns: u64,
}

/// The form in which a loop moves records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Up to a record that must be packed. The record of the sequence `kept` must not be.
    Plain { kept: Option<u64> },
    /// Up to a record that must be plain.
    Packed,
}

/// Why a loop over records ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// All due records are taken, or as many as one look drains.
    Taken,
    /// The next record does not fit into the block.
    Full,
    /// The next record must have this form.
    Before(Form),
}

impl Source {
    /// A ring that arrives after `blocks_begun` blocks of `block_bytes` have been begun.
    pub(crate) fn new(arrival: Arrival, block_bytes: usize, blocks_begun: u64) -> Source {
        Source {
            id: arrival.id,
            tid: arrival.tid,
            name: arrival.name,
            closed_bytes: arrival.consumer.taken_bytes(),
            patience: Patience::new(arrival.consumer.capacity(), block_bytes, blocks_begun),
            consumer: arrival.consumer,
            due_bytes: 0,
            last_ns: 0,
            accounted: Accounted::default(),
            figures: DrainFigures { truncated: 0, payload_bytes: 0, high_water_bytes: 0, published: arrival.drained },
            gap_causes: GapCauses::default(),
            losses_taken: Default::default(),
            losses_written: 0,
            has_entered_reserve: false,
            returned: None,
            end_written: false,
        }
    }

    /// Observes the ring after `blocks_begun` blocks have been begun, and decides which records are due: `all` of them,
    /// or all but the newest ones.
    #[inline]
    pub(crate) fn look(&mut self, now_ns: u64, blocks_begun: u64, all: bool) -> Look {
        let seen = self.consumer.unread_bytes();
        self.consumer.observe();
        let unread = Unread { seen, bytes: self.consumer.unread_bytes(), open: self.open_bytes() };
        // If the ring is empty, nothing is due. Then the cache line with its producer's request for space is not read.
        let wants_all = || self.returned.is_some() || self.consumer.control().wants_space();
        let all = all || unread.bytes > 0 && wants_all();
        let look = self.patience.look(now_ns, blocks_begun, unread, all);
        self.due_bytes = look.due_bytes;
        // A flush may have observed the ring before this look.
        if look.new_bytes > 0 || look.due_bytes > 0 {
            self.note_held();
        }
        look
    }

    /// Raises the high-water mark to what the ring holds now.
    #[inline]
    fn note_held(&mut self) {
        let held_bytes = self.consumer.held_bytes();
        if held_bytes > self.figures.high_water_bytes {
            self.figures.high_water_bytes = held_bytes;
            self.figures.published.publish_high_water(held_bytes);
        }
    }

    /// Observes the ring. Returns whether it holds records that were not taken.
    pub(crate) fn observe_records(&mut self) -> bool {
        self.consumer.observe() != self.consumer.cursor()
    }

    /// Whether no append is under way that is `awaited`. After the gate was closed, this stays true. A producer that is
    /// gone appends no more, even if its flag is raised: a thread that exits inside an append destroys its producers.
    pub(crate) fn is_quiet(&self, awaited: &AwaitedAppends) -> bool {
        let flag = self.consumer.control().append_flag();
        match awaited {
            AwaitedAppends::None => true,
            AwaitedAppends::AllBut(stack) => {
                self.returned.is_some() || Gate::is_outside(flag) || flag.is_raised_on(stack)
            }
        }
    }

    /// Moves the records that the last [`look`](Self::look) found due to the `target`. Returns `true` if the block is
    /// full, because the next record does not fit; otherwise all due records are taken, or as many as one look drains.
    pub(crate) fn drain(&mut self, mut target: DrainTarget<'_>, blocks_begun: u64) -> bool {
        let before = self.accounted;
        let is_full = self.move_due(&mut target);
        let (after, DrainFigures { truncated, payload_bytes, published, .. }) = (self.accounted, &self.figures);
        published.publish(after.records, *truncated, *payload_bytes);
        let missing = (after.next_sequence - before.next_sequence) - (after.records - before.records);
        if missing > 0 {
            self.explain_gaps(target.block, missing);
        }
        if !is_full && self.consumer.unread_bytes() == 0 {
            self.patience.note_emptied(blocks_begun);
        }
        is_full
    }

    /// The loops of [`drain`](Self::drain). Returns whether they ended because the block is full.
    ///
    /// Shards of messages alone are plain, so that their loop is as short as possible. A record of a callsite ends that
    /// loop and begins the one for packed records. A message after a gap, or a record that cannot be packed, ends the
    /// second.
    fn move_due(&mut self, target: &mut DrainTarget<'_>) -> bool {
        let mut piece_bytes = DRAIN_BYTES.min(self.due_bytes);
        let is_packing = target.block.is_packing(self.id);
        let mut form = if is_packing { Form::Packed } else { Form::Plain { kept: None } };
        loop {
            let begin = self.consumer.taken_bytes();
            let ended = if target.taps.any() {
                self.move_as::<true>(target, piece_bytes, form)
            } else {
                self.move_as::<false>(target, piece_bytes, form)
            };
            let taken_bytes = (self.consumer.taken_bytes() - begin) as usize;
            self.due_bytes = self.due_bytes.saturating_sub(taken_bytes);
            piece_bytes = piece_bytes.saturating_sub(taken_bytes);
            match ended {
                Ended::Taken => return false,
                Ended::Full => return true,
                Ended::Before(next) => form = next,
            }
        }
    }

    /// Chooses the loop for the form and the kind of ring. `HEARD`: listeners get its records. All this is decided
    /// before the loop, not for each record.
    fn move_as<const HEARD: bool>(&mut self, target: &mut DrainTarget<'_>, piece_bytes: usize, form: Form) -> Ended {
        match (form, self.consumer.overwrites(), self.consumer.merges()) {
            (Form::Plain { kept }, true, _) => self.move_plain::<true, false, HEARD>(target, piece_bytes, kept),
            (Form::Plain { kept }, _, true) => self.move_plain::<false, true, HEARD>(target, piece_bytes, kept),
            (Form::Plain { kept }, ..) => self.move_plain::<false, false, HEARD>(target, piece_bytes, kept),
            (Form::Packed, true, _) => self.move_packed::<true, false, HEARD>(target, piece_bytes),
            (Form::Packed, _, true) => self.move_packed::<false, true, HEARD>(target, piece_bytes),
            (Form::Packed, ..) => self.move_packed::<false, false, HEARD>(target, piece_bytes),
        }
    }

    /// The loop of [`Form::Plain`].
    fn move_plain<const OVERWRITES: bool, const MERGES: bool, const HEARD: bool>(
        &mut self,
        target: &mut DrainTarget<'_>,
        piece_bytes: usize,
        kept: Option<u64>,
    ) -> Ended {
        let DrainTarget { block, callsites, own_sequence, taps, converter, now_ns } = target;
        let (id, name) = (self.id, &*self.name);
        let (converter, now_ns) = (*converter, *now_ns);
        let mut last_ns = self.last_ns;
        let (mut truncated, mut payload_bytes) = (0, 0);
        let mut records = block.records_of(self.id, self.accounted.next_sequence, own_sequence);
        let mut ended = Ended::Taken;
        let sink = |head: &Head, payload: &[u8]| {
            let [kind, level, flags, unheard] = head.tag.to_le_bytes();
            if kind != Kind::Message as u8 {
                if callsites.packs() && kept != Some(head.sequence) {
                    ended = Ended::Before(Form::Packed);
                    return false;
                }
                if !records.define(callsites, payload) {
                    ended = Ended::Full;
                    return false;
                }
            }
            let timestamp_ns = clock::clamp(converter.to_ns(head.ticks), last_ns, now_ns);
            let meta = RecordMeta { kind, level, flags, timestamp_ns };
            if !records.append(head.sequence, meta, payload) {
                ended = Ended::Full;
                return false;
            }
            last_ns = timestamp_ns;
            truncated += u64::from(flags & RecordFlags::TRUNCATED);
            payload_bytes += payload.len() as u64;
            if HEARD && taps.hears(level) && unheard == 0 {
                taps.take(id, name, Heard { kind, level, flags, sequence: head.sequence, timestamp_ns, payload });
            }
            true
        };
        let taken = self.consumer.consume_as::<OVERWRITES, MERGES>(piece_bytes, sink);
        if taken > 0 {
            self.accounted.records += taken as u64;
            self.accounted.next_sequence = records.end(taken as u32, last_ns);
            self.last_ns = last_ns;
            self.figures.truncated += truncated;
            self.figures.payload_bytes += payload_bytes;
        }
        ended
    }

    /// The loop of [`Form::Packed`].
    fn move_packed<const OVERWRITES: bool, const MERGES: bool, const HEARD: bool>(
        &mut self,
        target: &mut DrainTarget<'_>,
        piece_bytes: usize,
    ) -> Ended {
        let DrainTarget { block, callsites, own_sequence, taps, converter, now_ns } = target;
        let (id, name) = (self.id, &*self.name);
        let (converter, now_ns) = (*converter, *now_ns);
        let last = Last { producer: self.id, sequence: self.accounted.next_sequence, last_ns: self.last_ns };
        let (mut truncated, mut payload_bytes) = (0, 0);
        let mut records = block.packed_records_of(last, callsites, own_sequence);
        let mut ended = Ended::Taken;
        let sink = |head: &Head, payload: &[u8]| {
            let [kind, level, flags, unheard] = head.tag.to_le_bytes();
            let timestamp_ns = clock::clamp(converter.to_ns(head.ticks), records.last_ns(), now_ns);
            let added = if kind == Kind::Structured as u8 {
                records.append(head.sequence, timestamp_ns, payload)
            } else {
                records.append_message(head.sequence, RecordMeta { kind, level, flags, timestamp_ns }, payload)
            };
            match added {
                Added::Yes => {
                    truncated += u64::from(flags & RecordFlags::TRUNCATED);
                    payload_bytes += payload.len() as u64;
                    if HEARD && taps.hears(level) && unheard == 0 {
                        let sequence = head.sequence;
                        taps.take(id, name, Heard { kind, level, flags, sequence, timestamp_ns, payload });
                    }
                    return true;
                }
                Added::Full => ended = Ended::Full,
                Added::NotPacked => ended = Ended::Before(Form::Plain { kept: Some(head.sequence) }),
            }
            false
        };
        let taken = self.consumer.consume_as::<OVERWRITES, MERGES>(piece_bytes, sink);
        if taken > 0 {
            self.accounted.records += taken as u64;
            self.last_ns = records.last_ns();
            self.accounted.next_sequence = records.end(taken as u32);
            self.figures.truncated += truncated;
            self.figures.payload_bytes += payload_bytes;
        }
        ended
    }

    /// Sets the cause of the gaps among the records that were just moved into `block`. `missing` records are missing
    /// there.
    #[cold]
    fn explain_gaps(&mut self, block: &mut Block, missing: u64) {
        // The ring was observed before, so the losses before each record in the block are counted by now.
        let counts = self.consumer.control().counts();
        let dropped_by = counts.dropped_by.into();
        let overwritten = self.consumer.overwrites().then_some(counts.overwritten);
        block.explain_gaps(self.gap_causes.explain(missing, dropped_by, overwritten));
    }

    /// The losses since the last call, if there are any.
    pub(crate) fn take_losses(&mut self) -> Option<ProducerLosses> {
        let counts = self.consumer.control().counts();
        let (dropped_by, overwritten) = (DroppedBy::from(counts.dropped_by), counts.overwritten);
        let (dropped_before, overwritten_before) = self.losses_taken;
        let dropped_by = dropped_by.since(dropped_before);
        let overwritten = overwritten - overwritten_before;
        if dropped_by.total() + overwritten == 0 {
            return None;
        }
        self.losses_taken = (dropped_before.plus(dropped_by), overwritten_before + overwritten);
        Some(ProducerLosses { id: self.id, name: self.name.clone(), dropped_by, overwritten })
    }

    /// Notes that a block holds this row of the producer.
    pub(crate) fn note_written(&mut self, row: &ProducerRow) {
        self.losses_written = row.dropped + row.overwritten;
    }

    /// The records that were dropped or overwritten.
    pub(crate) fn lost(&self) -> u64 {
        let counts = self.consumer.control().counts();
        counts.dropped + counts.overwritten
    }

    /// Whether the producer's end, or its last row in a block, shows so many losses.
    pub(crate) fn shows_lost(&self, lost: u64) -> bool {
        self.end_written || self.losses_written >= lost
    }

    /// The producer's row with this account.
    pub(crate) fn row_of(&self, accounted: Accounted) -> ProducerRow {
        let counts = self.consumer.control().counts();
        ProducerRow {
            id: self.id,
            tid: self.tid,
            next_sequence: accounted.next_sequence,
            records: accounted.records,
            dropped: counts.dropped,
            dropped_by: Some(counts.dropped_by.into()),
            overwritten: counts.overwritten,
            unwritten: 0,
            name: self.name.clone(),
        }
    }

    /// The producer's final account, after its last attempt. Records still in the ring are `unwritten`.
    pub(crate) fn final_row(&self) -> ProducerRow {
        let attempted = self.consumer.control().counts().attempted.max(self.accounted.next_sequence);
        let row = self.row_of(self.accounted);
        let accounted = row.records + row.dropped + row.overwritten;
        ProducerRow { next_sequence: attempted, unwritten: attempted.saturating_sub(accounted), ..row }
    }

    /// Whether so much of the ring lies in the block being filled that the block should be closed early.
    ///
    /// Not while the reserve is used: the producer has not stopped, and large blocks empty the reserve sooner. The
    /// producer then asks for space, so its block is closed anyway when the device is free.
    pub(crate) fn is_too_open(&self) -> bool {
        !self.consumer.uses_reserve() && self.patience.is_too_open(self.open_bytes())
    }

    /// Bytes of the ring that lie in the block being filled.
    fn open_bytes(&self) -> usize {
        (self.consumer.taken_bytes() - self.closed_bytes) as usize
    }

    /// Notes that the block being filled is closed. Returns the position to release when it is durable.
    pub(crate) fn close_share(&mut self) -> Position {
        self.closed_bytes = self.consumer.taken_bytes();
        self.consumer.cursor()
    }

    /// Wakes the producer if it sleeps until there is space. A wake-up costs each side several microseconds, so while
    /// more space is `to_come`, the producer is woken only when half of the ring is free.
    pub(crate) fn wake_producer(&self, to_come: bool) {
        if to_come && self.consumer.used_bytes() > self.consumer.capacity() / 2 {
            return;
        }
        self.consumer.control().wake_producer();
    }

    /// Takes the producer's request for space, if all records seen in the ring have been taken. Returns whether there
    /// was one.
    pub(crate) fn take_wants_space(&self) -> bool {
        self.patience.left_since_ns.is_none() && self.consumer.control().take_wants_space()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::ring::{RingOptions, ring};

    const CAPACITY_BYTES: usize = 64 << 10;

    /// A source of one record, which the first look leaves alone.
    fn source() -> (ProducerEnd, Source) {
        let (producer, consumer) = ring(RingOptions::window(CAPACITY_BYTES)).expect("a ring");
        producer.append(0, b"a record", || 0).expect("room");
        let arrival = Arrival { id: 1, tid: 1, name: String::new(), consumer, drained: Arc::default() };
        let mut source = Source::new(arrival, CAPACITY_BYTES, 1);
        assert_eq!(source.look(0, 1, false).due_bytes, 0);
        (producer, source)
    }

    fn all_are_due(source: &mut Source) -> bool {
        source.look(0, 1, false).due_bytes == source.consumer.unread_bytes()
    }

    #[test]
    fn an_append_of_a_producer_that_is_gone_is_not_waited_for() {
        let (producer, mut source) = source();
        let all = AwaitedAppends::AllBut(0..0);
        producer.control().append_flag().raise();
        assert!(!source.is_quiet(&all));
        source.returned = Some(producer);
        assert!(source.is_quiet(&all));
        source.consumer.control().reset();
        assert!(Gate::is_outside(source.consumer.control().append_flag()), "the next producer may append");
    }

    #[cfg(all(target_os = "linux", not(diolog_portable)))]
    #[test]
    fn an_append_of_the_exiting_thread_alone_is_not_waited_for() {
        let (producer, source) = source();
        let awaited = AwaitedAppends::AllBut(crate::sys::stack::own().expect("known"));
        let flag = producer.control().append_flag();
        flag.raise();
        assert!(source.is_quiet(&awaited));
        flag.lower();
        std::thread::scope(|scope| {
            scope.spawn(|| flag.raise());
        });
        assert!(!source.is_quiet(&awaited), "the other thread may go on");
        assert!(source.is_quiet(&AwaitedAppends::None));
    }

    #[test]
    fn all_records_are_due_once_the_producer_is_gone() {
        let (producer, mut source) = source();
        source.returned = Some(producer);
        assert!(all_are_due(&mut source));
    }

    #[test]
    fn all_records_are_due_if_the_producer_wants_space() {
        let (_producer, mut source) = source();
        source.consumer.control().mark_wants_space();
        assert!(!source.take_wants_space(), "a record has been left");
        assert!(all_are_due(&mut source));
        assert!(source.take_wants_space() && !source.take_wants_space());
    }

    #[test]
    fn all_records_are_due_once_a_quarter_of_the_ring_lies_in_the_block() {
        let (producer, mut source) = source();
        let payload = [b'x'; 1000];
        while source.consumer.unread_bytes() + 2048 < CAPACITY_BYTES / 4 {
            producer.append(0, &payload, || 0).expect("room");
            source.observe_records();
        }
        assert!(!all_are_due(&mut source));
        (0..2).for_each(|_| producer.append(0, &payload, || 0).map(drop).expect("room"));
        assert!(all_are_due(&mut source));
        source.consumer.consume(CAPACITY_BYTES, |_, _| true);
        assert!(source.is_too_open());
        source.close_share();
        assert!(!source.is_too_open());
    }
}
