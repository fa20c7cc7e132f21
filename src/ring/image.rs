//! A ring that a dead process has left: reads the records in it from the control lines and bytes in a file.
//!
//! Neither end is alive, and the bytes may be damaged. So every position, length and sequence is checked before it is
//! used. No bytes can lead to a panic, to a record outside the ring, or to the use of more memory than one record and a
//! piece of the ring. An impossible value ends the queue that it is in; the records before it are read.
//!
//! A process may have died between any two stores. So a committed record may not be counted as an attempt, a counted
//! attempt may have no outcome, and a reserve whose positions were being moved may have one new and one old position.

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
        Image { shape, counts, window, reserve }
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
        let queue = |stretch: Result<Stretch, Fault>, base, capacity| {
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
                fault,
                piece: Vec::new(),
                piece_at: cursor,
                piece_bytes: PIECE_BYTES,
            }
        };
        let Shape { window_bytes, reserve_bytes, .. } = self.shape;
        LeftRecords {
            queues: [queue(self.window, 0, window_bytes), queue(self.reserve, window_bytes, reserve_bytes)],
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
            is_there && head[8..].first_chunk().is_some_and(|word| u64::from_ne_bytes(*word) == sequence)
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
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::{Budget, ConsumerEnd, ProducerEnd, RingOptions, ring_with_reserve};
    use super::*;

    const WINDOW: usize = 4096;
    const RESERVE: usize = 256 << 10;

    /// The sequence, tag, ticks and payload of a record.
    type Record = (u64, u32, u64, Vec<u8>);

    /// What a file has of a ring.
    struct Left {
        shape: Shape,
        control: [u8; CONTROL_BYTES],
        bytes: Vec<u8>,
    }

    impl Left {
        fn of(producer: &ProducerEnd, reserve_bytes: usize) -> Left {
            let (control, bytes) = producer.ring().bytes();
            let shape = Shape {
                window_bytes: producer.capacity() as u64,
                reserve_bytes: reserve_bytes as u64,
                overwrites: producer.ring().overwrite,
            };
            assert!(shape.is_possible());
            Left { shape, control, bytes }
        }

        fn image(&self) -> Image {
            Image::new(self.shape, &self.control)
        }

        /// The sequences, tags, ticks and payloads of all records, and what is wrong.
        fn records(&self) -> (Vec<Record>, Option<Fault>) {
            let mut records = self.image().records(u64::MAX);
            let mut all = Vec::new();
            let read = |offset: u64, buffer: &mut [u8]| {
                let left = self.bytes.get(offset as usize..).unwrap_or_default();
                let filled = left.len().min(buffer.len());
                buffer[..filled].copy_from_slice(&left[..filled]);
                Ok(filled)
            };
            while let Some((head, payload)) = records.next(read) {
                all.push((head.sequence, head.tag, head.ticks, payload.to_vec()));
                records.take();
            }
            (all, records.fault())
        }
    }

    fn ends(options: RingOptions, reserve_bytes: usize) -> (ProducerEnd, ConsumerEnd) {
        let options = RingOptions { enters_reserve: reserve_bytes > 0, ..options };
        ring_with_reserve(options, reserve_bytes, Arc::new(Budget::new(u64::MAX, 0))).expect("a ring")
    }

    fn payload(sequence: u64) -> Vec<u8> {
        vec![sequence as u8; (sequence * 37 % 301) as usize]
    }

    /// Appends one record as a producer does, or drops it. Returns whether it was accepted.
    fn append(producer: &ProducerEnd) -> bool {
        let sequence = producer.next_sequence();
        let payload = payload(sequence);
        let mut cause = super::super::DropCause::Full;
        let accepted = producer.append(sequence as u32, &payload[..], || 1000 + sequence).is_ok()
            || producer
                .append_past_window(false, sequence as u32, &payload[..], || 1000 + sequence)
                .inspect_err(|why| cause = *why)
                .is_ok();
        if !accepted {
            producer.drop_attempt(cause);
        }
        accepted
    }

    proptest! {
        #[test]
        fn exactly_what_was_appended_and_not_released_is_there(
            start in prop_oneof![Just(0), Just(u64::MAX - 8191), (0..u64::MAX / 8).prop_map(|at| at * 8)],
            reserve_bytes in prop_oneof![Just(0), Just(RESERVE)],
            overwrite in any::<bool>(),
            steps in prop::collection::vec((0..60_u32, 0..4000_usize, any::<bool>()), 1..12),
        ) {
            let reserve_bytes = if overwrite { 0 } else { reserve_bytes };
            let (producer, mut consumer) = ends(RingOptions { overwrite, start, ..RingOptions::window(WINDOW) }, reserve_bytes);
            let mut accepted = Vec::new();
            let mut released = 0;
            for (appends, taken_bytes, releases) in steps {
                for _ in 0..appends {
                    let sequence = producer.next_sequence();
                    if append(&producer) {
                        accepted.push(sequence);
                    }
                }
                consumer.observe();
                let mut last = None;
                consumer.consume(taken_bytes, |head, _| {
                    last = Some(head.sequence);
                    true
                });
                if let Some(last) = last
                    && (releases || overwrite)
                {
                    let cursor = consumer.cursor();
                    consumer.release(cursor);
                    released = last + 1;
                }
                let left = Left::of(&producer, reserve_bytes);
                let (records, fault) = left.records();
                prop_assert_eq!(fault, None);
                let counts = left.image().counts();
                let mut expected: Vec<_> = accepted.iter().copied().filter(|sequence| *sequence >= released).collect();
                if overwrite {
                    prop_assert!(expected.len() >= records.len());
                    expected.drain(..expected.len() - records.len());
                }
                prop_assert_eq!(records.iter().map(|record| record.0).collect::<Vec<_>>(), expected);
                for (sequence, tag, ticks, bytes) in records {
                    prop_assert_eq!((u64::from(tag), ticks, bytes), (sequence, 1000 + sequence, payload(sequence)));
                }
                let real = producer.control().counts();
                prop_assert_eq!(counts, LeftCounts {
                    attempted: real.attempted,
                    dropped_by: real.dropped_by,
                    overwritten: real.overwritten,
                    is_impossible: false,
                });
            }
        }

        #[test]
        fn any_bytes_end_without_a_panic(
            control in prop::collection::vec(any::<u8>(), CONTROL_BYTES),
            bytes in prop::collection::vec(any::<u8>(), 0..3 * WINDOW),
            window in 12..15_u32,
            reserve in prop_oneof![Just(0_u64), Just(4096)],
            overwrites in any::<bool>(),
            near in any::<bool>(),
        ) {
            let mut control: [u8; CONTROL_BYTES] = control.try_into().expect("as many");
            if near {
                // Positions that are possible, so that the bytes are looked at.
                let read: u64 = u64::from_ne_bytes(*control.first_chunk().expect("eight")) & !7;
                for (at, after) in [
                    (offsets::READ_POSITION, 0),
                    (offsets::OLDEST, 0),
                    (offsets::WRITE_POSITION, 4096),
                    (offsets::RESERVE_READ_POSITION, 0),
                    (offsets::RESERVE_POSITION, 4096),
                ] {
                    control[at..at + 8].copy_from_slice(&read.wrapping_add(after).to_ne_bytes());
                }
            }
            let shape = Shape { window_bytes: 1 << window, reserve_bytes: reserve, overwrites };
            let (records, _) = Left { shape, control, bytes }.records();
            prop_assert!(records.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }

        #[test]
        fn a_changed_byte_costs_only_what_comes_after_it(at in 0..WINDOW, bit in 0..8_u8, appends in 1..100_u32) {
            let (producer, _consumer) = ends(RingOptions::window(WINDOW), 0);
            (0..appends).for_each(|_| _ = append(&producer));
            let mut left = Left::of(&producer, 0);
            let (intact, _) = left.records();
            left.bytes[at] ^= 1 << bit;
            let (records, _) = left.records();
            let before = intact.iter().scan(0, |end, record| {
                *end += record_bytes(record.3.len()) as usize;
                Some(*end)
            });
            let before = before.take_while(|end| *end <= at).count();
            prop_assert!(records.len() >= before && records[..before] == intact[..before]);
        }
    }

    #[test]
    fn every_fault_has_its_name() {
        let (producer, _consumer) = ends(RingOptions::window(WINDOW), 0);
        (0..10).for_each(|_| _ = append(&producer));
        let left = || Left::of(&producer, 0);
        type Case<'a> = (&'a str, &'a dyn Fn(&mut Left), Fault);
        let faults: [Case<'_>; 8] = [
            ("an odd position", &|left| left.control[offsets::WRITE_POSITION] ^= 1, Fault::Positions),
            ("a far position", &|left| left.control[offsets::READ_POSITION + 7] ^= 1, Fault::Positions),
            ("a long record", &|left| left.bytes[2] = 1, Fault::Length),
            ("a skip", &|left| left.bytes[..8].fill(0xFF), Fault::Skip),
            ("a sequence that is too large", &|left| left.bytes[8..16].fill(0xFF), Fault::Sequence),
            ("a sequence beyond the attempts", &|left| left.bytes[8] = 11, Fault::Sequence),
            ("a sequence that goes back", &|left| left.bytes[8] = 5, Fault::Sequence),
            ("a file that ends", &|left| left.bytes.truncate(1000), Fault::Unreadable),
        ];
        for (what, damage, fault) in faults {
            let mut damaged = left();
            damage(&mut damaged);
            assert_eq!(damaged.records().1, Some(fault), "{what}");
        }
    }

    #[test]
    fn a_reserve_that_died_while_it_was_moved_is_empty() {
        let (producer, _consumer) = ends(RingOptions::window(WINDOW), RESERVE);
        let mut left = Left::of(&producer, RESERVE);
        left.control[offsets::RESERVE_READ_POSITION..][..8].copy_from_slice(&(RESERVE as u64).to_ne_bytes());
        assert_eq!(left.records(), (vec![], Some(Fault::Positions)));
        left.control[offsets::RESERVE_STATE] = RETURNING as u8;
        assert_eq!(left.records(), (vec![], None));
        assert!(left.image().is_empty());
    }
}
