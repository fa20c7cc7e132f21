//! Records of one run in the order of their time, from blocks that are in memory.
//!
//! Each producer's records are a stream that is sorted already; the streams are merged by (ns, producer), and inside
//! a stream the sequence decides. A stream that is not sorted, or leaves the bounds of its block, contradicts itself:
//! this is noticed without work for each record. The stream in hand is outside the heap, so that while one producer's
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
    /// The next record, if there is a current shard.
    head: ShardRecord,
    /// The slot of the current shard and the records after `head`: outside `current`, since each record needs them.
    slot: usize,
    records: ShardRecords,
    /// The shard that holds `head`.
    current: Option<CurrentShard>,
    /// The last time in the shards before it.
    before_ns: u64,
    /// The shards after it.
    parts: VecDeque<Part>,
    /// The gaps before `head` that have not been given out.
    gaps: VecDeque<SequenceGap>,
}

/// The shard whose records are next in a stream.
#[derive(Debug)]
struct CurrentShard {
    shard: Shard,
    /// Whether all of its times have been compared.
    is_compared: bool,
}

/// A shard after the current one.
#[derive(Debug)]
struct Part {
    slot: usize,
    shard: Shard,
    producer: Arc<ProducerIdentity>,
    /// The gaps before it.
    gaps: Vec<SequenceGap>,
}

#[derive(Debug)]
struct Slot {
    block: Loaded,
    /// The bounds of the times in it, by its header.
    times: RangeInclusive<u64>,
    /// Shards with records still to come.
    shards: usize,
    /// Its share of [`Merge::bytes`].
    bytes: usize,
}

impl Default for Slot {
    fn default() -> Slot {
        Slot { block: Loaded::default(), times: 0..=0, shards: 0, bytes: 0 }
    }
}

/// The blocks in memory, and the streams through them.
#[derive(Debug, Default)]
pub(super) struct Merge {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Bytes of memory in slots that are in use.
    pub(super) bytes: usize,
    streams: Vec<Stream>,
    free_streams: Vec<usize>,
    by_id: HashMap<u32, usize>,
    heap: BinaryHeap<Reverse<(Key, usize)>>,
    current: Option<usize>,
    /// The smallest time in the heap.
    rival_ns: u64,
    /// Whether the current stream's head has been given out.
    given: bool,
    /// The largest timestamp given out.
    last_ns: u64,
    /// Gaps that have not been given out, in all streams and after them.
    pub(super) gaps: usize,
    /// The last time in any block of the run so far.
    blocks_last_ns: u64,
    /// The gaps after a producer's last record, by a time that is not before it, and the producer.
    trailing: BTreeMap<Key, VecDeque<SequenceGap>>,
    /// How blocks contradict themselves, as sentences, since this was taken last.
    pub(super) faults: Vec<String>,
    /// Records passed over since this was taken last.
    pub(super) passed_over: PassedOver,
}

impl Merge {
    /// An empty block to load into: give it back with [`add`](Self::add) or [`keep`](Self::keep).
    pub(super) fn spare(&mut self) -> Loaded {
        match self.free.last() {
            Some(&slot) => std::mem::take(&mut self.slots[slot].block),
            None => Loaded::default(),
        }
    }

