//! Records of one run in the order of their time, from blocks that are in memory.
//!
//! Each producer's records are a stream that is sorted already; the streams are merged by (ns, producer), and inside
//! a stream the sequence decides. A stream that is not sorted, or leaves the bounds of its block, contradicts itself:
//! this is noticed without work for each record. The leading stream is outside the heap, so that while one producer's
//! records follow one another the heap is not touched.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::account::{SequenceGap, ShardTimes, out_of_bounds};
use super::callsites::Callsites;
use super::content::Text;
use super::record::{ProducerIdentity, RecordRef, RunContext};
use super::scan::{Loaded, PassedOver, Shard, ShardRecord, ShardRecords};

/// The order of streams: the time of the next record, then the producer.
type Key = (u64, u32);

/// Streams that are kept though their producers have no record in memory, so that they are not made anew for each
/// block.
const IDLE_STREAMS_MAX: usize = 1024;

/// Memory that a shard takes besides its bytes, if its producer has no other.
const SHARD_OVERHEAD_BYTES: usize = size_of::<Shard>() + size_of::<Part>() + size_of::<Stream>();

/// A record that can be given out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// Whether a record with a later time was given out before it.
    pub(super) is_late: bool,
    stream: usize,
}

/// One producer's records.
#[derive(Debug, Default)]
struct Stream {
    producer: Arc<ProducerIdentity>,
    /// The next record, if `shard` is set.
    head: ShardRecord,
    /// The slot of that shard and the records after `head`: outside `shard`, since each record needs them.
    slot: usize,
    records: ShardRecords,
    /// The shard that holds `head`.
    shard: Option<HeadShard>,
    /// The last time in the shards before it.
    before_ns: u64,
    /// The shards after it.
    parts: VecDeque<Part>,
    /// The gaps before `head` that have not been given out.
    gaps: VecDeque<SequenceGap>,
}

/// The shard whose records are next in a stream.
#[derive(Debug)]
struct HeadShard {
    shard: Shard,
    /// Whether all of its times have been compared.
    is_compared: bool,
}

/// A shard after that one.
#[derive(Debug)]
struct Part {
    slot: usize,
    shard: Shard,
    producer: Arc<ProducerIdentity>,
    /// The gaps before it.
    gaps: Vec<SequenceGap>,
}

/// The streams of the run's producers.
#[derive(Debug, Default)]
struct Streams {
    all: Vec<Stream>,
    free: Vec<usize>,
    by_id: HashMap<u32, usize>,
}

impl Streams {
    /// The producer's stream.
    fn of(&mut self, producer: &Arc<ProducerIdentity>) -> usize {
        *self.by_id.entry(producer.id).or_insert_with(|| {
            let fresh = Stream { producer: Arc::clone(producer), ..Stream::default() };
            put(fresh, &mut self.all, &mut self.free)
        })
    }

    /// Drops a stream without records, if there are many: its producer may have ended.
    fn drop_idle(&mut self, stream: usize) {
        if self.by_id.len() > IDLE_STREAMS_MAX {
            self.by_id.remove(&self.all[stream].producer.id);
            self.free.push(stream);
        }
    }

    fn key(&self, stream: usize) -> Key {
        (self.all[stream].head.timestamp_ns, self.all[stream].producer.id)
    }
}

/// A block in memory, or the memory of one that was there.
#[derive(Debug)]
struct Slot {
    block: Loaded,
    /// The bounds of the times in it, by its header.
    times: RangeInclusive<u64>,
    /// Shards with records still to come.
    shards: usize,
    /// Its share of [`Blocks::bytes`].
    bytes: usize,
}

/// The blocks in memory.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Bytes of memory in slots that are in use.
    pub(super) bytes: usize,
}

impl Blocks {
    /// An empty block to load into: give it back with [`Merge::add`] or [`keep`](Self::keep).
    pub(super) fn spare(&mut self) -> Loaded {
        self.free.last().map_or_else(Loaded::default, |&slot| std::mem::take(&mut self.slots[slot].block))
    }

    /// Takes back a block that was not used.
    pub(super) fn keep(&mut self, block: Loaded) {
        let slot = put(Slot { block, times: 0..=0, shards: 0, bytes: 0 }, &mut self.slots, &mut self.free);
        self.free.push(slot);
    }

