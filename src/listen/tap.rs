//! The writer's end of a log's listeners: it copies the records of their levels while it drains the rings.
//!
//! The copies of a turn are collected, and passed on at its end. Nothing here waits: records that do not fit are
//! counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::entry::{Entry, RECORD_ENTRY_BYTES, RecordEntry};
use super::outlet::{Batch, Queue};

/// A record that the writer drains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) kind: u8,
    /// The level as a number. More severe levels have smaller numbers.
    pub(crate) level: u8,
    pub(crate) flags: u8,
    pub(crate) sequence: u64,
    pub(crate) timestamp_ns: u64,
    pub(crate) payload: &'a [u8],
}

/// The writer's ends of all listeners of one log.
#[derive(Default)]
pub(crate) struct Taps {
    taps: Vec<Tap>,
    /// The level of the most verbose listener, as a number; 0 without listeners.
    level: u8,
}

/// The writer's end of one listener.
struct Tap {
    queue: Arc<Queue>,
    bytes_max: usize,
    /// Entries that were not passed on yet.
    staged: Vec<u8>,
    /// The producer of the last record in `staged`.
    staged_producer: Option<u32>,
    /// Bytes of all entries passed on, and how many of them the thread had taken at the last look.
    passed_bytes: u64,
    done_bytes: u64,
    /// Records of the level so far, and how many of them did not fit.
    records: u64,
    all_missed: u64,
    /// How many of the latter the listener has not been told of.
    missed: u64,
    has_ended: bool,
}

impl Taps {
    /// The ends of `queues`, each of `bytes_max`.
    pub(super) fn new(queues: &[Arc<Queue>], bytes_max: usize) -> Taps {
        let level = queues.iter().map(|queue| queue.level as u8).max().unwrap_or(0);
        let tap = |queue: &Arc<Queue>| Tap {
            queue: Arc::clone(queue),
            bytes_max,
            staged: Vec::new(),
            staged_producer: None,
            passed_bytes: 0,
            done_bytes: 0,
            records: 0,
            all_missed: 0,
            missed: 0,
            has_ended: false,
        };
        Taps { taps: queues.iter().map(tap).collect(), level }
    }

    /// The log has begun. Nothing can refuse it any more.
    pub(crate) fn begin_log(&self) {
        self.taps.iter().for_each(|tap| tap.queue.begin_log());
    }

    /// Whether there are listeners.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.level > 0
    }

    /// Whether a listener gets records of `level`, given as a number.
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

    /// Passes on the collected copies. Returns whether some are left, because a listener's thread had the lock.
    #[inline]
    pub(crate) fn pass_on(&mut self) -> bool {
        self.any() && self.taps.iter_mut().fold(false, |any, tap| tap.pass_on() | any)
    }

    /// Passes on the rest, and the end of the log.
    pub(crate) fn end(&mut self) {
        self.taps.iter_mut().for_each(Tap::end);
    }
}

impl Tap {
    fn take(&mut self, producer: u32, name: &str, record: Heard<'_>) {
        self.records += 1;
        let bytes = RECORD_ENTRY_BYTES + record.payload.len();
        // A record that is longer than the queue is passed on alone. After a record that did not fit, none is passed on
        // until a turn ends with half of the queue free. So the listener is told of many missed records at once.
        if self.missed > 0 || !self.find_room(bytes, self.bytes_max) {
            self.missed += 1;
            self.all_missed += 1;
            return;
        }
        if self.staged_producer != Some(producer) {
            self.staged_producer = Some(producer);
            Entry::Producer { id: producer, name }.encode(&mut self.staged);
        }
        let Heard { kind, level, flags, sequence, timestamp_ns, payload } = record;
        Entry::Record(RecordEntry { kind, level, flags, sequence, timestamp_ns, payload }).encode(&mut self.staged);
    }

    /// Finds out whether the queue is empty, or has at most `limit` bytes with `bytes` more. Reads how much the thread
    /// has taken only if that decides, because the thread writes its counter for each record.
    fn find_room(&mut self, bytes: usize, limit: usize) -> bool {
        let fits = |tap: &Tap| {
            let waiting = tap.staged.len() + (tap.passed_bytes - tap.done_bytes) as usize;
            waiting == 0 || waiting + bytes <= limit
        };
        if fits(self) {
            return true;
        }
        self.done_bytes = self.queue.done.bytes.load(Relaxed);
        fits(self)
    }

    /// Adds an entry with the number of records that did not fit, if there are any.
    fn stage_missed(&mut self) {
        if self.missed > 0 {
            Entry::Missed(std::mem::take(&mut self.missed)).encode(&mut self.staged);
        }
    }

    fn pass_on(&mut self) -> bool {
        if self.missed > 0 && self.find_room(0, self.bytes_max / 2) {
            self.stage_missed();
        }
        self.publish();
        if self.staged.is_empty() {
            return false;
        }
        let bytes = self.staged.len() as u64;
        let batch = self.take_staged();
        match self.queue.outlet.try_push(batch) {
            Ok(()) => {
                self.passed_bytes += bytes;
                self.staged_producer = None;
                false
            }
            Err(batch) => {
                self.staged = batch.bytes;
                true
            }
        }
    }

    /// Publishes the counts.
    fn publish(&self) {
        self.queue.seen.records.store(self.records, Relaxed);
        self.queue.seen.missed.store(self.all_missed, Relaxed);
    }

    fn take_staged(&mut self) -> Batch {
        Batch { queue: Arc::clone(&self.queue), bytes: std::mem::take(&mut self.staged) }
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.stage_missed();
        self.publish();
        Entry::End.encode(&mut self.staged);
        let batch = self.take_staged();
        self.queue.outlet.push(batch);
    }
}

/// The log has ended, or its writer panicked, or open failed.
impl Drop for Tap {
    fn drop(&mut self) {
        self.end();
    }
}