    /// Takes back a block that was not used.
    pub(super) fn keep(&mut self, block: Loaded) {
        match self.free.last() {
            Some(&slot) => self.slots[slot].block = block,
            None => {
                self.free.push(self.slots.len());
                self.slots.push(Slot { block, ..Slot::default() });
            }
        }
    }

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
        self.advance_current();
        let shards = std::mem::take(&mut block.shards);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let bytes = block.memory_bytes() + shards.len() * SHARD_OVERHEAD_BYTES;
        self.bytes += bytes;
        self.blocks_last_ns = self.blocks_last_ns.max(*times.end());
        self.slots[slot] = Slot { block, times, shards: shards.len() + 1, bytes };
        self.gaps += gaps.len();
        let mut gaps = gaps.into_iter().peekable();
        for (index, shard) in shards.iter().enumerate() {
            let producer = producer_of(shard.producer);
            let gaps: Vec<_> = std::iter::from_fn(|| gaps.next_if(|gap| gap.before_shard == Some(index))).collect();
            if !takes(shard, &producer, &self.slots[slot].block.callsites) {
                self.slots[slot].shards -= 1;
                if !gaps.is_empty() {
                    self.trailing.entry((self.blocks_last_ns, producer.id)).or_default().extend(gaps);
                }
                continue;
            }
            let stream = self.stream_of(&producer);
            self.streams[stream].parts.push_back(Part { slot, shard: shard.clone(), producer, gaps });
            if self.streams[stream].current.is_none() && self.advance_shard(stream) {
                self.enqueue(stream);
            }
        }
        // The producer's last record may be in an earlier block, and not be given out yet.
        for gap in gaps {
            self.trailing.entry((self.blocks_last_ns, gap.producer.id)).or_default().push_back(gap);
        }
        // The vector is used again for the next block.
        self.slots[slot].block.shards = shards;
        self.slots[slot].block.shards.clear();
        // While its shards were added, one more was counted, so that it stayed.
        self.slots[slot].shards -= 1;
        if self.slots[slot].shards == 0 {
            self.release(slot);
        }
    }

    /// The next record, if its time is below `limit_ns` or there is no limit.
    #[inline]
    pub(super) fn next(&mut self, limit_ns: Option<u64>) -> Option<Ready> {
        self.advance_current();
        match self.current {
            Some(current)
                if self.streams[current].head.timestamp_ns < limit_ns.unwrap_or(u64::MAX).min(self.rival_ns) =>
            {
                Some(self.give(current))
            }
            _ => self.choose(limit_ns),
        }
    }

    /// As [`next`](Self::next), if another stream may come first.
    fn choose(&mut self, limit_ns: Option<u64>) -> Option<Ready> {
        if let Some(current) = self.current {
            let key = self.key(current);
            if let Some(mut best) = self.heap.peek_mut()
                && best.0.0 < key
            {
                // The current stream replaces the best one: the heap is restored once, not twice.
                let Reverse((_, stream)) = std::mem::replace(&mut *best, Reverse((key, current)));
                self.current = Some(stream);
            }
        } else {
            self.current = self.heap.pop().map(|Reverse((_, stream))| stream);
        }
        self.rival_ns = self.heap.peek().map_or(u64::MAX, |Reverse((key, _))| key.0);
        let current = self.current?;
        let ns = self.streams[current].head.timestamp_ns;
        limit_ns.is_none_or(|limit| ns < limit).then(|| self.give(current))
    }

    #[inline]
    fn give(&mut self, stream: usize) -> Ready {
        let ns = self.streams[stream].head.timestamp_ns;
        self.given = true;
        let is_late = ns < self.last_ns;
        self.last_ns = self.last_ns.max(ns);
        Ready { is_late, stream }
    }

    /// Takes the last record back: [`next`](Self::next) gives it once more.
    pub(super) fn take_back(&mut self) {
        self.given = false;
    }

    /// The record that [`next`](Self::next) gave last, of this run. `text` takes its text.
    #[inline(always)]
    pub(super) fn record<'a>(&'a self, ready: &Ready, text: &'a Text, run: &'a RunContext) -> RecordRef<'a> {
        let Stream { slot, head, producer, .. } = &self.streams[ready.stream];
        RecordRef::of(head, &self.slots[*slot].block, producer, text, run)
    }

    /// The next gap that comes before the record that [`next`](Self::next) gave last, and its time; if that was none,
    /// the next gap after all records.
    pub(super) fn gap_before(&mut self, ready: Option<&Ready>) -> Option<(SequenceGap, u64)> {
        let next_ns = ready.map(|ready| self.streams[ready.stream].head.timestamp_ns);
        if let Some(mut first) = self.trailing.first_entry()
            && next_ns.is_none_or(|ns| first.key().0 < ns)
        {
            let ns = first.key().0;
            let gap = first.get_mut().pop_front();
            if first.get().is_empty() {
                first.remove();
            }
            self.gaps -= 1;
            return gap.map(|gap| (gap, ns));
        }
        let stream = &mut self.streams[ready?.stream];
        let gap = stream.gaps.pop_front()?;
        self.gaps -= 1;
        Some((gap, stream.head.timestamp_ns))
    }

    /// Whether there are gaps after the last records of producers.
    pub(super) fn has_trailing_gaps(&self) -> bool {
        !self.trailing.is_empty()
    }

    /// Forgets all gaps.
    pub(super) fn forget_gaps(&mut self) {
        self.trailing.clear();
        for stream in &mut self.streams {
            stream.gaps.clear();
            stream.parts.iter_mut().for_each(|part| part.gaps.clear());
        }
        self.gaps = 0;
    }

    /// Begins another run, whose times may be earlier.
    pub(super) fn start_run(&mut self) {
        (self.last_ns, self.blocks_last_ns, self.gaps) = (0, 0, 0);
        self.trailing.clear();
        self.streams.clear();
        self.free_streams.clear();
        self.by_id.clear();
    }

    /// Moves the current stream on if its head has been given out.
    #[inline]
    fn advance_current(&mut self) {
        if self.given {
            self.given = false;
            if let Some(current) = self.current
                && !self.advance(current)
            {
                self.current = None;
                self.drop_idle(current);
            }
        }
    }

    /// Brings the stream's next record to its head.
    #[inline]
    fn advance(&mut self, stream: usize) -> bool {
        let at = &mut self.streams[stream];
        at.records.next(&self.slots[at.slot].block, &mut at.head) || self.advance_shard(stream)
    }

    /// Leaves the stream's shard, which has no more records, for the next one that has.
    fn advance_shard(&mut self, stream: usize) -> bool {
        // The caller took a record, and not the gaps before it: it does not want them.
        self.gaps -= self.streams[stream].gaps.drain(..).count();
        loop {
            let at = &mut self.streams[stream];
            if at.current.take().is_some() {
                at.before_ns = at.before_ns.max(at.head.timestamp_ns);
                self.check_bounds(stream);
                self.finish_shard(stream);
            }
            let at = &mut self.streams[stream];
            let Some(Part { slot, shard, producer, gaps }) = at.parts.pop_front() else {
                if !at.gaps.is_empty() {
                    // They are before shards without a record that can be read, so no record follows them.
                    let (key, gaps) = (self.key(stream), std::mem::take(&mut self.streams[stream].gaps));
                    self.trailing.entry(key).or_default().extend(gaps);
                }
                return false;
            };
            at.gaps.extend(gaps);
            (at.slot, at.records) = (slot, ShardRecords::of(&shard));
            at.producer = producer;
            if at.records.next(&self.slots[slot].block, &mut at.head) {
                at.current = Some(CurrentShard { shard, is_compared: false });
                self.check_bounds(stream);
                return true;
            }
            self.finish_shard(stream);
        }
    }

    /// Counts what was passed over in the stream's shard, and frees its slot if no other shard needs it.
    fn finish_shard(&mut self, stream: usize) {
        let Stream { slot, records, .. } = &self.streams[stream];
        let slot = *slot;
        self.passed_over.add(&records.passed_over);
        self.slots[slot].shards -= 1;
        if self.slots[slot].shards == 0 {
            self.release(slot);
        }
    }

    /// Notes a fault if the time of the stream's head is not within the bounds of its block. If times do not go back,
    /// it is enough to ask this for the first and the last record of a shard.
    fn check_bounds(&mut self, stream: usize) {
        let Stream { producer, slot, head, .. } = &self.streams[stream];
        if !self.slots[*slot].times.contains(&head.timestamp_ns) {
            self.faults.push(out_of_bounds(producer.id));
        }
    }

    /// Compares all times of the shard that holds a late record, once: a producer whose times go back has late records.
    #[cold]
    pub(super) fn check_order(&mut self, ready: &Ready) {
        let Stream { producer, slot, current, before_ns, .. } = &mut self.streams[ready.stream];
        let Some(CurrentShard { shard, is_compared: is_compared @ false }) = current else { return };
        *is_compared = true;
        let Slot { block, times: bounds, .. } = &self.slots[*slot];
        let mut times = ShardTimes::new(bounds, *before_ns);
        let (mut records, mut record) = (ShardRecords::of(shard), ShardRecord::default());
        while records.next(block, &mut record) {
            times.take(record.timestamp_ns);
        }
        self.faults.extend(times.faults(producer.id));
    }

    fn key(&self, stream: usize) -> Key {
        (self.streams[stream].head.timestamp_ns, self.streams[stream].producer.id)
    }

    fn enqueue(&mut self, stream: usize) {
        let key = self.key(stream);
        self.rival_ns = self.rival_ns.min(key.0);
        self.heap.push(Reverse((key, stream)));
    }

    /// Frees a slot all of whose shards have been merged.
    fn release(&mut self, slot: usize) {
        self.bytes -= std::mem::take(&mut self.slots[slot].bytes);
        self.free.push(slot);
    }

    fn stream_of(&mut self, producer: &Arc<ProducerIdentity>) -> usize {
        if let Some(&stream) = self.by_id.get(&producer.id) {
            return stream;
        }
        let fresh = Stream { producer: Arc::clone(producer), ..Stream::default() };
        let stream = match self.free_streams.pop() {
            Some(stream) => {
                self.streams[stream] = fresh;
                stream
            }
            None => {
                self.streams.push(fresh);
                self.streams.len() - 1
            }
        };
        self.by_id.insert(producer.id, stream);
        stream
    }

    /// Drops a stream without records, if there are many: its producer may have ended.
    fn drop_idle(&mut self, stream: usize) {
        if self.by_id.len() > IDLE_STREAMS_MAX {
            self.by_id.remove(&self.streams[stream].producer.id);
            self.free_streams.push(stream);
        }
    }
}