    /// Holds a block until [`leave_shard`](Self::leave_shard) was called for each of its `shards`.
    fn hold(&mut self, block: Loaded, times: RangeInclusive<u64>, shards: usize) -> usize {
        let bytes = block.memory_bytes() + shards * SHARD_OVERHEAD_BYTES;
        self.bytes += bytes;
        put(Slot { block, times, shards, bytes }, &mut self.slots, &mut self.free)
    }

    /// Notes that a shard of the block in `slot` is not needed any more. The last one frees the slot.
    fn leave_shard(&mut self, slot: usize) {
        let Slot { shards, bytes, .. } = &mut self.slots[slot];
        *shards -= 1;
        if *shards == 0 {
            self.bytes -= std::mem::take(bytes);
            self.free.push(slot);
        }
    }
}

/// Puts `entry` into a free place of `all`, or a new one. Returns the place.
fn put<T>(entry: T, all: &mut Vec<T>, free: &mut Vec<usize>) -> usize {
    if let Some(place) = free.pop() {
        all[place] = entry;
        return place;
    }
    all.push(entry);
    all.len() - 1
}

/// Where the merge stands among the streams.
#[derive(Debug, Default)]
struct Standing {
    /// The stream whose head comes next.
    leader: Option<usize>,
    /// Whether that head has been given out.
    is_given: bool,
    /// The other streams that have a head.
    others: BinaryHeap<Reverse<(Key, usize)>>,
    /// The smallest time of these heads.
    others_ns: u64,
    /// The largest time given out.
    last_ns: u64,
}

/// The gaps that have not been given out.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// Their number, in all streams and after them.
    pub(super) count: usize,
    /// Those after a producer's last record, by a time that is not before it, and the producer.
    trailing: BTreeMap<Key, VecDeque<SequenceGap>>,
    /// The last time in any block of the run so far.
    blocks_last_ns: u64,
}

impl Gaps {
    /// Puts `gaps` after the records with times up to that of `key`, if there are any.
    fn put_after(&mut self, key: Key, gaps: impl IntoIterator<Item = SequenceGap>) {
        let mut gaps = gaps.into_iter().peekable();
        if gaps.peek().is_some() {
            self.trailing.entry(key).or_default().extend(gaps);
        }
    }

    /// Takes the first gap after records that are all before `next_ns`, or, without it, after all; and its time.
    fn take_trailing(&mut self, next_ns: Option<u64>) -> Option<(SequenceGap, u64)> {
        let mut first = self.trailing.first_entry().filter(|first| next_ns.is_none_or(|ns| first.key().0 < ns))?;
        let ns = first.key().0;
        let gap = first.get_mut().pop_front()?;
        if first.get().is_empty() {
            first.remove();
        }
        self.count -= 1;
        Some((gap, ns))
    }
}

/// The blocks in memory, and the streams through them.
#[derive(Debug, Default)]
pub(super) struct Merge {
    pub(super) blocks: Blocks,
    streams: Streams,
    standing: Standing,
    pub(super) gaps: Gaps,
    /// How blocks contradict themselves, as sentences, since this was taken last.
    pub(super) faults: Vec<String>,
    /// Records passed over since this was taken last.
    pub(super) passed_over: PassedOver,
}

