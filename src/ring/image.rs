//! A ring that a dead process has left: reads the records in it from the control lines and bytes in a file.
//!
//! Neither end is alive, and the bytes may be damaged. So every position, length and sequence is checked before it is
//! used. No bytes can lead to a panic, to a record outside the ring, or to the use of more memory than one record and a
//! piece of the ring. An impossible value ends the queue that it is in; the records before it are read.
//!
//! A process may have died between any two stores. So a committed record may not be counted as an attempt, a counted
//! attempt may have no outcome, and a reserve whose positions were being moved may have one new and one old position.
//! The first record may stand in a ring that claims to be unused; but then the append flag is raised.

#![allow(clippy::host_endian_bytes, reason = "the words are as a process of this machine has stored them")]

use std::fmt;
use std::io;

use super::control::offsets;
pub(crate) use super::control::offsets::CONTROL_BYTES;
#[cfg(all(test, not(any(diolog_portable, loom))))]
pub(crate) use super::control::offsets::words;
use super::control::{DropCounts, READING, RETURNING};
use super::layout::{CAPACITY_MAX, CAPACITY_MIN, HEAD_BYTES, Head, SKIP, record_bytes, record_bytes_max};

/// How much of a queue is read at once.
const PIECE_BYTES: u64 = 64 << 10;

/// The sizes and the policy of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) window_bytes: u64,
    /// 0 if the ring has no reserve.
    pub(crate) reserve_bytes: u64,
    /// Whether the ring gives up its oldest records.
    pub(crate) overwrites: bool,
}

impl Shape {
    /// Whether a ring can have this shape.
    pub(crate) fn is_possible(self) -> bool {
        let possible =
            |bytes: u64| bytes.is_power_of_two() && (CAPACITY_MIN as u64..=CAPACITY_MAX as u64).contains(&bytes);
        possible(self.window_bytes) && (self.reserve_bytes == 0 || possible(self.reserve_bytes))
    }
}

/// The counts of a ring's producer. They may contradict the records in the ring; code that uses both compares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftCounts {
    /// Attempts. One too few if the last record was committed and not counted.
    pub(crate) attempted: u64,
    pub(crate) dropped_by: DropCounts,
    pub(crate) overwritten: u64,
    /// Whether no process can have left these counts.
    is_impossible: bool,
}

/// The counts of a ring, and the positions of its records.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    shape: Shape,
    counts: LeftCounts,
    window: Result<Stretch, Fault>,
    reserve: Result<Stretch, Fault>,
    /// Whether the control lines are those of a ring that no producer has ever begun to use.
    is_unused: bool,
}

/// Two positions with only records and skips between them.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    begin: u64,
    end: u64,
}

/// An impossible value in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The positions are off the grid, or further apart than the size of the ring.
    Positions,
    /// A skip ends after the last record.
    Skip,
    /// A record is longer than the rest of the ring, or than any record may be.
    Length,
    /// The sequence of a record is not after that of the one before, or is higher than the producer's count.
    Sequence,
    /// The bytes are missing or cannot be read.
    Unreadable,
    /// The counts contradict each other, or the records.
    Counts,
    /// The ring claims that it was never used, and has records.
    Unused,
    /// A record was of an unknown kind, or its values were.
    Record,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Positions => "its positions are impossible",
            Fault::Skip => "a skip in it goes on after its last record",
            Fault::Length => "a record in it has an impossible length",
            Fault::Sequence => "a record in it has an impossible sequence number",
            Fault::Unreadable => "its bytes cannot be read",
            Fault::Counts => "its counts do not fit its records",
            Fault::Unused => "it has records, and claims that it was never used",
            Fault::Record => "some records in it are invalid",
        })
    }
}

