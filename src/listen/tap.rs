//! The writer's end of a log's listeners: it copies the records of their levels while it drains the rings.
//!
//! The copies of a turn are collected, and passed on at its end. Nothing here waits: what does not fit is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::entry::{Entry, RECORD_ENTRY_BYTES, RecordEntry};
use super::outlet::{Batch, Queue};

/// A record as the writer has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) kind: u8,
    /// As its number: more severe levels have smaller ones.
    pub(crate) level: u8,
    pub(crate) flags: u8,
    pub(crate) sequence: u64,
    pub(crate) timestamp_ns: u64,
    pub(crate) payload: &'a [u8],
}

/// The ends of all listeners of one log.
#[derive(Default)]
pub(crate) struct Taps {
    taps: Vec<Tap>,
    /// The level of the most verbose one, as its number; 0 if there is none.
    level: u8,
}

/// The end of one listener.
struct Tap {
    queue: Arc<Queue>,
    bytes_max: usize,
    /// Entries that are not passed on yet.
    staged: Vec<u8>,
    /// The producer of the last record in them.
    staged_producer: Option<u32>,
    /// Records that did not fit, and of which the listener has not heard.
    missed: u64,
    has_ended: bool,
}

impl Taps {
    /// Those of `queues`, each of `bytes_max`.
    pub(super) fn new(queues: &[Arc<Queue>], bytes_max: usize) -> Taps {
        let level = queues.iter().map(|queue| queue.level as u8).max().unwrap_or(0);
        let tap = |queue: &Arc<Queue>| Tap {
            queue: Arc::clone(queue),
            bytes_max,
            staged: Vec::new(),
            staged_producer: None,
            missed: 0,
            has_ended: false,
        };
        Taps { taps: queues.iter().map(tap).collect(), level }
    }

    /// Whether there are any.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.level > 0
    }

    /// Whether one of them listens to records of `level`, given as its number.
    #[inline(always)]
    pub(crate) fn hears(&self, level: u8) -> bool {
        level <= self.level
    }

    /// Copies a record of a producer for each listener of its level.
    #[cold]
    #[inline(never)]
    pub(crate) fn take(&mut self, producer: u32, name: &str, record: Heard<'_>) {
        for tap in self.taps.iter_mut().filter(|tap| record.level <= tap.queue.level as u8) {
            tap.take(producer, name, record);
        }
    }

    /// Passes on what was copied. Returns whether something is left, because a listener's thread was in the way.
    #[inline]
    pub(crate) fn pass_on(&mut self) -> bool {
        self.any() && self.taps.iter_mut().fold(false, |any, tap| tap.pass_on() | any)
    }

    /// Passes on the rest, and that the log has ended.
    pub(crate) fn end(&mut self) {
        self.taps.iter_mut().for_each(Tap::end);
    }
}

impl Tap {
    fn take(&mut self, producer: u32, name: &str, record: Heard<'_>) {
        self.queue.heard.fetch_add(1, Relaxed);
        let bytes = RECORD_ENTRY_BYTES + record.payload.len();
        let waiting = self.waiting_bytes();
        // A record that is longer than the queue is passed on alone. After a loss half of the queue is to be free, so that
        // the listener hears of many at once.
        let limit = if self.missed > 0 { self.bytes_max / 2 } else { self.bytes_max };
        if waiting > 0 && waiting + bytes > limit {
            self.missed += 1;
            self.queue.missed.fetch_add(1, Relaxed);
            return;
        }
        self.stage_missed();
        if self.staged_producer != Some(producer) {
            self.staged_producer = Some(producer);
            Entry::Producer { id: producer, name }.encode(&mut self.staged);
        }
        let Heard { kind, level, flags, sequence, timestamp_ns, payload } = record;
        Entry::Record(RecordEntry { kind, level, flags, sequence, timestamp_ns, payload }).encode(&mut self.staged);
    }

    /// Bytes that the listener has not taken.
    fn waiting_bytes(&self) -> usize {
        self.staged.len() + self.queue.waiting_bytes.load(Relaxed)
    }

    /// Adds the number of the records that did not fit, if there are any.
    fn stage_missed(&mut self) {
        if self.missed > 0 {
            Entry::Missed(std::mem::take(&mut self.missed)).encode(&mut self.staged);
        }
    }

    fn pass_on(&mut self) -> bool {
        if self.missed > 0 && self.waiting_bytes() <= self.bytes_max / 2 {
            self.stage_missed();
        }
        if self.staged.is_empty() {
            return false;
        }
        let batch = self.take_staged();
        match self.queue.outlet.try_push(batch) {
            Ok(()) => {
                self.staged_producer = None;
                false
            }
            Err(batch) => {
                self.queue.waiting_bytes.fetch_sub(batch.bytes.len(), Relaxed);
                self.staged = batch.bytes;
                true
            }
        }
    }

    fn take_staged(&mut self) -> Batch {
        let bytes = std::mem::take(&mut self.staged);
        self.queue.waiting_bytes.fetch_add(bytes.len(), Relaxed);
        Batch { queue: Arc::clone(&self.queue), bytes }
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.stage_missed();
        Entry::End.encode(&mut self.staged);
        let batch = self.take_staged();
        self.queue.outlet.push(batch);
    }
}

/// The log ends, or its writer panicked, or open failed.
impl Drop for Tap {
    fn drop(&mut self) {
        self.end();
    }
}