impl Merge {
    /// Adds a block's records, and the `gaps` that its shards and ends have shown; `times` are the bounds of the
    /// block's times. `producer_of` gives the producer with an id. The shards that `takes` refuses are left out.
    pub(super) fn add(
        &mut self,
        mut block: Loaded,
        producer_of: impl Fn(u32) -> Arc<ProducerIdentity>,
        takes: impl Fn(&Shard, &ProducerIdentity, &Callsites) -> bool,
        gaps: Vec<SequenceGap>,
        times: RangeInclusive<u64>,
    ) {
        self.leave_given();
        let mut shards = std::mem::take(&mut block.shards);
        self.gaps.blocks_last_ns = self.gaps.blocks_last_ns.max(*times.end());
        let last_ns = self.gaps.blocks_last_ns;
        // One shard more, so that the block stays while they are added.
        let slot = self.blocks.hold(block, times, shards.len() + 1);
        self.gaps.count += gaps.len();
        let mut gaps = gaps.into_iter().peekable();
        for (index, shard) in shards.drain(..).enumerate() {
            let producer = producer_of(shard.producer);
            let gaps: Vec<_> = std::iter::from_fn(|| gaps.next_if(|gap| gap.before_shard == Some(index))).collect();
            if !takes(&shard, &producer, &self.blocks.slots[slot].block.callsites) {
                self.blocks.leave_shard(slot);
                self.gaps.put_after((last_ns, producer.id), gaps);
                continue;
            }
            let stream = self.streams.of(&producer);
            self.streams.all[stream].parts.push_back(Part { slot, shard, producer, gaps });
            if self.streams.all[stream].shard.is_none() && self.advance_shard(stream) {
                self.enqueue(stream);
            }
        }
        // The producer's last record may be in an earlier block, and not be given out yet.
        for gap in gaps {
            self.gaps.put_after((last_ns, gap.producer.id), [gap]);
        }
        // The vector is used again for the next block.
        self.blocks.slots[slot].block.shards = shards;
        self.blocks.leave_shard(slot);
    }

    /// The next record, if its time is below `limit_ns` or there is no limit.
    #[inline]
    pub(super) fn next(&mut self, limit_ns: Option<u64>) -> Option<Ready> {
        self.leave_given();
        let Standing { leader, others_ns, .. } = self.standing;
        match leader {
            Some(leader)
                if self.streams.all[leader].head.timestamp_ns < limit_ns.unwrap_or(u64::MAX).min(others_ns) =>
            {
                Some(self.give(leader))
            }
            _ => self.choose(limit_ns),
        }
    }

    /// As [`next`](Self::next), if another stream may come first.
    fn choose(&mut self, limit_ns: Option<u64>) -> Option<Ready> {
        let Standing { leader, others, others_ns, .. } = &mut self.standing;
        if let Some(leader) = leader {
            let key = self.streams.key(*leader);
            if let Some(mut best) = others.peek_mut()
                && best.0.0 < key
            {
                // The leader replaces the best of the others: the heap is restored once, not twice.
                let Reverse((_, stream)) = std::mem::replace(&mut *best, Reverse((key, *leader)));
                *leader = stream;
            }
        } else {
            *leader = others.pop().map(|Reverse((_, stream))| stream);
        }
        *others_ns = others.peek().map_or(u64::MAX, |Reverse((key, _))| key.0);
        let leader = (*leader)?;
        let ns = self.streams.all[leader].head.timestamp_ns;
        limit_ns.is_none_or(|limit| ns < limit).then(|| self.give(leader))
    }

    #[inline]
    fn give(&mut self, stream: usize) -> Ready {
        let ns = self.streams.all[stream].head.timestamp_ns;
        let Standing { is_given, last_ns, .. } = &mut self.standing;
        *is_given = true;
        let is_late = ns < *last_ns;
        *last_ns = ns.max(*last_ns);
        Ready { is_late, stream }
    }

    /// Takes the last record back: [`next`](Self::next) gives it once more.
    pub(super) fn take_back(&mut self) {
        self.standing.is_given = false;
    }