impl Image {
    /// The image of a ring with this `shape`, which must be [possible](Shape::is_possible), and these control lines.
    pub(crate) fn new(shape: Shape, control: &[u8; CONTROL_BYTES]) -> Image {
        let word = |at: usize| u64::from_ne_bytes(*control[at..].first_chunk().expect("the lines hold every word"));
        let dropped_by = DropCounts {
            full: word(offsets::DROPPED_FULL),
            memory: word(offsets::DROPPED_MEMORY),
            timed_out: word(offsets::DROPPED_TIMED_OUT),
            device_failed: word(offsets::DROPPED_DEVICE_FAILED),
        };
        // The process may have died between the two stores of one count.
        let [next, copied] = [offsets::NEXT_SEQUENCE, offsets::ATTEMPTED].map(word);
        let (attempted, overwritten) = (next.max(copied), word(offsets::OVERWRITTEN));
        let is_impossible = next.abs_diff(copied) > 1 || (overwritten > 0 && !shape.overwrites);
        let begin = match shape.overwrites {
            // A consumer that was copying has set a bit of it.
            true => word(offsets::OLDEST) & !READING,
            false => word(offsets::READ_POSITION),
        };
        let window = Stretch::new(begin, word(offsets::WRITE_POSITION), shape.window_bytes);
        let state =
            u32::from_ne_bytes(*control[offsets::RESERVE_STATE..].first_chunk().expect("the lines hold every word"));
        let (begin, end) = (word(offsets::RESERVE_READ_POSITION), word(offsets::RESERVE_POSITION));
        let reserve = match Stretch::new(begin, end, shape.reserve_bytes) {
            // The consumer has moved one position of the empty reserve, and not the other.
            Err(_) if state == RETURNING && begin.wrapping_sub(end) <= shape.reserve_bytes => {
                Ok(Stretch { begin, end: begin })
            }
            _ if shape.reserve_bytes == 0 => Ok(Stretch { begin: 0, end: 0 }),
            stretch => stretch,
        };
        let counts = LeftCounts { attempted, dropped_by, overwritten, is_impossible };
        // The positions of a ring that is used again go on, so only a new one has zeros here.
        let used = [begin, word(offsets::WRITE_POSITION), attempted, word(offsets::APPEND_FLAG)];
        Image { shape, counts, window, reserve, is_unused: used == [0; 4] }
    }

    /// The producer's counts.
    pub(crate) fn counts(&self) -> LeftCounts {
        self.counts
    }

    /// How many bytes of records the consumer has released; `None` if damage hides it.
    pub(crate) fn released_bytes(&self) -> Option<u64> {
        Some(self.window.ok()?.begin.saturating_add(self.reserve.ok()?.begin))
    }

    /// Whether the ring has no record.
    pub(crate) fn is_empty(&self) -> bool {
        [self.window, self.reserve].iter().all(|stretch| stretch.is_ok_and(|stretch| stretch.begin == stretch.end))
    }

    /// The records, in the order of their sequence, with payloads of at most `payload_bytes_max`.
    pub(crate) fn records(&self, payload_bytes_max: u64) -> LeftRecords {
        let queue = |stretch: Result<Stretch, Fault>, base, capacity, is_unused| {
            let Stretch { begin: cursor, end } = stretch.unwrap_or(Stretch { begin: 0, end: 0 });
            let fault = stretch.err();
            Queue {
                base,
                capacity,
                payload_bytes_max,
                sequence_max: self.counts.attempted,
                cursor,
                end,
                next: None,
                is_unused,
                fault,
                piece: Vec::new(),
                piece_at: cursor,
                piece_bytes: PIECE_BYTES,
            }
        };
        let Shape { window_bytes, reserve_bytes, .. } = self.shape;
        LeftRecords {
            queues: [
                queue(self.window, 0, window_bytes, self.is_unused),
                queue(self.reserve, window_bytes, reserve_bytes, false),
            ],
            next_sequence: 0,
            counts: self.counts,
        }
    }
}

impl Stretch {
    fn new(begin: u64, end: u64, capacity: u64) -> Result<Stretch, Fault> {
        let is_possible = (begin | end).is_multiple_of(8) && end.wrapping_sub(begin) <= capacity;
        is_possible.then_some(Stretch { begin, end }).ok_or(Fault::Positions)
    }
}

/// The records of an image, read one after the other.
#[derive(Debug)]
pub(crate) struct LeftRecords {
    /// The window and the reserve.
    queues: [Queue; 2],
    /// The lowest sequence that the next record may have.
    next_sequence: u64,
    counts: LeftCounts,
}

