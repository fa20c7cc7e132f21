//! Records of one run in the order of their time, from blocks that are in memory.
//!
//! Each producer's records are a stream that is sorted already; the streams are merged by (ns, producer), and inside
//! a stream the sequence decides. The stream in hand stands outside the heap, so that while one producer's records
//! come one after the other no heap is touched.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use super::block::{Loaded, Message, Messages, Shard};
use super::record::Producer;

/// What decides between streams.
type Key = (u64, u32);

/// Streams kept for producers without records in memory, so that they need not be made again for each block.
const IDLE_STREAMS_MAX: usize = 1024;

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) message: Message,
    /// Whether a later record has been given out before it.
    pub(super) is_late: bool,
    slot: usize,
    stream: usize,
}

/// Records of one producer in one block.
#[derive(Debug)]
struct Part {
    slot: usize,
    messages: Messages,
}

#[derive(Debug)]
struct Stream {
    producer: Arc<Producer>,
    parts: VecDeque<(usize, Shard)>,
    part: Option<Part>,
    head: Message,
}

#[derive(Debug, Default)]
struct Slot {
    block: Loaded,
    /// Shards with records still to come.
    shards: usize,
    /// What it counts for in [`Merge::bytes`].
    bytes: usize,
}

/// The blocks in memory, and the streams through them.
#[derive(Debug, Default)]
pub(super) struct Merge {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Bytes of memory in slots that are in use.
    pub(super) bytes: usize,
    streams: Vec<Stream>,
    by_id: HashMap<u32, usize>,
    heap: BinaryHeap<Reverse<(Key, usize)>>,
    current: Option<usize>,
    /// Whether the current stream's head has been given out.
    given: bool,
    /// The largest timestamp given out.
    last_ns: u64,
    /// Records passed over because they may be, since these were last taken.
    pub(super) skipped: u64,
    /// Records that cannot be read, since these were last taken.
    pub(super) unreadable: u64,
}

impl Merge {
    /// Whether no record is left.
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.heap.is_empty()
    }

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
                self.slots.push(Slot { block, shards: 0, bytes: 0 });
            }
        }
    }

    /// Adds a block's records.
    pub(super) fn add(&mut self, mut block: Loaded) {
        self.settle_current();
        let shards = std::mem::take(&mut block.shards);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let bytes = block.memory_bytes() + shards.capacity() * size_of::<Shard>();
        self.bytes += bytes;
        self.slots[slot] = Slot { block, shards: shards.len(), bytes };
        if shards.is_empty() {
            self.release(slot);
        }
        for shard in &shards {
            let stream = self.stream_of(&shard.producer);
            self.streams[stream].parts.push_back((slot, shard.clone()));
            if self.streams[stream].part.is_none() && self.advance(stream) {
                self.enqueue(stream);
            }
        }
        // The vector goes back for the next block.
        self.slots[slot].block.shards = shards;
        self.slots[slot].block.shards.clear();
    }

    /// The next record, if its time is below `limit_ns`, or whatever its time where there is no limit.
    #[inline]
    pub(super) fn next(&mut self, limit_ns: Option<u64>) -> Option<Ready> {
        self.settle_current();
        let best = self.heap.peek().map(|Reverse((key, _))| *key);
        let stream = match (self.current, best) {
            (Some(current), None) => current,
            (Some(current), Some(best)) if self.key(current) <= best => current,
            (None, None) => return None,
            (current, Some(_)) => {
                let Reverse((_, stream)) = self.heap.pop()?;
                if let Some(current) = current {
                    self.enqueue(current);
                }
                self.current = Some(stream);
                stream
            }
        };
        let head = self.streams[stream].head;
        if limit_ns.is_some_and(|limit| head.timestamp_ns >= limit) {
            return None;
        }
        let slot = self.streams[stream].part.as_ref()?.slot;
        self.given = true;
        let is_late = head.timestamp_ns < self.last_ns;
        self.last_ns = self.last_ns.max(head.timestamp_ns);
        Some(Ready { message: head, is_late, slot, stream })
    }

    /// The bytes and the producer of a record that [`next`](Self::next) gave last.
    #[inline]
    pub(super) fn resolve(&self, ready: &Ready) -> (&[u8], &Arc<Producer>) {
        let payload = self.slots[ready.slot].block.payload();
        let message = &ready.message;
        (&payload[message.start..message.start + message.length], &self.streams[ready.stream].producer)
    }

    /// Begins another run: times start anew.
    pub(super) fn start_run(&mut self) {
        self.last_ns = 0;
        self.streams.clear();
        self.by_id.clear();
    }

    /// Moves the current stream on if its head has been given out.
    #[inline]
    fn settle_current(&mut self) {
        if self.given {
            self.given = false;
            if let Some(current) = self.current
                && !self.advance(current)
            {
                self.current = None;
                self.forget_idle();
            }
        }
    }

    /// Brings the stream's next message to its head.
    #[inline]
    fn advance(&mut self, stream: usize) -> bool {
        let stream = &mut self.streams[stream];
        loop {
            if let Some(part) = &mut stream.part {
                if let Some(message) = part.messages.next(self.slots[part.slot].block.payload()) {
                    stream.head = message;
                    return true;
                }
                self.skipped += part.messages.skipped;
                self.unreadable += part.messages.unreadable;
                let slot = part.slot;
                stream.part = None;
                let used = &mut self.slots[slot];
                used.shards -= 1;
                if used.shards == 0 {
                    self.bytes -= std::mem::take(&mut used.bytes);
                    self.free.push(slot);
                }
            }
            let Some((slot, shard)) = stream.parts.pop_front() else { return false };
            stream.producer = Arc::clone(&shard.producer);
            stream.part = Some(Part { slot, messages: Messages::of(&shard) });
        }
    }

    fn key(&self, stream: usize) -> Key {
        (self.streams[stream].head.timestamp_ns, self.streams[stream].producer.id)
    }

    fn enqueue(&mut self, stream: usize) {
        self.heap.push(Reverse((self.key(stream), stream)));
    }

    fn release(&mut self, slot: usize) {
        self.bytes -= std::mem::take(&mut self.slots[slot].bytes);
        self.free.push(slot);
    }

    fn stream_of(&mut self, producer: &Arc<Producer>) -> usize {
        *self.by_id.entry(producer.id).or_insert_with(|| {
            let (parts, head) = (VecDeque::new(), Message::default());
            self.streams.push(Stream { producer: Arc::clone(producer), parts, part: None, head });
            self.streams.len() - 1
        })
    }

    /// Drops the streams of producers that may have ended, where no record is left.
    fn forget_idle(&mut self) {
        if self.streams.len() > IDLE_STREAMS_MAX && self.is_empty() {
            self.streams.clear();
            self.by_id.clear();
        }
    }
}