    /// The record that [`next`](Self::next) gave last, of this run. `text` takes its text.
    #[inline(always)]
    pub(super) fn record<'a>(&'a self, ready: &Ready, text: &'a Text, run: &'a RunContext) -> RecordRef<'a> {
        let Stream { slot, head, producer, .. } = &self.streams.all[ready.stream];
        RecordRef::of(head, &self.blocks.slots[*slot].block, producer, text, run)
    }

    /// The next gap that comes before the record that [`next`](Self::next) gave last, and its time; if that was none,
    /// the next gap after all records.
    pub(super) fn gap_before(&mut self, ready: Option<&Ready>) -> Option<(SequenceGap, u64)> {
        let next_ns = ready.map(|ready| self.streams.all[ready.stream].head.timestamp_ns);
        self.gaps.take_trailing(next_ns).or_else(|| {
            let stream = &mut self.streams.all[ready?.stream];
            let gap = stream.gaps.pop_front()?;
            self.gaps.count -= 1;
            Some((gap, stream.head.timestamp_ns))
        })
    }

    /// Whether there are gaps after the last records of producers.
    pub(super) fn has_trailing_gaps(&self) -> bool {
        !self.gaps.trailing.is_empty()
    }

    /// Forgets all gaps.
    pub(super) fn forget_gaps(&mut self) {
        self.gaps.trailing.clear();
        for stream in &mut self.streams.all {
            stream.gaps.clear();
            stream.parts.iter_mut().for_each(|part| part.gaps.clear());
        }
        self.gaps.count = 0;
    }

    /// Begins another run, whose times may be earlier.
    pub(super) fn start_run(&mut self) {
        (self.streams, self.standing, self.gaps) = Default::default();
    }

    /// Moves the leading stream on if its head has been given out.
    #[inline]
    fn leave_given(&mut self) {
        if std::mem::take(&mut self.standing.is_given)
            && let Some(leader) = self.standing.leader
            && !self.advance(leader)
        {
            self.standing.leader = None;
            self.streams.drop_idle(leader);
        }
    }

    /// Brings the stream's next record to its head.
    #[inline]
    fn advance(&mut self, stream: usize) -> bool {
        let at = &mut self.streams.all[stream];
        at.records.next(&self.blocks.slots[at.slot].block, &mut at.head) || self.advance_shard(stream)
    }

    /// Leaves the stream's shard, which has no more records, for the next one that has.
    fn advance_shard(&mut self, stream: usize) -> bool {
        // The caller took a record, and not the gaps before it: it does not want them.
        self.gaps.count -= self.streams.all[stream].gaps.drain(..).count();
        loop {
            let at = &mut self.streams.all[stream];
            if at.shard.take().is_some() {
                at.before_ns = at.before_ns.max(at.head.timestamp_ns);
                self.check_bounds(stream);
                self.finish_shard(stream);
            }
            let at = &mut self.streams.all[stream];
            let Some(Part { slot, shard, producer, gaps }) = at.parts.pop_front() else {
                // They are before shards without a record that can be read, so no record follows them.
                let gaps = std::mem::take(&mut at.gaps);
                self.gaps.put_after(self.streams.key(stream), gaps);
                return false;
            };
            at.gaps.extend(gaps);
            (at.slot, at.records) = (slot, ShardRecords::of(&shard));
            at.producer = producer;
            if at.records.next(&self.blocks.slots[slot].block, &mut at.head) {
                at.shard = Some(HeadShard { shard, is_compared: false });
                self.check_bounds(stream);
                return true;
            }
            self.finish_shard(stream);
        }
    }

    /// Counts what was passed over in the stream's shard, and frees its slot if no other shard needs it.
    fn finish_shard(&mut self, stream: usize) {
        let Stream { slot, records, .. } = &self.streams.all[stream];
        self.passed_over.add(&records.passed_over);
        self.blocks.leave_shard(*slot);
    }

    /// Notes a fault if the time of the stream's head is not within the bounds of its block. If times do not go back,
    /// it is enough to ask this for the first and the last record of a shard.
    fn check_bounds(&mut self, stream: usize) {
        let Stream { producer, slot, head, .. } = &self.streams.all[stream];
        if !self.blocks.slots[*slot].times.contains(&head.timestamp_ns) {
            self.faults.push(out_of_bounds(producer.id));
        }
    }

    /// Compares all times of the shard that holds a late record, once: a producer whose times go back has late records.
    #[cold]
    pub(super) fn check_order(&mut self, ready: &Ready) {
        let Stream { producer, slot, shard, before_ns, .. } = &mut self.streams.all[ready.stream];
        let Some(HeadShard { shard, is_compared: is_compared @ false }) = shard else { return };
        *is_compared = true;
        let Slot { block, times: bounds, .. } = &self.blocks.slots[*slot];
        let mut times = ShardTimes::new(bounds, *before_ns);
        let (mut records, mut record) = (ShardRecords::of(shard), ShardRecord::default());
        while records.next(block, &mut record) {
            times.take(record.timestamp_ns);
        }
        self.faults.extend(times.faults(producer.id));
    }

    fn enqueue(&mut self, stream: usize) {
        let key = self.streams.key(stream);
        self.standing.others_ns = self.standing.others_ns.min(key.0);
        self.standing.others.push(Reverse((key, stream)));
    }
}