/// Reads bytes of a ring from an offset in its memory, where the reserve follows the window. Returns how many it read.
pub(crate) trait ReadRing: FnMut(u64, &mut [u8]) -> io::Result<usize> {}

impl<F: FnMut(u64, &mut [u8]) -> io::Result<usize>> ReadRing for F {}

impl LeftRecords {
    /// Lets them be read in pieces of about so many bytes, but not in larger ones than otherwise.
    pub(crate) fn in_pieces_of(mut self, bytes: u64) -> LeftRecords {
        self.queues.iter_mut().for_each(|queue| queue.piece_bytes = bytes.min(PIECE_BYTES));
        self
    }

    /// The next record. It is the same until it is [taken](Self::take). `None` at the end, or if no further record can
    /// be read: see [`fault`](Self::fault).
    pub(crate) fn next(&mut self, mut read: impl ReadRing) -> Option<(Head, &[u8])> {
        let (at, head) = loop {
            self.queues.iter_mut().for_each(|queue| queue.find_next(&mut read));
            let at = self.first()?;
            let queue = &mut self.queues[at];
            let head = queue.next?;
            if head.sequence < self.next_sequence {
                queue.stop(Fault::Sequence);
            } else if queue.load(record_bytes(head.length as usize), &mut read) {
                break (at, head);
            }
        };
        Some((head, self.queues[at].payload(&head)))
    }

    /// Takes the record that [`next`](Self::next) returned.
    pub(crate) fn take(&mut self) {
        if let Some(at) = self.first()
            && let Some(head) = self.queues[at].next.take()
        {
            self.next_sequence = head.sequence + 1;
            let queue = &mut self.queues[at];
            queue.cursor = queue.cursor.wrapping_add(record_bytes(head.length as usize));
        }
    }

    /// The queue whose next record has the lower sequence.
    fn first(&self) -> Option<usize> {
        let next = (0..self.queues.len()).filter_map(|at| Some((self.queues[at].next?.sequence, at)));
        next.min().map(|(_, at)| at)
    }

    /// Frees the buffers.
    pub(crate) fn rest(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.piece = Vec::new());
    }

    /// The first impossible value that was met, if any.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let of_counts = || self.counts_are_impossible().then_some(Fault::Counts);
        self.queues.iter().find_map(|queue| queue.fault).or_else(of_counts)
    }

    /// Whether the counts contradict each other or, once all records were taken, those.
    fn counts_are_impossible(&self) -> bool {
        let LeftCounts { attempted, dropped_by, overwritten, is_impossible } = self.counts;
        let dropped = dropped_by.total();
        let attempted = attempted.max(self.next_sequence);
        // The last record is in the ring, so the attempts after it were dropped. One may have no outcome.
        let is_read = self.next_sequence > 0 && self.queues.iter().all(|queue| queue.cursor == queue.end);
        let after_last = if is_read { attempted - self.next_sequence } else { 0 };
        is_impossible || dropped.saturating_add(overwritten) > attempted || after_last > dropped.saturating_add(1)
    }

    /// Whether the record with this `sequence` stands after the last one of the window or the reserve.
    pub(crate) fn is_followed_by(&self, sequence: u64, mut read: impl ReadRing) -> bool {
        self.queues.iter().any(|queue| queue.is_followed_by(sequence, &mut read))
    }
}

/// One of the ring's queues, while it is read.
#[derive(Debug)]
struct Queue {
    /// The offset of the queue's memory in the ring's.
    base: u64,
    capacity: u64,
    payload_bytes_max: u64,
    /// The number of counted attempts. One record may have this sequence, if its attempt was not counted; none has a
    /// higher one.
    sequence_max: u64,
    /// The position after the last taken record.
    cursor: u64,
    /// The position after the queue's last record.
    end: u64,
    /// The head of the record at `cursor`, if it was read.
    next: Option<Head>,
    /// Whether its memory must begin with a zero, as no record does. `false` once that was looked at.
    is_unused: bool,
    fault: Option<Fault>,
    /// Bytes of the queue from position `piece_at` on.
    piece: Vec<u8>,
    piece_at: u64,
    /// How much is read at once.
    piece_bytes: u64,
}

impl Queue {
    /// Reads the head of the next record, unless it was read already.
    fn find_next(&mut self, read: &mut impl ReadRing) {
        if std::mem::take(&mut self.is_unused) {
            let mut first = [0; 8];
            if read(self.base, &mut first).is_ok() && first != [0; 8] {
                return self.stop(Fault::Unused);
            }
        }
        while self.next.is_none() && self.cursor != self.end {
            let to_end = self.capacity - (self.cursor & (self.capacity - 1));
            let left = self.end.wrapping_sub(self.cursor);
            if !self.load(8, read) {
                return;
            }
            if self.word(0) == SKIP {
                if to_end > left {
                    return self.stop(Fault::Skip);
                }
                self.cursor = self.cursor.wrapping_add(to_end);
                continue;
            }
            let room = to_end.min(left);
            if room < HEAD_BYTES as u64 {
                return self.stop(Fault::Length);
            }
            if !self.load(HEAD_BYTES as u64, read) {
                return;
            }
            let head = Head::from_words([0, 8, 16].map(|at| self.word(at)));
            let bytes = record_bytes(head.length as usize);
            if bytes > room.min(record_bytes_max(self.capacity as usize) as u64)
                || u64::from(head.length) > self.payload_bytes_max
            {
                return self.stop(Fault::Length);
            }
            // No record could follow the highest number.
            if head.sequence > self.sequence_max || head.sequence == u64::MAX {
                return self.stop(Fault::Sequence);
            }
            self.next = Some(head);
        }
    }

    /// Reads at least `bytes` bytes from the cursor on, unless they are loaded. The queue and its memory have that
    /// many. Returns whether it could.
    fn load(&mut self, bytes: u64, read: &mut impl ReadRing) -> bool {
        let at = self.cursor.wrapping_sub(self.piece_at);
        if at <= self.piece.len() as u64 && bytes <= self.piece.len() as u64 - at {
            return true;
        }
        let offset = self.cursor & (self.capacity - 1);
        let room = (self.capacity - offset).min(self.end.wrapping_sub(self.cursor));
        self.piece.resize(bytes.max(self.piece_bytes.min(room)) as usize, 0);
        self.piece_at = self.cursor;
        let filled = read(self.base + offset, &mut self.piece).unwrap_or(0);
        self.piece.truncate(filled);
        let is_there = bytes <= self.piece.len() as u64;
        if !is_there {
            self.stop(Fault::Unreadable);
        }
        is_there
    }

    /// The loaded word that begins this many bytes after the cursor.
    fn word(&self, after: usize) -> u64 {
        let at = self.cursor.wrapping_sub(self.piece_at) as usize + after;
        self.piece.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_ne_bytes(*word))
    }

    /// The loaded payload of the record at the cursor.
    fn payload(&self, head: &Head) -> &[u8] {
        let at = self.cursor.wrapping_sub(self.piece_at) as usize + HEAD_BYTES;
        self.piece.get(at..at + head.length as usize).unwrap_or_default()
    }

    /// Whether the record with this `sequence` stands after the last one, or at the beginning after a skip.
    fn is_followed_by(&self, sequence: u64, read: &mut impl ReadRing) -> bool {
        let after_last = self.end & self.capacity.wrapping_sub(1);
        [after_last, 0].into_iter().filter(|at| at + HEAD_BYTES as u64 <= self.capacity).any(|at| {
            let mut head = [0; HEAD_BYTES];
            let is_there = read(self.base + at, &mut head).is_ok_and(|filled| filled == HEAD_BYTES);
            // Zeros, where nothing was written yet, are no record of number 0.
            is_there
                && head[..8] != [0; 8]
                && head[8..].first_chunk().is_some_and(|word| u64::from_ne_bytes(*word) == sequence)
        })
    }

    /// Ends the queue before the record at the cursor, because of `fault`.
    fn stop(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        self.next = None;
        self.end = self.cursor;
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
